"""What a person did wrong, said in one line each: no traceback, exit code 2."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(Exception):
    """Bad input from a person. Each line names the file or option, the key and the remedy."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class DoubtError(Exception):
    """Strict mode: a result that is not to be believed as it stands. Each line names the row and its verdict."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class UnsupportedError(Exception):
    """This combination cannot run here. Stored as a record of status `unsupported`, not a crash."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}")
        self.reason = reason
        self.remedy = remedy


class DoesNotFitError(Exception):
    """The model or its batch needs more memory than the device has; said before anything is loaded."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}")
        self.reason = reason
        self.remedy = remedy


class UnwrittenError(Exception):
    """A file that belongs to the results could not be written: no word on the cell, which is to be measured again."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.errno = error.errno or 0


class BrokenContractError(Exception):
    """A runner gave other tokens or steps than it was asked for. Stored as a record of status `invalid`."""


def nearest(word: str, known: Iterable[str], limit: int = 3) -> str:
    """The end of an error line: what the person may have meant, else what there is.

    >>> nearest("bff16", ["bf16", "fp32"])
    "did you mean 'bf16'?"
    >>> nearest("zzz", ["bf16", "fp32"])
    'known: bf16, fp32'
    """
    names = sorted(set(known))
    lowered = {name.lower(): name for name in names}
    matches = [lowered[m] for m in get_close_matches(word.lower(), list(lowered), n=limit, cutoff=0.5)]
    if matches:
        return "did you mean " + " or ".join(repr(m) for m in matches) + "?"
    return "known: " + ", ".join(names[:30]) + (" …" if len(names) > 30 else "")


def extra(name: str) -> str:
    """What to type for an optional dependency of this package, whichever way it was installed.

    >>> extra("ray")
    "pip install 'llm-cost-bench[ray]' (with scripts/bench: BENCH_EXTRAS=ray)"
    """
    return f"pip install 'llm-cost-bench[{name}]' (with scripts/bench: BENCH_EXTRAS={name})"
