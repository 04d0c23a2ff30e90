"""A quality pass: programmed predictions come back as they were programmed, and real ones as others compute them."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.errors import BrokenContractError, InputError, UnsupportedError
from bench.measure import quality, quality_kept
from bench.measure.quality_math import divergence, look
from bench.models import prose
from bench.runners.fake import FakeRunner
from bench.runners.fake.text import PREFIX, Text, encode, table
from bench.schema import FourBit, Scored
from tests.scored import BF16, FP32, MODEL, faked, nll, quality_job

pytestmark = pytest.mark.usefixtures("one_thread")

NF4 = FourBit(name="nf4")


def _log_softmax(logits: Any) -> Any:
    wide = logits.astype(np.float64)
    wide -= wide.max(-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(-1, keepdims=True))


def _programmed(precision: str, **text: Any) -> tuple[Any, Any, Any]:
    """Tokens, those before them, and ln p after each token of the vocabulary, in float64."""
    options = Text.model_validate(text)
    tokens = np.array(encode(prose.cut(prose.text(), 4096), options).tokens)
    return tokens, np.array([PREFIX, *tokens[:-1]]), _log_softmax(table(precision, options))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scored]:
    """What the fake's fp32 keeps for the other levels."""
    path = tmp_path_factory.mktemp("kept") / "fp32.npz"
    return path, faked(quality_job(FP32, kept_path=path))


class TestProgrammed:
    """The fake's truth, in closed form."""

    @pytest.mark.parametrize("text", [{}, {"temperature": 0.5}, {"spread": 0.0}], ids=str)
    @pytest.mark.parametrize("context_tokens", [1, 40])
    def test_the_likelihood_is_the_programmed_one(self, text: dict[str, Any], context_tokens: int) -> None:
        scored = faked(quality_job(BF16, context_tokens=context_tokens), **text)
        tokens, before, log_p = _programmed("bf16", **text)
        assert scored.tokens == len(tokens)
        assert scored.prefix_token == PREFIX
        assert scored.text_bytes == len(prose.cut(prose.text(), 4096).encode())
        truth = -log_p[before, tokens]
        assert nll(scored) == pytest.approx(truth.mean(), abs=1e-6)
        blocks = [truth[at : at + scored.block_tokens].sum() for at in range(0, len(tokens), scored.block_tokens)]
        assert scored.nll_nats == pytest.approx(blocks, abs=1e-4)
        assert text.get("spread") != 0.0 or nll(scored) == pytest.approx(math.log(1000), abs=1e-2)

    @pytest.mark.parametrize("top_k", [8, 1000, 4096])
    def test_the_divergence_is_the_programmed_one(self, tmp_path: Path, top_k: int) -> None:
        path = tmp_path / "kept.npz"
        faked(quality_job(FP32, top_k=top_k, kept_path=path))
        scored = faked(quality_job(NF4, FP32, top_k=top_k, reference_path=path, reference_record_id="other"))
        _, before, log_p = _programmed("fp32")
        log_q = _programmed("nf4")[2]
        truth, tops = _bucketed(log_p, log_q, top_k), log_p.argmax(-1) == log_q.argmax(-1)
        assert scored.against is not None
        assert scored.against.reference_record_id == "other"
        assert scored.against.tokens == len(before)
        assert sum(scored.against.kl_nats) / len(before) == pytest.approx(truth[before].mean(), abs=1e-6)
        assert scored.against.kl_max == pytest.approx(truth[before].max(), abs=1e-5)
        assert scored.against.kl_p50 == pytest.approx(float(np.median(truth[before])), abs=1e-5)
        assert sum(scored.against.same_top_1) == tops[before].sum()
        full = (np.exp(log_p) * (log_p - log_q)).sum(-1)
        assert (truth <= full + 1e-9).all()
        assert top_k < 1000 or truth == pytest.approx(full, abs=1e-9)

    def test_a_reference_scored_twice_is_itself(self, kept: tuple[Path, Scored]) -> None:
        path, scored = kept
        assert scored.kept_file == path.name
        assert list(path.parent.iterdir()) == [path]
        check = scored.self_check
        assert check is not None
        assert (check.reference_record_id, check.tokens) == ("record", scored.tokens)
        assert abs(sum(check.kl_nats)) < 1e-9
        assert sum(check.same_top_1) == check.tokens
        assert scored.against is None
        assert scored.no_comparison_because is None

    def test_without_a_prefix_the_first_token_is_not_scored(self) -> None:
        scored = faked(quality_job(FP32), prefix=False)
        tokens, before, log_p = _programmed("fp32")
        assert (scored.tokens, scored.prefix_token) == (len(tokens) - 1, None)
        assert scored.text_bytes == len(prose.cut(prose.text(), 4096).encode()) - 4
        assert nll(scored) == pytest.approx(-log_p[before, tokens][1:].mean(), abs=1e-6)


