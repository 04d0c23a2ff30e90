"""Options that several commands share; the command line wins over the config, and the config over the defaults."""

import inspect
from collections.abc import Callable, Mapping
from datetime import date
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from bench.schema import CostChoices, Sampling

T = TypeVar("T", bound="BaseModel")
Given = Mapping[str, Any]
"""Cost options of the command line by their parameter's name; None where one was not given."""

PANEL = "Prices and assumptions"


def _cost_options(
    usd_per_hour: Annotated[
        float | None, typer.Option(help="What the machine costs, in USD per hour.", rich_help_panel=PANEL)
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="Take the hourly price from this provider.", rich_help_panel=PANEL)
    ] = None,
    price_kind: Annotated[
        str | None,
        typer.Option(help="on_demand, spot, reserved, managed, serverless or analyst.", rich_help_panel=PANEL),
    ] = None,
    utilisation: Annotated[
        float | None,
        typer.Option(help="Share of its hours that the machine serves, 0 to 1.", rich_help_panel=PANEL),
    ] = None,
    usd_per_kwh: Annotated[
        float | None,
        typer.Option(help="Price of electricity where the hardware is owned; shown apart.", rich_help_panel=PANEL),
    ] = None,
    api: Annotated[
        list[str] | None,
        typer.Option(
            help="provider/model to compare with, @batch for batch prices; repeat for more.", rich_help_panel=PANEL
        ),
    ] = None,
    api_cached_share: Annotated[
        float | None,
        typer.Option(help="Share of the prompt that the API is assumed to have cached.", rich_help_panel=PANEL),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Prices of this day, YYYY-MM-DD, instead of today's.", rich_help_panel=PANEL)
    ] = None,
    attribution: Annotated[
        str | None,
        typer.Option(help="How a bill is split into in and out: time, fit or ratio:N.", rich_help_panel=PANEL),
    ] = None,
    blend: Annotated[
        list[str] | None,
        typer.Option(help="Also $/Mtok at this ratio of in to out, such as 3:1 or 80/20.", rich_help_panel=PANEL),
    ] = None,
    api_prices: Annotated[
        list[str] | None,
        typer.Option(
            help="A file of API prices in litellm's format; it wins.", metavar="<path>", rich_help_panel=PANEL
        ),
    ] = None,
    hardware_prices: Annotated[
        list[str] | None,
        typer.Option(help="More hourly prices: CSV like the package's list.", metavar="<path>", rich_help_panel=PANEL),
    ] = None,
    billed_as: Annotated[
        str | None,
        typer.Option(help="The endpoint is paid by the token, at this API's prices.", rich_help_panel=PANEL),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(
            help="A YAML file with the keys of a config's `cost:`, in its place.",
            metavar="<path>",
            rich_help_panel=PANEL,
        ),
    ] = None,
) -> None:
    """The cost options themselves: `with_cost_options` puts them into a command's signature."""


