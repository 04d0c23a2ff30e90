"""From what utilisation and volume on self-hosting is cheaper: worked examples, and a scan that knows no formula."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bench.cost.break_even import (
    SWEEP,
    Hosting,
    Replica,
    Threshold,
    added,
    in_doubt,
    never,
    spot_usd_per_hour,
    utilisation,
    utilisation_beside,
    utilisation_of_rates,
    volume_mtok,
)
from bench.cost.dollars import bill_usd
from bench.cost.duty import ALWAYS, HOURS_PER_MONTH, Duty
from bench.errors import InputError
from bench.metrics.statistics import Estimate

unhurried = settings(deadline=None, max_examples=60)
prices = st.floats(min_value=1e-4, max_value=1e3)
rates = st.floats(min_value=1e-3, max_value=1e4)
shares = st.floats(min_value=0.01, max_value=1.0)
NAN, INFINITE = float("nan"), float("inf")


def sure(value: float, wide: float = 1.0) -> Estimate:
    """An estimate of five replicates whose interval is a factor of `wide` up and down."""
    return Estimate(value, value / wide, value * wide, 5)


# --- utilisation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("input_usd", "output_usd", "share"),
    # 2.69·10⁶/3600 = 747.2 USD·Mtok⁻¹·tok/s, over 8000·0.05 + 1000·0.08 = 480 and 9000·0.18 = 1620.
    [(0.05, 0.08, "1.56"), (0.18, 0.18, "0.46")],
)
def test_the_h100_of_the_worked_example(input_usd: float, output_usd: float, share: str) -> None:
    """8k tokens in and 1k out a second at $2.69 an hour."""
    assert f"{utilisation_of_rates(1, 2.69, 8000, 1000, input_usd, output_usd):.2f}" == share


@unhurried
@given(prices, rates, prices, shares)
def test_the_rate_form_and_the_request_form_are_the_same(
    hour: float, rate: float, api: float, input_part: float
) -> None:
    """A request of `input_part` Mtok in and as many out, `rate` of them a second."""
    hosting = Hosting(hour, sure(rate))
    share = hosting.break_even_utilisation(api * 2 * input_part)
    assert share is not None
    tokens_per_s = rate * input_part * 1e6
    assert share.value == pytest.approx(utilisation_of_rates(1, hour, tokens_per_s, tokens_per_s, api, api), rel=1e-12)


@unhurried
@given(prices, rates, prices)
def test_at_break_even_both_cost_the_same(hour: float, rate: float, api: float) -> None:
    """Break-even × the API's price is the own cost at full load; at that utilisation the request costs what it asks."""
    hosting = Hosting(hour, sure(rate))
    share = hosting.break_even_utilisation(api)
    assert share is not None
    assert share.value * api == pytest.approx(hosting.usd_per_request(1.0).value, rel=1e-12)
    assert hosting.usd_per_request(1.0).value == pytest.approx(bill_usd(hour, 1.0, 1.0) / rate, rel=1e-12)
    if share.value <= 1:
        assert hosting.usd_per_request(share.value).value == pytest.approx(api, rel=1e-12)


@unhurried
@given(prices, rates, prices)
def test_twice_the_price_is_twice_the_rental(hour: float, rate: float, api: float) -> None:
    """Twice the hour is twice the share and twice the month; twice the rate or the API's price is half of it."""
    once = Hosting(hour, sure(rate)).break_even_utilisation(api)
    assert once is not None
    for changed, price, factor in (
        (Hosting(2 * hour, sure(rate)), api, 2.0),
        (Hosting(hour, sure(2 * rate)), api, 0.5),
        (Hosting(hour, sure(rate)), 2 * api, 0.5),
    ):
        share = changed.break_even_utilisation(price)
        assert share is not None
        assert share.value == pytest.approx(factor * once.value, rel=1e-12)
    assert Hosting(2 * hour, sure(rate)).usd_per_month == 2 * Hosting(hour, sure(rate)).usd_per_month


