"""Peak rates as vendors state them, from the dated list that comes with the package."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from bench.hardware import parts
from bench.schema import Accelerator, Ceiling

LIST = "accelerator_specs.csv"
TOLERANCE = 0.1
"""Of memory sizes: closer than for prices, because a cut-down part (64 GB of 80) has other rates."""
EQUAL_FP16 = ("NVIDIA", "AMD")
"""Vendors whose matrix units have one dense rate for fp16 and bf16, in every listed part that has both."""

_FP16 = re.compile(r"\bfp16 (\d+)(?= TFLOPS|;|$)")
# Sold under the same number with other clocks or memory; a list's row is about one only if it says so too.
_VARIANT = re.compile(r"\b(Ti|SUPER|D|Laptop|Mobile|Max-Q|Server|NVL)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Spec:
    """One row of the list; rates are dense, None where the source does not say."""

    part: str
    vendor: str
    memory_gb: float | None
    read_bytes_per_s: float | None
    bf16_flops_per_s: float | None
    fp16_flops_per_s: float | None
    int8_flops_per_s: float | None
    source: str

    def ceiling(self, device: Accelerator) -> Ceiling:
        """As the ceiling of a device. No list states a copy rate, or an fp32 rate of the kind that torch reaches."""
        rates = {"bf16": self.bf16_flops_per_s, "fp16": self.fp16_flops_per_s, "int8": self.int8_flops_per_s}
        return Ceiling(
            device=device.name,
            read_bytes_per_s=self.read_bytes_per_s,
            gemm_flops_per_s={kind: rate for kind, rate in rates.items() if rate is not None},
        )


@cache
def specs() -> tuple[Spec, ...]:
    """Every row of the list."""
    text = files("bench.data").joinpath(LIST).read_text(encoding="utf-8")
    return tuple(_spec(raw) for raw in csv.DictReader(text.splitlines()))


def find(device: Accelerator) -> Spec | None:
    """The one row that is about this device; None for an unknown part, a slice, and a name that two rows fit."""
    if parts.is_slice(device):
        return None
    found = [
        spec
        for spec in specs()
        if parts.same_part(_with_form(spec.part), _formed(device))
        and parts.same_memory(spec.memory_gb, device, TOLERANCE)
        and _variant(spec.part) == _variant(device.name)
    ]
    return found[0] if len(found) == 1 else None


def _formed(device: Accelerator) -> Accelerator:
    return device.model_copy(update={"name": _with_form(device.name)})


def _with_form(name: str) -> str:
    """With the form that an H100's memory tells: HBM3 is soldered to the SXM board alone, HBM2e is the PCIe card's."""
    if "H100" not in name.upper():
        return name
    return re.sub(r"\bHBM3\b", "SXM", re.sub(r"\bHBM2e\b", "PCIe", name))


def _variant(name: str) -> frozenset[str]:
    return frozenset(word.upper() for word in _VARIANT.findall(name))


def _spec(raw: dict[str, str]) -> Spec:
    bf16 = _scaled(raw["bf16_dense_tflops"], 1e12)
    noted = _FP16.search(raw["note"])
    fp16 = float(noted.group(1)) * 1e12 if noted else bf16 if raw["vendor"] in EQUAL_FP16 else None
    return Spec(
        part=raw["accelerator"],
        vendor=raw["vendor"],
        memory_gb=_scaled(raw["mem_gb"], 1.0),
        read_bytes_per_s=_scaled(raw["mem_bw_gbs"], 1e9),
        bf16_flops_per_s=bf16,
        fp16_flops_per_s=fp16,
        int8_flops_per_s=_scaled(raw["int8_dense_tops"], 1e12),
        source=raw["source_flops_bw_mem"],
    )


def _scaled(text: str, factor: float) -> float | None:
    return float(text) * factor if text else None