def _bucketed(log_p: Any, log_q: Any, top_k: int) -> Any:
    """Divergence over the likeliest tokens of p and the rest together, with no care for speed or cancellation."""
    order = np.argsort(-log_p, axis=-1)
    p, q = (np.take_along_axis(np.exp(logs), order, axis=-1) for logs in (log_p, log_q))
    found = (p[:, :top_k] * np.log(p[:, :top_k] / q[:, :top_k])).sum(-1)
    if top_k >= p.shape[-1]:
        return found
    p_tail, q_tail = p[:, top_k:].sum(-1), q[:, top_k:].sum(-1)
    return found + p_tail * np.log(p_tail / q_tail)


class TestNotFinite:
    """NaN and infinite logits are counted, and change no other token's figure."""

    def test_programmed_nans_are_counted_and_left_out(self, kept: tuple[Path, Scored]) -> None:
        scored = faked(quality_job(NF4, FP32, reference_path=kept[0]), nan_every=7)
        tokens, before, log_p = _programmed("nf4")
        lost = before % 7 == 0
        assert lost.any()
        assert scored.nonfinite_tokens == lost.sum()
        assert nll(scored) == pytest.approx(-log_p[before, tokens][~lost].mean(), abs=1e-6)
        assert scored.against is not None
        assert scored.against.tokens == (~lost).sum()
        assert all(map(math.isfinite, scored.against.kl_nats))
        assert Scored.model_validate_json(scored.model_dump_json()) == scored

    def test_nothing_but_nans_is_a_result_as_well(self, tmp_path: Path, kept: tuple[Path, Scored]) -> None:
        scored = faked(quality_job(NF4, FP32, reference_path=kept[0]), nan_every=1)
        assert scored.nonfinite_tokens == scored.tokens
        assert set(scored.nll_nats) == {0.0}
        assert scored.against is None
        assert scored.no_comparison_because == "no token has a finite probability in both"
        alone = faked(quality_job(FP32, kept_path=tmp_path / "nan.npz"), nan_every=1)
        assert alone.self_check is None
        level = faked(quality_job(NF4, FP32, reference_path=tmp_path / "nan.npz"))
        assert level.against is None
        assert level.nonfinite_tokens == 0
        assert level.no_comparison_because == "no token has a finite probability in both"

    def test_infinite_logits_count_as_well_and_masked_tokens_do_not(self) -> None:
        logits = torch.zeros(3, 5)
        logits[0, 1] = torch.inf
        logits[1, 2] = -torch.inf
        logits[2, 3] = -torch.inf
        seen = look(logits, torch.tensor([0, 2, 0]), None, None)
        assert np.isfinite(seen.nll).tolist() == [False, False, True]
        assert seen.nll[2] == pytest.approx(math.log(4), abs=1e-6)

    def test_a_probability_of_zero_leaves_the_divergence_finite(self) -> None:
        first = torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0]])
        second = first.clone()
        second[0, 1] = -torch.inf
        target = torch.tensor([0])
        reference = look(first, target, 2, None).kept
        assert reference is not None
        found = look(second, target, None, reference)
        assert np.isfinite(found.kl).all()
        assert found.kl[0] > 1


@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0])
def test_a_divergence_is_never_negative_and_zero_with_itself(scale: float) -> None:
    """Sharp distributions have tails of 1e-130, where 1 − Σ would be nothing but rounding."""
    torch.manual_seed(0)
    logits = torch.randn(64, 300) * scale
    targets = torch.zeros(64, dtype=torch.long)
    reference = look(logits, targets, 16, None).kept
    assert reference is not None
    assert np.abs(look(logits, targets, None, reference).kl).max() < 1e-12
    for noise in (1e-7, 1e-3, 1.0):
        other = look(logits + noise * torch.randn(64, 300), targets, None, reference)
        assert other.kl.min() > -1e-9
    assert look(logits.bfloat16(), targets, None, reference).kl.min() > -1e-9


def test_a_tiny_tail_counts_what_it_weighs() -> None:
    p, q = torch.tensor([[1e-20]]), torch.tensor([[1e-10]])
    top = torch.zeros(1, 1)
    tails = (1e-20 * (math.log(1e-20) - math.log(1e-10)), 1e-10)
    assert divergence(top, p.log()[0], top, q.log()[0]).item() == pytest.approx(sum(tails), rel=1e-4)


