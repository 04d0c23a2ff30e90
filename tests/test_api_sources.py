"""Each source of API prices against the package or file that it comes from; no day is priced that it does not know."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost.apis import genai, litellm, second
from bench.cost.apis.quote import Quote
from bench.cost.tariff import Tariff
from bench.errors import InputError
from tests.commands import bench

PRICED = {"litellm_provider": "acme", "mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
TOKENS = ((0, 0, 0), (1, 0, 0), (0, 0, 1), (1000, 0, 1000), (999, 1, 7), (0, 5000, 3), (123_457, 654_321, 98_765))
"""Uncached, cached and output tokens."""


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


def shapes(tariff: Tariff) -> Iterator[tuple[int, int, int]]:
    """Requests of every kind, among them those on both sides of each boundary, with and without cached tokens."""
    yield from TOKENS
    for tier in tariff.tiers[1:]:
        for prompt in (tier.above, tier.above + 1):
            yield from ((prompt, 0, 11), (prompt - 77, 77, 11), (0, prompt, 11))


# --- genai-prices


def packaged(found: genai.Found, tokens: tuple[int, int, int], on: date, batch: bool) -> Decimal:
    """What the package itself asks, at noon of the day."""
    from genai_prices import Usage

    uncached, cached, output = tokens
    usage = Usage(input_tokens=uncached + cached, cache_read_tokens=cached, output_tokens=output)
    context = {"processing": "batch"} if batch else None
    provider = genai._providers()[found.owner]
    asked = found.model.calc_price(usage, provider, genai_request_timestamp=noon(on), price_context=context)
    total: Decimal = asked.total_price
    return total


@pytest.mark.parametrize("batch", [False, True])
def test_our_tariffs_are_exactly_the_packages_prices(batch: bool) -> None:
    """Every model, every dated price of it, every tier boundary: equal to the last digit, as Decimals."""
    checked = 0
    for provider in genai._providers().values():
        for model in provider.models:
            found = genai.Found(provider.id, provider.id, model)
            for start, quote in genai.spans(found, batch):
                if quote is None:
                    continue
                on = start if start != date.min else date(2020, 1, 1)
                for tokens in shapes(quote.tariff):
                    exact = quote.tariff.request_usd(*tokens)
                    assert exact == packaged(found, tokens, on, batch), (provider.id, model.id, start, tokens)
                    checked += 1
    assert checked > (700 if batch else 15_000)


def test_what_is_left_out_costs_no_tokens() -> None:
    """Models that have no quote are those whose million tokens the package gives away or cannot price."""
    left_out = 0
    for provider in genai._providers().values():
        for model in provider.models:
            found = genai.Found(provider.id, provider.id, model)
            if not genai.spans(found):
                left_out += 1
                assert packaged(found, (10**6, 0, 10**6), date(2026, 11, 10), batch=False) == 0, model.id
    assert 0 < left_out < 400


def test_calc_price_by_name_is_the_same() -> None:
    """The way that the package itself is used, by provider and name: tiers, and a fee for each request."""
    from genai_prices import Usage, calc_price

    for provider, model, fee in (
        ("google", "gemini-2.5-pro", 0),
        ("perplexity", "sonar", 1),
        ("groq", "openai/gpt-oss-120b", 0),
    ):
        found = genai.find(provider, model)
        assert found is not None
        quote = genai.in_force(genai.spans(found), date(2026, 11, 10))
        assert quote is not None
        assert bool(quote.tariff.usd_per_request) == bool(fee)
        for tokens in shapes(quote.tariff):
            usage = Usage(input_tokens=tokens[0] + tokens[1], cache_read_tokens=tokens[1], output_tokens=tokens[2])
            asked = calc_price(usage, model, provider_id=provider, genai_request_timestamp=noon(date(2026, 11, 10)))
            assert quote.tariff.request_usd(*tokens) == asked.total_price


def test_dated_prices_begin_on_their_day() -> None:
    """o3 cost $10 and $40 until OpenAI cut it on 2025-06-10; when the older price began the package does not say."""
    found = genai.find("openai", "o3")
    assert found is not None
    (_, before), (start, after) = genai.spans(found)
    assert before is not None
    assert after is not None
    assert (before.basis, before.valid_from, before.confirmed) == ("snapshot", None, date(2025, 6, 9))
    assert (after.basis, after.valid_from, start) == ("documented", date(2025, 6, 10), date(2025, 6, 10))
    assert (before.tariff.tiers[0].input, before.tariff.tiers[0].output) == (Decimal(10), Decimal(40))
    assert (after.tariff.tiers[0].input, after.tariff.tiers[0].output) == (Decimal(2), Decimal(8))
    assert genai.only_past(before)
    assert not genai.only_past(after)
    assert after.confirmed == genai.release_day() == date(2026, 11, 10)


def test_a_tier_that_ended_on_a_day() -> None:
    """Claude Opus 4.6 was dearer above 200,000 tokens until 2026-03-13."""
    found = genai.find("anthropic", "claude-opus-4-6")
    assert found is not None
    tiers = [[tier.above for tier in quote.tariff.tiers] for _, quote in genai.spans(found) if quote]
    assert tiers == [[-1, 200_000], [-1]]


def test_batch_prices_begin_with_their_variant() -> None:
    """Without a variant there is no batch price, and before its day none either; a borrowed model has none."""
    batch = genai.spans(genai.find("openai", "o3") or pytest.fail("o3 is gone"), batch=True)
    assert [start for start, quote in batch if quote] == [date(2026, 10, 14)]
    assert genai.in_force(batch, date(2026, 10, 13)) is None
    lent = genai.find("azure", "gpt-4o")
    assert lent is not None
    assert (lent.provider, lent.owner) == ("azure", "openai")
    assert genai.spans(lent)
    assert genai.spans(lent, batch=True) == ()
    groq = genai.find("groq", "llama-3.1-8b-instant")
    assert groq is not None
    assert genai.spans(groq, batch=True) == ()


def test_the_price_of_noon_and_the_hours_of_others() -> None:
    """DeepSeek: half price by night for the old models, twice the price in the morning for the new ones."""
    chat, flash = genai.find("deepseek", "deepseek-chat"), genai.find("deepseek", "deepseek-flash")
    assert chat is not None
    assert flash is not None
    quote = genai.in_force(genai.spans(chat), date.max)
    assert quote is not None
    assert quote.tariff.tiers[0].input == Decimal("0.27")
    assert "16:30-00:30 UTC $0.135 in, $0.55 out" in (genai.times_of_day(chat, date(2026, 11, 10)) or "")
    peak = genai.times_of_day(flash, date(2026, 11, 10)) or ""
    assert "01:00-04:00 UTC $0.3 in" in peak
    assert "06:00-10:00 UTC $0.3 in" in peak
    assert "04:00-06:00" not in peak
    groq = genai.find("groq", "llama-3.1-8b-instant")
    assert groq is not None
    assert genai.times_of_day(groq, date(2026, 11, 10)) is None


def test_every_listed_id_finds_itself() -> None:
    """The package's own match clauses miss fifty of its ids, whole providers among them."""
    for provider, ids in genai.models().items():
        for model in ids:
            found = genai.find(provider, model)
            assert found is not None
            assert (found.owner, found.model.id) == (provider, model)


