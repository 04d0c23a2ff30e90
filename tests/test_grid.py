"""Every record against every API at every price: the arrays say what the plain formulas say, one at a time."""

import tracemalloc
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost import grid
from bench.cost.break_even import Hosting
from bench.cost.grid import Grid, Lengths, compare_all, request_usd
from bench.cost.tariff import Tariff, Tier
from bench.errors import InputError
from bench.metrics.statistics import Estimate

unhurried = settings(deadline=None, max_examples=60)
usd = st.decimals(min_value="0.001", max_value="200", places=6)
tokens = st.integers(0, 2_000_000)


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    """One to four tiers, with bounds that lengths below meet exactly."""
    bounds = [-1, *sorted(draw(st.sets(st.sampled_from([0, 128, 1000, 128_000, 200_000, 272_000]), max_size=3)))]
    tiers = tuple(Tier(bound, draw(usd), draw(usd), draw(usd)) for bound in bounds)
    return Tariff(tiers, draw(st.sampled_from([Decimal(0), Decimal("0.01"), Decimal("1E-9")])))


def lengths(*of: tuple[int, int, int]) -> Lengths:
    """Uncached, cached and output tokens of each record."""
    uncached, cached, output = (np.array(column, dtype=np.int64) for column in zip(*of, strict=True))
    return Lengths(uncached, cached, output)


# --- prices of requests ------------------------------------------------------------------------------------------


@unhurried
@given(st.lists(tariffs(), min_size=1, max_size=4), st.lists(st.tuples(tokens, tokens, tokens), min_size=1, max_size=8))
def test_a_request_costs_what_the_exact_tariff_says(of: list[Tariff], asked: list[tuple[int, int, int]]) -> None:
    """Within 1e-12 of the Decimal, whatever the tiers; repeated lengths give repeated prices."""
    asked = [(uncached, cached, output + 1) for uncached, cached, output in asked]  # nothing at all is no request
    found = request_usd(of, lengths(*asked, *asked))
    assert found.shape == (2 * len(asked), len(of))
    for record, request in enumerate([*asked, *asked]):
        for api, tariff in enumerate(of):
            exact = tariff.request_usd(*request)
            assert abs(Decimal(float(found[record, api])) - exact) <= exact * Decimal("1e-12")


@pytest.mark.parametrize(
    ("uncached", "cached", "paid"),
    [
        (200_000, 0, "0.2"),  # at the bound: still $1 a million
        (200_001, 0, "0.400002"),  # above it all of the prompt costs $2
        (1, 200_000, "0.060002"),  # cached tokens count towards the tier: 1 × $2 and 200,000 × $0.30
        (0, 200_000, "0.02"),
    ],
)
def test_the_tier_is_that_of_the_whole_prompt(uncached: int, cached: int, paid: str) -> None:
    """$1, cached $0.10, up to 200,000 tokens; $2, cached $0.30, above."""
    two = Tariff(
        (
            Tier(-1, Decimal(1), Decimal("0.1"), Decimal(4)),
            Tier(200_000, Decimal(2), Decimal("0.3"), Decimal(8)),
        )
    )
    assert request_usd([two], lengths((uncached, cached, 0)))[0, 0] == pytest.approx(float(paid), rel=1e-12)


# --- the comparison ----------------------------------------------------------------------------------------------


def plain(
    seconds: list[float], batch: list[int], asked: list[tuple[int, int, int]], of: list[Tariff], hours: list[float]
) -> dict[tuple[int, int, int], float]:
    """Break-even utilisation by record, API and price, from the formulas for one of each."""
    found = {}
    for record, request in enumerate(asked):
        for price, hour in enumerate(hours):
            hosting = Hosting(hour, Estimate(batch[record] / seconds[record], None, None, 1))
            for api, tariff in enumerate(of):
                share = hosting.break_even_utilisation(float(tariff.request_usd(*request)))
                assert share is not None
                found[record, api, price] = share.value
    return found


@settings(deadline=None, max_examples=40)
@given(st.data(), st.sampled_from([1, 7, 40, 1_000_000]))
def test_the_arrays_say_what_a_loop_says(data: st.DataObject, block: int) -> None:
    """Shares, counts, cheapest and best, whatever the size of a block is."""
    n, m, k = (data.draw(st.integers(1, most)) for most in (6, 4, 3))
    seconds = data.draw(st.lists(st.floats(1e-3, 1e3), min_size=n, max_size=n))
    batch = data.draw(st.lists(st.integers(1, 64), min_size=n, max_size=n))
    asked = data.draw(st.lists(st.tuples(tokens, tokens, st.integers(1, 5000)), min_size=n, max_size=n))
    of = data.draw(st.lists(tariffs(), min_size=m, max_size=m))
    hours = data.draw(st.lists(st.floats(0.01, 100), min_size=k, max_size=k))
    expected = plain(seconds, batch, asked, of, hours)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "BLOCK", block)
        found = compare_all(seconds, batch, lengths(*asked), of, hours)
        shares, cheaper = _whole(found)
    for at, share in expected.items():
        assert shares[at] == pytest.approx(share, rel=1e-9)
    assert (cheaper == (found.self_usd[:, None, :] < found.api_usd[:, :, None])).all()
    assert (cheaper.sum(axis=0) == found.cheaper).all()
    assert (cheaper.sum(axis=1) == found.beaten).all()
    assert (
        found.cheapest_api == [min(range(m), key=lambda api: found.api_usd[record, api]) for record in range(n)]
    ).all()
    for api in range(m):
        best = min(expected[record, api, price] for record in range(n) for price in range(k))
        assert found.best_share[api] == pytest.approx(best, rel=1e-9)
        assert shares[found.best_record[api], api, found.best_price[api]] == found.best_share[api]


