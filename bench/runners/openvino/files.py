"""What OpenVINO is given: a GGUF file that it can read, or a folder in its own format (IR).

OpenVINO ends the whole process on a GGUF file that was cut short, and says little of one that it does not know. So a
file's header is held against what its reader takes, and the reason is said, before the engine sees it.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UnsupportedError
from bench.gguf_files import header as headers
from bench.gguf_files.header import Header
from bench.metrics import footprint
from bench.models import catalogue
from bench.models.checksum import checksum
from bench.runners.llama_cpp import files as gguf
from bench.schema import Model, Precision

IR_MODEL = "openvino_model.xml"
ARCHITECTURES = ("llama", "qwen2", "qwen3")
MATRICES = ("F16", "Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K")
"""Types that the GGUF reader of 2026.4 takes for matrices: a file of each was read, and of each other type refused."""

PLAIN = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}
WAYS = (
    "name a GGUF file of type F16, Q8_0, Q6_K, Q4_K, Q4_1 or Q4_0 (precisions fp16, q8_0, q6_k, q4_1, q4_0), or a "
    "folder in OpenVINO's own format with precision: checkpoint"
)
_CONSTANT = re.compile(r'<data element_type="(\w+)" shape="([^"]*)" offset="\d+" size="(\d+)"')
SMALLEST_BYTES = 4096
_KV = re.compile(r'<KV_CACHE_PRECISION value="(\w+)"')


@dataclass(frozen=True)
class Source:
    """Weights that can be loaded, and what their files say of them."""

    path: Path
    weights: tuple[Path, ...]
    config: Mapping[str, Any]
    parameters: int
    weights_bytes: int
    types: Mapping[str, int]
    """Number format as the file names it → bytes, most first."""
    dtype: str
    kv_type: str | None = None
    """What the model itself asks keys and values to be kept as, in OpenVINO's words."""
    weights_id: str | None = None
    is_random: bool = False
    notes: tuple[str, ...] = field(default=())


def is_ir(model: Model) -> bool:
    """Whether a model is a folder in OpenVINO's own format."""
    folder = _folder(model)
    return folder is not None and (folder / IR_MODEL).is_file()


def find(model: Model, precision: Precision) -> gguf.Wanted:
    """The GGUF file of a precision, its own or one to be made. Raises UnsupportedError where OpenVINO reads neither."""
    if precision.name in ("bf16", "fp32"):
        raise UnsupportedError(
            f"OpenVINO's GGUF reader takes no {'BF16' if precision.name == 'bf16' else 'F32'} matrices",
            "use fp16; the type of the products is the option inference_precision",
        )
    try:
        return gguf.find(model, precision)
    except UnsupportedError as error:
        if error.reason.startswith("llama.cpp reads GGUF files"):
            raise UnsupportedError(f"OpenVINO makes no {precision.name} while it loads", WAYS) from None
        raise


def of_gguf(wanted: gguf.Wanted) -> Source:
    """Raises UnsupportedError for a file that is damaged, and for what OpenVINO's reader does not know."""
    header = gguf.read(wanted)
    _check_readable(header)
    return Source(
        path=wanted.path,
        weights=header.files,
        config=headers.config(header),
        parameters=header.parameters,
        weights_bytes=header.weights_bytes,
        types=header.types,
        dtype=(header.precision or "gguf").upper() if header.precision != "fp16" else "float16",
        kv_type="f16" if header.file_type in (0, 1) else None,
        weights_id=wanted.weights_id(),
        is_random=wanted.is_random,
        notes=wanted.made.notes,
    )


def _check_readable(header: Header) -> None:
    if header.architecture not in ARCHITECTURES:
        raise UnsupportedError(
            f"OpenVINO reads no GGUF file of the architecture {header.architecture!r}",
            f"those it reads are {', '.join(ARCHITECTURES)}; export the model to OpenVINO's own format for others",
        )
    if len(header.files) > 1:
        raise UnsupportedError(
            "OpenVINO reads no GGUF file that is split into parts", "join it: llama-gguf-split --merge"
        )
    odd = sorted({one.type for one in header.tensors if len(one.shape) > 1} - set(MATRICES))
    if odd:
        raise UnsupportedError(
            f"{header.path.name} has tensors of type {', '.join(odd)}, which OpenVINO cannot read", WAYS
        )
    if not header.has_tokenizer:
        raise UnsupportedError(f"{header.path.name} has no tokenizer, and OpenVINO loads no GGUF file without", WAYS)


def of_ir(model: Model, precision: Precision) -> Source:
    """A folder in OpenVINO's own format. Raises UnsupportedError for a precision that it does not have."""
    folder = _folder(model)
    assert folder is not None
    xml, binary = folder / IR_MODEL, folder / "openvino_model.bin"
    if not binary.is_file():
        raise UnsupportedError(f"{xml.name} has no openvino_model.bin beside it", "export or fetch the folder again")
    text = xml.read_text(encoding="utf-8", errors="replace")
    types: Counter[str] = Counter()
    for kind, _, size in _CONSTANT.findall(text):
        types[kind] += int(size)
    most = next((kind for kind, _ in types.most_common(1)), "")
    own = PLAIN.get(most)
    if precision.name != "checkpoint" and precision.name != own:
        raise UnsupportedError(
            f"the weights in {folder.name} are stored as {own or most or 'nothing'}, not as {precision.name}",
            "use precision: checkpoint, or compress the folder anew (docs/openvino.md)",
        )
    config = _config(folder)
    shape, kept = footprint.shape(config), _KV.search(text)
    return Source(
        path=folder,
        weights=(binary,),
        config=config,
        parameters=_values(text) if shape is None else shape.parameters,
        weights_bytes=binary.stat().st_size,
        types=dict(types.most_common()),
        dtype={"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}.get(own or "", most),
        kv_type=None if kept is None else kept[1],
        weights_id=checksum([binary]),
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return {"vocab_size": found["vocab_size"], **found}
    except (OSError, ValueError, KeyError, TypeError):
        raise UnsupportedError(
            f"{folder.name}/config.json does not say the model's sizes",
            "copy the config.json of the checkpoint that the folder was exported from into it",
        ) from None


def _values(text: str) -> int:
    """Weights in a model's constants: scales and zero points, whose last size is 1, are none, nor is what is tiny."""
    found = 0
    for _, shape, size in _CONSTANT.findall(text):
        sizes = [int(one) for one in shape.split(",") if one.strip()]
        if int(size) >= SMALLEST_BYTES and sizes[-1:] != [1]:
            found += math.prod(sizes)
    return found


def _folder(model: Model) -> Path | None:
    """The folder of a model that is one; None for a GGUF file, a hub id and random weights."""
    return Path(model.source) if catalogue.kind(model) == "folder" and model.gguf_file is None else None
