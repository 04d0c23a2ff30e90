"""Workloads that are a load, and the objectives it is held to, as they stand in a config."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench import runners
from bench.errors import InputError, nearest
from bench.load import plan as load_plan
from bench.metrics.serving import slo
from bench.plan.source import Loc
from bench.schema import Cell, RunnerChoice, Slo, Traffic, Workload
from bench.servers import engines

OWN_KEYS = frozenset(Traffic.model_fields) - frozenset(Workload.model_fields)
"""Keys that only a load has: an entry with one of them is a load, whatever else it lacks."""

SHORTHAND = {"prompts": "file", "shared_prefix": "hit_rate"}
"""A plain value stands for a mapping with this one key."""

Say = Callable[[Loc, str], None]


def is_load(point: Mapping[str, Any]) -> bool:
    """Whether an entry of `workloads` describes a load and not a static batch."""
    return not OWN_KEYS.isdisjoint(point)


def spelt_out(point: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """The entry with its shorthands written out, and its files found from the config's folder."""
    found = dict(point)
    for key, name in SHORTHAND.items():
        if key in found and not isinstance(found[key], dict):
            found[key] = {name: found[key]}
    prompts = found.get("prompts")
    if isinstance(prompts, dict) and isinstance(prompts.get("file"), str) and prompts["file"]:
        found["prompts"] = {**prompts, "file": str((base / prompts["file"]).resolve())}
    if isinstance(found.get("trace"), str) and found["trace"]:
        found["trace"] = str((base / found["trace"]).resolve())
    return found


def check(traffic: Traffic, loc: Loc, say: Say) -> Traffic | None:
    """The load, or None where its keys contradict each other or a file of it cannot be read; each mistake is said."""
    problems = load_plan.problems(traffic)
    for key, message in problems:
        say((*loc, *key.split(".")), message)
    if problems:
        return None
    try:
        load_plan.nominal(traffic)
    except InputError as error:
        say((*loc, "trace" if traffic.trace is not None else "prompts"), error.lines[0])
        return None
    return traffic


def objectives(raw: object, loc: Loc, say: Say) -> tuple[Slo, ...]:
    """`slo:`, a text such as "ttft_s.p99<=0.5" or a list of them."""
    found: list[Slo] = []
    entries = raw if isinstance(raw, list) else [raw]
    for index, entry in enumerate(entries):
        at: Loc = (*loc, index) if isinstance(raw, list) else loc
        if not isinstance(entry, str):
            say(at, f'must be a text such as "ttft_s.p99<=0.5" (got {entry!r})')
            continue
        try:
            found.append(slo.parse(entry))
        except InputError as error:
            say(at, error.lines[0])
    return tuple(found)


def nominal(traffic: Traffic) -> Workload:
    """The mean lengths of a load, as what stands under `in` and `out` of a table."""
    input_tokens, output_tokens = load_plan.nominal(traffic)
    return Workload(batch_size=1, input_tokens=max(1, input_tokens), output_tokens=max(1, output_tokens))


def fits(choice: RunnerChoice, work: Workload | Traffic) -> bool:
    """A load needs an endpoint, and a static batch an engine in this process."""
    return runners.serves(runners.find(choice.name)) == isinstance(work, Traffic)


def check_engine(options: Mapping[str, Any], loc: Loc, say: Say) -> None:
    """Say that nobody knows how to start the engine that an endpoint names."""
    server = options.get("server")
    if server is not None and server["engine"] not in engines.ENGINES:
        known = nearest(server["engine"], engines.ENGINES)
        say((*loc, "server", "engine"), f"unknown engine {server['engine']!r}; {known}")


def level(cell: Cell) -> float | None:
    """Requests per second, or streams at once of a closed loop; None of a trace, and of a cell that is no load."""
    if cell.traffic is None:
        return None
    return cell.traffic.requests_per_s if cell.traffic.load != "closed" else cell.traffic.concurrency
