"""Cost options that `run` and `report` share: the command line wins over the config."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel

    from bench.schema import CostChoices, Sampling

T = TypeVar("T", bound="BaseModel")


def sampled(sampling: "Sampling", target: float | None, budget_s: float | None) -> "Sampling":
    """The config's sampling with the command line's over it. Raises InputError naming the option."""
    from bench.schema import Sampling

    given = {key: value for key, value in {"target": target, "budget_s": budget_s}.items() if value is not None}
    return _checked(Sampling, {**sampling.model_dump(), **given})


def overridden(
    cost: "CostChoices",
    usd_per_hour: float | None,
    provider: str | None,
    api: list[str] | None,
    utilisation: float | None,
    usd_per_kwh: float | None = None,
) -> "CostChoices":
    """The config's choices with the command line's over them. Raises InputError naming the option."""
    from bench.cost import api_prices, hardware_prices
    from bench.schema import CostChoices

    said = {
        "usd_per_hour": usd_per_hour,
        "provider": provider,
        "apis": tuple(api) if api else None,
        "utilisation": utilisation,
        "usd_per_kwh": usd_per_kwh,
    }
    given: dict[str, object] = {key: value for key, value in said.items() if value is not None}
    if provider is not None and usd_per_hour is None:
        given["usd_per_hour"] = None  # asking for a provider's price sets a stated one aside
    chosen = _checked(CostChoices, {**cost.model_dump(), **given})
    if provider is not None:
        _named("--provider", lambda: hardware_prices.check_provider(provider))
    for name in api or ():
        _named("--api", partial(api_prices.lookup, name))
    return chosen


def _checked(noun: type[T], values: dict[str, object]) -> T:
    from pydantic import ValidationError

    from bench.errors import InputError

    try:
        return noun.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        message = first["msg"].removeprefix("Input ").replace("should be", "must be")
        raise InputError(f"{option}: {message} (got {first['input']!r})") from None


def _named(option: str, check: Callable[[], object]) -> None:
    from bench.errors import InputError

    try:
        check()
    except InputError as error:
        raise InputError(f"{option}: {error.lines[0]}") from None
