"""What a reference's pass keeps for the others: of each token the likeliest few, and the mass of all others together.

8 bytes a token and log-probability: 6.5 MB for the text in the package at k = 64. A file of its own beside the journal,
in numpy's format, whole or not there at all.
"""

import os
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import UnwrittenError

FORMAT = 1


@dataclass(frozen=True)
class Kept:
    """Of T positions: ids (T, k; int32) and ln p (T, k; float32) of the k likeliest tokens, most likely first; ln of
    the mass of all others (T; float32; −∞ for none); the one token that counts as likeliest (T; int32).
    """

    ids: Any
    log_p: Any
    log_tail: Any
    likeliest: Any

    def part(self, start: int, stop: int) -> "Kept":
        """The positions from `start` to before `stop`."""
        return Kept(*(array[start:stop] for array in self._arrays()))

    def _arrays(self) -> tuple[Any, Any, Any, Any]:
        return self.ids, self.log_p, self.log_tail, self.likeliest

    @staticmethod
    def joined(parts: "Sequence[Kept]") -> "Kept":
        """Positions one after another."""
        return Kept(*(np.concatenate(arrays) for arrays in zip(*(part._arrays() for part in parts), strict=True)))


@dataclass(frozen=True)
class Reading:
    """What was read, and how: two passes compare where all of it is equal."""

    tokens_sha256: str
    window_tokens: int
    context_tokens: int
    vocabulary: int

    def differs_from(self, reference: "Reading") -> str | None:
        """Why a pass that read this cannot be held against one that read `reference`; None where it can."""
        if self.tokens_sha256 != reference.tokens_sha256:
            return "the tokenizer does not match: it makes other tokens of the text than the reference's"
        for name, what in (
            ("window_tokens", "windows"),
            ("context_tokens", "contexts"),
            ("vocabulary", "logits over a vocabulary"),
        ):
            own, others = getattr(self, name), getattr(reference, name)
            if own != others:
                return f"{what} of {own} tokens, the reference's of {others}"
        return None


class BrokenKeptError(Exception):
    """A file that cannot be read as what a reference keeps."""


def write(path: Path, reading: Reading, kept: Kept) -> None:
    """Whole or not at all, whenever the process is killed. Raises UnwrittenError, on a full disk for one."""
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with half.open("wb") as handle:
            np.savez(
                handle,
                format=np.int64(FORMAT),
                tokens_sha256=np.array(reading.tokens_sha256),
                sizes=np.array([reading.window_tokens, reading.context_tokens, reading.vocabulary], dtype=np.int64),
                ids=kept.ids,
                log_p=kept.log_p,
                log_tail=kept.log_tail,
                likeliest=kept.likeliest,
            )
            handle.flush()
            os.fsync(handle.fileno())
        half.replace(path)
    except OSError as error:
        raise UnwrittenError(error) from error
    finally:
        with suppress(OSError):
            half.unlink(missing_ok=True)


def read(path: Path) -> tuple[Reading, Kept]:
    """What a reference's pass kept. Raises BrokenKeptError for a file that is not there, not whole, or another's."""
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
        if int(found["format"]) != FORMAT:
            raise BrokenKeptError(f"{path.name} is of another version of this program")
        kept = Kept(found["ids"], found["log_p"], found["log_tail"], found["likeliest"])
        window_tokens, context_tokens, vocabulary = (int(size) for size in found["sizes"])
        reading = Reading(str(found["tokens_sha256"]), window_tokens, context_tokens, vocabulary)
    except FileNotFoundError:
        raise BrokenKeptError(f"{path.name} is not there any more") from None
    except (OSError, ValueError, AttributeError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise BrokenKeptError(f"{path.name} cannot be read ({type(error).__name__})") from None
    if kept.ids.ndim != 2 or {len(array) for array in kept._arrays()} != {len(kept.ids)}:
        raise BrokenKeptError(f"{path.name} does not hold what its header says")
    return reading, kept
