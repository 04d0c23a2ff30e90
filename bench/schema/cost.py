"""Where dollars come from: written by people, applied when records are read, never part of a cell."""

from datetime import date
from typing import Literal

from pydantic import Field

from bench.schema.noun import Noun


class Owned(Noun):
    """A machine, with all its devices, that is bought and not rented."""

    capex_usd: float = Field(gt=0, le=1e12, allow_inf_nan=False, description="price of the machine, host included")
    life_years: float = Field(ge=0.01, le=50, allow_inf_nan=False, description="years over which it is paid off")
    financing_rate: float = Field(
        0.0, ge=0, lt=1, allow_inf_nan=False, description="yearly interest on the capital; 0.10 is 10 %"
    )
    residual_usd: float = Field(0.0, ge=0, allow_inf_nan=False, description="what it is still worth at the end")
    power_kw: float = Field(0.0, ge=0, allow_inf_nan=False, description="mean draw of the whole machine")
    pue: float = Field(1.0, ge=1, le=5, allow_inf_nan=False, description="power of the room over that of the machine")
    usd_per_kwh: float = Field(0.0, ge=0, allow_inf_nan=False, description="price of electricity")
    opex_usd_per_year: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="hosting, staff, maintenance and insurance"
    )
    availability: float = Field(
        1.0, gt=0, le=1, allow_inf_nan=False, description="share of the hours of the year in which it works"
    )


class OneOff(Noun):
    """Paid once, such as a fine-tune or an integration, and spread over a volume of tokens."""

    usd: float = Field(gt=0, le=1e12, allow_inf_nan=False)
    mtok: float = Field(
        ge=1e-6, allow_inf_nan=False, description="millions of tokens, in and out, that it is spread over"
    )
    what: str = Field("one-off", min_length=1, description="what it pays for, for the footnote")


PriceKind = Literal["on_demand", "spot", "reserved", "managed", "serverless", "analyst"]
Attribution = Literal["time", "fit", "ratio"]


class CostChoices(Noun):
    """Where the dollars come from. Never part of a cell: prices are applied when records are read."""

    usd_per_hour: float | None = Field(
        None, ge=1e-9, le=1e6, allow_inf_nan=False, description="price of the whole machine, USD per hour"
    )
    provider: str | None = Field(None, description="take the hourly price from this provider in the price list")
    price_kind: PriceKind = Field("on_demand", description="which kind of price to take from the list")
    spot_overhead: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="with spot: work done twice because of interruptions, as a share"
    )
    spot_availability: float = Field(
        1.0, gt=0, le=1, allow_inf_nan=False, description="with spot: share of the paid time that serves"
    )
    owned: Owned | None = Field(None, description="the machine is bought: its hourly rate is computed from this")
    one_off: OneOff | None = Field(None, description="a cost paid once, shown per million tokens beside the others")
    utilisation: float = Field(
        1.0, ge=1e-6, le=1, description="share of the tokens it could serve in its paid hours that it does serve"
    )
    attribution: Attribution = Field(
        "time",
        description="how a bill is split into input and output: measured time, a fit over lengths, a price ratio",
    )
    price_ratio: float = Field(
        4.0,
        ge=1e-6,
        le=1e6,
        allow_inf_nan=False,
        description="with attribution ratio: price of an output over an input token",
    )
    blends: tuple[str, ...] = Field(
        (), description="ratios of input to output tokens to blend dollars at, such as 3:1 or 80/20"
    )
    apis: tuple[str, ...] | None = Field(
        None, min_length=1, description="provider/model names to price the same requests at; @batch takes batch prices"
    )
    api_cached_share: float = Field(
        0.0, ge=0, le=1, description="share of the prompt that the API is assumed to have in its cache"
    )
    billed_as: str | None = Field(
        None, description="the endpoint is paid by the token: provider/model whose API prices its bill is made of"
    )
    max_spend_usd: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="with billed_as: stop before the run has cost more",
    )
    api_price_files: tuple[str, ...] = Field((), description="files of API prices in litellm's format; these win")
    hardware_price_files: tuple[str, ...] = Field((), description="more hourly prices, CSV with the package's columns")
    as_of: date | None = Field(None, description="use the prices of this day; without it those of today")
    usd_per_kwh: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="price of electricity where the hardware is owned; shown apart, never added to an hourly price",
    )
