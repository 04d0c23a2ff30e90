"""Whether something else wants this machine. Counters are totals; a reader takes differences."""

import os
from pathlib import Path
from types import ModuleType

resource: ModuleType | None
try:
    import resource
except ImportError:  # not a Unix
    resource = None

_PSI = Path("/proc/pressure/cpu")
_OWN_PSI = Path("/sys/fs/cgroup/cpu.pressure")
_STAT = Path("/proc/stat")
_VMSTAT = Path("/proc/vmstat")
_STEAL = 8  # the eighth number of the "cpu" line of /proc/stat (proc(5))


def cpu_stalled_s() -> float | None:
    """Total time for which some task waited for a CPU (Linux PSI); None where nothing counts it.

    Of this container where it has a count of its own: on a shared host other tenants queue on other CPUs.
    """
    for line in _lines(_OWN_PSI) or _lines(_PSI):
        if line.startswith("some "):
            return int(line.rpartition("total=")[2]) / 1e6
    return None


def cpu_stolen_s() -> float | None:
    """Total CPU time that the hypervisor gave to other machines, all CPUs together; None where nothing counts it."""
    for line in _lines(_STAT):
        if line.startswith("cpu "):
            parts = line.split()
            return int(parts[_STEAL]) / os.sysconf("SC_CLK_TCK") if len(parts) > _STEAL else None
    return None


def involuntary_switches() -> int | None:
    """How often this process had to give up a CPU that it still wanted; None where nothing counts it."""
    return None if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def major_faults() -> int | None:
    """How many pages this process had to wait for a disk for; None where nothing counts it."""
    return None if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_majflt


def swapped_bytes() -> int | None:
    """Total read from and written to swap by the whole machine; None where nothing counts it."""
    pages = [int(line.split()[1]) for line in _lines(_VMSTAT) if line.startswith(("pswpin ", "pswpout "))]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") if pages else None


def load_average() -> float | None:
    """Runnable tasks, averaged over one minute."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _lines(path: Path) -> list[str]:
    """A file of the kernel; no lines where there is none, or where it has just gone."""
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
