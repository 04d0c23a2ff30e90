"""An answer on its way: each step is due at an absolute time, whatever became of the step before it."""

from time import perf_counter_ns

from bench.mock.connection import Connection, Message
from bench.mock.script import Script
from bench.mock.truth import Truth

MOST_AT_ONCE = 4096
"""Steps in one write."""
MOST_UNSENT_BYTES = 1 << 22
"""An answer whose client does not read it goes on when this much has been taken."""


class Stream:
    """Writes a script to a connection and keeps the truth about it."""

    __slots__ = ("at", "connection", "due_ns", "message", "order", "script", "truth", "unsent_lead")

    def __init__(self, connection: Connection, message: Message, script: Script, truth: Truth, order: int) -> None:
        self.connection, self.message, self.script, self.truth = connection, message, script, truth
        self.order = order
        self.at = 0
        self.due_ns = 0
        self.unsent_lead = script.lead

    def start(self, now_ns: int, running: int) -> None:
        """Begin the plan; the head goes out at once, or with the first step where that is due too."""
        truth = self.truth
        truth.started_ns = now_ns
        self.due_ns = now_ns + self._gap(0, running)
        if self.due_ns > now_ns and self.unsent_lead:
            self.connection.write(self.unsent_lead)
            truth.writes += 1
            self.unsent_lead = b""

    def advance(self, now_ns: int, running: int) -> bool:
        """Write every step that is due. True when the answer is over; else `due_ns` says when to come back.

        Raises OSError when the client is gone.
        """
        script, truth, at = self.script, self.truth, self.at
        steps, counts = script.steps, script.counts
        late_ns = now_ns - self.due_ns
        if late_ns > truth.late_max_ns:
            truth.late_max_ns = late_ns
        first_ns = last_ns = self.due_ns
        data, tokens = steps[at], counts[at]
        chunks = 1 if tokens else 0
        end, many = len(steps), None
        at += 1
        while True:
            if at == end:
                if not script.endless:
                    break
                at = 0
            gap_ns = self._gap(at or end, running)
            self.due_ns += gap_ns
            if gap_ns > late_ns or script.alone or (many is not None and len(many) >= MOST_AT_ONCE):
                break
            late_ns -= gap_ns
            if many is None:
                many = [data]
            many.append(steps[at])
            if counts[at]:
                tokens += counts[at]
                chunks += 1
                last_ns = self.due_ns
            at += 1
        self.at = at
        if many is not None:
            data = b"".join(many)
        if self.unsent_lead:
            data = self.unsent_lead + data
            self.unsent_lead = b""
        if tokens:
            self._count(tokens, chunks, first_ns, last_ns)
        truth.writes += 1
        self.connection.write(data)
        return at == end and not script.endless

    def _count(self, tokens: int, chunks: int, first_ns: int, last_ns: int) -> None:
        truth = self.truth
        now_ns = perf_counter_ns()
        if truth.first_token_ns is None:
            truth.first_token_ns = now_ns
            truth.planned_first_ns = first_ns
        truth.planned_last_ns = last_ns
        truth.last_token_ns = now_ns
        truth.tokens += tokens
        truth.chunks += chunks
        if truth.stamps_ns is not None:
            truth.stamps_ns.append(now_ns)

    def _gap(self, step: int, running: int) -> int:
        gap_ns = self.script.gap(step)
        if self.script.slowdown and step:
            return int(gap_ns * (1 + self.script.slowdown * (running - 1)))
        return gap_ns
