"""Dollars per million characters: the text, its counts, whose they are, and sums by hand."""

import csv
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from bench.cost import api_prices, characters
from bench.cost.characters import Count
from bench.models import builtin, catalogue, sample_text
from tests.commands import ROOT

unhurried = settings(deadline=None, max_examples=60)
counts = st.integers(min_value=1, max_value=10_000_000)


def rows() -> list[dict[str, str]]:
    with (files("bench.data") / "text_tokens.csv").open(encoding="utf-8") as text:
        return list(csv.DictReader(text))


def name_of(model: str) -> str | None:
    found = characters.find(model)
    return None if found is None else found.tokenizer


# --- the text and its counts ---------------------------------------------------------------------------------------


def test_every_count_is_of_this_very_text() -> None:
    """The text may not change under its counts."""
    for row in rows():
        assert row["text_sha256"] == sample_text.sha256(), row["tokenizer"]
        assert int(row["characters"]) == len(sample_text.sample()), row["tokenizer"]
    assert len(characters.known()) == 13


def test_the_text_has_four_parts_of_some_size() -> None:
    parts = sample_text.sample_parts()
    assert {name: len(text) for name, text in parts.items()} == {
        "prose": 20_148,
        "code": 8_209,
        "data": 8_892,
        "languages": 10_927,
    }
    assert sum(map(len, parts.values())) + 3 * len(sample_text.SEPARATOR) == len(sample_text.sample())
    assert parts["prose"].startswith("CHAPTER 1. Loomings.")
    assert 30_000 <= len(sample_text.sample().encode()) <= 60_000


def test_the_parts_are_the_whole_but_for_what_stands_between_them() -> None:
    """Three form feeds between empty lines are a handful of tokens."""
    for one in characters.known():
        assert 0 <= one.tokens - sum(part.tokens for part in one.parts.values()) <= 15, one.tokenizer


@pytest.mark.slow
def test_the_builtin_models_tokens_are_counted_anew() -> None:
    """By the tokenizer of the conversion and by the one inside the GGUF file."""
    folder, file = builtin.folder("smollm2-135m"), builtin.gguf_file("smollm2-135m")
    stored = characters.find("builtin:smollm2-135m")
    assert stored is not None
    for tokenizer in (
        AutoTokenizer.from_pretrained(folder),
        AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name),
    ):
        assert len(tokenizer.encode(sample_text.sample(), add_special_tokens=False)) == stored.tokens
        for part, text in sample_text.sample_parts().items():
            assert len(tokenizer.encode(text, add_special_tokens=False)) == stored.parts[part].tokens


def test_the_script_counts_and_checks() -> None:
    """A right count passes, a wrong name does not."""
    script, file = ROOT / "scripts" / "count_text.py", builtin.folder("smollm2-135m") / "tokenizer.json"

    def run(name: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(script), "--check", f"{name}={file}"]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})

    right, wrong = run("smollm2"), run("llama-3")
    assert right.returncode == 0, right.stderr
    assert right.stdout.splitlines()[1] == "smollm2,21163,4790,2674,5739,7951"
    assert wrong.returncode == 1
    assert "llama-3: stored is (15094, 4719, 2240, 4005, 4126)" in wrong.stderr


# --- whose they are ------------------------------------------------------------------------------------------------


def test_every_pattern_is_one_and_every_row_says_where_it_is_from() -> None:
    for row in rows():
        re.compile(row["model_patterns"])
        assert row["source"].startswith(("npm ", "PyPI ")), row["tokenizer"]
        assert re.search(r"\d+\.\d+\.\d+", row["source"]), row["tokenizer"]
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", row["date"])


