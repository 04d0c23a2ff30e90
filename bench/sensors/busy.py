"""Whether something else wants this machine."""

import os
from pathlib import Path

_PSI = Path("/proc/pressure/cpu")


def cpu_stalled_s() -> float | None:
    """Total time for which some task of the machine waited for a CPU (Linux PSI); None where nothing counts it."""
    try:
        text = _PSI.read_text(encoding="ascii")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("some "):
            return int(line.rpartition("total=")[2]) / 1e6
    return None


def load_average() -> float | None:
    """Runnable tasks, averaged over one minute."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