@unhurried
@given(prices, rates, shares, shares)
def test_a_request_costs_less_the_busier_the_machine_is(hour: float, rate: float, one: float, other: float) -> None:
    """Monotone in utilisation, and the bill of `dollars` at each."""
    hosting = Hosting(hour, sure(rate))
    low, high = sorted((one, other))
    assert hosting.usd_per_request(high).value <= hosting.usd_per_request(low).value
    assert hosting.usd_per_request(low).value == pytest.approx(bill_usd(hour, 1 / rate, low), rel=1e-12)


@pytest.mark.parametrize(
    ("own", "outcome"),
    [
        (Estimate(0.65, 0.61, 0.69, 5), (False, False)),
        (Estimate(0.95, 0.90, 1.01, 5), (False, True)),
        (Estimate(1.05, 0.99, 1.12, 5), (False, True)),
        (Estimate(1.20, 1.01, 1.40, 5), (True, False)),
        (Estimate(1.20, None, None, 1), (True, False)),
        (Estimate(0.80, None, None, 1), (False, False)),
        (Estimate(1.00, 0.99, 1.00, 5), (False, False)),
    ],
)
def test_never_is_the_whole_interval_and_doubt_is_both_sides(own: Estimate, outcome: tuple[bool, bool]) -> None:
    """Against an API that asks $1; exactly 100 % is not never. The interval goes through as it is."""
    share = utilisation(own, 1.0)
    assert (share.low, share.high, share.n) == (own.low, own.high, own.n)
    assert (never(share), in_doubt(share)) == outcome


def test_the_measured_interval_goes_through_mirrored() -> None:
    """A rate of 2.0 (1.6 to 2.5) requests a second at $3.60: $0.0005 (0.0004 to 0.000625) against $0.001."""
    share = Hosting(3.6, Estimate(2.0, 1.6, 2.5, 5)).break_even_utilisation(0.001)
    assert share is not None
    assert (share.low, share.value, share.high) == pytest.approx((0.4, 0.5, 0.625), rel=1e-12)


@unhurried
@given(prices, rates, prices)
def test_agrees_with_the_tables_own_break_even(hour: float, rate: float, api: float) -> None:
    """What `report` prints for the same row."""
    hosting = Hosting(hour, sure(rate))
    share = hosting.break_even_utilisation(api)
    assert share is not None
    assert utilisation(hosting.usd_per_request(1.0), api).value == pytest.approx(share.value, rel=1e-12)


def test_a_request_that_costs_less_there_than_its_electricity_here_never_pays() -> None:
    """No utilisation and no volume: not a division by zero or a negative share."""
    hosting = Hosting(1.0, sure(100.0), variable_usd_per_request=0.002)
    for api in (0.001, 0.002):
        assert hosting.break_even_utilisation(api) is None
        assert hosting.first(api) == hosting.for_good(api) == Threshold(None, None, None)
    margin = hosting.break_even_utilisation(0.003)
    assert margin is not None
    assert margin.value == pytest.approx(1.0 / 3600 / 100 / 0.001, rel=1e-12)


# --- what a request costs beside the hour --------------------------------------------------------------------------


def test_an_interval_of_electricity_goes_through_low_with_low() -> None:
    """$3.60 at 2.0 (1.6 to 2.5) a second is $0.0005 (0.0004 to 0.000625), and $0.0002 (0.0001 to 0.0003) beside it.

    Against $0.001: 5/8 (4/9 to 6.25/7). A month of $2,628 breaks even at 3,285,000 (2,920,000 to 3,754,285.7).
    """
    hosting = Hosting(3.6, Estimate(2.0, 1.6, 2.5, 5), variable_usd_per_request=Estimate(2e-4, 1e-4, 3e-4, 4))
    own = hosting.usd_per_request(1.0)
    assert (own.low, own.value, own.high) == pytest.approx((0.0005, 0.0007, 0.000925), rel=1e-12)
    assert own.n == 4
    share = hosting.break_even_utilisation(0.001)
    assert share is not None
    assert (share.low, share.value, share.high) == pytest.approx((4 / 9, 5 / 8, 6.25 / 7), rel=1e-12)
    first = hosting.first(0.001)
    assert (first.low, first.value, first.high) == pytest.approx((2_920_000, 3_285_000, 2628 / 7e-4), rel=1e-12)
    month = hosting.month(1e6)
    assert (month.usd.low, month.usd.value, month.usd.high) == pytest.approx((2728, 2828, 2928), rel=1e-12)


