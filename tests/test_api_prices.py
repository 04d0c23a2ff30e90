"""API prices from several sources: exact, offline, of the right day, and clear about names."""

import csv
import json
import socket
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost import api_prices
from bench.cost.apis import genai, observed, second, timeline
from bench.cost.apis.quote import Quote
from bench.cost.tariff import Tariff, Tier
from bench.errors import InputError
from tests.commands import bench

GROQ = "groq/llama-3.1-8b-instant"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test here fails when a socket is connected, and starts with nothing cached."""

    def refuse(*address: Any) -> None:
        raise AssertionError(f"a price look-up went to the network: {address[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    _forget()
    yield
    _forget()


def _forget() -> None:
    for remembered in (api_prices._lookup, api_prices._opinions, api_prices._history, api_prices._known):
        remembered.cache_clear()


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
        ("openai/davinci-of-the-future", "bench prices api openai"),
        ("openai/gpt-4o@flex", "@flex is not known; the only such end is @batch"),
        ("openai/gpt-4o@batch@batch", "@batch stands there more than once; write openai/gpt-4o@batch"),
        ("groq/llama-3.1-8b-instant@batch", "no batch price is known; groq/llama-3.1-8b-instant without @batch is"),
        ("openai/whisper-1", "no token price is known for openai/whisper-1; choose another --api"),
        ("my-openai-proxy/gpt-4o", "unknown API provider 'my-openai-proxy'"),
        ("bedrok/amazon.nova-pro-v1:0", "did you mean 'bedrock'"),
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


def test_every_listed_model_has_a_price_and_notes() -> None:
    """The sweep over every provider: what is listed can be asked for, by the day, with batch, and in words."""
    priced = text = 0
    on = date(2026, 11, 20)
    for provider in api_prices.providers():
        for model in api_prices.models(provider):
            found = api_prices.listed(f"{provider}/{model}")
            assert found.request_usd(1000, 1000) > 0
            if api_prices.is_text(found.name):
                assert api_prices.lookup(found.name) == found
                assert found.output_usd_per_mtok > 0
                text += 1
            else:
                with pytest.raises(InputError, match="choose a text model"):
                    api_prices.lookup(found.name)
            assert all("\n" not in note for note in found.notes(on))
            assert api_prices.history(found.name)
            for one in api_prices.opinions(f"{provider}/{model}@batch"):
                assert one.quote.tariff.request_usd(1000, 0, 1000) > 0
            priced += 1
    assert priced > 2300
    assert 100 < priced - text < 250


@pytest.mark.parametrize(
    "provider",
    [
        *("openai", "anthropic", "google", "groq", "sambanova", "together", "fireworks", "cerebras", "aws", "bedrock"),
        *("azure", "mistral", "deepseek", "deepinfra"),
    ],
)
def test_the_providers_that_people_ask_for(provider: str) -> None:
    """Each has models, and each of them a price under the name that it is listed by."""
    names = api_prices.models(provider)
    assert len(names) >= 7
    assert all(api_prices.listed(f"{provider}/{name}").input_usd_per_mtok >= 0 for name in names)


def test_the_source_is_dated_by_its_version() -> None:
    """A footnote without the version of the data could not be checked."""
    name, _, version = api_prices.source().partition(" ")
    assert name == "genai-prices"
    assert version.count(".") >= 1


# --- days


@pytest.mark.parametrize(
    ("name", "day", "prices", "source"),
    [
        ("openai/gpt-4", "2023-06-01", (30, 60), "OpenAI price timeline"),
        ("openai/gpt-4o", "2024-05-13", (5, 15), "OpenAI price timeline"),
        ("openai/gpt-4o", "2024-06-01", (5, 15), "OpenAI price timeline"),
        ("openai/gpt-4o", "2025-01-01", ("2.5", 10), "OpenAI price timeline"),
        ("openai/gpt-4o", "2026-01-01", ("2.5", 10), "genai-prices"),
        ("openai/gpt-4o-2024-05-13", "2026-11-01", (5, 15), "genai-prices"),
        ("openai/gpt-4o-2024-08-06", "2024-09-01", ("2.5", 10), "OpenAI price timeline"),
        ("openai/gpt-4o-mini", "2024-08-01", ("0.15", "0.6"), "OpenAI price timeline"),
        ("openai/o3", "2025-06-10", (2, 8), "genai-prices 0.2.3"),
        ("openai/gpt-5.6-sol", "2026-08-20", (5, 30), "genai-prices"),
        ("openai/gpt-5.6-sol", "2026-08-21", (4, 20), "genai-prices 0.2.3"),
        ("anthropic/claude-opus-4-6", "2026-03-12", (5, 25), "genai-prices 0.0.53"),
        ("deepseek/deepseek-v4-flash", "2026-08-17", ("0.22", "0.66"), "genai-prices 0.2.3"),
        ("deepseek/deepseek-v4-flash", "2026-09-10", ("0.15", "0.6"), "genai-prices 0.2.3"),
        ("openai/o3@batch", "2025-09-01", (1, 4), "model-prices"),
        ("openai/o3@batch", "2026-10-14", (1, 4), "genai-prices"),
        ("alibaba/qwen3-max", "2026-01-01", ("1.2", 6), "model-prices"),
        ("sambanova/gpt-oss-120b", "2026-11-12", ("0.22", "0.59"), "litellm 1.109.1"),
    ],
)
def test_replays(name: str, day: str, prices: tuple[Any, Any], source: str) -> None:
    """What these models cost on that day, and who says so; the packages alone answer several of them wrongly."""
    found = api_prices.lookup(name, date.fromisoformat(day))
    tier = found.tariff.tiers[0]
    assert (tier.input, tier.output) == (Decimal(prices[0]), Decimal(prices[1]))
    assert found.quote.source.startswith(source)
    assert found.quote.valid_from is None or found.quote.valid_from <= date.fromisoformat(day)


def test_a_tier_is_replayed_too() -> None:
    """Opus 4.6 at 250,000 prompt tokens: $2.50 on the last day of its tier, $1.25 on the day after."""
    before, after = (api_prices.lookup("anthropic/claude-opus-4-6", date(2026, 3, day)) for day in (12, 13))
    assert before.request_usd_exact(250_000, 0) == Decimal("2.5")
    assert after.request_usd_exact(250_000, 0) == Decimal("1.25")


@pytest.mark.parametrize(
    ("name", "day", "words"),
    [
        (
            "openai/gpt-4o",
            "2023-01-01",
            "openai/gpt-4o: no price is known for 2023-01-01; the first known is 2024-05-13 (",
        ),
        ("openai/gpt-4", "2023-03-13", "the first known is 2023-03-14 (OpenAI price timeline says $30 in, $60 out"),
        (
            "openai/o3",
            "2025-06-09",
            "the first known is 2025-06-10 (genai-prices 0.2.3 says $2 in, $0.5 cached, $8 out",
        ),
        ("openai/gpt-4o-2024-11-20", "2024-06-01", "no price is known for 2024-06-01; the first known is 2025-"),
        ("sambanova/gpt-oss-120b", "2026-11-11", "the first known is 2026-11-12 (litellm 1.109.1 says $0.22 in"),
        ("openai/gpt-4o@batch", "2024-06-01", "openai/gpt-4o@batch: no price is known for 2024-06-01; the first known"),
        ("alibaba/qwen3-max", "2020-01-01", "no price is known for 2020-01-01"),
        ("openai/gpt-4o", "2999-01-01", "openai/gpt-4o: 2999-01-01 is in the future; prices are known up to today"),
    ],
)
def test_a_day_that_nobody_knows_is_an_error(name: str, day: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        api_prices.lookup(name, date.fromisoformat(day))
    assert words in str(caught.value)
    assert len(caught.value.lines) == 1


def test_no_model_is_priced_before_its_first_day() -> None:
    """Every model of every lab on the day before anything is known of it: an error, where both packages answer."""
    checked = 0
    for provider in ("openai", "anthropic", "deepseek", "groq", "sambanova", "x-ai", "alibaba"):
        for model in api_prices.models(provider):
            name = f"{provider}/{model}"
            usable = [quote for quote in api_prices.history(name) if not genai.only_past(quote)]
            first = min(api_prices.first_day(quote) for quote in usable)
            assert api_prices.opinions(name, first), name
            with pytest.raises(InputError, match="the first known is"):
                api_prices.lookup(name, first - timedelta(days=1))
            checked += 1
    assert checked > 300


def test_an_undated_price_is_known_from_the_release_on() -> None:
    """The release of 2026-11-10 says what Groq asks; before it, what the releases of that time held, else nothing."""
    release = observed.released("genai-prices", "0.2.3")
    assert release is not None
    assert api_prices.lookup(GROQ, release).quote.basis == "snapshot"
    assert api_prices.lookup(GROQ, release - timedelta(days=1)).quote.basis == "observed"


def test_without_a_known_release_an_undated_price_is_of_today_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that the list of releases does not have: its age is unknown, and it says nothing of any past day."""
    monkeypatch.setattr(genai, "release_day", lambda: None)
    monkeypatch.setattr(observed, "quotes", lambda *_: ())
    found = api_prices.lookup(GROQ)
    assert found.quote.confirmed is None
    assert found.quote.stale(date(2026, 11, 20))
    assert found.notes(date(2026, 11, 20)) == [f"{GROQ}: genai-prices 0.2.3, with no first day, of unknown age"]
    with pytest.raises(InputError, match="no price is known for 2026-11-19"):
        api_prices.lookup(GROQ, date(2026, 11, 19))