@pytest.mark.parametrize(
    ("name", "provider"),
    [("bedrock", "aws"), ("AWS", "aws"), ("together_ai", "together"), ("gemini", "google"), ("xai", "x-ai"),
     ("fireworks_ai", "fireworks"), ("sambanova-cloud", "sambanova"), ("deep-infra", "deepinfra"), ("groq", "groq")],
)  # fmt: skip
def test_providers_have_other_names(name: str, provider: str) -> None:
    assert genai.canonical(name) == provider


def test_a_name_that_only_contains_a_provider_is_no_alias() -> None:
    """The package takes `my-openai-proxy` for openai."""
    assert genai.canonical("my-openai-proxy") not in genai._providers()


# --- model-prices


def listed() -> Iterator[tuple[second.Listed, bool, genai.Spans]]:
    for provider, ids in second.models().items():
        for model in ids:
            one = second.find(provider, model)
            assert one is not None
            for batch in (False, True):
                yield one, batch, second.spans(one, batch)


def test_our_intervals_are_the_packages_rates() -> None:
    """At noon after each change, what the package answers for that moment, to the digit."""
    import model_prices

    checked = 0
    for one, batch, spans in listed():
        if model_prices.resolve_details(one.model_id, one.lab, strict=True) != (one.lab, one.model_id, ""):
            continue
        for start, quote in spans:
            if quote is None or start >= date(2026, 10, 26):
                continue
            at = noon(start + timedelta(days=1))
            if any(start < later <= at.date() for later, _ in spans):
                continue
            rates = model_prices.rates(one.model_id, at=at, provider=one.lab, mode="batch" if batch else None)
            assert rates is not None, one
            for tokens in shapes(quote.tariff):
                ours = float(quote.tariff.request_usd(*tokens))
                assert ours == pytest.approx(rates.cost(tokens[0], tokens[2], tokens[1]), rel=1e-12), (
                    one,
                    start,
                    tokens,
                )
            checked += 1
    assert checked > 800