def test_electricity_that_may_be_all_that_the_api_asks_is_in_doubt() -> None:
    """At its high end, or at its value, no utilisation makes up for it; at its low end one does."""
    for middle in (7e-4, 1.1e-3):
        hosting = Hosting(1.8, sure(2.0, 1.1), variable_usd_per_request=Estimate(middle, 4e-4, 1.3e-3, 5))
        share = hosting.break_even_utilisation(0.001)
        assert share is not None
        assert share.high == INFINITE
        assert share.low == pytest.approx(2.5e-4 / 1.1 / 6e-4, rel=1e-12)
        assert in_doubt(share)
        assert not never(share)
        assert hosting.first(0.001).high is None
        assert (hosting.first(0.001).value is None) is (share.value == INFINITE)


def test_without_one_of_two_intervals_there_is_none() -> None:
    """Joules of one replicate beside a rate of five: the value alone, and `known` says so."""
    hosting = Hosting(3.6, sure(2.0, 1.1), variable_usd_per_request=Estimate(2e-4, None, None, 1))
    share = hosting.break_even_utilisation(0.001)
    assert share is not None
    for found, value in ((hosting.usd_per_request(0.5), 0.0012), (share, 0.625)):
        assert found.value == pytest.approx(value, rel=1e-12)
        assert (found.low, found.high, found.n) == (None, None, 1)
    first = hosting.first(0.001)
    assert first.low == first.value == first.high
    assert not first.known
    assert hosting.month(1e6).usd.low is None


@unhurried
@given(own=prices, beside=st.floats(0, 1e3), api=prices, wide=st.floats(1.0, 3.0), other=st.floats(1.0, 3.0))
def test_both_intervals_at_once_are_the_ends_each_taken_alone(
    own: float, beside: float, api: float, wide: float, other: float
) -> None:
    """Each end is the break-even of exact costs there; a number is an estimate without width."""
    both = utilisation_beside(sure(own, wide), Estimate(beside, beside / other, beside * other, 5), api)
    ends = [
        utilisation_beside(sure(one), Estimate(two, two, two, 5), api)
        for one, two in ((own / wide, beside / other), (own, beside), (own * wide, beside * other))
    ]
    if both is None:
        assert ends == [None, None, None]
        return
    assert [both.low, both.value, both.high] == [INFINITE if one is None else one.value for one in ends]
    plain = Hosting(own, sure(1.0, wide), variable_usd_per_request=beside)
    exact = Hosting(own, sure(1.0, wide), variable_usd_per_request=Estimate(beside, beside, beside, 5))
    assert plain.first(api) == exact.first(api)
    assert plain.usd_per_request(0.5) == exact.usd_per_request(0.5)
    assert added([sure(own, wide)]) == sure(own, wide)


# --- volume, against a scan --------------------------------------------------------------------------------------


def cost(replica: Replica, volume: Fraction) -> Fraction:
    """What a volume costs, by counting replicas one at a time."""
    replicas = 1
    while replicas * Fraction(replica.capacity_per_month) < volume:
        replicas += 1
    return replicas * Fraction(replica.fixed_usd_per_month) + volume * Fraction(replica.variable_usd)


def cheaper_at(replica: Replica, api: float, end: float) -> list[tuple[Fraction, bool]]:
    """Every quarter unit up to `end`, and a 4096th above and below each: cheaper there (or equal) or not."""
    volumes = sorted(
        Fraction(quarter, 4) + Fraction(step, 4096) for quarter in range(1, int(4 * end) + 1) for step in (-1, 0, 1)
    )
    return [(volume, cost(replica, volume) <= volume * Fraction(api)) for volume in volumes]


