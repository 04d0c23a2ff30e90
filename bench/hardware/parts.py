"""Whether a line of a list is about a detected device: by part, size and form. Vendors, drivers and shops name one part
in many ways ("H100 80GB SXM", "NVIDIA H100 80GB HBM3")."""

import re

from bench.schema import Accelerator

_PART = re.compile(r"(?<![A-Z0-9])(GB200|GB300|RTX PRO 6000|RTX \d{4}|MI\d{3}X?|[ABHLTV]\d{1,3}[SG]?)\b", re.IGNORECASE)
_MEMORY = re.compile(r"(\d+)\s*GB", re.IGNORECASE)
_FORM = re.compile(r"(PCIe|SXM)", re.IGNORECASE)


def is_slice(device: Accelerator) -> bool:
    """A part of a device (MIG): no list tells what it costs or does."""
    return "MIG" in device.name.upper().split()


def same_part(listed: str, device: Accelerator) -> bool:
    """The same part, and not of another form where both names say theirs."""
    one, other = _PART.search(listed), _PART.search(device.name)
    if one is None or other is None or one.group().upper() != other.group().upper():
        return False
    form, own_form = _FORM.search(listed), _FORM.search(device.name)
    return not (form and own_form and form.group().upper() != own_form.group().upper())


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
