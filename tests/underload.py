"""Runs under load against a server on loopback, without the processes above the conductor."""

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import traces
from bench.endpoint import access
from bench.loads import Vocabulary
from bench.measure.serving import conductor, process
from bench.measure.serving.orders import Command, Orders, Words
from bench.schema import (
    Allowance,
    Capabilities,
    Cell,
    Endpoint,
    Job,
    Live,
    Model,
    Request,
    RunnerChoice,
    Served,
    Serving,
    Traffic,
    Until,
    Workload,
)

QUICK = {"input_tokens": 16, "output_tokens": 8, "warmup_s": 0.2}


@dataclass
class Watched:
    """What a run told while it ran."""

    phases: list[str] = field(default_factory=list)
    live: list[Live] = field(default_factory=list)
    stop: Callable[[list[Live]], bool] = lambda _: False


def job(folder: Path, traffic: Traffic, allowance: Allowance | None = None, replicate: int = 0) -> Job:
    """A job under load whose trace is written to `folder`."""
    cell = Cell(
        model=Model(source="mock/mock"),
        precision=Served(name="served"),
        runner=RunnerChoice(name="openai"),
        workload=Workload(input_tokens=16, output_tokens=8),
        traffic=traffic,
    )
    return Job(
        cell=cell, replicate=replicate, record_id=f"cell.{replicate}.test", folder=str(folder), allowance=allowance
    )


def serve(
    folder: Path, base_url: str, traffic: Traffic, watched: Watched | None = None, **more: Any
) -> tuple[Serving, list[Request]]:
    """Run the conductor; what it returned, and every request of its trace in the order in which they were sent."""
    seen = watched or Watched()
    allowance = more.pop("allowance", None)
    served = conductor.serve(
        job(folder, traffic, allowance),
        Endpoint(base_url=base_url, **more),
        lambda name, _: seen.phases.append(name),
        seen.live.append,
        lambda: seen.stop(seen.live),
    )
    found = list(traces.read(folder / served.trace))
    return served, sorted(found, key=lambda one: (one.sent_s is None, one.sent_s or 0.0, one.index))


def traffic(load: str = "closed", duration_s: float | None = 1.0, **settings: Any) -> Traffic:
    """A short load of short requests."""
    until = Until(duration_s=duration_s, **settings.pop("until", {}))
    return Traffic(load=load, until=until, **{**QUICK, **settings})


def generate(
    folder: Path, base_url: str, load: Traffic, requests: int | None, start: Command | None = None, **more: Any
) -> list[Request]:
    """One load generator in this process, without a probe: so many requests, in the order of their index."""
    endpoint = Endpoint(base_url=base_url, **more)
    orders = Orders(
        worker=0,
        workers=1,
        traffic=load,
        vocabulary=Words.of(Vocabulary("estimate", words=[f" word{one}" for one in range(2000)])),
        endpoint=endpoint,
        base_url=base_url,
        capabilities=Capabilities(served_model="mock", usage_chunk=True, exact_length="ignore_eos"),
        model=Model(source="mock/mock"),
        replicate=0,
        folder=str(folder),
        record_id="one",
    )
    reading, writing = os.pipe()
    told, telling = os.pipe()
    try:
        start = start or Command(epoch_ns=time.perf_counter_ns(), warm_s=0.0, quota=requests, stop_s=30.0)
        os.write(writing, start.model_dump_json().encode() + b"\n")
        os.set_blocking(reading, False)
        process._generate(orders, access.target(endpoint, base_url), process.Ears(reading), process.Mouth(telling))
    finally:
        gc.unfreeze()
        gc.enable()
        for fd in (reading, writing, told, telling):
            os.close(fd)
    return sorted(traces.read(traces.part_of(folder, "one", 0)), key=lambda one: one.index)