@unhurried
@given(
    fixed=st.integers(1, 24),
    capacity=st.integers(1, 12),
    margin=st.sampled_from([0.5, 1.0, 2.0, 4.0]),
    variable=st.sampled_from([0.0, 0.25]),
)
@example(fixed=3, capacity=5, margin=1.0, variable=0.0)  # cheaper from 3, dearer above 5, cheaper from 6 for good
@example(fixed=9, capacity=10, margin=1.0, variable=0.0)  # nine times dearer again
@example(fixed=5, capacity=5, margin=1.0, variable=0.0)  # equal at every full replica, dearer between
@example(fixed=6, capacity=5, margin=1.0, variable=0.0)  # never
def test_first_and_for_good_are_what_a_scan_finds(fixed: int, capacity: int, margin: float, variable: float) -> None:
    """The scan compares costs at each volume; it knows neither formula."""
    replica, api = Replica(fixed, capacity, variable), margin + variable
    first, for_good = replica.first(api), replica.for_good(api)
    # Beyond this many replicas nothing changes any more: one/(c − one) ≤ 96, as all are quarters of whole numbers.
    seen = cheaper_at(replica, api, min(capacity * 14, 4 * (for_good or 3 * capacity) + capacity))
    yes = [volume for volume, cheap in seen if cheap]
    no = [volume for volume, cheap in seen if not cheap]
    if first is None:
        assert not yes
        assert for_good is None
        return
    assert min(yes) == first
    assert all(volume < first or volume > capacity for volume in no)
    if for_good is None:
        assert no[-1] > Fraction(seen[-1][0]) - capacity  # still dearer in the last replica that was looked at
        assert first == capacity
    elif for_good <= seen[-1][0]:
        assert max(no, default=Fraction(0)) < for_good
        assert max(no, default=Fraction(0)) >= Fraction(for_good) - Fraction(1, 2048)  # and not a moment earlier


def test_cheaper_then_dearer_then_cheaper_for_good() -> None:
    """$600 a month for a million requests at $0.001: from 600,000, not from 1,000,001 to 1,199,999, then always."""
    replica = Replica(600, 1_000_000)
    outcomes = [
        replica.usd_per_month(volume) <= volume * 0.001
        for volume in (599_999, 600_000, 1_000_000, 1_000_001, 1_199_999, 1_200_000, 2_000_001, 30_000_000)
    ]
    assert outcomes == [False, True, True, False, False, True, True, True]
    assert (replica.first(0.001), replica.for_good(0.001)) == pytest.approx((600_000, 1_200_000), rel=1e-12)


@unhurried
@given(fixed=prices, capacity=rates, api=prices)
def test_a_volume_is_never_there_exactly_where_the_utilisation_is_above_one(
    fixed: float, capacity: float, api: float
) -> None:
    """V* over the capacity is u*: one question asked twice."""
    share = fixed / (capacity * api)
    assume(abs(share - 1) > 1e-9)
    first = Replica(fixed, capacity).first(api)
    assert (first is None) is (share > 1)
    if first is not None:
        assert first / capacity == pytest.approx(share, rel=1e-12)


@unhurried
@given(fixed=prices, capacity=rates, api=prices, more=st.floats(1.0, 10.0))
def test_thresholds_move_the_right_way(fixed: float, capacity: float, api: float, more: float) -> None:
    """Dearer replicas raise both, larger ones and dearer APIs do not; never is larger than any volume."""

    def both(*of: float) -> tuple[float, float]:
        replica = Replica(of[0], of[1])
        first, for_good = replica.first(of[2]), replica.for_good(of[2])
        return (math.inf if first is None else first, math.inf if for_good is None else for_good)

    here = both(fixed, capacity, api)
    assert here[0] <= here[1]
    for which in (0, 1):
        assert both(fixed * more, capacity, api)[which] >= here[which]
        assert both(fixed, capacity * more, api)[which] <= here[which]
        assert both(fixed, capacity, api * more)[which] <= here[which]


@unhurried
@given(hour=prices, rate=rates, api=prices, wide=st.floats(1.0, 1.5))
def test_the_interval_of_a_volume_is_that_of_the_rate(hour: float, rate: float, api: float, wide: float) -> None:
    """Its low end belongs to the fast end of the rate; in order, with never above everything."""
    hosting = Hosting(hour, sure(rate, wide))
    for name in ("first", "for_good"):
        found: Threshold = getattr(hosting, name)(api)
        ends = [math.inf if one is None else one for one in (found.low, found.value, found.high)]
        assert ends == sorted(ends)
        assert found.known
        fast: Threshold = getattr(Hosting(hour, sure(rate * wide)), name)(api)
        assert found.low == (None if fast.value is None else pytest.approx(fast.value, rel=1e-9))