def _whole(of: Grid) -> tuple[grid.Floats, grid.Flags]:
    blocks = list(of.blocks())
    assert [one.start for one in blocks] == list(np.cumsum([0, *(len(one.break_even) for one in blocks)])[:-1])
    return np.concatenate([one.break_even for one in blocks]), np.concatenate([one.cheaper for one in blocks])


FLAT = Tariff((Tier(-1, Decimal("0.5"), Decimal("0.5"), Decimal("1.5")),))
TWICE = Tariff((Tier(-1, Decimal(1), Decimal(1), Decimal(3)),))
ASKED = lengths((1000, 0, 500), (1000, 0, 500), (100, 0, 100))


def test_three_records_two_apis_two_prices_by_hand() -> None:
    """$0.00125 and $0.0025, $0.0002 and $0.0004 a request, against 2, 0.5 and 1 requests a second.

    At $3.60 an hour those are $0.0005, $0.002 and $0.001; at $36 ten times as much.
    """
    found = compare_all([2.0, 2.0, 1.0], [4, 1, 1], ASKED, [FLAT, TWICE], [3.6, 36.0])
    assert found.api_usd == pytest.approx(np.array([[0.00125, 0.0025], [0.00125, 0.0025], [0.0002, 0.0004]]))
    assert found.self_usd == pytest.approx(np.array([[0.0005, 0.005], [0.002, 0.02], [0.001, 0.01]]))
    assert found.cheapest_api.tolist() == [0, 0, 0]
    assert found.cheaper.tolist() == [[1, 0], [2, 0]]
    assert found.beaten.tolist() == [[2, 0], [1, 0], [0, 0]]
    assert (found.best_record.tolist(), found.best_price.tolist()) == ([0, 0], [0, 0])
    assert found.best_share == pytest.approx([0.4, 0.2])


def test_utilisation_moves_the_cost_and_not_the_break_even() -> None:
    """Half of the time idle: every dollar here doubles, the share is where it was, and fewer are cheaper."""
    full = compare_all([2.0, 2.0, 1.0], [4, 1, 1], ASKED, [FLAT, TWICE], [3.6])
    third = compare_all([2.0, 2.0, 1.0], [4, 1, 1], ASKED, [FLAT, TWICE], [3.6], utilisation=0.3)
    assert third.self_usd == pytest.approx(full.self_usd / 0.3)
    assert third.best_share == pytest.approx(full.best_share)
    assert (full.cheaper.ravel().tolist(), third.cheaper.ravel().tolist()) == ([1, 2], [0, 1])


def test_what_costs_the_same_is_not_cheaper() -> None:
    """$3.60 an hour at one request a second is $0.001, which the API asks too: break-even at 100 %."""
    same = Tariff((Tier(-1, Decimal(1), Decimal(1), Decimal(1)),))
    found = compare_all([1.0], [1], lengths((1000, 0, 0)), [same], [3.6])
    assert found.best_share.tolist() == [1.0]
    assert found.cheaper.tolist() == [[0]]


def test_memory_does_not_hold_every_combination() -> None:
    """20,000 × 40 × 20 utilisations alone would be 128 MB; what is returned is a twentieth of that."""
    n, m, k = 20_000, 40, 20
    asked = Lengths(np.arange(1, n + 1), np.zeros(n, dtype=np.int64), np.full(n, 10))
    tracemalloc.start()
    found = compare_all(np.full(n, 2.0), np.full(n, 4), asked, [FLAT] * m, np.linspace(0.1, 10, k))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.beaten.shape == (n, k)
    assert peak < 100e6


ONE = lengths((1000, 0, 10))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: compare_all([0.0], [1], ONE, [FLAT], [1.0]), "e2el_s: must be a number above 0 (got 0)"),
        (lambda: compare_all([float("nan")], [1], ONE, [FLAT], [1.0]), "e2el_s"),
        (lambda: compare_all([1.0], [0], ONE, [FLAT], [1.0]), "batch_size"),
        (
            lambda: compare_all([1.0], [1], ONE, [FLAT], [1.0, -2.0]),
            "--usd-per-hour: must be a number above 0 (got -2)",
        ),
        (lambda: compare_all([1.0], [1], ONE, [FLAT], [float("inf")]), "--usd-per-hour"),
        (lambda: compare_all([1.0], [1], ONE, [FLAT], []), "--usd-per-hour: nothing"),
        (lambda: compare_all([1.0], [1], ONE, [], [1.0]), "--api"),
        (lambda: compare_all([1.0], [1], ONE, [FLAT], [1.0], 0.0), "--utilisation"),
        (lambda: compare_all([1.0], [1], ONE, [FLAT], [1.0], float("nan")), "--utilisation"),
        (lambda: compare_all([1.0, 2.0], [1, 1], ONE, [FLAT], [1.0]), "of the same number"),
        (lambda: compare_all([1.0], [1], lengths((-1, 0, 10)), [FLAT], [1.0]), "tokens: must be from 0 on (got -1)"),
        (lambda: compare_all([1.0], [1], lengths((0, 0, 0)), [FLAT], [1.0]), "costs nothing"),
    ],
)
def test_bad_numbers_are_named(ask: Callable[[], object], words: str) -> None:
    """One line that begins with the option or the quantity."""
    with pytest.raises(InputError) as caught:
        ask()
    (line,) = caught.value.lines
    assert words in line
