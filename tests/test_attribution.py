"""A bill divided among input, cached input and output: it adds up, and the truth comes back with an honest interval."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost import dollars, least_squares
from bench.cost.attribution import Fit, Point, Split, by_fit, by_ratio, by_time, fit, grid_usd, method_text
from bench.errors import InputError
from bench.metrics.statistics import Estimate, estimate
from bench.schema import Workload

unhurried = settings(deadline=None, max_examples=60)
counts = st.integers(min_value=1, max_value=100_000)
some = st.integers(min_value=0, max_value=100_000)
prices = st.floats(min_value=1e-3, max_value=1e3)
shares = st.floats(min_value=0.01, max_value=0.99)
times = st.lists(st.floats(min_value=0.01, max_value=100), min_size=1, max_size=6)

TRUE_S = (0.0004, 0.00002, 0.012)
"""Seconds of an uncached, a cached and an output token."""
GRID = [(512, 0, 16), (64, 0, 64), (512, 0, 128), (64, 0, 16), (128, 384, 16), (64, 448, 64), (16, 112, 32)]
PLAIN = [mix for mix in GRID if not mix[1]]


def exact(mixes: Sequence[tuple[int, int, int]] = GRID, of: tuple[float, float, float] = TRUE_S) -> list[Point]:
    """Rows whose time is exactly linear in their tokens."""
    return [Point(*mix, [sum(one * count for one, count in zip(of, mix, strict=True))]) for mix in mixes]


def noisy(
    seed: int, sd: float = 0.03, replicates: int = 5, mixes: Sequence[tuple[int, int, int]] = GRID
) -> list[Point]:
    """The same with lognormal noise on every replicate."""
    draw = random.Random(seed)
    return [
        replace(one, seconds=[one.seconds[0] * math.exp(draw.gauss(0, sd)) for _ in range(replicates)])
        for one in exact(mixes)
    ]


def value(of: Estimate | None) -> float:
    assert of is not None
    return of.value


def total_usd(split: Split, row: Point) -> float:
    """What the parts come to for the tokens of the row."""
    parts = (split.input_usd_per_mtok, split.cached_usd_per_mtok, split.output_usd_per_mtok)
    return sum(one.value * count / 1e6 for one, count in zip(parts, row.tokens, strict=True) if one is not None)


def bill_usd(row: Point, usd_per_hour: float, utilisation: float = 1.0) -> float:
    """The geometric mean of the seconds at the hourly price, worked out anew."""
    seconds = math.exp(sum(math.log(one) for one in row.seconds) / len(row.seconds))
    return seconds * usd_per_hour / 3600 / utilisation


# --- by hand -----------------------------------------------------------------------------------------------------


def test_a_workload_is_counted_as_a_batch() -> None:
    work = Workload(batch_size=4, input_tokens=256, cached_tokens=192, output_tokens=32)
    assert Point.of(work, [1.0]).tokens == (256, 768, 128)


def test_a_split_by_time_by_hand() -> None:
    """$3.60 an hour is $0.001 a second; half a second of prefill for 200 tokens, a second for 22 new ones."""
    found = by_time(Point(200, 0, 22, [1.5]), [0.5], usd_per_hour=3.6)
    assert value(found.input_usd_per_mtok) == pytest.approx(0.0005 / 200 * 1e6) == pytest.approx(2.5)
    assert value(found.output_usd_per_mtok) == pytest.approx(0.001 / 22 * 1e6)
    assert (found.method, found.cached_usd_per_mtok, found.residual) == ("time", None, None)
    half = by_time(Point(200, 0, 22, [1.5]), [0.5], usd_per_hour=3.6, utilisation=0.5)
    assert value(half.input_usd_per_mtok) == pytest.approx(5.0)


def test_a_split_by_time_is_the_one_that_stood_in_reports_before() -> None:
    """The same numbers as `dollars.split` on the mean share of the prefill."""
    seconds, prefill = [1.0, 1.2, 1.1], [0.3, 0.3, 0.4]
    found = by_time(Point(1000, 0, 50, seconds), prefill, usd_per_hour=2.0)
    share = (0.3 + 0.3 / 1.2 + 0.4 / 1.1) / 3
    before = dollars.split(bill_usd(Point(1, 0, 1, seconds), 2.0), share, 1000, 50)
    assert value(found.input_usd_per_mtok) == pytest.approx(before.input_usd_per_mtok, rel=1e-12)
    assert value(found.output_usd_per_mtok) == pytest.approx(before.output_usd_per_mtok, rel=1e-12)


def test_each_part_by_time_has_the_interval_of_its_own_time() -> None:
    """A steady prefill and an unsteady decode: only the output is uncertain, each by the factor of its own seconds."""
    prefill, decode = [0.5, 0.5001, 0.5], [1.0, 1.2, 1.1]
    whole = [one + other for one, other in zip(prefill, decode, strict=True)]
    found = by_time(Point(100, 0, 10, whole), prefill, usd_per_hour=1.0)
    for part, own in ((found.input_usd_per_mtok, prefill), (found.output_usd_per_mtok, decode)):
        like = estimate(own)
        assert part is not None
        assert like is not None
        assert part.high is not None
        assert like.high is not None
        assert part.n == 3
        assert part.high / part.value == pytest.approx(like.high / like.value, rel=1e-12)
    assert value(found.input_usd_per_mtok) < 100


def test_a_batch_of_one_output_token_is_not_split_by_time() -> None:
    """All of it is prefill; there is nothing by which to charge the output."""
    found = by_time(Point(100, 0, 1, [0.5, 0.6]), [0.5, 0.6], usd_per_hour=1.0)
    assert (found.input_usd_per_mtok, found.output_usd_per_mtok, found.blended(3, 1)) == (None, None, None)


def test_a_price_ratio_by_hand() -> None:
    """8000 tokens in and 1000 out a second at $2.69 an hour: $0.000747222 for 8000 / 4 + 1000 = 3000 output tokens."""
    found = by_ratio(Point(8000, 0, 1000, [1.0]), 4.0, usd_per_hour=2.69)
    assert value(found.output_usd_per_mtok) == pytest.approx(0.2490741, abs=5e-8)
    assert value(found.input_usd_per_mtok) == pytest.approx(0.0622685, abs=5e-8)
    assert value(found.blended(8, 1)) == pytest.approx(2.69 / 3600 / 9000 * 1e6)


def test_a_price_ratio_with_cached_tokens() -> None:
    """A cached token costs as much as another input token unless it is said to cost a tenth."""
    row = Point(1000, 1000, 500, [3.6])  # at $1 an hour a bill of $0.001
    same = by_ratio(row, 4.0, usd_per_hour=1.0)
    assert value(same.cached_usd_per_mtok) == value(same.input_usd_per_mtok)
    assert value(same.output_usd_per_mtok) == pytest.approx(1000 / (2000 / 4 + 500)) == pytest.approx(1.0)
    tenth = by_ratio(row, 4.0, usd_per_hour=1.0, cached_ratio=0.1)
    assert value(tenth.output_usd_per_mtok) == pytest.approx(1000 / (1100 / 4 + 500))
    assert value(tenth.cached_usd_per_mtok) == pytest.approx(0.1 * value(tenth.input_usd_per_mtok))


def test_a_thousand_tokens_a_second_at_three_sixty_are_a_dollar() -> None:
    """Whatever the method, blended at the row's own ratio: 1000 tokens in a second at $3.60 an hour."""
    row = Point(800, 0, 200, [1.0])
    found = fit([row, Point(800, 0, 100, [0.6])])
    for split in (by_time(row, [0.3], 3.6), by_ratio(row, 4.0, 3.6), by_fit(row, found, 3.6)):
        assert value(split.blended(80, 20)) == pytest.approx(1.00, rel=1e-12)


