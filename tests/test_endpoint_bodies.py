"""Request bodies in each dialect: what stands in them, and that they are made fast."""

import itertools
import json
import timeit
from typing import Any

import orjson
import pytest

from bench.endpoint.bodies import Bodies, wants_cache
from bench.errors import InputError
from bench.schema import Capabilities, Endpoint, Prompts, SharedPrefix, Traffic

PLAIN = Capabilities(served_model="m", exact_length="ignore_eos")


def body(
    endpoint: Endpoint, found: Capabilities, said: list[Any], tokens: int = 7, ignore_eos: bool = True, **more: bool
) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(Bodies(endpoint, found, ignore_eos, **more).body(said, tokens))
    return made


def test_a_chat_request_in_full() -> None:
    assert body(Endpoint(), PLAIN, ["hello"]) == {
        "model": "m",
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 7,
    }


@pytest.mark.parametrize(
    ("exact", "fields"),
    [
        ("ignore_eos", {"ignore_eos": True}),
        ("min_tokens", {"min_tokens": 7}),
        ("generation_config", {"generation_config": '{"max_new_tokens":7,"min_new_tokens":7}'}),
        (None, {}),
    ],
)
def test_each_way_to_an_exact_length(exact: str | None, fields: dict[str, Any]) -> None:
    found = Capabilities(served_model="m", exact_length=exact)
    with_eos = body(Endpoint(), found, ["a"], ignore_eos=False)
    assert body(Endpoint(), found, ["a"]) == {**with_eos, **fields}
    assert with_eos["max_tokens"] == 7
    assert not {"ignore_eos", "min_tokens", "generation_config"} & set(with_eos)


def test_what_a_server_refused_is_left_out() -> None:
    found = Capabilities(
        served_model="m",
        streams=True,
        usage_per_chunk=True,
        limit_field="max_completion_tokens",
        refused_fields=("temperature", "stream_options"),
    )
    made = body(Endpoint(), found, ["a"])
    assert set(made) == {"model", "stream", "messages", "max_completion_tokens"}
    taken = Capabilities(served_model="m", usage_per_chunk=True)
    options = body(Endpoint(), taken, ["a"])["stream_options"]
    assert options == {"include_usage": True, "continuous_usage_stats": True}


def test_without_a_stream_there_are_no_options_of_one() -> None:
    for endpoint, found in (
        (Endpoint(stream=False), PLAIN),
        (Endpoint(), Capabilities(served_model="m", streams=False)),
    ):
        assert not {"stream", "stream_options"} & set(body(endpoint, found, ["a"]))
        assert not Bodies(endpoint, found, True).stream


def test_the_options_body_comes_through_and_may_say_how_to_sample() -> None:
    made = body(Endpoint(body={"temperature": 0.7, "top_p": 0.9, "stop": ["x"], "percent": "100%d"}), PLAIN, ["a"])
    assert (made["temperature"], made["top_p"], made["stop"], made["percent"]) == (0.7, 0.9, ["x"], "100%d")
    assert "temperature" not in body(Endpoint(body={"temperature": None}), PLAIN, ["a"])


def test_llama_cpp_is_told_not_to_cache_unless_prompts_share_something() -> None:
    found = Capabilities(served_model="m", prompt_cache_switch=True)
    assert body(Endpoint(), found, ["a"], caching=False)["cache_prompt"] is False
    assert "cache_prompt" not in body(Endpoint(), found, ["a"], caching=True)
    assert "cache_prompt" not in body(Endpoint(), PLAIN, ["a"], caching=False)
    assert body(Endpoint(body={"cache_prompt": True}), found, ["a"], caching=False)["cache_prompt"] is True
    plain = Traffic(load="closed", concurrency=1)
    assert not wants_cache(plain)
    for more in (
        {"turns": 2},
        {"shared_prefix": SharedPrefix(hit_rate=0.5)},
        {"prompts": Prompts(file="x")},
        {"trace": "t.jsonl"},
    ):
        assert wants_cache(plain.model_copy(update=more))


def test_conversations_in_a_chat() -> None:
    system = [{"role": "system", "content": "be short"}, {"role": "user", "content": "hi"}]
    assert body(Endpoint(), PLAIN, ["one", "two", "three"])["messages"] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    assert body(Endpoint(), PLAIN, [system, "yes?", "go"])["messages"] == [
        *system,
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": "go"},
    ]
    with pytest.raises(InputError, match="token ids go with api: completions"):
        Bodies(Endpoint(), PLAIN, True).body([[1, 2]], 3)


def test_completions_get_one_prompt() -> None:
    endpoint = Endpoint(api="completions")
    assert Bodies(endpoint, PLAIN, True).path == "/completions"
    assert body(endpoint, PLAIN, [" one two"])["prompt"] == " one two"
    assert body(endpoint, PLAIN, [" one", " two", " three"])["prompt"] == " one two three"
    assert body(endpoint, PLAIN, ["one", "two", "three"])["prompt"] == "one\ntwo\nthree"
    assert body(endpoint, PLAIN, [[1, 2, 3]])["prompt"] == [1, 2, 3]
    assert body(endpoint, PLAIN, [[{"role": "user", "content": "hi"}]])["prompt"] == "hi"
    with pytest.raises(InputError, match="set prompt_form: text"):
        Bodies(endpoint, PLAIN, True).body([[1], "answer", [2]], 3)


def test_any_text_is_valid_json() -> None:
    odd = 'a "quoted" \\ %d %s line\nand \u2028 – 日本 \x00 🙂'
    assert body(Endpoint(), PLAIN, [odd])["messages"][0]["content"] == odd


def test_a_body_costs_little_more_than_writing_its_text() -> None:
    """Not all of it again for each request: the options here would take many times as long."""
    endpoint = Endpoint(body={"tools": [{"name": f"tool {n}", "text": "x" * 200} for n in range(200)]})
    made = Bodies(endpoint, PLAIN, True)
    text = " word" * 128
    whole = json.loads(made.body([text], 64))
    pairs = [
        (
            timeit.timeit(lambda: made.body([text], 64), number=300),
            timeit.timeit(lambda: orjson.dumps(whole), number=300),
        )
        for _ in itertools.repeat(None, 5)
    ]
    assert min(ours / all_of_it for ours, all_of_it in pairs) < 0.5
