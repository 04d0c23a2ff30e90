"""`python -m bench.execute.worker FD`: the child process that measures one replicate of one cell.

Reads a job as one JSON line from standard input, writes messages as JSON lines to the pipe FD, and waits after each
announcement for the parent's "go": the parent draws its progress first and then sleeps, so that nothing of ours runs
while a round is timed. Under load the processes that are timed are others than this one, and it tells how they stand
twice a second; "stop" ends such a run with what there is. Standard output and error belong to the engine and end up in
the cell's log. When the parent is gone (end of input, or the kernel's death signal), the child ends too.
"""

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from bench import runners
from bench.errors import BrokenContractError, DoesNotFitError, InputError, UnsupportedError, UnwrittenError
from bench.execute.commands import Commands
from bench.measure import offline
from bench.models import sample_text
from bench.schema import Failure, Job, Live, Measurement, Profile, Scored, Serving

PR_SET_PDEATHSIG = 1

OnLive = Callable[[Live], None]
StopAsked = Callable[[], bool]


class Message(BaseModel):
    """One line from the child: an announcement of the next pass, how a load stands, or how the job ended."""

    phase: str | None = None
    estimate_s: float | None = Field(None, allow_inf_nan=False)
    live: Live | None = None
    status: str | None = None
    error: Failure | None = None
    measurement: Measurement | None = None
    serving: Serving | None = None
    scored: Scored | None = None
    profile: Profile | None = None
    unwritten: int | None = Field(None, description="errno, where a file of the results could not be written")


def main(fd: int) -> None:
    """Measure the job on standard input and report through `fd`."""
    _die_with_parent()
    commands = Commands(sys.stdin.fileno())
    job = Job.model_validate_json(commands.next() or "")
    out = os.fdopen(fd, "w", encoding="utf-8", buffering=1)

    is_stopped = False

    def announce(phase: str, estimate_s: float | None) -> None:
        nonlocal is_stopped
        _send(out, Message(phase=phase, estimate_s=estimate_s))
        line = commands.next()
        if line is None:
            os._exit(1)  # the parent is gone: nobody would keep the result
        is_stopped = is_stopped or line == "stop"  # in the place of "go", by a Ctrl-C at that very moment

    def live(standing: Live) -> None:
        _send(out, Message(live=standing))

    _send(out, _measured(job, announce, live, lambda: is_stopped or commands.holds("stop")))
    out.flush()
    # Engines leave threads and exit hooks behind that can hang or crash; the result is already with the parent.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _measured(
    job: Job, announce: offline.Announce, live: OnLive = lambda _: None, stop_asked: StopAsked = lambda: False
) -> Message:
    """What came of a job; whatever the engine raises becomes a typed failure."""
    runner: runners.Runner | None = None
    phase = ""

    def told(name: str, estimate_s: float | None) -> None:
        nonlocal phase
        phase = name
        announce(name, estimate_s)

    try:
        kind = runners.find(job.cell.runner.name)
        options = kind.Options.model_validate(job.cell.runner.options)
        runner = kind(job.cell.model, job.cell.precision, options)
        return _result(job, runner, told, live, stop_asked)
    except UnsupportedError as error:
        return Message(status="unsupported", error=Failure(reason=error.reason, remedy=error.remedy))
    except DoesNotFitError as error:
        return Message(status="oom", error=Failure(reason=error.reason, remedy=error.remedy))
    except UnwrittenError as error:
        failure = Failure(reason=f"its results could not be written: {error}")
        return Message(status="crashed", error=failure, unwritten=error.errno)
    except BrokenContractError as error:
        return Message(status="invalid", error=Failure(reason=str(error), remedy="report this to the runner's authors"))
    except InputError as error:
        return Message(status="invalid", error=Failure(reason=error.lines[0]))
    except Exception as error:
        with suppress(OSError):  # the log's disk may be full; the reason goes to the parent all the same
            traceback.print_exc()
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        is_importing = phase == "loading" and not isinstance(error, MemoryError)
        if runner is not None and is_importing and not _is_imported(runner):
            return Message(
                status="unsupported",
                error=Failure(reason=f"the engine cannot be imported ({reason})", remedy=f"repair it in {sys.prefix}"),
            )
        if isinstance(error, MemoryError) or (runner is not None and runner.out_of_memory(error)):
            return Message(
                status="oom", error=Failure(reason=reason, remedy="smaller batch, shorter input, fewer bits")
            )
        return Message(status="crashed", error=Failure(reason=reason))


def _is_imported(runner: runners.Runner) -> bool:
    """Whether importing the engine came to its end: what fails is taken out of the loaded modules again."""
    return all(module in sys.modules for module in runner.ENGINE)


def _result(
    job: Job, runner: runners.Runner, announce: offline.Announce, live: OnLive, stop_asked: StopAsked
) -> Message:
    if job.cell.traffic is not None:
        from bench.measure.serving import conductor  # an offline job needs no HTTP

        assert isinstance(runner, runners.Serves)
        served = conductor.serve(job, runner.endpoint(), announce, live, stop_asked)
        return Message(status="ok", serving=served)
    prepare_s = offline.prepared(runner, announce)
    if job.purpose == "quality":
        _check_scoring(job, runner)
        from bench.measure import quality  # torch, which a runner that loads nothing can do without

        return Message(status="ok", scored=quality.score(job, runner, announce))
    if job.purpose == "profile":
        from bench.measure import profile

        return Message(status="ok", profile=profile.profile(job, runner, announce))
    measured = offline.measure(job.cell, job.replicate, runner, announce)
    said = {"prepare_s": prepare_s}
    return Message(status="ok", measurement=_counted(job, runner, measured.model_copy(update=said)))


def _check_scoring(job: Job, runner: runners.Runner) -> None:
    """A text is scored with torch, wherever the engine is. Raises UnsupportedError where that cannot be."""
    if not isinstance(runner, runners.ScoresText):
        raise UnsupportedError(f"the runner {job.cell.runner.name} scores no text", "use the runner transformers")
    lacking = [name for name in ("numpy", "torch") if find_spec(name) is None]
    if lacking:
        python = job.cell.runner.python or "python"
        reason = f"a quality pass needs {' and '.join(lacking)}, and {sys.prefix} has none"
        raise UnsupportedError(reason, f"{python} -m pip install {' '.join(lacking)}")


def _counted(job: Job, runner: runners.Runner, measured: Measurement) -> Measurement:
    """With the tokens of the sample text, once a cell: dollars per character need them, and they never change."""
    if job.replicate != 0 or not isinstance(runner, runners.CountsTokens):
        return measured
    parts = sample_text.sample_parts()
    try:
        counts = runner.count_tokens(list(parts.values()))
    except Exception:
        traceback.print_exc()  # into the cell's log; a tokenizer that fails spoils no measurement
        return measured
    if counts is None or min(counts) <= 0:
        return measured
    said = {"text_tokens": dict(zip(parts, counts, strict=True)), "text_sha256": sample_text.sha256()}
    return measured.model_copy(update={"facts": measured.facts.model_copy(update=said)})


def _send(out: Any, message: Message) -> None:
    out.write(message.model_dump_json(exclude_none=True) + "\n")
    out.flush()


def _die_with_parent() -> None:
    """Ask the kernel to end this process with its parent, and to pick it first when memory runs out."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:
        pass  # a container may forbid it; the parent still writes the record


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except json.JSONDecodeError:
        sys.exit("bench.execute.worker is started by `bench run`")
