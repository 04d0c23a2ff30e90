"""`bench models`: what can be named as a model; `--fetch` has the built-in one ready."""

import sys
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    app.command(name="models", epilog="Example: bench models --fetch builtin:smollm2-135m")(models)


def models(
    fetch: Annotated[str | None, typer.Option(help="Fetch and convert this built-in model now.")] = None,
) -> None:
    """List the models that a config can name."""
    from bench.errors import InputError, nearest
    from bench.metrics import footprint
    from bench.models import builtin, catalogue

    if fetch is not None:
        name = fetch.removeprefix("builtin:")
        if name not in catalogue.BUILTINS:
            raise InputError(f"--fetch: unknown built-in model {fetch!r}; {nearest(name, catalogue.BUILTINS)}")
        print(builtin.ensure(name, lambda line: print(line, file=sys.stderr)))
        return
    print("built-in (real weights, fetched once):")
    for name, found in catalogue.BUILTINS.items():
        state = f"ready in {builtin.folder(name)}" if builtin.is_ready(name) else "not fetched yet"
        print(f"  builtin:{name:<16} {found.licence}; {found.note}; {state}")
    print("\nshapes (true architecture, random weights, no download):")
    for name, config in catalogue.shapes().items():
        shape = footprint.shape(config)
        assert shape is not None
        print(
            f"  shape:{name:<18} {shape.parameters / 1e9:8.2f} B parameters, bf16 {shape.parameters * 2 / 1e9:7.1f} GB"
        )
    print("  shape:PATH/config.json   any architecture that transformers knows")
    print("\nothers:")
    print("  owner/name               a Hugging Face hub id; add revision: for a fixed commit")
    print("  ./folder                 a local checkpoint (safetensors)")
    print("  ./file.gguf              a GGUF file: as it is, or at another of its types, by llama.cpp; else unpacked")
    print("  served                   whatever an endpoint runs, which is the default there; served:NAME shows a name")
