"""How much load this machine's client can put out before it distorts what it measures: found once, kept with a date.

`bench selftest --load` writes it, beside the ceilings of the machine in the user's data folder; a run under load reads
it and warns when its client used more than `WARN_SHARE` of the limit.
"""

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from bench.errors import InputError
from bench.schema.noun import Noun

WARN_SHARE = 0.7
"""Of `cpu_share_limit`, from which on a run says that its client may be what is slow."""
SCHEMA = 1


class Calibration(Noun):
    """One load generator process on this machine, against the truth log of a mock server in another process."""

    schema_version: int = SCHEMA
    hardware: str = Field(description="Environment.hardware()")
    measured_at: str
    tokens_per_s: float | None = Field(None, description="streamed tokens, one an event, that it stamps without error")
    requests_per_s: float | None = Field(None, description="short answers")
    ceiling_tokens_per_s: float = Field(description="with no delay in the server, whole answers in one read")
    cpu_s_per_token: float = Field(description="of the process, streams of one token an event")
    cpu_share_limit: float | None = Field(
        None, description="share of a core at the highest load without distortion; null: limit not reached"
    )
    limit_reached: bool = Field(description="false: it did not distort at any load that the mock could put out")
    ttft_error_p50_s: float = Field(description="median reported minus true, at the most streams tested")
    ttft_error_p99_s: float
    waited_share: float | None = Field(None, description="of the time, in which it waited for a CPU: other work here")


def path_of() -> Path:
    """`client.json` in the user's data folder (XDG Base Directory Specification), a calibration for each machine."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "llm-cost-bench" / "client.json"


def load(hardware: str, warn: Callable[[str], None], path: Path | None = None) -> Calibration | None:
    """That of a machine (`Environment.hardware()`); None where it was never calibrated."""
    path = path or path_of()
    raw = _read(path, warn).get(hardware)
    if raw is None:
        return None
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        warn(f"{path}: a calibration of schema {version} ignored; this version reads up to {SCHEMA}: upgrade")
        return None
    try:
        return Calibration.model_validate(raw)
    except ValidationError:
        warn(f"{path}: not a calibration of ours; `bench selftest --load` writes it anew")
        return None


def save(calibration: Calibration, path: Path | None = None) -> Path:
    """Keep it; those of other machines stay. Raises InputError where the file cannot be written."""
    path = path or path_of()
    whole = {**_read(path, lambda _: None), calibration.hardware: calibration.model_dump(mode="json")}
    beside: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(fd, "w", encoding="utf-8") as out:
            out.write(json.dumps(whole, indent=1) + "\n")
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except OSError as error:
        if beside is not None:
            with suppress(OSError):
                Path(beside).unlink()
        raise InputError(
            f"{path}: cannot keep the calibration there ({error.strerror}); free space or make it writable"
        ) from None
    return path


def _read(path: Path, warn: Callable[[str], None]) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        warn(f"{path}: cannot be read ({error.strerror}); ignored")
        return {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        warn(f"{path}: broken; `bench selftest --load` writes it anew")
        return {}
    return found
