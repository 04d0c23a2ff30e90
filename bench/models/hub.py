"""Hub checkpoints, fetched before anything is timed: a download must not count as loading, nor against a limit."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.schema import Model

_FIRST_OF_SEVERAL = re.compile(r"(.*)-00001-of-(\d{5})\.gguf")
NEEDED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")


def config(model: Model) -> dict[str, Any] | None:
    """`config.json` of a hub id if it is in the local cache, else None."""
    found = _cached(model, "config.json")
    try:
        settings = None if found is None else json.loads(found.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return settings if isinstance(settings, dict) else None


def commit(model: Model) -> str | None:
    """The commit that a cached hub id stands at: what its revision meant when it was fetched."""
    found = _cached(model, model.gguf_file or "config.json")
    if found is None or "snapshots" not in found.parts:
        return None
    return found.parts[found.parts.index("snapshots") + 1]


def weight_files(model: Model) -> list[Path]:
    """The cached weight files of a hub id, at the commit that its revision meant when it was fetched."""
    found = _cached(model, model.gguf_file or "config.json")
    if found is None:
        return []
    return [found] if model.gguf_file else sorted(found.parent.glob("*.safetensors"))


def _cached(model: Model, name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model.source, name, revision=model.revision or "main")
    except HFValidationError:
        return None  # no hub id; who loads it will say so
    return Path(found) if isinstance(found, str) else None


def gguf_parts(name: str) -> list[str]:
    """The files of a GGUF model by the name of the first: large ones are split, and all parts are needed.

    >>> gguf_parts("a.gguf"), gguf_parts("q8/a-00001-of-00002.gguf")
    (['a.gguf'], ['q8/a-00001-of-00002.gguf', 'q8/a-00002-of-00002.gguf'])
    """
    found = _FIRST_OF_SEVERAL.fullmatch(name)
    if found is None:
        return [name]
    stem, count = found.groups()
    return [f"{stem}-{number:05d}-of-{count}.gguf" for number in range(1, int(count) + 1)]


def fetch(model: Model, fits: Callable[[], bool], say: Callable[[str], None]) -> None:
    """Have a hub checkpoint in the local cache: first its config, then the weights unless nothing of it `fits`.

    A failure is said and not raised: the child that tries to load the model records the reason. Where the hub cannot be
    reached, children look into the cache alone: each would otherwise try for half a minute.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    revision = model.revision or "main"
    try:
        if model.gguf_file is not None:
            say(f"fetching {model.source} {model.gguf_file} (nothing is fetched twice)")
            for part in gguf_parts(model.gguf_file):
                hf_hub_download(model.source, part, revision=revision)
            return
        hf_hub_download(model.source, "config.json", revision=revision)
        if not fits():
            return
        say(f"fetching {model.source} (nothing is fetched twice)")
        patterns = [*NEEDED, *(["*.bin"] if model.allow_pickle else []), *(["*.py"] if model.trust_remote_code else [])]
        snapshot_download(model.source, revision=revision, allow_patterns=patterns, ignore_patterns=["original/*"])
    except LocalEntryNotFoundError:
        os.environ["HF_HUB_OFFLINE"] = "1"
        say(f"warning: {model.source} could not be fetched: no answer from the hub, and it is not in the cache")
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        say(f"warning: {model.source} could not be fetched: {' '.join(str(error).split())[:200]}")
