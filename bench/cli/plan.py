"""`bench plan`: being built."""

import typer


def add_to(app: typer.Typer) -> None:
    app.command(name="plan")(plan)


def plan() -> None:
    """The cheapest way to serve a load."""