def _quote(source: str, day: date, price: int, last: date | None = None) -> Quote:
    tier = Tier(-1, Decimal(price), Decimal(price), Decimal(price))
    return Quote(source, "groq", "llama-3.1-8b-instant", Tariff((tier,)), "observed", day, last or day)


def test_an_observed_price_holds_until_the_next_one_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = (_quote("a", date(2025, 8, 1), 7, date(2025, 9, 1)), _quote("b", date(2025, 10, 1), 5, date(2025, 11, 1)))
    monkeypatch.setattr(observed, "quotes", lambda *_: seen)
    for day, price in ((date(2025, 8, 1), 7), (date(2025, 9, 30), 7), (date(2025, 10, 1), 5), (date(2026, 1, 1), 5)):
        assert api_prices.lookup(GROQ, day).input_usd_per_mtok == price
    with pytest.raises(InputError, match="the first known is 2025-08-01"):
        api_prices.lookup(GROQ, date(2025, 7, 31))
    late = api_prices.lookup(GROQ, date(2026, 1, 31)).notes(date(2026, 1, 31))
    assert late == [f"{GROQ}: b, first seen on 2025-10-01, last confirmed on 2025-11-01, 91 days before 2026-01-31: "
                    "older than 90 days"]  # fmt: skip


def test_launch_prices_stand_behind_what_was_observed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first release that holds the model on, the timeline is silent."""
    launch = (_quote("launch", date(2024, 1, 1), 9),)
    monkeypatch.setattr(timeline, "quotes", lambda *_: launch)
    monkeypatch.setattr(observed, "quotes", lambda *_: (_quote("seen", date(2025, 8, 1), 7),))
    assert api_prices.lookup(GROQ, date(2025, 7, 31)).quote.source == "launch"
    assert api_prices.lookup(GROQ, date(2025, 8, 1)).quote.source == "seen"


def test_history_ascends_and_merges_the_sources() -> None:
    """gpt-4o: launch prices, releases and the second opinion, in the order of their days."""
    quotes = api_prices.history("openai/gpt-4o")
    days = [api_prices.first_day(quote) for quote in quotes]
    assert days == sorted(days)
    sources = " ".join(quote.source for quote in quotes)
    assert all(name in sources for name in ("OpenAI price timeline", "genai-prices", "model-prices"))
    assert (quotes[0].valid_from, quotes[0].tariff.tiers[0].input) == (date(2024, 5, 13), Decimal(5))
    with pytest.raises(InputError, match="unknown model 'gpt-4p' at openai; did you mean 'gpt-4"):
        api_prices.history("openai/gpt-4p")


# --- requests


def test_cached_tokens_and_tiers_worked_out_by_hand() -> None:
    """Gemini 2.5 Pro: 150,000 new and 100,000 cached tokens make a long prompt, which pays the dear tier for all."""
    found = api_prices.lookup("google/gemini-2.5-pro", date(2026, 11, 10))
    tier = found.tariff.at(250_000)
    assert (tier.input, tier.output) == (Decimal("2.5"), Decimal(15))
    by_hand = (150_000 * Decimal("2.5") + 100_000 * tier.cached + 1000 * 15) / 10**6
    assert found.request_usd_exact(150_000, 1000, 100_000) == by_hand
    assert found.request_usd(150_000, 1000, 100_000) == float(by_hand)
    assert found.request_usd(150_000, 1000) == pytest.approx(0.1875 + 0.01)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**5))
def test_more_tokens_never_cost_less(new: int, cached: int, output: int) -> None:
    found = api_prices.lookup("google/gemini-2.5-pro", date(2026, 11, 10))
    price = found.request_usd_exact(new, output, cached)
    assert price <= found.request_usd_exact(new + 1, output, cached)
    assert price <= found.request_usd_exact(new, output, cached + 1)
    assert price <= found.request_usd_exact(new, output + 1, cached)


# --- what is said of a price


def test_notes_name_source_day_age_and_match() -> None:
    found = api_prices.lookup("openai/gpt-4o-2024-11-20", date(2026, 11, 20))
    assert found.notes(date(2026, 11, 20)) == [
        "openai/gpt-4o-2024-11-20: priced as gpt-4o, which genai-prices takes it for",
        "openai/gpt-4o-2024-11-20: genai-prices 0.2.3, with no first day, last confirmed on 2026-11-10, "
        "10 days before 2026-11-20",
    ]
    assert "91 days before 2027-02-09: older than 90 days" in found.notes(date(2027, 2, 9))[1]
    assert "older" not in found.notes(date(2027, 2, 8))[1]
    azure = api_prices.lookup("azure/gpt-4o").notes(date(2026, 11, 20))
    assert "azure has no entry of its own for it; genai-prices takes the price of openai" in azure[0]


def test_sources_that_disagree_are_named_with_both_prices() -> None:
    """Input and output, a tier that only one of them lists, and the cached price where both list one."""
    on = date(2026, 11, 20)
    chat = api_prices.lookup("deepseek/deepseek-chat", on)
    assert chat.disagreement() == (
        "sources disagree on deepseek/deepseek-chat: genai-prices 0.2.3 says $0.27 in, $0.07 cached, $1.1 out "
        "per Mtok, but model-prices 0.0.5 says $0.14 in, $0.0028 cached, $0.28 out per Mtok"
    )
    notes = chat.notes(on)
    assert chat.disagreement() == notes[-1]
    assert any("16:30-00:30 UTC $0.135 in, $0.55 out" in note for note in notes)
    assert any("model-prices 0.0.5 says that the lab has removed it" in note for note in notes)
    long = api_prices.lookup("anthropic/claude-sonnet-4-5", on).disagreement() or ""
    assert "above 200,000 tokens $6 in" in long
    batch = api_prices.lookup("openai/o3@batch", on).disagreement() or ""
    assert "$0.5 cached" in batch
    assert "$0.25 cached" in batch
    for agreed in ("openai/gpt-4o", "x-ai/grok-4.3", GROQ):
        assert api_prices.lookup(agreed, on).disagreement() is None
    assert [quote.source for quote in api_prices.lookup("x-ai/grok-4.3", on).others] == [second.source()]


# --- a user's file


def _file(tmp_path: Path, name: str = "mine.json", **top: Any) -> Path:
    path = tmp_path / name
    prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 3e-6}
    batches = {"input_cost_per_token_batches": 5e-7, "output_cost_per_token_batches": 1.5e-6}
    path.write_text(json.dumps({"groq/llama-3.1-8b-instant": prices, "acme/one": {**prices, **batches}, **top}))
    return path


def test_a_users_file_wins_and_adds(tmp_path: Path) -> None:
    """Its prices come first, the package's become the second opinion; its models and providers are known."""
    path = _file(tmp_path)
    mine = api_prices.lookup(GROQ, None, [path])
    assert (mine.input_usd_per_mtok, mine.quote.basis, mine.quote.source) == (1.0, "file", str(path))
    assert [quote.source for quote in mine.others] == ["genai-prices 0.2.3"]
    assert "but genai-prices 0.2.3 says $0.05 in, $0.08 out" in (mine.disagreement() or "")
    assert api_prices.lookup(GROQ).input_usd_per_mtok == 0.05
    assert api_prices.lookup("acme/one@batch", None, (str(path),)).request_usd_exact(10**6, 0) == Decimal("0.5")
    assert "acme" in api_prices.providers([path])
    assert api_prices.models("acme", [path]) == ["one"]
    assert path.name in api_prices.history("acme/one", [path])[0].source
    with pytest.raises(InputError, match="unknown API provider 'acme'"):
        api_prices.lookup("acme/one")
    with pytest.raises(InputError, match="unknown model 'two' at acme; "):
        api_prices.lookup("acme/two", None, [path])


