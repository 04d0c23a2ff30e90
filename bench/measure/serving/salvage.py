"""What a run under load that was killed left behind: its requests were answered and paid for, so they are kept."""

import fcntl
import hashlib
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from bench import traces
from bench.measure.serving.spending import TEMPLATE_TOKENS, cost_usd
from bench.schema import Allowance

LOOKS, LOOK_S = 100, 0.1
"""For load generators whose run was killed a moment ago: they write their part to its end."""


@dataclass(frozen=True)
class Salvaged:
    """One killed run: its parts joined into one trace, named relative to the run's folder."""

    record_id: str
    trace: str
    trace_sha256: str
    path: Path
    requests: int
    succeeded: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    last_s: float | None
    """When the last of them was over, since the run's epoch."""


def salvage(folder: Path) -> list[Salvaged]:
    """Count and join the parts in a run's folder, by run; waits up to 10 s for one that is still being written.

    A torn end is left out of the counts. Safe to interrupt: parts are removed when their whole is on the disk.
    Raises OSError when the whole cannot be written.
    """
    parts: dict[str, list[Path]] = {}
    for part in sorted((folder / traces.FOLDER).glob("*.part")):
        record_id = part.name.removesuffix(".part").rpartition(".w")[0]
        if record_id:
            parts.setdefault(record_id, []).append(part)
    for record_id, found in parts.items():
        _join(traces.path_of(folder, record_id), found)
    return [one for record_id in parts if (one := counted(folder, record_id)) is not None]


def _join(whole: Path, parts: list[Path]) -> None:
    """Where the whole is there already, joining was cut short after it: the parts that are left are all in it."""
    if whole.exists():
        for part in parts:
            part.unlink(missing_ok=True)
        return
    for part in parts:
        _await_writer(part)
        _cut_torn_end(part)
    traces.join(parts, whole)


def counted(folder: Path, record_id: str) -> Salvaged | None:
    """What a trace holds; None where there is none."""
    whole = traces.path_of(folder, record_id)
    if not whole.exists():
        return None
    sha256 = hashlib.sha256(whole.read_bytes()).hexdigest()
    requests = succeeded = input_tokens = cached = output = 0
    last_s: float | None = None
    for one in traces.read(whole):
        requests += 1
        succeeded += one.status == "ok"
        input_tokens += one.input_tokens or 0
        cached += one.cached_tokens or 0
        output += one.output_tokens or 0
        if one.done_s is not None:
            last_s = one.done_s if last_s is None else max(last_s, one.done_s)
    return Salvaged(
        record_id=record_id,
        trace=str(whole.relative_to(folder)),
        trace_sha256=sha256,
        path=whole,
        requests=requests,
        succeeded=succeeded,
        input_tokens=input_tokens,
        cached_tokens=cached,
        output_tokens=output,
        last_s=last_s,
    )


def _await_writer(part: Path) -> None:
    """Until nobody writes it any more."""
    with part.open("rb") as file:
        for _ in range(LOOKS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(LOOK_S)
            except OSError:
                return  # some file systems have no locks
            else:
                return


def _cut_torn_end(part: Path) -> None:
    """Cut a part behind its last whole gzip member: what a torn one would hide is every part behind it."""
    end = seen = 0
    member = zlib.decompressobj(31)
    with part.open("r+b") as file:
        while block := file.read(1 << 18):
            seen += len(block)
            while block:
                try:
                    member.decompress(block)
                except zlib.error:
                    file.truncate(end)
                    return
                block = member.unused_data
                if member.eof:
                    end = seen - len(block)
                    member = zlib.decompressobj(31)
        file.truncate(end)


def spent_usd(one: Salvaged, price: Allowance) -> float:
    """What its requests cost; those without the server's usage as much as they may have."""
    total = 0.0
    for request in traces.read(one.path):
        asked_input = request.asked_input_tokens or request.local_input_tokens or request.input_tokens or 0
        worst = (
            price.usd_per_request
            + (asked_input + TEMPLATE_TOKENS) * price.usd_per_input_token
            + (request.asked_output_tokens or 0) * price.usd_per_output_token
        )
        total += cost_usd(request, price, worst)
    return total
