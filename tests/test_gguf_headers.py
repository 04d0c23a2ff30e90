"""Headers of GGUF files, held against llama.cpp's own reader; and files that are broken or made to hurt."""

import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import gguf
import numpy as np
import pytest

from bench.errors import InputError, UnsupportedError
from bench.gguf_files import header, layout, tools, types, ways
from bench.metrics import footprint, gguf_bits
from bench.models import catalogue
from bench.schema import Model
from bench.schema.precision import GGUF_NAMES
from bench.servers import weights
from tests.gguf_samples import SHAPE, written


def test_types_are_those_of_the_package() -> None:
    for kind, (values, size) in gguf.GGML_QUANT_SIZES.items():
        if kind.name != "Q8_1":  # the package counts its sum in 32 bits, ggml.h in 16
            assert (types.BY_NAME[kind.name].values, types.BY_NAME[kind.name].block_bytes) == (values, size), kind
            assert types.BY_NAME[kind.name].number == kind
    told = {name: gguf.LlamaFileType(number).name.split("_", 1)[1].lower() for name, number in types.FILE_TYPES.items()}
    others = {"fp32": "f32", "fp16": "f16", "mxfp4": "mxfp4_moe"}
    assert told == {name: others.get(name, name) for name in types.FILE_TYPES}
    assert {*GGUF_NAMES, "fp32", "fp16", "bf16"} == set(types.FILE_TYPES) == set(types.MOST_OF)
    assert set(GGUF_NAMES) == {*gguf_bits.BLOCK_BITS, *gguf_bits.MIXTURE_BITS}
    for name, bits in gguf_bits.BLOCK_BITS.items():
        assert types.BY_NAME[name.upper()].bits == bits


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0"])
def test_a_header_is_read_as_the_package_reads_it(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path / "one.gguf", kind, tokens=3000, more={"tokenizer.chat_template": "{{ ü }}"})
    found = header.read(path)
    told = gguf.GGUFReader(path)
    assert [(one.name, one.type, list(one.shape), one.offset, one.bytes, one.values) for one in found.tensors] == [
        (one.name, one.tensor_type.name, one.shape.tolist(), one.data_offset, one.n_bytes, one.n_elements)
        for one in told.tensors
    ]
    for key, value in found.metadata.items():
        field = told.fields[key]
        if isinstance(value, layout.Array):
            assert len(value) == len(field.data) == 3000
        elif not isinstance(value, tuple):
            assert value == field.contents(), key
    assert list(found.metadata) == [key for key in told.fields if not key.startswith("GGUF.")]
    assert found.precision == {"F32": "fp32", "F16": "fp16"}.get(kind, kind.lower())
    assert found.weights_bytes == sum(one.n_bytes for one in told.tensors)
    assert (found.vocab_size, found.layers, found.architecture, found.name) == (512, 2, "llama", "tiny")
    assert found.matrix_bits == types.BY_NAME[kind].bits
    assert not found.has_tokenizer


def test_the_sizes_are_those_of_the_config_that_it_was_made_of(tmp_path: Path) -> None:
    tiny = written(tmp_path / "tiny.gguf", tied=False)
    own = header.read(tiny)
    found = header.config(own)
    assert {key: found[key] for key in SHAPE} == SHAPE
    shape = footprint.shape(found)
    assert shape is not None
    assert shape.parameters == own.parameters
    assert shape.stored == footprint.Stored(own.weights_bytes, 512 * 256 * 2, 2 * 512 * 256 * 2 + 5 * 256 * 4)
    assert catalogue.config(Model(source=str(tiny))) == found


