"""One file of another tool, from the disk to cells: checked, told apart, and given to the tool's own reader."""

import hashlib
from dataclasses import replace
from pathlib import Path

from bench.errors import InputError
from bench.imports import TOOLS, Reader, find
from bench.imports.found import Found
from bench.imports.values import document, peek, peek_line, shown

LARGEST_BYTES = 256 << 20
"""A larger file holds every token of a very long run; parsing it takes ten times as much memory."""


def read(file: Path, tool: str | None = None) -> list[Found]:
    """Every cell of a file that another tool wrote. `tool`: its name in `TOOLS`; without it, it is detected.

    Raises InputError for what is no such file, or a broken one, naming the file, the key and the remedy.
    """
    raw = _bytes(file)
    text = _text(file, raw)
    reader = find(tool) if tool is not None else _detected(file, text)
    found = reader.read(file, text)
    if not found:
        raise InputError(f"{file}: a file of {reader.TOOL} without a single result; run it again")
    said = {"file": file.name, "sha256": hashlib.sha256(raw).hexdigest()}
    return [replace(one, imported=one.imported.model_copy(update=said)) for one in found]


def _bytes(file: Path) -> bytes:
    try:
        if file.is_dir():
            raise InputError(_folder(file))
        if not file.is_file() and file.exists():
            raise InputError(f"{file}: not an ordinary file; name the file that the tool wrote")
        size = file.stat().st_size
        if size > LARGEST_BYTES:
            raise InputError(
                f"{file}: {size >> 20} MiB, and at most {LARGEST_BYTES >> 20} MiB are read; "
                "export it without every request's data"
            )
        return file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot read it ({getattr(error, 'strerror', None) or error})") from None


def _folder(file: Path) -> str:
    if (file / "records.jsonl").exists():
        return f"{file}: a run of our own: `bench report {file}` reads it"
    return f"{file}: a folder; name the file that the tool wrote"


def _text(file: Path, raw: bytes) -> str:
    if not raw.strip(b"\xef\xbb\xbf \t\r\n"):
        raise InputError(f"{file}: the file is empty; export the results again")
    if raw[:2] == b"\x1f\x8b":
        raise InputError(f"{file}: compressed with gzip; unpack it first: gunzip {file.name}")
    if raw[:2] == b"PK" or raw[:4] == b"\x28\xb5\x2f\xfd" or b"\0" in raw[:8192]:
        raise InputError(f"{file}: a binary file, not text; name the JSON or CSV file that the tool wrote")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(raw) - error.start < 4 and error.reason == "unexpected end of data":
            raise InputError(f"{file}: ends in the middle, at byte {len(raw)}: copy it again") from None
        raise InputError(f"{file}: not text in UTF-8, from byte {error.start} on; export it again") from None


def _detected(file: Path, text: str) -> Reader:
    """The one tool that claims the text. Raises InputError where it is none, or several."""
    claimed = [name for name in TOOLS if find(name).claims(text, file.name)]
    if len(claimed) == 1:
        return find(claimed[0])
    if claimed:
        names = " or ".join(f"--tool {name}" for name in claimed)
        raise InputError(f"{file}: could be of {' and of '.join(find(one).TOOL for one in claimed)}; say {names}")
    raise InputError(f"{file}: {_what_it_is(file, text)}")


def _what_it_is(file: Path, text: str) -> str:
    """Why nobody claims this text, in one line with the remedy."""
    whole, first = peek(text), peek_line(text)
    start = text.lstrip()[:1]
    if isinstance(first, dict) and {"schema_version", "record_id", "cell"} <= first.keys():
        return f"that is our own: `bench report {file}` reads it"
    if isinstance(whole, dict) and {"error"} <= whole.keys() and len(whole) <= 4:
        return f"an error answer of a server, no result: {shown(whole['error'], 100)}; run the tool again"
    if start == "<":
        return "a page of markup (HTML or XML), no result; name the file that the tool wrote"
    if start in ("{", "[") and whole is None and first is None:
        document(file, text)  # says where it ends or breaks
    known = ", ".join(f"{name} ({find(name).TOOL})" for name in TOOLS)
    return f"{_looks(whole, first, text)}, which none of the known tools writes: {known}; --tool NAME says which it is"


def _looks(whole: object, first: object, text: str) -> str:
    """What was found there, in a few words."""
    if isinstance(whole, dict):
        return f"JSON with the keys {_keys(whole)}"
    if isinstance(whole, list):
        head = whole[0] if whole else None
        inner = f" of objects with the keys {_keys(head)}" if isinstance(head, dict) else ""
        return f"a JSON list of {len(whole)}{inner}"
    if isinstance(first, dict):
        return f"JSON Lines with the keys {_keys(first)}"
    if whole is not None:
        return f"a single value, {shown(whole)}"
    return f"text that begins with {shown(text.lstrip().splitlines()[0])}"


def _keys(said: dict[str, object]) -> str:
    names = ", ".join(shown(key, 30) for key in list(said)[:6])
    return names + (f" and {len(said) - 6} more" if len(said) > 6 else "") if said else "none"
