"""Whose tokens made the bill: a batch's dollars divided among its uncached input, cached input and output tokens.

Three methods, and the parts of each add up to the row's bill: by measured time (prefill to input, decode to output), by
a fit of seconds to tokens over rows of several lengths, and by an assumed ratio of prices. None of them charges a
second twice. All formulas are linear in the bill, so that twice the price is twice every part. Floats: the parts add up
to the bill within a relative error of 1e-12.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.cost import dollars
from bench.cost.lengths import MEASURE_MORE, ONLY, Fit, Point, Three, around, dot, exact, fit
from bench.errors import InputError
from bench.metrics.statistics import Estimate, estimate, mean

__all__ = ["Fit", "Point", "Split", "by_fit", "by_ratio", "by_time", "fit", "grid_usd", "method_text"]


@dataclass(frozen=True)
class Recipe:
    """What `Split.price` is made of, in plain data, for mixes without cached tokens: machine seconds of a token.

    The value is linear in `input_s` and `output_s`. Its relative interval is that of `each` replicate's mix (seconds of
    an input and of an output token), where there are none that of the row's own time; and where there is a `fit`,
    `scale_s` times its half-width for the mix's share of `tokens` is combined with it. Of `tokens` without output, a
    prompt alone, the share is that of the mix's input.
    """

    input_s: float
    output_s: float
    each: tuple[tuple[float, float], ...] = ()
    fit: Fit | None = None
    tokens: Three = (0.0, 0.0, 0.0)
    scale_s: float = 0.0


@dataclass(frozen=True)
class Split:
    """What a million tokens of each kind cost; None for a kind that the row has not, or that cannot be told.

    `method` is "time", "fit" or "ratio". `residual` is the share of the row's time that the fit leaves unexplained (of
    a whole grid: the root mean square). `low` is None where a part cannot be told from zero. `price` gives the dollars
    of any mix of the three kinds, with the interval of the mix itself: its parts come from the same replicates.
    """

    method: str
    input_usd_per_mtok: Estimate | None
    cached_usd_per_mtok: Estimate | None
    output_usd_per_mtok: Estimate | None
    residual: float | None = None
    price: Callable[[Three], Estimate | None] = field(default=lambda _: None, repr=False, compare=False)
    recipe: Recipe | None = field(default=None, repr=False, compare=False)

    def blended(self, input_parts: float, output_parts: float) -> Estimate | None:
        """USD of a million tokens at a ratio of uncached input to output, such as 3 to 1; None without both parts.

        >>> row = Point(1000, 0, 500, [1.0])
        >>> by_time(row, [0.25], usd_per_hour=36.0).blended(80, 20).value
        5.0
        """
        if self.input_usd_per_mtok is None or self.output_usd_per_mtok is None:
            return None
        whole = input_parts + output_parts
        return self.price((input_parts / whole, 0.0, output_parts / whole))


def by_time(
    row: Point, prefill_s: Sequence[float], usd_per_hour: float, utilisation: float = 1.0, fit: Fit | None = None
) -> Split:
    """Prefill time to input, decode time to output; `prefill_s`: the part of each of `row.seconds` to the first token.

    The prefill's share of the bill is its mean share of the time over the replicates. The first output token comes out
    of the prefill, so a batch of one output token has no decode time and no split. Cached tokens cost time in the
    prefill that its duration does not tell from that of the uncached ones: all of it is charged to the uncached ones
    and the cached part is None, unless there is a `fit` over rows with cached tokens, which then divides the prefill.

    A bill of $0.010, a quarter of it prefill:

    >>> found = by_time(Point(1000, 0, 500, [1.0]), [0.25], usd_per_hour=36.0)
    >>> found.input_usd_per_mtok.value, found.output_usd_per_mtok.value
    (2.5, 15.0)
    """
    bill = dollars.bill_usd(usd_per_hour, row.time().value, utilisation)
    decode_s = [whole - first for whole, first in zip(row.seconds, prefill_s, strict=True)]
    if min(prefill_s) <= 0 or min(decode_s) <= 0:
        return Split("time", None, None, None)
    part = mean([first / whole for first, whole in zip(prefill_s, row.seconds, strict=True)])
    prompt = (row.input_tokens, row.cached_tokens, 0.0)
    knows = fit is not None and fit.cached_s is not None and fit.fitted_s(prompt) > 0
    divided = fit if row.cached_tokens and knows else None

    def price(mix: Three) -> Estimate | None:
        if mix[1] and divided is None:
            return None
        asked = (mix[0], mix[1], 0.0)
        share, half = (mix[0] / row.input_tokens, 0.0) if divided is None else divided.share(prompt, asked)
        last = mix[2] / row.output_tokens
        value = dollars.MTOK * bill * (part * share + (1 - part) * last)
        each = [first * share + then * last for first, then in zip(prefill_s, decode_s, strict=True)]
        like = estimate(each) or row.time()  # a kind that the fit puts at zero has no times of its own
        return around(value, like, None if half is None else dollars.MTOK * bill * part * half)

    fresh = 1 / row.input_tokens if divided is None else divided.share(prompt, ONLY[0])[0]
    recipe = Recipe(
        input_s=row.time().value * part * fresh,
        output_s=row.time().value * (1 - part) / row.output_tokens,
        each=tuple((first * fresh, then / row.output_tokens) for first, then in zip(prefill_s, decode_s, strict=True)),
        fit=divided,
        tokens=prompt,
        scale_s=row.time().value * part,
    )
    return _split("time", row, price, recipe)


def by_fit(row: Point, fit: Fit, usd_per_hour: float, utilisation: float = 1.0) -> Split:
    """The row's own bill in the shares a·N_in : c·N_cached : b·N_out, and how far the row is from the fit.

    Raises InputError for a row with cached tokens where the fit has seen none, or whose every kind stands at zero.

    1 ms a prompt token and 20 ms an output token are a third and two thirds of this row:

    >>> found = fit([Point(100, 0, 10, [0.3]), Point(100, 0, 20, [0.5]), Point(200, 0, 10, [0.4])])
    >>> parts = by_fit(Point(100, 0, 10, [0.6]), found, usd_per_hour=3.6)  # a bill of $0.0006
    >>> round(parts.input_usd_per_mtok.value, 9), round(parts.output_usd_per_mtok.value, 9), round(parts.residual, 9)
    (2.0, 40.0, 0.5)
    """
    if row.cached_tokens and fit.cached_s is None:
        raise InputError(
            "attribution by a fit: no row of the fit has cached tokens and this one has; measure rows with "
            "cached_tokens, or choose --attribution time"
        )
    if fit.fitted_s(row.tokens) <= 0:
        zero = " and ".join(fit.at_bound)
        raise InputError(f"attribution by a fit: it gives this row no time at all ({zero} at zero); {MEASURE_MORE}")
    time = row.time()
    bill = time.times(dollars.bill_usd(usd_per_hour, 1.0, utilisation))

    def price(mix: Three) -> Estimate | None:
        if mix[1] and fit.cached_s is None:
            return None
        share, half = fit.share(row.tokens, mix)
        scale = dollars.MTOK * bill.value
        return around(scale * share, bill, None if half is None else scale * half)

    a, b = (time.value * fit.share(row.tokens, ONLY[kind])[0] for kind in (0, 2))
    recipe = Recipe(a, b, fit=fit, tokens=row.tokens, scale_s=time.value)
    return _split("fit", row, price, recipe, (time.value - fit.fitted_s(row.tokens)) / time.value)


def grid_usd(fit: Fit, usd_per_hour: float, utilisation: float = 1.0) -> Split:
    """The fit's own prices, of no single row: 10⁶·a·R/3600 for input, and alike. A row's bill differs by its residual.

    >>> found = fit([Point(100, 0, 10, [0.3]), Point(100, 0, 20, [0.5]), Point(200, 0, 10, [0.4])])
    >>> round(grid_usd(found, usd_per_hour=3.6).output_usd_per_mtok.value, 9)
    20.0
    """
    scale = dollars.MTOK * dollars.bill_usd(usd_per_hour, 1.0, utilisation)

    def price(mix: Three) -> Estimate | None:
        if mix[1] and fit.cached_s is None:
            return None
        value, half = dot(fit.seconds, mix), fit.half(mix)
        return around(value, exact(1.0, len(fit.residuals)), half).times(scale)

    everything = Point(1, int(fit.cached_s is not None), 1, ())
    return _split("fit", everything, price, None, fit.residual)


def by_ratio(
    row: Point, ratio: float, usd_per_hour: float, utilisation: float = 1.0, cached_ratio: float = 1.0
) -> Split:
    """An output token is assumed to cost `ratio` times an uncached input token, a cached one `cached_ratio` times.

    c_out = 10⁶ · bill / ((N_in + q·N_cached) / r + N_out), c_in = c_out / r, c_cached = q·c_in. The ratios are an
    assumption and belong beside the dollars that they make. Raises InputError for a ratio that is not above zero.

    An H100 at $2.69 an hour, 8000 tokens in and 1000 out a second, 4 to 1: $7.472e-4 a second for 3000 output tokens'
    worth.

    >>> found = by_ratio(Point(8000, 0, 1000, [1.0]), 4.0, usd_per_hour=2.69)
    >>> round(found.input_usd_per_mtok.value, 4), round(found.output_usd_per_mtok.value, 4)
    (0.0623, 0.2491)
    """
    for name, value in (("price_ratio", ratio), ("cached ratio", cached_ratio)):
        if not (value > 0 and math.isfinite(value)):
            raise InputError(f"{name}: {value:g} is no ratio of prices; give a number above 0, such as 4")
    bill = row.time().times(dollars.bill_usd(usd_per_hour, 1.0, utilisation))
    weights = (1 / ratio, cached_ratio / ratio, 1.0)
    whole = dot(weights, row.tokens)
    recipe = Recipe(row.time().value * weights[0] / whole, row.time().value * weights[2] / whole)
    return _split("ratio", row, lambda mix: bill.times(dollars.MTOK * dot(weights, mix) / whole), recipe)


def method_text(
    method: str, fit: Fit | None = None, ratio: float | None = None, cached_ratio: float | None = None
) -> str:
    """How the dollars were divided, for the caption of a table. With "time", `fit` is what divided a cached prompt.

    >>> method_text("time"), method_text("ratio", ratio=4.0)
    ('split by measured time', 'split by an assumed price ratio of 4 (out:in)')
    >>> method_text("ratio", ratio=4.0, cached_ratio=0.1)
    'split by an assumed price ratio of 4 (out:in) and 0.1 (cached:in)'
    >>> method_text("fit", fit([Point(100, 0, 10, [0.3]), Point(100, 0, 20, [0.5]), Point(200, 0, 10, [0.4])]))
    'split by a fit over 3 lengths (residual 0.0%)'
    """
    if fit is not None and method != "ratio":
        bound = f", {' and '.join(fit.at_bound)} at zero" if fit.at_bound else ""
        exact = len(fit.residuals) <= (2 if fit.cached_s is None else 3)
        residual = "as many as costs, so exact" if exact else f"residual {_percent(fit.residual)}"
        said = f"by a fit over {len(fit.residuals)} lengths ({residual}{bound})"
        return f"split {said}" if method == "fit" else f"split by measured time, cached from uncached input {said}"
    if method == "ratio" and ratio is not None:
        cached = "" if cached_ratio is None else f" and {cached_ratio:g} (cached:in)"
        return f"split by an assumed price ratio of {ratio:g} (out:in){cached}"
    return "split by measured time"


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.01 else f"{share:.0%}"


def _split(
    method: str,
    row: Point,
    price: Callable[[Three], Estimate | None],
    recipe: Recipe | None,
    residual: float | None = None,
) -> Split:
    cached = price(ONLY[1]) if row.cached_tokens else None
    return Split(method, price(ONLY[0]), cached, price(ONLY[2]), residual, price, recipe)
