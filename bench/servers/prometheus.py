"""The text format in which servers write their metrics, read without `prometheus_client`.

That package would be one more dependency for the twenty lines below. Most lines of a page are histogram buckets, which
are left out here: what they say, the client knows better, request by request; sums and counts are kept. Left out as
well: `_created` stamps, and values that are no finite number.
"""

import math
import re
from collections.abc import Iterator

LONGEST_LINE = 4096

_SERIES = re.compile(
    r"""([A-Za-z_:][A-Za-z0-9_:]*)                  # the metric's name
        [ \t]*(\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\})?  # labels, whose values may hold anything in quotes
        [ \t]+(\S+)                                 # the value
        (?:[ \t]+-?[\d.]+)?[ \t]*(?:\#.*)?          # a stamp, an exemplar
    """,
    re.VERBOSE,
)
_LEFT_OUT = ("_bucket", "_created")
_OF_THE_PROCESS = ("python_", "process_", "promhttp_", "go_", "http_")


def series(text: str) -> Iterator[tuple[str, str, float]]:
    """(metric, metric with its labels as they are written, value) of each line that says one."""
    for line in text.split("\n"):
        if not line or line[0] == "#" or len(line) > LONGEST_LINE:
            continue
        found = _SERIES.fullmatch(line.strip(" \t\r"))
        if found is None or found[1].endswith(_LEFT_OUT) or found[1].startswith(_OF_THE_PROCESS):
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        if math.isfinite(value):
            yield found[1], found[1] + (found[2] or ""), value


def name(key: str) -> str:
    """The metric of a series.

    >>> name('vllm:num_requests_running{engine="0"}')
    'vllm:num_requests_running'
    """
    return key.partition("{")[0]
