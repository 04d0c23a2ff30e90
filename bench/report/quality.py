"""Which quality pass belongs to which row: the same model, runner, precision and machine; and never two texts at once.

Quality passes and profiles stand in the journal beside what is timed. They are taken out here, so that they never
become rows or failures of one, and are looked up again by the rows that they belong to.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.errors import InputError
from bench.metrics import quality
from bench.metrics.quality import QualityFigures
from bench.schema import Cell, Environment, ModelFacts, Precision, Profile, Record, Scored

RANDOM = "random weights: no quality"
FAILED = "the quality pass failed"
"""How the reason begins of a row whose quality was asked for and did not come."""

Found = tuple[QualityFigures | None, str | None]
"""The figures, or why there are none; neither where nothing was ever scored."""


@dataclass
class Qualities:
    """The quality passes and profiles of a journal. Ask only when `passing` has come to its end.

    `preferred`: ids of the quality cells in the run's plan. The newest pass of them, or the newest of all where there
    is none, says which text, windows and reference count; of each row the newest good pass with just those is taken.
    Newest is by the order of the journal: clocks may jump.
    """

    preferred: Sequence[str] = ()
    _passes: list[Record] = field(default_factory=list)
    _by_level: dict[str, list[Record]] = field(default_factory=dict)
    _profiles: dict[tuple[str, str], Profile] = field(default_factory=dict)
    _found: dict[tuple[str, ...], Found] = field(default_factory=dict)
    _wanted: "tuple[str | None, Precision | None] | None" = None

    def passing(self, records: Iterable[Record]) -> Iterator[Record]:
        """Every record that is for timing; the others are kept."""
        for record in records:
            if record.purpose == "profile" or record.profile is not None:
                if record.profile is not None:
                    self._profiles[record.cell.cell_id, record.environment.fingerprint()] = record.profile
            elif record.purpose == "quality" or record.cell.quality is not None:
                self._passes.append(record)
                self._by_level.setdefault(_level(record.cell), []).append(record)
                self._found.clear()
                self._wanted = None
            else:
                yield record

    def of(self, cell: Cell, environment: Environment, facts: ModelFacts | None = None) -> QualityFigures | None:
        """The quality of a row; None where there is none. `facts`: what was timed, which must be the same weights."""
        return self._find(cell, environment, facts)[0]

    def why_none(self, cell: Cell, environment: Environment, facts: ModelFacts | None = None) -> str | None:
        """Why a row has no quality; None where it has one, and where nothing was scored at all."""
        return self._find(cell, environment, facts)[1]

    def profile_of(self, cell: Cell, environment: Environment) -> Profile | None:
        """The newest profile of this very cell on this machine. One that failed is as good as none."""
        return self._profiles.get((cell.cell_id, environment.fingerprint()))

    def _find(self, cell: Cell, environment: Environment, facts: ModelFacts | None) -> Found:
        if cell.model.source.startswith("shape:") or (facts is not None and facts.random_weights):
            return None, RANDOM
        if not self._passes or cell.traffic is not None:
            return None, None
        weights = "" if facts is None else facts.weights_id or ""
        key = (_level(cell), environment.fingerprint(), weights)
        if key not in self._found:
            self._found[key] = self._search(self._by_level.get(key[0], []), environment, facts)
        return self._found[key]

    def _search(self, own: Sequence[Record], environment: Environment, facts: ModelFacts | None) -> Found:
        if not own:
            return None, "no quality pass of this model, runner and level"
        here = [one for one in own if one.environment.fingerprint() == environment.fingerprint()]
        if not here:
            differs = ", ".join(own[-1].environment.differs_from(environment))
            return None, f"its quality pass ran on another machine, or with other versions ({differs})"
        alike = [record for record in here if self._is_as_asked(record)]
        if not alike:
            return None, "its quality pass scored another text, in other windows, or against another reference"
        good = [(record, record.scored) for record in alike if record.status == "ok" and record.scored is not None]
        if not good:
            return None, _failure(alike[-1])
        same = [(record, scored) for record, scored in good if _are_same_weights(scored.facts, facts)]
        if not same:
            return None, "its quality pass scored other weights than were timed"
        return self._figures(*same[-1])

    def _figures(self, record: Record, scored: Scored) -> Found:
        if scored.facts.random_weights:
            return None, RANDOM
        assert record.cell.quality is not None
        try:
            made = quality.figures(record.cell.quality, record.cell.precision, scored, self._reference(scored))
        except InputError as error:
            return None, error.lines[0]
        return made, None

    def _reference(self, scored: Scored) -> Scored | None:
        """What a pass was held against."""
        if scored.against is None:
            return None
        wanted = scored.against.reference_record_id
        return next((one.scored for one in self._passes if one.record_id == wanted and one.scored is not None), None)

    def _is_as_asked(self, record: Record) -> bool:
        """Whether a pass scored what the newest one did, and is held against the same level."""
        if self._wanted is None:
            self._wanted = self._settings_that_count()
        settings, base = self._wanted
        asked = record.cell.quality
        if asked is None or _settings(record) != settings:
            return False
        if base is None or asked.reference is not None:
            return base in (None, asked.reference)
        # One that was the reference of others once would pass for the reference of these.
        return record.cell.precision == base or record.scored is None or record.scored.kept_file is None

    def _settings_that_count(self) -> tuple[str | None, Precision | None]:
        """Those of the newest pass, and the reference of the newest with just those that has one, or is one."""
        planned = set(self.preferred)
        newest = next((one for one in reversed(self._passes) if one.cell.cell_id in planned), self._passes[-1])
        settings = _settings(newest)
        for record in (newest, *reversed(self._passes)):
            asked = record.cell.quality
            if asked is None or _settings(record) != settings:
                continue
            if asked.reference is not None:
                return settings, asked.reference
            if record.scored is not None and record.scored.kept_file is not None:
                return settings, record.cell.precision
        return settings, None


def _level(cell: Cell) -> str:
    """Equal for cells of one model at one precision in one engine, whatever their work. An option that is not set is
    what a record from before the option did not name."""
    options = {key: value for key, value in cell.runner.told().items() if value is not None}
    said = [cell.model.model_dump(mode="json"), cell.precision.model_dump(mode="json"), cell.runner.name, options]
    return json.dumps(said, sort_keys=True)


def _settings(record: Record) -> str | None:
    """Equal for passes that scored the same text in the same way; what the text is called says nothing."""
    asked = record.cell.quality
    return None if asked is None else asked.model_dump_json(exclude={"text", "reference"})


def _failure(record: Record) -> str:
    status = "" if record.status == "ok" else f" ({record.status})"
    if record.error is None:
        return f"{FAILED}{status}: no reason was recorded"
    remedy = f"; {record.error.remedy}" if record.error.remedy else ""
    return f"{FAILED}{status}: {record.error.reason.removeprefix('no quality: ')}{remedy}"


def _are_same_weights(scored: ModelFacts, timed: ModelFacts | None) -> bool:
    """Unless both say which weights they are, there is nothing to doubt."""
    return timed is None or not scored.weights_id or not timed.weights_id or scored.weights_id == timed.weights_id
