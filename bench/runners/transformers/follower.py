"""`python -m bench.runners.transformers.follower FD`: one of the ranks 1 … N − 1 of a tensor parallel model.

Does what the first rank tells it through FD and answers with one message each; both sides are `ranks.py`'s. Ends when
the first rank does: its pipe is then closed, and while this process waits in a collective the kernel ends it.
"""

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from bench.errors import DoesNotFitError, UnsupportedError
from bench.runners.transformers import TransformersRunner

PR_SET_PDEATHSIG = 1


def main(fd: int) -> None:
    """Load a share and run the same forwards as the first rank until the pipe ends."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    pipe = Connection(fd)
    model, precision, options = pipe.recv()
    runner = TransformersRunner(model, precision, options)
    try:
        deeds = _ready(pipe, runner, options.tensor_parallel)
        while True:
            what, arguments = pipe.recv()
            pipe.send(("done", deeds[what](*arguments)))
    except EOFError:
        os._exit(0)  # the first rank has ended
    except Exception as error:  # noqa: BLE001  whatever it is, the first rank has to hear of it
        traceback.print_exc()
        pipe.send(("failed", _said(error, runner)))
        os._exit(1)  # at once: the others wait for this rank in a collective, and its closed sockets free them


def _ready(pipe: Connection, runner: TransformersRunner, ranks: int) -> dict[str, Callable[..., Any]]:
    """Import the engine, meet the others, and what this rank can be told to do."""
    import torch

    from bench.runners.transformers import sharded
    from bench.runners.transformers.ranks import digest

    pipe.send(("done", "imported"))
    sharded.join(sharded.own_rank(), ranks)

    def generate(prompts: Sequence[Sequence[int]], output_tokens: int) -> str:
        return digest(runner.generate(prompts, output_tokens, lambda _: None))

    def logits(rows: Sequence[Sequence[int]]) -> None:
        runner.logits(rows)

    def device_peaks() -> dict[str, int]:
        if not torch.cuda.is_available():
            return {}
        return {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}

    def reset_device_peaks() -> None:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    return {
        "load_here": runner.load_here,
        "generate": generate,
        "keep_prefix": runner.keep_prefix,
        "logits": logits,
        "device_peaks": device_peaks,
        "reset_device_peaks": reset_device_peaks,
    }


def _said(error: Exception, runner: TransformersRunner) -> dict[str, str]:
    """An error, as the first rank raises it again."""
    if isinstance(error, UnsupportedError):
        return {"kind": "unsupported", "reason": error.reason, "remedy": error.remedy}
    if isinstance(error, DoesNotFitError):
        return {"kind": "does not fit", "reason": error.reason, "remedy": error.remedy}
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return {"kind": "oom" if runner.out_of_memory(error) else "crashed", "reason": reason}


if __name__ == "__main__":
    main(int(sys.argv[1]))
