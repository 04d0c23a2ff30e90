"""Quality of the built-in model: as a few lines of torch and lm-eval compute it, and levels told apart."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.errors import InputError, UnsupportedError
from bench.measure.quality_math import look
from bench.measure.quality_tasks import Ready
from bench.models import builtin, prose
from bench.runners.transformers import TransformersRunner
from bench.schema import Against, FourBit, Int8, Model, Precision, Scored, TaskChoice
from tests.commands import ROOT
from tests.scored import BF16, FP32, MODEL, nll, quality_job, real

pytestmark = pytest.mark.usefixtures("one_thread")

INT8, NF4 = Int8(name="int8"), FourBit(name="nf4")
BYTES, WINDOW = 2200, 128
TASK = ROOT / "configs/tasks/common-knowledge.yaml"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scored]:
    """The bf16 model as the reference, over the beginning of the package's text."""
    path = tmp_path_factory.mktemp("kept") / "bf16.npz"
    return path, real(quality_job(BF16, max_bytes=BYTES, window_tokens=WINDOW, kept_path=path))


def _level(precision: Precision, kept: Path) -> Scored:
    given: dict[str, Any] = {"reference_path": kept, "reference_record_id": "bf16"}
    return real(quality_job(precision, BF16, max_bytes=BYTES, window_tokens=WINDOW, **given))


def _kl(against: Against | None) -> tuple[float, float]:
    """Mean and standard error over blocks."""
    assert against is not None
    blocks = np.array(against.kl_nats)
    return blocks.sum() / against.tokens, blocks.std(ddof=1) * math.sqrt(len(blocks)) / against.tokens


