"""From seconds and an hourly rate to dollars."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost.dollars import MTOK, bill_usd, per_mtok, split

unhurried = settings(deadline=None, max_examples=60)
prices = st.floats(min_value=1e-4, max_value=1e4)
seconds = st.floats(min_value=1e-6, max_value=1e6)
shares = st.floats(min_value=0.01, max_value=1.0)
counts = st.integers(min_value=1, max_value=10_000_000)


# --- dollars -----------------------------------------------------------------------------------------------------


def test_a_thousand_tokens_a_second_at_three_sixty_an_hour() -> None:
    """$0.001 a second for 1000 tokens is $1.00 a million."""
    assert per_mtok(bill_usd(3.6, 1.0, 1.0), 1000) == pytest.approx(1.0, rel=1e-12)


@unhurried
@given(prices, seconds, shares)
def test_twice_the_price_is_twice_the_bill(price: float, time: float, share: float) -> None:
    """And twice the time as well."""
    once = bill_usd(price, time, share)
    assert bill_usd(2 * price, time, share) == pytest.approx(2 * once, rel=1e-12)
    assert bill_usd(price, 2 * time, share) == pytest.approx(2 * once, rel=1e-12)


@unhurried
@given(prices, seconds, shares)
def test_half_the_utilisation_doubles_the_bill(price: float, time: float, share: float) -> None:
    """Idle hours are paid for by the tokens of the busy ones."""
    assert bill_usd(price, time, share / 2) == pytest.approx(2 * bill_usd(price, time, share), rel=1e-12)


@unhurried
@given(prices, st.floats(min_value=0.0, max_value=0.999), counts, counts)
def test_the_parts_add_up_to_the_bill(bill: float, prefill: float, prompt: int, new: int) -> None:
    """Price of input × its tokens + price of output × its tokens, and the blended price × all of them."""
    parts = split(bill, prefill, prompt, new)
    assert parts.input_usd_per_mtok is not None
    assert parts.output_usd_per_mtok is not None
    total = (parts.input_usd_per_mtok * prompt + parts.output_usd_per_mtok * new) / MTOK
    assert total == pytest.approx(bill, rel=1e-12)
    assert parts.blended_usd_per_mtok * (prompt + new) / MTOK == pytest.approx(bill, rel=1e-12)


@unhurried
@given(prices, counts, counts)
def test_a_batch_without_decode_has_no_split(bill: float, prompt: int, new: int) -> None:
    """All of the time is prefill: there is a bill, and nothing by which to attribute a part to output."""
    parts = split(bill, 1.0, prompt, new)
    assert (parts.input_usd_per_mtok, parts.output_usd_per_mtok) == (None, None)
    assert parts.blended_usd_per_mtok * (prompt + new) / MTOK == pytest.approx(bill, rel=1e-12)
