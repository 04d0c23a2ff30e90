"""llama.cpp, in process: GGUF files at any of their quantisations, through llama.h's own functions.

Prompts of all rows go in first, `batch` tokens at a time, then one token of each row a step, greedy, in one context
whose rows are sequences of their own. What lies between two steps is one foreign call and the largest of each row's
logits, found where llama.cpp left them: `scripts/compare_llama_bench.py` holds it against llama.cpp's own bench tool.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from bench.errors import UnsupportedError, extra
from bench.gguf_files import mixture, tools, types, ways
from bench.runners import Encoded, OnStep
from bench.runners.llama_cpp.options import Options
from bench.schema import PRECISIONS, Environment, Model, ModelFacts, Precision
from bench.schema.precision import kv_cache
from bench.sensors import environment

if TYPE_CHECKING:
    from bench.runners.llama_cpp import engine, files

KV_TYPES = {"int8": "q8_0", "int4": "q4_0"}
INSTALL = extra("llamacpp")
FIRST_TOKENS = 256
"""Of the context that is made while loading: it says which attention is used, and that keys and values can be kept."""


class LlamaCppRunner:
    """One deployment: a GGUF file with these options."""

    Options: ClassVar[type[BaseModel]] = Options
    PACKAGES: ClassVar[Sequence[str]] = ("xllamacpp",)
    ENGINE: ClassVar[Sequence[str]] = ("numpy", "bench.runners.llama_cpp.engine")

    def __init__(self, model: Model, precision: Precision, options: BaseModel) -> None:
        assert isinstance(options, Options)
        self._model_choice, self._precision, self._options = model, precision, options
        self._wanted: files.Wanted | None = None
        self._model: engine.Model | None = None
        self._context: engine.Context | None = None
        self._kv_type = "f16"
        self._held: tuple[list[list[int]], int] | None = None
        """Prompts whose first tokens are in the context, and how many."""

    @classmethod
    def room_bytes(cls, options: BaseModel, environment: Environment) -> int | None:
        """All of the machine's memory with the wheel, which computes on the CPU alone; unknown for another build."""
        assert isinstance(options, Options)
        if options.library is not None and options.gpu_layers != 0:
            return None
        return environment.memory_limit_bytes or environment.memory_total_bytes

    @classmethod
    def lacking(cls, options: BaseModel, environment: Environment) -> tuple[str, str] | None:
        """Reason and remedy where the build that is named is not there."""
        from bench.runners.llama_cpp import library

        assert isinstance(options, Options)
        try:
            if options.library is not None:
                library.file_of(options.library)
        except UnsupportedError as error:
            return error.reason, error.remedy
        return None

    @classmethod
    def devices(cls, options: BaseModel) -> int | None:
        """None with the wheel, which computes on the CPU alone, whatever accelerators there are."""
        assert isinstance(options, Options)
        if options.library is None or options.gpu_layers == 0:
            return 0
        shares = len(options.tensor_split or ())
        return shares if shares > 1 else None

    @classmethod
    def tokens_at_once(cls, options: BaseModel) -> int | None:
        """Those of a `ubatch`, whatever was submitted."""
        assert isinstance(options, Options)
        return options.ubatch

    @classmethod
    def extra(cls) -> str | None:
        return "llamacpp"

    @classmethod
    def needs(cls, options: BaseModel) -> Mapping[str, str]:
        """The wheel, unless the options name a build of one's own."""
        assert isinstance(options, Options)
        return {"numpy": "", **({"xllamacpp": ">=2026.10"} if options.library is None else {})}

    @classmethod
    def precisions(cls, environment: Environment) -> dict[str, str | None]:
        found: dict[str, str | None] = {}
        for name in PRECISIONS:
            if name in (*types.FILE_TYPES, *types.AS_STORED):
                found[name] = None
            else:
                found[name] = "GGUF files have no such type: use fp32, bf16, fp16, q8_0, q4_k_m, …"
        if tools.quantize() is None:
            made_here = (*types.PLAIN, *ways.NUMPY_PACKS, *mixture.MADE_HERE)
            why = f"a file of that type works; to have one made, {ways.WITH_TOOLS}"
            found |= {name: why for name in types.FILE_TYPES if name not in made_here}
        why = "a file of that type works; none is made, because that needs an importance matrix"
        found |= dict.fromkeys(types.NEEDS_IMPORTANCE, why)
        if "xllamacpp" not in environment.packages:
            why = f"needs xllamacpp: {INSTALL}; or your own build, by the option library"
            found |= dict.fromkeys((*types.FILE_TYPES, *types.AS_STORED), why)
        found["served"] = "is what an endpoint runs; here name one"
        return found

    def prepare(self) -> bool:
        from bench.runners.llama_cpp import files

        self._wanted = files.find(self._model_choice, self._precision)
        return files.make(self._wanted)

    def load(self) -> ModelFacts:
        from bench.runners.llama_cpp import facts, files, library
        from bench.runners.llama_cpp.engine import Context, Model

        self._kv_type = _kv_type(self._precision)
        opened = library.find(self._options.library)
        if self._wanted is None or not self._wanted.made.is_ready:
            self.prepare()
        assert self._wanted is not None
        head = files.read(self._wanted)
        self._model = Model(opened, self._wanted.path, self._options)
        self._context = Context(self._model, 1, FIRST_TOKENS, self._kv_type, self._threads())
        return facts.collect(
            self._model,
            self._context,
            head,
            kv_type=self._kv_type,
            threads=self._threads(),
            weights_id=self._wanted.weights_id(),
            is_random=self._wanted.is_random,
            notes=self._wanted.made.notes,
        )

    def generate(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: OnStep
    ) -> Sequence[Sequence[int]]:
        import numpy as np

        rows, length = len(prompts), len(prompts[0])
        held, self._held = self._held, None
        kept = held[1] if held is not None and held[0] == [list(row) for row in prompts] else 0
        if held is not None and not kept and self._context is not None:
            self._context.clear()
        context = self._context_for(rows, length + output_tokens, keeps=bool(kept))
        tokens = np.asarray(prompts, np.int32)
        found = np.empty((rows, output_tokens), np.int32)
        try:
            last = context.read(tokens[:, kept:], kept)
            found[:, 0] = last
            on_step(rows)
            for step in range(1, output_tokens):
                last = context.step(last, length + step - 1)
                found[:, step] = last
                on_step(rows)
        finally:
            context.clear()
        return found.tolist()

    def keep_prefix(self, prompts: Sequence[Sequence[int]], cached_tokens: int) -> None:
        """Hold keys and values of the first tokens of each row for the next `generate`.

        How long that will be is not known here: where it needs a larger context, it takes them over, computing none.
        """
        import numpy as np

        context = self._context_for(len(prompts), len(prompts[0]) + 1)
        context.clear()
        context.read(np.asarray(prompts, np.int32)[:, :cached_tokens], 0, answer=False)
        self._held = [list(row) for row in prompts], cached_tokens

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int] | None:
        from bench.runners.llama_cpp import text as texts_of

        counted = [texts_of.tokens(self._loaded(), one) for one in texts]
        return None if any(one is None for one in counted) else [len(one or ()) for one in counted]

    def encode(self, text: str) -> Encoded:
        from bench.runners.llama_cpp import text as texts_of

        return texts_of.encode(self._loaded(), text)

    def logits(self, rows: Sequence[Sequence[int]]) -> Any:
        from bench.runners.llama_cpp import text as texts_of

        return texts_of.logits(self._context_for(1, len(rows[0])), rows)

    def out_of_memory(self, error: BaseException) -> bool:
        from bench.runners.llama_cpp.engine import EngineError, lacks_memory

        return isinstance(error, MemoryError) or (isinstance(error, EngineError) and lacks_memory(str(error)))

    def _threads(self) -> int:
        return self._options.threads or environment.usable_cpus()

    def _loaded(self) -> "engine.Model":
        if self._model is None:
            raise UnsupportedError("the model was asked for something before load", "call load first")
        return self._model

    def _context_for(self, rows: int, length: int, *, keeps: bool = False) -> "engine.Context":
        """The context that is there where it fits, else a new one in its place; `keeps`: with what was read so far."""
        from bench.runners.llama_cpp.engine import Context

        model = self._loaded()
        if self._context is None or not self._context.fits(rows, length):
            read = self._context.taken() if keeps and self._context is not None else []
            if self._context is not None:
                self._context.close()
                self._context = None
            self._context = Context(model, rows, length, self._kv_type, self._threads())
            self._context.take_back(read)
        return self._context


def _kv_type(precision: Precision) -> str:
    """How keys and values are kept. Raises UnsupportedError for a format or an option that llama.cpp does not have."""
    kept = kv_cache(precision)
    if kept is None:
        return "f16"
    if kept.format not in KV_TYPES or kept.model_dump(exclude_defaults=True, exclude={"format"}):
        raise UnsupportedError(
            f"llama.cpp keeps keys and values as int8 or int4 in blocks of its own, without options: not {kept.format}",
            "use kv-int8 or kv-int4, and leave other options of kv_cache out",
        )
    return KV_TYPES[kept.format]


Runner = LlamaCppRunner