def test_blends_of_known_prices() -> None:
    """GPT-4 of March 2023, $30 in and $60 out: $36 at 80/20, $37.50 at 3:1; gpt-4o, $2.50 and $10: $4.00 at 80/20."""
    gpt4 = grid_usd(Fit(_one(30e-6), None, _one(60e-6), 0.0, (0.0,)), usd_per_hour=3600)
    assert value(gpt4.blended(80, 20)) == pytest.approx(36)
    assert value(gpt4.blended(3, 1)) == pytest.approx(37.5)
    gpt4o = grid_usd(Fit(_one(2.5e-6), None, _one(10e-6), 0.0, (0.0,)), usd_per_hour=3600)
    assert value(gpt4o.blended(80, 20)) == pytest.approx(4.0)


def _one(seconds: float) -> Estimate:
    return Estimate(seconds, None, None, 1)


def test_the_caption_names_the_method() -> None:
    assert method_text("time") == "split by measured time"
    assert method_text("ratio", ratio=4) == "split by an assumed price ratio of 4 (out:in)"
    spread = [Point(100, 0, 10, [0.3]), Point(100, 0, 20, [0.5]), Point(200, 0, 10, [0.4]), Point(200, 0, 20, [0.66])]
    assert method_text("fit", fit(spread)) == "split by a fit over 4 lengths (residual 4%)"
    both = "split by measured time, cached from uncached input by a fit over 7 lengths (residual 0.0%)"
    assert method_text("time", fit(exact())) == both
    bound = fit([Point(100, 0, 10, [1.0]), Point(400, 0, 10, [0.9]), Point(100, 0, 30, [3.0])])
    assert method_text("fit", bound).endswith("%, input at zero)")


