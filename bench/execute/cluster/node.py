"""What runs on a node, in a process that the cluster started there: the same child process as on one machine.

While the child is timed this process is blocked in `poll`, like the parent of a run without a cluster.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from bench import store, traces
from bench.errors import InputError
from bench.execute import ceilings, child, fetched, fit, interpreters
from bench.execute.cluster import Files, Order, Reply
from bench.execute.interrupts import interrupts
from bench.measure.serving import salvage
from bench.schema import Failure, Job, QualityInput, RunnerChoice, Scored
from bench.sensors import environment

KEPT = "kept.npz"
REFERENCE = "reference.npz"
TEXT = "text.txt"
TASK = "task"
LOG = "log"


def perform(text: str, files: Files) -> tuple[str, dict[str, bytes]]:
    """Carry out an order (its JSON), and answer (its JSON, and files). Raises nothing that an order can cause."""
    try:
        order = Order.model_validate_json(text)
    except ValidationError:
        return _said(Reply(refused="cannot read this order; install the same bench there")), {}
    try:
        if order.what == "probe":
            return _said(_probed(order)), {}
        if order.what == "ceilings":
            return _said(_ceilings()), {}
        with tempfile.TemporaryDirectory(prefix="bench-node-") as place, _own_threads(order.is_alone):
            return _measured(order, files, Path(place))
    except InputError as error:
        return _said(Reply(refused=error.lines[0])), {}
    except OSError as error:
        return _said(Reply(refused=f"{error.strerror or error} on the node; free its disk, or mend it")), {}


def _said(reply: Reply) -> str:
    return reply.model_dump_json(exclude_defaults=True)


def _probed(order: Order) -> Reply:
    """What this node is, for each runner."""
    return Reply(
        bench_version=environment.detect().bench_version,
        instrument=environment.INSTRUMENT,
        niceness=_niceness(),
        environments=tuple(interpreters.environment_of(one) for one in order.runners),
        lacking=tuple(map(_lacking, order.runners)),
    )


def _lacking(choice: RunnerChoice) -> str | None:
    """Why no cell of a runner can run here; None where its engine is there."""
    found = interpreters.problem(choice)
    return None if found is None else found.reason


def _niceness() -> int:
    """Of this process, taken back to 0 where that is allowed: Ray starts its workers at 15."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    return os.nice(0)


def _ceilings() -> Reply:
    """Measured now if they never were, and kept in the node's own data folder."""
    said: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-node-") as place:
        return Reply(ceilings=ceilings.ensure(Path(place), said.append), said=tuple(said))


def _measured(order: Order, files: Files, place: Path) -> tuple[str, dict[str, bytes]]:
    """One job, in one child process."""
    job = order.job
    assert job is not None
    _niceness()
    said: list[str] = []
    too_big = None if job.cell.traffic is not None else fit.problem(job.cell)
    if too_big is not None:
        return _said(Reply(status=too_big.status, error=too_big.failure, elapsed_s=0.0)), {}
    try:
        fetched.fetch([job.cell], said.append)
    except InputError as error:
        failure = Failure(reason=error.lines[0], remedy="have the model where this node can read it")
        return _said(Reply(status="invalid", error=failure, elapsed_s=0.0, said=tuple(said))), {}
    for name, content in files.items():
        (place / name).write_bytes(content)
    log = place / LOG
    try:
        outcome = child.run(_here(job, files, place), log, order.timeout_s, lambda *_: None)
    finally:
        interrupts.let_through()
    brought = _brought(job, place, outcome.status == "ok")
    reply = Reply(
        environments=(interpreters.environment_of(job.cell.runner),),
        status=outcome.status,
        error=outcome.error,
        elapsed_s=outcome.elapsed_s,
        measurement=outcome.measurement,
        serving=outcome.serving,
        scored=_kept_as_asked(outcome, job),
        profile=outcome.profile,
        unwritten=outcome.unwritten,
        said=(*said, *outcome.notes),
    )
    return _said(reply), brought


def _here(job: Job, files: Files, place: Path) -> Job:
    """The job with the paths of this node."""
    said: dict[str, object] = {}
    if job.cell.traffic is not None:
        (place / traces.FOLDER).mkdir()
        said["folder"] = str(place)
    if job.quality is not None:
        own = job.quality
        said["quality"] = QualityInput(
            text_path=str(place / TEXT) if TEXT in files else None,
            reference_path=str(place / REFERENCE) if REFERENCE in files else None,
            reference_record_id=own.reference_record_id,
            kept_path=None if own.kept_path is None else str(place / KEPT),
            task_paths=tuple(str(place / name) for name in sorted(files) if name.startswith(TASK)),
        )
    return job.model_copy(update=said)


def _kept_as_asked(outcome: child.Outcome, job: Job) -> Scored | None:
    """What a reference keeps is called on the driver's disk as the driver says."""
    if outcome.scored is None or outcome.scored.kept_file is None or job.quality is None:
        return outcome.scored
    name = None if job.quality.kept_path is None else Path(job.quality.kept_path).name
    return outcome.scored.model_copy(update={"kept_file": name})


def _brought(job: Job, place: Path, is_ok: bool) -> dict[str, bytes]:
    """Files that the run's folder gets: the log, the trace, what a reference keeps."""
    found = {}
    if job.cell.traffic is not None and not is_ok:
        salvage.salvage(place)
    for path in (place / LOG, place / KEPT, *sorted((place / traces.FOLDER).glob("*"))):
        if path.is_file() and path.stat().st_size < store.LONGEST_LINE_BYTES * 4:
            found[str(path.relative_to(place))] = path.read_bytes()
    return found


@contextmanager
def _own_threads(is_alone: bool) -> Iterator[None]:
    """Ray says how many threads a task may have (OMP_NUM_THREADS), by what it claims. A cell that has the machine for
    itself chooses like one without a cluster, unless the person who started Ray there chose."""
    name = "OMP_NUM_THREADS"
    set_by_ray = os.environ.get(name) if is_alone and name not in _of_parent() else None
    if set_by_ray is not None:
        del os.environ[name]
    try:
        yield
    finally:
        if set_by_ray is not None:
            os.environ[name] = set_by_ray


def _of_parent() -> set[str]:
    """Names of the variables that the process which started this one was started with."""
    try:
        raw = Path(f"/proc/{os.getppid()}/environ").read_bytes()
    except OSError:
        return set()
    return {one.partition(b"=")[0].decode(errors="replace") for one in raw.split(b"\0")}
