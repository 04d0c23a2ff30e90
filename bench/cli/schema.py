"""`bench schema`: the JSON Schema of configs, for editors."""

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    app.command(name="schema", epilog="Example: bench schema -o configs/bench.schema.json")(schema)


def schema(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the screen.")] = None,
) -> None:
    """Print the JSON Schema of a config; editors complete and check keys with it."""
    from bench.plan import json_schema
    from bench.plan.folder import write_text

    text = json_schema.text()
    if out is not None:
        write_text(out, text)
    else:
        print(text, end="")
