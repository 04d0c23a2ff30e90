"""llama.cpp in process, as its tests try it: a Llama of two layers with random weights, on one thread.

On one thread, so that a busy neighbour does not hold up a barrier.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.gguf_files import make
from bench.runners import llama_cpp
from bench.runners.llama_cpp import library
from bench.runners.llama_cpp.options import Options
from bench.schema import Checkpoint, Model, Precision

needs_wheel = pytest.mark.skipif(
    library.wheel_version() is None, reason="needs the extra llamacpp: pip install xllamacpp"
)

STORED = Checkpoint(name="checkpoint")
SIZES = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
}


def tiny_file(folder: Path) -> Path:
    """Such a model, F32."""
    path = folder / "tiny.gguf"
    make.random_weights(SIZES, "fp32", path)
    return path


def runner_of(source: Path | str, precision: Precision = STORED, **options: Any) -> llama_cpp.LlamaCppRunner:
    return llama_cpp.LlamaCppRunner(Model(source=str(source)), precision, Options(**{"threads": 1, **options}))


def prompts(rows: int, length: int) -> list[list[int]]:
    return np.random.default_rng(rows).integers(0, SIZES["vocab_size"], (rows, length)).tolist()  # type: ignore[call-overload, no-any-return]


def generated(runner: llama_cpp.LlamaCppRunner, rows: Sequence[Sequence[int]], new: int) -> list[list[int]]:
    return [list(row) for row in runner.generate(rows, new, lambda _: None)]
