"""What can be chosen of OpenVINO, each under a plain name; docs/openvino.md has the engine's own."""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

DEVICES = r"(CPU|GPU(\.\d+)?|NPU|(AUTO|MULTI|HETERO)(:(CPU|GPU(\.\d+)?|NPU)(,(CPU|GPU(\.\d+)?|NPU))*)?)"
OF_CPUS = ("threads", "cpu_pinning", "hyper_threading")
"""Options that the CPU plugin alone has."""

TYPES = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "u8": "u8"}
"""Our names of number formats → OpenVINO's."""


class Options(BaseModel):
    """Typed options of this runner; what is left out is OpenVINO's own default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(
        "CPU",
        description="CPU, GPU, GPU.N, NPU, or AUTO, MULTI, HETERO, also with devices: AUTO:GPU,CPU",
        json_schema_extra={"pattern": f"^{DEVICES}$"},
    )
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads (INFERENCE_NUM_THREADS)")
    streams: int | None = Field(
        None, ge=1, le=1024, description="requests that could be computed at once (NUM_STREAMS)"
    )
    performance_hint: Literal["latency", "throughput", "cumulative_throughput"] | None = Field(
        None, description="what OpenVINO tunes its threads and streams for (PERFORMANCE_HINT)"
    )
    execution_mode: Literal["performance", "accuracy"] | None = Field(
        None, description="accuracy: fp32 products, plain keys and values, no dynamic quantisation"
    )
    inference_precision: Literal["fp32", "bf16", "fp16"] | None = Field(
        None, description="type of the products (INFERENCE_PRECISION_HINT); default what the device is best at"
    )
    kv_cache: Literal["u8", "fp16", "bf16", "fp32"] | None = Field(
        None, description="how keys and values are kept (KV_CACHE_PRECISION); default mostly u8 on a CPU"
    )
    dynamic_quantization_group: int | None = Field(
        None, ge=0, description="activations that share a scale in products with packed weights; 0: none are quantised"
    )
    cpu_pinning: bool | None = Field(None, description="bind threads to cores (ENABLE_CPU_PINNING)")
    hyper_threading: bool | None = Field(None, description="both threads of a core (ENABLE_HYPER_THREADING)")
    cache_gb: int | None = Field(None, ge=1, description="GB of keys and values, taken at once; default as it grows")
    max_batched_tokens: int | None = Field(
        None, ge=1, description="most tokens of a step; default all prompts of a batch at once, 256 with continuous"
    )

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, value: str) -> str:
        if not re.fullmatch(DEVICES, value):
            raise ValueError("must be CPU, GPU, GPU.N, NPU, AUTO, MULTI or HETERO, also with devices: AUTO:GPU,CPU")
        return value

    @model_validator(mode="after")
    def _not_contradictory(self) -> "Options":
        """An option that would be ignored is refused: its number would stand under the wrong name."""
        if self.device.startswith(("GPU", "NPU")):
            given = [name for name in OF_CPUS if getattr(self, name) is not None]
            if given:
                raise ValueError(f"{given[0]} is for the CPU and does nothing on {self.device}; leave it out")
        if self.streams is not None and self.performance_hint is not None:
            raise ValueError("performance_hint chooses the streams; leave it or streams out")
        if self.execution_mode == "accuracy":
            if self.inference_precision not in (None, "fp32"):
                raise ValueError(f"execution_mode: accuracy computes in fp32, not in {self.inference_precision}")
            if self.dynamic_quantization_group:
                raise ValueError("execution_mode: accuracy does not quantise activations; leave one of the two out")
        return self

    def properties(self) -> dict[str, object]:
        """The same in OpenVINO's own words; what is left out stays out."""
        hint, mode = self.performance_hint, self.execution_mode
        said = {
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": self.streams,
            "PERFORMANCE_HINT": None if hint is None else hint.upper(),
            "EXECUTION_MODE_HINT": None if mode is None else mode.upper(),
            "INFERENCE_PRECISION_HINT": TYPES.get(self.inference_precision or ""),
            "KV_CACHE_PRECISION": TYPES.get(self.kv_cache or ""),
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": self.dynamic_quantization_group,
            "ENABLE_CPU_PINNING": self.cpu_pinning,
            "ENABLE_HYPER_THREADING": self.hyper_threading,
        }
        return {name: value for name, value in said.items() if value is not None}
