"""What names weights that no hub and no catalogue names."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

EDGE_BYTES = 1024 * 1024


def checksum(paths: Sequence[Path]) -> str | None:
    """Over names, sizes and the first and last MiB of each file: hashing 140 GB would take longer than the run."""
    digest = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as handle:
            digest.update(handle.read(EDGE_BYTES))
            handle.seek(max(0, size - EDGE_BYTES))
            digest.update(handle.read(EDGE_BYTES))
    return f"edges-sha256:{digest.hexdigest()[:16]}" if paths else None