def test_a_day_before_the_first_is_not_known() -> None:
    """The package itself answers such a day with the first price it has, or with a later one."""
    import model_prices

    clamped = 0
    for one, batch, spans in listed():
        first = min((start for start, quote in spans if quote is not None), default=None)
        if first is None:
            continue
        assert first > date(2024, 1, 1)
        assert genai.in_force(spans, first - timedelta(days=1)) is None
        if not batch:
            rates = model_prices.rates(one.model_id, at=noon(date(2020, 1, 1)), provider=one.lab)
            clamped += rates is not None
    assert clamped > 400


def test_gpt_4_is_not_what_the_package_says_for_2023() -> None:
    """10/30 there; it was 30/60, which our quote says, and only from the day on which it was written down."""
    one = second.find("openai", "gpt-4")
    assert one is not None
    [(start, quote)] = second.spans(one)
    assert start == date(2025, 6, 11)
    assert quote is not None
    assert (quote.tariff.tiers[0].input, quote.tariff.tiers[0].output) == (Decimal(30), Decimal(60))
    assert (quote.basis, quote.confirmed) == ("documented", date(2026, 10, 26))


def test_only_the_exact_model_of_the_lab_itself() -> None:
    """No suffix is dropped, no other product or lab stands in, and case does not matter."""
    assert second.find("openai", "gpt-4o-high") is None
    assert second.find("openai", "gpt-4o-2099-01-01") is None
    assert second.find("openai", "claude-opus-4-6") is None
    assert second.find("groq", "llama-3.1-8b-instant") is None
    found = second.find("minimax", "minimax-m2.7")
    assert found is not None
    assert found.model_id == "MiniMax-M2.7"
    grok = second.find("x-ai", "grok-4.3")
    assert grok is not None
    assert (grok.provider, grok.lab) == ("x-ai", "xai")


def test_hours_and_status_are_said() -> None:
    """Peak hours since August 2026, a night discount in 2025, and what the lab has given up."""
    flash, chat = second.find("deepseek", "deepseek-flash"), second.find("deepseek", "deepseek-chat")
    assert flash is not None
    assert chat is not None
    now = second.times_of_day(flash, date(2026, 11, 10)) or ""
    assert "01:00-04:00, 06:00-10:00 UTC" in now
    assert "2 times the price" in now
    assert "16:30-00:30 UTC 0.5 times the price" in (second.times_of_day(chat, date(2025, 8, 1)) or "")
    assert second.times_of_day(chat, date(2026, 1, 1)) is None
    assert second.status(chat) == "removed"


