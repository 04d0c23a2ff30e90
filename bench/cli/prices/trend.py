"""`bench prices trend`: being built."""

import typer


def add_to(app: typer.Typer) -> None:
    app.command(name="trend")(trend)


def trend() -> None:
    """The price of API models over time."""
