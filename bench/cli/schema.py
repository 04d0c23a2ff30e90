"""`bench schema`: the JSON Schema of configs, or of suites, for editors."""

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    app.command(name="schema", epilog="Example: bench schema -o configs/bench.schema.json")(schema)


def schema(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the screen.")] = None,
    suite: Annotated[bool, typer.Option("--suite", help="That of a suite instead of a config.")] = False,
) -> None:
    """Print the JSON Schema of a config; editors complete and check keys with it."""
    from bench.plan import json_schema, suite_schema
    from bench.plan.folder import write_text

    text = suite_schema.text() if suite else json_schema.text()
    if out is not None:
        write_text(out, text)
    else:
        print(text, end="")