def test_a_snapshot_of_another_schema_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    second._data.cache_clear()
    monkeypatch.setattr(second, "SCHEMA", 2)
    with pytest.raises(InputError, match=r"model-prices .*: its snapshot has schema 1, known is 2"):
        second._data()
    monkeypatch.undo()
    assert second._data()["schema"] == 1


# --- litellm's format


def file_of(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "prices.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def entry(tmp_path: Path, key: str = "acme/one", **fields: Any) -> litellm.Entry:
    path = file_of(tmp_path, {key: {**PRICED, **fields}})
    [[found]] = litellm.read(path).entries.values()
    return found


def test_our_own_additions_are_sambanova_and_deepinfra() -> None:
    """As litellm 1.109.1 has them: SambaNova asks $0.60 and $1.20 for Llama 3.3 70B."""
    extra = litellm.extra()
    assert (extra.source, extra.day, extra.left_out) == ("litellm 1.109.1", date(2026, 11, 12), {})
    assert {provider for provider, _ in extra.models()} == {"sambanova", "deepinfra"}
    found = extra.find("sambanova", "meta-llama-3.3-70b-instruct", "")
    assert found is not None
    assert found.model_id == "Meta-Llama-3.3-70B-Instruct"
    quote = extra.quote(found)
    assert quote is not None
    assert (quote.basis, quote.confirmed, quote.valid_from) == ("snapshot", extra.day, None)
    assert quote.tariff.request_usd(1000, 0, 1000) == Decimal("0.0018")
    assert extra.find("sambanova", "gpt-9", "") is None
    assert extra.quote(found, batch=True) is None


def test_numbers_are_read_as_they_are_written(tmp_path: Path) -> None:
    """0.1 + 0.2 is 0.3: no float stands between the file and the price."""
    found = entry(tmp_path, input_cost_per_token=1e-7, output_cost_per_token=2e-7)
    assert found.standard.request_usd(1_000_000, 0, 1_000_000) == Decimal("0.3")
    assert str(found.standard.tiers[0].input) == "0.1"


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 10**6))
def test_any_price_comes_back(tmp_path_factory: pytest.TempPathFactory, into: int, out: int, cached: int) -> None:
    """Prices of whole picodollars: a million tokens cost exactly a million times as much."""
    text = (
        f'{{"a/b": {{"input_cost_per_token": {into}e-12, "output_cost_per_token": {out}E-12, '
        f'"cache_read_input_token_cost": {Decimal(cached).scaleb(-12):f}}}}}'
    )
    [[found]] = litellm.read(file_of(tmp_path_factory.mktemp("f"), text)).entries.values()
    tier = found.standard.tiers[0]
    assert [price * 10**6 for price in (tier.input, tier.output, tier.cached)] == list(
        map(Decimal, (into, out, cached))
    )


def test_tiers_of_every_column_are_merged(tmp_path: Path) -> None:
    """Input has a tier at 128,000, output at 200,000: three tiers, each with the price that holds there."""
    found = entry(
        tmp_path,
        cache_read_input_token_cost=1e-7,
        input_cost_per_token_above_128k_tokens=3e-6,
        output_cost_per_token_above_200k_tokens=5e-6,
    )
    assert [(tier.above, tier.input, tier.cached, tier.output) for tier in found.standard.tiers] == [
        (-1, Decimal(1), Decimal("0.1"), Decimal(2)),
        (128_000, Decimal(3), Decimal("0.1"), Decimal(2)),
        (200_000, Decimal(3), Decimal("0.1"), Decimal(5)),
    ]
    assert found.standard.request_usd(128_000, 0, 0) == Decimal("0.128")
    assert found.standard.request_usd(128_001, 0, 0) == Decimal("0.384003")


