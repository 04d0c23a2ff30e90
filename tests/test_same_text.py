"""Dollars per million characters: the same text is other tokens elsewhere."""

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.cost import characters
from bench.cost.tariff import Tariff, Tier
from bench.models import sample_text
from bench.report.rows import Row, rows
from bench.report.same_text import SameText, request_usd, same_text
from bench.schema import CostChoices, Workload
from tests.commands import bench
from tests.samples import cell, facts, measurement, record

JOURNAL = "tests/data/records-v1.jsonl"
LLAMA, CLAUDE = "groq/llama-3.1-8b-instant", "anthropic/claude-haiku-4-5"


def _lines(
    source: str = "builtin:smollm2-135m", counted: dict[str, int] | None = None, sha: str | None = None
) -> tuple[Row, list[SameText]]:
    of = facts().model_copy(update={"text_tokens": counted or {}, "text_sha256": sha})
    records = [record(index, cell(source), measurement(of=of)) for index in range(2)]
    (row,) = rows(records, CostChoices(usd_per_hour=3.6, apis=(LLAMA, CLAUDE)))
    assert row.dollars is not None
    return row, list(same_text(row, row.dollars.usd_per_request, 1.0, row.dollars.apis, "prose"))


def test_the_apis_tokens_of_the_same_text_are_what_it_charges_for() -> None:
    """111 own tokens are 111 / (own tokens per character) characters; Llama 3 needs other tokens for them."""
    row, (llama, _) = _lines()
    own, theirs = characters.find("smollm2-135m"), characters.find("llama-3.1-8b")
    assert own is not None
    assert theirs is not None
    factor = theirs.parts["prose"].tokens / own.parts["prose"].tokens
    assert llama.api_tokens_per_own == pytest.approx(factor)
    text = (100 + 11) * own.parts["prose"].characters / own.parts["prose"].tokens
    assert row.dollars is not None
    assert llama.self_usd_per_mchar.value == pytest.approx(row.dollars.usd_per_request.value / text * 1e6)
    tier = row.dollars.apis[0].model.tariff.tiers[0]
    price = factor * (100 * float(tier.input) + 11 * float(tier.output)) / 1e6
    assert llama.api_usd_per_mchar == pytest.approx(price / text * 1e6)
    assert llama.ratio.value == pytest.approx(llama.self_usd_per_mchar.value / llama.api_usd_per_mchar)


def test_a_short_request_is_as_many_tokens_as_a_long_one_and_never_none() -> None:
    """One token in and one out are no whole token at an API that needs fewer: priced as parts, in the same ratio."""
    found = []
    for tokens in (1, 1000):
        of = cell(workload=Workload(batch_size=2, input_tokens=tokens, output_tokens=tokens))
        measured = measurement(tokens=tokens)
        records = [record(index, of, measured) for index in range(2)]
        (row,) = rows(records, CostChoices(usd_per_hour=3.6, apis=(LLAMA,)))
        priced = row.dollars
        assert priced is not None
        # Each own token counted as three: the API takes a third of one for it.
        many = {"prose": 3 * characters.find("llama-3").parts["prose"].tokens}  # type: ignore[union-attr]
        assert row.figures is not None
        facts_ = row.figures.facts.model_copy(update={"text_tokens": many, "text_sha256": sample_text.sha256()})
        row = replace(row, figures=replace(row.figures, facts=facts_))
        (line,) = same_text(row, priced.usd_per_request, 0.25, priced.apis, "prose")
        assert line.api_tokens_per_own == pytest.approx(1 / 3, rel=1e-12)
        assert line.utilisation == 0.25
        found.append(line.api_usd_per_mchar)
        price = priced.apis[0].api_usd_per_request / 3
        assert line.ratio.value == pytest.approx(priced.usd_per_request.value / price, rel=1e-12)
    assert found[0] == pytest.approx(found[1], rel=1e-12)


