"""The dollars of an entry, kept so that other prices, another utilisation or another mix of tokens need no new run.

Everything that a machine's hour makes is linear in its price over the utilisation, so what is kept is the machine's
time: seconds at full load for a million tokens. $/Mtok = R · s / (3600 · u) + what tokens cost beside the hour. The
page does the same sums in the browser (`bench/page/static/dollars.js`); `tests/data/dollars.json` holds both to the
same answers.
"""

from dataclasses import dataclass
from datetime import date

from bench.metrics.statistics import Estimate


@dataclass(frozen=True)
class Mixing:
    """How seconds for any mix of uncached input and output follow, and their interval. None where nobody can say.

    `input_s`, `output_s`: machine seconds for a million tokens of the kind, at full load; the value is linear in them.
    `method` says where the interval is from:
    "time": `each` holds (input_s, output_s) of every replicate, and the interval is that of their mix over replicates;
    "own": that of the entry's own mix (a split by a ratio of prices);
    "fit": the own mix's combined with the fit's error, ± the largest of √(v·M·v) over the matrices of `errors`,
    where v is explained in `bench/entries/mixed.py`.
    """

    method: str
    input_s: float
    output_s: float
    each: tuple[tuple[float, float], ...] = ()
    errors: tuple[tuple[tuple[float, float], tuple[float, float]], ...] = ()


@dataclass(frozen=True)
class ApiPrice:
    """One API's prices for the size of these requests, USD; `own_usd_per_mtok` is of the entry's own tokens, exactly.

    `source`, `model_id`, the days and `stale` (older than 90 days) say on whose word.
    `tokens_per_own`: how many tokens the API charges for one of this model's; None: nobody knows, taken as equal.
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


@dataclass(frozen=True)
class Priced:
    """What an entry's tokens cost, and what that is made of.

    `rate_basis` is the sentence that says where the hourly price is from. `utilisation` is the assumed one; where
    nothing idles (a serverless machine, an endpoint paid by the token) `idles` is False and it is 1 whatever is asked.
    `own_s_per_mtok`: machine seconds at full load for a million of the entry's own tokens, input and output together;
    None of an endpoint that is paid by the token, whose price is `billed_usd_per_mtok`.
    `beside_usd_per_mtok`: what a million of those tokens cost beside the hour: one-off costs, electricity.
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


@dataclass(frozen=True)
class Asked:
    """What a person may change; None leaves the entry's own."""

    usd_per_hour: float | None = None
    utilisation: float | None = None
    mix: tuple[float, float] | None = None
    """Parts of uncached input and of output; None: the entry's own tokens."""
