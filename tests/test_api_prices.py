"""The adapter over genai-prices: exact, offline, and clear about names."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost import api_prices
from bench.errors import InputError

GROQ = "groq/llama-3.1-8b-instant"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test here fails when a socket is connected, and starts with nothing cached."""

    def refuse(*address: Any) -> None:
        raise AssertionError(f"a price look-up went to the network: {address[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    api_prices.lookup.cache_clear()
    api_prices._providers.cache_clear()
    yield
    api_prices.lookup.cache_clear()
    api_prices._providers.cache_clear()


def test_groq_llama_by_the_million() -> None:
    """$0.05 in and $0.08 out, as Groq's price page says."""
    found = api_prices.lookup(GROQ)
    assert (found.name, found.provider_id, found.model_id) == (GROQ, "groq", "llama-3.1-8b-instant")
    assert found.input_usd_per_mtok == pytest.approx(0.05, rel=1e-12)
    assert found.output_usd_per_mtok == pytest.approx(0.08, rel=1e-12)


def test_a_request_worked_out_by_hand() -> None:
    """512 in at $0.05 and 256 out at $0.08 a million: 25.6 + 20.48 millionths."""
    assert api_prices.lookup(GROQ).request_usd(512, 256) == pytest.approx(46.08e-6, rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(min_value=1, max_value=100_000), st.integers(min_value=1, max_value=100_000))
def test_a_request_is_the_sum_of_its_tokens(prompt: int, new: int) -> None:
    """Where a model has one tier, the listed prices are the whole story."""
    found = api_prices.lookup(GROQ)
    expected = (prompt * found.input_usd_per_mtok + new * found.output_usd_per_mtok) / 1e6
    assert found.request_usd(prompt, new) == pytest.approx(expected, rel=1e-12)


def test_listed_prices_are_of_ordinary_requests() -> None:
    """Gemini 2.5 Pro is dearer above 200,000 prompt tokens: the list shows the lower tier, a long request pays more."""
    found = api_prices.lookup("google/gemini-2.5-pro")
    assert (found.input_usd_per_mtok, found.output_usd_per_mtok) == pytest.approx((1.25, 10.0))
    assert found.request_usd(1000, 1000) == pytest.approx(1000 * 11.25e-6)
    assert found.request_usd(300_000, 1000) > 300_000 * 1.25e-6 + 1000 * 10e-6


@pytest.mark.parametrize("name", api_prices.DEFAULT_APIS)
def test_every_default_has_a_price(name: str) -> None:
    """They are compared with unasked, so none may be missing."""
    found = api_prices.lookup(name)
    assert 0 < found.input_usd_per_mtok < found.output_usd_per_mtok
    assert found.request_usd(1000, 1000) > 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpt-5-nano", "must be provider/model, such as groq/llama-3.1-8b-instant"),
        ("", "must be provider/model"),
        ("groq/", "must be provider/model"),
        ("grok/llama-3.1-8b-instant", "unknown API provider 'grok'; did you mean 'groq'"),
        ("/llama", "unknown API provider ''"),
        (
            "groq/llama-3.1-8b-instnt",
            "unknown model 'llama-3.1-8b-instnt' at groq; did you mean 'llama-3.1-8b-instant'",
        ),
        ("openai/davinci-of-the-future", "bench prices --api openai"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, words: str) -> None:
    """Format, provider and model are each told apart."""
    with pytest.raises(InputError) as caught:
        api_prices.lookup(name)
    assert words in str(caught.value)
    assert len(caught.value.lines) == 1


def test_providers_and_models_are_listed() -> None:
    """What `bench prices --api` shows; an unknown provider gets the nearest."""
    assert "groq" in api_prices.providers()
    assert api_prices.providers() == sorted(api_prices.providers())
    assert "llama-3.1-8b-instant" in api_prices.models("groq")
    with pytest.raises(InputError, match="unknown API provider 'opnai'; did you mean 'openai'"):
        api_prices.models("opnai")


def test_every_listed_model_is_priced_or_refused_in_words() -> None:
    """Whatever a provider sells by image or minute ends as a line for a person, never as another error."""
    priced, refused = 0, 0
    for provider in api_prices.providers():
        for model in api_prices.models(provider):
            try:
                found = api_prices.lookup(f"{provider}/{model}")
            except InputError:
                refused += 1
            else:
                priced += 1
                assert found.request_usd(1000, 1000) > 0
    assert priced > 1000
    assert refused < priced / 4


def test_the_source_is_dated_by_its_version() -> None:
    """A footnote without the version of the data could not be checked."""
    name, _, version = api_prices.source().partition(" ")
    assert name == "genai-prices"
    assert version.count(".") >= 1
