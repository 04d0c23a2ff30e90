"""What an answer says, read from its bytes: every dialect, every split, every way to count tokens."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.client import Exchange
from bench.client.events import read_answer
from bench.schema import Request

EPOCH_NS = 1_000_000_000
MS = 1_000_000


def read(pieces: list[bytes], api: str = "chat", stream: bool = True, **more: Any) -> tuple[Request, str]:
    """Sent at the epoch; one piece each 10 ms."""
    stamps = [EPOCH_NS + 10 * MS * (at + 1) for at in range(len(pieces))]
    exchange = Exchange("tag", sent_ns=EPOCH_NS, done_ns=stamps[-1] if stamps else EPOCH_NS, http_status=200)
    exchange.read_ns, exchange.pieces = stamps, pieces
    for name, value in more.items():
        setattr(exchange, name, value)
    request = Request(index=3)
    text = read_answer(exchange, request, EPOCH_NS, api, stream)
    return request, text


def sse(*chunks: object, done: bool = True) -> list[bytes]:
    found = [b"data: " + json.dumps(one, ensure_ascii=False).encode() + b"\n\n" for one in chunks]
    return [*found, b"data: [DONE]\n\n"] if done else found


def delta(finish: str | None = None, usage: Any = "none", choice: Any = None, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"choices": [{"index": 0, "delta": fields, "finish_reason": finish, **(choice or {})}]}
    return found if usage == "none" else {**found, "usage": usage}


def used(output: Any, prompt: Any = 5, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": output, **more}


def usage_only(output: Any, **more: Any) -> dict[str, Any]:
    return {"choices": [], "usage": used(output, **more)}


ROLE = delta(role="assistant", content="")
STOP = delta("length")
ABC = [delta(content=letter) for letter in "abc"]


def test_a_usual_stream() -> None:
    request, text = read(sse(ROLE, *ABC, STOP, usage_only(3)))
    assert (request.status, request.error, text) == ("ok", None, "abc")
    assert (request.sent_s, request.first_token_s, request.first_answer_s) == (0.0, 0.02, 0.02)
    assert (request.last_token_s, request.done_s) == (0.04, 0.07)
    assert (request.chunks, request.output_tokens, request.input_tokens) == (3, 3, 5)
    assert (request.count_source, request.finish) == ("usage", "length")
    assert (request.first_event_tokens, request.gaps_us, request.gap_tokens) == (1, [10_000, 10_000], [1, 1])
    assert (request.cached_tokens, request.reasoning_tokens, request.tool_calls) == (None, None, 0)


def test_done_is_optional_and_so_is_the_last_blank_line() -> None:
    pieces = sse(ROLE, *ABC, delta("stop", used(3)), done=False)
    assert read(pieces)[0].status == "ok"
    pieces[-1] = pieces[-1].rstrip()
    request, text = read(pieces)
    assert (request.status, request.output_tokens, text) == ("ok", 3, "abc")


def test_events_of_one_read_all_have_its_stamp() -> None:
    request, text = read([b"".join(sse(ROLE, *ABC)), *sse(STOP, usage_only(3))])
    assert (text, request.first_token_s, request.last_token_s, request.gaps_us) == ("abc", 0.01, 0.01, [0, 0])


def test_an_event_has_the_stamp_of_the_read_that_ended_it() -> None:
    first, *others = sse(*ABC, STOP, usage_only(3))
    request, text = read([first[:9], first[9:-1], first[-1:], *others])
    assert (text, request.first_token_s, request.gaps_us) == ("abc", 0.03, [10_000, 10_000])


def test_gaps_add_up_to_the_time_between_first_and_last() -> None:
    pieces = sse(*(delta(content="x") for _ in range(50)), STOP, done=False)
    stamps = [EPOCH_NS + 1_000_499 * at for at in range(len(pieces))]
    request, _ = read(pieces, read_ns=stamps)
    assert sum(request.gaps_us) == round(49 * 1000.499)


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
def test_any_line_end_comments_names_ids_and_several_data_lines(end: bytes) -> None:
    two = [b"data: " + line for line in json.dumps(delta(content="b"), indent=1).encode().split(b"\n")]
    lines = [
        *(b": ping", b"", b"event: message", b"id: 7", b"data:" + json.dumps(delta(content="a")).encode(), b""),
        *(b"retry: 10", b"", b"data", b"", b"data:", b"", *two, b"", b"", b""),
        *(b"data: " + json.dumps(delta("stop", content="c")).encode(), b": x", b"", b"data: [DONE]", b"", b""),
    ]
    request, text = read([end.join(lines)])
    assert (request.status, request.error, text, request.chunks) == ("ok", None, "abc", 3)


def test_a_byte_order_mark() -> None:
    first, *others = sse(*ABC, STOP)
    assert read([b"\xef\xbb\xbf" + first, *others])[1] == "abc"


STREAM = b"".join(sse(ROLE, *(delta(content=word) for word in ("Grün", "e 🍏", "\u2028é")), STOP, usage_only(3)))
WINDOWS = STREAM.replace(b"\n", b"\r\n")


@pytest.mark.parametrize("body", [STREAM, WINDOWS])
def test_every_split_gives_the_same_answer(body: bytes) -> None:
    for at in range(1, len(body)):
        request, text = read([body[:at], body[at:]])
        assert (request.status, text) == ("ok", "Grüne 🍏\u2028é")
        assert (request.chunks, request.output_tokens, request.gap_tokens) == (3, 3, [1, 1])
    assert read([bytes([byte]) for byte in body])[1] == "Grüne 🍏\u2028é"


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([STREAM, WINDOWS, STREAM.replace(b"\n", b"\r")]), st.sets(st.integers(1, len(STREAM) - 1)))
def test_any_splits_give_the_same_answer_at_growing_stamps(body: bytes, cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(body)]
    pieces = [body[begin:end] for begin, end in pairwise(edges)]
    request, text = read(pieces)
    assert (request.status, text, request.chunks) == ("ok", "Grüne 🍏\u2028é", 3)
    # The truth, the slow way: the first piece by whose end the event's blank line is there.
    line_end = body[body.index(b"\r") : body.index(b"\r") + 2] if b"\r" in body else b"\n"
    blank = (b"\r\n" if line_end == b"\r\n" else line_end[:1]) * 2
    ends, at = [], 0
    for part in body.split(blank)[1:4]:
        at = body.index(part, at) + len(part) + len(blank)
        ends.append(next(number for number in range(1, len(edges)) if edges[number] >= at))
    assert [request.first_token_s, request.last_token_s] == [0.01 * ends[0], 0.01 * ends[2]]
    assert request.gaps_us == [10_000 * (after - before) for before, after in pairwise(ends)]


def test_empty_and_role_only_chunks_are_no_tokens() -> None:
    empty = [ROLE, delta(), delta(content=None), delta(content=""), {"choices": []}, delta(content=[])]
    request, text = read(sse(*empty, *ABC, delta(), STOP, usage_only(3)))
    assert (request.status, text, request.chunks, request.first_token_s) == ("ok", "abc", 3, 0.07)


# Counting ------------------------------------------------------------------------------------------------------------


def counted(*chunks: object) -> tuple[Any, ...]:
    request, _ = read(sse(*chunks))
    assert request.status == "ok"
    return (request.output_tokens, request.count_source, request.first_event_tokens, request.gap_tokens)


def test_no_usage_counts_chunks_and_knows_no_gaps() -> None:
    assert counted(*ABC, STOP) == (3, "chunks", 1, None)


def test_usage_in_the_last_chunk_beside_the_finish_or_apart() -> None:
    assert counted(*ABC, delta("stop", used(3))) == (3, "usage", 1, [1, 1])
    assert counted(*ABC, delta("stop", None), usage_only(3)) == (3, "usage", 1, [1, 1])


def test_two_tokens_a_chunk_without_counts_have_no_gaps() -> None:
    assert counted(*ABC, STOP, usage_only(6)) == (6, "usage", None, None)
    assert counted(ABC[0], STOP, usage_only(6)) == (6, "usage", 6, None)


def test_the_token_that_ended_the_answer_is_not_shown() -> None:
    assert counted(*ABC, delta("stop"), usage_only(4)) == (4, "usage", 1, None)


def test_usage_in_each_chunk_counts_each() -> None:
    chunks = [
        delta(usage=used(0), role="assistant"),
        *(delta(usage=used(n), content="x") for n in (2, 4, 5)),
        *(delta("stop", used(6), content=""), usage_only(6)),
    ]
    assert counted(*chunks) == (6, "usage", 2, [2, 1, 1])  # the last is the end-of-sequence token


def test_half_a_character_is_a_token_without_text() -> None:
    chunks = [*(delta(usage=used(n), content=text) for n, text in ((1, ""), (2, "é"), (3, ""), (4, "b"))), STOP]
    assert counted(*chunks, usage_only(4)) == (4, "usage", 2, [1, 1])


def test_usage_in_each_chunk_that_is_the_total_says_nothing_of_each() -> None:
    assert counted(*(delta(usage=used(9), content="x") for _ in range(3)), STOP) == (9, "usage", None, None)


def test_token_ids_and_log_probabilities_count_each_chunk() -> None:
    ids = [delta(content="x", choice={"token_ids": list(range(n))}) for n in (3, 1, 2)]
    assert counted(*ids, STOP, usage_only(6)) == (6, "usage", 3, [1, 2])
    logs = [delta(content="x", choice={"logprobs": {"content": [{}] * n}}) for n in (1, 2)]
    assert counted(*logs, STOP) == (3, "chunks", 1, [2])
    assert counted(*ids, STOP, usage_only(9)) == (9, "usage", None, None)  # they contradict each other


@pytest.mark.parametrize("wrong", [0, 2, -3, 3.0, "3", None, True, [3], 1e30, 10**30, {"a": 1}])
def test_a_usage_that_cannot_be_counts_as_none(wrong: object) -> None:
    assert counted(*ABC, STOP, usage_only(wrong)) == (3, "chunks", 1, None)


@pytest.mark.parametrize("wrong", [5, "x", [1], True])
def test_a_usage_of_another_kind(wrong: object) -> None:
    assert counted(*ABC, delta("stop", wrong)) == (3, "chunks", 1, None)


@pytest.mark.parametrize("wrong", [0, -1, "7", 2.5, None])
def test_a_prompt_count_that_cannot_be_is_not_known(wrong: object) -> None:
    request, _ = read(sse(*ABC, STOP, usage_only(3, prompt=wrong)))
    assert (request.status, request.input_tokens, request.output_tokens) == ("ok", None, 3)


def test_what_usage_says_in_detail() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}
    request, _ = read(sse(*ABC, STOP, usage_only(3, **details)))
    assert (request.cached_tokens, request.reasoning_tokens) == (4, 2)
    request, _ = read(sse(*ABC, STOP, usage_only(3, prompt_cache_hit_tokens=3, prompt_tokens_details=None)))
    assert request.cached_tokens == 3
    request, _ = read(sse(*ABC, STOP, usage_only(3, prompt_tokens_details={"cached_tokens": 0})))
    assert request.cached_tokens == 0


TIMINGS = {"cache_n": 2, "prompt_n": 9, "prompt_ms": 31.5, "predicted_n": 3, "predicted_ms": 250.0}


def test_the_engines_own_timings() -> None:
    request, _ = read(sse(*ABC, {**STOP, "timings": TIMINGS}))
    assert (request.engine_prefill_s, request.engine_decode_s) == (0.0315, 0.25)
    assert (request.input_tokens, request.cached_tokens) == (11, 2)
    assert (request.output_tokens, request.count_source, request.gap_tokens) == (3, "usage", [1, 1])
    request, _ = read(sse(*ABC, STOP, {**usage_only(3), "timings": {"prompt_ms": "x", "predicted_ms": -1}}))
    assert (request.engine_prefill_s, request.engine_decode_s, request.input_tokens) == (None, None, 5)


def test_what_had_come_of_a_stream_that_broke_is_counted() -> None:
    request, text = read(
        sse(*(delta(usage=used(n), content="x") for n in (2, 4)), done=False), failure="cut", error="e"
    )
    assert (request.status, request.error, text) == ("cut", "e", "xx")
    assert (request.output_tokens, request.count_source, request.gap_tokens) == (4, "chunks", [2])


# Kinds of content ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_tokens_but_no_answer(name: str) -> None:
    request, text = read(sse(ROLE, delta(**{name: "hm", "content": None}), delta(**{name: "m"}), *ABC, STOP))
    assert (text, request.chunks, request.first_token_s, request.first_answer_s) == ("abc", 5, 0.02, 0.04)
    request, text = read(sse(ROLE, delta(**{name: "hm"}), STOP))
    assert (request.status, text, request.first_answer_s) == ("ok", "", None)


def test_tool_calls_are_tokens() -> None:
    def call(index: int, **function: str) -> dict[str, Any]:
        return delta(tool_calls=[{"index": index, "function": function}])

    request, text = read(
        sse(ROLE, call(0, name="f"), call(0, arguments="{"), call(0, arguments="}"), call(1, name="g"), STOP)
    )
    assert (request.status, text, request.chunks, request.tool_calls) == ("ok", "", 4, 2)
    assert request.first_answer_s == request.first_token_s == 0.02
    request, _ = read(sse(delta(function_call={"name": "f"}), delta(function_call={"arguments": "1"}), STOP))
    assert (request.chunks, request.tool_calls) == (2, 1)


def test_refusals_and_lists_of_parts_are_text() -> None:
    parts = [{"type": "text", "text": "b"}, {"type": "image"}, "c"]
    request, text = read(sse(delta(refusal="a"), delta(content=parts), STOP))
    assert (request.status, text, request.chunks) == ("ok", "abc", 2)


def test_other_choices_are_not_this_answer() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "stop"}]}
    both = {"choices": [other["choices"][0], ABC[1]["choices"][0]]}
    request, text = read(sse(other, ABC[0], both, other, STOP, other))
    assert (text, request.chunks, request.finish) == ("ab", 2, "length")


def test_completions() -> None:
    chunks = [{"choices": [{"index": 0, "text": letter, "finish_reason": None}]} for letter in "abc"]
    end = {"choices": [{"index": 0, "text": "", "finish_reason": "length"}], "usage": used(3)}
    request, text = read(sse(*chunks, end), api="completions")
    assert (request.status, text, request.output_tokens, request.gap_tokens) == ("ok", "abc", 3, [1, 1])


def test_the_form_of_llama_cpp() -> None:
    chunks = [{"content": letter, "tokens": [1, 2], "stop": False} for letter in "ab"]
    end = {"content": "", "tokens": [], "stop": True, "stop_type": "limit", "timings": {**TIMINGS, "predicted_n": 4}}
    request, text = read(sse(*chunks, end, done=False), api="completions")
    assert (request.status, text, request.finish) == ("ok", "ab", "limit")
    assert (request.output_tokens, request.gap_tokens) == (4, [2])


def test_an_answer_that_is_not_streamed() -> None:
    message = {"role": "assistant", "content": "abc", "reasoning_content": "hm"}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": used(9)}
    for stream in (False, True):  # also where a stream was asked for and the server knows none
        request, text = read([json.dumps(whole).encode()], stream=stream)
        assert (request.status, text, request.output_tokens, request.count_source) == ("ok", "abc", 9, "usage")
        assert (request.first_token_s, request.last_token_s, request.done_s) == (None, 0.01, 0.01)
        assert (request.chunks, request.gaps_us, request.gap_tokens) == (0, [], None)
    whole = {"choices": [{"index": 0, "text": "abc", "finish_reason": "stop"}]}
    request, text = read([json.dumps(whole).encode()], api="completions", stream=False)
    assert (request.status, text, request.output_tokens, request.count_source) == ("ok", "abc", None, None)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"[1]", "malformed"),
        (b"<html>", "malformed"),
        (b'{"choices": []}', "unfinished"),
        (b'{"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}', "empty"),
        (b'{"choices": [{"message": {"content": "a"}}]}', "unfinished"),
        (b'{"error": {"message": "no"}}', "stream-error"),
        (b'{"detail": "no"}', "stream-error"),
        (b'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n', "ok"),
    ],
)
def test_bodies_where_no_stream_was_asked_for(body: bytes, status: str) -> None:
    assert read([body] if body else [], stream=False)[0].status == status


def test_half_surrogates_and_bytes_that_are_no_text() -> None:
    pieces = [
        b'data: {"choices": [{"delta": {"content": "%b"}}]}\n\n' % half for half in (b"\\ud83c", b"\\udf4f", b"\xff")
    ]
    request, text = read([*pieces, *sse(STOP)])
    assert (request.status, text, request.chunks) == ("ok", "🍏\ufffd", 3)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
NAMES = ["choices", "usage", "delta", "error", "timings", "index", "content", "text", "finish_reason", "tool_calls"]
TREES = st.recursive(
    JUNK, lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=4) | st.lists(inner, max_size=2)
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), TREES, max_size=4) | TREES, max_size=4), st.booleans())
def test_whatever_a_server_says_ends_as_a_request(chunks: list[object], stream: bool) -> None:
    request, text = read([json.dumps(chunks[0]).encode()] if not stream and chunks else sse(*chunks), stream=stream)
    assert isinstance(text, str)
    assert request.status in ("ok", "stream-error", "malformed", "unfinished", "empty")
    assert (request.status == "ok") == (request.error is None)
    assert len(request.gaps_us) == max(0, request.chunks - 1)
    if request.gap_tokens is not None:
        assert request.first_event_tokens is not None
        assert request.first_event_tokens + sum(request.gap_tokens) == request.output_tokens


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=5), st.booleans())
def test_whatever_bytes_come_end_as_a_request(pieces: list[bytes], stream: bool) -> None:
    request, _ = read([piece for piece in pieces if piece], stream=stream)
    assert request.status != "ok"
    assert request.error
    assert request.error.isprintable()


def test_errors_are_one_short_line_without_the_key() -> None:
    key = "sk-canary-5f1c09e7"
    said = {"error": {"message": f"bad key {key}\nBearer {key}\x1b[31m" + "x" * 1000}}
    request, _ = read([json.dumps(said).encode()], http_status=401, hide=(f"Bearer {key}", key))
    assert request.error is not None
    assert request.error.startswith("bad key *** *** [31mxxx")
    assert len(request.error) == 300
    request, _ = read(sse(said), hide=(key,))
    assert key not in (request.error or "")
