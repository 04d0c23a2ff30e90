"""The dollars of an entry, kept so that other prices, another utilisation or another mix of tokens need no new run.

Everything that a machine's hour makes is linear in its price over the utilisation, so what is kept is the machine's
time: seconds at full load for a million tokens. $/Mtok = R · s / (3600 · u) + what tokens cost beside the hour. The
page does the same sums in the browser (`bench/page/static/dollars.js`); `tests/data/dollars.json` holds both to the
same answers.
"""

import math
from dataclasses import dataclass
from datetime import date

from bench.cost.lengths import Pull, Three
from bench.errors import InputError
from bench.metrics.statistics import Estimate


@dataclass(frozen=True)
class FitError:
    """What is not known of a mix's seconds because a fit over lengths is not: `bench/cost/lengths.py`.

    The mix's share of what `tokens` cost (uncached, cached, output), by the fit's `seconds` of a token of each kind,
    has the half-width of `Fit.half` by `squares` and `pulls`; `scale_s` times it are seconds for a million tokens.
    `tokens` without output are a prompt alone, and of the mix the input alone is meant.
    """

    tokens: Three
    seconds: Three
    scale_s: float
    squares: tuple[tuple[float, ...], ...] | None = None
    pulls: tuple[Pull, ...] = ()


@dataclass(frozen=True)
class Mixing:
    """How seconds for any mix of uncached input and output follow, and their interval. None where nobody can say.

    `input_s`, `output_s`: machine seconds for a million tokens of the kind, at full load; the value is linear in them.
    `method` says where the interval is from:
    "time": `each` holds (input_s, output_s) of every replicate, and the interval is that of their mix over replicates;
    "own": that of the entry's own tokens (a split by a ratio of prices);
    "fit": the own tokens' as well. Where there is a `fit`, its error is combined with it.
    """

    method: str
    input_s: float
    output_s: float
    each: tuple[tuple[float, float], ...] = ()
    fit: FitError | None = None


@dataclass(frozen=True)
class ApiPrice:
    """One API's prices for the size of these requests, USD; `own_usd_per_mtok` is of the entry's own tokens, exactly.

    `source`, `model_id`, the days and `stale` (older than 90 days) say on whose word.
    `tokens_per_own`: how many tokens the API charges for one of this model's; None: nobody knows, taken as equal.
    `fee_usd_per_mtok`: what `usd_per_request` adds to a million tokens of requests of this size, at any mix.
    """

    api: str
    input_usd_per_mtok: float
    cached_usd_per_mtok: float
    output_usd_per_mtok: float
    usd_per_request: float
    own_usd_per_mtok: float
    cached_tokens: float = 0.0
    source: str = ""
    model_id: str = ""
    valid_from: date | None = None
    confirmed: date | None = None
    stale: bool = False
    tokens_per_own: float | None = None
    fee_usd_per_mtok: float = 0.0


@dataclass(frozen=True)
class Priced:
    """What an entry's tokens cost, and what that is made of.

    `rate_basis` is the sentence that says where the hourly price is from. `utilisation` is the assumed one; where
    nothing idles (a serverless machine, an endpoint paid by the token) `idles` is False and it is 1 whatever is asked.
    `own_s_per_mtok`: machine seconds at full load for a million of the entry's own tokens, input and output together;
    None of an endpoint that is paid by the token, whose price is `billed_usd_per_mtok`.
    `usd_per_hour` None of a machine whose price nobody knows: its dollars are those of the hour that is asked for.
    `beside_usd_per_mtok`: what a million of those tokens cost beside the hour: one-off costs, electricity.
    `electricity_beside_usd_per_mtok` is the part of it that an owner pays for power, as long as the machine runs; at
    another hourly price the machine is not the owner's, and it is left out.
    `electricity_usd_per_mtok` is of a million *output* tokens, in no other figure, and shown beside them.
    `asked_utilisation`: what was asked for, which counts for a machine that does not idle once an hourly price is
    asked for. `billed_parts_usd_per_mtok`: input and output at an endpoint that is paid by the token.
    """

    utilisation: float
    split: str
    day: date
    usd_per_hour: float | None = None
    rate_basis: str = ""
    rate_kind: str = "stated"
    rate_as_of: date | None = None
    rate_flags: tuple[str, ...] = ()
    idles: bool = True
    own_s_per_mtok: Estimate | None = None
    billed_usd_per_mtok: Estimate | None = None
    beside_usd_per_mtok: Estimate | None = None
    input_s_per_mtok: Estimate | None = None
    cached_s_per_mtok: Estimate | None = None
    output_s_per_mtok: Estimate | None = None
    floor_s_per_mtok: float | None = None
    electricity_usd_per_mtok: Estimate | None = None
    mixing: Mixing | None = None
    apis: tuple[ApiPrice, ...] = ()
    electricity_beside_usd_per_mtok: Estimate | None = None
    asked_utilisation: float | None = None
    billed_parts_usd_per_mtok: tuple[float, float] | None = None


USD_PER_HOUR = (1e-9, 1e6)
UTILISATION = (1e-6, 1.0)
"""Least and most, as `CostChoices` has them."""


@dataclass(frozen=True)
class Asked:
    """What a person may change; None leaves the entry's own. Raises InputError for what nothing can be priced at."""

    usd_per_hour: float | None = None
    utilisation: float | None = None
    mix: tuple[float, float] | None = None
    """Parts of uncached input and of output; None: the entry's own tokens."""

    def __post_init__(self) -> None:
        for name, value, (least, most) in (
            ("usd_per_hour", self.usd_per_hour, USD_PER_HOUR),
            ("utilisation", self.utilisation, UTILISATION),
        ):
            if value is not None and not least <= value <= most:
                raise InputError(f"{name}: must be from {least:g} to {most:g} (got {value:g})")
        if self.mix is not None and not all(0 < part < math.inf for part in self.mix):
            raise InputError(
                f"mix: must be two parts above 0, such as 3 and 1 (got {self.mix[0]:g} and {self.mix[1]:g})"
            )
