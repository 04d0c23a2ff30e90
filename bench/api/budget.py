"""Whether a cell keeps to a bound: yes, no, or its interval holds both, which is said as it is.

What a test suite does about each is its own affair: `bench/pytest_plugin.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from bench.api import flat
from bench.api.run import Mix, Run, mixture
from bench.entries import mixed
from bench.entries.entry import FIGURES, Entry
from bench.entries.priced import Asked, Priced
from bench.errors import InputError, nearest
from bench.metrics.statistics import Estimate
from bench.page.shown import cut, visible

Outcome = Literal["pass", "fail", "doubt"]

KEYS = (
    *("model", "precision", "runner", "options", "batch_size", "level", "kind", "run", "arm", "hardware", "machine"),
    *("cell", "input_tokens", "cached_tokens", "output_tokens"),
)
"""What a cell may be chosen by; `cell` is its id or how that begins, `hardware` a part of its name."""

DOLLARS = ("usd_per_mtok", "machine_usd_per_mtok", "input_usd_per_mtok", "cached_usd_per_mtok", "output_usd_per_mtok")
GOOD = "good_usd_per_mtok"
COUNTED = ("weights_bytes", "kv_cache_bytes", "peak_bytes")
"""Counted, not estimated: they have no interval and need none."""

QUALITY = {
    "kl_mean_nats": ("kl_mean", "kl_mean_se"),
    "delta_nll_nats": ("delta_nll", "delta_nll_se"),
    "same_top_1": ("same_top_1", "same_top_1_se"),
}
LONGEST = 2000
"""Characters of a failure's reason in a message."""

NORMAL_975 = 1.959963985
NAMES = (*DOLLARS, GOOD, *FIGURES, *QUALITY, *COUNTED)
"""Quantities that can be bounded; units and definitions: docs/metrics.md."""


