"""The JSON Schema of a suite, for editors; made from its nouns, so that it cannot drift."""

import json
from typing import Any

from bench.plan.suite import KEY, Budget, Entry
from bench.schema import CostChoices


def text() -> str:
    """The schema as JSON text."""
    return json.dumps(schema(), indent=1) + "\n"


def schema() -> dict[str, Any]:
    """A schema of draft 2020-12."""
    budget, entry, cost = (noun.model_json_schema() for noun in (Budget, Entry, CostChoices))
    definitions = {name: {**one, "additionalProperties": False} for name, one in cost.pop("$defs", {}).items()}
    for one in (budget, entry, cost):
        one["additionalProperties"] = False
        one.pop("title")
    entry["properties"]["cost"] = {"$ref": "#/$defs/cost", "description": "over the suite's and the config's own"}
    path = entry["properties"]["config"]
    one_of = {"anyOf": [path, entry]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {**definitions, "cost": cost},
        "title": "llm-cost-bench suite",
        "description": "Many configs, one after the other, within one budget.",
        "type": "object",
        "additionalProperties": False,
        "required": [KEY],
        "properties": {
            "name": {"type": "string", "description": "name of the suite's folder; default the file's name"},
            KEY: {"anyOf": [{"type": "array", "minItems": 1, "items": one_of}, one_of]},
            "budget": budget,
            "cost": {"$ref": "#/$defs/cost", "description": "as in a config, for all members"},
        },
    }
