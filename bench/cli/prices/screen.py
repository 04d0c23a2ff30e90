"""Tables of prices drawn for a terminal: folded to its width, prices on the right. Words of users stay words."""

import io
import shutil
import textwrap
from collections.abc import Collection, Sequence

WIDE = 10_000


def width() -> int:
    """Columns of the terminal, as `bench report` counts them; COLUMNS wins."""
    return shutil.get_terminal_size((120, 24)).columns


def drawn(
    headings: Sequence[str],
    lines: Sequence[Sequence[str]],
    right: Collection[int] = (),
    whole: Collection[int] = (),
    columns: int | None = None,
) -> str:
    """The table; those of `right` stand at the right, and cells of these and of `whole` are not folded while it can be
    helped. `columns` is the width (None: the terminal's)."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for index, heading in enumerate(headings):
        folded = index not in right and index not in whole
        grid.add_column(heading, justify="right" if index in right else "left", overflow="fold", no_wrap=not folded)
    for line in lines:
        grid.add_row(*line)
    out = io.StringIO()
    wide = columns or width()
    console = Console(file=out, width=wide, highlight=False, markup=False, emoji=False, color_system=None)
    console.print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def widest(text: str) -> int:
    """Columns of the longest line."""
    return max(map(len, text.splitlines()), default=0)


def filled(text: str, indent: str = "") -> str:
    """A sentence in lines of the terminal's width."""
    return textwrap.fill(text, width(), subsequent_indent=indent, break_on_hyphens=False)
