"""`bench prices`: the hourly prices that come with the package, or the models of an API provider."""

from collections.abc import Sequence
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    app.command(name="hardware", epilog="Example: bench prices hardware --accelerator H100")(hardware)


def hardware(
    accelerator: Annotated[
        str | None, typer.Option(help="Only rows whose accelerator contains this; CPU for none.")
    ] = None,
    provider: Annotated[str | None, typer.Option(help="Only rows of this provider.")] = None,
    api: Annotated[str | None, typer.Option(help="Instead: an API provider's models and token prices.")] = None,
) -> None:
    """Show hourly hardware prices with date and grade, or API token prices."""
    from bench.cost import hardware_prices
    from bench.errors import InputError, nearest

    if api is not None:
        _api_prices(api)
        return
    if provider is not None:
        hardware_prices.check_provider(provider)
    wanted = [
        row
        for row in hardware_prices.rows()
        if (provider is None or row.provider == provider)
        and (accelerator is None or accelerator.lower() in row.accelerator.lower())
        and row.usd_per_hour is not None
    ]
    if not wanted:
        known = {row.accelerator for row in hardware_prices.rows()}
        raise InputError(f"no price for accelerator {accelerator!r}; {nearest(accelerator or '', known)}")
    wanted.sort(key=lambda row: (row.accelerator, row.usd_per_unit_hour() or 0.0))
    lines = [
        (
            row.accelerator,
            f"{row.usd_per_unit_hour():.4g}",
            "GPU" if row.accelerators else "vCPU",
            row.provider,
            row.instance,
            row.region,
            row.as_of,
            row.kind,
            row.grade.split(" ")[0],
        )
        for row in wanted
    ]
    _print(("accelerator", "$/h each", "unit", "provider", "instance", "region", "as of", "kind", "grade"), lines)
    print(
        "grades: A the vendor's own, B transcribed by a third party, C one weak source; kinds other than list_on_demand"
    )
    print("are never a default. Sources stand in bench/data/hourly_prices.csv.")


def _api_prices(provider: str) -> None:
    from bench.cost import api_prices
    from bench.errors import InputError

    lines = []
    for model in api_prices.models(provider):
        try:
            found = api_prices.lookup(f"{provider}/{model}")
        except InputError:
            continue  # priced by image, minute or not at all
        lines.append((found.name, f"{found.input_usd_per_mtok:g}", f"{found.output_usd_per_mtok:g}"))
    _print(("API", "$/Mtok in", "$/Mtok out"), lines)
    print(f"source: {api_prices.source()}")


def _print(headings: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> None:
    from tabulate import tabulate

    print(tabulate(lines, headings, "simple", disable_numparse=True))
