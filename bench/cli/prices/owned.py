"""`bench prices owned`: what an hour of a machine that is bought costs, by parts, and the config that says so."""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.schema import Owned

OPTIONS = {
    "capex_usd": "--capex",
    "financing_rate": "--financing",
    "life_years": "--life",
    "residual_usd": "--residual",
}
"""Keys of `cost.owned` whose option has another name than `--key`."""
HINTS = {
    "financing_rate": "; 0.10 is 10 % a year",
    "pue": "; power of the room over that of the machine",
    "availability": "; the share of the hours in which it works",
}


def add_to(app: typer.Typer) -> None:
    app.command(
        name="owned",
        epilog="Example: bench prices owned --capex 31000 --financing 0.1 --life 4 --power-kw 1.73 --usd-per-kwh 0.083",
    )(owned)


def owned(
    capex: Annotated[float, typer.Option(help="Price of the machine in USD, host included.")],
    life: Annotated[float, typer.Option(help="Years over which it is paid off.")],
    financing: Annotated[float, typer.Option(help="Yearly interest on the capital; 0.10 is 10 %.")] = 0.0,
    power_kw: Annotated[float, typer.Option(help="Mean draw of the whole machine in kW.")] = 0.0,
    usd_per_kwh: Annotated[float | None, typer.Option(help="Price of electricity, with --power-kw.")] = None,
    pue: Annotated[float, typer.Option(help="Power of the room over that of the machine.")] = 1.0,
    residual: Annotated[float, typer.Option(help="What it is still worth at the end, in USD.")] = 0.0,
    opex_per_year: Annotated[float, typer.Option(help="Hosting, staff, maintenance and insurance, USD a year.")] = 0.0,
    availability: Annotated[float, typer.Option(help="Share of the hours in which it works, 0 to 1.")] = 1.0,
) -> None:
    """Compute what an hour of a machine of your own costs, from its price, interest, life, power and upkeep."""
    from bench.cost import owned as formulas
    from bench.errors import InputError
    from bench.schema import Owned

    if power_kw > 0 and usd_per_kwh is None:
        raise InputError("--power-kw: costs nothing without --usd-per-kwh; give it (0 where power is free)")
    given = {
        "capex_usd": capex,
        "life_years": life,
        "financing_rate": financing,
        "residual_usd": residual,
        "power_kw": power_kw,
        "pue": pue,
        "usd_per_kwh": usd_per_kwh or 0.0,
        "opex_usd_per_year": opex_per_year,
        "availability": availability,
    }
    machine = _checked(given)
    try:
        rate = formulas.hourly_usd(machine)
    except InputError as error:
        key, _, message = error.lines[0].partition(": ")
        raise InputError(f"{_option(key)}: {message}") from None
    usual = {name: one.default for name, one in Owned.model_fields.items()}
    print(f"${rate.total_usd:.4f} per hour in which it works =")
    print(f"  ${rate.capital_usd:.4f}  capital  {_capital(machine.capex_usd, life, financing, residual)}")
    print(f"  ${rate.power_usd:.4f}  power    {power_kw:g} kW × PUE {pue:g} × ${machine.usd_per_kwh:g}/kWh")
    print(f"  ${rate.opex_usd:.4f}  opex     ${opex_per_year:,.0f} a year")
    hours = formulas.HOURS_PER_YEAR
    print(f"capital and opex are spread over {hours * availability:,.0f} of the {hours:,} hours of a year")
    print("\nIn a config:\n\ncost:\n  owned:")
    for name, value in given.items():
        if value != usual[name] or (name == "usd_per_kwh" and power_kw):
            # In plain digits: YAML takes 5e-05 for text.
            print(f"    {name}: {Decimal(f'{value:.15g}'):f}")


def _capital(capex: float, life: float, financing: float, residual: float) -> str:
    from bench.cost import owned as formulas

    worth = f", less the present value of ${residual:,.0f} in the end" if residual else ""
    factor = formulas.crf(financing, life)
    return f"${capex:,.0f} over {life:g} years at {financing * 100:.4g}%{worth}: × {factor:.6f} a year"


def _option(key: str) -> str:
    return OPTIONS.get(key, "--" + key.replace("_usd_", "_").replace("_", "-"))


def _checked(given: dict[str, float]) -> "Owned":
    from pydantic import ValidationError

    from bench.errors import InputError
    from bench.plan import wording
    from bench.schema import Owned

    try:
        return Owned.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        raise InputError(
            f"{_option(key)}: {wording.plain(first)} (got {first['input']:g}{HINTS.get(key, '')})"
        ) from None