def test_a_file_is_believed_from_its_date_on(tmp_path: Path) -> None:
    """With a date it says nothing of earlier days; without one it is taken for any day, and that is said."""
    dated = _file(tmp_path, _source={"date": "2026-10-01"})
    assert api_prices.lookup("acme/one", date(2026, 10, 1), [dated]).quote.confirmed == date(2026, 10, 1)
    with pytest.raises(InputError, match="no price is known for 2026-09-30; the first known is 2026-10-01"):
        api_prices.lookup("acme/one", date(2026, 9, 30), [dated])
    undated = _file(tmp_path, "undated.json")
    notes = api_prices.lookup("acme/one", date(2026, 9, 30), [undated]).notes(date(2026, 9, 30))
    assert notes == [
        f"acme/one: {undated} has no date and is taken for 2026-09-30",
        f"acme/one: {undated}, with no first day, of unknown age",
    ]


# --- the command


def test_the_command_lists_providers_models_and_one_model() -> None:
    """Providers with their number of models; a provider's models with tiers and batch; one model from every source."""
    listed = bench("prices", "api", "--format", "csv")
    rows = {row["provider"]: row for row in csv.DictReader(StringIO(listed.stdout))}
    assert int(rows["openai"]["models"]) > 80
    assert "bedrock" in rows["aws"]["also called"]
    google = bench("prices", "api", "google", "-f", "csv")
    [pro] = [row for row in csv.DictReader(StringIO(google.stdout)) if row["API"] == "google/gemini-2.5-pro"]
    assert (pro["$/Mtok in"], pro["out"], pro["tiers"], pro["batch in/out"]) == (
        "1.25",
        "10",
        "200k: 2.5/15",
        "0.625/5",
    )
    one = bench("prices", "api", "deepseek/deepseek-chat")
    assert one.returncode == 0
    assert one.stderr == ""
    for words in ("genai-prices 0.2.3", "model-prices 0.0.5", "sources disagree", "every price that is known"):
        assert words in one.stdout
    assert "| source" in bench("prices", "api", "groq/llama-3.1-8b-instant", "-f", "md").stdout


