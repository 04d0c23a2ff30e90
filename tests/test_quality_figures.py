"""Sums over tokens become figures: by hand, against simulations whose truth is known, and where there can be none."""

import json
import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.metrics.quality import Difference, QualityFigures, figures, over_blocks, text_of_delta, with_error
from bench.schema import Against, FourBit, Scored, TaskResult
from tests.samples import BLOCK_TOKENS, BLOCKS, BYTES_PER_TOKEN, FP32, facts, held_against, quality_cell, scored

NF4 = FourBit(name="nf4")
TOKENS = BLOCKS * BLOCK_TOKENS


def _of_reference(found: Scored) -> QualityFigures:
    asked = quality_cell(FP32, None).quality
    assert asked is not None
    return figures(asked, FP32, found, None)


def _of_level(found: Scored, reference: Scored | None) -> QualityFigures:
    asked = quality_cell(NF4, FP32).quality
    assert asked is not None
    return figures(asked, NF4, found, reference)


def _codes(of: QualityFigures) -> list[str]:
    return [reason.code for reason in of.reasons]


# --- by hand -----------------------------------------------------------------------------------------------------


def test_the_reference_by_hand() -> None:
    """3 nats a token of 4 bytes are 3 / ln 2 / 4 = 1.0820 bits a byte, and a perplexity of e³."""
    of = _of_reference(scored(3.0, keeps=True))
    assert of.bits_per_byte == pytest.approx(3 / math.log(2) / BYTES_PER_TOKEN)
    assert of.bits_per_byte == pytest.approx(1.0820, abs=1e-4)
    assert of.nll_per_token == pytest.approx(3.0)
    assert of.perplexity == pytest.approx(math.exp(3))
    assert of.nll_per_token_se == pytest.approx(0.0, abs=1e-12)
    assert (of.is_reference, of.reference, of.divergence, of.no_comparison_because) == (True, "fp32", None, None)
    assert of.self_check is not None
    assert (of.self_check.kl_mean, of.self_check.same_top_1) == (0.0, 1.0)
    assert of.reasons == ()


def test_a_level_by_hand() -> None:
    """Blocks lose 0.1 ± 0.05 nats a token by turns: the squared error is Σ(0.05·64)² · 40/39 / 2560², se 0.00801."""
    base = scored(3.0, wobble=1.0, keeps=True)
    level = scored(3.1, wobble=1.05, against=held_against("base", kl=0.02, same_top_1=0.75))
    of = _of_level(level, base)
    assert of.divergence is not None
    assert of.divergence.delta_nll.value == pytest.approx(0.1)
    expected = math.sqrt(40 / 39 * 40 * (0.05 * 64) ** 2) / 2560
    assert of.divergence.delta_nll.se == pytest.approx(expected)
    assert expected == pytest.approx(0.00801, abs=1e-5)
    assert of.divergence.delta_nll.is_told_apart()
    assert of.divergence.kl_mean == pytest.approx(0.02)
    assert of.divergence.kl_mean_se == pytest.approx(0.0, abs=1e-12)
    assert (of.divergence.kl_p50, of.divergence.kl_p99, of.divergence.kl_max) == (0.01, 0.2, 0.8)
    assert of.divergence.same_top_1 == pytest.approx(0.75)
    assert (of.is_reference, of.reference, of.self_check) == (False, "fp32", None)
    # Unpaired, the text's own difficulty (±1 nat) would hide what was lost.
    assert of.nll_per_token_se is not None
    assert of.nll_per_token_se > 15 * expected


def test_the_last_block_may_be_shorter() -> None:
    """A ratio of sums: 100 tokens of 1 nat and 10 of 2 are 120/110; equal means have no error, whatever the sizes."""
    assert over_blocks([100.0, 20.0], [100, 10]).value == pytest.approx(120 / 110)
    assert over_blocks([200.0, 20.0], [100, 10]).se == pytest.approx(0.0, abs=1e-12)
    level = scored(tokens=130, text_bytes=520, nll_nats=(64.0, 64.0, 2.0))
    assert _of_reference(level).nll_per_token == pytest.approx(1.0)
    assert over_blocks([7.0], [10]) == Difference(0.7, None)


def test_a_level_equal_to_its_reference_is_not_told_apart() -> None:
    base = scored(keeps=True)
    of = _of_level(scored(against=held_against("base", kl=0.0, same_top_1=1.0)), base)
    assert of.divergence is not None
    assert of.divergence.delta_nll == Difference(0.0, 0.0)
    assert not of.divergence.delta_nll.is_told_apart()
    assert (of.divergence.kl_mean, of.divergence.same_top_1, of.divergence.same_top_1_se) == (0.0, 1.0, 0.0)
    assert text_of_delta(of.divergence.delta_nll) == "0 ± 0 (can't be told)"


