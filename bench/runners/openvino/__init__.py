"""OpenVINO GenAI, in process: GGUF files that its reader takes, and folders in OpenVINO's own format. No torch.

Of its two pipelines `LLMPipeline` streams one row alone, and of a batch it tells nothing before the end. So rows go
through `ContinuousBatchingPipeline`, which computes one step at a call and hands over that step's tokens; at batch 1 it
was within 4 % of the other one (docs/openvino.md). A static batch is a schedule without limits: all prompts in
one step, then a token of each row a step. Continuous scheduling is the engine's own: prompts in pieces of 256 tokens
beside rows that generate already.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from bench.errors import UnsupportedError, extra
from bench.runners import OnStep
from bench.runners.openvino.options import Options
from bench.schema import PRECISIONS, Environment, Model, ModelFacts, Precision
from bench.schema.precision import kv_cache

READ = ("checkpoint", "gguf", "fp16", "q4_0", "q4_1", "q4_k_s", "q4_k_m", "q6_k", "q8_0")
NO_LIMIT = 1 << 24
"""Tokens and rows of a step: more than any batch has. Nothing is set aside for them."""

ENGINES_TOKENS = 256
"""OpenVINO's own limit of a step with continuous scheduling."""

OF_CPU = ("CPU", "AUTO:CPU", "MULTI:CPU", "HETERO:CPU")

Chosen = Options

INSTALL = extra("openvino")


