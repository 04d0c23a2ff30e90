"""`bench breakeven`: being built."""

import typer


def add_to(app: typer.Typer) -> None:
    app.command(name="breakeven")(breakeven)


def breakeven() -> None:
    """From what utilisation and volume on self-hosting is cheaper than an API."""
