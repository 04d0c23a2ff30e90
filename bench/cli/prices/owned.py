"""`bench prices owned`: being built."""

import typer


def add_to(app: typer.Typer) -> None:
    app.command(name="owned")(owned)


def owned() -> None:
    """What an hour of a machine of your own costs."""