def with_cost_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with every cost option in the place of its parameter `given` (a `Given`)."""
    own, options = inspect.signature(command), inspect.signature(_cost_options)
    kept = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own.parameters.values() if one.name != "given"]
    shared = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in options.parameters.values()]

    @wraps(command)
    def called(**values: Any) -> None:
        given = {name: values.pop(name) for name in options.parameters}
        command(**values, given=given)

    called.__signature__ = inspect.Signature([*kept, *shared])  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in (*kept, *shared)}
    del called.__wrapped__
    return called


def sampled(sampling: "Sampling", target: float | None, budget_s: float | None) -> "Sampling":
    """The config's sampling with the command line's over it. Raises InputError naming the option."""
    from bench.schema import Sampling

    given = {key: value for key, value in {"target": target, "budget_s": budget_s}.items() if value is not None}
    return _checked(Sampling, {**sampling.model_dump(), **given})


def overridden(planned: "CostChoices", given: Given, uses_apis: bool = True) -> "CostChoices":
    """The config's choices with the command line's over them. Raises InputError naming the option.

    `uses_apis`: whether the command compares with the default APIs where nobody names others.
    """
    from bench.plan import cost, read
    from bench.schema import CostChoices

    _check_named(given)
    base = planned if given.get("cost") is None else read.choices(Path(given["cost"]))
    said: dict[str, Any] = {
        name: given.get(name)
        for name in (
            "usd_per_hour",
            "provider",
            "price_kind",
            "utilisation",
            "usd_per_kwh",
            "api_cached_share",
            "billed_as",
        )
    }
    said["apis"] = cost.once(given.get("api") or ()) or None
    said["blends"] = cost.once(given.get("blend") or ()) or None
    said["api_price_files"] = tuple(str(one) for one in given.get("api_prices") or ()) or None
    said["hardware_price_files"] = tuple(str(one) for one in given.get("hardware_prices") or ()) or None
    said["as_of"] = _day(given.get("as_of"))
    said |= _attribution(given.get("attribution"))
    changed = {key: value for key, value in said.items() if value is not None}
    for loc, message in cost.contradictions(_checked(CostChoices, changed), changed):
        _say(_option(loc[0]), message.replace("usd_per_hour", "--usd-per-hour"))
    if {"provider", "price_kind"} & changed.keys() and "usd_per_hour" not in changed:
        changed["usd_per_hour"] = None  # asking for a list's price sets a stated one aside
    if {"provider", "price_kind", "usd_per_hour"} & changed.keys():
        changed["owned"] = None
    chosen = _checked(CostChoices, {**base.model_dump(), **changed})
    says_day = given.get("as_of") is not None
    cost.check(
        chosen,
        lambda loc, message: _say("as_of" if loc[0] == "as_of" and not says_day else _option(str(loc[0])), message),
        uses_apis,
    )
    return chosen


def as_words(given: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Options of the command line with their values, a repeated one each time, those that were not given left out.

    >>> as_words({"usd_per_hour": 0.4, "api": ["a/b", "c/d"], "as_of": None, "all_cells": True, "slo": []})
    (('--usd-per-hour', '0.4'), ('--api', 'a/b'), ('--api', 'c/d'), ('--all-cells', ''))
    """
    found = []
    for name, value in given.items():
        each = value if isinstance(value, list) else [] if value is None or value is False else [value]
        found += [("--" + name.replace("_", "-"), "" if one is True else str(one)) for one in each]
    return tuple(found)


OPTIONS = {
    "apis": "--api",
    "blends": "--blend",
    "as_of": "--as-of",
    "api_price_files": "--api-prices",
    "hardware_price_files": "--hardware-prices",
    "price_ratio": "--attribution",
}
"""Keys of `cost:` whose option has another name than `--key`."""


def _option(key: str) -> str:
    return OPTIONS.get(key, "--" + key.replace("_", "-"))


def _day(text: str | None) -> date | None:
    from bench.plan import cost

    found = None if text is None else cost.day(text)
    if text is not None and found is None:
        _say("--as-of", f"{text!r} is no day; write it like 2026-01-31")
    return found


def _check_named(given: Given) -> None:
    """An empty name is a shell variable that nobody set; as a path it would mean this folder."""
    for name in ("cost", "api_prices", "hardware_prices"):
        value = given.get(name)
        if value is not None and "" in (value if isinstance(value, list) else [str(value)]):
            _say(_option(name), "empty; name a file")


def _attribution(text: str | None) -> dict[str, Any]:
    """`ratio:4` is a method and its ratio."""
    if text is None:
        return {}
    name, colon, ratio = text.partition(":")
    if colon and name in ("time", "fit"):
        _say("--attribution", f"{name} takes no number; write {name} alone, or ratio:{ratio}")
    if not colon:
        return {"attribution": name}
    try:
        return {"attribution": name, "price_ratio": float(ratio)}
    except ValueError:
        _say("--attribution", f"{ratio!r} is not a number; write ratio:4 for a price ratio of 4")
        raise AssertionError from None


def _say(option: str, message: str) -> None:
    from bench.errors import InputError

    raise InputError(f"{option}: {message}")


def _checked(noun: type[T], values: dict[str, object]) -> T:
    from pydantic import ValidationError

    from bench.errors import InputError
    from bench.plan import wording

    try:
        return noun.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        option = _option(key)
        raise InputError(f"{option}: {wording.plain(first)} (got {first['input']!r})") from None
