"""`python -m bench.gguf_files.make PRECISION SOURCE OUT`: write one GGUF file, in a process whose memory ends with it.

SOURCE is a GGUF file, or the sizes of a config.json as JSON. A full disk is said as the line `OSError NUMBER`, because
the caller must know it from a refusal.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.gguf_files import blocks, header, mixture, shapes, writing
from bench.gguf_files.layout import ALIGNMENT
from bench.gguf_files.mixture import Planned, Sizes
from bench.gguf_files.types import FILE_TYPES

QUANTISATION_VERSION = 2
"""`GGML_QNT_VERSION`: of the block formats."""


def requantised(source: Path, precision: str, out: Path) -> None:
    """A GGUF file at another precision: every key as it is, tensors as llama-quantize would change them."""
    own = header.read(source)
    was = {one.name: one for one in own.tensors}
    planned = [Planned(one.name, one.shape, one.type) for one in own.tensors]
    heads = own.number("attention.head_count") or 1
    sizes = Sizes(
        own.architecture,
        own.layers or 0,
        heads,
        own.number("attention.head_count_kv") or heads,
        own.number("expert_count") or 0,
    )
    changed = {
        "general.quantization_version": QUANTISATION_VERSION,
        "general.file_type": FILE_TYPES[precision],
    }
    targets = mixture.targets(planned, precision, sizes)
    alignment = own.metadata.get("general.alignment", ALIGNMENT)
    with out.open("wb") as handle:
        writer = writing.Writer(handle, writing.copied(source, own.entries, changed), targets, alignment)
        for one in targets:
            writer.add(blocks.converted(source, was[one.name], one.type))


def random_weights(shape: Mapping[str, Any], precision: str, out: Path) -> None:
    """A GGUF file at the sizes of a config.json: norms 1, biases 0, matrices from one seeded pool of normal values."""
    found = shapes.plan(dict(shape))
    keys = {
        **found.keys,
        "general.name": "random weights",
        "general.quantization_version": QUANTISATION_VERSION,
        "general.file_type": FILE_TYPES[precision],
        **shapes.vocabulary(shape["vocab_size"]),
    }
    targets = mixture.targets(found.tensors, precision, found.sizes)
    pool = blocks.Pool(max(one.values for one in targets))
    with out.open("wb") as handle:
        writer = writing.Writer(handle, [writing.packed(key, value) for key, value in keys.items()], targets)
        for one in targets:
            if one.name == "rope_freqs.weight":
                assert found.rope is not None
                writer.add([blocks.rope_factors(found.rope, found.head)])
            elif len(one.shape) == 1:
                writer.add([blocks.constant(one.shape[0], 0.0 if one.name.endswith("bias") else 1.0)])
            else:
                writer.add(pool.tiled(one.values, one.type))


def main(precision: str, source: str, out: Path) -> None:
    try:
        if source.startswith("{"):
            random_weights(json.loads(source), precision, out)
        else:
            requantised(Path(source), precision, out)
    except OSError as error:
        if error.errno is None:
            raise
        print(f"OSError {error.errno}", file=sys.stderr, flush=True)
        os._exit(1)  # what is left in a buffer cannot be written either


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
