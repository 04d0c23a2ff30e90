"""An Exchange read: every stamp, count and status of its Request. Runs when the answer is over, never between reads.

What is not known stays None. Tokens per event are known where the server gives them (usage in each chunk, token ids,
log-probabilities), and where its total equals the number of events that carry a token; otherwise there is no ITL.
"""

import json
from itertools import pairwise
from typing import Any

import orjson

from bench.client import Exchange
from bench.client.counting import MOST_TOKENS, Answer, ChunkError
from bench.client.error_text import message, of_body, one_line
from bench.client.event_stream import BOM, events
from bench.schema import Request, RequestStatus

Problem = tuple[RequestStatus, str]


def read_answer(exchange: Exchange, request: Request, epoch_ns: int, api: str, stream: bool) -> str:
    """Fill the request from what came back, and return the answer's text (without reasoning or tool calls).

    `stream` says what was asked for; a server that answers in the other form is read in the form it used.
    """
    request.sent_s = _since(exchange.sent_ns, epoch_ns)
    request.done_s = _since(exchange.done_ns, epoch_ns)
    request.connect_s = None if exchange.connect_ns is None else exchange.connect_ns / 1e9
    request.resent = exchange.resent
    request.http_status = exchange.http_status
    body = b"".join(exchange.pieces)
    if exchange.http_status not in (None, 200) and exchange.failure != "redirect":
        request.status = "http"
        request.error = of_body(exchange.http_status or 0, body, exchange.hide)
        return ""
    answer = Answer()
    whole = _is_whole(body, stream)
    read = _read_whole if whole else _read_stream
    problem, said_done = read(body, exchange, answer, api)
    text = _joined(answer.texts)
    if whole:
        _whole_counted(request, answer)
        if answer.stamps:
            request.last_token_s = _since(answer.stamps[-1], epoch_ns)
    else:
        _stamped(request, answer, epoch_ns)
        _counted(request, answer)
    _judged(request, exchange, answer, problem, said_done)
    return text


def _since(at_ns: int | None, epoch_ns: int) -> float | None:
    return None if at_ns is None else (at_ns - epoch_ns) / 1e9


def _is_whole(body: bytes, stream: bool) -> bool:
    """One JSON object instead of a stream of events."""
    begin = body[:256].removeprefix(BOM).lstrip()
    return begin.startswith(b"{") or (not stream and not begin.startswith((b"data:", b"event:", b"id:", b":")))


def _read_stream(body: bytes, exchange: Exchange, answer: Answer, api: str) -> tuple[Problem | None, bool]:
    """What is wrong with it, and whether it said `[DONE]`."""
    if body[:256].removeprefix(BOM).lstrip().startswith(b"<"):
        return ("malformed", "an HTML page instead of an answer"), False
    found = events(body, exchange.read_ns, exchange.pieces)
    loads, take = orjson.loads, answer.take
    seen = False
    try:
        for data, at_ns in found:
            seen = True
            try:
                chunk = loads(data)
            except orjson.JSONDecodeError:
                if data.strip() == b"[DONE]":
                    return None, True
                chunk = _leniently(data)
            take(chunk, at_ns)
    except ChunkError as error:
        return ("stream-error", message(error.args[0]) or "an error without a message"), False
    except (ValueError, RecursionError):
        if next(found, None) is None and not body.endswith((b"\n", b"\r")):
            return ("cut", "the stream ended in the middle of an event"), False
        return ("malformed", "an event that is no JSON"), False
    except (TypeError, AttributeError, KeyError, IndexError):
        return ("malformed", f"an event of a shape that {api} does not have"), False
    if body and not seen and not body.lstrip().startswith(b":"):
        return ("malformed", "what came back is no stream of events"), False
    return None, False


def _leniently(data: bytes) -> Any:
    """By the standard library: half surrogates, which some servers let slip; bytes that are no UTF-8 as U+FFFD."""
    return json.loads(data.decode("utf-8", "replace"))


def _read_whole(body: bytes, exchange: Exchange, answer: Answer, api: str) -> tuple[Problem | None, bool]:
    begin = body[:256].removeprefix(BOM).lstrip()
    if begin.startswith(b"<"):
        return ("malformed", "an HTML page instead of an answer"), False
    try:
        answer.take(_leniently(body.removeprefix(BOM)), exchange.read_ns[-1] if exchange.read_ns else 0)
    except ChunkError as error:
        return ("stream-error", message(error.args[0]) or "an error without a message"), False
    except (ValueError, RecursionError):
        return ("malformed", "an answer that is no JSON"), False
    except (TypeError, AttributeError, KeyError, IndexError):
        return ("malformed", f"an answer of a shape that {api} does not have"), False
    return None, False