def at(raw: bytes, needle: bytes, offset: int, letters: str, *values: int) -> bytes:
    """The file with a number in it changed, so many bytes after the end of a text."""
    place = raw.index(needle) + len(needle) + offset
    changed = struct.pack(f"<{letters}", *values)
    return raw[:place] + changed + raw[place + len(changed) :]


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "cut short: ": lambda raw: raw[: len(raw) - 100],
    "its header would reach beyond": lambda raw: raw[:20],
    "first four bytes": lambda _: b"",
    "not a GGUF file": lambda raw: b"PK" + raw,
    "big-endian": lambda raw: raw[:4] + struct.pack(">I", 3) + raw[8:],
    "GGUF version 77": lambda raw: raw[:4] + struct.pack("<I", 77) + raw[8:],
    f"{2**60} tensors would reach": lambda raw: raw[:8] + struct.pack("<Q", 2**60) + raw[16:],
    f"{2**61} keys would reach": lambda raw: raw[:16] + struct.pack("<Q", 2**61) + raw[24:],
    f"a key of {2**40} bytes": lambda raw: raw[:24] + struct.pack("<Q", 2**40) + raw[32:],
    "type 99, which is none": lambda raw: at(raw, b"llama.block_count", 0, "I", 99),
    f"a text of {2**63} bytes": lambda raw: at(raw, b"general.name", 4, "Q", 2**63),
    f"{2**62} texts in": lambda raw: at(raw, b"tokenizer.ggml.tokens", 8, "Q", 2**62),
    "is an array of type 9": lambda raw: at(raw, b"tokenizer.ggml.tokens", 4, "I", 9),
    "has 77 dimensions": lambda raw: at(raw, b"token_embd.weight", 0, "I", 77),
    "not made of whole blocks": lambda raw: at(raw, b"token_embd.weight", 4, "Q", 0),
    "has type 4, which": lambda raw: at(raw, b"token_embd.weight", 20, "I", 4),
    "between two multiples": lambda raw: at(raw, b"token_embd.weight", 24, "Q", 7),
    "bytes that its header tells of": lambda raw: at(raw, b"token_embd.weight", 24, "Q", 2**50),
    "stands there twice": lambda raw: raw.replace(b"blk.1.attn_q.weight", b"blk.0.attn_q.weight"),
    "no weights in this GGUF file": lambda raw: raw[:8] + struct.pack("<Q", 0) + raw[16:],
    "no general.architecture": lambda raw: raw.replace(b"general.architecture", b"general.architectuRe"),
    "that is no UTF-8": lambda raw: raw.replace(b"general.name", b"general.\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("said", HOSTILE)
def test_a_broken_file_is_one_line(said: str, tmp_path: Path) -> None:
    raw = written(tmp_path / "good.gguf", "F16", tokens=200).read_bytes()
    path = tmp_path / "bad.gguf"
    path.write_bytes(HOSTILE[said](raw))
    with pytest.raises(InputError) as caught:
        header.read(path)
    (line,) = caught.value.lines
    assert str(path) in line
    assert said in line
    with pytest.raises(InputError, match=r"bad\.gguf"):
        catalogue.checked(Model(source="./bad.gguf"), tmp_path)


def test_any_cut_and_any_byte_changed_ends_in_a_header_or_one_line(tmp_path: Path) -> None:
    raw = written(tmp_path / "good.gguf", "F16", tokens=80).read_bytes()
    path = tmp_path / "bad.gguf"
    end = header.read(tmp_path / "good.gguf").tensors[0].offset
    draw = np.random.default_rng(1)
    for _ in range(100):
        place, value = int(draw.integers(0, end)), int(draw.integers(0, 256))
        broken = raw[:place] if draw.random() < 0.3 else raw[:place] + bytes([value]) + raw[place + 1 :]
        path.write_bytes(broken)
        with suppress(InputError):  # any other error, or a wait, fails the test
            header.config(header.read(path))


def test_a_split_file_is_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "quantize", lambda: None)
    whole = header.read(written(tmp_path / "whole.gguf"))
    written(tmp_path / "parts.gguf", split_from=10)
    first, *rest = sorted(tmp_path.glob("parts-*.gguf"))
    found = header.read(first)
    assert (found.parameters, found.weights_bytes) == (whole.parameters, whole.weights_bytes)
    assert found.files == (first, *rest)
    model = Model(source=str(first))
    assert weights.identity(weights.find(model, print), first)[1] == sum(one.stat().st_size for one in found.files)
    with pytest.raises(UnsupportedError, match="split files"):
        ways.steps(first, None, "q8_0")
    with pytest.raises(InputError, match=r"part 2 of \d of a split GGUF file; name the first part"):
        header.read(rest[0])
    rest[-1].unlink()
    with pytest.raises(InputError, match="part of a split GGUF file, and not there"):
        header.read(first)
