"""Each style and dialect of the mock server, as a plain client sees it."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.mocked import Mocked, mock

MESSAGES = [{"role": "user", "content": "one two three"}]


@pytest.fixture(scope="module")
def server() -> Iterator[Mocked]:
    with mock(ttft_s=0.001, itl_s=0) as running:
        yield running


def ask(server: Mocked, path: str = "/v1/chat/completions", **said: Any) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a POST. `mock` is what the request sets."""
    body: dict[str, Any] = {"model": "mock", "max_tokens": 3, **said}
    if path.endswith("/chat/completions"):
        body.setdefault("messages", MESSAGES)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read()
    finally:
        connection.close()


def events(server: Mocked, usage: bool = True, **said: Any) -> list[dict[str, Any]]:
    """The JSON of each event of a stream."""
    options = {"stream_options": {"include_usage": True}} if usage else {}
    status, _, body = ask(server, stream=True, **{**options, **said})
    assert status == 200
    data = [line.removeprefix("data: ") for line in body.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(one) for one in data if one != "[DONE]"]


def deltas(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one["choices"][0]["delta"] for one in found if one.get("choices")]


def test_a_chat_is_streamed_as_openai_does_it(server: Mocked) -> None:
    found = events(server)
    assert deltas(found) == [{"role": "assistant", "content": ""}, *[{"content": " tok"}] * 3, {}]
    assert [one["choices"][0]["finish_reason"] for one in found[:-1]] == [None] * 4 + ["length"]
    assert found[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert ask(server, stream=True)[2].endswith(b"data: [DONE]\n\n")


def test_completions_and_answers_in_one_piece(server: Mocked) -> None:
    found = events(server, path="/v1/completions", prompt="a b")
    assert "".join(one["choices"][0]["text"] for one in found[:-1]) == " tok" * 3
    whole = json.loads(ask(server)[2])
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": " tok tok tok"}
    assert whole["usage"]["completion_tokens"] == 3
    whole = json.loads(ask(server, path="/v1/completions", prompt=[5, 6, 7, 8])[2])
    assert whole["choices"][0]["text"] == " tok tok tok"
    assert whole["usage"]["prompt_tokens"] == 4


def test_the_id_is_that_of_the_header_and_of_the_log(server: Mocked) -> None:
    status, headers, body = ask(server, stream=True)
    assert status == 200
    line = next(one for one in server.truth() if one.id == headers["x-request-id"])
    assert f'"id":"{line.id}"'.encode() in body
    assert (line.tokens, line.chunks, line.prompt_tokens, line.status) == (3, 3, 3, "ok")


@pytest.mark.parametrize(
    ("style", "where", "tokens"),
    [
        ("none", [], []),
        ("final", [-1], [3]),
        ("finish", [-1], [3]),
        ("chunk", [0, 1, 2, 3, 4], [0, 1, 2, 3, 3]),
        ("wrong", [-1], [13]),
        ("non-stream", [], []),
    ],
)
def test_styles_of_usage(server: Mocked, style: str, where: list[int], tokens: list[int]) -> None:
    found = events(server, usage=False, mock={"usage": style})
    assert [one["usage"]["completion_tokens"] for one in found if "usage" in one] == tokens
    assert [found.index(one) % len(found) for one in found if "usage" in one] == [at % len(found) for at in where]
    assert ("usage" in json.loads(ask(server, mock={"usage": style})[2])) == (style != "none")


def test_usage_in_every_chunk_where_it_is_asked(server: Mocked) -> None:
    asked = {"include_usage": True, "continuous_usage_stats": True}
    found = events(server, stream_options=asked)
    assert [one["usage"]["completion_tokens"] for one in found] == [0, 1, 2, 3, 3, 3]


def test_tokens_of_all_kinds(server: Mocked) -> None:
    wanted = {"reasoning_tokens": 2, "tool_tokens": 3, "chunk_tokens": 2, "empty_chunks": 1}
    found = events(server, max_tokens=7, mock=wanted)
    said = deltas(found)
    assert said[:5] == [
        {"role": "assistant", "content": ""},
        {"content": ""},
        {"reasoning_content": " tok tok"},
        {"content": " tok tok"},
        {"tool_calls": [{"index": 0, "id": "call_0", "type": "function", "function": SAID}]},
    ]
    assert said[5] == {"tool_calls": [{"index": 0, "function": {"arguments": " tok"}}]}
    assert found[-1]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert found[-2]["choices"][0]["finish_reason"] == "tool_calls"
    message = json.loads(ask(server, max_tokens=7, mock=wanted)[2])["choices"][0]["message"]
    assert message["reasoning_content"] == " tok tok"
    assert message["tool_calls"][0]["function"]["arguments"] == " tok tok tok"


SAID = {"name": "look", "arguments": " tok tok"}


def test_what_can_be_left_out(server: Mocked) -> None:
    body = ask(server, stream=True, mock={"done": False, "finish": False, "role_chunk": False})[2]
    assert b"[DONE]" not in body
    assert b'"finish_reason":"' not in body
    assert b'"role"' not in body


def test_line_ends_comments_and_lines_of_data(server: Mocked) -> None:
    body = ask(server, stream=True, mock={"crlf": True, "comments": True, "multiline": True})[2]
    blocks = body.removesuffix(b"\r\n\r\n").split(b"\r\n\r\n")
    assert b"\n" not in body.replace(b"\r\n", b"")
    assert blocks[::2] == [b": still here"] * (len(blocks) // 2)
    for block in blocks[1:-1:2]:
        lines = block.split(b"\r\n")
        assert len(lines) == 2
        assert json.loads(b"\n".join(line.removeprefix(b"data: ") for line in lines))["id"]


def test_a_large_event_and_an_answer_that_the_connection_ends(server: Mocked) -> None:
    status, headers, body = ask(server, stream=True, mock={"event_bytes": 10_000_000, "close": True})
    assert status == 200
    assert "transfer-encoding" not in headers
    assert max(map(len, body.split(b"\n\n"))) > 10_000_000
    assert body.count(b" tok") == 2


def test_cached_tokens_as_told_and_by_a_cache(server: Mocked) -> None:
    assert events(server, mock={"cached_share": 0.5})[-1]["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}
    words = " ".join(f"w{at}" for at in range(40))
    cached = []
    for prompt in (words, words, words + " and more"):
        usage = events(server, path="/v1/completions", prompt=prompt, mock={"prefix_cache": True})[-1]["usage"]
        cached.append(usage["prompt_tokens_details"]["cached_tokens"])
    assert cached == [0, 32, 32]


def test_prompts_are_counted_as_words_and_a_template(server: Mocked) -> None:
    parts = [{"type": "text", "text": "four five"}]
    messages = [*MESSAGES, {"role": "user", "content": parts}]
    found = events(server, messages=messages, mock={"template_tokens": 10})
    assert found[-1]["usage"]["prompt_tokens"] == 15


def test_engine_timings(server: Mocked) -> None:
    timings = events(server, mock={"engine_timings": True, "ttft_s": 0.02})[-1]["timings"]
    assert timings == {"prompt_n": 3, "prompt_ms": 20.0, "predicted_n": 3, "predicted_ms": 0.0}


@pytest.mark.parametrize(
    ("behaviour", "said", "status", "words"),
    [
        ({"strict": True}, {"ignore_eos": True}, 422, "ignore_eos"),
        ({"strict": True}, {"generation_config": '{"max_new_tokens": 2}'}, 200, ""),
        ({"stream_options": False}, {"stream_options": {"include_usage": True}}, 400, "stream_options"),
        ({"limit_field": "max_completion_tokens"}, {}, 400, "max_tokens"),
        ({"limit_field": "max_completion_tokens"}, {"max_tokens": None, "max_completion_tokens": 2}, 200, ""),
        ({"limit_field": "max_tokens"}, {"max_completion_tokens": 2}, 400, "max_completion_tokens"),
        ({"token_ids": False}, {"path": "/v1/completions", "prompt": [1, 2]}, 400, "token ids"),
        ({}, {"path": "/v1/completions", "prompt": {}}, 400, "prompt"),
        ({}, {"messages": []}, 400, "messages"),
        ({}, {"max_tokens": 0}, 400, "max_tokens"),
        ({"ttft": 1}, {}, 400, "mock.ttft"),
        ({"slots": 1}, {}, 400, "mock.slots"),
    ],
)
def test_dialects(server: Mocked, behaviour: dict[str, Any], said: dict[str, Any], status: int, words: str) -> None:
    got, _, body = ask(server, mock=behaviour, **said)
    assert got == status
    if status != 200:
        error = json.loads(body)["error"]
        assert words in error["message"]
        assert error["code"] == status


def test_exact_lengths_are_honoured_or_not(server: Mocked) -> None:
    def lengths(exact_by: str, **said: Any) -> list[int]:
        wanted = {"ends_early": True, "exact_by": exact_by}
        return [events(server, max_tokens=40, mock=wanted, **said)[-1]["usage"]["completion_tokens"] for _ in range(8)]

    assert lengths("any", ignore_eos=True) == [40] * 8
    assert lengths("min_tokens", min_tokens=40) == [40] * 8
    assert lengths("generation_config", generation_config='{"min_new_tokens": 40}') == [40] * 8
    early = lengths("none", ignore_eos=True)
    assert max(early) <= 40
    assert len(set(early)) > 2


def test_models_health_metrics_and_paths_that_are_not(server: Mocked) -> None:
    assert [one["id"] for one in json.loads(server.get("/v1/models")[1])["data"]] == ["mock"]
    assert server.get("/health")[0] == 200
    before = server.metrics()
    events(server)
    after = server.metrics()
    assert after["generation_tokens_total"] - before["generation_tokens_total"] == 3
    assert after["prompt_tokens_total"] - before["prompt_tokens_total"] == 3
    assert after["num_requests_running"] == 0
    assert (server.get("/nowhere")[0], server.get("/v1/completions")[0]) == (404, 405)
    assert ask(server, path="/health")[0] == 405


def test_a_key_is_asked_for() -> None:
    with mock(ttft_s=0, itl_s=0, key_env="MOCK_TEST_KEY", echo_key=True, environment={"MOCK_TEST_KEY": "open"}) as one:
        connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=10)
        said = json.dumps({"messages": MESSAGES})
        codes = []
        for key in ("open", "other"):
            connection.request("POST", "/v1/chat/completions", said, {"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            codes.append((answer.status, b"Bearer other" in answer.read()))
        connection.close()
        assert codes == [(200, False), (401, True)]
        assert "other" not in one.log.read_text()
