"""ONNX Runtime GenAI, in process: a folder in its own format (genai_config.json), greedy, one step at a time. No torch.

`python -m onnxruntime_genai.models.builder` makes such a folder of a checkpoint (docs/openvino.md has the command and
what it needs). A generator is made for each generation, as its API has it, and its cache of the whole length with it:
that is part of the first step. An end token cannot be chosen before the last step, because the least length is asked
for; a row's prompt is computed whole, with all other rows, in the first step.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.errors import UnsupportedError, extra
from bench.metrics import footprint
from bench.models import catalogue
from bench.models.checksum import checksum
from bench.runners import OnStep
from bench.schema import PRECISIONS, Environment, Model, ModelFacts, Precision
from bench.schema.precision import kv_cache
from bench.sensors import environment

SETTINGS = "genai_config.json"
BUILDER = "python -m onnxruntime_genai.models.builder -i CHECKPOINT -o FOLDER -p int4 -e cpu (docs/openvino.md)"
PLAIN = {"fp32": "float32", "fp16": "float16"}
PROVIDERS = {"cuda": "cuda:0", "dml": "dml:0", "webgpu": "webgpu:0"}
INSTALL = extra("ort")


class Options(BaseModel):
    """Typed options of this runner; what is left out is as the folder's genai_config.json has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Literal["cpu", "cuda", "dml", "webgpu"] | None = Field(
        None, description="execution provider; default the folder's own, mostly what it was built for"
    )
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads of a product (intra_op_num_threads)")
    spinning: bool | None = Field(
        None, description="threads that wait spin instead of sleeping (session.intra_op.allow_spinning)"
    )

    @model_validator(mode="after")
    def _not_contradictory(self) -> "Options":
        """An option that would be ignored is refused: its number would stand under the wrong name."""
        for name in ("threads", "spinning"):
            if self.provider not in (None, "cpu") and getattr(self, name) is not None:
                raise ValueError(f"{name} is for the CPU and does nothing with provider: {self.provider}; leave it out")
        return self

    def overlay(self, usable: int) -> dict[str, Any]:
        """What of genai_config.json is changed; one thread for each core that may be used, unless it says otherwise."""
        session: dict[str, Any] = {}
        if self.provider in (None, "cpu"):
            session["intra_op_num_threads"] = self.threads or usable
        if self.spinning is not None:
            session["session.intra_op.allow_spinning"] = str(int(self.spinning))
        return {"model": {"decoder": {"session_options": session}}} if session else {}


