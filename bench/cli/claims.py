"""`bench claims`: being built."""

import typer


def add_to(app: typer.Typer) -> None:
    app.command(name="claims")(claims)


def claims() -> None:
    """Market claims, checked against dated data."""
