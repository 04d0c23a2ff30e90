"""All batch sizes beside each other: each level over the reference, and where one stops being the better one."""

from collections.abc import Callable, Mapping, Sequence

from bench.metrics.comparison import Ratio
from bench.metrics.crossover import At, Crossing, Crossover, crossover
from bench.report.levels.level import Crossed, Level, Sweep, SweepLine
from bench.report.levels.pairs import Pairs, inverse
from bench.report.rows import Row
from bench.report.table import number

DECODE, USD = "decode tok/s", "$/Mtok"

RatioOf = Callable[[Row | None, Row | None], Ratio | None]


def sweep(levels: Sequence[Level], reference: str | None, pairs: Pairs) -> Sweep:
    """Ratios at every batch size, crossings of each level with the reference, and of the two cheapest with each other
    (at the table's batch size)."""
    sizes = tuple(sorted({at for one in levels for at, row in one.rows.items() if row.figures is not None}))
    base = next((one for one in levels if one.label == reference), None)
    lines: list[SweepLine] = []
    crossed: list[Crossed] = []
    for one in levels:
        if base is None or one is base:
            continue
        line = SweepLine(one.label, _ratios(base, one, sizes, pairs.decode), _ratios(base, one, sizes, pairs.usd))
        lines.append(line)
        crossed += _crossed(one.label, base.label, line.decode, line.usd)
    priced = sorted((usd.value, at) for at, one in enumerate(levels) if (usd := one.usd_per_mtok) is not None)
    if len(priced) > 1:
        first, second = (levels[at] for _, at in priced[:2])
        if reference not in (first.label, second.label):
            own = (_ratios(second, first, sizes, of) for of in (pairs.decode, pairs.usd))
            crossed += _crossed(first.label, second.label, *own)
    return Sweep(sizes, tuple(lines), tuple(crossed))


def _ratios(base: Level, one: Level, sizes: Sequence[int], of: RatioOf) -> dict[int, Ratio]:
    found = {at: of(base.rows.get(at), one.rows.get(at)) for at in sizes}
    return {at: ratio for at, ratio in found.items() if ratio is not None}


def _crossed(name: str, other: str, decode: Mapping[int, Ratio], usd: Mapping[int, Ratio]) -> list[Crossed]:
    """Of the rate, and of the dollars, where the lower one wins."""
    turned = {at: inverse(ratio) for at, ratio in usd.items()}
    return [
        Crossed(name, other, quantity, crossover([At(at, one.value, one.low, one.high) for at, one in found.items()]))
        for quantity, found in ((DECODE, decode), (USD, turned))
        if len(found) > 1
    ]


def sentence(of: Crossed) -> str:
    """`nf4 against bf16, decode tok/s: better below batch 5.2 (between 4 and 8).`"""
    return f"{of.label} against {of.other}, {of.quantity}: {outcome_text(of.found)}."


def sentences(of: Sequence[Crossed]) -> list[str]:
    """All of them; what is the same for rate and dollars is said once."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for one in of:
        found.setdefault((one.label, one.other, outcome_text(one.found)), []).append(one.quantity)
    return [f"{name} against {other}, {' and '.join(what)}: {text}." for (name, other, text), what in found.items()]


def outcome_text(found: Crossover) -> str:
    """What a crossover says, without whose it is."""
    if not found.sizes:
        return "unknown"
    over = f"{found.sizes[0]}–{found.sizes[-1]}" if len(found.sizes) > 1 else str(found.sizes[0])
    doubt = ""
    if found.doubtful and not found.crossings:
        doubt = ", in doubt at all of them" if len(found.doubtful) == len(found.sizes) else ""
        doubt = doubt or f", in doubt at batch {', '.join(map(str, found.doubtful))}"
    if found.outcome == "wins":
        return f"better at all measured sizes ({over}){doubt}"
    if found.outcome == "loses":
        return f"never better ({over}){doubt}"
    if not found.crossings:
        return f"equal at all measured sizes ({over})"
    if len(found.crossings) == 1:
        (one,) = found.crossings
        return f"better {_side(one)}{_around(one)}"
    said = "; ".join(f"better {_side(one)}{_around(one)}" for one in found.crossings)
    return f"{len(found.crossings)} crossings: {said}"


def _side(one: Crossing) -> str:
    return ("above" if one.wins_above else "below") + f" batch {number(one.batch_size, 2)}"


def _around(one: Crossing) -> str:
    low, high = one.surely_between
    if not one.in_doubt:
        return f" (between {low} and {high})"
    measured = f"measured at {one.between[0]} and {one.between[1]}"
    if low is None and high is None:
        return f" ({measured}; in doubt at every size)"
    if low is None:
        return f" ({measured}; in doubt below {high})"
    if high is None:
        return f" ({measured}; in doubt above {low})"
    return f" ({measured}; in doubt between {low} and {high})"