class TestNoComparison:
    """A level that cannot be held against its reference has figures of its own, and the reason."""

    def _because(self, kept: Path | None, **changed: Any) -> str:
        text = changed.pop("text", {})
        scored = faked(quality_job(NF4, FP32, reference_path=kept, **changed), **text)
        assert scored.against is None
        assert math.isfinite(nll(scored))
        assert scored.tokens > 0
        assert scored.no_comparison_because is not None
        return scored.no_comparison_because

    def test_another_tokenizer(self, kept: tuple[Path, Scored]) -> None:
        because = self._because(kept[0], text={"tokenizer": "other"})
        assert because.startswith("the tokenizer does not match")

    def test_other_windows(self, kept: tuple[Path, Scored]) -> None:
        assert self._because(kept[0], window_tokens=32) == "windows of 32 tokens, the reference's of 64"
        assert self._because(kept[0], context_tokens=2) == "contexts of 2 tokens, the reference's of 1"

    def test_another_vocabulary(self, kept: tuple[Path, Scored], tmp_path: Path) -> None:
        reading, found = quality_kept.read(kept[0])
        other = tmp_path / "other.npz"
        quality_kept.write(other, quality_kept.Reading(reading.tokens_sha256, 64, 1, 1008), found)
        assert self._because(other) == "logits over a vocabulary of 1000 tokens, the reference's of 1008"
        quality_kept.write(other, reading, found.part(0, 100))
        assert "other tokens than it says" in self._because(other)

    def test_a_file_that_is_gone_torn_or_no_such_file(self, kept: tuple[Path, Scored], tmp_path: Path) -> None:
        assert self._because(None) == "the reference's own pass failed: there is nothing to compare with"
        assert "not there any more" in self._because(tmp_path / "gone.npz")
        torn = tmp_path / "torn.npz"
        for data in (kept[0].read_bytes()[:-200], b"", b"no numpy at all", b"\x93NUMPY\x01\x00"):
            torn.write_bytes(data)
            assert "cannot be read" in self._because(torn)


class TestRefused:
    """What has no quality says why, in one line."""

    def test_random_weights(self) -> None:
        runner = FakeRunner(MODEL, FP32, FakeRunner.Options())
        with pytest.raises(UnsupportedError, match="random weights: no quality"):
            quality.score(quality_job(FP32), runner, lambda *_: None)

    def test_no_tokenizer_and_one_that_is_not_the_models(self) -> None:
        with pytest.raises(UnsupportedError, match="no quality: no tokenizer"):
            faked(quality_job(FP32), tokenizer="none")
        with pytest.raises(UnsupportedError, match=r"not this model's: it gives the token 1000, the model knows 1000"):
            faked(quality_job(FP32), tokenizer="foreign")

    def test_a_text_shorter_than_one_window(self) -> None:
        with pytest.raises(InputError, match=r"^text: the text has 16 tokens, fewer than one window of 64; give"):
            faked(quality_job(FP32, max_bytes=64))

    def test_a_text_that_changed(self, tmp_path: Path) -> None:
        path = tmp_path / "text.txt"
        path.write_text("one text " * 200)
        job = quality_job(FP32, path=path)
        path.write_text("another! " * 200)
        with pytest.raises(InputError, match=r"text\.txt: the text has changed"):
            faked(job)

    def test_a_runner_that_scores_no_text(self) -> None:
        class Silent(FakeRunner):
            encode = None  # type: ignore[assignment]

        with pytest.raises(UnsupportedError, match="scores no text"):
            quality.score(quality_job(FP32), Silent(MODEL, FP32, FakeRunner.Options()), lambda *_: None)

    def test_logits_of_another_shape(self) -> None:
        class Short(FakeRunner):
            def logits(self, rows: Any) -> Any:
                return super().logits(rows)[:, :-1]

        runner = Short(MODEL, FP32, FakeRunner.Options.model_validate({"text": {}}))
        with pytest.raises(BrokenContractError, match="logits of shape"):
            quality.score(quality_job(FP32), runner, lambda *_: None)

    def test_tasks_with_a_runner_that_runs_none(self) -> None:
        with pytest.raises(UnsupportedError, match="runs no tasks"):
            faked(quality_job(FP32, task_paths=("any.yaml",)))


def test_a_pass_says_what_it_does_and_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, float | None]] = []
    runner = FakeRunner(MODEL, FP32, FakeRunner.Options.model_validate({"text": {}}))
    whole = quality.score(quality_job(FP32), runner, lambda phase, left: said.append((phase, left)))
    assert [phase for phase, _ in said] == ["loading", "scoring"]
    monkeypatch.setattr(quality, "BATCH_BYTES", 1)
    monkeypatch.setattr("bench.measure.quality_math.SLICE_BYTES", 4 * 1000 * 5)
    one_by_one = faked(quality_job(FP32))
    assert one_by_one.nll_nats == pytest.approx(whole.nll_nats, abs=1e-9)
    assert (whole.windows, whole.window_tokens) == (16, 64)


def test_blocks_grow_with_the_text() -> None:
    short, whole = faked(quality_job(FP32)), faked(quality_job(FP32, max_bytes=1 << 20))
    assert short.block_tokens == quality.LEAST_BLOCK_TOKENS
    assert whole.block_tokens == math.ceil(whole.tokens / 256) or whole.block_tokens == 64
    assert len(whole.nll_nats) == math.ceil(whole.tokens / whole.block_tokens)