def test_batches_and_fees(tmp_path: Path) -> None:
    """A batch's cached token costs what it costs otherwise, but never more than one that is not cached."""
    prices: dict[str, Any] = {"input_cost_per_token_batches": 5e-7, "output_cost_per_token_batches": 1e-6}
    tier = (entry(tmp_path, **prices).batch or pytest.fail("no batch price")).tiers[0]
    assert (tier.input, tier.cached, tier.output) == (Decimal("0.5"), Decimal("0.5"), Decimal(1))
    cached = entry(tmp_path, **prices, cache_read_input_token_cost=1e-7).batch
    assert cached is not None
    assert cached.tiers[0].cached == Decimal("0.1")
    assert entry(tmp_path, input_cost_per_token_batches=5e-7).batch is None
    assert entry(tmp_path, input_cost_per_request=0.005).standard.request_usd(0, 0, 0) == Decimal("0.005")


@pytest.mark.parametrize(
    ("key", "fields", "names"),
    [
        ("acme/one", {}, ("acme", "one")),
        ("one", {}, ("acme", "one")),
        ("bedrock/us-east-1/x.y", {"litellm_provider": "bedrock"}, ("aws", "us-east-1/x.y")),
        ("anthropic.claude", {"litellm_provider": "bedrock_converse"}, ("aws", "anthropic.claude")),
        ("vertex_ai/c", {"litellm_provider": "vertex_ai-anthropic_models"}, ("google", "c")),
        ("fireworks_ai/accounts/f/m", {"litellm_provider": "fireworks_ai"}, ("fireworks", "accounts/f/m")),
        ("meta/llama", {"litellm_provider": "acme"}, ("acme", "meta/llama")),
    ],
)
def test_keys_become_provider_and_model(
    tmp_path: Path, key: str, fields: dict[str, str], names: tuple[str, str]
) -> None:
    found = entry(tmp_path, key, **fields)
    assert (found.provider, found.model_id) == names


def test_what_is_no_model_is_left_out(tmp_path: Path) -> None:
    """Pictures, free models and litellm's own sample stay out, with the reason for those that are asked for."""
    path = file_of(
        tmp_path,
        {
            "_source": {"date": "2026-11-01"},
            "sample_spec": {"input_cost_per_token": "here a text"},
            "acme/good": PRICED,
            "acme/free": {**PRICED, "input_cost_per_token": 0, "output_cost_per_token": 0},
            "acme/half": {**PRICED, "output_cost_per_token": 0},
            "acme/painter": {"litellm_provider": "acme", "mode": "image_generation", "output_cost_per_image": 0.04},
            "acme/embed": {"litellm_provider": "acme", "mode": "embedding", "input_cost_per_token": 1e-8},
        },
    )
    found = litellm.read(path)
    assert sorted(found.entries) == ["acme/embed", "acme/good"]
    assert found.day == date(2026, 11, 1)
    with pytest.raises(InputError, match=r"prices\.json: acme/free: input_cost_per_token is 0"):
        found.find("acme", "free", "acme/free")
    with pytest.raises(InputError, match=r"prices\.json: acme/half: output_cost_per_token is 0"):
        found.find("acme", "half", "acme/half")
    assert found.find("acme", "unheard-of", "acme/unheard-of") is None


def test_one_model_at_two_prices_is_not_guessed(tmp_path: Path) -> None:
    """Two keys of one provider and model: asked for by key each has its price, by the common name neither."""
    cheap = {**PRICED, "litellm_provider": "azure"}
    path = file_of(tmp_path, {"azure/m": cheap, "azure_ai/m": {**cheap, "input_cost_per_token": 2e-6}})
    found = litellm.read(path)
    one, two = found.find("azure", "m", "azure/m"), found.find("azure", "m", "azure_ai/m")
    assert one is not None
    assert two is not None
    assert (one.standard.tiers[0].input, two.standard.tiers[0].input) == (Decimal(1), Decimal(2))
    with pytest.raises(InputError, match="azure/m and azure_ai/m are the same model at different prices"):
        found.find("azure", "m", "azure-openai/m")


