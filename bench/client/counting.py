"""What the chunks of a streamed answer add up to: text, tokens with their stamps, usage, finish reason.

A chunk carries a token when it brings text, reasoning, a refusal or part of a tool call. After the first of these, so
does one without text of which the server itself says that it holds tokens (an end-of-sequence token, half a character).
"""

from typing import Any

MOST_TOKENS = 1 << 53
"""What a count says beyond this is no count, and no number that JSON carries everywhere."""
FAILED_FINISH = {"error", "abort"}
"""Finish reasons that say that there was no proper end."""


class ChunkError(Exception):
    """The server reported an error inside the stream; its one argument is the chunk that did."""


class Answer:
    """Filled chunk by chunk. `take` raises ChunkError for an error in the stream, and TypeError, AttributeError or
    KeyError for chunks of no known shape."""

    __slots__ = (
        *("_calls", "_carried", "_last_total", "_legacy_call", "counts", "finish", "first_answer_ns", "stamps"),
        *("texts", "timings", "usage"),
    )

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.stamps: list[int] = []
        """Of chunks that carry a token, in nanoseconds."""
        self.counts: list[int] | None = []
        """Tokens in each of those chunks, as long as the server says how many."""
        self.first_answer_ns: int | None = None
        self.finish: str | None = None
        self.usage: dict[str, Any] | None = None
        self.timings: dict[str, Any] | None = None
        self._calls: set[object] = set()
        self._legacy_call = 0
        self._carried = 0
        """Tokens that were counted before the first chunk that shows one."""
        self._last_total = 0

    @property
    def tool_calls(self) -> int:
        """Distinct ones."""
        return len(self._calls) + self._legacy_call

    def take(self, chunk: dict[str, Any], at_ns: int) -> None:
        """One chunk of the stream."""
        if chunk.get("error"):
            raise ChunkError(chunk)
        if "timings" in chunk:
            self.timings = chunk["timings"]
        usage = chunk.get("usage")
        if type(usage) is dict:
            self.usage = usage
        choices = chunk.get("choices")
        choice = choices[0] if choices else None
        if choice is None or choice.get("index"):
            choice = _other_choice(chunk, choices)
            if choice is None:
                return
        delta = choice.get("delta")
        if delta and len(delta) == 1 and type(text := delta.get("content")) is str and text:
            # Nearly all chunks are of this form: no call for them.
            self.texts.append(text)
            carries = True
            if self.first_answer_ns is None:
                self.first_answer_ns = at_ns
        else:
            carries = self._said(choice, at_ns)
        if self.counts is not None:
            carries = self._count(chunk, choice, usage, carries)
        if carries:
            self.stamps.append(at_ns)
        finish = choice.get("finish_reason")
        if finish is not None:
            self._finished(finish, chunk)

    def _finished(self, finish: object, chunk: dict[str, Any]) -> None:
        self.finish = finish if isinstance(finish, str) else str(finish)
        if self.finish in FAILED_FINISH:
            raise ChunkError({**chunk, "error": f"the stream ended with finish reason {self.finish}"})

    def _said(self, choice: dict[str, Any], at_ns: int) -> bool:
        """Keep the text; whether there was any, or reasoning, or a tool call."""
        delta = choice.get("delta")
        if delta is None:
            text = choice.get("text")
            said = choice.get("message")  # a whole answer inside an event
            if not text and said:
                delta = said
        if delta is not None:
            text = delta.get("content")
            if len(delta) > 1 or text is None:
                return self._said_more(delta, text, at_ns)
        if not text:
            return False
        self.texts.append(_plain(text))
        if self.first_answer_ns is None:
            self.first_answer_ns = at_ns
        return bool(self.texts[-1])

    def _said_more(self, delta: dict[str, Any], text: Any, at_ns: int) -> bool:
        """A delta with more in it than its content."""
        answered = False
        for part in (text, delta.get("refusal")):
            if part and (plain := _plain(part)):
                self.texts.append(plain)
                answered = True
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            if function.get("name") or function.get("arguments"):
                answered = True
                self._calls.add(call.get("index", call.get("id")))
        legacy = delta.get("function_call")
        if legacy and (legacy.get("name") or legacy.get("arguments")):
            answered, self._legacy_call = True, 1
        if answered and self.first_answer_ns is None:
            self.first_answer_ns = at_ns
        return answered or bool(delta.get("reasoning_content") or delta.get("reasoning"))

    def _count(self, chunk: dict[str, Any], choice: dict[str, Any], usage: Any, carries: bool) -> bool:
        """Add the server's count of this chunk, where it gives one; returns whether the chunk carries a token."""
        assert self.counts is not None
        count = _listed(chunk, choice)
        if count is None and type(usage) is dict:
            total = usage.get("completion_tokens")
            if type(total) is int and total < MOST_TOKENS:
                count, self._last_total = total - self._last_total, total
        if count is None:
            if carries:
                self.counts = None
            return carries
        if not self.stamps and not carries:
            self._carried += count
            return False
        if not carries and count == 0:
            return False
        count += self._carried
        self._carried = 0
        if count < 1:  # text without a token: these counts are not what they seem
            self.counts = None
            return carries
        self.counts.append(count)
        return True


def _other_choice(chunk: dict[str, Any], choices: Any) -> dict[str, Any] | None:
    """That of index 0 where it is not the first; a chunk of llama.cpp's own form is its own choice."""
    if choices:
        return next((one for one in choices if not one.get("index")), None)
    if choices is None and "content" in chunk and "stop" in chunk:
        finish = (chunk.get("stop_type") or "stop") if chunk["stop"] else None
        return {"text": chunk["content"], "finish_reason": finish}
    if choices is None and "usage" not in chunk and "timings" not in chunk:
        if chunk.get("object") == "error" or "message" in chunk or "detail" in chunk:
            raise ChunkError(chunk)
        raise KeyError("choices")
    return None


def _listed(chunk: dict[str, Any], choice: dict[str, Any]) -> int | None:
    """Tokens by a list of ids or of log-probabilities."""
    for ids in (choice.get("token_ids"), chunk.get("tokens")):
        if ids and type(ids) is list:
            return len(ids)
    probabilities = choice.get("logprobs")
    if not probabilities:
        return None
    for name in ("content", "tokens"):
        if (listed := probabilities.get(name)) and type(listed) is list:
            return len(listed)
    return None


def _plain(said: Any) -> str:
    """Content is a text or a list of parts."""
    if type(said) is str:
        return said
    if type(said) is list:
        return "".join(part if type(part) is str else _plain(part.get("text") or "") for part in said)
    raise TypeError(said)
