"""What a request asks for, and whether this dialect takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from pydantic import ValidationError

from bench.mock.settings import SERVER_ONLY, MockSettings

USUAL_TOKENS = 16
"""Of an answer, where the request does not say; OpenAI's default for completions."""
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"

STRICT_FIELDS = frozenset(
    {
        *("model", "messages", "prompt", "stream", "stream_options", "temperature", "top_p", "seed", "stop"),
        *("max_tokens", "max_completion_tokens", "frequency_penalty", "presence_penalty", "logit_bias"),
        *("tools", "tool_choice", "generation_config", "request_id", "mock"),
    }
)


class RefusedError(Exception):
    """The request is answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(slots=True)
class Asked:
    """A request that can be answered."""

    chat: bool
    stream: bool
    words: Sequence[Any]
    """Of the prompt: words, or token ids."""
    tokens: int
    exact: bool
    """It asked for exactly so many, in a way that this server honours."""
    usage_final: bool
    usage_chunks: bool
    settings: MockSettings


def understand(path: str, body: bytes, settings: MockSettings) -> Asked:
    """Read a request. Raises RefusedError with the status that this dialect gives it."""
    try:
        said = orjson.loads(body)
    except ValueError:
        raise RefusedError(400, "the body is not JSON") from None
    if not isinstance(said, dict):
        raise RefusedError(400, "the body is not a JSON object")
    if "mock" in said:
        settings = _own(orjson.dumps(said["mock"], option=orjson.OPT_SORT_KEYS), settings)
    _check_dialect(said, settings)
    chat = path == CHAT
    options = said.get("stream_options") or {}
    asked, exact = _length(said, settings)
    return Asked(
        chat=chat,
        stream=said.get("stream") is True,
        words=_chat_words(said) if chat else _prompt_words(said, settings),
        tokens=asked if settings.tokens is None else settings.tokens,
        exact=exact,
        usage_final=bool(options.get("include_usage")),
        usage_chunks=bool(options.get("continuous_usage_stats")),
        settings=settings,
    )


@lru_cache(maxsize=4096)
def _own(said: bytes, settings: MockSettings) -> MockSettings:
    """The server's settings with those of one request."""
    wanted = orjson.loads(said)
    if not isinstance(wanted, dict):
        raise RefusedError(400, "mock: must be an object of settings")
    for name in SERVER_ONLY:
        if name in wanted:
            raise RefusedError(400, f"mock.{name}: of the whole server; give it when the server is started")
    try:
        return MockSettings.model_validate({**settings.model_dump(), **wanted})
    except ValidationError as error:
        first = error.errors()[0]
        raise RefusedError(400, f"mock.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _check_dialect(said: dict[str, Any], settings: MockSettings) -> None:
    if settings.strict:
        unknown = said.keys() - STRICT_FIELDS
        if unknown:
            raise RefusedError(422, f"Unexpected keys in the request: {sorted(unknown)}")
    if not settings.stream_options and "stream_options" in said:
        raise RefusedError(400, "Unknown parameter: 'stream_options'.")
    other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}.get(settings.limit_field)
    if other is not None and said.get(other) is not None:
        raise RefusedError(
            400,
            f"Unsupported parameter: '{other}' is not supported with this model. Use '{settings.limit_field}' instead.",
        )


def _length(said: dict[str, Any], settings: MockSettings) -> tuple[int, bool]:
    """Tokens of the answer at most, and whether exactly so many."""
    planned = said.get("generation_config") or {}
    if isinstance(planned, str):
        try:
            planned = orjson.loads(planned)
        except ValueError:
            raise RefusedError(400, "generation_config: not JSON") from None
    asked = said.get("max_completion_tokens", said.get("max_tokens", planned.get("max_new_tokens", USUAL_TOKENS)))
    if asked is None:
        asked = USUAL_TOKENS
    if not isinstance(asked, int) or isinstance(asked, bool) or not 1 <= asked <= 10_000_000:
        raise RefusedError(400, f"max_tokens must be at least 1, got {asked!r}")
    ways = {
        "ignore_eos": said.get("ignore_eos") is True,
        "min_tokens": said.get("min_tokens") == asked,
        "generation_config": planned.get("min_new_tokens") == asked,
    }
    by = settings.exact_by
    return asked, any(ways.values()) if by == "any" else ways.get(by, False)


def _chat_words(said: dict[str, Any]) -> list[str]:
    messages = said.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusedError(400, "messages: must be a list with at least one message")
    words: list[str] = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            words += content.split()
        elif isinstance(content, list):
            for part in content:
                words += str(part.get("text", "") if isinstance(part, dict) else part).split()
    return words


def _prompt_words(said: dict[str, Any], settings: MockSettings) -> Sequence[Any]:
    prompt = said.get("prompt")
    if isinstance(prompt, str):
        return prompt.split()
    if isinstance(prompt, list) and prompt and all(isinstance(one, int) for one in prompt):
        if not settings.token_ids:
            raise RefusedError(400, "prompt: token ids are not supported; send text")
        return prompt
    raise RefusedError(400, "prompt: must be one text or one list of token ids")
