"""How much of the memory's speed llama.cpp's decode reaches on this machine, and where the rest goes.

    .venv/bin/python scripts/decode_bandwidth.py                       # the built-in model and a 1B shape (10 minutes)
    .venv/bin/python scripts/decode_bandwidth.py builtin:smollm2-135m/q8_0 shape:llama-3.2-1b/bf16 --library BUILD/bin

Three tables, of batch 1 and short turns in random order, the best of each (a neighbour only ever slows one down):

1. for each model and precision the decode step, the bytes that it must read (`bench/metrics/roofline.py`: every weight
   but an untied input table, and the keys and values), and their share of the read bandwidth that `bench hardware`
   measured: MBU. Run that first, on the same quiet machine;
2. a fit over all of them: step = a · layers + bytes / b. What a layer costs however few bytes it has (barriers of the
   threads, norms, rope, attention, one small graph node after the other), and the bandwidth that the products reach;
3. with `--profile`, of each: nodes of the graph by kind, each computed alone and timed from outside, the best step of
   each kind. That adds a start of the threads to every node, so what is not a product looks larger than it is.
"""

import argparse
import ctypes
import random
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.hardware import stored
from bench.metrics import footprint, roofline
from bench.runners.llama_cpp import LlamaCppRunner
from bench.runners.llama_cpp.engine import Context
from bench.runners.llama_cpp.library import OnTensor
from bench.runners.llama_cpp.options import Options
from bench.schema import PRECISIONS, Model, ModelFacts, Precision, Workload
from bench.sensors import environment

LEVELS = ("fp32", "bf16", "q8_0", "q4_1", "q4_0")
DEFAULT = (
    *(f"builtin:smollm2-135m/{level}" for level in LEVELS),
    *(f"shape:llama-3.2-1b/{level}" for level in ("bf16", "q8_0", "q4_0")),
)
PROMPT = 32


class Level:
    """One model at one precision, loaded."""

    def __init__(self, said: str, options: Options) -> None:
        source, _, name = said.rpartition("/")
        if name not in PRECISIONS:
            sys.exit(f"{said}: write MODEL/PRECISION, such as builtin:smollm2-135m/q8_0")
        path = Path(source)
        model = Model(source=str(path.resolve()) if path.is_file() else source)
        self.said = said
        self.precision: Precision = PRECISIONS[name](name=name)  # type: ignore[assignment]
        self.runner = LlamaCppRunner(model, self.precision, options)
        self.runner.prepare()
        self.facts: ModelFacts = self.runner.load()
        self.best_s = float("inf")

    def turn(self, steps: int) -> None:
        """The shortest step of a generation: after an untimed one, as the caches are another level's."""
        stamps: list[float] = []
        prompt = [[random.randrange(self.facts.vocab_size) for _ in range(PROMPT)]]
        self.runner.generate(prompt, steps + 1, lambda _: stamps.append(time.perf_counter()))
        self.best_s = min(self.best_s, float(np.diff(stamps).min()))

    def step_bytes(self, steps: int) -> float:
        of = footprint.shape(self.facts.config)
        assert of is not None, "an architecture whose sizes are not known"
        work = Workload(input_tokens=PROMPT, output_tokens=steps)
        return roofline.work(of, self.facts, self.precision, work).step_bytes

    def profile(self, steps: int) -> dict[str, float]:
        """Kind of node → seconds a step, each node computed alone."""
        model = self.runner._loaded()
        describe = model.library.call.ggml_op_desc
        describe.restype, describe.argtypes = ctypes.c_char_p, (ctypes.c_void_p,)
        spent: defaultdict[str, float] = defaultdict(float)
        each: list[dict[str, float]] = []
        begun = 0.0

        def on_tensor(tensor: int, asks: bool, _: object) -> bool:
            nonlocal begun
            now = time.perf_counter()
            if not asks:
                spent[describe(tensor).decode()] += now - begun
            begun = time.perf_counter()
            return True

        callback = OnTensor(on_tensor)
        context = Context(model, 1, PROMPT + steps + 1, "f16", self.facts.threads or 1, on_tensor=callback)
        last = context.read(np.zeros((1, PROMPT), np.int32), 0)
        for step in range(steps):
            spent.clear()
            last = context.step(last, PROMPT + step)
            each.append(dict(spent))
        context.close()
        best = {kind: min(one.get(kind, 0.0) for one in each) for kind in each[-1]}
        return dict(sorted(best.items(), key=lambda one: -one[1]))


