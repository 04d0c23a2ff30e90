"""`bench prices api`: being built."""

import typer


def add_to(app: typer.Typer) -> None:
    app.command(name="api")(api)


def api() -> None:
    """What tokens cost at APIs."""
