"""What one record of a file of prompts says: the person's turns, and how long the answers were.

Known shapes: `{"prompt": …}` (a text or token ids), `{"text": …}`, `{"question": …}`,
`{"messages": [{"role": …, "content": …}]}`, and ShareGPT's
`{"conversations": [{"from": "human" | "gpt" | "system", "value": …}]}`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.errors import nearest
from bench.loads import Content

TEXTS = ("prompt", "text", "question")
KNOWN = (*TEXTS, "messages", "conversations")
LIMITS = ("output_tokens", "max_tokens", "max_completion_tokens")
BYTES_A_TOKEN = 4
"""Of English text, roughly, for whoever has no tokenizer."""

_ROLE = {"human": "user", "user": "user", "system": "system"}
_ANSWERS = ("gpt", "assistant", "chatgpt", "bing", "bard", "model")


class RecordError(Exception):
    """What is wrong with a record, and its remedy."""


@dataclass(frozen=True, slots=True)
class Said:
    """A conversation: what is asked, and the recorded answer to each or ''."""

    asked: list[Content]
    answers: list[str]
    output_tokens: int | None
    """That the record asks for, of each answer."""

    def answer_tokens(self, answer: str, count: Callable[[str], int] | None = None) -> int | None:
        """How long an answer is to be: as the record asks, else as long as the recorded one; None without both."""
        if self.output_tokens is not None or not answer:
            return self.output_tokens
        return max(count(answer), 1) if count else size_tokens(answer)


def said(record: Any, turns: int) -> Said | None:
    """The first turns of a record; None where it has no question. Raises RecordError for what is no record of prompts.

    With one turn, `messages` are sent whole, as they would be to a server, less an answer at their end; with more, and
    for ShareGPT always, each question is a turn of its own.
    """
    if not isinstance(record, dict):
        raise RecordError('not an object; each record is one, such as {"prompt": "…"}')
    limit = _limit(record)
    for key in TEXTS:
        if key in record:
            content = _content(record[key], key)
            return Said([content], [""], limit) if content else None
    if "messages" in record:
        messages = _messages(record["messages"], "messages", "role", "content")
        return _whole(messages, limit) if turns == 1 else _split(messages, turns, limit)
    if "conversations" in record:
        return _split(_messages(record["conversations"], "conversations", "from", "value"), turns, limit)
    raise RecordError(f"no prompt in it ({nearest('prompt', record) if record else 'it is empty'}); {_needs()}")


def size_tokens(content: Content) -> int:
    """About how many tokens a content has: exact for ids, a quarter of the bytes for text."""
    if isinstance(content, str):
        return max(round(len(content.encode()) / BYTES_A_TOKEN), 1)
    return sum(1 if isinstance(part, int) else size_tokens(str(part.get("content", ""))) for part in content)


def _needs() -> str:
    return f"a record needs one of {', '.join(KNOWN)}"


def _limit(record: dict[str, Any]) -> int | None:
    for key in LIMITS:
        value = record.get(key)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10_000_000:
            raise RecordError(f"{key} is {str(value)[:40]!r}; write whole tokens, 1 or more")
        return value
    return None


def _content(value: Any, key: str) -> Content:
    if isinstance(value, str):
        return value if value.strip() else ""
    if isinstance(value, list) and all(type(token) is int and token >= 0 for token in value):
        return value
    raise RecordError(f"{key} is neither a text nor a list of token ids; {_needs()}")


def _messages(value: Any, key: str, role: str, text: str) -> list[dict[str, Any]]:
    """With roles as the chat API names them; one with parts (images) keeps them."""
    if not isinstance(value, list):
        raise RecordError(f"{key} is no list; it holds objects with {role} and {text}")
    messages = []
    for part in value:
        if not isinstance(part, dict) or role not in part or text not in part:
            raise RecordError(f"{key} holds something without {role} and {text}; write both")
        name = str(part[role])
        content = "" if part[text] is None else part[text]
        if not isinstance(content, str if key == "conversations" else str | list):
            raise RecordError(f"{text} in {key} is no text; write one")
        name = _ROLE.get(name, "assistant" if name in _ANSWERS else name)
        messages.append({**part, "role": name, "content": content} if key == "messages" else _plain(name, content))
    return messages


def _plain(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def _whole(messages: list[dict[str, Any]], limit: int | None) -> Said | None:
    last = max((i for i, message in enumerate(messages) if message["role"] in ("user", "tool")), default=None)
    if last is None or not messages[last]["content"]:
        return None
    after = messages[last + 1 :]
    answer = after[0]["content"] if after and isinstance(after[0]["content"], str) else ""
    return Said([_simplest(messages[: last + 1])], [answer], limit)


def _split(messages: list[dict[str, Any]], turns: int, limit: int | None) -> Said | None:
    """Questions and their answers; what stands before the first question, but for a system prompt, answers nothing."""
    asked: list[Content] = []
    answers: list[str] = []
    opening: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "system" and not asked:
            opening.append(message)
        elif message["role"] == "user" and message["content"]:
            if len(asked) == turns:
                break
            asked.append(_simplest([*opening, message]))
            answers.append("")
            opening = []
        elif message["role"] == "assistant" and asked and isinstance(message["content"], str):
            answers[-1] = message["content"]
    return Said(asked, answers, limit) if asked else None


def _simplest(messages: list[dict[str, Any]]) -> Content:
    """A lone question in plain text needs no list of messages, and then the completions API takes it too."""
    if len(messages) == 1 and isinstance(messages[0]["content"], str) and messages[0].keys() == {"role", "content"}:
        return str(messages[0]["content"])
    return messages
