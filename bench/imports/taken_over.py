"""What an import says on the terminal: the figures taken over, by the file's own names, and what was left out."""

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.imports.records import UNKNOWN
from bench.schema import Imported, Record

LONGEST = 120


def render(records: Sequence[Record], width: int) -> str:
    """A table a result, then what was left out of all of them, and remarks; each sentence once."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=max(60, width), highlight=False, markup=False, color_system=None)
    for record in records:
        if record.imported is not None:
            console.print(Text(_heading(record, record.imported)))
            console.print(_table(record.imported))
    every = [record.imported for record in records if record.imported is not None]
    left_out = dict.fromkeys((name, why) for one in every for name, why in one.left_out.items())
    if left_out:
        console.print("left out:")
    for name, why in left_out:
        console.print(Text(f"• {plain(name)}: {plain(why, 400)}"))
    remarks = dict.fromkeys(remark for one in every for remark in one.remarks)
    if remarks:
        console.print("to know:")
    for remark in remarks:
        console.print(Text(f"• {plain(remark, 400)}"))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _heading(record: Record, said: Imported) -> str:
    cell, environment = record.cell, record.environment
    precision = str(cell.runner.options.get("precision") or cell.precision.name)
    load = f"batch {cell.workload.batch_size}" if cell.traffic is None else cell.traffic.label()
    if cell.traffic is None and "load" in cell.runner.options:
        load = str(cell.runner.options["load"])
    devices = " + ".join(dict.fromkeys(one.name for one in environment.accelerators))
    count = len(environment.accelerators)
    place = f"{count} × {devices}" if devices else "" if environment.cpu_model == "unknown" else environment.cpu_model
    version = f" {said.tool_version}" if said.tool_version else ""
    parts = (said.file, f"{said.tool}{version}", cell.model.source, precision, load, place or UNKNOWN)
    return " · ".join(plain(one) for one in parts)


def _table(said: Imported) -> Table:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="")
    table.add_column("taken over")
    table.add_column("value", justify="right")
    table.add_column("from the file's")
    for name, figure in said.figures.items():
        table.add_row(Text(name), Text(f"{figure.value:.4g}"), Text(plain(figure.said)))
    for name in ("requests", "failed_requests", "input_tokens", "cached_tokens", "output_tokens", "window_s"):
        value = getattr(said, name)
        if value is not None:
            table.add_row(Text(name), Text(f"{value:.4g}" if isinstance(value, float) else str(value)), Text(""))
    for name, percentiles in said.percentiles_s.items():
        if percentiles:
            names = ", ".join(f"p{one}" for one in percentiles)
            table.add_row(Text(name), Text(str(len(percentiles))), Text(f"percentiles: {plain(names)}"))
    for name, samples in said.samples_s.items():
        table.add_row(Text(name), Text(str(len(samples))), Text("samples of single requests"))
    return table


def plain(text: str, longest: int = LONGEST) -> str:
    """A text of a foreign file on one line of a terminal: no control characters, cut where it never ends."""
    line = "".join(one if one.isprintable() else " " for one in text)
    return line if len(line) <= longest else line[:longest] + "…"