TIERED = Tariff(
    (
        Tier(-1, Decimal("0.1"), Decimal("0.025"), Decimal("0.7")),
        Tier(200_000, Decimal("0.3"), Decimal("0.3"), Decimal("1.1")),
    ),
    usd_per_request=Decimal("0.0003"),
)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 250_000), st.integers(0, 250_000), st.integers(0, 10_000))
@example(200_000, 0, 1)
@example(199_999, 1, 1)
@example(200_000, 1, 1)
def test_whole_tokens_cost_what_the_tariff_says(fresh: int, cached: int, output: int) -> None:
    own = request_usd(TIERED, Fraction(fresh), Fraction(cached), Fraction(output))
    assert own == float(TIERED.request_usd(fresh, cached, output))


def test_the_tier_is_that_of_the_prompt_to_a_part_of_a_token() -> None:
    """Up to 200,000 the lower one; a thousandth of a token above it the higher one, for all of them."""
    at = request_usd(TIERED, Fraction(200_000), Fraction(0), Fraction(1))
    above = request_usd(TIERED, Fraction(200_000), Fraction(1, 1000), Fraction(1))
    assert at == pytest.approx(0.0003 + 0.02 + 0.7e-6, rel=1e-12)
    assert above == pytest.approx(0.0003 + 0.06 + 0.3e-9 + 1.1e-6, rel=1e-12)


def test_an_api_that_costs_nothing_is_one_line(tmp_path: Path) -> None:
    """Neither a division by zero nor a ratio without end."""
    prices = {"input_cost_per_token": 1e-320, "output_cost_per_token": 1e-320, "mode": "chat"}
    path, cost = tmp_path / "free.json", tmp_path / "cost.yaml"
    path.write_text(json.dumps({"mine/free": {"litellm_provider": "mine", **prices}}))
    cost.write_text("api_cached_share: 1\n")
    asked = ("--usd-per-hour", "1", "--api-prices", path, "--api", "mine/free", "--cost", cost)
    done = bench("breakeven", JOURNAL, *asked)
    assert done.returncode == 2
    assert "mine/free: these requests cost nothing there; leave it out" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_tokenizer_that_is_not_public_counts_as_equal_and_says_so() -> None:
    row, (_, claude) = _lines()
    assert claude.api_tokenizer is None
    assert claude.api_tokens_per_own is None
    assert row.dollars is not None
    assert claude.ratio.value == pytest.approx(row.dollars.apis[1].ratio.value)


def test_a_count_of_the_models_own_goes_before_the_list() -> None:
    counted = {"prose": 2 * characters.find("smollm2-135m").parts["prose"].tokens}  # type: ignore[union-attr]
    _, (usual, _) = _lines()
    _, (doubled, _) = _lines("owner/unheard-of", counted, sample_text.sha256())
    assert doubled.own_tokenizer == "its own"
    assert usual.api_tokens_per_own is not None
    assert doubled.api_tokens_per_own == pytest.approx(usual.api_tokens_per_own / 2)


def test_a_count_of_another_text_is_none() -> None:
    _, lines = _lines("owner/unheard-of", {"prose": 4000}, "of another text")
    assert lines == []


def test_the_command_shows_both_and_names_what_it_could_not_count() -> None:
    done = bench("breakeven", JOURNAL, "--usd-per-hour", "0.05", "--api", LLAMA, "--api", CLAUDE, "--text", "code")
    assert done.returncode == 0, done.stderr
    assert "The same text (code)" in done.stdout
    assert f"{CLAUDE}: its tokenizer is not to be had" in " ".join(done.stdout.split())
    done = bench("breakeven", JOURNAL, "--usd-per-hour", "0.05", "--api", LLAMA, "--format", "json")
    (line,) = json.loads(done.stdout)["rows"][0]["same_text"]
    assert line["api_tokenizer"] == "llama-3"
    assert line["text"] == "prose"


def test_an_unknown_kind_of_text_is_one_line() -> None:
    done = bench("breakeven", JOURNAL, "--usd-per-hour", "0.05", "--text", "poetry")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --text: unknown kind of text 'poetry'")
