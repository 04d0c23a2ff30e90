"""`python -m bench.selftest.observer_child FILE`: rounds with and without readings, timed, written to FILE as JSON.

Reads a `Watch` as JSON from standard input. Each arm is the same generation on the same loaded runner: `alone` with the
stamps only, `readings` as a timed round has them around it (PSI, steal, switches, CPU time), `sampler` with the memory
sampler's thread beside it. The figure of an arm is the time between the two clock readings that a record would hold.
"""

import gc
import os
import random
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from bench import runners
from bench.measure import offline
from bench.selftest.observer import Seen, Watch
from bench.sensors import edges
from bench.sensors.memory import MemorySampler

EDGE_READINGS = 5


def main(out: Path) -> None:
    """Watch and write."""
    asked = Watch.model_validate_json(sys.stdin.read())
    out.with_suffix(".part").write_text(watch(asked).model_dump_json(), encoding="utf-8")
    out.with_suffix(".part").rename(out)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # an engine's exit hooks can hang


def watch(asked: Watch) -> Seen:
    """Load once, run every arm once untimed, then pairs in random order."""
    cell = asked.cell
    kind = runners.find(cell.runner.name)
    runner = kind(cell.model, cell.precision, kind.Options.model_validate(cell.runner.options))
    for module in runner.ENGINE:
        import_module(module)
    facts = runner.load()
    devices = tuple(sorted(place for place in facts.placement if place.startswith("cuda")))
    prompts = offline.Prompts(cell, 0, facts.vocab_size)
    new = cell.workload.output_tokens
    seen = Seen(alone_s=[], readings_s=[], sampler_s=[], around_s=[], edges_s=[])

    def alone() -> None:
        drawn, stamps = prompts.next(), offline.Stamps()
        start = time.perf_counter_ns()
        runner.generate(drawn, new, stamps.on_step)
        seen.alone_s.append((time.perf_counter_ns() - start) / 1e9)

    def readings() -> None:
        drawn = prompts.next()
        start = time.perf_counter_ns()
        one = offline.timed_round(runner, drawn, cell.workload)
        seen.around_s.append((time.perf_counter_ns() - start) / 1e9 - one.done_s)
        seen.readings_s.append(one.done_s)
        if one.stalled_s is not None:
            seen.stalled.append(one.stalled_s / one.done_s)

    def sampler() -> None:
        with MemorySampler(devices):
            seen.sampler_s.append(offline.timed_round(runner, prompts.next(), cell.workload).done_s)

    arms: list[Callable[[], None]] = [alone, readings, sampler]
    for number in range(asked.pairs + 1):
        random.shuffle(arms)
        for arm in arms:
            arm()
        if number == 0:  # first generation and warm-up
            for times in (seen.alone_s, seen.readings_s, seen.sampler_s, seen.around_s, seen.stalled):
                times.clear()
            gc.collect()
    for _ in range(EDGE_READINGS):
        start = time.perf_counter_ns()
        edges.read(devices)
        seen.edges_s.append((time.perf_counter_ns() - start) / 1e9)
    return seen


if __name__ == "__main__":
    main(Path(sys.argv[1]))
