"""Rows become tables of levels: grouped by all but the precision, one batch size a table, held against a reference."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.errors import InputError, nearest
from bench.metrics import front
from bench.metrics.explain import Explanation
from bench.report import table
from bench.report.comparison import Measured
from bench.report.levels import recommend, size, sweep, why
from bench.report.levels.level import Level, Levels, LevelTable
from bench.report.levels.notes import notes
from bench.report.levels.pairs import Pairs
from bench.report.rows import Row
from bench.schema import Environment, Plain
from bench.schema.precision import WIDEST, kv_cache, label

Rows = dict[str, dict[int, Row]]
"""Level's label → batch size → row."""


def levels(
    rows: Sequence[Row],
    reference: str | None,
    batch_size: int | None,
    tolerance: float | None,
    measured: Sequence[Measured] = (),
) -> Levels:
    """A table for each model, runner, lengths and machine.

    `reference`: a level's label; None for the quality passes' own, else the widest plain one. `batch_size`: None for
    the largest that every measured level has. `tolerance`: ΔNLL in nats a token. `measured`: the stored times, without
    which no ratio is paired. Raises InputError for a reference or a batch size that no row has.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_group(row), []).append(row)
    labels = {label(row.cell.precision).lower(): label(row.cell.precision) for row in rows}
    if reference is not None and reference.lower() not in labels:
        raise InputError(f"--reference: no level is called {reference!r}; {nearest(reference, labels.values())}")
    sizes = sorted({row.cell.workload.batch_size for row in rows if row.figures is not None})
    if batch_size is not None and batch_size not in sizes:
        known = ", ".join(map(str, sizes)) or "none"
        raise InputError(f"--batch-size: nothing was measured at {batch_size}; measured: {known}")
    wanted = None if reference is None else labels[reference.lower()]
    explained = {id(rows[at]): one for at, one in why.explanations(rows).items()}
    pairs = Pairs(measured)
    telling = table.telling_options(rows)
    return Levels(
        tuple(_table(group, wanted, batch_size, tolerance, pairs, telling, explained) for group in groups.values())
    )


def _group(row: Row) -> str:
    """All that must be equal for two rows to stand in one table."""
    said = row.cell.model_dump(
        mode="json",
        exclude={"cell_id": True, "precision": True, "quality": True, "workload": {"batch_size"}},
    )
    return json.dumps([said, row.environment.fingerprint()], sort_keys=True)


def _table(
    rows: Sequence[Row],
    wanted: str | None,
    batch_size: int | None,
    tolerance: float | None,
    pairs: Pairs,
    telling: table.Telling,
    explained: Mapping[int, Explanation],
) -> LevelTable:
    by_level, doubled = _by_level(rows)
    chosen = _batch_size(by_level, batch_size)
    quality_reference = _quality_reference(rows)
    base = _reference(by_level, wanted, quality_reference)
    found = [
        _level(name, own, chosen, by_level.get(base or "", {}), name == base, pairs) for name, own in by_level.items()
    ]
    found = [replace(one, explanation=explained.get(id(one.row))) for one in found]
    loss_is = "ΔNLL" if all(one.delta_nll is not None or one.kl_mean_nats is None for one in found) else "KL"
    found = _placed(found, pairs, loss_is)
    first = rows[0]
    work = first.cell.workload
    made = LevelTable(
        model=table.model(first),
        runner=table.runner(first, telling) + (f" arm {first.cell.arm}" if first.cell.arm > 1 else ""),
        lengths=(work.input_tokens, work.cached_tokens, work.output_tokens),
        machine=_machine(first.environment),
        batch_size=chosen,
        reference=base,
        quality_reference=quality_reference,
        levels=tuple(found),
        sweep=sweep.sweep(found, base, pairs),
        recommendation=recommend.recommendation(found, chosen, tolerance, pairs),
        loss_is=loss_is,
    )
    return replace(made, notes=tuple(notes(made, doubled, wanted, batch_size)))


def _by_level(rows: Sequence[Row]) -> tuple[Rows, list[str]]:
    """Rows by level and batch size, and what stood there twice: the last one measured is taken."""
    found: Rows = {}
    doubled = []
    for row in rows:
        own = found.setdefault(label(row.cell.precision), {})
        size_ = row.cell.workload.batch_size
        before = own.get(size_)
        if before is not None:
            doubled.append(f"{label(row.cell.precision)} at batch {size_}")
            if row.figures is None and before.figures is not None:
                continue
        own[size_] = row
    return found, list(dict.fromkeys(doubled))


def _batch_size(by_level: Rows, wanted: int | None) -> int | None:
    """The one asked for, where this group has it; else the largest that most measured levels have (if possible all)."""
    have = Counter(at for own in by_level.values() for at, row in own.items() if row.figures is not None)
    if wanted is not None and (wanted in have or any(wanted in own for own in by_level.values())):
        return wanted
    return max(have, key=lambda at: (have[at], at), default=None)


def _quality_reference(rows: Sequence[Row]) -> str | None:
    for row in rows:
        if row.quality is not None and row.quality.reference is not None:
            return row.quality.reference
    return next(
        (label(row.cell.precision) for row in rows if row.quality is not None and row.quality.is_reference), None
    )


def _reference(by_level: Rows, wanted: str | None, of_quality: str | None) -> str | None:
    """None where none of the group's levels can be it."""
    if wanted is not None:
        return wanted if wanted in by_level else None
    if of_quality in by_level:
        return of_quality
    plain = {}
    for name, own in by_level.items():
        precision = next(iter(own.values())).cell.precision
        measured = any(row.figures is not None for row in own.values())
        if isinstance(precision, Plain) and kv_cache(precision) is None and measured:
            plain[precision.name] = name
    return next((plain[name] for name in WIDEST if name in plain), None)


