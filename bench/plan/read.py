"""A config file, read and checked: every mistake is one line with file, line, key and remedy."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bench import runners
from bench.errors import InputError, nearest
from bench.models import catalogue
from bench.plan import cost, interpreter, machines, precisions, quality, traffic, wording
from bench.plan.source import Loc, Source, load
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

MATRIX = ("models", "precisions", "runners", "workloads", "machines")
SCALARS = ("name", "replicates", "arms", "timeout_s", "protocol", "sampling", "quality", "slo", "cost")
SERVED = "served"
"""Model and precision of a config that names none, because an endpoint runs what it runs."""
SHORTHAND = {"models": "source", "precisions": "name", "runners": "name", "machines": "accelerator"}


T = TypeVar("T", bound=BaseModel)


def sweep(path: Path, is_here: bool = True) -> Sweep:
    """Read a config. `is_here`: whether its cells run on this machine. Raises InputError with one line for each mistake
    in it.
    """
    return Reader(load(path), is_here).sweep()


def choices(path: Path) -> CostChoices:
    """Read a file that holds a config's `cost:` alone, or the keys under it.

    Raises InputError with one line for each mistake.
    """
    reader = Reader(load(path, "write a key of a config's `cost:` into it, such as usd_per_hour: 2.50"))
    data = reader.source.data
    under = isinstance(data, dict) and list(data) == ["cost"]
    found = reader.cost(data["cost"], ("cost",)) if under else reader.cost(data, ())
    if reader.errors or found is None:
        raise InputError(*reader.errors)
    return found


class Reader:
    """Takes a file apart by its keys, and keeps one line for each mistake in `errors`."""

    def __init__(self, source: Source, is_here: bool = True) -> None:
        self.source = source
        self.is_here = is_here
        self.errors: list[str] = []

    def sweep(self) -> Sweep:
        data = self.source.data
        if not isinstance(data, dict):
            raise InputError(self.source.error((), "a config is a mapping of keys; see configs/quickstart.yaml"))
        for key in data:
            if key not in MATRIX + SCALARS:
                self._say((key,), f"unknown key; {nearest(key, MATRIX + SCALARS)}")
        data.setdefault("runners", [DEFAULT_RUNNER])
        choices = self._entries("runners", self._runner)
        if _all_serve(data["runners"]):
            data.setdefault("models", [SERVED])  # what an endpoint runs is its own affair
            data.setdefault("precisions", [SERVED])
        models = self._entries("models", self._model)
        said = len(self.errors)
        levels = self._entries("precisions", self._precision)
        all_levels = len(self.errors) == said
        parts: dict[str, Any] = {
            "models": models,
            "precisions": levels,
            "runners": choices,
            "workloads": self._entries("workloads", self._workload),
            "machines": self._entries("machines", self._machine) if data.get("machines") is not None else (),
            "slo": traffic.objectives(data["slo"], ("slo",), self._say) if data.get("slo") is not None else (),
            "protocol": self._checked(Protocol, _given(data, "protocol"), ("protocol",)),
            "sampling": self._checked(Sampling, _given(data, "sampling"), ("sampling",)),
            "quality": self._quality(data, choices),
            "cost": self.cost(_given(data, "cost"), ("cost",)),
            "name": data.get("name", self.source.path.stem),
        }
        if (
            not isinstance(parts["name"], str)
            or not parts["name"].replace("-", "").replace("_", "").replace(".", "").isalnum()
        ):
            self._say(("name",), "must be letters, digits, '-', '_' and '.' only: it names the run's folder")
        if parts["quality"] is not None and all_levels:  # the reference may be one that was misspelt
            quality.check(parts["quality"], levels, lambda at, what: self._say(("quality", *at), what))
        self._check_pairs(choices, parts["workloads"])
        machines.check_names(parts["machines"], lambda at, what: self._say(("machines", *at), what))
        traffic.check_models(choices, parts["models"], self._say)
        traffic.check_slo(choices, parts["slo"], self._say)
        if any(not runners.serves(runners.find(choice.name)) for choice in choices):
            served = {
                "models": [one.source for one in parts["models"]],
                "precisions": [p.name for p in parts["precisions"]],
            }
            for section in ("models", "precisions"):
                if any(name == SERVED or name.startswith(f"{SERVED}:") for name in served[section]):
                    self._say((section,), "served is what an endpoint runs; name one for the other runners")
        extra = {key: data[key] for key in ("replicates", "arms", "timeout_s") if key in data}
        if self.errors:
            self._checked_fields(extra)
            raise InputError(*self.errors)
        try:
            return Sweep.model_validate({**parts, **extra}, strict=True)
        except ValidationError as error:
            self._collect(Sweep, error, (), {**parts, **extra})
            raise InputError(*self.errors) from None

    def _checked_fields(self, extra: dict[str, Any]) -> None:
        """Also name mistakes in plain fields when there were others, so that one run shows them all."""
        filler = {"name": "x", "models": (), "precisions": (), "runners": (), "workloads": ()}
        try:
            Sweep.model_validate({**filler, **extra}, strict=True)
        except ValidationError as error:
            self._collect(Sweep, error, (), {**filler, **extra})

    # --- sections

    def _entries(self, section: str, read_one: Any) -> tuple[Any, ...]:
        raw = self.source.data.get(section)
        if section not in self.source.data:
            self._say((), f"{section}: missing; a config needs at least one of them")
            return ()
        entries = raw if isinstance(raw, list) else [raw]
        if not entries or raw is None:
            self._say((section,), "empty list: there would be nothing to run; name at least one")
            return ()
        found: dict[str, Any] = {}
        for index, entry in enumerate(entries):
            loc: Loc = (section, index) if isinstance(raw, list) else (section,)
            if section in SHORTHAND and not isinstance(entry, dict | list) and entry is not None:
                entry = {SHORTHAND[section]: str(entry)}
            if not isinstance(entry, dict):
                self._say(loc, "must be a name or a mapping of keys" if section in SHORTHAND else "must be a mapping")
                continue
            for point in self._product(entry, loc, _listed(entry) if section == "runners" else ()):
                item = read_one(point, loc)
                if item is not None:
                    found.setdefault(item.model_dump_json(), item)
        return tuple(found.values())

    def _product(self, entry: dict[str, Any], loc: Loc, listed: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Every combination of the listed values: `batch_size: [1, 8]` is two workloads. A value of the keys in
        `listed` is a list itself: several of them are a list of lists.
        """
        choices: list[list[tuple[str, Any]]] = []
        for key, value in entry.items():
            if isinstance(value, list):
                if not value:
                    self._say((*loc, key), "empty list: there would be nothing to run")
                    return
                is_one = key in listed and not any(isinstance(one, list) for one in value)
                choices.append([(key, one) for one in ([value] if is_one else value)])
            else:
                choices.append([(key, value)])
        for combination in itertools.product(*choices):
            yield dict(combination)

    def _model(self, point: dict[str, Any], loc: Loc) -> Model | None:
        model = self._checked(Model, point, loc)
        if model is None:
            return None
        try:
            return catalogue.checked(model, self.source.path.parent)
        except InputError as error:
            self._say((*loc, "source"), error.lines[0])
            return None

    def _precision(self, point: dict[str, Any], loc: Loc) -> Any:
        name = point.get("name")
        if name is None:
            self._say(loc, f"name: missing; known: {', '.join(PRECISIONS)}")
            return None
        point, wrong = precisions.spelt(point)
        if wrong is not None:
            self._say(loc, wrong)
            return None
        found = self._checked(PRECISIONS[point["name"]], point, loc)
        for inside, message in precisions.contradictions(found):
            self._say((*loc, *inside), message)
        return found

    def _machine(self, point: dict[str, Any], loc: Loc) -> Machine | None:
        kind = point.get("accelerator")
        point = {**({"name": kind} if isinstance(kind, str) else {}), **point}
        if kind == "CPU":
            del point["accelerator"]
        found = self._checked(Machine, point, loc)
        for inside, message in machines.contradictions(found) if found is not None else ():
            self._say((*loc, *inside), message)
        return found

    def _runner(self, point: dict[str, Any], loc: Loc) -> RunnerChoice | None:
        name = str(point.pop("name", DEFAULT_RUNNER))
        python = point.pop("python", None)
        try:
            options_type = runners.find(name).Options
        except InputError as error:
            self._say((*loc, "name"), error.lines[0])
            return None
        options = self._checked(options_type, point, loc)
        if options is None:
            return None
        is_served = runners.serves(runners.find(name))
        try:
            if python is not None and is_served:
                raise InputError("is for runners that load a model; leave it out, and name its program in server:")
            python = None if python is None else interpreter.checked(python, self.source.path.parent, self.is_here)
        except InputError as error:
            self._say((*loc, "python"), error.lines[0])
            return None
        choice = RunnerChoice(name=name, options=options.model_dump(mode="json"), python=python)
        if is_served:
            traffic.check_engine(choice.options, loc, self._say)
        return choice

    def _check_pairs(self, choices: Sequence[RunnerChoice], works: Sequence[Workload | Traffic]) -> None:
        """Every runner needs a workload that it can take, and every workload a runner."""
        for choice in choices if works else ():
            if not any(traffic.fits(choice, work) for work in works):
                need = "a workload with a `load`" if runners.serves(runners.find(choice.name)) else "a static batch"
                self._say(("runners",), f"{choice.name} needs {need}, and no workload is one")
        for work in works if choices else ():
            if not any(traffic.fits(choice, work) for choice in choices):
                need = "an endpoint; add a runner such as openai" if isinstance(work, Traffic) else "another runner"
                what = "a workload with a `load`" if isinstance(work, Traffic) else "a static batch"
                self._say(("workloads",), f"{what} needs {need}")

    def _workload(self, point: dict[str, Any], loc: Loc) -> Workload | Traffic | None:
        if traffic.is_load(point):
            load = self._checked(Traffic, traffic.spelt_out(point, self.source.path.parent), loc)
            return None if load is None else traffic.check(load, loc, self._say)
        work = self._checked(Workload, point, loc)
        if work is not None and work.cached_tokens >= work.input_tokens:
            what = f"must be less than input_tokens (got {work.cached_tokens} of {work.input_tokens})"
            self._say((*loc, "cached_tokens"), f"{what}: a prompt that is wholly cached leaves nothing to compute")
            return None
        if work is not None and work.cached_tokens and work.scheduling == "continuous":
            self._say((*loc, "cached_tokens"), "not with scheduling: continuous, whose rows begin one after another")
            return None
        return work

    def _quality(self, data: dict[str, Any], choices: Sequence[RunnerChoice]) -> QualityChoices | None:
        """The quality passes that are wanted; none where the section is left out."""
        if "quality" not in data:
            return None
        loc: Loc = ("quality",)
        raw = data["quality"]
        if raw is None or isinstance(raw, bool):
            self._say(loc, "must be a mapping of keys; write quality: {} for the defaults, or leave the key out")
            return None
        if choices and all(runners.serves(runners.find(choice.name)) for choice in choices):
            self._say(loc, "an endpoint's weights cannot be scored; leave the key out, or add a runner that loads them")
            return None
        said = list(quality.contradictions(raw))
        for at, what in said:
            self._say((*loc, *at), what)
        return None if said else self._checked(QualityChoices, quality.spelt(raw, self.source.path.parent), loc)

    def cost(self, raw: Any, loc: Loc) -> CostChoices | None:
        """Choices of cost that stand at `loc` in the file."""
        if isinstance(raw, dict) and raw.get("apis") == []:
            self._say((*loc, "apis"), "empty list: name at least one, or leave the key out for the defaults")
            return None
        choices = self._checked(CostChoices, cost.listed(raw), loc)
        if choices is None:
            return None
        folder = self.source.path.parent
        choices = choices.model_copy(
            update={
                key: tuple(str((folder / one).resolve()) for one in getattr(choices, key))
                for key in ("api_price_files", "hardware_price_files")
            }
        )
        for inside, message in cost.contradictions(choices):
            self._say((*loc, *inside), message)
        cost.check(choices, lambda inside, message: self._say((*loc, *inside), message))
        return choices

    # --- errors

    def _say(self, loc: Loc, message: str) -> None:
        line = self.source.error(loc, message)
        if line not in self.errors:
            self.errors.append(line)

    def _checked(self, noun: type[T], value: Any, loc: Loc) -> T | None:
        if not isinstance(value, dict):
            self._say(loc, "must be a mapping of keys")
            return None
        try:
            return noun.model_validate(value, extra="forbid", strict=True)
        except ValidationError as error:
            self._collect(noun, error, loc, value)
            return None

    def _collect(self, noun: type[BaseModel], error: ValidationError, loc: Loc, value: Any) -> None:
        """One line for each key, however many alternatives of its type refused the value."""
        against: dict[Loc, list[str]] = {}
        found = [(_in_file(problem, value), problem) for problem in wording.telling(error.errors())]
        for inside, problem in found:
            deeper = any(other[: len(inside)] == inside and len(other) > len(inside) for other, _ in found)
            if deeper and isinstance(problem["input"], dict):
                continue  # a mapping was meant, and what is wrong inside of it is said
            if problem["type"] == "extra_forbidden":
                owner = _noun_at(noun, problem["loc"][:-1])
                text = f"unknown key; {_instead(str(problem['loc'][-1]), owner)}"
            elif problem["type"] == "missing":
                field = _noun_at(noun, problem["loc"][:-1]).model_fields.get(str(problem["loc"][-1]))
                known = [one for one in get_args(field.annotation if field else None) if isinstance(one, str)]
                text = f"missing; one of {', '.join(known)}" if known else "missing"
            else:
                got = problem["input"]
                shown = "" if isinstance(got, dict | list | BaseModel) else f" (got {got!r})"
                text = f"{wording.plain(problem)}{shown}{wording.remedy(problem)}"
            texts = against.setdefault((*loc, *inside), [])
            if text not in texts:
                texts.append(text)
        for where, texts in against.items():
            self._say(where, ", or ".join(texts))


