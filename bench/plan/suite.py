"""A suite: a YAML file that names many configs, what they may take together, and choices of cost for all of them.

It is told from a config by its key `configs`. Every mistake is one line with file, line, key and remedy, those of its
members among them.
"""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from bench.errors import InputError, nearest
from bench.plan.read import Reader
from bench.plan.read import sweep as read_config
from bench.plan.source import Loc, load
from bench.schema import CostChoices, Noun, Sampling, Sweep

KEY = "configs"
KEYS = ("name", KEY, "budget", "cost")
_BEFORE_KEY = 10_000
"""Events after which nobody writes the first mention of `configs`: a matrix that is written out is no suite."""


class Budget(Noun):
    """What all members may take together, over all sessions. None: no limit."""

    hours: float | None = Field(
        None, gt=0, le=1e6, allow_inf_nan=False, description="of the machine's time, loading and reporting included"
    )
    usd: float | None = Field(
        None, gt=0, le=1e9, allow_inf_nan=False, description="the hours at the machine's price, and what endpoints bill"
    )


class Entry(Noun):
    """One member, as a suite's file names it."""

    config: str = Field(min_length=1, description="path of a config, relative to the suite's file")
    name: str | None = Field(None, description="name of its folder; default: the config's own name")
    target: float | None = Field(None, gt=0, lt=1, description="in the place of the config's sampling.target")
    budget_s: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="in the place of the config's sampling.budget_s: of one cell"
    )


@dataclass(frozen=True)
class Part:
    """A member, read and checked; in its sweep the suite's choices stand over the config's."""

    name: str
    config: Path
    sweep: Sweep
    target: float | None = None
    budget_s: float | None = None


@dataclass(frozen=True)
class Suite:
    """A suite, read and checked; the members in the order in which they run."""

    name: str
    path: Path
    parts: tuple[Part, ...]
    budget: Budget


