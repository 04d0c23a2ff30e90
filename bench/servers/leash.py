"""`python -I -S leash.py PARENT WORD…`: becomes the command, after asking the kernel to end it with its parent.

A program of its own, because code between fork and exec is unsafe in a parent that has threads. Imports nothing of
ours, so that it takes some 20 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, words: list[str]) -> None:
    """Never returns. Exits 127 when the command cannot be run."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # the parent went before it could be watched
    try:
        os.execvp(words[0], words)  # noqa: S606
    except OSError as error:
        print(f"command not found: {words[0]} ({error.strerror})", file=sys.stderr, flush=True)
        os._exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