def fit(levels: list[Level], steps: int) -> tuple[float, float]:
    """Seconds a layer whatever its bytes, and bytes a second: least squares of the relative error."""
    rows = [(one.facts.config["num_hidden_layers"], one.step_bytes(steps), one.best_s) for one in levels]
    matrix = np.array([(layers / seconds, size / seconds) for layers, size, seconds in rows])
    per_layer, per_byte = np.linalg.lstsq(matrix, np.ones(len(rows)), rcond=None)[0]
    return float(per_layer), 1.0 / float(per_byte)


def main(arguments: argparse.Namespace) -> None:
    known = stored.load(environment.detect().hardware(), lambda text: print(text, file=sys.stderr))
    if known is None or not known.devices[0].read_bytes_per_s:
        sys.exit("the read bandwidth of this machine is not known: run `bench hardware` first")
    read = known.devices[0].read_bytes_per_s
    options = Options(threads=arguments.threads, library=arguments.library, mmap=False if arguments.no_mmap else None)
    levels = [Level(said, options) for said in arguments.levels]
    for _ in range(arguments.rounds):
        for level in random.sample(levels, len(levels)):
            level.turn(arguments.steps)
    print(f"{levels[0].facts.notes[0]}, {levels[0].facts.threads} threads; {levels[0].facts.kernel}")
    print(f"read bandwidth {read / 1e9:.1f} GB/s, measured at {known.measured_at}\n")
    print("| model and precision | layers | bytes a step, MB | step, ms | GB/s | MBU |\n|---|---|---|---|---|---|")
    for one in levels:
        size = one.step_bytes(arguments.steps)
        rate = size / one.best_s
        layers = one.facts.config["num_hidden_layers"]
        cells = f"{layers} | {size / 1e6:.0f} | {one.best_s * 1e3:.2f} | {rate / 1e9:.1f} | {rate / read:.0%}"
        print(f"| {one.said} | {cells} |")
    groups: dict[str, list[Level]] = defaultdict(list)
    for one in levels:
        groups[one.precision.name].append(one)
    fits = {"all": levels} | {name: own for name, own in groups.items() if len(own) > 1}
    print()
    for name, own in fits.items():
        if len(own) > 1:
            per_layer, speed = fit(own, arguments.steps)
            share = f"{speed / 1e9:.1f} GB/s = {speed / read:.0%}"
            print(f"fit over {name}: {per_layer * 1e6:.0f} µs a layer + bytes at {share}")
    for one in levels if arguments.profile else ():
        spent: dict[str, Any] = one.profile(arguments.steps)
        whole = sum(spent.values())
        shares = ", ".join(f"{kind} {seconds / whole:.0%}" for kind, seconds in list(spent.items())[:6])
        print(f"\n{one.said}: nodes alone {whole * 1e3:.2f} ms of a step of {one.best_s * 1e3:.2f} ms: {shares}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("levels", nargs="*", default=DEFAULT, metavar="MODEL/PRECISION")
    parser.add_argument("--library", help="a build of your own: its folder with libllama.so")
    parser.add_argument("--no-mmap", action="store_true", help="read the file into memory of the process's own")
    parser.add_argument("--threads", type=int, default=environment.usable_cpus())
    parser.add_argument("--steps", type=int, default=24, help="decode steps a turn")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each level")
    parser.add_argument("--profile", action="store_true", help="nodes of the graph by kind")
    main(parser.parse_args())