# --- the parts add up --------------------------------------------------------------------------------------------


@unhurried
@given(times, st.lists(shares, min_size=6, max_size=6), prices, shares, counts, some, counts)
def test_the_parts_by_time_add_up(
    seconds: list[float], prefill: list[float], price: float, used: float, fresh: int, cached: int, new: int
) -> None:
    """Also where a fit divides the prefill between uncached and cached tokens."""
    row = Point(fresh, cached, new, seconds)
    first_s = [one * part for one, part in zip(seconds, prefill, strict=False)]
    plain = by_time(row, first_s, price, used)
    assert total_usd(plain, row) == pytest.approx(bill_usd(row, price, used), rel=1e-9)
    assert plain.cached_usd_per_mtok is None
    divided = by_time(row, first_s, price, used, fit(exact()))
    assert total_usd(divided, row) == pytest.approx(bill_usd(row, price, used), rel=1e-9)
    assert (divided.cached_usd_per_mtok is None) == (cached == 0)
    if cached:
        ratio = value(divided.input_usd_per_mtok) / value(divided.cached_usd_per_mtok)
        assert ratio == pytest.approx(TRUE_S[0] / TRUE_S[1], rel=1e-6)


@unhurried
@given(times, prices, shares, counts, some, counts)
def test_the_parts_by_fit_add_up_however_far_the_row_is_from_it(
    seconds: list[float], price: float, used: float, fresh: int, cached: int, new: int
) -> None:
    row = Point(fresh, cached, new, seconds)
    found = by_fit(row, fit(exact()), price, used)
    assert total_usd(found, row) == pytest.approx(bill_usd(row, price, used), rel=1e-9)
    fitted = sum(one * count for one, count in zip(TRUE_S, row.tokens, strict=True))
    own = bill_usd(row, 3600.0)
    assert found.residual == pytest.approx(1 - fitted / own, abs=1e-6 * fitted / own)


@unhurried
@given(times, prices, shares, st.floats(min_value=0.05, max_value=50), shares, counts, some, counts)
def test_the_parts_by_ratio_add_up(
    seconds: list[float], price: float, used: float, ratio: float, q: float, fresh: int, cached: int, new: int
) -> None:
    row = Point(fresh, cached, new, seconds)
    found = by_ratio(row, ratio, price, used, cached_ratio=q)
    assert total_usd(found, row) == pytest.approx(bill_usd(row, price, used), rel=1e-9)
    assert value(found.output_usd_per_mtok) == pytest.approx(ratio * value(found.input_usd_per_mtok), rel=1e-9)


METHODS: dict[str, Callable[[Point, float, float], Split]] = {
    "time": lambda row, price, used: by_time(row, [one * 0.3 for one in row.seconds], price, used, fit(exact())),
    "fit": lambda row, price, used: by_fit(row, fit(noisy(1)), price, used),
    "ratio": lambda row, price, used: by_ratio(row, 5.0, price, used, 0.2),
    "grid": lambda _, price, used: grid_usd(fit(noisy(1)), price, used),
}


def parts(of: Split) -> list[float]:
    """Every figure of a split, bounds included."""
    found = (of.input_usd_per_mtok, of.cached_usd_per_mtok, of.output_usd_per_mtok, of.blended(3, 1))
    return [one for each in found if each is not None for one in (each.value, each.low, each.high) if one is not None]


