"""The bytes of each request: everything but the prompt and the wanted length is prepared once.

Unless the options' `body` says otherwise, requests ask for greedy sampling (`temperature: 0`). Servers differ in their
defaults (llama.cpp: 0.8 with four samplers; vLLM: whatever came with the checkpoint; an API: 1), so what they would do
of themselves are different amounts of work; greedy is the same work everywhere, the same answer twice, and what the
offline runners do. `body: {temperature: null}` leaves it to the server.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import orjson

from bench.endpoint.access import PATHS
from bench.errors import InputError
from bench.loads import Content
from bench.schema import Capabilities, Endpoint, Traffic


def wants_cache(traffic: Traffic) -> bool:
    """Whether prompts of this load have a beginning in common, so that a server may answer from its prompt cache.

    True for shared prefixes, conversations, prompts of a file and recorded traces, which share what they share. False
    for synthetic prompts, which are all different: there, a cache could hold the chat template alone.
    """
    alike = traffic.shared_prefix is not None or traffic.turns > 1
    return alike or traffic.prompts is not None or traffic.trace is not None


def sampling(endpoint: Endpoint, refused: Sequence[str]) -> dict[str, Any]:
    """What goes with each request besides the load's own fields: the options' body, and greedy sampling.

    A null in the body means that the field is not sent.
    """
    ours = {} if "temperature" in refused else {"temperature": 0}
    return {key: value for key, value in {**ours, **endpoint.body}.items() if value is not None}


class Bodies:
    """Requests to one endpoint in the dialect that the probe found.

    With `ignore_eos`, answers get exactly their length, where the server can do it. Without `caching`
    (see `wants_cache`), a server that can be told so does not use its prompt cache.
    """

    def __init__(self, endpoint: Endpoint, capabilities: Capabilities, ignore_eos: bool, caching: bool = True) -> None:
        self.path: str = PATHS[endpoint.api]
        """After the base URL's own path: `Target.path` is the whole of it."""
        self.stream = endpoint.stream and capabilities.streams
        self._is_chat = endpoint.api == "chat"
        fields: dict[str, Any] = {"model": capabilities.served_model, **sampling(endpoint, capabilities.refused_fields)}
        if self.stream:
            fields["stream"] = True
            options = stream_options(capabilities)
            if options:
                fields["stream_options"] = options
        if not caching and capabilities.prompt_cache_switch:
            fields.setdefault("cache_prompt", False)
        exact = capabilities.exact_length if ignore_eos else None
        if exact == "ignore_eos":
            fields["ignore_eos"] = True
        head = orjson.dumps(fields)[:-1]
        self._before = head + (b',"messages":' if self._is_chat else b',"prompt":')
        self._after = b',"%s":%%d' % capabilities.limit_field.encode() + EXACT.get(exact, b"") + b"}"
        self._numbers = self._after.count(b"%d")

    def body(self, said: Sequence[Content], output_tokens: int) -> bytes:
        """One request: what a person said and, between, what was answered, so an odd number of contents.

        A chat gets them as messages of user and assistant in turn; a content that is a list of messages stands for
        itself. Completions get one prompt: texts one after another, or token ids. Raises InputError for token ids in
        a chat, and for token ids beside text.
        """
        asked = self._messages(said) if self._is_chat else _prompt(said)
        return self._before + asked + self._after % ((output_tokens,) * self._numbers)

    def _messages(self, said: Sequence[Content]) -> bytes:
        if len(said) == 1 and isinstance(said[0], str):
            return b'[{"role":"user","content":' + orjson.dumps(said[0]) + b"}]"
        messages: list[Any] = []
        for place, content in enumerate(said):
            if isinstance(content, str):
                messages.append({"role": "assistant" if place % 2 else "user", "content": content})
            elif all(isinstance(one, dict) for one in content):
                messages.extend(content)
            else:
                raise InputError("prompts: token ids go with api: completions only; use text")
        return orjson.dumps(messages)


EXACT: dict[str | None, bytes] = {
    "min_tokens": b',"min_tokens":%d',
    "generation_config": b',"generation_config":"{\\"max_new_tokens\\":%d,\\"min_new_tokens\\":%d}"',
}
"""What is added for an exact length, besides `ignore_eos`, which holds no number."""


def stream_options(capabilities: Capabilities) -> dict[str, bool]:
    """What a stream is asked to tell about its tokens."""
    refused = capabilities.refused_fields
    if "stream_options" in refused:
        return {}
    options = {"include_usage": True}
    if capabilities.usage_per_chunk and "continuous_usage_stats" not in refused:
        options["continuous_usage_stats"] = True
    return options


def _prompt(said: Sequence[Content]) -> bytes:
    if len(said) == 1 and (isinstance(said[0], str) or _is_ids(said[0])):
        return orjson.dumps(said[0])
    if all(_is_ids(content) for content in said):
        return orjson.dumps([token for content in said for token in content])
    texts = [content if isinstance(content, str) else _text(content) for content in said]
    joined = texts[0]
    for before, after in pairwise(texts):
        touching = before[-1:].strip() and after[:1].strip()  # words of two speakers must not become one
        joined += f"\n{after}" if touching else after
    return orjson.dumps(joined)


def _is_ids(content: Content) -> bool:
    """By its first: this is asked for each request, and a prompt may have a hundred thousand."""
    return isinstance(content, list) and bool(content) and isinstance(content[0], int)


def _text(content: Sequence[Any]) -> str:
    if not all(isinstance(one, dict) for one in content):
        raise InputError("prompts: token ids and text cannot be put together; set prompt_form: text")
    parts = [one.get("content") for one in content]
    return "\n".join(part for part in parts if isinstance(part, str))
