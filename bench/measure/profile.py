"""Which operators the time of a cell goes to. In a process of its own: a profiler slows what it watches."""

import importlib

from bench.errors import UnsupportedError
from bench.measure.offline import Announce, Prompts
from bench.runners import KeepsPrefix, Profiles, Runner
from bench.schema import Job, Profile

MOST_TOKENS = 9
"""A prefill and eight decode steps: they are alike, and each costs the profiler some ten thousand events."""


def profile(job: Job, runner: Runner, announce: Announce) -> Profile:
    """Load, generate once to be warm on the same shapes, and generate under the runner's profiler.

    Raises UnsupportedError where the runner has no profiler, and whatever the runner raises.
    """
    cell = job.cell
    if not isinstance(runner, Profiles):
        raise UnsupportedError(
            f"the runner {cell.runner.name} cannot say which operators its time goes to",
            "leave --explain out, or use a runner with a profiler (transformers)",
        )
    announce("loading", None)
    for module in runner.ENGINE:
        importlib.import_module(module)
    facts = runner.load()
    draw = Prompts(cell, job.replicate, facts.vocab_size)
    work = cell.workload
    new_tokens = min(work.output_tokens, MOST_TOKENS)

    def drawn() -> list[list[int]]:
        prompts = draw.next()
        if work.cached_tokens and isinstance(runner, KeepsPrefix):
            runner.keep_prefix(prompts, work.cached_tokens)
        return prompts

    announce("first generation", None)
    runner.generate(drawn(), new_tokens, lambda _: None)
    announce("profiling", None)
    return runner.profile(drawn(), new_tokens, facts)
