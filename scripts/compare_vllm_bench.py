"""Is the vLLM runner as fast as vLLM's own bench tool? Batch time and continuous throughput, in one interleaved run.

    .venv/bin/python scripts/compare_vllm_bench.py --python /opt/vllm/bin/python          # one engine (5 minutes)
    .venv/bin/python scripts/compare_vllm_bench.py --python /opt/vllm/bin/python --whole  # whole processes in turn

By itself one engine is started, by our runner, and both tools use it in random order: `vllm bench latency` and the loop
of `vllm bench throughput` (their own code, unchanged, but that they get this engine instead of starting another) and
our harness over our runner. With `--whole`, `bench run` and the command `vllm bench latency` start in turn, an engine
each, so their starts are compared too.

Both of vLLM's tools draw their tokens at random (temperature 1), which our greedy runner does not. So their sampling
is set to temperature 0; `--as-shipped` leaves it. Ratios are of times, theirs over ours (over 1: ours is faster),
paired, with a 95 % interval.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]
DTYPES = {"bf16": "bfloat16", "fp32": "float32"}
CONTINUOUS_ROWS = 4
"""Requests for each row that the engine takes at once, of the continuous batch."""


def inside(asked: dict[str, Any]) -> None:
    """Under vLLM's Python: one engine, arms in random order; a line of JSON for each pair on standard output."""
    from bench.measure import offline
    from bench.runners.vllm import Options, VllmRunner
    from bench.schema import Model, Plain, Workload

    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what vLLM prints is no result
    options = Options(kv_cache_gib=asked["kv_cache_gib"], max_num_seqs=max(asked["batch"]), max_model_len=asked["most"])
    runner = VllmRunner(Model(source=asked["model"]), Plain.model_validate({"name": asked["precision"]}), options)
    for module in runner.ENGINE:
        __import__(module)
    facts = runner.load()
    theirs = Theirs(runner._loop.llm, asked["model"], asked["as_shipped"])
    length, new = asked["input"], asked["output"]

    def prompts(rows: int) -> list[list[int]]:
        return [random.choices(range(min(10_000, facts.vocab_size)), k=length) for _ in range(rows)]

    def ours(rows: int, scheduling: Literal["static", "continuous"] = "static") -> float:
        work = Workload(batch_size=rows, input_tokens=length, output_tokens=new, scheduling=scheduling)
        return offline.timed_round(runner, prompts(rows), work).step_s[-1]

    many = CONTINUOUS_ROWS * max(asked["batch"])
    for rows in asked["batch"]:
        arms: dict[str, Callable[[], float]] = {
            "ours": partial(ours, rows),
            "theirs": partial(theirs.latency, rows, length, new),
        }
        if rows == max(asked["batch"]):
            arms["ours, continuous"] = partial(ours, many, "continuous")
            arms["theirs, continuous"] = lambda: theirs.throughput(prompts(many), new)
        for number in range(asked["pairs"] + 1):
            names = list(arms)
            random.shuffle(names)
            taken = {name: arms[name]() for name in names}
            if number:  # the first is the warm-up of every arm
                out.write(json.dumps({"rows": rows, **taken}) + "\n")
    out.flush()
    os._exit(0)