@pytest.mark.parametrize(
    ("value", "se", "text"),
    [
        (0.0104, 0.0031, "0.0104 ± 0.0031"),
        (0.22, 0.0199, "0.220 ± 0.020"),
        (1.5, 0.0999, "1.50 ± 0.10"),
        (123.4, 17.0, "123 ± 17"),
        (-0.05, 0.01, "-0.050 ± 0.010"),
        (3.2e-9, 1.1e-10, "3.2e-09 ± 1.1e-10"),
        (0.0090, 0.0030, "0.0090 ± 0.0030 (can't be told)"),
        (-0.00001, 0.02, "0.000 ± 0.020 (can't be told)"),
        (0.5, None, "0.5 ± ? (can't be told)"),
    ],
)
def test_rounding_follows_the_standard_error(value: float, se: float | None, text: str) -> None:
    assert text_of_delta(Difference(value, se)) == text
    assert text.startswith(with_error(value, se))


# --- simulated ---------------------------------------------------------------------------------------------------


def _autocorrelated(rng: np.random.Generator, runs: int, tokens: int, phi: float) -> Any:
    """Differences of neighbours with correlation `phi`, around a mean of 0.05 (runs, tokens)."""
    noise = rng.normal(size=(runs, tokens))
    found = np.empty_like(noise)
    found[:, 0] = noise[:, 0] / math.sqrt(1 - phi * phi)
    for at in range(1, tokens):
        found[:, at] = phi * found[:, at - 1] + noise[:, at]
    return 0.05 + 0.2 * found


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_intervals_over_blocks_cover_what_they_claim(phi: float) -> None:
    """Of 600 texts of 63 blocks and a rest, about 95 % of the 95 % intervals hold the true mean, however much
    neighbouring tokens resemble each other; intervals over single tokens then do not.
    """
    rng = np.random.default_rng(20_261_122)
    block, tokens, runs = 64, 64 * 63 + 37, 600
    held = naive = 0
    edges = np.arange(0, tokens, block)
    sizes = [min(block, tokens - int(start)) for start in edges]
    for run in _autocorrelated(rng, runs, tokens, phi):
        found = over_blocks(np.add.reduceat(run, edges).tolist(), sizes)
        assert found.se is not None
        held += abs(found.value - 0.05) < 1.96 * found.se
        naive += abs(found.value - 0.05) < 1.96 * run.std(ddof=1) / math.sqrt(tokens)
    assert 0.92 < held / runs < 0.98
    if phi == 0.9:
        assert naive / runs < 0.5


# --- reasons -----------------------------------------------------------------------------------------------------


def test_nan_logits_leave_no_figure() -> None:
    """A verdict with the number of tokens, and nothing that was computed from the rest of them."""
    result = TaskResult(task="t", metric="acc", value=0.5, examples=3)
    level = scored(nonfinite_tokens=1234, against=held_against("base"), tasks=[result])
    of = _of_level(level, scored(keeps=True))
    assert _codes(of) == ["nan-logits"]
    assert of.reasons[0].fatal
    assert "1,234 of 2,560 tokens" in of.reasons[0].what
    assert (of.bits_per_byte, of.nll_per_token, of.perplexity, of.divergence, of.tasks) == (None, None, None, None, ())


def test_a_reference_with_nan_compares_nothing() -> None:
    of = _of_level(scored(3.1, against=held_against("base")), scored(nonfinite_tokens=7, keeps=True))
    assert of.bits_per_byte is not None
    assert of.divergence is None
    assert _codes(of) == ["no-comparison"]
    assert "no finite probability for 7 tokens" in str(of.no_comparison_because)


FEWER = held_against("base").model_copy(update={"tokens": TOKENS - 1})


@pytest.mark.parametrize(
    ("own", "base", "words"),
    [
        ({}, None, "the reference's pass is not in this journal"),
        ({"against": None}, {}, "ran without the reference's"),
        ({"against": None, "no_comparison_because": "kept file gone"}, {}, "kept file gone"),
        ({}, {"tokens_sha256": "others"}, "other tokens"),
        ({}, {"prefix_token": 1}, "other tokens"),
        ({}, {"window_tokens": 256}, "other tokens"),
        ({"against": FEWER}, {}, "2,559 of 2,560 tokens"),
    ],
)
def test_no_comparison_says_why(own: dict[str, Any], base: dict[str, Any] | None, words: str) -> None:
    """The level's own figures stand; the reason stands in the place of the others, with a remedy."""
    level = scored(3.1, against=held_against("base")).model_copy(update=own)
    of = _of_level(level, None if base is None else scored(keeps=True).model_copy(update=base))
    assert of.nll_per_token == pytest.approx(3.1)
    assert of.divergence is None
    assert words in str(of.no_comparison_because)
    assert _codes(of) == ["no-comparison"]
    assert words in of.reasons[0].what
    assert not of.reasons[0].fatal


