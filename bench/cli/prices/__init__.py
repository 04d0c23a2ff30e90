"""`bench prices …`: an hour of a machine, tokens at APIs, and how they changed. One file a command."""

from importlib import import_module

import typer


def add_to(app: typer.Typer) -> None:
    prices = typer.Typer(
        name="prices",
        help="Show hourly hardware prices, API token prices and their history, each with its date and source.",
        epilog="Examples: bench prices hardware --accelerator H100   ·   bench prices api groq",
        no_args_is_help=True,
    )
    for name in ("hardware", "owned", "api", "trend"):
        import_module(f"bench.cli.prices.{name}").add_to(prices)
    app.add_typer(prices)
