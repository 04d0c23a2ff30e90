"""Where the trace of a run stands, and whether it is still the one that was measured."""

import hashlib
from pathlib import Path

from bench.errors import InputError
from bench.schema import Serving

REMEDY = "keep traces/ beside records.jsonl"


def trace_of(serving: Serving, folder: Path) -> Path:
    """The trace of a run, whole and unchanged. Raises InputError with the remedy where it is not.

    A journal may come from anybody: a trace is never looked for outside of the run's folder.
    """
    inside = Path(serving.trace)
    path = folder / inside
    if inside.is_absolute() or ".." in inside.parts or not path.is_file():
        raise InputError(f"{serving.trace}: its trace is not there; {REMEDY}")
    try:
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{serving.trace}: its trace cannot be read ({error.strerror}); {REMEDY}") from None
    if digest != serving.trace_sha256:
        raise InputError(f"{serving.trace}: its trace is not the one that was measured (another checksum); {REMEDY}")
    return path
