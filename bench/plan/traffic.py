"""Workloads that are a load, and the objectives it is held to, as they stand in a config."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import runners
from bench.errors import InputError, nearest
from bench.loads import plan as load_plan
from bench.metrics.serving import slo
from bench.plan.source import Loc
from bench.schema import Cell, Model, RunnerChoice, Slo, Traffic, Workload
from bench.servers import command, commands, engines

OWN_KEYS = frozenset(Traffic.model_fields) - frozenset(Workload.model_fields)
"""Keys that only a load has: an entry with one of them is a load, whatever else it lacks."""

SHORTHAND = {"prompts": "file", "shared_prefix": "hit_rate"}
"""A plain value stands for a mapping with this one key."""

Say = Callable[[Loc, str], None]

LONGEST_S = 30 * 24 * 3600
MOST = {"until.requests": 10**9, "shared_prefix.pool": 10**6, "burst_size": 10**6, "max_in_flight": 10**6}
SECONDS = ("warmup_s", "think_time_s", "until.duration_s", "ramp.over_s")
"""Beyond these, a number is a slip, and clocks and tables overflow."""


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
    if isinstance(prompts, dict):
        found["prompts"] = {**prompts, "file": _path(prompts.get("file"), base)} if "file" in prompts else prompts
    if "trace" in found:
        found["trace"] = _path(found["trace"], base)
    return found


def _path(written: Any, base: Path) -> Any:
    """A path as seen from `base`; what is none is left for the checks to refuse."""
    if not isinstance(written, str) or not written or "\0" in written:
        return written
    return str((base / written).resolve())


def check(traffic: Traffic, loc: Loc, say: Say) -> Traffic | None:
    """The load, or None where its keys contradict each other or a file of it cannot be read; each mistake is said."""
    problems = [*load_plan.problems(traffic), *_too_much(traffic)]
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


def _too_much(traffic: Traffic) -> Iterator[tuple[str, str]]:
    """Numbers that no run can mean, as (key, message)."""
    values = traffic.model_dump()
    for key, path in (("prompts.file", traffic.prompts and traffic.prompts.file), ("trace", traffic.trace)):
        if path is not None and "\0" in path:
            yield key, "holds a character that no path can have; write the name of a file"
    for key, most in [*((key, LONGEST_S) for key in SECONDS), *MOST.items()]:
        owner, _, name = key.rpartition(".")
        number = (values[owner] or {}).get(name) if owner else values[name]
        if number is not None and number > most:
            unit = f"{most} s (30 days)" if key in SECONDS else f"{most:,}"
            yield key, f"set {unit} or less (got {number:g})"
    for key in ("requests_per_s", "speed"):
        if values[key] is not None and values[key] < 1 / LONGEST_S:
            yield key, f"so slow that nothing would come for 30 days (got {values[key]:g}); set more"


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
    """Say that nobody knows how to start what an endpoint names."""
    server = options.get("server")
    if server is None:
        return
    if server["engine"] not in engines.ENGINES:
        known = nearest(server["engine"], engines.ENGINES)
        say((*loc, "server", "engine"), f"unknown engine {server['engine']!r}; {known}")
    elif server["engine"] == command.ENGINE.name and not commands.is_whole(server["command"]):
        example = '[my-server, --port, "{port}"]'
        say((*loc, "server", "command"), f"must be a whole command with {{port}} in it, such as {example}")
    elif not commands.is_whole(server["command"]):
        for word in server["args"]:
            if word.partition("=")[0] in ("--port", "--host", "--hostname"):
                what = f"{word} is chosen by the run, which would wait at another address; leave it out"
                say((*loc, "server", "args"), f"{what}, or name a server that runs already with base_url")


def check_models(choices: Sequence[RunnerChoice], models: Sequence[Model], say: Say) -> None:
    """Say that an engine which the run starts is given no model to serve."""
    unnamed = [one.source for one in models if one.source.split(":")[0] == "served"]
    for choice in choices:
        server = choice.options.get("server")
        if server is None or commands.is_whole(server["command"]) or server["engine"] == command.ENGINE.name:
            continue
        if unnamed:
            what = f"{unnamed[0]} names no weights, and this run is to start {server['engine']}"
            say(("models",), f"{what}; name a folder, a hub id, a GGUF file or builtin:smollm2-135m")


def check_slo(choices: Sequence[RunnerChoice], slo: Sequence[Slo], say: Say) -> None:
    """Say of an objective that nothing here can tell whether it is met: a whole answer has no first token."""
    whole = [choice for choice in choices if choice.options.get("stream") is False]
    if whole and len(whole) == len(choices):
        for index, one in enumerate(slo):
            if one.metric != "e2el_s":
                say(("slo", index), f"{one.text()}: without streaming there is only e2el; leave out stream: false")


def level(cell: Cell) -> float | None:
    """Requests per second, or streams at once of a closed loop; None of a trace, and of a cell that is no load."""
    if cell.traffic is None:
        return None
    return cell.traffic.requests_per_s if cell.traffic.load != "closed" else cell.traffic.concurrency
