"""Which precisions an engine can serve, and how: said before anything is started, never guessed."""

from collections.abc import Mapping

from bench.errors import UnsupportedError
from bench.gguf_files import types
from bench.models import quantised
from bench.schema import FourBit, Gguf, Int8, Packed, Plain, Precision
from bench.schema.precision import STORED, kv_cache
from bench.servers.weights import Weights

TORCH_NAMES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def gguf_only(precision: Precision, engine: str) -> None:
    """For engines that serve GGUF files at any of their types. Raises UnsupportedError for another precision."""
    if not types.is_gguf(precision):
        raise UnsupportedError(
            f"{engine} serves GGUF files, which have no {precision.name}",
            "use one of their types, such as q8_0, q4_k_m or bf16, or precision: checkpoint",
        )
    if isinstance(precision, Packed) and precision.backend != "auto":
        raise UnsupportedError(f"{engine} chooses its own kernel for {precision.name}", "leave backend out")


def check_stored(precision: Precision, weights: Weights) -> None:
    """Hold a precision against what the checkpoint says of itself, where it is on this machine.

    Raises UnsupportedError for a quantised checkpoint under a precision that it does not have, and for one that is
    not quantised under `checkpoint`.
    """
    if isinstance(precision, Gguf):
        raise of_llama_cpp(precision)
    settings = weights.settings()
    if settings is None or precision.name == "served":
        return
    quantised.check(precision, settings, "served")


def check_quantised(precision: Precision, engine: str) -> None:
    """Raises UnsupportedError for a level that only transformers makes here, and for a kernel chosen by name."""
    if isinstance(precision, Packed) and precision.backend != "auto":
        raise UnsupportedError(f"{engine} chooses its own kernel for {precision.name}", "leave backend out")
    if not isinstance(precision, Plain | Int8 | FourBit) and precision.name not in (*STORED, "served"):
        raise refuse(precision, engine)


def kv_type(precision: Precision, engine: str, known: Mapping[str, str]) -> str | None:
    """The engine's own name of how keys and values are kept; None where nothing is asked.

    `known`: format → name. Raises UnsupportedError for another format, and for options that the engine does not have.
    """
    kept = kv_cache(precision)
    if kept is None:
        return None
    if kept.format not in known:
        names = " or ".join(f"kv-{one}" for one in known)
        raise UnsupportedError(
            f"{engine} is not asked to keep keys and values as {kept.format}",
            f"use {names}, or leave kv_cache out" if names else "leave kv_cache out",
        )
    if kept.model_dump(exclude_defaults=True, exclude={"format"}):
        raise UnsupportedError(
            f"{engine} packs keys and values in its own way, without these options",
            "leave the format alone in kv_cache",
        )
    return known[kept.format]


def dtype(precision: Precision, engine: str, known: tuple[str, ...] = ("fp32", "fp16", "bf16")) -> str | None:
    """torch's name of a plain precision, None for another. Raises UnsupportedError for one that is not `known`."""
    if not isinstance(precision, Plain):
        return None
    if precision.name not in known:
        raise UnsupportedError(f"{engine} does not serve {precision.name}", f"use {' or '.join(known)}")
    return TORCH_NAMES[precision.name]


def check_int8(precision: Int8, engine: str) -> None:
    """For engines whose int8 keeps bitsandbytes' own threshold. Raises UnsupportedError for another one."""
    if precision.threshold != 6.0:
        raise UnsupportedError(f"{engine} has int8 with threshold 6 alone", "leave threshold out")


def check_four_bit(precision: FourBit, engine: str, name: str | None, compute: str) -> None:
    """For engines with one way of 4-bit weights: scales quantised too, products in `compute`.

    `name`: nf4 or fp4, None where both can be had. Raises UnsupportedError for any other way.
    """
    wanted = (name or precision.name, True, compute)
    if (precision.name, precision.double_quant, precision.compute_dtype) != wanted:
        raise UnsupportedError(
            f"{engine} has {wanted[0]} with quantised scales and products in {compute} alone",
            f"write {{name: {wanted[0]}, double_quant: true, compute_dtype: {compute}}}",
        )


def of_llama_cpp(precision: Gguf) -> UnsupportedError:
    """To be raised by engines that load no GGUF files."""
    return UnsupportedError(
        f"{precision.name} is a type of llama.cpp's GGUF files, which this engine is not asked to serve",
        "serve it with engine: llama.cpp, or name a level such as bf16",
    )


def refuse(precision: Precision, engine: str) -> UnsupportedError:
    """To be raised for a precision that the engine cannot make from a checkpoint while it loads."""
    return UnsupportedError(
        f"{engine} does not quantise to {precision.name} while it loads",
        "serve a checkpoint that is already quantised (precision: checkpoint), or use bf16",
    )