def test_a_bare_key_is_asked_for_by_its_provider(tmp_path: Path) -> None:
    """Vertex and Gemini are both Google's, at prices of their own; the first stands under the bare name."""
    vertex = {**PRICED, "litellm_provider": "vertex_ai-language-models"}
    gemini = {**PRICED, "litellm_provider": "gemini", "input_cost_per_token": 2e-6}
    found = litellm.read(file_of(tmp_path, {"g": vertex, "gemini/g": gemini}))
    one, two = found.find("google", "g", "vertex_ai/g"), found.find("google", "g", "gemini/g")
    assert one is not None
    assert two is not None
    assert (one.key, two.key) == ("g", "gemini/g")
    with pytest.raises(InputError, match="ask for vertex_ai/g or gemini/g"):
        found.find("google", "g", "google/g")


def test_a_file_is_read_again_when_it_changed(tmp_path: Path) -> None:
    path = file_of(tmp_path, {"a/b": PRICED})
    assert litellm.read(path) is litellm.read(str(path))
    path.write_text(json.dumps({"a/bcd": PRICED}))
    assert list(litellm.read(path).entries) == ["acme/a/bcd"]


def with_field(name: str, value: str) -> str:
    """An entry whose field has just this text as its value."""
    fields = {"input_cost_per_token": "1e-6", "output_cost_per_token": "2e-6", name: value}
    return '{"acme/one": {' + ", ".join(f'"{key}": {text}' for key, text in fields.items()) + "}}"


BAD = {
    "empty": ("", "prices.json: is not JSON: "),
    "torn": ('{"acme/one": {"input_cost', "prices.json: is not JSON: "),
    "a list": ("[]", "prices.json: must be a JSON object of models, not a list"),
    "no entries": ("{}", "prices.json: no model in it is priced by tokens (it has no entries)"),
    "an entry that is none": ('{"acme/one": 3}', "prices.json: acme/one: must be an object of prices, not a number"),
    "a missing column": (
        '{"acme/one": {"input_cost_per_token": 1e-6}}',
        "prices.json: acme/one: output_cost_per_token is missing",
    ),
    "no columns": (
        '{"acme/one": {"mode": "chat"}}',
        "no model in it is priced by tokens (acme/one: input_cost_per_token is missing)",
    ),
    "negative": (
        with_field("output_cost_per_token", "-2e-6"),
        "prices.json: acme/one: output_cost_per_token: must not be negative (got -0.000002)",
    ),
    "NaN": (with_field("input_cost_per_token", "NaN"), "acme/one: input_cost_per_token: must be a finite number"),
    "infinite": (with_field("cache_read_input_token_cost", "Infinity"), "acme/one: cache_read_input_token_cost: must"),
    "zero": (
        '{"acme/one": {"input_cost_per_token": 0, "output_cost_per_token": 0.0}}',
        "priced by tokens (acme/one: input_cost_per_token is 0",
    ),
    "a text": (
        with_field("input_cost_per_token", '"1e-6"'),
        "acme/one: input_cost_per_token: must be a number of USD per token, not the text '1e-6'",
    ),
    "true": (with_field("input_cost_per_token", "true"), "acme/one: input_cost_per_token: must be a number"),
    "per million": (with_field("output_cost_per_token", "2.5"), "divide what is per million by 1,000,000"),
    "a tier": (with_field("input_cost_per_token_above_128k_tokens", "-1"), "above_128k_tokens: must not be negative"),
    "euros": (with_field("currency", '"EUR"'), "prices.json: acme/one: currency: 'EUR' cannot be compared with USD"),
    "all in euros": ('{"currency": "EUR", "acme/one": {}}', "prices.json: currency: 'EUR' cannot be compared with USD"),
    "no provider": (
        '{"one": {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}}',
        "prices.json: one: says no provider; write provider/model, or add litellm_provider",
    ),
    "a key twice": ('{"a/b": {}, "a/b": {}}', "prices.json: a/b stands there twice; keep one"),
    "a date that is none": ('{"_source": {"date": "2026-02-30"}}', "_source: date: '2026-02-30' is no day"),
    "a future date": ('{"_source": {"date": "2999-01-01"}}', "prices.json: _source: date: 2999-01-01 is in the future"),
    "a deep nest": ('{"a":' * 100_000, "prices.json: is nested too deeply"),
    "an absurd exponent": (with_field("input_cost_per_token", "1e99999999999999999999"), "prices.json: "),
}  # fmt: skip


