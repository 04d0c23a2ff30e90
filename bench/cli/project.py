"""`bench project`: being built."""

import typer


def add_to(app: typer.Typer) -> None:
    app.command(name="project")(project)


def project() -> None:
    """Carry a measured row to other hardware: an estimate."""
