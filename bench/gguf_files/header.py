"""What a GGUF file says of itself: read from its first bytes, with nothing but the standard library.

Layout (docs/gguf.md of ggml): magic, version, two counts, keys with values, tensors with name, shape, type and offset,
then the data. Every count and length is held against the file's size before it is believed, so that a file that was cut
short, or made to hurt, is one line and neither a traceback nor a wait. Long arrays (the tokens of a vocabulary) are
passed over: their length is kept, not what is in them.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.gguf_files import layout
from bench.gguf_files.layout import Array, Entry, Tensor
from bench.gguf_files.types import MOST_OF, PRECISION_OF

__all__ = ["Array", "Entry", "Header", "Tensor", "config", "read"]

MODEL_TYPES = {"gptneox": "gpt_neox"}
"""llama.cpp's name of an architecture → that of its config.json, where they differ."""


@dataclass(frozen=True)
class Header:
    """One model: a file, or all parts of a split one (`files`, the first of which holds the metadata)."""

    path: Path
    files: tuple[Path, ...]
    architecture: str
    name: str
    file_type: int | None
    """`general.file_type`; None where the file does not say."""
    metadata: dict[str, Any]
    """Key → value; arrays of more than `layout.LONGEST` values, and texts longer than that, as `Array`."""
    tensors: tuple[Tensor, ...]
    entries: tuple[Entry, ...] = field(repr=False)
    """Where each key stands in the first file, to be copied as it is."""
    file_bytes: int

    @cached_property
    def parameters(self) -> int:
        """Values of all tensors but those that are computed from the sizes alone (rope factors)."""
        return sum(one.values for one in self.tensors if one.is_weight)

    @cached_property
    def weights_bytes(self) -> int:
        """Bytes of all tensors, scales included."""
        return sum(one.bytes for one in self.tensors if one.is_weight)

    @property
    def matrix_bits(self) -> float:
        """Bits a weight of the matrices inside the layers alone: what levels of other engines quantise too."""
        size = sum(one.bytes for one in self.tensors if one.is_layer_matrix)
        values = sum(one.values for one in self.tensors if one.is_layer_matrix)
        return 8.0 * size / values if values else 0.0

    @property
    def types(self) -> dict[str, int]:
        """Tensor type → bytes of it in the file, most first: the mixture."""
        found: Counter[str] = Counter()
        for one in self.tensors:
            found[one.type] += one.bytes
        return dict(found.most_common())

    @property
    def precision(self) -> str | None:
        """The file's own precision by name; where it does not say, that of its most frequent matrix type."""
        if self.file_type is not None and self.file_type in PRECISION_OF:
            return PRECISION_OF[self.file_type]
        matrices: Counter[str] = Counter()
        for one in self.tensors:
            if one.is_layer_matrix:
                matrices[one.type] += one.values
        most = next((kind for kind, _ in matrices.most_common(1)), None)
        # Of several mixtures of one type the medium one is meant, as llama.cpp guesses it.
        names = [name for name, kind in MOST_OF.items() if kind == most]
        return next((name for name in names if name.endswith("_m")), names[0] if names else None)

    @property
    def vocab_size(self) -> int | None:
        """Rows of the embedding, else the vocabulary's length; None where neither is in the file."""
        table = self.tensor("token_embd.weight")
        if table is not None and len(table.shape) == 2:
            return table.shape[1]
        for found in (self.own("vocab_size"), self.metadata.get("tokenizer.ggml.tokens")):
            if isinstance(found, int):
                return found
            if isinstance(found, Array | tuple):
                return len(found)
        return None

    @property
    def layers(self) -> int | None:
        return self.number("block_count")

    @property
    def has_tokenizer(self) -> bool:
        """Whether texts can be tokenised with it."""
        return self.metadata.get("tokenizer.ggml.model") not in (None, "no_vocab", "none")

    def tensor(self, name: str) -> Tensor | None:
        return self._by_name.get(name)

    def own(self, key: str) -> Any:
        """The value of an architecture's key, such as `block_count`; None where the file lacks it."""
        return self.metadata.get(f"{self.architecture}.{key}")

    def number(self, key: str) -> int | None:
        """The same where it is one whole number; None for a list with one for each layer that differ."""
        found = self.own(key)
        if isinstance(found, tuple) and len(set(found)) == 1:
            found = found[0]
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    @cached_property
    def _by_name(self) -> dict[str, Tensor]:
        return {one.name: one for one in self.tensors}