def test_the_command_replays_searches_and_speaks_json(tmp_path: Path) -> None:
    """gpt-4o of June 2024 as JSON, to the digit; a search over all providers; models of a file beside the others."""
    done = bench("prices", "api", "openai/gpt-4o", "--as-of", "2024-06-01", "--format", "json")
    [told] = json.loads(done.stdout)["models"]
    tier = told["quote"]["tiers"][0]
    assert (tier["input_usd_per_mtok"], tier["output_usd_per_mtok"], told["batch"]) == ("5", "15", None)
    assert told["history"][0]["valid_from"] == "2024-05-13"
    found = bench("prices", "api", "--search", "llama-3.3-70b", "--format", "csv").stdout
    names = [row["API"] for row in csv.DictReader(StringIO(found))]
    assert {"sambanova/Meta-Llama-3.3-70B-Instruct", "groq/llama-3.3-70b-versatile"} <= set(names)
    free: dict[str, Any] = {"acme/free": {"input_cost_per_token": 0, "output_cost_per_token": 0}}
    mine = bench("prices", "api", "acme", "--file", _file(tmp_path, **free))
    assert mine.returncode == 0
    assert "acme/one" in mine.stdout
    assert "1 text models in it have no usable price, such as acme/free: input_cost_per_token is 0" in mine.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("opnai",), "unknown API provider 'opnai'; did you mean 'openai'"),
        (("openai/gpt-4p",), "unknown model 'gpt-4p' at openai; did you mean"),
        (("openai/gpt-4o", "--as-of", "2023-01-01"), "no price is known for 2023-01-01; the first known is 2024-05-13"),
        (("openai", "--as-of", "2999-01-01"), "--as-of: 2999-01-01 is in the future"),
        (("openai", "--as-of", "2024-02-30"), "--as-of: '2024-02-30' is no day; write YYYY-MM-DD"),
        (("openai", "--as-of", "20240201"), "--as-of: '20240201' is no day; write YYYY-MM-DD"),
        (("openai", "--as-of", "2020-01-01"), "--as-of: none of "),
        (("openai", "--search", "zzzz"), "--search: no model has 'zzzz' in its name"),
        (("openai", "--format", "yaml"), "--format: unknown format 'yaml'"),
        (("openai", "--file", "nowhere.json"), "nowhere.json: cannot be read: no such file or directory"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = bench("prices", "api", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_today_is_the_default() -> None:
    """Without a day the prices of today, which is a day like any other."""
    assert api_prices.lookup(GROQ) == api_prices.lookup(GROQ, datetime.now(UTC).date())
