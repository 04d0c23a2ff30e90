"""A load as it stands, drawn by the parent, which is idle meanwhile: the processes that are timed draw nothing."""

import time
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from bench.schema import Live

if TYPE_CHECKING:
    from rich.table import Table

EVERY_S = 5.0
"""Between two lines where the output is no terminal."""

DASH = "–"


class LiveView:
    """A block of lines that is redrawn on a terminal; one line every few seconds elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._drawing: object = None
        self._said_s = -EVERY_S

    def show(self, head: str, standing: Live) -> None:
        """Draw the latest standing of the run called `head`."""
        if self._live:
            self._draw(head, standing)
        elif time.monotonic() - self._said_s >= EVERY_S:
            self._said_s = time.monotonic()
            with suppress(OSError):
                self._stream.write(f"  {line(standing)}\n")
                self._stream.flush()

    def clear(self) -> None:
        """Take the block away, so that lines that stay can be written."""
        from rich.live import Live as Screen

        if isinstance(self._drawing, Screen):
            with suppress(OSError, SystemExit):
                self._drawing.stop()
        self._drawing = None
        self._said_s = -EVERY_S

    def _draw(self, head: str, standing: Live) -> None:
        from rich.console import Console
        from rich.live import Live as Screen

        with suppress(OSError, SystemExit):  # rich would end the program where a reader went away
            if not isinstance(self._drawing, Screen):
                # No thread that refreshes: it draws when there is something new, and sleeps otherwise.
                screen = Screen(console=Console(file=self._stream), auto_refresh=False, transient=True)
                screen.start()
                self._drawing = screen
            assert isinstance(self._drawing, Screen)
            self._drawing.update(block(head, standing), refresh=True)


def block(head: str, standing: Live) -> "Table":
    """What stands on the terminal: a title, and one figure a column."""
    from rich.table import Table

    table = Table(title=f"{head}: {standing.phase}, {standing.at_s:.0f} s", title_justify="left", box=None)
    for name, _ in figures(standing):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(*(text for _, text in figures(standing)))
    if standing.last_error:
        table.caption = f"last error: {standing.last_error}"
        table.caption_justify = "left"
    return table


def figures(standing: Live) -> list[tuple[str, str]]:
    """Headings and texts; milliseconds and dollars as people read them.

    >>> live = Live(phase="steady", at_s=12, sent=40, succeeded=30, failed=1, in_flight=9, ttft_p50_s=0.05)
    >>> [text for name, text in figures(live) if name in ("sent", "failed", "TTFT p50")]
    ['40', '1', '50 ms']
    """
    found = [
        ("sent", str(standing.sent)),
        ("ok", str(standing.succeeded)),
        ("failed", str(standing.failed)),
        ("on the way", str(standing.in_flight)),
        ("req/s", _rate(standing.requests_per_s)),
        ("output tok/s", _rate(standing.output_tokens_per_s)),
        ("TTFT p50", _ms(standing.ttft_p50_s)),
        ("p99", _ms(standing.ttft_p99_s)),
        ("TPOT p50", _ms(standing.tpot_p50_s)),
        ("window", DASH if standing.window_s is None else f"{standing.window_s:.0f} s"),
    ]
    if standing.spent_usd is not None:
        found.append(("spent", f"${standing.spent_usd:.4f}"))
    return found


def line(standing: Live) -> str:
    """All of it in one line.

    >>> line(Live(phase="warm-up", at_s=3.2, sent=4, in_flight=4))
    'warm-up 3 s: 4 sent, 0 ok, 0 failed, 4 on the way'
    """
    said = [f"{text} {name}" for name, text in figures(standing)[:4]]
    said += [f"{name} {text}" for name, text in figures(standing)[4:] if text != DASH]
    error = f"; last error: {standing.last_error}" if standing.last_error else ""
    return f"{standing.phase} {standing.at_s:.0f} s: {', '.join(said)}{error}"


def _rate(value: float | None) -> str:
    return DASH if value is None else f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _ms(value: float | None) -> str:
    return DASH if value is None else f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"
