"""The JSON Schema of a config: what editors complete and check. Made from the nouns, so that it cannot drift.

It knows the runners that come with the package; those of other packages are checked by `bench run` alone.
"""

import json
from typing import Any

from pydantic import BaseModel

from bench import runners
from bench.models import catalogue
from bench.plan import precisions
from bench.plan.read import SHORTHAND
from bench.schema import (
    DEFAULT_RUNNER,
    PRECISIONS,
    CostChoices,
    Machine,
    Model,
    Protocol,
    QualityChoices,
    RunnerChoice,
    Sampling,
    Sweep,
    Traffic,
    Workload,
)
from bench.schema.precision import KV_MARK


def text() -> str:
    """The schema as JSON text."""
    return json.dumps(schema(), indent=1) + "\n"


def schema() -> dict[str, Any]:
    """A schema of draft 2020-12."""
    plain = Sweep.model_json_schema()["properties"]
    kinds = {noun.__name__: noun for noun in PRECISIONS.values()}
    sections: dict[str, Any] = {
        "models": _list([_mapping(Model)], _names([*_models()], free=True)),
        "precisions": _list([_precision(noun) for noun in kinds.values()], _names(precisions.names())),
        "runners": _list([_runner(name) for name in runners.shipped()], _names(runners.shipped(), free=True)),
        "workloads": _list([_mapping(Workload), _traffic()], None),
        "machines": _machines(),
        "protocol": _object(Protocol),
        "quality": _object(QualityChoices),
        "sampling": _object(Sampling),
        "slo": _list([{"type": "string", "description": "such as ttft_s.p99<=0.5"}], None),
        "cost": _object(CostChoices),
        "name": {"type": "string", "description": "name of the run's folder; default the file's name"},
        "replicates": plain["replicates"],
        "arms": plain["arms"],
        "timeout_s": plain["timeout_s"],
    }
    definitions = _hoisted(sections)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": definitions,
        "title": "llm-cost-bench config",
        "description": "Lists are a matrix: every combination is one cell.",
        "type": "object",
        "additionalProperties": False,
        "required": ["workloads"],
        "anyOf": [{"required": ["models", "precisions"]}, {"required": ["runners"]}],
        "properties": sections,
    }


def _hoisted(value: Any) -> dict[str, Any]:
    """Take every `$defs` out of `value`, however deep, and return them together: references are from the root."""
    found: dict[str, Any] = {}
    if isinstance(value, dict):
        for name, one in value.pop("$defs", {}).items():
            found[name] = {**one, "additionalProperties": False} if one.get("type") == "object" else one
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        found |= _hoisted(inner)
    for one in list(found.values()):
        found |= _hoisted(one)
    return found


def _models() -> list[str]:
    return [f"builtin:{name}" for name in catalogue.BUILTINS] + [f"shape:{name}" for name in catalogue.shapes()]


def _names(known: Any, free: bool = False) -> dict[str, Any]:
    names = sorted(known)
    return {"anyOf": [{"enum": names}, {"type": "string"}]} if free else {"enum": names}


def _list(mappings: list[dict[str, Any]], name: dict[str, Any] | None) -> dict[str, Any]:
    choices = [*([name] if name is not None else []), *mappings]
    item = {"anyOf": choices} if len(choices) > 1 else choices[0]
    return {"anyOf": [{"type": "array", "minItems": 1, "items": item}, item]}


def _many(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": value}


def _object(noun: type[BaseModel]) -> dict[str, Any]:
    found = noun.model_json_schema()
    found.pop("title", None)
    return {**found, "additionalProperties": False}


def _mapping(noun: type[BaseModel]) -> dict[str, Any]:
    """A mapping whose values may be lists: each is a dimension of the matrix."""
    found = _object(noun)
    for key, value in found["properties"].items():
        found["properties"][key] = {"anyOf": [value, _many(value)]}
    return found


def _precision(noun: type[BaseModel]) -> dict[str, Any]:
    """A precision, whose name may say how keys and values are kept; its `kv_cache` then need not say the format."""
    found = _mapping(noun)
    own = [name for name, kind in PRECISIONS.items() if kind is noun]
    marked = [name for name in precisions.names() if name.partition(KV_MARK)[0] in own]
    found["properties"]["name"] = {"anyOf": [{"enum": marked}, _many({"enum": marked})]}
    found.get("$defs", {}).get("KvCache", {}).pop("required", None)
    return found


def _machines() -> dict[str, Any]:
    """Kinds of machines; a name alone is an accelerator's. A mapping may leave the name out where it has one."""
    found = _object(Machine)
    found["required"] = []
    found["anyOf"] = [{"required": ["name"]}, {"required": ["accelerator"]}]
    return _list([found], {"type": "string", "description": "kind of its accelerators, or CPU"})


def _traffic() -> dict[str, Any]:
    """A load, with its shorthands."""
    found = _mapping(Traffic)
    for key, kind in (("prompts", "string"), ("shared_prefix", "number")):
        found["properties"][key] = {"anyOf": [found["properties"][key], {"type": kind}]}
    return found


def _runner(name: str) -> dict[str, Any]:
    found = _mapping(runners.find(name).Options)
    python = {} if runners.serves(runners.find(name)) else {"python": _mapping(RunnerChoice)["properties"]["python"]}
    found["properties"] = {"name": {"const": name}, **python, **found["properties"]}
    if name != DEFAULT_RUNNER:  # the default, so that its name may be left out
        found["required"] = [SHORTHAND["runners"]]
    return found