def test_one_replicate_has_no_interval_of_volume() -> None:
    """The ends are the value, and `known` says that they mean nothing."""
    found = Hosting(1.0, Estimate(1.0, None, None, 1)).first(0.001)
    assert found == Threshold(730_000.0, 730_000.0, 730_000.0, known=False)
    month = Hosting(1.0, Estimate(1.0, None, None, 1)).month(3_000_000)
    assert (month.replicas, month.usd) == (2, Estimate(1460.0, None, None, 1))


@unhurried
@given(hour=prices, rate=rates, maximum=shares, fill=st.floats(0.01, 30.0))
def test_a_month_is_whole_replicas(hour: float, rate: float, maximum: float, fill: float) -> None:
    """Enough of them, not one more; each paid for all of its 730 hours."""
    hosting = Hosting(hour, sure(rate), maximum)
    capacity = hosting.capacity_per_month.value
    assert capacity == pytest.approx(rate * 3600 * 730 * maximum, rel=1e-12)
    month = hosting.month(fill * capacity)
    assert month.replicas >= fill * (1 - 1e-9)
    assert month.replicas - 1 < fill * (1 + 1e-9)
    assert month.usd.value == pytest.approx(month.replicas * hour * 730, rel=1e-12)


def test_the_replicas_of_a_month_have_an_interval() -> None:
    """A rate of 1.0 (0.8 to 1.25) a second serves 2.628 M (2.102 to 3.285 M) a month; 2.7 M need 2 (1 to 2)."""
    month = Hosting(1.0, Estimate(1.0, 0.8, 1.25, 5)).month(2_700_000)
    assert (month.replicas_low, month.replicas, month.replicas_high) == (1, 2, 2)
    assert month.usd == Estimate(1460.0, 730.0, 1460.0, 5)


def test_the_fixed_cost_form_counts_in_mtok() -> None:
    """$1,460 a month over $0.50 − $0.01 per Mtok is 2,979.6 Mtok, if a replica can serve them."""
    assert volume_mtok(1460, 0.50, 0.01, 3000) == pytest.approx(1460 / 0.49, rel=1e-12)
    assert volume_mtok(1460, 0.50, 0.01, 2979) is None


@unhurried
@given(hour=prices, rate=rates, api=prices, tokens=st.integers(1, 100_000))
def test_requests_and_mtok_are_the_same_volume(hour: float, rate: float, api: float, tokens: int) -> None:
    """The volume of requests in Mtok is the break-even at dollars per Mtok."""
    hosting = Hosting(hour, sure(rate))
    mtok = tokens / 1e6
    capacity = hosting.capacity_per_month.value * mtok
    assume(abs(hosting.usd_per_month / (capacity * api / mtok) - 1) > 1e-9)
    found = hosting.first(api).times(mtok).value
    expected = volume_mtok(hosting.usd_per_month, api / mtok, 0.0, capacity)
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-12))


# --- duty cycle, cold starts, spot -------------------------------------------------------------------------------


def test_always_on_is_the_plain_case() -> None:
    """d = 1 and no starts change nothing at all; a month has 730 hours."""
    plain = Hosting(2.0, Estimate(3.0, 2.5, 3.6, 4), 0.8, 0.0001)
    always = plain.on(Duty(1.0, 0.0, 900.0))
    assert HOURS_PER_MONTH == ALWAYS.paid_hours == always.duty.paid_hours == 730
    assert plain.usd_per_month == always.usd_per_month == 1460
    for ask in (
        lambda one: one.usd_per_request(0.3),
        lambda one: one.break_even_utilisation(0.001),
        lambda one: one.first(0.001),
        lambda one: one.for_good(0.001),
        lambda one: one.month(5e6),
    ):
        asked: Callable[[Hosting], Any] = ask
        assert asked(plain) == asked(always)


def test_a_machine_that_starts_an_hour_a_day() -> None:
    """1/24 of the month is 30 5/12 hours, $60.83 at $2; 30 starts of 73 s are 2,190 of its 109,500 s: 2 %."""
    hosting = Hosting(2.0, sure(1.0)).on(Duty(1 / 24, 30, 73))
    assert hosting.usd_per_month == pytest.approx(60.8333333, rel=1e-8)
    assert hosting.duty.ready_share == pytest.approx(0.98, rel=1e-12)
    assert hosting.capacity_per_month.value == pytest.approx(107_310, rel=1e-12)
    assert hosting.usd_per_request(1.0).value == pytest.approx(60.8333333 / 107_310, rel=1e-8)
    assert hosting.first(0.001).value == pytest.approx(60_833.3333, rel=1e-8)
    assert hosting.first(0.0005).value is None