def is_one(path: Path) -> bool:
    """Whether a file is a suite: a mapping with the key `configs`. What cannot be read is none; who reads it as a
    config says what is wrong with it.
    """
    try:
        if not path.is_file():  # a pipe can be read only once
            return False
        depth, is_key = 0, True
        for count, event in enumerate(
            yaml.parse(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        ):
            if depth == 1 and is_key and isinstance(event, yaml.ScalarEvent) and event.value == KEY:
                return True
            if count > _BEFORE_KEY or (depth == 0 and isinstance(event, yaml.SequenceStartEvent | yaml.ScalarEvent)):
                return False
            if depth == 1 and isinstance(event, yaml.NodeEvent):
                is_key = not is_key
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return False


def read(path: Path) -> Suite:
    """Read a suite and all of its members. Raises InputError with one line for each mistake in any of them."""
    return _SuiteReader(load(path, "name configs in it, such as configs: [a.yaml, b.yaml]")).suite()


class _SuiteReader(Reader):
    def suite(self) -> Suite:
        data = self.source.data
        for key in data:
            if key not in KEYS:
                self._say((key,), f"unknown key of a suite; {nearest(key, KEYS)}")
        name = data.get("name", self.source.path.stem)
        self._check_name(name, ("name",), "the suite's folder")
        budget = self._budget(data)
        cost = self.cost({} if data.get("cost") is None else data["cost"], ("cost",))
        parts = self._parts(data[KEY], cost or CostChoices())
        if self.errors or budget is None:
            raise InputError(*self.errors)
        return Suite(name, self.source.path, tuple(parts), budget)

    def _budget(self, data: dict[str, Any]) -> Budget | None:
        if "budget" not in data:
            return Budget()
        if not data["budget"] or not isinstance(data["budget"], dict):
            said = f"must be a mapping of keys (got {data['budget']!r})" if data["budget"] else "empty"
            self._say(("budget",), f"{said}; write hours: 8, usd: 20 or both under it, or leave the key out")
            return None
        return self._checked(Budget, data["budget"], ("budget",))

    def _parts(self, raw: Any, cost: CostChoices) -> list[Part]:
        entries = raw if isinstance(raw, list) else [raw]
        if not entries or raw is None:
            self._say((KEY,), "empty list: there would be nothing to run; name at least one config")
            return []
        found: list[Part] = []
        places: dict[tuple[str, str], int] = {}
        for index, entry in enumerate(entries):
            loc: Loc = (KEY, index) if isinstance(raw, list) else (KEY,)
            part = self._part(entry, loc, cost)
            if part is None:
                continue
            found.append(part)
            for what, key in (("config", os.path.realpath(part.config)), ("name", part.name)):
                first = places.setdefault((what, key), index)
                if first == index:
                    continue
                if what == "config":
                    self._say(loc, f"{part.config} stands here twice (first as {KEY}[{first}]): it would run twice")
                    break
                self._say(loc, f"a second member called {part.name!r} (first {KEY}[{first}]); write another with name:")
        return found

    def _part(self, entry: Any, loc: Loc, cost: CostChoices) -> Part | None:
        if not isinstance(entry, dict | str):
            self._say(loc, "must be the path of a config, or a mapping such as {config: PATH, name: NAME}")
            return None
        given = dict(entry) if isinstance(entry, dict) else {"config": entry}
        own = given.pop("cost", None)
        said = len(self.errors)
        for key in [one for one in given if one not in Entry.model_fields]:
            self._say((*loc, key), f"unknown key; {nearest(key, (*Entry.model_fields, 'cost'))}")
            del given[key]
        noun = self._checked(Entry, given, loc)
        over = None if own is None else self.cost(own, (*loc, "cost"))
        if noun is None:
            return None
        if noun.name is not None:
            self._check_name(noun.name, (*loc, "name"), "the member's folder")
        config = self._found(noun.config, (*loc, "config") if isinstance(entry, dict) else loc)
        sweep = None if config is None else self._sweep(config)
        if sweep is None or config is None or len(self.errors) > said:
            return None
        changed = {key: value for key in ("target", "budget_s") if (value := getattr(noun, key)) is not None}
        sweep = sweep.model_copy(
            update={
                "cost": laid_over(laid_over(sweep.cost, cost), over or CostChoices()),
                "sampling": Sampling.model_validate({**sweep.sampling.model_dump(), **changed}),
            }
        )
        return Part(noun.name or sweep.name, config, sweep, noun.target, noun.budget_s)

    def _found(self, name: str, loc: Loc) -> Path | None:
        """The config's path, as seen from where the suite's is."""
        folder = self.source.path.parent
        path = Path(os.path.normpath(folder / name))
        if path.is_dir():
            self._say(loc, f"{name} is a folder; name the configs in it, one by one")
        elif not path.exists():
            beside = [one.name for one in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
            alike = get_close_matches(path.name, beside, n=1)
            meant = f"did you mean {Path(name).with_name(alike[0]).as_posix()!r}?" if alike else "see configs/"
            self._say(loc, f"no such file {path} (paths are relative to the suite); {meant}")
        elif is_one(path):
            self._say(loc, f"{path} is a suite itself; name its configs here in its place")
        else:
            return path
        return None

    def _sweep(self, config: Path) -> Sweep | None:
        try:
            return read_config(config)
        except InputError as error:
            self.errors += [line for line in error.lines if line not in self.errors]
            return None

    def _check_name(self, name: Any, loc: Loc, what: str) -> None:
        plain = isinstance(name, str) and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
        if not plain or str(name).startswith("."):
            self._say(loc, f"must be letters, digits, '-', '_' and '.' only, with no '.' first: it names {what}")


def laid_over(under: CostChoices, over: CostChoices) -> CostChoices:
    """The choices `under`, with those that were written in `over` in their place.

    Of the three ways to a price of the hour (stated, owned, from the list) one that is written sets the others aside.
    """
    changed = {key: getattr(over, key) for key in over.model_fields_set}
    ways = ({"usd_per_hour"}, {"owned"}, {"provider", "price_kind"})
    if any(way & changed.keys() for way in ways):
        said: dict[str, Any] = {"usd_per_hour": None, "owned": None}
        changed = {**said, **changed}
    return under.model_copy(update=changed)