class Theirs:
    """vLLM's bench tools over an engine that is there."""

    def __init__(self, llm: Any, model: str, as_shipped: bool) -> None:
        import vllm
        from vllm.benchmarks import latency, throughput

        self._latency, self._throughput, self._model = latency, throughput, model
        vllm.LLM.from_engine_args = classmethod(lambda *_: llm)
        if not as_shipped:
            make_greedy()

    def latency(self, rows: int, length: int, new: int) -> float:
        """Seconds of one batch."""
        from vllm.utils.argparse_utils import FlexibleArgumentParser

        parser = FlexibleArgumentParser()
        self._latency.add_cli_args(parser)
        with tempfile.NamedTemporaryFile(suffix=".json") as file, redirect_stdout(sys.stderr):
            words = ["--model", self._model, *lengths(rows, length, new), "--num-iters-warmup", "0", "--num-iters", "1"]
            self._latency.main(parser.parse_args([*words, "--output-json", file.name]))
            found: float = json.loads(Path(file.name).read_text())["latencies"][0]
        return found

    def throughput(self, prompts: list[list[int]], new: int) -> float:
        """Seconds of all requests."""
        from vllm.benchmarks.datasets import SampleRequest

        class NoLora:
            enable_lora = False

        requests = [SampleRequest({"prompt_token_ids": row}, len(row), new) for row in prompts]
        taken: float = self._throughput.run_vllm(requests, 1, NoLora(), False, disable_detokenize=True)[0]
        return taken


def make_greedy() -> None:
    """Whatever the bench tools ask, tokens are the likeliest ones."""
    import vllm

    plain = vllm.SamplingParams
    vllm.SamplingParams = lambda **said: plain(**{**said, "temperature": 0.0})


def lengths(rows: int, length: int, new: int) -> list[str]:
    return ["--batch-size", str(rows), "--input-len", str(length), "--output-len", str(new), "--disable-detokenize"]


def one_engine(arguments: argparse.Namespace) -> None:
    """Ask vLLM's Python for pairs, and say what they show."""
    found: dict[tuple[int, str], list[tuple[float, float]]] = {}
    asked = told(arguments)
    command = [arguments.python, __file__, "--inside", json.dumps(asked)]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=surroundings()) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            pair = json.loads(line)
            for mark in ("", ", continuous"):
                if f"ours{mark}" in pair:
                    found.setdefault((pair["rows"], mark), []).append((pair[f"ours{mark}"], pair[f"theirs{mark}"]))
        if process.wait():
            log.seek(0)
            sys.exit(f"{log.read()[-4000:]}\n{arguments.python} ended with exit code {process.returncode}")
    for (rows, mark), pairs in found.items():
        many = CONTINUOUS_ROWS * rows if mark else rows
        report(f"batch of {many}{f' by {rows}' if mark else ''}{mark}", pairs, many * arguments.output)


def whole(arguments: argparse.Namespace) -> None:
    """`bench run` and `vllm bench latency` in turn, each with a start of its own."""
    for rows in arguments.batch:
        with tempfile.TemporaryDirectory() as work:
            pairs = [(ours(arguments, rows, Path(work) / str(n)), cli(arguments, rows)) for n in range(arguments.pairs)]
        report(f"batch of {rows}, whole processes", pairs, rows * arguments.output)


def ours(arguments: argparse.Namespace, rows: int, folder: Path) -> float:
    """Seconds of one batch: the median over the rounds of one process."""
    from bench.metrics import latency
    from bench.schema import Measurement

    folder.mkdir()
    options = f"kv_cache_gib: {arguments.kv_cache_gib}, max_model_len: {most(arguments)}, max_num_seqs: {rows}"
    (folder / "c.yaml").write_text(
        f"models: {arguments.model}\nprecisions: {arguments.precision}\n"
        "replicates: 1\nsampling: {max_replicates: 1}\n"
        f"runners: [{{name: vllm, python: {arguments.python}, {options}}}]\n"
        f"protocol: {{rounds: {arguments.rounds}, max_rounds: {arguments.rounds}, memory_pass: false}}\n"
        f"workloads: {{batch_size: {rows}, input_tokens: {arguments.input}, output_tokens: {arguments.output}}}\n"
    )
    command = [sys.executable, "-m", "bench", "run", str(folder / "c.yaml"), "--out", str(folder / "out")]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    record = json.loads((folder / "out" / "records.jsonl").read_text())
    return latency.of_replicate(Measurement.model_validate(record["measurement"])).e2el_s