@unhurried
@given(st.sampled_from(sorted(METHODS)), times, prices, shares)
def test_twice_the_price_is_twice_every_part(method: str, seconds: list[float], price: float, used: float) -> None:
    """Bounds as well; and half the utilisation does the same."""
    row = Point(100, 300, 20, seconds)
    once = parts(METHODS[method](row, price, used))
    assert len(once) in (4, 12)
    assert parts(METHODS[method](row, 2 * price, used)) == pytest.approx([2 * one for one in once], rel=1e-9)
    assert parts(METHODS[method](row, price, used / 2)) == pytest.approx([2 * one for one in once], rel=1e-9)


@unhurried
@given(st.sampled_from(["time", "fit", "ratio"]), times, st.floats(min_value=1.01, max_value=10))
def test_a_slower_row_costs_more_in_every_part(method: str, seconds: list[float], slower: float) -> None:
    """The same row at a multiple of its time."""
    fast = METHODS[method](Point(100, 300, 20, seconds), 1.0, 1.0)
    slow = METHODS[method](Point(100, 300, 20, [one * slower for one in seconds]), 1.0, 1.0)
    for name in ("input_usd_per_mtok", "cached_usd_per_mtok", "output_usd_per_mtok"):
        assert value(getattr(slow, name)) == pytest.approx(slower * value(getattr(fast, name)), rel=1e-9)


@unhurried
@given(st.floats(min_value=0.1, max_value=50), st.floats(min_value=1.01, max_value=10))
def test_a_higher_ratio_moves_the_bill_to_the_output(ratio: float, more: float) -> None:
    row = Point(300, 0, 100, [1.0])
    low, high = by_ratio(row, ratio, 1.0), by_ratio(row, ratio * more, 1.0)
    assert value(high.output_usd_per_mtok) > value(low.output_usd_per_mtok)
    assert value(high.input_usd_per_mtok) < value(low.input_usd_per_mtok)


def test_the_blend_lies_between_its_parts_and_knows_that_they_go_together() -> None:
    """One replicate is slow in prefill and fast in decode, the next the other way round: their sum is steady."""
    prefill, decode = [0.5, 0.6, 0.55, 0.45], [1.0, 0.9, 0.95, 1.05]
    whole = [one + other for one, other in zip(prefill, decode, strict=True)]
    assert len({round(one, 9) for one in whole}) == 1
    found = by_time(Point(300, 0, 100, whole), prefill, usd_per_hour=1.0)
    blend = found.blended(3, 1)
    assert blend is not None
    assert value(found.input_usd_per_mtok) < blend.value < value(found.output_usd_per_mtok)
    assert blend.spread() == pytest.approx(0, abs=1e-9)
    other = found.blended(1, 3)
    assert other is not None
    assert (other.spread() or 0) > 0.01
    assert other.value == pytest.approx(
        (value(found.input_usd_per_mtok) + 3 * value(found.output_usd_per_mtok)) / 4, rel=1e-12
    )


# --- the fit -----------------------------------------------------------------------------------------------------

seconds_each = st.floats(min_value=1e-5, max_value=1e-1)


@unhurried
@given(seconds_each, seconds_each, seconds_each)
def test_the_fit_recovers_what_made_noiseless_rows(a: float, c: float, b: float) -> None:
    found = fit(exact(of=(a, c, b)))
    assert found.seconds == pytest.approx((a, c, b), rel=1e-6, abs=1e-9 * max(a, b, c))
    assert found.residual < 1e-9
    assert found.fitted_s((512, 0, 16)) == pytest.approx(512 * a + 16 * b, rel=1e-9)
    plain = fit(exact(PLAIN, (a, 0.0, b)))
    assert plain.cached_s is None
    assert (plain.input_s.value, plain.output_s.value) == pytest.approx((a, b), rel=1e-6, abs=1e-9 * max(a, b))


def test_the_fit_is_the_least_squares_of_relative_errors() -> None:
    """Against numpy's, on rows from 0.3 s to 2 s with 3 % of noise."""
    points = noisy(7)
    middle = np.array([math.exp(np.mean(np.log(one.seconds))) for one in points])
    table = np.array([one.tokens for one in points]) / middle[:, None]
    expected, squares, _, _ = np.linalg.lstsq(table, np.ones(len(points)), rcond=None)
    found = fit(points)
    assert found.seconds == pytest.approx(tuple(expected), rel=1e-9)
    assert found.residual == pytest.approx(math.sqrt(squares[0] / len(points)), rel=1e-9)
    assert found.residuals == pytest.approx(tuple(1 - table @ expected), abs=1e-9)
    assert found.at_bound == ()