@dataclass(frozen=True)
class Bound:
    """The ends, both included; None is open."""

    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        ends = (("at least", self.least), ("at most", self.most))
        return " and ".join(f"{word} {end:.6g}" for word, end in ends if end is not None)

    def holds(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def judge(self, of: Estimate) -> Outcome:
        """Pass where the whole interval is within, fail where all of it is outside. Without an interval a value that
        is outside fails, and one that is within is in doubt.

        >>> [Bound(most=1.0).judge(Estimate(v, v * 0.9, v * 1.1, 3)) for v in (0.9, 0.95, 1.2)]
        ['pass', 'doubt', 'fail']
        """
        if of.low is None or of.high is None:
            return "doubt" if self.holds(of.value) else "fail"
        if self.holds(of.low) and self.holds(of.high):
            return "pass"
        over = self.most is not None and of.low > self.most
        under = self.least is not None and of.high < self.least
        return "fail" if over or under else "doubt"


@dataclass(frozen=True)
class Judgement:
    """What came of a bound: `line` for a summary, `text` with all that a person needs to go on."""

    outcome: Outcome
    line: str
    text: str


def bound(least: float | None, most: float | None) -> Bound:
    """Raises InputError where there is no end, or the ends contradict each other."""
    if least is None and most is None:
        raise InputError("no bound; give min= or max=")
    if least is not None and most is not None and least > most:
        raise InputError(f"min={least:g} is above max={most:g}; nothing can be both")
    for name, end in (("min", least), ("max", most)):
        if end is not None and end != end:
            raise InputError(f"{name}: not a number")
    return Bound(least, most)


def one_of(run: Run, wanted: Mapping[str, object]) -> Entry:
    """The one entry that is so. Raises InputError for an unknown key, and, with a list, where it is none or several."""
    where = ", ".join(str(path) for path in run.paths)
    for key in wanted:
        if key not in KEYS:
            raise InputError(f"unknown key {key!r} of a cell; {nearest(key, KEYS)}")
    left = list(run.entries)
    for key, value in wanted.items():
        before, left = left, [one for one in left if is_said(one, key, value)]
        if not left:
            there = {str(_value(one, key)) for one in before}
            raise InputError(f"no cell with {key}={value!r} in {where}; {nearest(str(value), there)}", *_listed(before))
    if len(left) > 1:
        said = ", ".join(f"{key}={value!r}" for key, value in wanted.items()) or "nothing was said of it"
        raise InputError(f"{len(left)} cells of {where} are meant ({said}); name one of them by {_telling(left)}")
    return left[0]


def is_said(entry: Entry, key: str, value: object) -> bool:
    """Whether an entry is what was asked for; letters of any case are alike."""
    own = _value(entry, key)
    if key == "cell":
        return str(own).startswith(str(value))
    if key == "hardware":
        return str(value).casefold() in str(own).casefold()
    if isinstance(own, int | float) and isinstance(value, int | float):
        return own == value
    return str(own).casefold() == str(value).casefold()


def _value(entry: Entry, key: str) -> object:
    return entry.cell_id if key == "cell" else getattr(entry, key)


def _telling(left: list[Entry]) -> str:
    """The keys in which entries differ, with their values, and the cells themselves."""
    keys = {key: dict.fromkeys(visible(str(_value(one, key))) for one in left) for key in KEYS if key != "cell"}
    apart = [f"{key} ({', '.join(values)})" for key, values in keys.items() if len(values) > 1]
    shown = "; ".join(apart) or "cell (" + ", ".join(dict.fromkeys(one.cell_id for one in left)) + ")"
    return "\n".join([shown, *_listed(left)])


def _listed(entries: Iterable[Entry], most: int = 20) -> list[str]:
    every = [f"{flat.named(one)} ({one.verdict_text})" for one in entries]
    return [f"  {one}" for one in every[:most]] + ([f"  … and {len(every) - most} more"] if len(every) > most else [])


def quantity(entry: Entry, name: str, mix: Mix | None = None) -> Estimate | None:
    """A quantity by its name, None where it is not known. Raises InputError for an unknown name."""
    if name not in NAMES:
        raise InputError(f"unknown quantity {name!r}; {nearest(name, NAMES)}")
    if name in FIGURES:
        return entry.figures.get(name)
    if name in COUNTED:
        size = None if entry.memory is None else getattr(entry.memory, name)
        return None if size is None else Estimate(float(size), float(size), float(size), 1)
    if name in QUALITY:
        value, se = (getattr(entry.quality, one) for one in QUALITY[name])
        if value is None or se is None:
            return None if value is None else Estimate(value, None, None, 1)
        return Estimate(value, value - NORMAL_975 * se, value + NORMAL_975 * se, 1)
    priced = entry.good if name == GOOD else entry.priced
    return None if priced is None else _dollars(priced, name, mixture(mix)[0])


def _dollars(priced: Priced, name: str, asked: Asked) -> Estimate | None:
    if name == "input_usd_per_mtok":
        return mixed.part_usd_per_mtok(priced, "input", asked)
    if name == "cached_usd_per_mtok":
        return mixed.part_usd_per_mtok(priced, "cached", asked)
    if name == "output_usd_per_mtok":
        return mixed.part_usd_per_mtok(priced, "output", asked)
    of = mixed.machine_usd_per_mtok if name == "machine_usd_per_mtok" else mixed.usd_per_mtok
    return of(priced, asked)


def judged(entry: Entry, name: str, of: Estimate | None, wanted: Bound, priced: bool = False) -> Judgement:
    """The bound held against a quantity. What cannot be believed, or is not known, fails with the reason.

    `priced`: the quantity is made of dollars, so the text says at what price of the hour.
    """
    against = why_not(entry)
    if against is not None:
        said, outcome = against, "fail"
    elif of is None:
        because = entry.no_dollars_because if priced else entry.quality.reason if name in QUALITY else None
        said, outcome = f"has no {name}" + (f": {because}" if because else ""), "fail"
    else:
        outcome = wanted.judge(of)
        said = f"{name} is {shown(of)}, wanted {wanted}: {_word(outcome, of)}"
    line = f"{flat.named(entry)}: {said}"
    return Judgement(outcome, line, "\n".join([line, *_small_print(entry, priced)]))  # type: ignore[arg-type]


def why_not(entry: Entry) -> str | None:
    """Why nothing of an entry can be believed, with the remedy; None where it can."""
    if entry.status != "ok":
        remedy = f"; {entry.remedy}" if entry.remedy else ""
        return cut(visible(f"{entry.status}: {entry.failure or 'no reason is known'}{remedy}"), LONGEST)
    fatal = [f"{one.code}: {one.text()}" for one in entry.verdict if one.fatal]
    return f"its figures mean nothing ({'; '.join(fatal)})" if fatal else None


def shown(of: Estimate) -> str:
    """A value and its interval.

    >>> shown(Estimate(0.123456, 0.12, 0.13, 5)), shown(Estimate(2.0, None, None, 1))
    ('0.1235 (0.12 to 0.13)', '2 (no interval)')
    """
    if of.low is None or of.high is None:
        return f"{of.value:.4g} (no interval)"
    return f"{of.value:.6g}" if of.low == of.high else f"{of.value:.4g} ({of.low:.4g} to {of.high:.4g})"


def _word(outcome: str, of: Estimate) -> str:
    if outcome != "doubt":
        return "kept" if outcome == "pass" else "not kept"
    if of.low is None:
        return "cannot be told, one replicate has no interval; measure more"
    return "cannot be told, the bound is inside of the interval; more replicates narrow it"


def _small_print(entry: Entry, priced: bool) -> Iterable[str]:
    if priced and entry.priced is not None:
        yield f"  at {entry.priced.rate_basis or 'the bill'}, utilisation {entry.priced.utilisation:g}"
    reasons = "".join(f"; {one.code}: {one.text()}" for one in entry.verdict if not one.fatal)
    yield f"  verdict {entry.verdict_text}, {entry.replicates} replicate{'s' * (entry.replicates != 1)}{reasons}"
    if entry.command:
        yield f"  to repeat it: {visible(entry.command)}"


def compared(entry: Entry, api: str, by: float, mix: Mix | None) -> Judgement:
    """Whether it costs at most 1/`by` of the same tokens at the API. Raises InputError where `by` is no factor."""
    if not 0 < by < float("inf"):
        raise InputError(f"by: must be a factor above 0 (got {by:g})")
    priced = entry.priced
    price = None if priced is None else next((one for one in priced.apis if one.api == api), None)
    ratio = None if priced is None or price is None else mixed.ratio(priced, price, mixture(mix)[0])
    return judged(entry, f"dollars over those of {api}", ratio, Bound(most=1 / by), priced=True)


def valid(entry: Entry) -> Judgement:
    """Whether nothing speaks against it."""
    against = [f"{one.code}: {one.text()}" for one in entry.verdict]
    said = why_not(entry) or "; ".join(against)
    line = f"{flat.named(entry)}: {said or 'VALID'}"
    return Judgement("fail" if said else "pass", line, "\n".join([line, *_small_print(entry, False)]))
