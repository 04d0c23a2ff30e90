"""The probe finds what a server does, gives up what it refuses, and says so; a server that refuses all is one line."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from bench.client.transport import StreamTransport
from bench.endpoint.access import target
from bench.endpoint.asked import Asker
from bench.endpoint.bodies import Bodies
from bench.endpoint.probe import IDS, LONG, MOST, NEW, ONE_WORD, SHORT, probe
from bench.endpoint.words import WORDS
from bench.errors import InputError
from bench.schema import Capabilities, Endpoint
from tests.mocked import Mocked, mock
from tests.scripted import Reply, scripted, stream

CANARY = "sk-canary-0123456789abcdef"


@pytest.fixture(scope="module")
def fast() -> Iterator[Mocked]:
    """A mock that can do anything; requests choose its dialect by their field `mock`."""
    with mock(ttft_s=0, itl_s=0, template_tokens=5) as running:
        yield running


def probed(base_url: str, **options: Any) -> Capabilities:
    endpoint = Endpoint.model_validate({"base_url": base_url, "timeout_s": 20, **options})
    to = target(endpoint, base_url)
    transport = StreamTransport(to)
    try:
        return probe(endpoint, to, transport, lambda _: None)
    finally:
        transport.close()


def dialect(running: Mocked, api: str = "chat", **settings: Any) -> Capabilities:
    found = probed(running.base_url, api=api, body={"mock": settings})
    assert 2 <= found.probe_requests <= MOST
    return found


# --- what a server can do, on the mock


def test_a_server_that_can_do_all(fast: Mocked) -> None:
    found = dialect(fast, ends_early=True, cached_share=0.0, engine_timings=True)
    assert (found.served_model, found.streams, found.usage_chunk, found.usage_per_chunk) == ("mock", True, True, True)
    assert (found.exact_length, found.limit_field, found.refused_fields) == ("ignore_eos", "max_tokens", ())
    assert (found.tokens_per_word, found.overhead_tokens) == (1.0, 5)
    assert (found.cached_tokens, found.engine_timings, found.prompt_cache_switch) == (True, True, True)
    assert found.notes == ()
    assert found.probe_requests == 2
    assert found.probe_input_tokens == SHORT + LONG + 2 * len(ONE_WORD) + 2 * 5
    assert NEW < found.probe_output_tokens <= 2 * NEW


@pytest.mark.parametrize("by", ["min_tokens", "ignore_eos", "none"])
def test_the_length_is_exact_by_what_the_server_honours(fast: Mocked, by: str) -> None:
    # An answer of the mock ends at random: now and then even one of them all has its whole length of itself.
    tries = [dialect(fast, ends_early=True, exact_by=by).exact_length for _ in range(4)]
    wanted = None if by == "none" else by
    assert tries.count(wanted) >= 2, tries


def test_a_strict_server_is_asked_as_transformers_wants_it(fast: Mocked) -> None:
    found = dialect(fast, strict=True, usage="finish")
    assert found.exact_length == "generation_config"
    assert "ignore_eos" in found.refused_fields
    assert found.usage_chunk
    assert not found.usage_per_chunk
    assert any("ignore_eos" in note and "422" in note for note in found.notes)
    made = Bodies(Endpoint(), found, ignore_eos=True).body(["a b"], 9)
    assert b"ignore_eos" not in made
    assert b'"generation_config":"{\\"max_new_tokens\\":9,' in made


@pytest.mark.parametrize(
    ("settings", "expected", "note"),
    [
        ({"usage": "none"}, {"usage_chunk": False, "tokens_per_word": None, "overhead_tokens": None}, "no usage"),
        ({"usage": "final"}, {"usage_chunk": True, "usage_per_chunk": False}, None),
        ({"stream_options": False, "usage": "final"}, {"refused_fields": ("stream_options",)}, "stream_options left"),
        ({"limit_field": "max_completion_tokens"}, {"limit_field": "max_completion_tokens"}, "max_completion_tokens"),
    ],
)
def test_what_is_missing_is_given_up_with_a_note(
    fast: Mocked, settings: dict[str, Any], expected: dict[str, Any], note: str | None
) -> None:
    found = dialect(fast, **settings)
    assert {key: getattr(found, key) for key in expected} == expected
    assert note is None or any(note in one for one in found.notes)


def test_token_ids_go_with_completions_that_take_them(fast: Mocked) -> None:
    assert not dialect(fast).token_ids
    assert dialect(fast, "completions", template_tokens=0).token_ids
    refused = dialect(fast, "completions", token_ids=False)
    assert not refused.token_ids
    assert any("prompts are text" in note for note in refused.notes)


def test_a_request_made_by_what_was_found_gets_what_was_asked(fast: Mocked) -> None:
    endpoint = Endpoint(base_url=fast.base_url)
    found = probed(fast.base_url)
    to = target(endpoint, fast.base_url)
    assert to.path.endswith(Bodies(endpoint, found, True).path)
    before = len(fast.truth())
    transport = StreamTransport(to)
    answer = Asker(transport, to, 20).ask(orjson.loads(Bodies(endpoint, found, True).body([" a b c"], 5)), 5, 3)
    transport.close()
    assert (answer.count("prompt_tokens"), answer.count("completion_tokens")) == (3 + 5, 5)
    assert len(fast.truth(before + 1)) == before + 1


# --- refusals in the words of real servers


def counted(body: dict[str, Any]) -> int:
    return len(str(body["messages"][0]["content"]).split()) + 7


def test_a_reasoning_model_of_an_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """One complaint at a time: no vLLM fields, another limit, no temperature."""

    def answer(body: dict[str, Any]) -> Reply:
        def refuse(message: str) -> Reply:
            return 400, {"error": {"message": message, "type": "invalid_request_error"}}

        if "continuous_usage_stats" in body.get("stream_options", {}):
            return refuse("Unknown parameter: 'stream_options.continuous_usage_stats'.")
        if "ignore_eos" in body or "min_tokens" in body:
            return refuse("Unrecognized request argument supplied: ignore_eos")
        if "max_tokens" in body:
            return refuse("Unsupported parameter: 'max_tokens' … Use 'max_completion_tokens' instead.")
        if "temperature" in body:
            return refuse("Unsupported value: 'temperature' does not support 0 with this model.")
        details = {"prompt_tokens_details": {"cached_tokens": 0}}
        text = stream(3, counted(body), "stop")
        return 200, text.replace(
            '"completion_tokens": 3', f'"completion_tokens": 3, {str(details)[1:-1]}'.replace("'", '"')
        )

    monkeypatch.setenv("CANARY", CANARY)
    with scripted(answer) as server:
        found = probed(server.base_url, key_env="CANARY")
        assert {headers["authorization"] for _, headers, _ in server.seen} == {f"Bearer {CANARY}"}
        assert server.bodies[-1]["stream_options"] == {"include_usage": True}
        prompts = [body["messages"][0]["content"] for body in server.bodies]
        assert len(set(prompts)) == len(prompts)
    assert found.limit_field == "max_completion_tokens"
    assert set(found.refused_fields) == {"continuous_usage_stats", "ignore_eos", "temperature"}
    assert (found.exact_length, found.usage_chunk, found.cached_tokens) == (None, True, True)
    assert (found.tokens_per_word, found.overhead_tokens, found.probe_requests) == (1.0, 7, 6)
    assert found.probe_output_tokens == 6
    assert CANARY not in found.model_dump_json()
    assert sum("400" in note for note in found.notes) == 4


def test_the_name_that_a_pinned_server_tells() -> None:
    def answer(body: dict[str, Any]) -> Reply:
        if body["model"] != "/models/x":
            return 400, {"detail": f"Server is pinned to '/models/x'; requested '{body['model']}'."}
        return 200, stream(NEW, counted(body))

    two = {"data": [{"id": "a"}, {"id": "b"}]}
    listings: tuple[Reply, ...] = ((500, "Internal Server Error"), (200, {"data": []}), (200, two))
    for listing in listings:
        with scripted(answer, listing) as server:
            assert probed(server.base_url).served_model == "/models/x"


def test_a_server_without_streams() -> None:
    def answer(body: dict[str, Any]) -> Reply:
        usage = {"prompt_tokens": counted(body), "completion_tokens": NEW}
        return 200, {"choices": [{"message": {"content": "a"}, "finish_reason": "length"}], "usage": usage}

    with scripted(answer) as server:
        found = probed(server.base_url)
        assert server.bodies[0]["stream"] is True
        assert "stream" not in server.bodies[-1]
    assert not found.streams
    assert any("no time to first token" in note for note in found.notes)


def test_an_error_inside_a_stream_is_a_refusal() -> None:
    def answer(body: dict[str, Any]) -> Reply:
        if "stream_options" in body:
            return 200, 'data: {"error": {"message": "stream_options: not implemented"}}\n\n'
        return 200, stream(NEW, None)

    with scripted(answer) as server:
        found = probed(server.base_url)
    assert "stream_options" in found.refused_fields
    assert not found.usage_chunk


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (
            (401, {"error": {"message": f"Incorrect API key provided: {CANARY}"}}),
            ("401", "[key]", "is the key in CANARY"),
        ),
        ((403, {"error": "no"}), ("403", "is the key in CANARY right")),
        (
            (404, {"error": {"message": "The model 'x' does not exist"}}),
            ("404", "model 'x' does not exist", "check model"),
        ),
        ((429, {"error": {"message": "quota"}}), ("429", "wait, or use a key with a higher limit")),
        ((402, "pay first"), ("402", "pay first", "no credit")),
        ((503, {"error": {"message": "Loading model"}}), ("503", "Loading model", "wait until")),
        ((500, "<html><h1>Oops</h1></html>"), ("500", "Oops", "server's log")),
        ((307, "http://127.0.0.1:1/v1"), ("redirect",)),
        ((200, "<html>Welcome</html>"), ("200", "neither JSON nor an event stream", "is this an OpenAI-compatible")),
        ((400, {"error": "bad"}), ("400", "bad", "look at body, model and api")),
    ],
    ids=lambda part: str(part[0]) if isinstance(part[0], int) else None,
)
def test_a_server_that_refuses_everything_is_one_line(
    reply: Reply, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", CANARY)
    with scripted(lambda _: reply) as server, pytest.raises(InputError) as caught:
        probed(server.base_url, key_env="CANARY", model="x")
    assert len(server.seen) <= MOST
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(f"{server.base_url}/chat/completions: ")
    assert CANARY not in str(caught.value)
    for word in words:
        assert word in caught.value.lines[0]


def test_a_key_that_is_not_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "another-canary-9876543210")
    with mock(environment={"LET_IN": CANARY}, key_env="LET_IN", echo_key=True) as running:
        for options in ({"model": "mock"}, {}):
            with pytest.raises(InputError, match=r" 401 \(") as caught:
                probed(running.base_url, key_env="CANARY", **options)
            assert "another-canary" not in str(caught.value)
            assert "9876543210" not in str(caught.value)


def test_no_server_is_one_line() -> None:
    for options in ({}, {"model": "m"}):
        with pytest.raises(InputError, match=r"^http://127\.0\.0\.1:9/v1/") as caught:
            probed("http://127.0.0.1:9/v1", **options)
        assert "base_url" in caught.value.lines[0]


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        ((200, {"data": [{"id": "a"}, {"id": "b"}]}), "lists several models; set model to one of them: a, b"),
        ((404, {"error": "Not Found"}), "lists no model (404: Not Found); set model"),
        ((401, {"error": "who are you?"}), "name the variable of its key with key_env"),
        ((302, "http://127.0.0.1:1/"), "a redirect, is not followed"),
    ],
)
def test_a_model_that_must_be_named(listing: Reply, words: str) -> None:
    with scripted(lambda _: (404, {"error": "no such model"}), listing) as server, pytest.raises(InputError) as caught:
        probed(server.base_url)
    assert words in caught.value.lines[0]


def test_a_router_that_takes_any_name_is_not_guessed_at() -> None:
    two = (200, {"data": [{"id": "a"}, {"id": "b"}]})
    with scripted(lambda body: (200, stream(NEW, counted(body))), two) as server:
        endpoint = server.base_url
        with pytest.raises(InputError, match="set model to one of them: a, b"):
            probed(endpoint)


def test_odd_counts_are_noted_and_not_used() -> None:
    with scripted(lambda _: (200, stream(40, 1))) as server:
        found = probed(server.base_url)
    assert (found.tokens_per_word, found.overhead_tokens, found.exact_length) == (None, None, None)
    assert any("the usage is odd" in note for note in found.notes)
    assert any("ignores max_tokens" in note for note in found.notes)


def test_the_probe_itself_is_well_made() -> None:
    assert len(WORDS) == len(set(WORDS)) >= 600
    assert set(ONE_WORD) <= set(WORDS)
    assert max(IDS) < 20_000
