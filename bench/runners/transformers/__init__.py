"""transformers, in process: the model's own `forward`, greedy, one step at a time.

Prefill is one forward over the prompt that keeps only the last position's logits; each decode step is one forward over
one token a row. `model.generate` does the same work and adds 1 to 3 ms a step for logits processors, stopping criteria
and input preparation, so the plain loop is the engine's speed (`scripts/compare_generate` shows the comparison and
docs/metrics.md quotes it). A static cache writes keys and values in place, where the dynamic one copies the whole
cache each step. A prefix that is in the cache before the clock starts goes through one more forward of its own.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.errors import UnsupportedError
from bench.runners import Encoded, OnStep
from bench.runners.transformers import devices, stored
from bench.schema import PRECISIONS, Environment, Fp8, Gguf, Model, ModelFacts, Precision, Profile
from bench.schema.precision import GGUF_NAMES
from bench.sensors import environment

_SIZE = re.compile(r"\d+(\.\d+)?\s*([KMGT]i?B)", re.IGNORECASE)

LIBRARIES = {"torchao": "torchao", "hqq": "hqq", "quanto": "optimum-quanto"}
"""How the names of a library's precisions begin → what is installed for them; the extra is called like the former."""

NOT_ON_CPUS = {"torchao-fp8dq": "needs a product of fp8: a GPU from Ada or MI300 on"}
NO_KERNEL_ON_CPUS = "runs, but no CPU kernel: dequantised before each product"
SLOW_ON_CPUS = (
    *("torchao-int8wo", "torchao-fp8wo", "hqq-int8", "hqq-int4", "hqq-int3", "hqq-int2"),
    *("quanto-int2", "quanto-fp8"),
)