def _level(
    name: str, own: Mapping[int, Row], chosen: int | None, base: Mapping[int, Row], is_reference: bool, pairs: Pairs
) -> Level:
    row = None if chosen is None else own.get(chosen)
    other = None if chosen is None or is_reference else base.get(chosen)
    known = [one for one in (row, *own.values()) if one is not None]
    return Level(
        label=name,
        rows=dict(sorted(own.items())),
        row=row,
        is_reference=is_reference,
        bits=size.bits(known),
        quality=next((one.quality for one in known if one.quality is not None), None),
        no_quality_because=next((one.no_quality_because for one in known if one.no_quality_because), None),
        decode_ratio=pairs.decode(other, row),
        prefill_ratio=pairs.prefill(other, row),
        usd_ratio=pairs.usd(other, row),
    )


def _placed(found: Sequence[Level], pairs: Pairs, loss_is: str) -> list[Level]:
    """The levels with how they stand to the front, or why they cannot be on it."""
    places: list[front.Place] = []
    held: list[Row] = []
    why_not: dict[str, str] = {}
    index: dict[str, int] = {}
    for one in found:
        usd, loss = one.usd_per_mtok, _loss(one, loss_is)
        if one.row is None or usd is None:
            why_not[one.label] = "no dollars"
        elif loss is None:
            why_not[one.label] = "no quality"
        else:
            index[one.label] = len(places)
            places.append(front.Place(usd.value, *loss))
            held.append(one.row)
    stand = front.standings(places, lambda i, j: pairs.surely_cheaper(held[i], held[j]))
    return [
        replace(one, not_placed_because=why_not[one.label])
        if one.label in why_not
        else replace(one, standing=stand[index[one.label]])
        for one in found
    ]


def _loss(one: Level, loss_is: str) -> tuple[float, float | None] | None:
    """Nats a token and their standard error."""
    if loss_is == "KL":
        kl = one.kl_mean_nats
        se = 0.0 if one.divergence is None else one.divergence.kl_mean_se
        return None if kl is None else (kl, se)
    found = one.delta_nll
    return None if found is None or math.isnan(found.value) else (found.value, found.se)


def _machine(of: Environment) -> str:
    devices = ", ".join(device.name for device in of.accelerators)
    return devices or f"{of.cpu_model} ({of.cpu_usable} CPUs)"


def named(of: LevelTable) -> str:
    """What all levels of a table share: its caption."""
    prompt, cached, output = of.lengths
    batch = "nothing measured" if of.batch_size is None else f"batch {of.batch_size}"
    held = f"{prompt} in{f' ({cached} cached)' if cached else ''}, {output} out"
    return " · ".join([of.model, of.runner, batch, held, of.machine])
