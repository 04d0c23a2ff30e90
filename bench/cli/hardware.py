"""`bench hardware`: what this machine can do at most, measured and kept: what MBU and MFU are held against."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.hardware.datasheet import Spec
    from bench.schema import Ceiling, Ceilings

FORMATS = ("table", "json")
TYPES = ("fp32", "bf16", "fp16", "int8")
HEADINGS = ("device", "threads", "read GB/s", "copy GB/s", *(f"{kind} GFLOP/s" for kind in TYPES))
BUSY = 0.5
"""Load for each CPU above which a ceiling is doubted."""


def add_to(app: typer.Typer) -> None:
    app.command(name="hardware", epilog="Examples: bench hardware   ·   bench hardware --show --format json")(hardware)


def hardware(
    show: Annotated[bool, typer.Option("--show", help="Show the stored ceilings; measure nothing.")] = False,
    form: Annotated[str, typer.Option("--format", "-f", help="table or json.")] = "table",
    seconds: Annotated[float, typer.Option(help="Time to measure for, about.", min=0.5, max=600)] = 20.0,
) -> None:
    """Measure memory bandwidth and matrix speed of the CPU and of every GPU, and keep them with their date."""
    from bench.cli import warn
    from bench.errors import InputError, nearest
    from bench.execute import ceilings as execution
    from bench.hardware import stored
    from bench.sensors import busy, environment

    if form not in FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMATS)}")
    found = environment.detect()
    if show:
        kept = stored.load(found.hardware(), warn)
        if kept is None:
            raise InputError("no ceilings of this machine are stored; run `bench hardware` without --show")
        path = stored.path_of(kept.hardware)
    else:
        load = busy.load_average()
        if load is not None and load > BUSY * found.cpu_usable:
            warn(f"machine is busy (load {load:.1f} on {found.cpu_usable} CPUs); ceilings may be too low")
        with stored.measuring():
            kept = execution.measure(seconds)
        if not kept.devices:
            raise InputError(f"nothing could be measured: {'; '.join(kept.reasons.values())}")
        path = stored.save(kept)
    print(_as_json(kept) if form == "json" else _as_table(kept, str(path)))


def _as_json(kept: "Ceilings") -> str:
    sheets = [
        {"device": one.device, "part": sheet.part, "source": sheet.source, **_rates(sheet_ceiling)}
        for one, sheet, sheet_ceiling in _with_sheets(kept)
        if sheet is not None and sheet_ceiling is not None
    ]
    whole = {"ceilings": kept.model_dump(mode="json"), "datasheets": sheets}
    return json.dumps(whole, indent=1, ensure_ascii=False)


def _as_table(kept: "Ceilings", path: str) -> str:
    from tabulate import tabulate

    lines: list[tuple[str, ...]] = []
    notes = []
    for one, sheet, stated in _with_sheets(kept):
        lines.append((one.device, str(one.threads or ""), *_figures(one)))
        if sheet is not None and stated is not None:
            lines.append(("  its datasheet", "", *_figures(stated)))
            lines.append(("  measured / datasheet", "", *_ratios(one, stated)))
            notes.append(f"datasheet: {sheet.part}, {sheet.source}")
    lines += [(one.device, str(one.threads or ""), *_figures(one)) for one in kept.by_threads]
    notes += [f"{what}: {why}" for what, why in kept.reasons.items()]
    notes.append("read: bytes of a reduction; copy: bytes read and written, added; the best of many trials each, the")
    notes.append("first CPU row the best over numbers of threads. Another busy process lowers them: measure when idle.")
    grid = tabulate(
        lines, HEADINGS, "simple", disable_numparse=True, colalign=("left", *["right"] * (len(HEADINGS) - 1))
    )
    return "\n".join([grid, "", f"measured at {kept.measured_at}, kept in {path}", *notes])


def _with_sheets(kept: "Ceilings") -> list[tuple["Ceiling", "Spec | None", "Ceiling | None"]]:
    """Each device with its datasheet, where the list has one."""
    from bench.hardware import datasheet
    from bench.schema import Accelerator

    sizes = {one.name: one.memory_bytes for one in kept.environment.accelerators}
    found: list[tuple[Ceiling, Spec | None, Ceiling | None]] = []
    for one in kept.devices:
        device = Accelerator(name=one.device, memory_bytes=sizes.get(one.device))
        sheet = datasheet.find(device)
        found.append((one, sheet, None if sheet is None else sheet.ceiling(device)))
    return found


def _rates(one: "Ceiling") -> dict[str, object]:
    return one.model_dump(mode="json", include={"read_bytes_per_s", "gemm_flops_per_s"})


def _values(one: "Ceiling") -> list[float | None]:
    rates = [one.gemm_flops_per_s.get(kind) for kind in TYPES]
    return [one.read_bytes_per_s, one.copy_bytes_per_s, *rates]


def _figures(one: "Ceiling") -> list[str]:
    return ["–" if value is None else f"{value / 1e9:,.1f}" for value in _values(one)]


def _ratios(one: "Ceiling", stated: "Ceiling") -> list[str]:
    pairs: Sequence[tuple[float | None, float | None]] = list(zip(_values(one), _values(stated), strict=True))
    return ["" if not own or not other else f"{own / other:.2f}" for own, other in pairs]
