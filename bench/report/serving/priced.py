"""Rows with their dollars: of the machine that served, or of the bill of an endpoint that is paid by the token."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from statistics import median

from bench.cost import api_prices, billed, blend, characters, hourly, owned
from bench.cost import serving as cost
from bench.cost.api_prices import ApiModel
from bench.cost.billed import Bill
from bench.cost.characters import Count
from bench.cost.duty import Duty
from bench.cost.hourly import HourlyRate
from bench.cost.mix import bounds_of, together
from bench.cost.serving import ApiOfMix, Asleep, Prices, Rates
from bench.errors import InputError
from bench.metrics.serving import ServingFigures
from bench.metrics.statistics import Estimate
from bench.models import sample_text
from bench.report.costs import NAMED_BLENDS
from bench.report.serving import check
from bench.report.serving.reading import Run
from bench.report.serving.row import ServingDollars, ServingRow
from bench.schema import CostChoices, Serving

TEXT = "prose"
"""The part of the sample text by which tokenizers are compared."""


@dataclass(frozen=True)
class Pricing:
    """The assumptions, the APIs that they name, and the API that sends the bill, if the endpoint is paid by the token.

    `bounds` are the sizes of prompts at which one of them changes its prices.
    """

    choices: CostChoices
    day: date
    apis: tuple[ApiModel, ...]
    paid_to: ApiModel | None
    bounds: tuple[int, ...]
    duty: tuple[float, float] | None
    blends: tuple[str, ...] = NAMED_BLENDS

    @classmethod
    def of(cls, choices: CostChoices, duty: tuple[float, float] | None = None) -> "Pricing":
        """Looked up once for all rows. Raises InputError for an API that is not known, a duty cycle or a blend that is
        none."""
        if duty is not None:
            Duty(*duty)

        def found(name: str) -> ApiModel:
            return api_prices.lookup(name, choices.as_of, choices.api_price_files)

        apis = tuple(found(name) for name in choices.apis or api_prices.DEFAULT_APIS)
        paid_to = None if choices.billed_as is None else found(choices.billed_as)
        every = apis if paid_to is None else (*apis, paid_to)
        bounds = bounds_of(one.tariff for one in every)
        wanted = tuple(blend.parse(name).name for name in dict.fromkeys((*NAMED_BLENDS, *choices.blends)))
        return cls(choices, choices.as_of or datetime.now(UTC).date(), apis, paid_to, bounds, duty, wanted)

    def paid_by(self, serving: Serving) -> ApiModel | None:
        """Who sends the bill for a run; nobody does where this program started the server."""
        return self.paid_to if serving.server is None else None


def priced(row: ServingRow, runs: Sequence[Run], pricing: Pricing) -> ServingRow:
    """The row with its dollars, or why it has none; what a paid endpoint charged is a fact all the same."""
    if row.figures is None or not runs:
        return row
    paid_to = pricing.paid_by(row.servings[0])
    bill = None if paid_to is None else _bill(row, runs, paid_to)
    if row.fatal:
        return replace(row, no_dollars_because=row.fatal, unpriced_bill=bill)
    try:
        if bill is not None:
            return replace(row, dollars=_billed(row, runs, pricing, bill))
        return replace(row, dollars=_hosted(row, row.figures, runs, pricing))
    except InputError as error:
        unpriced = replace(row, no_dollars_because=error.lines[0], unpriced_bill=bill)
    nominal = replace(pricing, choices=pricing.choices.model_copy(update={"usd_per_hour": 1.0, "owned": None}))
    try:
        return (
            unpriced
            if bill is not None
            else replace(unpriced, at_one_usd_per_hour=_hosted(row, row.figures, runs, nominal))
        )
    except InputError:
        return unpriced  # it was not the hour


def _without_tokens(figures: ServingFigures) -> str:
    """Why there are no tokens to price."""
    if figures.tokens.requests and not figures.tokens.input:
        return "nobody counted the tokens of a prompt: have the server send usage, or name its tokenizer (tokenizer:)"
    return "no request was over inside the steady window; let it last longer (until.duration_s)"


def _hosted(row: ServingRow, figures: ServingFigures, runs: Sequence[Run], pricing: Pricing) -> ServingDollars:
    choices = pricing.choices
    rate, whose = _rate(row, choices)
    # A serverless machine is paid only while it serves: it has no idle hours.
    utilisation = 1.0 if rate.kind == "serverless" else choices.utilisation
    mix, good = together([one.mix for one in runs]), together([one.good for one in runs])
    if not mix.whole.output:
        raise InputError(_without_tokens(figures))
    rates = Rates(figures.total_tokens_per_s, figures.output_tokens_per_s, figures.requests_per_s)
    if min(rates.total_tokens_per_s.value, rates.output_tokens_per_s.value, rates.requests_per_s.value) <= 0:
        raise InputError("nothing was served in the steady window; let it last longer (until.duration_s)")
    full, at = (
        cost.prices(rates, mix.whole, rate.usd_per_hour, share, choices.price_ratio) for share in (1.0, utilisation)
    )
    beside = 0.0 if choices.one_off is None else owned.one_off_usd_per_mtok(choices.one_off)
    own = _plus(at.blended_usd_per_mtok, beside)
    apis = cost.at_apis(mix, pricing.apis, own, full.blended_usd_per_mtok, beside, choices.api_cached_share)
    goodput = figures.goodput_requests_per_s
    sleeping, why = _asleep(row, at, rates, rate, utilisation, pricing)
    return ServingDollars(
        day=pricing.day,
        mix=mix,
        usd_per_mtok=own,
        apis=_same_text(row, apis),
        utilisation=utilisation,
        ratio=choices.price_ratio,
        rate=rate,
        whose=whose,
        full=full,
        at=at,
        one_off_usd_per_mtok=beside,
        good=None if goodput is None else cost.good(goodput, good.whole, rate.usd_per_hour, utilisation),
        asleep=sleeping,
        not_asleep_because=why,
        good_mix=good,
        api_cached_share=choices.api_cached_share,
        asked_utilisation=choices.utilisation,
        blends=pricing.blends,
    )


def _rate(row: ServingRow, choices: CostChoices) -> tuple[HourlyRate, str]:
    """What an hour of what served costs: as stated or owned wherever it stands, else by this machine's parts."""
    try:
        facts, whose = cost.machine_of(row.servings[0], row.environment)
    except InputError:
        if choices.usd_per_hour is None and choices.owned is None:
            raise
        facts, _ = cost.machine_of(row.servings[0].model_copy(update={"loopback": True}), row.environment)
        whose = "an endpoint elsewhere, at the price of the hour that was stated"
    return hourly.rate(choices, row.environment, facts), whose


