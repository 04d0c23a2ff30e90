"""Two rows held against each other, replicate by replicate where they were measured in turn."""

from collections.abc import Sequence
from dataclasses import replace

from bench.metrics.comparison import Outcome, Ratio, compare
from bench.report import comparison
from bench.report.comparison import Measured
from bench.report.rows import Row

TURNED: dict[Outcome, Outcome] = {"higher": "lower", "lower": "higher"}


class Pairs:
    """Ratios of rows. `measured`: the stored times of their cells; without them every ratio is unpaired."""

    def __init__(self, measured: Sequence[Measured]) -> None:
        self._times: dict[tuple[str, str], list[Measured]] = {}
        for one in measured:
            self._times.setdefault((one.cell.cell_id, one.environment.fingerprint()), []).append(one)
        self._known: dict[tuple[int, int], dict[str, Ratio]] = {}

    def decode(self, a: Row | None, b: Row | None) -> Ratio | None:
        """Decode tokens per second, b over a; None where either has none, or times that mean nothing."""
        return self._ratios(a, b).get("decode tok/s")

    def prefill(self, a: Row | None, b: Row | None) -> Ratio | None:
        """Prefill tokens per second, b over a."""
        return self._ratios(a, b).get("prefill tok/s")

    def usd(self, a: Row | None, b: Row | None) -> Ratio | None:
        """Blended dollars, b over a: the ratio of the end-to-end times, times that of the hourly rates in use."""
        if a is None or b is None or a.dollars is None or b.dollars is None:
            return None
        found = self._ratios(a, b).get("output tok/s")
        if found is None:
            return None
        paid = [one.rate.usd_per_hour / one.utilisation for one in (a.dollars, b.dollars)]
        if not all(paid):
            return None
        return inverse(found, paid[1] / paid[0])

    def surely_cheaper(self, a: Row, b: Row) -> bool:
        """Whether a's dollars are below b's beyond the interval of their ratio."""
        found = self.usd(a, b)
        return found is not None and found.excludes(1.0) and found.value > 1

    def _ratios(self, a: Row | None, b: Row | None) -> dict[str, Ratio]:
        if a is None or b is None or not (counts(a) and counts(b)):
            return {}
        key = (id(a), id(b))
        if key not in self._known:
            one, other = self._measured(a), self._measured(b)
            if one is not None and other is not None:
                found = comparison.compared(one, other, 0.0)
                self._known[key] = dict(found.rates())
            else:
                self._known[key] = _unpaired(a, b)
        return self._known[key]

    def _measured(self, row: Row) -> Measured | None:
        """The stored times of this very row; None where two rows of the cell cannot be told apart by what is kept."""
        found = self._times.get((row.cell.cell_id, row.environment.fingerprint()), [])
        return found[0] if len(found) == 1 and len(found[0].times) == row.replicates else None


def counts(row: Row) -> bool:
    """Whether the row has times that mean something."""
    return row.figures is not None and not any(reason.fatal for reason in row.verdict)


def inverse(of: Ratio, factor: float = 1.0) -> Ratio:
    """`factor` over the ratio, with its interval turned around."""
    low = None if of.high is None else factor / of.high
    high = None if of.low is None else factor / of.low
    return replace(of, value=factor / of.value, low=low, high=high, outcome=TURNED.get(of.outcome, of.outcome))


def _unpaired(a: Row, b: Row) -> dict[str, Ratio]:
    found = {}
    rates = [_rates(row) for row in (a, b)]
    for name in rates[0].keys() & rates[1].keys():
        found[name] = compare(rates[0][name], rates[1][name], paired=False)
    return found


def _rates(row: Row) -> dict[str, list[float]]:
    """Of each replicate, by the names that `bench compare` uses."""
    assert row.figures is not None
    work, each = row.cell.workload, row.figures.each
    tokens: dict[str, tuple[list[float | None], int]] = {
        "prefill tok/s": ([one.prefill_s for one in each], work.input_tokens - work.cached_tokens),
        "decode tok/s": ([one.decode_s for one in each], work.output_tokens - 1),
        "output tok/s": ([one.whole_s for one in each], work.output_tokens),
    }
    known = {name: ([one for one in seconds if one], count) for name, (seconds, count) in tokens.items()}
    return {
        name: [work.batch_size * count / second for second in seconds]
        for name, (seconds, count) in known.items()
        if count > 0 and len(seconds) == len(each) and seconds
    }
