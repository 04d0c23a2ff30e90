"""Is the harness honest? Its rates against a plain script that calls `model.generate`, in one interleaved run.

    .venv/bin/python scripts/compare_generate.py              # one process, arms in random order (3 minutes)
    .venv/bin/python scripts/compare_generate.py --whole      # whole `bench run` and plain script in turn (10 minutes)

Both arms use the same weights, precision, batch and lengths. The plain script times `generate` for one new token and
for N; the first is its time to the first token, the difference its decode time. A ratio above 1 means that the harness
reports a higher rate. Ratios are paired (one of each arm beside the other) and come with a 95 % interval.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from bench.measure import offline
from bench.metrics import latency, statistics
from bench.models import builtin
from bench.runners.transformers import Options, TransformersRunner
from bench.schema import Cell, Model, Plain, RunnerChoice, Workload

MODEL = "smollm2-135m"


def plain_generate(network: Any, rows: int, length: int, new: int) -> tuple[float, float]:
    """What a plain script measures: seconds to the first token and of all N, random prompts, EOS never produced."""
    import torch

    def timed(tokens: int) -> float:
        ids = torch.randint(3, network.config.vocab_size, (rows, length))
        start = time.perf_counter()
        network.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False
        )
        return time.perf_counter() - start

    return timed(1), timed(new)


def paired(name: str, ours: list[float], theirs: list[float]) -> None:
    ratio = statistics.estimate([b / a for a, b in zip(ours, theirs, strict=True)])
    assert ratio is not None
    assert ratio.low is not None
    print(f"  {name:<8} harness / plain generate: {ratio.value:.3f}  [{ratio.low:.3f}, {ratio.high:.3f}]  n={ratio.n}")


def in_process(precision: str, rows: int, length: int, new: int, pairs: int) -> None:
    """Arms in random order in one process, over one loaded model."""
    choice = Plain.model_validate({"name": precision})
    work = Workload(batch_size=rows, input_tokens=length, output_tokens=new)
    model = Model(source=f"builtin:{MODEL}")
    cell = Cell(model=model, precision=choice, runner=RunnerChoice(), workload=work)
    runner = TransformersRunner(model, choice, Options())
    facts = runner.load()
    network = runner._loop._network
    prompts = offline.Prompts(cell, 0, facts.vocab_size)
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    bare: list[float] = []

    def harness() -> None:
        times = latency.of_round(offline.timed_round(runner, prompts.next(), work))
        ours.append((times.ttft_s, times.decode_s))

    def script() -> None:
        first, whole = plain_generate(network, rows, length, new)
        theirs.append((first, whole - first))

    def loop_alone() -> None:
        ids = prompts.next()
        start = time.perf_counter()
        runner.generate(ids, new, lambda _: None)
        bare.append(time.perf_counter() - start)

    arms: list[Callable[[], None]] = [harness, script, loop_alone]
    for number in range(pairs + 1):
        random.shuffle(arms)
        for arm in arms:
            arm()
        if number == 0:  # warm-up of every arm
            ours.clear()
            theirs.clear()
            bare.clear()
    print(f"{precision}, batch {rows}, {length} in, {new} out, in one process:")
    paired("prefill", [one[0] for one in ours], [one[0] for one in theirs])
    paired("decode", [one[1] for one in ours], [one[1] for one in theirs])
    step_s = median(one[1] for one in ours) / (new - 1)
    cost_s = stamp_cost_s(rows)
    added = statistics.estimate([sum(one) / alone for one, alone in zip(ours, bare, strict=True)])
    assert added is not None
    print(
        f"  harness: {cost_s * 1e6:.2f} µs a step of {step_s * 1e3:.1f} ms = {cost_s / step_s:.4%}; "
        f"whole round with / without it: {added.value:.3f} [{added.low:.3f}, {added.high:.3f}]"
    )


def stamp_cost_s(rows: int) -> float:
    """What one `on_step` of the harness costs over one that does nothing: 100,000 of each, five times."""
    from bench.runners.fake import FakeRunner
    from bench.runners.fake import Options as FakeOptions

    steps = 100_000
    runner = FakeRunner(Model(source="shape:x"), Plain(name="fp32"), FakeOptions(prefill_s=0, step_s=0))

    def timed(on_step: Callable[[int], None]) -> float:
        start = time.perf_counter()
        runner.generate([[1]] * rows, steps, on_step)
        return time.perf_counter() - start

    return max(0.0, median(timed(offline.Stamps().on_step) - timed(lambda _: None) for _ in range(5)) / steps)


def whole(precision: str, rows: int, length: int, new: int, pairs: int) -> None:
    """A whole `bench run` with its parent process, against a whole plain script, in turn."""
    ours: list[latency.Times] = []
    theirs: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as work:
        config = Path(work) / "compare.yaml"
        config.write_text(
            f"models: builtin:{MODEL}\nprecisions: {precision}\nreplicates: 1\n"
            f"workloads: {{batch_size: {rows}, input_tokens: {length}, output_tokens: {new}}}\n"
        )
        for number in range(pairs):
            target = Path(work) / str(number)
            command = [sys.executable, "-m", "bench", "run", str(config), "--out", str(target)]
            subprocess.run(command, check=True, capture_output=True)
            record = json.loads((target / "records.jsonl").read_text())
            ours.append(latency.of_replicate(offline.Measurement.model_validate(record["measurement"])))
            plain = [sys.executable, __file__, "--plain", precision, str(rows), str(length), str(new)]
            theirs.append(tuple(json.loads(subprocess.run(plain, check=True, capture_output=True).stdout)))
    print(f"{precision}, batch {rows}, {length} in, {new} out, whole processes in turn:")
    paired("prefill", [one.ttft_s for one in ours], [one[0] for one in theirs])
    paired("decode", [one.decode_s for one in ours], [one[1] for one in theirs])


def plain_script(precision: str, rows: int, length: int, new: int) -> None:
    """The plain script of `--whole`: load, warm up twice, the median of three."""
    import torch
    from transformers import AutoModelForCausalLM

    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    network = AutoModelForCausalLM.from_pretrained(builtin.folder(MODEL), dtype=dtype).eval()
    timed = [plain_generate(network, rows, length, new) for _ in range(5)][2:]
    first = median(one[0] for one in timed)
    print(json.dumps([first, median(one[1] - one[0] for one in timed)]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true", help="whole processes in turn")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--plain", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        plain_script(arguments.plain[0], *(int(number) for number in arguments.plain[1:]))
    elif arguments.whole:
        for batch in (1, 4):
            whole("bf16", batch, 128, 32, arguments.pairs)
    else:
        for name in ("bf16", "fp32"):
            for batch in (1, 4):
                in_process(name, batch, 128, 32, arguments.pairs)
