"""Machine seconds for a million tokens of another tool's result: of its whole rates, and by part where it timed parts.

Three ways, in this order: the two parts of the same requests were timed (time to the first token, and the whole); two
parts were timed in tests of their own (a prefill rate and a decode rate, no whole); only the whole is known, and parts
follow from an assumed ratio of prices. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.cost import attribution
from bench.cost.dollars import MTOK
from bench.cost.lengths import around
from bench.errors import InputError
from bench.metrics.statistics import Estimate

COMPOSED = "by measured time of two tests, a request taking input ÷ prefill rate + output ÷ decode rate"


@dataclass(frozen=True)
class Tokens:
    """Of one request; of a load their mean. `prompt` with the cached ones."""

    prompt: float
    cached: float
    output: float

    @property
    def fresh(self) -> float:
        return self.prompt - self.cached

    @property
    def whole(self) -> float:
        return self.prompt + self.output


@dataclass(frozen=True)
class Seconds:
    """At full load, for a million tokens: of the requests' own mix, and of each kind. The parts add up to the whole.

    A part is None of a kind that the requests have not. `split` says how the parts are told apart.
    """

    own: Estimate
    input: Estimate | None
    cached: Estimate | None
    output: Estimate | None
    split: str


def seconds_of(
    figures: Mapping[str, Estimate], tokens: Tokens, batch_size: int | None, ratio: float, by_ratio: bool = False
) -> Seconds:
    """`batch_size` of a static batch, None of a load; `by_ratio` asks for the ratio even where parts were timed.

    Raises InputError where the figures have no rate of whole requests, nor both of a prefill and a decode rate.

    A batch of 2 with 100 tokens in and 10 out each takes 1 s, half of it to the first token: 0.5 s for 200 tokens in
    and 0.5 s for 20 out.

    >>> one = lambda value: Estimate(value, None, None, 1)
    >>> timed = {"ttft_s": one(0.5), "e2el_s": one(1.0), "decode_tokens_per_s": one(36.0)}
    >>> found = seconds_of(timed, Tokens(100, 0, 10), 2, 4.0)
    >>> round(found.own.value), round(found.input.value, 6), round(found.output.value, 6)
    (4545, 2500.0, 25000.0)

    The same at 400 tokens a second in, 40 out, each timed alone:

    >>> found = seconds_of(dict(prefill_tokens_per_s=one(400), decode_tokens_per_s=one(40)), Tokens(100, 0, 10), 1, 4.0)
    >>> round(found.own.value), round(found.input.value, 6), round(found.output.value, 6)
    (4545, 2500.0, 25000.0)
    """
    if batch_size is not None and not _whole(figures):
        return _composed(figures, tokens, ratio, by_ratio)
    own = _own(figures, tokens, batch_size)
    first, whole = figures.get("ttft_s"), figures.get("e2el_s")
    # Without a decode rate the first token was timed in other requests, and taking it off the whole is no measurement.
    timed = (
        batch_size is not None and "decode_tokens_per_s" in figures and first and whole and first.value < whole.value
    )
    if by_ratio or not timed or first is None or whole is None or not tokens.output or tokens.fresh <= 0:
        return _by_ratio(own, tokens, ratio)
    share = first.value / whole.value
    of_input = around(own.value * share * tokens.whole / tokens.fresh, own, 0.0)
    of_output = around(own.value * (1 - share) * tokens.whole / tokens.output, own, 0.0)
    return Seconds(own, of_input, None, of_output, attribution.method_text("time"))


def _whole(figures: Mapping[str, Estimate]) -> bool:
    return bool({"total_tokens_per_s", "output_tokens_per_s", "requests_per_s", "e2el_s"} & figures.keys())


def _own(figures: Mapping[str, Estimate], tokens: Tokens, batch_size: int | None) -> Estimate:
    """By the first rate of whole requests that there is; they say the same of the same requests."""
    for name, per_request in (
        ("total_tokens_per_s", tokens.whole),
        ("output_tokens_per_s", tokens.output),
        ("requests_per_s", 1.0),
    ):
        rate = figures.get(name)
        if rate is not None and rate.value > 0 and per_request > 0:
            return rate.into(MTOK * per_request / tokens.whole)
    whole = figures.get("e2el_s")
    if batch_size is not None and whole is not None and whole.value > 0:
        return whole.times(MTOK / (batch_size * tokens.whole))
    raise InputError("no rate of whole requests in the file, and none of their parts that would add up to one")


def _composed(figures: Mapping[str, Estimate], tokens: Tokens, ratio: float, by_ratio: bool) -> Seconds:
    """Prefill and decode were timed apart, so a request is put together of them; the interval from end to end."""
    prefill, decode = figures.get("prefill_tokens_per_s"), figures.get("decode_tokens_per_s")
    if prefill is None or not prefill.value > 0:
        raise InputError("the prompt's time is not in the file: nobody knows what a whole request takes")
    if decode is None or not decode.value > 0:
        raise InputError("the decode time is not in the file: nobody knows what a whole request takes")
    of_input, of_output = prefill.into(MTOK), decode.into(MTOK)
    value, low, high = (
        None if one is None or other is None else (tokens.fresh * one + tokens.output * other) / tokens.whole
        for one, other in (
            (of_input.value, of_output.value),
            (of_input.low, of_output.low),
            (of_input.high, of_output.high),
        )
    )
    own = Estimate(value or 0.0, low, high, min(prefill.n, decode.n))
    if by_ratio:
        return _by_ratio(own, tokens, ratio)
    return Seconds(own, of_input, None, of_output, f"split {COMPOSED}")


def _by_ratio(own: Estimate, tokens: Tokens, ratio: float) -> Seconds:
    """An output token takes `ratio` times an input token; cached input as long as uncached, as under load of ours."""
    weighed = tokens.prompt / ratio + tokens.output
    output = own.times(tokens.whole / weighed)
    of_input = output.times(1 / ratio)
    return Seconds(
        own,
        of_input if tokens.fresh > 0 else None,
        of_input if tokens.cached > 0 else None,
        output if tokens.output > 0 else None,
        attribution.method_text("ratio", ratio=ratio),
    )
