"""llama.cpp's names and numbers: types of tensors (block formats, exact) and types of files (mixtures of them).

Numbers and block sizes: `ggml_type` in ggml/include/ggml.h and `llama_ftype` in include/llama.h of llama.cpp. A file's
type says what most of its matrices are: llama-quantize keeps vectors in F32 and gives the output head, some layers and
rows that no block fits other types (src/llama-quant.cpp), so that a file's bits a weight are those of its own tensors.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.schema.precision import GGUF_NAMES, Precision


@dataclass(frozen=True)
class TensorType:
    """One of ggml's types: so many values in a block of so many bytes, scales included."""

    number: int
    name: str
    values: int
    block_bytes: int

    @property
    def bits(self) -> float:
        """Bits a value, scales included."""
        return 8.0 * self.block_bytes / self.values

    def bytes_of(self, values: int) -> int:
        """Bytes of so many values, whole blocks of them."""
        return values // self.values * self.block_bytes


TENSOR_TYPES: Mapping[int, TensorType] = {
    number: TensorType(number, name, values, size)
    for number, name, values, size in (
        (0, "F32", 1, 4),
        (1, "F16", 1, 2),
        (2, "Q4_0", 32, 18),
        (3, "Q4_1", 32, 20),
        (6, "Q5_0", 32, 22),
        (7, "Q5_1", 32, 24),
        (8, "Q8_0", 32, 34),
        (9, "Q8_1", 32, 36),
        (10, "Q2_K", 256, 84),
        (11, "Q3_K", 256, 110),
        (12, "Q4_K", 256, 144),
        (13, "Q5_K", 256, 176),
        (14, "Q6_K", 256, 210),
        (15, "Q8_K", 256, 292),
        (16, "IQ2_XXS", 256, 66),
        (17, "IQ2_XS", 256, 74),
        (18, "IQ3_XXS", 256, 98),
        (19, "IQ1_S", 256, 50),
        (20, "IQ4_NL", 32, 18),
        (21, "IQ3_S", 256, 110),
        (22, "IQ2_S", 256, 82),
        (23, "IQ4_XS", 256, 136),
        (24, "I8", 1, 1),
        (25, "I16", 1, 2),
        (26, "I32", 1, 4),
        (27, "I64", 1, 8),
        (28, "F64", 1, 8),
        (29, "IQ1_M", 256, 56),
        (30, "BF16", 1, 2),
        (34, "TQ1_0", 256, 54),
        (35, "TQ2_0", 256, 66),
        (39, "MXFP4", 32, 17),
        (40, "NVFP4", 64, 36),
        (41, "Q1_0", 128, 18),
        (42, "Q2_0", 64, 18),
    )
}
"""By the number that a file holds; numbers that are not here were removed from the format, or are newer."""

BY_NAME: Mapping[str, TensorType] = {one.name: one for one in TENSOR_TYPES.values()}

FILE_TYPES: Mapping[str, int] = {
    "fp32": 0,
    "fp16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q8_0": 7,
    "q5_0": 8,
    "q5_1": 9,
    "q2_k": 10,
    "q3_k_s": 11,
    "q3_k_m": 12,
    "q3_k_l": 13,
    "q4_k_s": 14,
    "q4_k_m": 15,
    "q5_k_s": 16,
    "q5_k_m": 17,
    "q6_k": 18,
    "iq2_xxs": 19,
    "iq2_xs": 20,
    "iq3_xs": 22,
    "iq3_xxs": 23,
    "iq1_s": 24,
    "iq4_nl": 25,
    "iq3_s": 26,
    "iq3_m": 27,
    "iq2_s": 28,
    "iq2_m": 29,
    "iq4_xs": 30,
    "iq1_m": 31,
    "bf16": 32,
    "tq1_0": 36,
    "tq2_0": 37,
    "mxfp4": 38,
}
"""A precision's name → `general.file_type`."""

PRECISION_OF: Mapping[int, str] = {number: name for name, number in FILE_TYPES.items()}

MOST_OF: Mapping[str, str] = {
    "fp32": "F32",
    "fp16": "F16",
    "bf16": "BF16",
    "q2_k": "Q2_K",
    **dict.fromkeys(("q3_k_s", "q3_k_m", "q3_k_l"), "Q3_K"),
    **dict.fromkeys(("q4_k_s", "q4_k_m"), "Q4_K"),
    **dict.fromkeys(("q5_k_s", "q5_k_m"), "Q5_K"),
    "q6_k": "Q6_K",
    "iq2_s": "IQ2_XS",
    "iq2_m": "IQ2_S",
    **dict.fromkeys(("iq3_xs", "iq3_s", "iq3_m"), "IQ3_S"),
    **{name: name.upper() for name in ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "tq1_0", "tq2_0", "mxfp4")},
    **{name: name.upper() for name in ("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq3_xxs", "iq4_nl", "iq4_xs")},
}
"""A precision's name → the tensor type that llama-quantize starts from (`llama_ftype_get_default_type`)."""

PLAIN = {"fp32": "F32", "fp16": "F16", "bf16": "BF16"}
AS_STORED = ("checkpoint", "gguf", "served")
"""Precisions that mean a file as it is."""

NEEDS_IMPORTANCE = ("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs")
"""Types that llama-quantize makes with an importance matrix alone (`tensor_requires_imatrix`)."""


def is_gguf(precision: Precision) -> bool:
    """Whether a precision is one that GGUF files have: theirs, a plain one, or the file's own."""
    return precision.name in FILE_TYPES or precision.name in AS_STORED


def written(name: str) -> str:
    """A precision's name as llama.cpp's people write it.

    >>> written("q4_k_m"), written("fp16")
    ('Q4_K_M', 'F16')
    """
    return PLAIN.get(name, name.upper() if name in GGUF_NAMES else name)


def quantise_name(name: str) -> str:
    """What llama-quantize calls the type of a precision."""
    return "MXFP4_MOE" if name == "mxfp4" else written(name)