def read(path: Path) -> Header:
    """The header of a file, and of the other parts where it is the first of several. Weights are not read.

    Raises InputError, one line with the file, what is wrong and the remedy.
    """
    first = layout.read(path)
    tensors, files, size = list(first.tensors), [path], first.file_bytes
    count, number = first.metadata.get("split.count", 0), first.metadata.get("split.no", 0)
    if isinstance(count, int) and count > 1:
        if number != 0:
            raise InputError(f"{path}: part {number + 1} of {count} of a split GGUF file; name the first part")
        for part in _parts(path, count):
            other = layout.read(part)
            tensors += other.tensors
            files.append(part)
            size += other.file_bytes
    if not tensors:
        raise InputError(f"{path}: no weights in this GGUF file, only keys such as a vocabulary; name a model's file")
    architecture = first.metadata.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise InputError(f"{path}: no general.architecture in this GGUF file; convert the model anew")
    kind = first.metadata.get("general.file_type")
    return Header(
        path=path,
        files=tuple(files),
        architecture=architecture,
        name=str(first.metadata.get("general.name") or path.stem),
        file_type=kind if isinstance(kind, int) else None,
        metadata=first.metadata,
        tensors=tuple(tensors),
        entries=first.entries,
        file_bytes=size,
    )


def _parts(path: Path, count: int) -> list[Path]:
    """The files after the first of a split model. Raises InputError where one is not there."""
    ending = f"-00001-of-{count:05d}.gguf"
    if not path.name.endswith(ending):
        raise InputError(f"{path}: the first of {count} parts, and not named …{ending}; give it its name back")
    stem = path.name.removesuffix(ending)
    found = [path.with_name(f"{stem}-{number:05d}-of-{count:05d}.gguf") for number in range(2, count + 1)]
    for one in found:
        if not one.is_file():
            raise InputError(f"{one}: part of a split GGUF file, and not there; fetch all {count} parts")
    return found


def config(header: Header) -> dict[str, Any]:
    """The sizes as a Llama-like config.json has them; what the file does not say is left out.

    Besides them `gguf_table_bytes` (of the input embedding) and `gguf_other_bytes` (of everything but the matrices
    inside the layers), because a GGUF file quantises those too, and `gguf_bytes` (of all tensors).
    """
    experts = header.number("expert_count") or 0
    kind = MODEL_TYPES.get(header.architecture, header.architecture)
    if kind == "llama" and experts > 1:
        kind = "mixtral"
    output, table = header.tensor("output.weight"), header.tensor("token_embd.weight")
    has_bias = any(one.name.endswith("attn_q.bias") for one in header.tensors)
    found = {
        "model_type": kind,
        "hidden_size": header.number("embedding_length"),
        "intermediate_size": header.number("expert_feed_forward_length") or header.number("feed_forward_length"),
        "num_hidden_layers": header.layers,
        "num_attention_heads": header.number("attention.head_count"),
        "num_key_value_heads": header.number("attention.head_count_kv"),
        "head_dim": header.number("attention.key_length"),
        "vocab_size": header.vocab_size,
        "max_position_embeddings": header.number("context_length"),
        "tie_word_embeddings": output is None,
        "attention_bias": True if has_bias else None,
        "num_local_experts": experts if experts > 1 else None,
        "num_experts_per_tok": header.number("expert_used_count") if experts > 1 else None,
        "sliding_window": header.number("attention.sliding_window"),
        "rms_norm_eps": header.own("attention.layer_norm_rms_epsilon"),
        "rope_theta": header.own("rope.freq_base"),
        "gguf_bytes": header.weights_bytes,
        "gguf_table_bytes": None if table is None else table.bytes,
        "gguf_other_bytes": sum(one.bytes for one in header.tensors if one.is_weight and not one.is_layer_matrix),
    }
    if kind == "bloom":
        found["n_layer"] = header.layers
    return {key: value for key, value in found.items() if value is not None}
