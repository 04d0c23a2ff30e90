"""The plan of a load: arrivals, lengths and prompts put together, the same in every load generator process.

`input_tokens` is the new content of each turn: a conversation of four turns of 100 tokens sends 100, then 200 and an
answer, and so on. `requests_per_s` counts requests; a session of n turns counts as n, so that sessions come n times
more rarely, and the rate is right once conversations overlap.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import InputError
from bench.loads import Plan, Vocabulary, lengths, replay
from bench.loads.contradictions import problems
from bench.schema import Traffic

if TYPE_CHECKING:
    from bench.loads.datasets import Dataset

__all__ = ["nominal", "plan", "problems"]


def plan(traffic: Traffic, vocabulary: Vocabulary, replicate: int, count: Callable[[str], int] | None = None) -> Plan:
    """The plan of one replicate, reproducible from traffic and replicate.

    `count` is a local tokenizer's count of a text: with it, contents of a file get their true length. A plan has
    `notes` for the record: what was left out of a file. Raises InputError for contradictions, files that cannot be
    read, and prompts too short to differ.
    """
    wrong = problems(traffic)
    if wrong:
        raise InputError(*(f"{key}: {message}" for key, message in wrong))
    # numpy: whoever only checks a config, or reads results, does without it.
    from bench.loads.from_file import FromFile
    from bench.loads.planned import Planned, Replayed
    from bench.loads.prompts import writer
    from bench.loads.streams import salt
    from bench.loads.synthetic import Synthetic

    if traffic.load == "trace":
        return Replayed(traffic, writer(vocabulary, salt(traffic), replicate))
    if traffic.prompts is not None:
        return Planned(traffic, replicate, FromFile(traffic, replicate, _dataset(traffic), count))
    return Planned(traffic, replicate, Synthetic(traffic, replicate, vocabulary))


def nominal(traffic: Traffic) -> tuple[int, int]:
    """Tokens of a mean request, input with all that was said before in it, and output: what its cell is called by.

    Reads a trace or a file of prompts to its end, so that what is wrong in it is said before a run: InputError. Without
    a tokenizer the text of a file counts as four bytes a token. The traffic must be free of `problems`.
    """
    if traffic.load == "trace":
        whole = replay.summary(_trace(traffic), traffic.trace_format)
        asked, answered = whole.input_tokens / whole.requests, whole.output_tokens / whole.requests
    elif traffic.prompts is not None:
        found = _dataset(traffic)
        asked, answered = found.input_tokens, found.output_tokens
    else:
        assert traffic.input_tokens is not None, "said by problems()"
        assert traffic.output_tokens is not None, "said by problems()"
        answered = lengths.mean_of(traffic.output_tokens)
        asked = lengths.mean_of(traffic.input_tokens) * (traffic.turns + 1) / 2 + answered * (traffic.turns - 1) / 2
    return max(round(asked), 1), max(round(answered), 1)


def _trace(traffic: Traffic) -> Path:
    assert traffic.trace is not None, "said by problems()"
    return Path(traffic.trace)


def _dataset(traffic: Traffic) -> "Dataset":
    from bench.loads.datasets import dataset

    assert traffic.prompts is not None
    asked = None if traffic.output_tokens is None else lengths.mean_of(traffic.output_tokens)
    return dataset(Path(traffic.prompts.file), traffic.prompts.format, traffic.turns, asked)