class Options(BaseModel):
    """Typed options of this runner."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto (the first GPU, else the CPU), cpu, cuda, cuda:N or mps",
    )
    device_map: Literal["auto", "balanced", "balanced_low_0", "sequential"] | dict[str, int | str] | None = Field(
        None, description="accelerate's placement over several devices; leave device at auto"
    )
    max_memory: dict[str, str] | None = Field(
        None, description="with device_map: device → limit, such as {'0': '20GiB', cpu: '60GiB'}"
    )
    tensor_parallel: int = Field(
        1, ge=1, description="devices over which every matrix is split: GPUs, one process each, or processes on the CPU"
    )
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"] = Field(
        "auto", description="attention implementation; auto is what transformers picks"
    )
    cache: Literal["auto", "static", "dynamic"] = Field(
        "auto", description="KV cache; auto is static where the model can, else dynamic"
    )
    compile: bool = Field(False, description="torch.compile the decode step; its time is in first_generate_s")
    compile_mode: Literal["default", "reduce-overhead", "max-autotune"] = Field(
        "default", description="mode given to torch.compile"
    )
    threads: int | None = Field(
        None, ge=1, description="CPU threads of a process; default one for each usable core, shared by the ranks"
    )

    @model_validator(mode="after")
    def _not_contradictory(self) -> "Options":
        """An option that would be ignored is refused: its number would stand under the wrong name."""
        if self.device_map is not None and self.device != "auto":
            raise ValueError("device and device_map contradict each other; leave device at auto")
        if self.max_memory is not None and self.device_map is None:
            raise ValueError("max_memory does nothing without device_map; add device_map: auto")
        if self.max_memory is not None and not all(_SIZE.fullmatch(size) for size in self.max_memory.values()):
            raise ValueError("max_memory sizes are written like 20GiB or 500MB")
        if self.tensor_parallel > 1 and self.device_map is not None:
            raise ValueError("tensor_parallel and device_map contradict each other; keep one of them")
        if self.tensor_parallel > 1 and self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"device: {self.device} is one device, tensor_parallel takes several; leave it at auto")
        if self.tensor_parallel > 1 and self.compile:
            raise ValueError("compile and tensor_parallel do not go together here; use compile: false")
        if self.compile_mode != "default" and not self.compile:
            raise ValueError("compile_mode does nothing without compile: true")
        if self.compile and self.cache == "dynamic":
            raise ValueError("torch.compile recompiles at every step with a dynamic cache; use cache: static")
        return self


class TransformersRunner:
    """One deployment: a model at a precision with these options."""

    Options: ClassVar[type[BaseModel]] = Options
    PACKAGES: ClassVar[Sequence[str]] = (
        "torch",
        "transformers",
        "bitsandbytes",
        "torchao",
        "hqq",
        "optimum-quanto",
        "accelerate",
        "compressed-tensors",
        "gptqmodel",
        "kernels",
        "flash-attn",
        "triton",
        "gguf",
        "safetensors",
    )
    ENGINE: ClassVar[Sequence[str]] = ("torch", "transformers.modeling_utils", "bench.runners.transformers.load")

    def __init__(self, model: Model, precision: Precision, options: BaseModel) -> None:
        assert isinstance(options, Options)
        self._model_choice = model
        self._precision = precision
        self._options = options
        self._loop: Any = None
        self._loaded: Any = None
        self._ranks: Any = None

    @classmethod
    def room_bytes(cls, options: BaseModel, environment: Environment) -> int | None:
        """Bytes that this deployment may fill, from what was detected; None where that cannot be said."""
        assert isinstance(options, Options)
        ram = environment.memory_limit_bytes or environment.memory_total_bytes
        gpus = devices.visible(environment)
        if options.device in ("cpu", "mps") or gpus == ():
            return ram
        if gpus is None or any(gpu.memory_bytes is None for gpu in gpus):
            return None
        sizes = [gpu.memory_bytes or 0 for gpu in gpus]
        if options.device_map is not None:
            return sum(sizes) + ram
        if options.tensor_parallel > 1:  # every rank holds as much, so that the smallest device is full first
            return options.tensor_parallel * min(sizes[: options.tensor_parallel], default=0) or None
        index = int(options.device.partition(":")[2] or 0)
        return sizes[index] if index < len(sizes) else None

    @classmethod
    def lacking(cls, options: BaseModel, environment: Environment) -> tuple[str, str] | None:
        """Why the devices that were detected are too few for these options, and what would do; None if they do."""
        assert isinstance(options, Options)
        gpus = devices.count(environment)
        return None if gpus is None else devices.lacking(options, gpus, environment.cpu_usable)

    @classmethod
    def needs(cls, options: BaseModel) -> Mapping[str, str]:
        return {"torch": "", "transformers": ">=5", "accelerate": ""}

    @classmethod
    def precisions(cls, environment: Environment) -> dict[str, str | None]:
        absent = [name for name in ("torch", "transformers", "accelerate") if name not in environment.packages]
        if absent:
            return dict.fromkeys(PRECISIONS, f"needs {' and '.join(absent)}: pip install {' '.join(absent)}")
        found: dict[str, str | None] = dict.fromkeys(PRECISIONS)
        if not environment.accelerators:
            found["fp16"] = "runs, but no CPU has fast fp16 kernels in torch: use bf16 or fp32"
            found |= dict.fromkeys(SLOW_ON_CPUS, NO_KERNEL_ON_CPUS) | NOT_ON_CPUS
        elif environment.packages["torch"].endswith("+cpu"):
            found = dict.fromkeys(PRECISIONS, "runs on the CPU only: this torch is a CPU build; install a CUDA build")
        if "bitsandbytes" not in environment.packages:
            for name in ("int8", "nf4", "fp4"):
                found[name] = "needs bitsandbytes: pip install bitsandbytes"
        for name in found:
            library = LIBRARIES.get(name.partition("-")[0])
            if library is not None and library not in environment.packages:
                extra = name.partition("-")[0]
                found[name] = f"needs {library}: pip install {library} (with scripts/bench: BENCH_EXTRAS={extra})"
        for method in stored.NEEDS:
            lacking = stored.lacking(method)
            if lacking:
                found[method] = f"needs {' and '.join(lacking)}: pip install {' '.join(lacking)}"
        if not environment.accelerators:
            found[stored.GGUF] = "packed GGUF has no kernel for a CPU: use bf16, which unpacks the file"
        able = [method for method in stored.NEEDS if found[method] is None]
        found["checkpoint"] = f"works for {', '.join(able)}" if able else "needs a library of its format; see those"
        found["served"] = "is what an endpoint runs; here name one"
        found |= dict.fromkeys(GGUF_NAMES, "llama.cpp's own: use the runner llama.cpp")
        found["fp8"] = "vLLM's own: use the runner vllm, or torchao-fp8dq"
        return found

    def load(self) -> ModelFacts:
        _refuse_other_engines(self._precision)
        if self._options.tensor_parallel == 1:
            from bench.runners.transformers import load

            load.check_devices(self._options)
            return self.load_here()
        from bench.runners.transformers.ranks import Ranks

        self._ranks = Ranks(self._model_choice, self._precision, self._options)
        with self._ranks.loading():
            own = self.load_here()
        facts: ModelFacts = self._ranks.facts_of_all(own)
        return facts

    def load_here(self) -> ModelFacts:
        """Load what this process holds: the whole model, or one rank's share of it."""
        import torch

        from bench.runners.transformers import facts, load
        from bench.runners.transformers.loop import Loop

        # bitsandbytes logs a line for each int8 product and transformers one for each odd setting.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        # torch follows the affinity of the process and not a container's quota: more threads would only be throttled.
        usable = max(1, environment.usable_cpus() // self._options.tensor_parallel)
        torch.set_num_threads(self._options.threads or min(torch.get_num_threads(), usable))
        split = self._options.tensor_parallel > 1
        place = load.sharded().place(load.sharded().own_rank()) if split else load.device(self._options.device)
        loaded = load.load(self._model_choice, self._precision, self._options, place)
        self._loaded = loaded
        self._loop = Loop(
            loaded.network,
            self._options.cache,
            self._options.compile,
            self._options.compile_mode,
            kv_cache=loaded.kv_cache,
            inference_mode=loaded.inference_mode,
        )
        first = not split or load.sharded().own_rank() == 0
        return facts.collect(loaded, self._model_choice, self._loop.cache_kind, self._loop.compiled, named=first)

    def generate(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: OnStep
    ) -> Sequence[Sequence[int]]:
        if self._loop is None:
            raise UnsupportedError("generate was called before load", "call load first")
        with self._together("generate", prompts, output_tokens):
            tokens: Sequence[Sequence[int]] = self._loop.generate(prompts, output_tokens, on_step)
        if self._ranks is not None:
            self._ranks.agree(tokens)
        return tokens

    def keep_prefix(self, prompts: Sequence[Sequence[int]], cached_tokens: int) -> None:
        """Hold keys and values of the first tokens of each row for the next `generate`."""
        if self._loop is None:
            raise UnsupportedError("keep_prefix was called before load", "call load first")
        with self._together("keep_prefix", prompts, cached_tokens):
            self._loop.keep_prefix(prompts, cached_tokens)

    def _together(self, what: str, *arguments: Any) -> AbstractContextManager[None]:
        """Have the other ranks do the same meanwhile, where there are any."""
        return nullcontext() if self._ranks is None else self._ranks.together(what, *arguments)

    def reset_device_peaks(self) -> None:
        """Start new peaks of device memory in the processes other than this one."""
        if self._ranks is not None:
            self._ranks.reset_device_peaks()

    def device_peaks(self) -> Mapping[str, int]:
        """Bytes that torch allocated and reserved at most in the processes other than this one, all of them added."""
        return {} if self._ranks is None else self._ranks.device_peaks()

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int] | None:
        from bench.runners.transformers import text as scoring

        try:
            tokenizer = scoring.tokenizer(self._model_choice)
        except UnsupportedError:
            return None  # random weights, or a checkpoint without its tokenizer
        return [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]

    def encode(self, text: str) -> Encoded:
        from bench.runners.transformers import text as scoring

        return scoring.encode(self._model_choice, self._loaded, text)

    def logits(self, rows: Sequence[Sequence[int]]) -> Any:
        from bench.runners.transformers import text as scoring

        with self._together("logits", rows):
            return scoring.logits(self._loaded, rows)

    def language_model(self) -> Any:
        from bench.runners.transformers import tasks

        self._check_alone("tasks ask")

        return tasks.language_model(self._model_choice, self._loaded)

    def profile(self, prompts: Sequence[Sequence[int]], output_tokens: int, facts: ModelFacts) -> Profile:
        from bench.runners.transformers.profile import profile

        self._check_alone("a profile needs")

        return profile(self._loaded.network, self._loop, prompts, output_tokens, facts)

    def _check_alone(self, what: str) -> None:
        if self._ranks is not None:
            raise UnsupportedError(f"{what} a network in one process", "leave tensor_parallel out")

    def out_of_memory(self, error: BaseException) -> bool:
        import torch

        if isinstance(error, MemoryError | torch.OutOfMemoryError) or getattr(error, "out_of_memory", False):
            return True
        text = str(error)
        return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)


Runner = TransformersRunner


def _refuse_other_engines(precision: Precision) -> None:
    """Raises UnsupportedError for levels that another engine alone has, before anything heavy is imported."""
    if isinstance(precision, Gguf):
        raise UnsupportedError(
            f"transformers does not compute on {precision.name}, a type of llama.cpp's GGUF files",
            "use the runner llama.cpp, or a level such as bf16 or nf4",
        )
    if isinstance(precision, Fp8):
        raise UnsupportedError("fp8 is vLLM's own", "use the runner vllm, or torchao-fp8dq or torchao-fp8wo")
