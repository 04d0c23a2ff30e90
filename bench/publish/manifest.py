"""MANIFEST.json of a published folder: what every file is, so that anybody sees whether one was changed."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = "MANIFEST.json"
SCHEMA_VERSION = 1


def write(folder: Path, said: Mapping[str, Any]) -> None:
    """List every file below the folder, with size and SHA-256, after what is `said`."""
    whole = {"schema_version": SCHEMA_VERSION, "tool": "llm-cost-bench", **said, "files": files(folder)}
    (folder / MANIFEST).write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def files(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file but the manifest itself, by its path from the folder on."""
    found = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file() and one != folder / MANIFEST):
        data = path.read_bytes()
        found[path.relative_to(folder).as_posix()] = {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    return found


def read(folder: Path) -> dict[str, Any] | None:
    """None where the folder is no publication of ours."""
    try:
        whole = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return whole if isinstance(whole, dict) and isinstance(whole.get("files"), dict) else None


def changed(folder: Path, stored: Mapping[str, Any]) -> list[str]:
    """Files that stand there and are not what the manifest says: a person's own, or edited since."""
    return [name for name, one in files(folder).items() if stored["files"].get(name) != one]
