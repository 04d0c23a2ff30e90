"""Is the runner `llama.cpp` as fast as llama.cpp's own bench tool? Both in one interleaved run, on the same files.

    .venv/bin/python scripts/compare_llama_bench.py BUILD/bin/llama-bench FILE.gguf … [--library BUILD/bin] [--wheel]

`llama-bench` measures a prompt of S tokens (`-p S`) and generating N tokens after S others (`-n N -d S`). Ours
is one generation of N + 1 tokens after a prompt of S: its first stamp is the prompt, and the N steps after it read
the same positions S … S + N − 1. With `--library` the runner uses the same build as the tool, so that a ratio is the
runner's own doing; `--wheel` adds the build inside the wheel, for information. Batch 1, the same threads.

Turns are short and in random order, because engines with barriers collapse beside a busy neighbour. Each starts with
an untimed pass, as the tool's own does, and is the median of `REPEATS`: the first after a process has begun is slow.
A ratio above 1 means that the runner is faster. The interval is Student's t over the logarithms of paired turns; the
bests are the fastest turn of each, which a neighbour moves least.
"""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.measure import offline
from bench.metrics import statistics
from bench.runners.llama_cpp import LlamaCppRunner
from bench.runners.llama_cpp.options import Options
from bench.schema import Cell, Checkpoint, Model, RunnerChoice, Workload
from bench.sensors import environment

PHASES = ("prompt", "generation")
CLOSE = 0.03
REPEATS = 5

Rates = tuple[float, float]
"""Tokens a second of the prompt, and of the generation."""


class Runner:
    """Our runner with one file loaded."""

    def __init__(self, file: Path, library: str | None, threads: int, prompt: int, new: int) -> None:
        model, level = Model(source=str(file.resolve())), Checkpoint(name="checkpoint")
        work = Workload(input_tokens=prompt, output_tokens=new + 1)
        self._runner = LlamaCppRunner(model, level, Options(library=library, threads=threads))
        self.facts = self._runner.load()
        cell = Cell(model=model, precision=level, runner=RunnerChoice(name="llama.cpp"), workload=work)
        self._prompts, self._work = offline.Prompts(cell, 0, self.facts.vocab_size), work

    def turn(self) -> Rates:
        self._runner.generate(self._prompts.next(), 2, lambda _: None)
        done = [offline.timed_round(self._runner, self._prompts.next(), self._work) for _ in range(REPEATS)]
        prompt_s = median(one.step_s[0] for one in done)
        decode_s = median(one.step_s[-1] - one.step_s[0] for one in done)
        return self._work.input_tokens / prompt_s, (self._work.output_tokens - 1) / decode_s


def tool(binary: Path, file: Path, threads: int, prompt: int, new: int) -> Rates:
    """llama-bench's two tests, each after its own warm-up."""

    def rate(*arguments: object) -> float:
        words = [binary, "-m", file, "-t", threads, "-r", REPEATS, "-o", "json", *arguments]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"llama-bench failed: {done.stderr.strip()[-400:]}")
        (found,) = json.loads(done.stdout)
        return float(median(found["samples_ts"]))

    return rate("-p", prompt, "-n", 0), rate("-p", 0, "-n", new, "-d", prompt)


def compare(file: Path, arguments: argparse.Namespace) -> None:
    sizes = arguments.threads, arguments.prompt, arguments.new
    ours = Runner(file, arguments.library, *sizes)
    arms: dict[str, Callable[[], Rates]] = {
        "llama-bench": lambda: tool(arguments.llama_bench, file, *sizes),
        "runner": ours.turn,
    }
    builds = {"runner": ours.facts.notes}
    if arguments.wheel:
        wheel = Runner(file, None, *sizes)
        arms["wheel"], builds["wheel"] = wheel.turn, wheel.facts.notes
    found: dict[str, list[Rates]] = {name: [] for name in arms}
    for _ in range(arguments.rounds):
        for name in random.sample(list(arms), len(arms)):
            found[name].append(arms[name]())
    lengths = f"{arguments.prompt} in, {arguments.new} new, {arguments.threads} threads"
    print(f"\n{file.name}: {lengths}, n = {arguments.rounds}")
    for name, notes in builds.items():
        print(f"  {name}: {'; '.join(notes)}")
    for index, phase in enumerate(PHASES):
        theirs = [one[index] for one in found["llama-bench"]]
        print(f"  {phase:<10} llama-bench      {median(theirs):8.1f} tok/s, best {max(theirs):8.1f}")
        for name in builds:
            own = [one[index] for one in found[name]]
            ratio = statistics.estimate([a / b for a, b in zip(own, theirs, strict=True)])
            assert ratio is not None
            interval = "" if ratio.low is None else f" [{ratio.low:.3f}, {ratio.high:.3f}]"
            by_median, by_best = median(own) / median(theirs), max(own) / max(theirs)
            close = "within" if abs(by_median - 1) <= CLOSE else "not within"
            rates = f"{median(own):8.1f} tok/s, best {max(own):8.1f}"
            ratios = (
                f"of medians {by_median:.3f} ({close} 3 %), of bests {by_best:.3f}, paired {ratio.value:.3f}{interval}"
            )
            print(f"  {'':<10} {name:<16} {rates}; ratio {ratios}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llama_bench", type=Path, help="llama.cpp's llama-bench")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.gguf")
    parser.add_argument("--library", help="the tool's own build: its folder with libllama.so")
    parser.add_argument("--wheel", action="store_true", help="measure the build inside the wheel too")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--threads", type=int, default=environment.usable_cpus())
    parser.add_argument("--rounds", type=int, default=8)
    given = parser.parse_args()
    for one in given.files:
        compare(one, given)
