"""What this machine is. Reads names and versions; imports no engine."""

import math
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from bench import __version__
from bench.schema import Environment
from bench.sensors import nvidia

INSTRUMENT = 3
"""Raised when a change of the harness can move a figure (CHANGELOG, Numbers): records of two are not pooled."""


@cache
def detect(packages: tuple[str, ...] = ()) -> Environment:
    """This machine, detected once, with the installed versions of the named distributions."""
    memory = psutil.virtual_memory()
    return Environment(
        bench_version=__version__,
        bench_revision=_revision(),
        python=platform.python_version(),
        packages=_versions(packages),
        instrument=INSTRUMENT,
        system=f"{platform.system()} {platform.release()}",
        cpu_model=_cpu_model(),
        cpu_logical=psutil.cpu_count() or 1,
        cpu_physical=psutil.cpu_count(logical=False),
        cpu_usable=usable_cpus(),
        cpu_affinity=_affinity(),
        cpu_flags=_cpu_flags(),
        cpu_smt=_smt(),
        cpu_governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        numa_nodes=len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or None,
        virtual_machine=_virtual(),
        memory_total_bytes=memory.total,
        memory_limit_bytes=memory_limit_bytes(),
        accelerators=nvidia.accelerators(),
    )


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


_X86 = "sse4_2 avx avx2 fma f16c avx_vnni avx512f avx512bw avx512dq avx512vl avx512_vnni avx512_bf16 avx512_fp16"
_AMX = "amx_tile amx_bf16 amx_int8 amx_fp16"
_ARM = "asimd asimdhp asimddp fphp bf16 i8mm sve sve2 sme"
KERNEL_FLAGS = frozenset(f"{_X86} {_AMX} {_ARM}".split())
"""Instruction sets that matrix libraries choose their kernels by (x86 and Arm names of the Linux kernel)."""


def _cpu_flags() -> tuple[str, ...]:
    return tuple(sorted(_all_flags() & KERNEL_FLAGS))


def _all_flags() -> set[str]:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith(("flags", "Features")):
            return set(line.partition(":")[2].split())
    return set()


def _virtual() -> bool | None:
    """Whether a hypervisor runs this system; x86 alone says so in a flag."""
    flags = _all_flags()
    return "hypervisor" in flags if "avx" in flags or "sse4_2" in flags else None


def _smt() -> bool | None:
    text = _read("/sys/devices/system/cpu/smt/active")
    return text == "1" if text in ("0", "1") else None


def _affinity() -> tuple[int, ...] | None:
    try:
        return tuple(sorted(os.sched_getaffinity(0)))
    except AttributeError:
        return None


def usable_cpus() -> int:
    """CPUs that this process may use: its affinity, or a container's quota where that is less."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:
        allowed = os.cpu_count() or 1
    quota = (_read("/sys/fs/cgroup/cpu.max") or "").split()
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit() and int(quota[1]):
        allowed = min(allowed, max(1, math.ceil(int(quota[0]) / int(quota[1]))))
    return allowed


def memory_limit_bytes() -> int | None:
    """The control group's limit where it is below the machine's memory, else None."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(path)
        if text and text.isdigit() and int(text) < psutil.virtual_memory().total:
            return int(text)
    return None


def _cpu_model() -> str:
    text = _read("/proc/cpuinfo") or ""
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _revision() -> str | None:
    """The commit of a source checkout, marked when the package differs from it."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=root, capture_output=True, text=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--", "bench"], cwd=root, capture_output=True, text=True
        )
    except OSError:
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("+changed" if changed.stdout.strip() else "")


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
