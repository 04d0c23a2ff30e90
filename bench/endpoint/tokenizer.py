"""The model's own tokenizer on this machine, where its file is at hand: prompts of exact length, and a second count.

Only `tokenizer.json` is read, by the small `tokenizers` library; nothing is fetched.
"""

import random
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.models import builtin, catalogue
from bench.schema import Endpoint, Model

FILE = "tokenizer.json"
MOST_WORDS = 8192
ROWS, ROW = 24, 400
"""Random rows of words that must come out as one token a word."""
_BLANKS = ("Ġ", "▁")
"""How vocabularies write a leading blank: byte-level ones and SentencePiece's."""


class LocalTokenizer:
    """Counts tokens of text as the model sees them, and knows words that are one token each.

    Raises InputError when the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        self.path = path
        try:
            self._of: Any = Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001  the library raises Exception itself
            raise InputError(f"{path}: not a tokenizer ({' '.join(str(error).split())[:120]})") from None
        self._of.no_truncation()
        self._of.no_padding()

    def count(self, text: str) -> int:
        """Tokens of the text alone: none added for its begin or end."""
        return len(self._ids(text))

    @cached_property
    def ids(self) -> Sequence[int]:
        """Every token id that is not special, in order."""
        special = self._special
        return tuple(sorted(one for one in self._of.get_vocab(with_added_tokens=True).values() if one not in special))

    @cached_property
    def words(self) -> Sequence[str]:
        """Words with a leading blank, lower-case letters only, so that a row of n of them has n tokens.

        Each is one token without its blank too: some chat templates strip what they are given. Fewer than `MOST_WORDS`
        where the vocabulary has fewer, and none for vocabularies that write blanks in another way.
        """
        vocabulary = self._of.get_vocab(with_added_tokens=False)
        special = self._special
        found = []
        for token, one in sorted(vocabulary.items(), key=lambda item: item[1]):
            word = token[1:]
            if one in special or not token.startswith(_BLANKS) or not 2 <= len(word) <= 12:
                continue
            if word.isascii() and word.isalpha() and word.islower():
                found.append((word, one))
        able = [(word, one) for word, one in found if self._is_alone(word, one)][:MOST_WORDS]
        return tuple(f" {word}" for word, _ in self._without_offenders(able))

    @cached_property
    def _special(self) -> frozenset[int]:
        return frozenset(self._of.get_added_tokens_decoder())

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self._of.encode(text, add_special_tokens=False).ids
        return found

    def _is_alone(self, word: str, one: int) -> bool:
        return len(self._ids(word)) == 1 and self._ids(f" {word}")[-1:] == [one]

    def _without_offenders(self, able: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Those that stay one token each beside any neighbour, as far as random rows show."""
        ids = dict(able)
        draw = random.Random(0)
        every = list(ids)
        rows = [draw.choices(every, k=ROW) for _ in range(ROWS if every else 0)]
        draw.shuffle(every)
        for row in [every, *rows]:
            row = [word for word in row if word in ids]
            while row:
                got = self._ids("".join(f" {word}" for word in row))
                lead = len(got) - len(row)  # a blank of its own before the first word, in some vocabularies
                if lead in (0, 1) and got[lead:] == [ids[word] for word in row]:
                    break
                wrong = self._first_wrong(row, ids)
                for word in wrong:
                    ids.pop(word, None)
                row = [word for word in row if word in ids]
        return list(ids.items())

    def _first_wrong(self, row: list[str], ids: dict[str, int]) -> set[str]:
        """Neighbours that do not come out as themselves; where no two alone are at fault, the whole row."""
        wrong = set()
        for left, right in pairwise(row):
            if self._ids(f" {left} {right}")[-2:] != [ids[left], ids[right]]:
                wrong |= {left, right}
        return wrong or set(row)


def find(endpoint: Endpoint, model: Model, say: Callable[[str], None]) -> LocalTokenizer | None:
    """The tokenizer that the options name, else the model's own, else that of the served name; None without one.

    Raises InputError where the options name one that is not here. Reads this machine alone: no network.
    """
    if endpoint.tokenizer is not None:
        path = _named(endpoint.tokenizer)
        if path is None:
            raise InputError(
                f"tokenizer: no {FILE} of {endpoint.tokenizer!r} on this machine; "
                f"name a folder that holds one, or fetch it first: hf download {endpoint.tokenizer} {FILE}"
            )
        return LocalTokenizer(path)
    path = _of_model(model)
    if path is None and catalogue.kind(model) == "served" and endpoint.model is not None:
        path = _named(endpoint.model)
    if path is None:
        say("no tokenizer of this model on this machine: lengths of prompts are by the server's own count of a word")
        return None
    try:
        return LocalTokenizer(path)
    except InputError as error:
        say(f"warning: {error.lines[0]}")
        return None


def _of_model(model: Model) -> Path | None:
    source = model.source
    match catalogue.kind(model):
        case "builtin":
            return _in(builtin.folder(source.removeprefix("builtin:")))
        case "folder":
            return _in(Path(source))
        case "gguf":
            return _in(Path(source).parent)  # many publish it beside the file
        case "hub":
            return _cached(source, model.revision)
        case _:
            return None


def _named(name: str) -> Path | None:
    """Of a folder, a file, a built-in model or a hub id that is in the local cache."""
    if name.startswith("builtin:"):
        known = name.removeprefix("builtin:")
        return _in(builtin.folder(known)) if known in catalogue.BUILTINS else None
    path = Path(name).expanduser()
    if path.is_dir():
        return _in(path)
    if path.is_file():
        return path if path.suffix == ".json" else None
    return _cached(name, None)


def _in(folder: Path) -> Path | None:
    path = folder / FILE
    return path if path.is_file() else None


def _cached(name: str, revision: str | None) -> Path | None:
    if name.count("/") != 1 or name.startswith(("/", ".", "~")):
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, FILE, revision=revision or "main")
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None