def test_where_no_reference_is_wanted_nothing_is_missing() -> None:
    of = _of_reference(scored())
    assert (of.is_reference, of.reference, of.divergence, of.reasons) == (False, None, None, ())


def test_worse_than_guessing() -> None:
    """ln 49,152 is 10.8 nats: whoever needs more knows less than nothing. Beside a good reference it is the level's."""
    lost = _of_reference(scored(11.0, keeps=True))
    assert _codes(lost) == ["worse-than-guessing"]
    assert "do not belong together" in lost.reasons[0].what
    assert lost.bits_per_byte is not None
    destroyed = _of_level(scored(11.0, against=held_against("base")), scored(3.0, keeps=True))
    assert "this level destroys the model" in destroyed.reasons[0].what
    assert _codes(_of_reference(scored(math.log(facts().vocab_size) - 0.01, keeps=True))) == []


def test_a_loss_beyond_all_numbers_has_no_perplexity() -> None:
    of = _of_reference(scored(1000.0))
    assert of.perplexity is None
    assert of.nll_per_token == pytest.approx(1000.0)


@pytest.mark.parametrize(("tokens", "block"), [(999, 10), (2560, 128)])
def test_few_tokens_or_blocks_are_said(tokens: int, block: int) -> None:
    count = -(-tokens // block)
    of = _of_reference(scored(tokens=tokens, block_tokens=block, nll_nats=(block * 3.0,) * count, text_bytes=tokens))
    assert _codes(of) == ["few-tokens"]
    assert f"{tokens:,} tokens in {count} blocks" in of.reasons[0].what


STEADY = [(0.0, 1.0, True), (9e-7, 1.0, True), (2e-6, 1.0, False), (0.0, 0.5, False)]


@pytest.mark.parametrize(("kl", "same", "steady"), STEADY)
def test_an_engine_that_disagrees_with_itself_is_said(kl: float, same: float, steady: bool) -> None:
    """Of the reference, with the size of it, and of every level that is held against it."""
    base = scored(keeps=True, self_check=held_against("base", kl, same))
    level = _of_level(scored(3.1, against=held_against("base")), base)
    for of in (_of_reference(base), level):
        assert _codes(of) == ([] if steady else ["unsteady-reference"])
        assert steady or (f"KL {kl:.1e}" in of.reasons[0].what and f"{same:.2%}" in of.reasons[0].what)


def test_a_task_without_a_standard_error_or_a_value() -> None:
    tasks = [TaskResult(task="t", metric=name, value=value, stderr=math.nan, examples=3) for name, value in TASKS]
    (only,) = _of_reference(scored(tasks=tasks)).tasks
    assert (only.metric, only.value, only.stderr) == ("acc", 0.5, None)


TASKS = [("acc", 0.5), ("other", math.nan)]
NUMBERS = st.one_of(st.floats(), st.floats(0, 1e4))
COUNTS = st.one_of(st.integers(), st.integers(1, 200), st.just(10**400))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_no_record_whatever_breaks_the_arithmetic(data: st.DataObject) -> None:
    """Figures that are all finite, or one line that says what is wrong."""
    sums, kl = (tuple(data.draw(st.lists(NUMBERS, max_size=4))) for _ in range(2))
    against = Against(
        reference_record_id="base",
        tokens=data.draw(COUNTS),
        kl_nats=kl,
        kl_p50=data.draw(NUMBERS),
        kl_p99=data.draw(NUMBERS),
        kl_max=data.draw(NUMBERS),
        same_top_1=tuple(data.draw(st.lists(COUNTS, max_size=4))),
    )
    level = scored(
        nll_nats=sums,
        tokens=data.draw(COUNTS),
        text_bytes=data.draw(COUNTS),
        block_tokens=data.draw(COUNTS),
        nonfinite_tokens=data.draw(st.sampled_from([0, 0, 1])),
        against=against,
        self_check=data.draw(st.sampled_from([None, against])),
    )
    base = data.draw(st.sampled_from([None, level, level.model_copy(update={"nll_nats": (1.0,)}), scored(keeps=True)]))
    for asked, of, other in ((quality_cell(NF4, FP32), level, base), (quality_cell(FP32, None), level, None)):
        assert asked.quality is not None
        try:
            found = figures(asked.quality, asked.precision, of, other)
        except InputError:
            continue
        json.dumps(asdict(replace(found, tokens=0, text_bytes=0)), allow_nan=False, default=str)


@pytest.mark.parametrize(
    "changed",
    [{"nll_nats": (1.0,)}, {"nll_nats": (math.nan,) * BLOCKS}, {"tokens": 0}, {"block_tokens": 0}, {"text_bytes": 0}],
)
def test_sums_that_fit_no_tokens_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="not written by this program"):
        _of_reference(scored(**changed))
    short = held_against("base").model_copy(update={"kl_nats": (1.0,)})
    with pytest.raises(InputError, match="not written by this program"):
        _of_level(scored(against=short), scored(keeps=True))