@unhurried
@given(hour=prices, rate=rates, api=prices, on=st.floats(0.05, 1.0), starts=st.floats(0, 100), cold=st.floats(0, 600))
def test_what_scaling_to_zero_does(hour: float, rate: float, api: float, on: float, starts: float, cold: float) -> None:
    """The month costs its share; cold starts raise the break-even utilisation by what they leave of the paid hours."""
    plain, part = Hosting(hour, sure(rate)), Hosting(hour, sure(rate)).on(Duty(on, starts, cold))
    assert part.usd_per_month == pytest.approx(on * plain.usd_per_month, rel=1e-12)
    ready = 1 - starts * cold / (730 * 3600 * on)
    one, other = plain.break_even_utilisation(api), part.break_even_utilisation(api)
    assert one is not None
    assert other is not None
    assert other.value * ready == pytest.approx(one.value, rel=1e-9)
    volume = part.first(api).value
    if volume is not None:
        assert volume == pytest.approx(part.usd_per_month / api, rel=1e-12)


def test_a_machine_that_is_away_half_of_the_time() -> None:
    """$2.20 for a serving hour, 5/11 of which are there: $730 a month for 730 · 5/11 hours of two requests a second."""
    away = Hosting(2.2, sure(2.0), duty=Duty(served_share=5 / 11))
    assert away.usd_per_month == pytest.approx(730.0, rel=1e-12)
    assert away.capacity_per_month.value == pytest.approx(5_256_000 * 5 / 11, rel=1e-12)
    # What a request costs at full load does not hang on it, and so neither does the break-even.
    assert away.usd_per_request(1.0).value == pytest.approx(2.2 / 7200, rel=1e-12)
    assert away.break_even_utilisation(0.001) == Hosting(2.2, sure(2.0)).break_even_utilisation(0.001)
    assert away.first(0.001).value == pytest.approx(730_000, rel=1e-12)
    assert away.month(3e6).replicas == 2
    # On for half of the month the shares multiply, and a start takes its time from the hours that serve.
    half = away.on(Duty(0.5, 10, 1642.5, served_share=5 / 11))
    assert half.duty.paid_hours == 365
    assert half.usd_per_month == pytest.approx(365.0, rel=1e-12)
    assert half.duty.ready_share == pytest.approx(1 - 16_425 / (365 * 3600 * 5 / 11), rel=1e-12)
    assert half.capacity_per_month.value == pytest.approx(2 * (365 * 3600 * 5 / 11 - 16_425), rel=1e-12)


@unhurried
@given(hour=prices, rate=rates, api=prices, overhead=st.floats(0, 3), available=shares, volume=st.floats(1e-3, 1e9))
def test_a_spot_machine_is_a_cheaper_one_that_serves_less(
    hour: float, rate: float, api: float, overhead: float, available: float, volume: float
) -> None:
    """The market's price for every hour, and a rate that interruptions and repeats lower: the same months."""
    served = available / (1 + overhead)
    spot = Hosting(spot_usd_per_hour(hour, overhead, available), sure(rate), duty=Duty(served_share=served))
    slow = Hosting(hour, sure(rate * served))
    assert spot.usd_per_month == pytest.approx(slow.usd_per_month, rel=1e-12)
    assert spot.capacity_per_month.value == pytest.approx(slow.capacity_per_month.value, rel=1e-12)
    one, other = spot.break_even_utilisation(api), slow.break_even_utilisation(api)
    assert one is not None
    assert other is not None
    assert one.value == pytest.approx(other.value, rel=1e-12)
    fill = volume / slow.capacity_per_month.value
    assume(abs(fill - round(fill)) > 1e-9 * fill)
    assert spot.month(volume).usd.value == pytest.approx(slow.month(volume).usd.value, rel=1e-12)