def test_perplexity_is_what_a_few_lines_of_torch_say(tmp_path: Path) -> None:
    """Disjoint windows by hand, the last one reaching back, and torch's own cross entropy; then against itself."""
    folder = builtin.folder("smollm2-135m")
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    network = network.float().eval()
    ids = [tokenizer.bos_token_id, *tokenizer(prose.cut(prose.text(), BYTES // 2))["input_ids"]]
    total, done = 0.0, 0
    while done < len(ids) - 1:
        end = min(done + WINDOW, len(ids) - 1)
        with torch.no_grad():
            logits = network(torch.tensor([ids[end - WINDOW : end]])).logits[0, done - end :]
        total += functional.cross_entropy(logits, torch.tensor(ids[done + 1 : end + 1]), reduction="sum").item()
        done = end
    path = tmp_path / "fp32.npz"
    scored = real(quality_job(FP32, max_bytes=BYTES // 2, window_tokens=WINDOW, kept_path=path))
    assert scored.tokens == len(ids) - 1
    assert math.exp(nll(scored)) == pytest.approx(math.exp(total / done), rel=1e-4)

    given: dict[str, Any] = {"reference_path": path, "reference_record_id": "first"}
    again = real(quality_job(FP32, FP32, max_bytes=BYTES // 2, window_tokens=WINDOW, **given)).against
    for check in (scored.self_check, again):
        assert check is not None
        assert -1e-9 < sum(check.kl_nats) / check.tokens < 1e-6
        assert sum(check.same_top_1) == check.tokens


def test_bf16_against_itself_is_itself(kept: tuple[Path, Scored]) -> None:
    check = kept[1].self_check
    assert check is not None
    assert abs(sum(check.kl_nats)) / check.tokens < 1e-6
    assert sum(check.same_top_1) == check.tokens


@pytest.mark.slow  # the README's quickstart scores the same levels
def test_int8_and_nf4_are_told_apart_from_bf16_and_from_each_other(kept: tuple[Path, Scored]) -> None:
    near, far = _level(INT8, kept[0]), _level(NF4, kept[0])
    near_kl, near_se = _kl(near.against)
    far_kl, far_se = _kl(far.against)
    assert near_kl > 3 * near_se > 0
    assert far_kl - near_kl > 3 * math.hypot(near_se, far_se)
    blocks = (np.array(far.nll_nats) - np.array(kept[1].nll_nats)) / far.tokens
    assert blocks.sum() > 3 * blocks.std(ddof=1) * math.sqrt(len(blocks))
    assert near.tokens_sha256 == far.tokens_sha256 == kept[1].tokens_sha256


@pytest.mark.slow  # programmed predictions show the same in tests/test_quality_pass.py
def test_what_is_kept_of_the_reference_shows_most_of_the_divergence() -> None:
    """Of int8 and nf4 here, 64 log-probabilities and the rest's mass show 0.79 and 0.78 of the whole divergence."""
    text = prose.cut(prose.text(), BYTES)

    def logits(precision: Precision) -> torch.Tensor:
        runner = TransformersRunner(MODEL, precision, TransformersRunner.Options())
        runner.load()
        found: torch.Tensor = runner.logits([list(runner.encode(text).tokens)[:128]])[0].float().clone()
        return found

    first, targets = logits(BF16), torch.zeros(128, dtype=torch.long)
    log_p = first.log_softmax(-1).double()
    for level in (NF4,):
        second = logits(level)
        whole = (log_p.exp() * (log_p - second.log_softmax(-1).double())).sum(-1)
        shares = []
        for top_k in (16, 64, 1024):
            reference = look(first, targets, top_k, None).kept
            kl = torch.as_tensor(look(second, targets, None, reference).kl)
            assert (kl <= whole + 1e-5).all()
            shares.append((kl.mean() / whole.mean()).item())
        assert shares == sorted(shares)
        assert 0.6 < shares[1] < 0.95
        assert shares[2] > 0.9


def test_a_checkpoint_without_a_tokenizer_has_no_quality(tmp_path: Path) -> None:
    folder = builtin.folder("smollm2-135m")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(folder / name)
    runner = TransformersRunner(Model(source=str(tmp_path)), BF16, TransformersRunner.Options())
    runner.load()
    with pytest.raises(UnsupportedError, match="no quality: no tokenizer that can be read beside the model"):
        runner.encode("text")


class TestTasks:
    """lm-eval, with the task that comes with the configs."""

    def test_the_example_task_runs_on_the_loaded_model(self) -> None:
        pytest.importorskip("lm_eval")
        choice = TaskChoice(name="common-knowledge", sha256="", limit=12)
        job = quality_job(BF16, max_bytes=600, window_tokens=64, tasks=(choice,), task_paths=(str(TASK),))
        scored = real(job)
        metrics = {one.metric: one for one in scored.tasks}
        assert set(metrics) == {"acc", "acc_norm"}
        assert metrics["acc"].examples == 12
        assert metrics["acc"].value > 0.5  # a guess is right once in four
        assert 0 < (metrics["acc"].stderr or 0) < 0.2
        assert scored.tokens > 100

    @pytest.mark.parametrize(
        ("task", "because"),
        [
            ("task: one\ndataset_path: squad\n", "dataset_path 'squad' is not local"),
            ("task: one\ndataset_path: json\n", "data_files names no files"),
            ("task: one\ndataset_path: json\ndataset_kwargs: {data_files: gone.jsonl}\n", "gone.jsonl is not there"),
            ("group: many\ntask: [one, two]\n", "is not one task"),
            ("- a list\n", "lm-eval cannot make a task of it"),
        ],
    )
    def test_a_task_that_cannot_be_read_is_named_before_anything_is_loaded(
        self, tmp_path: Path, task: str, because: str
    ) -> None:
        pytest.importorskip("lm_eval")
        path = tmp_path / "task.yaml"
        path.write_text(task)
        runner = TransformersRunner(MODEL, BF16, TransformersRunner.Options())
        with pytest.raises(InputError, match=rf"^task\.yaml: .*{because}"):
            Ready(runner, [str(path)])

    def test_without_lm_eval_the_remedy_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bench.measure.quality_tasks.find_spec", lambda _: None)
        with pytest.raises(UnsupportedError, match="lm-eval, which is not installed") as raised:
            Ready(TransformersRunner(MODEL, BF16, TransformersRunner.Options()), [str(TASK)])
        assert "pip install" in raised.value.remedy

    @pytest.mark.slow
    def test_lm_evals_own_rolling_perplexity_agrees(self, tmp_path: Path) -> None:
        """Over the same text, through a task in the manner of its wikitext."""
        from lm_eval.evaluator import evaluate

        from bench.runners.transformers import tasks

        text = prose.cut(prose.text(), 5_000)
        (tmp_path / "text.jsonl").write_text(json.dumps({"page": text}) + "\n")
        (tmp_path / "prose.yaml").write_text(
            "task: prose\ndataset_path: json\ndataset_kwargs: {data_files: {test: text.jsonl}}\ntest_split: test\n"
            "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{page}}'\n"
            "metric_list: [{metric: bits_per_byte}, {metric: byte_perplexity}]\n"
        )
        runner = TransformersRunner(MODEL, FP32, TransformersRunner.Options())
        ready = Ready(runner, [str(tmp_path / "prose.yaml")])
        scored = real(quality_job(FP32, max_bytes=5_000, window_tokens=512))
        runner.load()
        model = tasks.language_model(MODEL, runner._loaded, max_tokens=512)
        (task,) = ready._tasks.values()
        said = evaluate(model, {"tasks": {"prose": task}, "groups": {}, "group_map": {}}, bootstrap_iters=0)
        assert said is not None
        found = {key.partition(",")[0]: value for key, value in said["results"]["prose"].items()}
        assert sum(scored.nll_nats) / math.log(2) / scored.text_bytes == pytest.approx(found["bits_per_byte"], abs=1e-3)
        assert math.exp(sum(scored.nll_nats) / scored.text_bytes) == pytest.approx(found["byte_perplexity"], rel=1e-3)
