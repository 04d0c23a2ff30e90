"""Service level objectives as people write them. Light: a config is read without numpy."""

import re
from typing import get_args

from pydantic import ValidationError

from bench.errors import InputError, nearest
from bench.schema import Slo, SloMetric

METRICS: tuple[str, ...] = get_args(SloMetric)
SHORT = {name.removesuffix("_s"): name for name in METRICS}
UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0, "min": 60.0}
USUAL_PERCENTILE = 95.0

_FORM = re.compile(r"^\s*(?P<metric>[^.<≤\s]*)(?:\.(?P<percentile>[^<≤\s]*))?\s*(?:<=|≤|<)\s*(?P<limit>.*?)\s*$")
_LIMIT = re.compile(r"^(?P<number>[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(?P<unit>[a-zµ]*)$")
_EXAMPLE = "write it like ttft.p99<=500ms"


def parse(text: str) -> Slo:
    """One objective, such as `ttft_s.p99<=0.5`; seconds without a unit, p95 without a percentile.

    Raises InputError.

    >>> parse("tpot<=50ms").text()
    'tpot_s.p95<=0.05'
    """
    form = _FORM.match(text)
    if form is None:
        raise InputError(f"slo {text!r}: a metric, <= and a limit are needed; {_EXAMPLE}")
    name = form["metric"].lower()
    metric = SHORT.get(name, name)
    if metric not in METRICS:
        raise InputError(f"slo {text!r}: unknown metric {form['metric']!r}; {nearest(name, (*SHORT, *METRICS))}")
    limit = _LIMIT.match(form["limit"].lower())
    if limit is None:
        raise InputError(f"slo {text!r}: {form['limit']!r} is no time; {_EXAMPLE}")
    if limit["unit"] not in UNITS:
        raise InputError(f"slo {text!r}: unknown unit {limit['unit']!r}; {nearest(limit['unit'], filter(None, UNITS))}")
    try:
        at_most_s = float(limit["number"]) * UNITS[limit["unit"]]
        return Slo(metric=metric, percentile=_percentile(text, form["percentile"]), at_most_s=at_most_s)
    except (ValueError, ValidationError):
        raise InputError(f"slo {text!r}: the limit must be a time above 0; {_EXAMPLE}") from None


def _percentile(text: str, said: str | None) -> float:
    if said is None:
        return USUAL_PERCENTILE
    try:
        found = float(said.lower().removeprefix("p")) if said.lower().startswith("p") else -1.0
    except ValueError:
        found = -1.0
    if not 0 < found < 100:
        raise InputError(f"slo {text!r}: {said!r} is no percentile; between p0 and p100, such as p95 or p99.9")
    return found
