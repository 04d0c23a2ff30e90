"""An endpoint that is paid by the token: what a planned run would cost, what may be spent, and what it did cost. Pure.

The bill is made of the server's usage of *every* request, failed ones and warm-up included, and of the probe's. An
estimate beforehand has two ends: mean lengths, and the most tokens that each request may have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from bench.cost.api_prices import ApiModel
from bench.cost.mix import Mix
from bench.cost.tariff import MTOK, Tariff
from bench.schema import Allowance, Capabilities, Lengths, Traffic

DURATION_S = 60.0
"""Of a load that nothing else ends."""

PROBE_INPUT_TOKENS, PROBE_OUTPUT_TOKENS = 4000, 500
"""More than a probe takes, where nobody has counted yet."""


# --- before a run


@dataclass(frozen=True)
class BillEstimate:
    """What one run of a load would cost at an API, in USD; None where nobody can say, and why.

    `usd` is at mean lengths and nothing cached; `most_usd` at the longest prompts and answers that the load allows.
    """

    api: str
    requests: int | None
    input_tokens: float | None
    output_tokens: float | None
    usd: float | None
    most_usd: float | None
    probe_usd: float
    because: str | None = None

    def text(self) -> str:
        """One line for a person."""
        if self.usd is None or self.most_usd is None:
            return f"at {self.api}: nobody can say: {self.because}"
        return (
            f"at {self.api}: about ${self.usd:.4g}, at most ${self.most_usd:.4g} a run: {self.requests} requests of "
            f"{self.input_tokens:.0f} in and {self.output_tokens:.0f} out, probe ${self.probe_usd:.2g} included"
        )


def bill_estimate(traffic: Traffic, api: ApiModel, capabilities: Capabilities | None = None) -> BillEstimate:
    """What one replicate of a load would cost. `capabilities`, where the probe has run, tell what a chat template adds.

    The number of requests is that of `until.requests`, or rate times duration of an open loop, warm-up included; of a
    closed loop without `until.requests` it hangs on how fast the server is, and nobody can say.
    """
    probe = _probe_usd(capabilities, api)
    requests, why = _requests(traffic)
    lengths = _lengths(traffic, 0 if capabilities is None else capabilities.overhead_tokens or 0)
    if requests is None or lengths is None:
        why = why or "the prompts' lengths are in a file; give input_tokens and output_tokens"
        return BillEstimate(api.name, requests, None, None, None, None, probe, why)
    (input_tokens, most_input), (output_tokens, most_output) = lengths
    usual = requests * _usd(api.tariff, round(input_tokens), round(output_tokens))
    most = requests * _dearest(api.tariff, most_input, most_output)
    return BillEstimate(api.name, requests, input_tokens, output_tokens, usual + probe, most + probe, probe)


def _requests(traffic: Traffic) -> tuple[int | None, str | None]:
    """How many may be sent, warm-up included, or why nobody can say."""
    until, level = traffic.until, traffic.requests_per_s
    if traffic.ramp is not None and traffic.load != "closed":
        level = max(level or 0.0, traffic.ramp.to)
    at_once = traffic.concurrency or 0
    if traffic.ramp is not None and traffic.load == "closed":
        at_once = max(at_once, round(traffic.ramp.to))
    ramp_s = 0.0 if traffic.ramp is None else traffic.ramp.over_s
    by_time = None
    if level is not None:
        ends = None if until.duration_s is None and until.requests is not None else until.duration_s or DURATION_S
        by_time = None if ends is None else round(level * ends)
        # A warm-up without a length of its own ends with the first answers: ten seconds of sending are plenty.
        before = round(level * (ramp_s + (10.0 if traffic.warmup_s is None else traffic.warmup_s)))
    else:
        before = 2 * at_once
    known = [one for one in (until.requests, by_time) if one is not None]
    if not known:
        return None, "its number of requests is not bounded; give until.requests, or rely on --max-spend"
    return min(known) + before, None


Pair = tuple[float, int]
"""Mean, and the most there can be."""


def _lengths(traffic: Traffic, overhead: int) -> tuple[Pair, Pair] | None:
    """Prompt and answer; of conversations, the mean over the turns and the last turn."""
    if traffic.input_tokens is None or traffic.output_tokens is None:
        return None
    (first, most_first), (new, most_new) = _length(traffic.input_tokens), _length(traffic.output_tokens)
    turns = traffic.turns
    mean = first * (turns + 1) / 2 + new * (turns - 1) / 2 + overhead
    most = (most_first + overhead) * turns + most_new * (turns - 1)
    return (mean, most), (new, most_new)


def _length(of: int | Lengths) -> Pair:
    if isinstance(of, int):
        return float(of), of
    middle = (of.least + of.most) / 2 if of.shape == "uniform" or of.mean is None else of.mean
    return min(max(middle, of.least), of.most), of.most


def _usd(tariff: Tariff, input_tokens: int, output_tokens: int) -> float:
    return float(tariff.request_usd(input_tokens, 0, output_tokens))


def _dearest(tariff: Tariff, input_tokens: int, output_tokens: int) -> float:
    """The most that a request up to these lengths can cost: a tier for long prompts need not be the dearer one."""
    tops = [tier.above for tier in tariff.tiers if 0 <= tier.above < input_tokens]
    return max(_usd(tariff, size, output_tokens) for size in (*tops, input_tokens))


def _probe_usd(capabilities: Capabilities | None, api: ApiModel) -> float:
    counted = probe_tokens(capabilities)
    return _usd(api.tariff, *(counted or (PROBE_INPUT_TOKENS, PROBE_OUTPUT_TOKENS)))


def probe_tokens(capabilities: Capabilities | None) -> tuple[int, int] | None:
    """What the probe was billed for, where its record says so."""
    if capabilities is None or not capabilities.probe_requests:
        return None
    return capabilities.probe_input_tokens, capabilities.probe_output_tokens


def allowance(api: ApiModel, usd: float) -> Allowance:
    """Prices of a token that no request at this API can exceed, in USD: of each kind that of the dearest tier.

    >>> from bench.cost import api_prices
    >>> found = allowance(api_prices.lookup("groq/llama-3.1-8b-instant"), 1.5)
    >>> found.usd, found.usd_per_output_token >= found.usd_per_input_token > 0
    (1.5, True)
    """
    tiers = api.tariff.tiers
    fresh, cached, output = (max(getattr(tier, kind) for tier in tiers) for kind in ("input", "cached", "output"))
    return Allowance(
        usd=usd,
        usd_per_input_token=float(fresh / MTOK),
        usd_per_cached_token=float(cached / MTOK),
        usd_per_output_token=float(output / MTOK),
        usd_per_request=float(api.tariff.usd_per_request),
        probe_usd=_probe_usd(None, api),
    )


# --- after it


@dataclass(frozen=True)
class Bill:
    """What the runs of a row cost at the endpoint's own tariff, in USD: exact for the tokens that were counted.

    `counted` are requests with usage, failed and warm-up ones included; of `uncounted` ones that were answered the
    server said nothing, and what it charged for them is not known: `estimated_usd` is by our own counts, and not in
    `usd`. `usd_per_mtok` is all of the requests' dollars over the tokens of those that succeeded.
    """

    api: str
    model: ApiModel
    usd: float
    requests_usd: float
    probe_usd: float | None
    failed_runs_usd: float
    counted: int
    failed_counted: int
    uncounted: int
    estimated_usd: float
    succeeded: Mix
    usd_per_mtok: float | None
    usd_per_1000_requests: float | None
    allowance_usd: float | None = None


def bill(
    api: ApiModel,
    succeeded: Mix,
    failed: Mix,
    uncounted: Mix,
    probes: Sequence[tuple[int, int] | None],
    failed_runs_usd: float = 0.0,
    allowance_usd: float | None = None,
) -> Bill:
    """`succeeded` and `failed`: every request with usage, warm-up included; `probes`: tokens of each run's probe.

    `uncounted`: requests whose tokens the server did not count, by our own counts. `failed_runs_usd`: what runs cost
    that did not come to their end.
    """
    requests = succeeded.usd(api.tariff) + failed.usd(api.tariff)
    known = [one for one in probes if one is not None]
    probe = sum((api.tariff.request_usd(one[0], 0, one[1]) for one in known), Decimal(0)) if known else None
    estimated = uncounted.usd(api.tariff)
    answered, tokens = succeeded.whole.requests, succeeded.whole.tokens
    return Bill(
        api=api.name,
        model=api,
        usd=float(requests + (probe or 0)) + failed_runs_usd,
        requests_usd=float(requests),
        probe_usd=None if probe is None else float(probe),
        failed_runs_usd=failed_runs_usd,
        counted=answered + failed.whole.requests,
        failed_counted=failed.whole.requests,
        uncounted=uncounted.whole.requests,
        estimated_usd=float(estimated),
        succeeded=succeeded,
        usd_per_mtok=float(requests) * MTOK / tokens if tokens else None,
        usd_per_1000_requests=float(requests) * 1000 / answered if answered else None,
        allowance_usd=allowance_usd,
    )