def _joined(texts: list[str]) -> str:
    """Halves of a character that came in two chunks are put together; a half that stands alone becomes U+FFFD."""
    text = "".join(texts)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _stamped(request: Request, answer: Answer, epoch_ns: int) -> None:
    stamps = answer.stamps
    request.chunks = len(stamps)
    if not stamps:
        return
    first = stamps[0]
    request.first_token_s = (first - epoch_ns) / 1e9
    request.last_token_s = (stamps[-1] - epoch_ns) / 1e9
    request.first_answer_s = _since(answer.first_answer_ns, epoch_ns)
    # Rounded as times since the first token, so that the gaps add up to the whole.
    request.gaps_us = [after - before for before, after in pairwise([(at - first + 500) // 1000 for at in stamps])]


def _counted(request: Request, answer: Answer) -> None:
    """Tokens of a stream. A usage that cannot be (fewer tokens than events that carry one) counts as none."""
    _prompt_counted(request, answer)
    chunks, counts = request.chunks, answer.counts
    total = _total(answer)
    if total is not None and (total < chunks or (total == 0 and chunks)):
        total = None
    if counts and total is not None and sum(counts) != total:
        counts = None
    if total is not None:
        request.output_tokens = total
        request.count_source = "usage" if answer.finish else "chunks"
    elif chunks:
        request.output_tokens = sum(counts) if counts else chunks
        request.count_source = "chunks"
    if not chunks:
        return
    if counts:
        request.first_event_tokens, request.gap_tokens = counts[0], counts[1:]
    elif total == chunks:
        request.first_event_tokens, request.gap_tokens = 1, [1] * (chunks - 1)
    elif total is None or (total == chunks + 1 and answer.finish == "stop"):
        # One token a chunk is what `count_source` says; or the one that was not shown ended the answer.
        request.first_event_tokens = 1
    elif chunks == 1:
        request.first_event_tokens = total


def _whole_counted(request: Request, answer: Answer) -> None:
    """Tokens of an answer that came as one JSON object: those of its usage, or nobody knows."""
    _prompt_counted(request, answer)
    total = _total(answer)
    if total or (total == 0 and not answer.stamps):
        request.output_tokens, request.count_source = total, "usage"


def _prompt_counted(request: Request, answer: Answer) -> None:
    """What the answer says besides its tokens."""
    usage, timings = answer.usage or {}, _mapping(answer.timings)
    request.finish = answer.finish
    request.tool_calls = answer.tool_calls
    request.input_tokens = _count(usage.get("prompt_tokens")) or None
    cached = (
        _mapping(usage.get("prompt_tokens_details")).get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
        usage.get("cached_tokens"),
        timings.get("cache_n"),
    )
    request.cached_tokens = next((count for one in cached if (count := _count(one)) is not None), None)
    if request.input_tokens is None and (prompt := _count(timings.get("prompt_n"))) is not None:
        request.input_tokens = prompt + (_count(timings.get("cache_n")) or 0)
    request.reasoning_tokens = _count(_mapping(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    request.engine_prefill_s = _ms(timings.get("prompt_ms"))
    request.engine_decode_s = _ms(timings.get("predicted_ms"))


def _total(answer: Answer) -> int | None:
    if answer.usage is not None:
        return _count(answer.usage.get("completion_tokens"))
    return _count(_mapping(answer.timings).get("predicted_n"))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < MOST_TOKENS else None


def _ms(value: object) -> float | None:
    return value / 1000 if type(value) in (int, float) and 0 <= value < MOST_TOKENS else None  # type: ignore[operator]


def _judged(request: Request, exchange: Exchange, answer: Answer, problem: Problem | None, said_done: bool) -> None:
    """The status: what the server said of an error, then the connection's fault, then what the answer lacks."""
    if exchange.failure is not None and not (exchange.failure == "cut" and said_done):
        broken: Problem | None = (exchange.failure, exchange.error or exchange.failure)
    else:
        broken = None
    if problem is not None and (broken is None or problem[0] == "stream-error"):
        broken = problem
    if broken is None and answer.finish is None:
        broken = ("unfinished", "the answer ended without a finish reason")
    if broken is None and not answer.stamps:
        broken = ("empty", "the answer ended well and held no token")
    if broken is not None:
        request.status = broken[0]
        request.error = one_line(broken[1], exchange.hide)
