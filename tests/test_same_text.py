"""Dollars per million characters: the same text is other tokens elsewhere."""

import json

import pytest

from bench.cost import characters
from bench.models import sample_text
from bench.report.rows import Row, rows
from bench.report.same_text import SameText, same_text
from bench.schema import CostChoices
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
    return row, list(same_text(row, row.dollars.usd_per_request, row.dollars.apis, "prose"))


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
    price = row.dollars.apis[0].model.request_usd(round(100 * factor), round(11 * factor))
    assert llama.api_usd_per_mchar == pytest.approx(price / text * 1e6)
    assert llama.ratio.value == pytest.approx(llama.self_usd_per_mchar.value / llama.api_usd_per_mchar)


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
