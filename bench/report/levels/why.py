"""Why each level is as fast or as slow as it is: rows become the steps that `metrics/explain.py` takes apart.

Rows that differ in precision and batch size alone belong together. The reference of a level is the plain precision
that it computes in, where that was measured beside it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bench.metrics import explain
from bench.metrics.explain import Explanation, Packs, Step, Steps
from bench.report.rows import Row
from bench.report.table import number, percent
from bench.schema import Gguf, Plain, Precision
from bench.schema.precision import kv_cache, label
from bench.schema.quality import PhaseProfile

PROFILE_HEADINGS = ("level", "batch", "phase", "operator", "kind", "share", "calls a step")
PRODUCTS_QUANTISED = ("int8", "torchao-int8dq", "torchao-fp8dq", "fp8")
PLAIN = ("bf16", "fp16", "fp32")
MOST_OPERATORS = 6
"""Of each row in a table; the record holds more."""

Rows = dict[int, Row]
"""Batch size → row, of one level."""


def explanations(rows: Sequence[Row]) -> dict[int, Explanation]:
    """Index of the row → why its decode is as fast as it is, and its prefill. Rows without a decode step have none."""
    place = {id(row): index for index, row in enumerate(rows)}
    found = {}
    for levels in _groups(rows):
        for name, own in levels.items():
            base = _reference(levels, name)
            steps = _steps(name, own)
            other = None if base is None else _steps(base, levels[base])
            for size, row in own.items():
                if size not in steps.at:
                    continue
                beside = None if base is None else levels[base].get(size)
                seen = None if beside is None else beside.profile
                explained = explain.explain(steps, size, other, row.profile, seen)
                text = f"{explained.text}. {_capital(_prefill(steps, row, base, beside))}"
                found[place[id(row)]] = replace(explained, text=text)
    return dict(sorted(found.items()))


def sentences(rows: Sequence[Row]) -> list[str]:
    """One a level: how fast against its plain reference at each batch size, and what the step goes to at the least."""
    explained = explanations(rows)
    place = {id(row): index for index, row in enumerate(rows)}
    found = []
    for levels in _groups(rows):
        for name, own in levels.items():
            of = {size: explained[place[id(row)]] for size, row in own.items() if place[id(row)] in explained}
            if not of:
                continue
            base = _reference(levels, name)
            ratios = [] if base is None else list(_ratios(own, levels[base], base))
            smallest = min(of)
            others = [f"{one.bound} at batch {size}" for size, one in of.items() if size != smallest]
            head = f"{name}: " + ("; ".join(ratios) + ". " if ratios else "")
            tail = f" Bound: {', '.join([f'{of[smallest].bound} at batch {smallest}', *others])}."
            found.append(f"{head}{of[smallest].text}.{tail}")
    return found


def profile_table(rows: Sequence[Row]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and lines: the operators with most time of each profiled row, as shares of the profiled time.

    Of the decode; of the prefill where there is no decode step.
    """
    lines: list[tuple[str, ...]] = []
    for row in rows:
        if row.profile is None:
            continue
        decode = row.profile.decode
        phase: PhaseProfile = row.profile.prefill if decode is None else decode
        where = "prefill" if decode is None else "decode"
        name, size = label(row.cell.precision), str(row.cell.workload.batch_size)
        whole = max(phase.wall_s, phase.busy_s)
        for one in phase.operators[:MOST_OPERATORS]:
            share = percent(one.self_s / whole) if whole > 0 else ""
            lines.append((name, size, where, one.name, one.kind, share, number(one.calls / phase.steps)))
    return PROFILE_HEADINGS, lines


def _groups(rows: Sequence[Row]) -> list[dict[str, Rows]]:
    """Levels of each model, runner, lengths and machine. Of two rows of one cell the last stands, as in the table."""
    found: dict[str, dict[str, Rows]] = {}
    for row in rows:
        if row.figures is None or any(reason.fatal for reason in row.verdict):
            continue
        said = row.cell.model_dump(
            mode="json", exclude={"cell_id": True, "precision": True, "quality": True, "workload": {"batch_size"}}
        )
        key = json.dumps([said, row.environment.fingerprint()], sort_keys=True)
        own = found.setdefault(key, {}).setdefault(label(row.cell.precision), {})
        own[row.cell.workload.batch_size] = row
    return [{name: dict(sorted(own.items())) for name, own in levels.items()} for levels in found.values()]


def _reference(levels: Mapping[str, Rows], name: str) -> str | None:
    """The plain level that this one is held against; None for a plain one, and where none was measured."""
    precision = _precision(levels[name])
    if _packs(precision) == "nothing":
        return None
    plain = {
        one.name: other
        for other, own in levels.items()
        if isinstance(one := _precision(own), Plain) and kv_cache(one) is None
    }
    computes = precision.name if isinstance(precision, Plain) else getattr(precision, "compute_dtype", "bf16")
    return next((plain[kind] for kind in (computes, *PLAIN) if kind in plain), None)


def _precision(own: Rows) -> Precision:
    return next(iter(own.values())).cell.precision


def _packs(precision: Precision) -> Packs:
    if isinstance(precision, Plain) and kv_cache(precision) is None:
        return "nothing"
    # llama.cpp packs activations into blocks of int8 for its products with packed weights.
    return "products" if precision.name in PRODUCTS_QUANTISED or isinstance(precision, Gguf) else "weights"


def _steps(name: str, own: Rows) -> Steps:
    facts = next(row.figures.facts for row in own.values() if row.figures is not None)
    return Steps(
        name,
        {size: step for size, row in own.items() if (step := _step(row)) is not None},
        _packs(_precision(own)),
        facts.kernel,
        facts.kernel_falls_back,
        not facts.device.startswith("cpu"),
    )


def _step(row: Row) -> Step | None:
    """MBU and MFU turned back into seconds at the ceiling: MBU = bytes / read rate / step."""
    of = row.figures
    if of is None or of.tpot_s is None or of.ttft_s is None:
        return None
    roof, work = of.roofline, of.roofline.work
    memory_s = None if roof.mbu is None else roof.mbu.value * of.tpot_s.value
    compute_s = None
    if roof.mfu is not None and work is not None and work.prefill_flops > 0:
        compute_s = work.step_flops / work.prefill_flops * roof.mfu.value * of.ttft_s.value
    return Step(of.tpot_s, memory_s, compute_s)


def _prefill(steps: Steps, row: Row, base: str | None, beside: Row | None) -> str:
    assert row.figures is not None
    if row.figures.ttft_s is None:
        return "no time of its own: the batch is scheduled continuously"
    mfu = row.figures.roofline.mfu
    other = None if beside is None or beside.figures is None else beside.figures.ttft_s
    held = None if base is None or other is None else (base, other)
    return explain.explain_prefill(steps, row.figures.ttft_s, None if mfu is None else mfu.value, held, row.profile)


def _ratios(own: Rows, other: Rows, base: str) -> Iterator[str]:
    """How much faster its decode is than the reference's, where their intervals are apart."""
    for size, row in own.items():
        beside = other.get(size)
        if row.figures is None or beside is None or beside.figures is None:
            continue
        mine, plain = row.figures.tpot_s, beside.figures.tpot_s
        if mine is None or plain is None:
            continue
        if explain.is_within(mine, plain):
            yield f"decode not told apart from {base}'s at batch {size} (within the intervals)"
        else:
            yield f"decode at {number(plain.value / mine.value)} × the speed of {base} at batch {size}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
