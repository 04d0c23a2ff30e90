"""Sessions made ahead of time: when one is due, its bytes are ready.

Making a prompt of some thousand tokens takes as long as dozens of reads, so it is done while nothing is due. What is
made ahead is bounded in number and bytes: an hour of load, or prompts of a megabyte, must not be held in memory.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.loads import Content, Session
from bench.measure.serving.spending import planned_tokens
from bench.schema import Request

MOST_AHEAD = 512
MOST_BYTES_AHEAD = 16 << 20

Write = Callable[[list[Content], int], bytes]
"""`Bodies.body`."""


@dataclass(slots=True)
class Talk:
    """A session, and the turn of it that is next or on its way."""

    session: Session
    turn: int
    said: list[Content]
    body: bytes
    input_tokens: int
    """Estimate of all that was said, without the chat template."""
    is_exact: bool
    """Whether that is planned, and not a bound."""
    due_s: float | None
    request: Request | None = None

    @property
    def output_tokens(self) -> int:
        return self.session.turns[self.turn].output_tokens

    @property
    def is_last(self) -> bool:
        return self.turn + 1 >= len(self.session.turns)


def opened(session: Session, write: Write) -> Talk:
    """The first turn of a session, with its bytes."""
    turn = session.turns[0]
    return Talk(
        session=session,
        turn=0,
        said=[turn.content],
        body=write([turn.content], turn.output_tokens),
        input_tokens=planned_tokens(turn.content, turn.input_tokens),
        is_exact=turn.input_tokens is not None,
        due_s=session.due_s,
    )


def continued(talk: Talk, answer: str, answer_tokens: int, write: Write, due_s: float | None) -> Talk:
    """The next turn, with everything that was said before it."""
    turn = talk.session.turns[talk.turn + 1]
    said: list[Content] = [*talk.said, answer, turn.content]
    return Talk(
        session=talk.session,
        turn=talk.turn + 1,
        said=said,
        body=write(said, turn.output_tokens),
        input_tokens=talk.input_tokens + answer_tokens + planned_tokens(turn.content, turn.input_tokens),
        is_exact=talk.is_exact and turn.input_tokens is not None,
        due_s=due_s,
    )


class Source:
    """The sessions of one load generator, some of them ready to be sent."""

    def __init__(self, sessions: Iterator[Session], write: Write, ahead: int) -> None:
        self._sessions = sessions
        self._write = write
        self._ahead = max(1, min(ahead, MOST_AHEAD))
        self._ready: deque[Talk] = deque()
        self._bytes = 0
        self._ended = False

    def make_one(self) -> bool:
        """Make one more session ready, if there is one and room for it; False where there is nothing to do."""
        if self._ended or len(self._ready) >= self._ahead or self._bytes > MOST_BYTES_AHEAD:
            return False
        session = next(self._sessions, None)
        if session is None:
            self._ended = True
            return False
        talk = opened(session, self._write)
        self._bytes += len(talk.body)
        self._ready.append(talk)
        return True

    def next(self) -> Talk | None:
        """The next session; None when the plan has ended."""
        if not self._ready:
            self.make_one()
        if not self._ready:
            return None
        talk = self._ready.popleft()
        self._bytes -= len(talk.body)
        return talk

    def due_s(self) -> float | None:
        """When the next session is due; None when the plan has ended (or has no times)."""
        if not self._ready:
            self.make_one()
        return self._ready[0].due_s if self._ready else None