def test_the_interval_from_residuals_is_students() -> None:
    """One replicate a row: nothing but the residuals, seven rows less three unknowns, t(4) = 2.776."""
    points = noisy(7, replicates=1)
    middle = np.array([one.seconds[0] for one in points])
    table = np.array([one.tokens for one in points]) / middle[:, None]
    expected, squares, _, _ = np.linalg.lstsq(table, np.ones(7), rcond=None)
    errors = np.sqrt(np.diag(np.linalg.inv(table.T @ table)) * squares[0] / 4)
    found = fit(points)
    for of, middle_s, error in zip((found.input_s, found.cached_s, found.output_s), expected, errors, strict=True):
        assert of is not None
        assert of.high == pytest.approx(middle_s + 2.776 * error, rel=1e-6)
        assert of.low is None if middle_s < 2.776 * error else of.low == pytest.approx(middle_s - 2.776 * error)


def test_as_many_rows_as_unknowns_have_the_interval_of_their_replicates() -> None:
    """Rows that hold one kind almost alone: its interval is that of the row."""
    own = [1.0, 1.1, 0.95, 1.05]
    points = [Point(10_000, 0, 1, own), Point(1, 0, 10_000, [2.0, 2.0, 2.0, 2.0])]
    found = fit(points)
    like = estimate(own)
    assert like is not None
    assert like.high is not None
    assert found.input_s.high is not None
    assert found.input_s.high / found.input_s.value == pytest.approx(1 + math.log(like.high / like.value), rel=1e-3)
    assert found.residual == pytest.approx(0, abs=1e-12)
    alone = fit([replace(one, seconds=one.seconds[:1]) for one in points])
    assert (alone.input_s.low, alone.input_s.high) == (None, None)
    split = by_fit(points[0], alone, usd_per_hour=1.0)
    assert split.input_usd_per_mtok is not None
    assert split.input_usd_per_mtok.value > 0
    assert (split.input_usd_per_mtok.low, split.input_usd_per_mtok.high) == (None, None)


def test_a_part_that_cannot_be_told_from_zero_has_no_lower_bound() -> None:
    """Cached tokens that cost a hundredth of what the noise hides: an upper bound alone, and no ± to print."""
    found = fit(noisy(3, sd=0.1, replicates=3))
    assert found.cached_s is not None
    assert found.cached_s.low is None
    assert found.cached_s.high is not None
    assert found.cached_s.high > TRUE_S[1]
    assert found.cached_s.spread() is None


def test_a_negative_cost_stands_at_zero_and_is_said() -> None:
    """More input took less time: the input gets nothing, and the output what fits best alone."""
    points = [Point(100, 0, 10, [1.0]), Point(400, 0, 10, [0.9]), Point(100, 0, 30, [3.0])]
    found = fit(points)
    assert found.at_bound == ("input",)
    assert found.input_s.value == 0
    assert found.input_s.low is None
    assert (found.input_s.high or 0) > 0
    x = [10 / 1.0, 10 / 0.9, 30 / 3.0]
    assert found.output_s.value == pytest.approx(sum(x) / sum(one * one for one in x))
    split = by_fit(points[0], found, usd_per_hour=3.6)
    assert total_usd(split, points[0]) == pytest.approx(0.001)
    assert value(split.input_usd_per_mtok) == 0


@unhurried
@given(st.lists(st.tuples(*[st.floats(min_value=0, max_value=10)] * 3), min_size=3, max_size=8))
def test_the_active_sets_find_the_optimum(table: list[tuple[float, float, float]]) -> None:
    """The conditions of Karush, Kuhn and Tucker: no slope at a positive value, none downwards at a zero."""
    solved = least_squares.solve(table)
    if solved is None:
        return
    found = np.array(solved.values)
    rows = np.array(table)
    slope = rows.T @ (rows @ found - 1)
    size = np.abs(rows.T).sum()
    assert found.min() >= 0
    assert np.all(slope >= -1e-6 * size)
    assert np.all(np.abs(slope[found > 0]) <= 1e-6 * size)