class OpenVinoRunner:
    """One deployment: a model at a precision with these options."""

    Options: ClassVar[type[BaseModel]] = Options
    PACKAGES: ClassVar[Sequence[str]] = ("openvino-genai", "openvino", "openvino-tokenizers")
    ENGINE: ClassVar[Sequence[str]] = ("numpy", "openvino", "openvino_genai")

    def __init__(self, model: Model, precision: Precision, options: BaseModel) -> None:
        assert isinstance(options, Options)
        self._model, self._precision, self._options = model, precision, options
        self._wanted: Any = None
        self._pipeline: Any = None
        self._tokenizer: Any = None
        self._path = ""
        self._properties: dict[str, object] = {}
        self._is_continuous = False
        self._requests = 0

    @classmethod
    def room_bytes(cls, options: BaseModel, environment: Environment) -> int | None:
        """The machine's memory for a CPU; for other devices OpenVINO alone knows."""
        assert isinstance(options, Options)
        if options.device not in OF_CPU:
            return None
        return environment.memory_limit_bytes or environment.memory_total_bytes

    @classmethod
    def devices(cls, options: BaseModel) -> int | None:
        """None of the accelerators unless a device is named: its own default is the CPU."""
        assert isinstance(options, Options)
        return 0 if options.device in OF_CPU else None

    @classmethod
    def extra(cls) -> str | None:
        return "openvino"

    @classmethod
    def needs(cls, options: BaseModel) -> Mapping[str, str]:
        return {"openvino-genai": ">=2026.4", "numpy": ""}

    @classmethod
    def precisions(cls, environment: Environment) -> dict[str, str | None]:
        """Every precision by name: None where it works here, else why not."""
        if "openvino-genai" not in environment.packages:
            return dict.fromkeys(PRECISIONS, f"needs openvino-genai: {INSTALL}")
        why = "OpenVINO makes no such weights while it loads; it reads fp16, q8_0, q6_k, q4_1, q4_0 and its own folders"
        found = {name: None if name in READ else why for name in PRECISIONS}
        for name in ("bf16", "fp32"):
            found[name] = "its GGUF reader takes no such matrices; works for folders that are stored so"
        found["served"] = "is what an endpoint runs; here name one"
        return found

    def prepare(self) -> bool:
        from bench.runners.llama_cpp import files as gguf
        from bench.runners.openvino import files

        if files.is_ir(self._model):
            return False
        self._wanted = files.find(self._model, self._precision)
        return gguf.make(self._wanted)

    def load(self) -> ModelFacts:
        from bench.runners.openvino import facts, files

        options = self._with_kv()
        core = self._core()
        used = facts.devices(core, options.device)
        if files.is_ir(self._model):
            source = files.of_ir(self._model, self._precision)
        else:
            if self._wanted is None or not self._wanted.path.is_file():
                self.prepare()
            source = files.of_gguf(self._wanted)
        self._path, self._properties = str(source.path), options.properties()
        try:
            found = facts.settings(core, options.device, self._properties)
            fewer = facts.own_threads(found, options)
            if fewer is not None:
                self._properties["INFERENCE_NUM_THREADS"] = fewer
                found = facts.settings(core, options.device, self._properties)
            self._pipeline = self._made(is_continuous=False)
        except RuntimeError as error:
            if self.out_of_memory(error):
                raise
            raise UnsupportedError(f"OpenVINO cannot load {source.path.name} ({said(error)})", files.WAYS) from None
        self._tokenizer = self._pipeline.get_tokenizer()
        return facts.collect(source, used, found, options, core)

    def generate(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: OnStep
    ) -> Sequence[Sequence[int]]:
        rows, steps = len(prompts), 0

        def when_all_have(found: Sequence[Sequence[int]], _: int) -> None:
            nonlocal steps
            # Rows differ where a step had no room for all of them; step k is over when the last row has token k.
            for _ in range(min(len(row) for row in found) - steps):
                steps += 1
                on_step(rows)

        return self._run(prompts, output_tokens, when_all_have, is_continuous=False)

    def generate_continuously(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: OnStep
    ) -> Sequence[Sequence[int]]:
        """The first call makes a pipeline with this schedule in the other one's place."""

        def when_some_have(_: Sequence[Sequence[int]], new: int) -> None:
            if new:
                on_step(new)

        return self._run(prompts, output_tokens, when_some_have, is_continuous=True)

    def _run(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, tell: Any, *, is_continuous: bool
    ) -> list[list[int]]:
        """Add all rows and step until they are done; `tell` hears the tokens so far and how many rows got one."""
        import numpy as np
        from openvino import Tensor  # type: ignore[import-untyped]
        from openvino_genai import GenerationConfig  # type: ignore[import-untyped]

        if self._pipeline is None:
            raise UnsupportedError("generate was called before load", "call load first")
        if is_continuous is not self._is_continuous:
            self._pipeline = None  # two would hold the weights twice
            self._pipeline = self._made(is_continuous=is_continuous)
            self._is_continuous = is_continuous
        pipeline = self._pipeline
        asked = GenerationConfig(
            max_new_tokens=output_tokens, ignore_eos=True, do_sample=False, apply_chat_template=False
        )
        found: list[list[int]] = [[] for _ in prompts]
        handles = []
        try:
            for row in prompts:
                handles.append(pipeline.add_request(self._requests, Tensor(np.array([row], np.int64)), asked))
                self._requests += 1
            while pipeline.has_non_finished_requests():
                pipeline.step()
                new = 0
                for handle, tokens in zip(handles, found, strict=True):
                    if handle.can_read():
                        new += 1
                        for output in handle.read().values():
                            tokens += output.generated_ids
                tell(found, new)
        except BaseException:
            for handle in handles:
                handle.stop()
            if pipeline.has_non_finished_requests():
                pipeline.step()  # lets go of their blocks
            raise
        return found

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int] | None:
        if self._tokenizer is None:
            return None
        try:
            return [self._tokenizer.encode(text, add_special_tokens=False).input_ids.shape[1] for text in texts]
        except RuntimeError:
            return None  # a folder that was exported without its tokenizer

    def out_of_memory(self, error: BaseException) -> bool:
        if isinstance(error, MemoryError):
            return True
        text = str(error).lower()
        signs = ("bad_alloc", "out of memory", "out_of_resources", "cannot allocate", "failed to allocate")
        return isinstance(error, RuntimeError) and any(sign in text for sign in signs)

    def _with_kv(self) -> Chosen:
        """The options, with the precision's own word on keys and values. Raises UnsupportedError for one it lacks."""
        kept = kv_cache(self._precision)
        if kept is None:
            return self._options
        if kept.format != "int8" or kept.model_dump(exclude_defaults=True, exclude={"format"}):
            raise UnsupportedError(
                f"OpenVINO is not asked to keep keys and values as {kept.format} with options: of packed ones u8 alone "
                "was right here (u4 corrupted its memory)",
                "use kv-int8 without options, or leave kv_cache out",
            )
        if self._options.kv_cache not in (None, "u8"):
            raise UnsupportedError(
                f"kv-int8 and the option kv_cache: {self._options.kv_cache} contradict each other", "leave one out"
            )
        return self._options.model_copy(update={"kv_cache": "u8"})

    def _core(self) -> Any:
        try:
            import openvino
            import openvino_genai  # noqa: F401
        except ImportError as error:
            raise UnsupportedError(f"OpenVINO GenAI is not installed ({error})", INSTALL) from None
        return openvino.Core()

    def _made(self, *, is_continuous: bool) -> Any:
        from openvino_genai import ContinuousBatchingPipeline, SchedulerConfig

        options, limits = self._options, SchedulerConfig()
        limits.enable_prefix_caching = False  # prompts are new in every round; blocks would only be kept
        limits.cache_size = options.cache_gb or 0
        limits.dynamic_split_fuse = is_continuous or options.max_batched_tokens is not None
        limits.max_num_batched_tokens = options.max_batched_tokens or (ENGINES_TOKENS if is_continuous else NO_LIMIT)
        limits.max_num_seqs = NO_LIMIT  # rows beyond it would wait; with continuous scheduling it is not looked at
        if self._tokenizer is None:
            return ContinuousBatchingPipeline(self._path, limits, options.device, self._properties)
        return ContinuousBatchingPipeline(self._path, self._tokenizer, limits, options.device, **self._properties)


def said(error: Exception) -> str:
    """The last line of what OpenVINO said: those before it name its own source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


Runner = OpenVinoRunner