def cli(arguments: argparse.Namespace, rows: int) -> float:
    """The same of the command `vllm bench latency`, in the process that our runner would use."""
    from statistics import median

    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        words = [
            *("--model", checkpoint(arguments.model), "--dtype", DTYPES[arguments.precision]),
            *("--max-model-len", str(most(arguments)), "--max-num-seqs", str(rows), "--skip-tokenizer-init"),
            *("--kv-cache-memory-bytes", str(int(arguments.kv_cache_gib * 2**30)), *arguments.engine_args),
            *("--num-iters-warmup", "2", "--num-iters", str(arguments.rounds), "--output-json", file.name),
            *lengths(rows, arguments.input, arguments.output),
        ]
        asked = json.dumps({"words": words, "as_shipped": arguments.as_shipped})
        command = [arguments.python, __file__, "--their", asked]
        env = {**surroundings(), "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
        return float(median(json.loads(Path(file.name).read_text())["latencies"]))


def their(asked: dict[str, Any]) -> None:
    """Under vLLM's Python: its command, with greedy sampling unless it is to be as shipped."""
    from vllm.benchmarks import latency
    from vllm.entrypoints import llm  # noqa: F401  (what names the class in its types is imported before it is replaced)

    plain = latency.main

    def greedy(arguments: argparse.Namespace) -> None:
        make_greedy()
        plain(arguments)

    if not asked["as_shipped"]:
        latency.main = greedy
    from vllm.entrypoints.cli import main

    sys.argv = ["vllm", "bench", "latency", *asked["words"]]
    main.main()


def checkpoint(model: str) -> str:
    """The folder that vLLM's own command is given."""
    from bench.models import builtin

    name = model.partition("builtin:")[2]
    return str(builtin.ensure(name, print)) if name else model


def told(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("precision", "batch", "input", "output", "pairs", "kv_cache_gib", "as_shipped")
    return {
        **{name: getattr(arguments, name) for name in names},
        "model": checkpoint(arguments.model),
        "most": most(arguments),
    }


def most(arguments: argparse.Namespace) -> int:
    return int(arguments.input + arguments.output)


def surroundings() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}


def report(name: str, pairs: list[tuple[float, float]], tokens: int) -> None:
    from bench.metrics import statistics

    def rate(times: Iterator[float]) -> float:
        found = statistics.estimate([tokens / one for one in times])
        assert found is not None
        return found.value

    ratio = statistics.estimate([theirs / ours for ours, theirs in pairs])
    assert ratio is not None
    interval = "" if ratio.low is None else f"  [{ratio.low:.3f}, {ratio.high:.3f}]"
    print(
        f"{name:<34} ours {rate(one for one, _ in pairs):8.1f} tok/s, vllm bench {rate(one for _, one in pairs):8.1f}, "
        f"ratio {ratio.value:.3f}{interval}  n={ratio.n}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="Python of the environment where vLLM is installed")
    parser.add_argument("--whole", action="store_true", help="whole processes in turn")
    parser.add_argument("--as-shipped", action="store_true", help="leave their temperature at 1")
    parser.add_argument("--model", default="builtin:smollm2-135m", help="builtin:NAME or a folder")
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--input", type=int, default=128, help="prompt tokens a row")
    parser.add_argument("--output", type=int, default=64, help="new tokens a row")
    parser.add_argument("--pairs", type=int, default=8, help="pairs of each batch; with --whole pairs of processes")
    parser.add_argument("--rounds", type=int, default=5, help="with --whole: timed batches in each process")
    parser.add_argument("--kv-cache-gib", type=float, default=1.0)
    parser.add_argument(
        "--engine-args",
        nargs="*",
        default=["--enforce-eager", "--distributed-executor-backend", "uni"],
        help="with --whole: more of vLLM's own, so that both start alike; by default what the runner has on a CPU",
    )
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--their", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        inside(json.loads(given.inside))
    elif given.their:
        their(json.loads(given.their))
    elif not given.python:
        parser.error("--python: name the Python of the environment where vLLM is installed")
    else:
        (whole if given.whole else one_engine)(given)