@pytest.mark.parametrize(
    ("model", "tokenizer"),
    [
        ("groq/llama-3.1-8b-instant", "llama-3"),
        ("openai/gpt-5-nano", "o200k_base"),
        ("google/gemini-2.5-flash-lite", "gemma-3"),
        ("google/gemini-3-pro-preview", None),
        ("builtin:smollm2-135m", "smollm2"),
        ("shape:llama-3.1-8b", "llama-3"),
        ("meta-llama/Llama-3.2-1B@main", "llama-3"),
        ("aws/meta.llama3-3-70b-instruct-v1:0", "llama-3"),
        ("cloudflare/@cf/meta/llama-3.3-70b-instruct-fp8-fast", "llama-3"),
        ("fireworks/llama-v3p1-8b-instruct", "llama-3"),
        ("/models/Llama-3.1-8B-Instruct.gguf", "llama-3"),
        ("shape:/here/llama-3.1-8b/config.json", "llama-3"),
        ("shape:tinyllama-1.1b", "llama-2"),
        ("openai/gpt-4o-2024-08-06@batch", "o200k_base"),
        ("openai/gpt-4.1-mini", "o200k_base"),
        ("openai/o3-mini", "o200k_base"),
        ("groq/openai/gpt-oss-120b", "o200k_base"),
        ("databricks/databricks-gpt-oss-120b", "o200k_base"),
        ("openai/gpt-4", "cl100k_base"),
        ("openai/gpt-4-turbo", "cl100k_base"),
        ("azure/gpt-35-turbo", "cl100k_base"),
        ("anthropic/claude-2.1", "claude-2"),
        ("anthropic/claude-sonnet-4-5", None),
        ("anthropic/claude-3-haiku-20240307", None),
        ("mistral/open-mixtral-8x22b-2404", "mistral-32k"),
        ("mistral/mistral-large-2411", "mistral-32k"),
        ("mistral/mistral-large-2512", None),
        ("mistral/open-mistral-nemo-2407", "mistral-tekken"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen-2.5"),
        ("Qwen/Qwen3-32B", "qwen-2.5"),
        ("Qwen/Qwen3.5-27B", None),
        ("qwen/qwen3-max", None),
        ("deepseek-ai/DeepSeek-V3.2", "deepseek-v3"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", None),
        ("deepseek/deepseek-v4.1-flash", None),
        ("google/gemma-3-27b-it", "gemma-3"),
        ("google/gemma-2-9b-it", "gemma-2"),
        ("google/gemma-4-31b-it", None),
        ("shape:pythia-70m", None),
        ("some/llama-30b", None),
        ("some/llama-3-qwen2.5-7b-merge", None),  # two would fit
        ("", None),
    ],
)
def test_whose_tokenizer_it_is(model: str, tokenizer: str | None) -> None:
    assert name_of(model) == tokenizer


def test_the_defaults_and_shapes_are_found_or_said_to_be_unknown() -> None:
    """All of the default APIs, and of the shapes all but Pythia and BLOOM."""
    assert [name for name in api_prices.DEFAULT_APIS if name_of(name) is None] == []
    unknown = {name for name in catalogue.shapes() if name_of(f"shape:{name}") is None}
    assert {name.partition("-")[0] for name in unknown} <= {"pythia", "bloom"}
    assert characters.UNKNOWN == "its tokenizer is not to be had; tokens taken as equal"


def test_no_listed_api_model_fits_two() -> None:
    """A pattern that grew too wide would show here."""
    patterns = {row["tokenizer"]: re.compile(row["model_patterns"]) for row in rows()}
    double = set()
    for provider in api_prices.providers():
        for model in api_prices.models(provider):
            name = model.lower().rpartition("/")[2]
            if sum(pattern.search(name) is not None for pattern in patterns.values()) > 1:
                double.add(name)
    assert all("qwen3" in name and "deepseek" in name for name in double), double  # distilled: rightly ambiguous


# --- sums ----------------------------------------------------------------------------------------------------------


def test_the_same_text_in_the_tokens_of_two_models() -> None:
    """SmolLM2 takes 21,163 tokens for what GPT-5 takes 14,448 for: 0.68 are charged for each of its own."""
    api, own = characters.find("openai/gpt-5-nano"), characters.find("builtin:smollm2-135m")
    assert api is not None
    assert own is not None
    assert characters.same_text_ratio(api, own) == pytest.approx(14_448 / 21_163, rel=1e-12)
    assert characters.same_text_ratio(api.parts["prose"], own.parts["prose"]) == pytest.approx(4679 / 4790, rel=1e-12)


@unhurried
@given(counts, counts, counts, counts)
def test_the_ratio_turns_around(a: int, b: int, c: int, d: int) -> None:
    one, other = Count(a, b), Count(c, d)
    there, back = characters.same_text_ratio(one, other), characters.same_text_ratio(other, one)
    assert there * back == pytest.approx(1.0, rel=1e-12)


def test_the_sample_is_utf8_with_unix_line_ends() -> None:
    """A checkout that rewrote line ends would change every count."""
    text = Path(str(files("bench.data") / "text_sample.txt")).read_bytes()
    assert b"\r" not in text
    assert text.decode("utf-8") == sample_text.sample()
