"""The library that draws the charts in the page: Vega, Vega-Lite and Vega-Embed in one text, and their licence.

The text comes out of the package vl-convert-python, which bundles what it was built with. That takes a second and
makes 0.9 MB, so it is kept in the user's cache folder. A cache that is damaged or cannot be written costs that second.
"""

import hashlib
import os
import tempfile
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

_EXPORTED = "window.vegaEmbed=vegaEmbed;"
_FORMAT = 1
"""Raised when what is kept is made in another way."""


@cache
def bundle() -> str:
    """A script that sets `vegaEmbed` of the window and no other name; it can stand in a page.

    Raises RuntimeError where the text could end its <script> element.
    """
    kept = _kept()
    found = _read(kept)
    if found is None:
        import vl_convert

        # A function of its own: the bundle has hundreds of short names at its top.
        found = f'(function(){{"use strict";{vl_convert.javascript_bundle(_EXPORTED)}\n}})();\n'
        _write(kept, found)
    if "</script" in found.lower() or "<!--" in found:
        raise RuntimeError("the charts' library holds what would end the script it stands in")
    return found


@cache
def licence() -> str:
    """The licence of the library, which travels with the page."""
    return (files("bench.data") / "licences" / "vega.txt").read_text(encoding="utf-8")


def _kept() -> Path:
    named = os.environ.get("BENCH_CACHE")
    folder = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache") / "llm-cost-bench"
    return folder / f"vega-{version('vl-convert-python')}-{_FORMAT}.js"


def _home() -> Path:
    """A user without a home has no cache."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"user-{os.getuid()}"


def _read(kept: Path) -> str | None:
    """The text after its first line, which is its checksum; None where there is none, or it is another text's."""
    try:
        head, _, text = kept.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return text if text and head == f"// {_checksum(text)}" else None


def _write(kept: Path, text: str) -> None:
    """Whole or not at all: another process may read while this one writes."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".vega-") as work:
            made = Path(work) / kept.name
            made.write_text(f"// {_checksum(text)}\n{text}", encoding="utf-8", newline="\n")
            made.replace(kept)
    except OSError:
        pass  # nothing is lost but the second that it takes next time


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