def _instead(key: str, owner: type[BaseModel]) -> str:
    """What to do about a key that `owner` has not: it may be one of a noun inside of it."""
    for name, field in owner.model_fields.items():
        if any(key in inner.model_fields for inner in _nouns_in(field.annotation)):
            return f"it stands inside of {name}, as in {name}: {{{key}: …}}"
    return nearest(key, owner.model_fields)


def _in_file(problem: Mapping[str, Any], value: Any) -> Loc:
    """Where a mistake is in what a person wrote: pydantic puts the names of a type's alternatives between the keys."""
    kept: list[str | int] = []
    parts = problem["loc"]
    for at, part in enumerate(parts):
        if part in (range(len(value)) if isinstance(value, list | tuple) else value if isinstance(value, dict) else ()):
            value = value[part]
            kept.append(part)
        elif at == len(parts) - 1 and problem["type"] == "missing":
            kept.append(part)
    return tuple(kept)


def _all_serve(raw: Any) -> bool:
    """Whether every runner that a config names is an endpoint, whatever else is wrong with it."""
    entries = raw if isinstance(raw, list) else [raw]
    names = [entry.get("name", DEFAULT_RUNNER) if isinstance(entry, dict) else entry for entry in entries]
    known = [name for name in names if isinstance(name, str) and name in runners.names()]
    return bool(known) and len(known) == len(names) and all(runners.serves(runners.find(name)) for name in known)


def _given(data: dict[str, Any], key: str) -> Any:
    return {} if data.get(key) is None else data[key]


def _noun_at(noun: type[BaseModel], loc: Loc) -> type[BaseModel]:
    """The noun whose keys stand at `loc` inside `noun`."""
    for part in loc:
        if isinstance(part, str) and part in noun.model_fields:
            for candidate in _nouns_in(noun.model_fields[part].annotation):
                noun = candidate
                break
    return noun


def _nouns_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, tuple, list, dict):
        for part in get_args(annotation):
            yield from _nouns_in(part)


def _listed(entry: Mapping[str, Any]) -> list[str]:
    """Options of a runner that take a list, such as shares of several GPUs."""
    try:
        fields = runners.find(str(entry.get("name", DEFAULT_RUNNER))).Options.model_fields
    except InputError:
        return []
    kinds = {key: (field.annotation, *get_args(field.annotation)) for key, field in fields.items()}
    return [key for key, kind in kinds.items() if any(get_origin(one) in (tuple, list) for one in kind)]
