"""A disk of a few mebibytes, where this user may mount one, and how to fill it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mounted_disk(place: Path, size_bytes: int) -> Iterator[Path | None]:
    """An empty disk at `place`; None where this user may not mount one."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "bench-test", str(place)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> None:
    """Take all the room there is."""
    with (place / "filler").open("ab", buffering=0) as handle:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    handle.write(b"x" * size)
            except OSError:
                continue  # smaller pieces may still fit