@pytest.mark.parametrize("content", [text for text, _ in BAD.values()], ids=list(BAD))
def test_bad_files_are_refused_in_one_line(tmp_path: Path, content: str) -> None:
    """The line names the file, and the key where there is one."""
    words = next(said for text, said in BAD.values() if text == content)
    with pytest.raises(InputError) as caught:
        litellm.read(file_of(tmp_path, content))
    assert words in str(caught.value)
    assert len(caught.value.lines) == 1
    assert "\n" not in caught.value.lines[0]
    assert str(caught.value).startswith(str(tmp_path / "prices.json"))


def test_bad_files_through_the_command(tmp_path: Path) -> None:
    """The same lines on standard error, exit code 2, no traceback; each file is given to a real command."""
    for name in ("torn", "a missing column", "negative", "NaN", "zero", "a text", "euros", "all in euros"):
        content, words = BAD[name]
        done = bench("prices", "api", "groq/llama-3.1-8b-instant", "--file", file_of(tmp_path, content))
        assert (done.returncode, done.stdout) == (2, ""), name
        assert done.stderr.startswith("error: "), name
        assert words in done.stderr, name
        assert done.stderr.count("\n") == 1, name


def test_files_that_are_too_large_or_none(tmp_path: Path) -> None:
    """A million rows, a sparse gigabyte, a folder, nothing, bytes: each is one line and takes no memory."""
    many = file_of(tmp_path, "{" + ", ".join(f'"a/{number}": {{}}' for number in range(100_001)) + "}")
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(1_000_000_000)
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00{}")
    for path, words in (
        (many, "100,001 entries; a file of API prices has at most 100,000"),
        (large, "1,000 MB; a file of API prices has at most 67 MB"),
        (binary, "is not UTF-8 text"),
        (tmp_path, "is not a file"),
        (tmp_path / "missing.json", "cannot be read: no such file or directory"),
        (Path("/dev/zero"), "is not a file"),
        (tmp_path / ("x" * 300), "cannot be read: file name too long"),
        (Path("nul\0byte"), "cannot be read"),
    ):
        with pytest.raises(InputError) as caught:
            litellm.read(path)
        assert words in str(caught.value)
        assert len(caught.value.lines) == 1


def test_the_sources_are_dated_by_their_versions() -> None:
    assert genai.source() == f"genai-prices {version('genai-prices')}"
    assert second.source() == f"model-prices {version('model-prices')}"


def test_quotes_are_sound() -> None:
    """Every quote of every source: tiers ascending from −1, no price below zero, its own provider and a known basis."""
    every: list[Quote] = [quote for _, _, spans in listed() for _, quote in spans if quote]
    for provider, ids in genai.models().items():
        for model in ids:
            found = genai.find(provider, model)
            assert found is not None
            every += [quote for _, quote in genai.spans(found) if quote]
    extra = litellm.extra()
    every += [quote for [one] in extra.entries.values() if (quote := extra.quote(one))]
    for quote in every:
        above = [tier.above for tier in quote.tariff.tiers]
        assert above[0] == -1
        assert above == sorted(set(above))
        assert all(min(tier.input, tier.cached, tier.output) >= 0 for tier in quote.tariff.tiers)
        assert (quote.valid_from is None) == (quote.basis == "snapshot")
        assert quote.confirmed is not None
    assert len(every) > 3000
