"""What came back, understood when there is time: counted, paid for, and written into the trace. No clock."""

from collections import deque
from collections.abc import Callable

from bench.client import Exchange
from bench.measure.serving.lines import Lines, Texts
from bench.measure.serving.orders import as_text
from bench.measure.serving.sessions import Talk
from bench.measure.serving.spending import Purse
from bench.measure.serving.tally import Tally
from bench.schema import Request

WRITE_AT_LEAST = 48
WRITE_NS = 1_000_000_000

Read = Callable[[Exchange, Request, int], str]
"""Fills the request from the exchange, with the epoch; returns the answer's text."""


class Answers:
    """Finished requests, from the moment at which the last byte was read to their line in the trace."""

    def __init__(self, read: Read, lines: Lines, purse: Purse | None) -> None:
        self.tally = Tally()
        self.lines = lines
        self.epoch_ns = 0
        self._read = read
        self._purse = purse
        self._unread: deque[Exchange] = deque()
        self._written_ns = 0

    def __len__(self) -> int:
        """Answers that wait to be understood."""
        return len(self._unread)

    def wait(self, exchange: Exchange) -> None:
        """Understand it when there is time."""
        self._unread.append(exchange)

    def understand(self, exchange: Exchange) -> tuple[str, str]:
        """Fill the request from what came back, count it, and hand it to the trace. Returns its status and text."""
        talk: Talk = exchange.tag
        request = talk.request
        assert request is not None
        text = self._read(exchange, request, self.epoch_ns)
        self.tally.add(request)
        if self._purse is not None:
            self._purse.settle(request)
        if talk.turn == 0 and request.status == "ok" and self.lines.wants_texts():
            content = talk.session.turns[0].content
            ids = len(content) if isinstance(content, list) and content and isinstance(content[0], int) else 0
            self.lines.keep(request, Texts(as_text(content), ids, text))
        else:
            self.lines.add(request)
        return request.status, text

    def step(self, now: int) -> bool:
        """About a millisecond of what waits; False when nothing does. Raises OSError when the disk is full."""
        if self._unread:
            self.understand(self._unread.popleft())
            return True
        if len(self.lines) >= WRITE_AT_LEAST or (self.lines and now - self._written_ns > WRITE_NS):
            self.lines.write_some()
            self._written_ns = now
            return True
        return False

    def flush(self) -> None:
        """All that waits, but for the lines whose texts are still to be counted."""
        while self._unread:
            self.understand(self._unread.popleft())
        while self.lines:
            self.lines.write_some()