def test_intervals_of_the_fit_cover_the_truth() -> None:
    """300 grids of seven rows with three replicates of 4 % noise: 95 % intervals that hold at least 90 %."""
    covered = dict.fromkeys(("input", "cached", "output", "row input", "row cached", "row output", "blend"), 0)
    trials = 300
    k = 1e6 * 3.6 / 3600
    for seed in range(trials):
        points = noisy(seed, sd=0.04, replicates=3)
        found = fit(points)
        split = by_fit(points[4], found, usd_per_hour=3.6)
        grid = grid_usd(found, usd_per_hour=3.6)
        for name, of, truth in (
            ("input", found.input_s, TRUE_S[0]),
            ("cached", found.cached_s, TRUE_S[1]),
            ("output", found.output_s, TRUE_S[2]),
            ("row input", split.input_usd_per_mtok, k * TRUE_S[0]),
            ("row cached", split.cached_usd_per_mtok, k * TRUE_S[1]),
            ("row output", split.output_usd_per_mtok, k * TRUE_S[2]),
            ("blend", grid.blended(3, 1), k * (0.75 * TRUE_S[0] + 0.25 * TRUE_S[2])),
        ):
            assert of is not None
            assert of.high is not None
            covered[name] += (of.low or 0.0) <= truth <= of.high
    for name, count in covered.items():
        assert 0.90 <= count / trials <= 1.0, (name, count)


def test_intervals_are_not_needlessly_wide() -> None:
    """Ten times less noise, intervals a tenth as wide."""
    wide, narrow = fit(noisy(5, sd=0.03)), fit(noisy(5, sd=0.003))
    assert (narrow.output_s.spread() or 1) == pytest.approx((wide.output_s.spread() or 0) / 10, rel=0.2)
    assert (narrow.output_s.spread() or 1) < 0.01


# --- what cannot be told -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([], "0 rows do not determine 2 costs"),
        ([Point(100, 0, 10, [1.0])], "1 rows do not determine 2 costs"),
        ([Point(100, 0, 10, [1.0]), Point(200, 0, 20, [2.0]), Point(400, 0, 40, [4.0])], "nearly the same proportions"),
        ([Point(1000, 0, 100, [1.0]), Point(2000, 0, 201, [2.0])], "nearly the same proportions"),
        ([Point(100, 0, 10, [1.0]), Point(100, 50, 20, [1.5])], "2 rows do not determine 3 costs"),
        (
            [Point(100, 50, 10, [1.0]), Point(200, 100, 10, [1.1]), Point(200, 100, 40, [3.0])],
            "do not tell input and cached and output apart",
        ),
    ],
)
def test_rows_that_determine_nothing_say_what_to_measure(points: list[Point], words: str) -> None:
    with pytest.raises(InputError) as refused:
        fit(points)
    (line,) = refused.value.lines
    assert words in line
    assert "measure at least two mixes of input and output lengths" in line
    assert ("cached_tokens" in line) == any(point.cached_tokens for point in points)


def test_a_time_of_zero_is_one_line() -> None:
    with pytest.raises(InputError, match="zero or less"):
        fit([Point(100, 0, 10, [0.0]), Point(100, 0, 20, [1.0])])
    with pytest.raises(InputError, match="zero or less"):
        by_ratio(Point(100, 0, 10, []), 4.0, 1.0)


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.inf, math.nan])
def test_a_ratio_that_is_none_is_one_line(ratio: float) -> None:
    with pytest.raises(InputError, match=r"price_ratio: .* above 0"):
        by_ratio(Point(100, 0, 10, [1.0]), ratio, 1.0)
    with pytest.raises(InputError, match=r"cached ratio: .* above 0"):
        by_ratio(Point(100, 0, 10, [1.0]), 4.0, 1.0, cached_ratio=ratio)


def test_a_cached_row_needs_a_fit_that_has_seen_some() -> None:
    with pytest.raises(InputError, match="measure rows with cached_tokens, or choose --attribution time"):
        by_fit(Point(100, 50, 10, [1.0]), fit(exact(PLAIN)), 1.0)
    free = Fit(_one(0.0), _one(0.001), _one(0.0), 0.0, (0.0,), ("input", "output"))
    with pytest.raises(InputError, match=r"no time at all \(input and output at zero\)"):
        by_fit(Point(100, 0, 10, [1.0]), free, 1.0)