def _plus(of: Estimate, usd: float) -> Estimate:
    if not usd:
        return of
    low, high = (None if end is None else end + usd for end in (of.low, of.high))
    return Estimate(of.value + usd, low, high, of.n)


def _asleep(
    row: ServingRow, at: Prices, rates: Rates, rate: HourlyRate, utilisation: float, pricing: Pricing
) -> tuple[Asleep | None, str | None]:
    """With the measured cold start: from the server's start to its first answer. Raises InputError for a duty cycle
    that this machine cannot have."""
    if pricing.duty is None:
        return None, None
    starts = [one.server for one in row.servings if one.server is not None]
    if not starts:
        return None, "no cold start was measured: the server was already running; have it started with server:"
    cold_s = median(one.load_s + (one.first_request_s or 0.0) for one in starts)
    try:
        duty = Duty(*pricing.duty, cold_start_s=cold_s, served_share=rate.served_share)
        return cost.asleep(at, rates, rate, utilisation, duty), None
    except InputError as error:
        return None, error.lines[0]


def _bill(row: ServingRow, runs: Sequence[Run], api: ApiModel) -> Bill:
    succeeded, failed, uncounted = (
        together([getattr(one, name) for one in runs]) for name in ("succeeded", "failed", "uncounted")
    )
    allowances = [one.spent.usd for one in row.servings if one.spent is not None and one.spent.usd < MOST_ALLOWED_USD]
    return billed.bill(
        api,
        succeeded,
        failed,
        uncounted,
        [billed.probe_tokens(one.capabilities) for one in row.servings],
        row.failed_runs_usd,
        max(allowances, default=None),
    )


def _billed(row: ServingRow, runs: Sequence[Run], pricing: Pricing, bill: Bill) -> ServingDollars:
    if bill.usd_per_mtok is None:
        raise InputError("the server counted no tokens (usage), so nobody knows what it charged")
    own = Estimate(bill.usd_per_mtok, bill.usd_per_mtok, bill.usd_per_mtok, len(runs))
    share = pricing.choices.api_cached_share
    return ServingDollars(
        day=pricing.day,
        mix=bill.succeeded,
        usd_per_mtok=own,
        apis=_same_text(row, cost.at_apis(bill.succeeded, pricing.apis, own, None, 0.0, share)),
        bill=bill,
        checked=check.together([one.checked for one in runs]),
        api_cached_share=share,
        blends=pricing.blends,
    )


MOST_ALLOWED_USD = 1e8
"""An allowance beyond this is no limit that a person set."""


def _same_text(row: ServingRow, apis: tuple[ApiOfMix, ...]) -> tuple[ApiOfMix, ...]:
    """Each with how many tokens it charges for one of this model's, where both tokenizers are known."""
    own = own_count(row)
    if own is None:
        return apis
    found = []
    for one in apis:
        theirs = characters.find(one.model.model_id) or characters.find(one.api)
        ratio = None if theirs is None else characters.same_text_ratio(theirs.parts[TEXT], own)
        found.append(replace(one, tokens_per_own=ratio))
    return tuple(found)


def own_count(row: ServingRow) -> Count | None:
    """The measured model's tokens of the sample's prose: counted when it was measured, else listed by its name."""
    for one in row.servings:
        if TEXT in one.text_tokens and one.text_sha256 == sample_text.sha256():
            return Count(one.text_tokens[TEXT], len(sample_text.sample_parts()[TEXT]))
    names = [row.cell.model.source, *(one.capabilities.served_model for one in row.servings[:1])]
    listed = next((found for name in names if (found := characters.find(name)) is not None), None)
    return None if listed is None else listed.parts[TEXT]