@unhurried
@given(prices, st.floats(0, 3), shares)
def test_spot_costs_what_its_serving_hours_cost(hour: float, overhead: float, available: float) -> None:
    """Undisturbed it is the price itself; with disturbances, never less."""
    assert spot_usd_per_hour(hour, 0.0, 1.0) == hour
    found = spot_usd_per_hour(hour, overhead, available)
    assert found >= hour
    assert found * available == pytest.approx(hour * (1 + overhead), rel=1e-12)


def test_the_sweep_is_every_tenth() -> None:
    """10 % to 100 %."""
    assert [f"{share:.0%}" for share in SWEEP] == [f"{tenth}0%" for tenth in range(1, 11)]


# --- bad input ---------------------------------------------------------------------------------------------------

HERE = Hosting(1.0, sure(1.0))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        *((lambda bad=bad: Hosting(bad, sure(1.0)), "--usd-per-hour") for bad in (0.0, -1.0, NAN, INFINITE)),
        *((lambda bad=bad: Hosting(1.0, Estimate(bad, None, None, 1)), "requests per second") for bad in (0.0, NAN)),
        *((lambda bad=bad: Hosting(1.0, sure(1.0), bad), "--max-utilisation") for bad in (0.0, 1.5, -0.1, NAN)),
        *((lambda bad=bad: Hosting(1.0, sure(1.0), 1.0, bad), "variable USD") for bad in (-1.0, NAN, INFINITE)),
        *((lambda bad=bad: Hosting(bad, sure(1.0)), "from 1e-12 to 1e+12 USD") for bad in (1e308, 1e-300)),
        *(
            (lambda bad=bad: Hosting(1.0, sure(1.0), variable_usd_per_request=Estimate(1e-3, 1e-4, bad, 5)), "variable")
            for bad in (-1.0, NAN, INFINITE, 1e13)
        ),
        *((lambda bad=bad: Duty(served_share=bad), "served share") for bad in (0.0, 1.1, NAN)),
        (lambda: Duty(0.1, 5000, 30.0, 0.5), "of the 36.5 hours that serve, of 73 hours that the machine is on"),
        *((lambda bad=bad: HERE.usd_per_request(bad), "--utilisation") for bad in (0.0, 1.01, NAN)),
        *((lambda bad=bad: HERE.month(bad), "--requests-per-month") for bad in (0.0, -5.0, NAN, INFINITE)),
        *((lambda bad=bad: HERE.first(bad), "--api") for bad in (0.0, -1.0, NAN)),
        *((lambda bad=bad: HERE.break_even_utilisation(bad), "--api") for bad in (0.0, NAN)),
        *((lambda bad=bad: utilisation(sure(1.0), bad), "--api") for bad in (0.0, -1.0, NAN)),
        *((lambda bad=bad: Replica(bad, 1.0), "fixed USD") for bad in (0.0, -1.0, NAN)),
        *((lambda bad=bad: Replica(1.0, bad), "capacity") for bad in (0.0, -1.0, NAN)),
        *((lambda bad=bad: Duty(bad), "--duty-cycle") for bad in (0.0, 1.1, NAN)),
        *((lambda bad=bad: Duty(1.0, bad), "--starts-per-month") for bad in (-1.0, NAN, INFINITE)),
        *((lambda bad=bad: spot_usd_per_hour(1.0, bad, 1.0), "spot_overhead") for bad in (-0.1, NAN)),
        *((lambda bad=bad: spot_usd_per_hour(1.0, 0.0, bad), "spot_availability") for bad in (0.0, 1.1, NAN)),
        (lambda: utilisation_of_rates(1, 2.69, -1, 1000, 0.05, 0.08), "input_tokens_per_s"),
        (lambda: utilisation_of_rates(1, 2.69, 8000, 1000, 0.0, 0.0), "--api"),
        (lambda: utilisation_of_rates(0, 2.69, 8000, 1000, 0.1, 0.1), "devices"),
        (lambda: Duty(0.1, 5000, 60.0), "5000 starts of 60 s leave nothing of the 73 hours"),
    ],
)
def test_bad_numbers_are_named(ask: Callable[[], object], words: str) -> None:
    """One line that begins with the option or the quantity."""
    with pytest.raises(InputError) as caught:
        ask()
    (line,) = caught.value.lines
    assert words in line
