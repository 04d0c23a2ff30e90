"""Whether a line of a list is about a detected device: by part, size and form. Vendors, drivers and shops name one part
in many ways ("H100 80GB SXM", "NVIDIA H100 80GB HBM3")."""

import re

from bench.schema import Accelerator

_PART = re.compile(r"(?<![A-Z0-9])(GB200|GB300|RTX PRO 6000|RTX \d{4}|MI\d{3}X?|[ABHLTV]\d{1,3}[SG]?)\b", re.IGNORECASE)
_MEMORY = re.compile(r"(\d+)\s*GB", re.IGNORECASE)
_NVL = re.compile(r"\bNVL\b", re.IGNORECASE)
NVL_FROM_GB = 90
"""Between an H100 of 80 GB (85.5e9 bytes as its driver reports them) and one of 94 GB."""
_FORM = re.compile(r"(PCIe|SXM)", re.IGNORECASE)


def is_slice(device: Accelerator) -> bool:
    """A part of a device (MIG): no list tells what it costs or does."""
    return "MIG" in device.name.upper().split()


def same_part(listed: str, device: Accelerator) -> bool:
    """The same part, and not of another form where both names say theirs."""
    one, other = _PART.search(listed), _PART.search(device.name)
    if one is None or other is None or one.group().upper() != other.group().upper():
        return False
    if one.group().upper() == "H100" and not _same_h100(_is_nvl(listed, None), _is_nvl(device.name, device)):
        return False
    form, own_form = _FORM.search(listed), _FORM.search(device.name)
    return not (form and own_form and form.group().upper() != own_form.group().upper())


def _same_h100(listed: bool | None, own: bool | None) -> bool:
    """One of 94 GB is called NVL: a line that says nothing of it is not about it."""
    return bool(listed) if own else not (listed and own is False)


def _is_nvl(name: str, device: Accelerator | None) -> bool | None:
    """Whether an H100 is the one of 94 GB, which the tolerance of sizes would take for one of 80. None: unsaid."""
    if _NVL.search(name):
        return True
    gb = memory_gb(name)
    if gb is None and device is not None and device.memory_bytes is not None:
        gb = device.memory_bytes / 1e9
    if _FORM.search(name):
        return False
    return None if gb is None else gb >= NVL_FROM_GB


def memory_gb(listed: str) -> float | None:
    """The size that a list's name for a part states."""
    found = _MEMORY.search(listed)
    return float(found.group(1)) if found else None


def same_memory(listed_gb: float | None, device: Accelerator, tolerance: float = 0.2) -> bool:
    """Sizes agree within `tolerance`, or one is not said.

    Drivers report binary gigabytes less what they keep for themselves.
    """
    if listed_gb is None or device.memory_bytes is None:
        return True
    return abs(device.memory_bytes / 1e9 / listed_gb - 1) < tolerance