class OrtRunner:
    """One deployment: a folder with these options."""

    Options: ClassVar[type[BaseModel]] = Options
    PACKAGES: ClassVar[Sequence[str]] = ("onnxruntime-genai", "onnxruntime", "onnxruntime-genai-cuda")
    ENGINE: ClassVar[Sequence[str]] = ("numpy", "onnxruntime_genai")

    def __init__(self, model: Model, precision: Precision, options: BaseModel) -> None:
        assert isinstance(options, Options)
        self._choice, self._precision, self._options = model, precision, options
        self._model: Any = None

    @classmethod
    def room_bytes(cls, options: BaseModel, environment: Environment) -> int | None:
        """The machine's memory for a CPU; what another provider may fill is not known here."""
        assert isinstance(options, Options)
        if options.provider not in (None, "cpu"):
            return None
        return environment.memory_limit_bytes or environment.memory_total_bytes

    @classmethod
    def devices(cls, options: BaseModel) -> int | None:
        """None of the accelerators unless a provider is named: most folders were built for the CPU."""
        assert isinstance(options, Options)
        return 0 if options.provider in (None, "cpu") else None

    @classmethod
    def extra(cls) -> str | None:
        return "ort"

    @classmethod
    def needs(cls, options: BaseModel) -> Mapping[str, str]:
        return {"onnxruntime-genai": ">=0.18", "numpy": ""}

    @classmethod
    def precisions(cls, environment: Environment) -> dict[str, str | None]:
        """Every precision by name: None where it works here, else why not."""
        if not any(name in environment.packages for name in cls.PACKAGES if name.startswith("onnxruntime-genai")):
            return dict.fromkeys(PRECISIONS, f"needs onnxruntime-genai: {INSTALL}")
        why = "folders are loaded as they were built: use checkpoint, and one folder for each precision"
        return {name: None if name in ("checkpoint", *PLAIN) else why for name in PRECISIONS}

    def load(self) -> ModelFacts:
        folder = _folder(self._choice)
        told, sizes = _json(folder / SETTINGS), _json(folder / "config.json")
        stored = _stored(folder, told)
        _check(self._precision, stored)
        try:
            import onnxruntime_genai as engine
        except ImportError as error:
            raise UnsupportedError(f"ONNX Runtime GenAI is not installed ({error})", INSTALL) from None
        usable = environment.usable_cpus()
        try:
            config = engine.Config(str(folder))
            if self._options.provider is not None:
                config.clear_providers()
                if self._options.provider != "cpu":
                    config.append_provider(self._options.provider)
            if changed := self._options.overlay(usable):
                config.overlay(json.dumps(changed))
            self._model = engine.Model(config)
        except RuntimeError as error:
            if self.out_of_memory(error):
                raise
            raise UnsupportedError(
                f"ONNX Runtime cannot load {folder.name} ({_said(error)})", "build it anew"
            ) from None
        return self._facts(folder, told, sizes, stored, usable)

    def generate(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: OnStep
    ) -> Sequence[Sequence[int]]:
        import numpy as np
        import onnxruntime_genai as engine

        if self._model is None:
            raise UnsupportedError("generate was called before load", "call load first")
        rows, length = len(prompts), len(prompts[0]) + output_tokens
        asked = engine.GeneratorParams(self._model)
        asked.set_search_options(
            batch_size=rows, max_length=length, min_length=length, do_sample=False, num_beams=1, repetition_penalty=1.0
        )
        generator = engine.Generator(self._model, asked)
        generator.append_tokens(np.array(prompts, np.int32))
        steps = []
        for _ in range(output_tokens):
            generator.generate_next_token()
            steps.append(generator.get_next_tokens())
            on_step(rows)
        return [[int(step[row]) for step in steps] for row in range(rows)]

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int] | None:
        import onnxruntime_genai as engine

        try:
            tokenizer = engine.Tokenizer(self._model)
        except RuntimeError:
            return None  # a folder that was built without its tokenizer
        return [len(tokenizer.encode(text)) for text in texts]

    def out_of_memory(self, error: BaseException) -> bool:
        text = str(error).lower()
        signs = ("bad_alloc", "out of memory", "failed to allocate", "bfcarena")
        return isinstance(error, MemoryError) or (
            isinstance(error, RuntimeError) and any(sign in text for sign in signs)
        )

    def _facts(
        self, folder: Path, told: Mapping[str, Any], sizes: dict[str, Any], stored: str, usable: int
    ) -> ModelFacts:
        shape, decoder = footprint.shape(sizes), told["model"]["decoder"]
        if shape is None:
            raise UnsupportedError(f"the sizes in {folder.name}/config.json are of no known architecture", BUILDER)
        files = _weight_files(folder)
        size = sum(path.stat().st_size for path in files)
        place = PROVIDERS.get(str(self._model.device_type).lower(), "cpu")
        values = 2 * decoder["num_hidden_layers"] * decoder["num_key_value_heads"] * decoder["head_size"]
        kept = 4 if place == "cpu" and stored != "fp16" else 2
        return ModelFacts(
            parameters=shape.parameters,
            weights_bytes=size,
            kv_bytes_per_token=values * kept,
            vocab_size=told["model"]["vocab_size"],
            max_positions=told["model"].get("context_length"),
            weights_id=checksum(files),
            files={path.name: checksum([path]) or "" for path in files},
            config=footprint.sizes(sizes),
            dtype=PLAIN.get(stored, stored),
            device=place,
            placement={place: size},
            threads=(self._options.threads or usable) if place == "cpu" else None,
            cache="f32" if kept == 4 else "f16",
            compiled=True,
            kernel=f"{stored} as the folder was built" if stored not in PLAIN else None,
        )


def _folder(model: Model) -> Path:
    """Raises UnsupportedError for what is no folder of ONNX Runtime GenAI's."""
    folder = Path(model.source)
    if catalogue.kind(model) != "folder" or not (folder / SETTINGS).is_file():
        raise UnsupportedError(
            f"{catalogue.label(model)} is no folder with a {SETTINGS}, all that ONNX Runtime GenAI reads",
            f"make one: {BUILDER}, and copy the checkpoint's config.json into it",
        )
    return folder


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if path.name == SETTINGS:
            for key in ("num_hidden_layers", "num_key_value_heads", "head_size"):
                int(found["model"]["decoder"][key])
        return dict(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnsupportedError(
            f"{path.parent.name}/{path.name} cannot be read ({error})", f"build it anew: {BUILDER}"
        ) from None


def _stored(folder: Path, told: Mapping[str, Any]) -> str:
    """How matrices are stored: int4 and int8 by the names that the builder gives them, else by their bytes a value."""
    name = str(told["model"]["decoder"].get("filename", "model.onnx"))
    try:
        graph = (folder / name).read_bytes()
    except OSError as error:
        raise UnsupportedError(
            f"{folder.name}/{name} cannot be read ({error.strerror})", f"build it anew: {BUILDER}"
        ) from None
    packed = re.search(rb"MatMul\.weight_Q([248])", graph)
    if packed:
        return f"int{packed[1].decode()}"
    shape = footprint.shape(_json(folder / "config.json"))
    size = sum(path.stat().st_size for path in _weight_files(folder))
    return "fp32" if shape is None or size > 3 * shape.parameters else "fp16"


def _weight_files(folder: Path) -> list[Path]:
    """Weights are beside the graph, or in it where they are few."""
    return sorted(folder.glob("*.onnx.data")) or sorted(folder.glob("*.onnx"))


def _check(precision: Precision, stored: str) -> None:
    if kv_cache(precision) is not None:
        raise UnsupportedError("ONNX Runtime GenAI keeps keys and values as the folder was built", "leave kv_cache out")
    if precision.name not in ("checkpoint", stored) or precision.name == "int8":
        raise UnsupportedError(
            f"this folder is stored as {stored}, not as {precision.name}", f"use precision: checkpoint, or {BUILDER}"
        )


def _said(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


Runner = OrtRunner
