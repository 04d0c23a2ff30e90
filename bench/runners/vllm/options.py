"""vLLM's options that move a benchmark, by vLLM's own names where it has one."""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LoadFormat = Literal[
    "auto",
    "safetensors",
    "dummy",
    "fastsafetensors",
    "instanttensor",
    "runai_streamer",
    "runai_streamer_sharded",
    "sharded_state",
    "tensorizer",
]
"""vLLM's, less those that load pickled weights: a model's `allow_pickle` says whether that may be."""

_CPUS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")


class Options(BaseModel):
    """Typed options of this runner."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tensor_parallel: int = Field(1, ge=1, description="devices among which each layer is divided")
    pipeline_parallel: int = Field(1, ge=1, description="groups of devices among which the layers are divided")
    executor: Literal["auto", "uni", "mp"] = Field(
        "auto", description="where workers run: uni in this process, mp a process each; auto is uni for one device"
    )
    engine_process: bool = Field(
        False, description="the engine's core in a process of its own, as `LLM` has it by itself; stamps then include "
        "the way from there"
    )  # fmt: skip
    load_format: LoadFormat = Field(
        "auto", description="how weights are read; dummy: random ones at the true shapes, as shape: always has"
    )
    max_model_len: int | None = Field(
        None, ge=1, description="longest prompt and answer together; default the model's positions"
    )
    max_num_seqs: int | None = Field(None, ge=1, description="rows at once at most; default vLLM's for this device")
    max_num_batched_tokens: int | None = Field(
        None, ge=1, description="tokens in one step at most, prompts included; default vLLM's for this device"
    )
    chunked_prefill: bool | None = Field(None, description="divide long prompts among steps; default vLLM's")
    async_scheduling: bool | None = Field(
        None, description="schedule a step while the one before computes; default vLLM's, and never on a CPU"
    )
    prefix_caching: bool = Field(False, description="find beginnings of prompts again; random prompts have none")
    gpu_memory_utilization: float | None = Field(
        None, gt=0, le=1, description="share of each device's memory for weights and KV cache; default vLLM's"
    )
    kv_cache_gib: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="KV cache of each worker, in GiB; on a CPU 4 by default"
    )
    block_size: int | None = Field(None, ge=1, description="tokens in a block of the KV cache; default vLLM's")
    cpu_offload_gib: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="weights of each GPU that stay in main memory, in GiB"
    )
    enforce_eager: bool | None = Field(
        None, description="neither torch.compile nor CUDA graphs; default false on GPUs, true on a CPU"
    )
    compilation_mode: Literal["none", "stock_torch_compile", "dynamo_trace_once", "vllm_compile"] | None = Field(
        None, description="how the model is compiled; default vLLM's for this device"
    )
    cudagraph_mode: Literal["none", "piecewise", "full", "full_decode_only", "full_and_piecewise"] | None = Field(
        None, description="which steps are replayed as CUDA graphs; default vLLM's"
    )
    attention_backend: str | None = Field(
        None, pattern=r"^[A-Z0-9_]+$", description="such as FLASH_ATTN, FLASHINFER or TRITON_ATTN; default vLLM's"
    )
    threads: int | None = Field(
        None, ge=1, description="CPU: threads of each worker; default one for each usable core, divided among them"
    )
    cpu_bind: str | None = Field(
        None, description="CPU: which cores each worker's threads are bound to, such as 0-15|16-31; not with uni"
    )

    @property
    def devices(self) -> int:
        """How many devices it takes."""
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def in_process(self) -> bool:
        """Whether the model runs in the process that holds the clock."""
        return self.executor != "mp" and self.devices == 1 and not self.engine_process

    @model_validator(mode="after")
    def _not_contradictory(self) -> "Options":
        """An option that would be ignored is refused: its number would stand under the wrong name."""
        if self.executor == "uni" and self.devices > 1:
            raise ValueError(f"executor uni has one worker, and {self.devices} devices need one each; leave it at auto")
        if self.enforce_eager and (self.compilation_mode or "none") != "none":
            raise ValueError("enforce_eager compiles nothing; leave compilation_mode out")
        if self.enforce_eager and (self.cudagraph_mode or "none") != "none":
            raise ValueError("enforce_eager records no CUDA graphs; leave cudagraph_mode out")
        if self.kv_cache_gib is not None and self.gpu_memory_utilization is not None:
            raise ValueError("kv_cache_gib decides alone how large the cache is; leave gpu_memory_utilization out")
        if self.threads is not None and self.cpu_bind is not None:
            raise ValueError("cpu_bind says how many threads there are; leave threads out")
        self._check_schedule()
        self._check_bound()
        return self

    def _check_schedule(self) -> None:
        tokens, rows = self.max_num_batched_tokens, self.max_num_seqs
        if tokens is not None and rows is not None and tokens < rows:
            raise ValueError(f"a step of {tokens} tokens cannot hold a token of each of {rows} rows; raise the former")
        if self.chunked_prefill is False and None not in (tokens, self.max_model_len):
            assert tokens is not None
            assert self.max_model_len is not None
            if tokens < self.max_model_len:
                raise ValueError(
                    f"without chunked_prefill a prompt of {self.max_model_len} tokens (max_model_len) must fit into "
                    f"one step of {tokens} (max_num_batched_tokens); raise it"
                )

    def _check_bound(self) -> None:
        if self.cpu_bind is None:
            return
        lists = self.cpu_bind.split("|")
        if not all(_CPUS.fullmatch(one) for one in lists):
            raise ValueError("cpu_bind is a list of cores for each worker, such as 0-15 or 0-15|16-31")
        if len(lists) != self.devices:
            raise ValueError(f"cpu_bind has {len(lists)} lists of cores for {self.devices} workers; write one for each")
        if self.in_process:
            raise ValueError("cpu_bind binds the threads of workers that have a process each; add executor: mp")


def too_many(options: Options, on_cpu: bool, there: int) -> tuple[str, str] | None:
    """Reason and remedy where the options ask for more devices than there are."""
    if options.devices <= there:
        return None
    asked = f"tensor_parallel {options.tensor_parallel} × pipeline_parallel {options.pipeline_parallel}"
    what = ("core" if on_cpu else "GPU") + ("" if there == 1 else "s")
    found = f"there {'is' if there == 1 else 'are'} {there} {what}"
    return f"{asked} takes {options.devices} devices, and {found}", "fewer, or a machine that has them"
