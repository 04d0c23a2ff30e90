"""How far estimates are from measurements, where the same cell was measured on the hardware that it is carried to."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from statistics import median

from bench.hardware import datasheet
from bench.metrics.statistics import Estimate
from bench.whatif import source as sources
from bench.whatif.carry import Asked, Projected, Ratios, carried
from bench.whatif.projection import Ranged
from bench.whatif.source import Source
from bench.whatif.target import Target

QUANTITIES = ("ttft", "tpot", "usd_per_mtok")
LABELS = {"ttft": "TTFT", "tpot": "TPOT", "usd_per_mtok": "$/Mtok"}


def held_against(found: Projected, all_of_them: Sequence[Source]) -> Projected:
    """An estimate with its ratios to the last measurement of the same cell on the target, if there is one."""
    if found.speeds is None or found.fit is None or found.fit.devices is None:
        return found
    cell = sources.identity(found.source.row.cell)
    for other in reversed(all_of_them):
        if other is found.source or other.row.figures is None or sources.refusal(other) is not None:
            continue
        if sources.identity(other.row.cell) == cell and _is_on(other, found.target, found.fit.devices):
            return with_ratios(found, other)
    return found


def with_ratios(found: Projected, measured: Source) -> Projected:
    """Estimate over measurement. At one hourly price dollars are as the end-to-end times."""
    timed, real = found.speeds, measured.figures
    assert timed is not None
    return replace(
        found,
        ratios=Ratios(
            measured,
            ttft=_over(timed.ttft_s, real.ttft_s),
            tpot=_over(timed.tpot_s, real.tpot_s),
            usd_per_mtok=_over(timed.e2el_s, real.e2el_s),
        ),
    )


def both_ways(found: Sequence[Source], asked: Callable[[Source], Asked]) -> list[Projected]:
    """Every two rows of equal cells on two kinds of machine, each carried to the other's at what is `asked` for it."""
    usable = [one for one in found if sources.refusal(one) is None]
    pairs = []
    for index, one in enumerate(usable):
        for other in usable[index + 1 :]:
            same = sources.identity(one.row.cell) == sources.identity(other.row.cell)
            if same and sources.hardware(one.row) != sources.hardware(other.row):
                pairs += [_carried(one, other, asked(one)), _carried(other, one, asked(other))]
    return pairs


def errors(found: Iterable[Projected]) -> dict[str, tuple[float, int]]:
    """The median of |ln(estimate / measured)| of each quantity, and of how many pairs; without those that have none.

    0.18 is a factor of 1.2 either way.
    """
    ratios = [one.ratios for one in found if one.ratios is not None]
    answer = {}
    for name in QUANTITIES:
        values = [getattr(one, name) for one in ratios]
        known = [abs(math.log(value)) for value in values if value is not None]
        if known:
            answer[name] = (median(known), len(known))
    return answer


def summary(found: Iterable[Projected]) -> str:
    """One line; empty where nothing was measured on a target."""
    known = errors(found)
    if not known:
        return ""
    parts = [f"{LABELS[name]} {value:.3f} (a factor of {math.exp(value):.2f})" for name, (value, _) in known.items()]
    most = max(count for _, count in known.values())
    pairs = f"{most} pair" if most == 1 else f"{most} pairs"
    return f"Estimate against measurement, median absolute log error over {pairs}: {', '.join(parts)}."


def _carried(one: Source, other: Source, asked: Asked) -> Projected:
    """`one` on the whole machine of `other`, at that one's own price."""
    assert other.ceiling is not None
    target = Target(
        name=sources.where(other.row),
        vendor=sources.vendor(other.row),
        ceiling=other.ceiling,
        memory_bytes=sources.memory_bytes(other.row),
        basis=other.figures.roofline.basis,
        whole=True,
        rate=None if other.row.dollars is None else other.row.dollars.rate,
    )
    found = carried(one, target, asked)
    return found if found.speeds is None else with_ratios(found, other)


def _is_on(row: Source, target: Target, devices: int) -> bool:
    """Whether a row was measured on so many of a target."""
    used = sources.used(row.row)
    if target.spec is not None:
        return len(used) == devices and all(datasheet.find(one) == target.spec for one in used)
    if target.machine is None or row.row.environment.hardware() != target.machine.hardware:
        return False
    if not used:
        return target.ceiling.device == "cpu"
    return len(used) == devices and all(one.name == target.ceiling.device for one in used)


def _over(estimate: Ranged | None, measured: Estimate | None) -> float | None:
    return None if estimate is None or measured is None else estimate.estimate.value / measured.value
