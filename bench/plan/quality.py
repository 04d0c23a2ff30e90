"""The `quality:` of a config: the text is read, the reference is found, tasks are there; and the passes that follow."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bench import runners
from bench.errors import InputError, nearest
from bench.models import catalogue, prose
from bench.plan import precisions as precisions_named
from bench.plan.source import Loc
from bench.schema import (
    PRECISIONS,
    Cell,
    Plain,
    Precision,
    QualityChoices,
    QualityPass,
    Served,
    Sweep,
    TaskChoice,
    Workload,
)
from bench.schema.precision import WIDEST, kv_cache, label, spelt_out
from bench.schema.quality import PROSE

NO_REFERENCE = "none"

Say = Callable[[Loc, str], None]


@dataclass(frozen=True)
class Inputs:
    """The files of a config's quality passes, read once."""

    name: str
    text: prose.Text
    tasks: tuple[TaskChoice, ...]
    task_paths: tuple[Path, ...]
    text_path: Path | None


def spelt(raw: Any, base: Path) -> Any:
    """The section with its paths found from the config's folder; anything else is left for the checks to refuse."""
    if not isinstance(raw, dict):
        return raw
    found = dict(raw)
    text = found.get("text")
    if isinstance(text, str) and text.strip() and not text.startswith("builtin:") and "\0" not in text:
        found["text"] = str((base / text).resolve())
    tasks = found.get("tasks")
    if isinstance(tasks, str):
        tasks = [tasks]
    if isinstance(tasks, list):
        found["tasks"] = tuple(
            str((base / one).resolve()) if isinstance(one, str) and one and "\0" not in one else one for one in tasks
        )
    return found


def check(choices: QualityChoices, precisions: Sequence[Precision], say: Say) -> None:
    """Say every mistake: a text that cannot be scored, a reference that is none, a window without anything to score."""
    if choices.context_tokens >= choices.window_tokens:
        what = f"must be less than window_tokens (got {choices.context_tokens} of {choices.window_tokens})"
        say(("context_tokens",), f"{what}: a window must score something")
    try:
        reference(choices, precisions)
    except InputError as error:
        say(("reference",), error.lines[0])
    try:
        text = _text(choices)[0]
    except InputError as error:
        say(("text",), error.lines[0])
    else:
        # A token is a byte or more, but for tokenizers that mark each word's beginning.
        if len(text.data) < choices.window_tokens / 2:
            what = f"{len(text.data)} bytes cannot fill one window of {choices.window_tokens} tokens"
            if text.note is not None:
                say(("max_bytes",), f"{what}; raise it, or give a smaller window_tokens")
            else:
                say(("text",), f"{what}; give a longer text, or a smaller window_tokens")
    for index, task in enumerate(choices.tasks):
        try:
            _task(Path(task), choices.task_limit)
        except InputError as error:
            say(("tasks", index), error.lines[0])


def contradictions(raw: Any) -> Iterator[tuple[Loc, str]]:
    """Mistakes in the section's form that a type would name less well."""
    if isinstance(raw, dict) and isinstance(raw.get("reference"), list):
        count = len(raw["reference"])
        yield ("reference",), f"one level is the reference, and here are {count}; name one of them"


def reference(choices: QualityChoices, precisions: Sequence[Precision]) -> Precision | None:
    """The level that the others are held against; None where none is wanted.

    Raises InputError for a name that is no level, that several of the list bear, or where none of the list can be it.
    """
    wanted = None if choices.reference is None else precisions_named.known_as(choices.reference)
    if wanted is None:
        plain = [one for one in precisions if isinstance(one, Plain) and kv_cache(one) is None]
        for name in WIDEST:
            for one in plain:
                if one.name == name:
                    return one
        raise InputError(
            "no level of the list can be the reference, because none is plain; name one, such as reference: bf16 "
            "(scored beside them), or reference: none"
        )
    if wanted == NO_REFERENCE:
        return None
    listed = [one for one in precisions if label(one) == wanted] or [
        one for one in precisions if one.name == wanted and kv_cache(one) is None
    ]
    if len(listed) > 1:
        names = ", ".join(label(one) for one in listed)
        raise InputError(f"{len(listed)} levels are called {wanted} ({names}); write one of them in full")
    if listed:
        return listed[0]
    said = spelt_out({"name": wanted})
    noun = PRECISIONS.get(str(said["name"]))
    try:
        if noun is None or noun is Served:
            raise ValueError
        return noun.model_validate(said, extra="forbid", strict=True)  # type: ignore[return-value]
    except (ValueError, ValidationError):
        levels = [name for name, kind in PRECISIONS.items() if kind is not Served]
        known = [*(label(one) for one in precisions), *levels, NO_REFERENCE]
        raise InputError(f"{wanted!r} is no level; {nearest(wanted, known)}") from None


def inputs(choices: QualityChoices) -> Inputs:
    """Read the text and the tasks. Raises InputError where they changed since they were checked."""
    text, name = _text(choices)
    tasks = tuple(_task(Path(one), choices.task_limit) for one in choices.tasks)
    path = None if choices.text == PROSE else Path(choices.text)
    return Inputs(name, text, tasks, tuple(Path(one) for one in choices.tasks), path)


def cells(sweep: Sweep, read: Inputs) -> list[Cell]:
    """The quality passes of a sweep, each reference before its levels. Endpoints and random weights have none."""
    choices = sweep.quality
    assert choices is not None
    base = reference(choices, sweep.precisions)
    levels = list(dict.fromkeys([*([base] if base is not None else []), *sweep.precisions]))
    data = read.text.data
    asked = QualityPass(
        text=read.name,
        text_sha256=hashlib.sha256(data).hexdigest(),
        text_bytes=len(data),
        window_tokens=choices.window_tokens,
        context_tokens=choices.context_tokens,
        top_k=choices.top_k,
        tasks=read.tasks,
    )
    work = Workload(batch_size=1, input_tokens=choices.window_tokens, output_tokens=1)
    found = []
    for model in sweep.models:
        for index, choice in enumerate(sweep.runners):
            kind = runners.find(choice.name)
            if runners.serves(kind) or catalogue.kind(model) in ("shape", "served"):
                continue
            changed = kind.Options.model_validate(choice.options).model_dump(mode="json", exclude_defaults=True)
            for level in levels:
                if isinstance(level, Served):
                    continue
                own = asked.model_copy(update={"reference": None if level == base else base})
                cell = Cell(model=model, precision=level, runner=sweep.runners[index], workload=work, quality=own)
                found.append(cell.identified(changed))
    return found


def _text(choices: QualityChoices) -> tuple[prose.Text, str]:
    """The text to score and its name. Raises InputError for one that cannot be scored."""
    if not choices.text.strip():
        raise InputError(f"no name is no text; give a file's path, or {PROSE}")
    if choices.text == PROSE:
        return prose.read_text(None, choices.max_bytes), PROSE
    if choices.text.startswith("builtin:"):
        raise InputError(f"unknown text {choices.text!r}; give a file's path, or {PROSE}")
    return prose.read_text(choices.text, choices.max_bytes), catalogue.one_line(Path(choices.text).name)


def _task(path: Path, limit: int | None) -> TaskChoice:
    """A task's name, and a checksum of its file and the local data that it names.

    Raises InputError for a file that is none, or whose data is not here.
    """
    try:
        raw = path.read_bytes()
        said = yaml.load(raw, _TaskLoader)  # noqa: S506 — a safe loader that also admits lm-eval's !function
    except OSError as error:
        raise InputError(f"{path.name}: cannot read it ({error.strerror}); give the path of an lm-eval task") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(f"{path.name}: is no YAML; give the path of an lm-eval task file") from None
    if not isinstance(said, Mapping) or not isinstance(said.get("task"), str):
        raise InputError(f"{path.name}: is no lm-eval task; it needs a key task with its name")
    digest = hashlib.sha256(raw)
    for name in _data_files(said):
        file = path.parent / name
        try:
            digest.update(file.read_bytes())
        except OSError as error:
            raise InputError(f"{path.name}: its data {name} cannot be read ({error.strerror})") from None
    return TaskChoice(name=said["task"], sha256=digest.hexdigest(), limit=limit)


def _data_files(said: Mapping[str, Any]) -> list[str]:
    kwargs = said.get("dataset_kwargs")
    files = kwargs.get("data_files") if isinstance(kwargs, Mapping) else None
    found = files.values() if isinstance(files, Mapping) else [files]
    return [one for each in found for one in (each if isinstance(each, list) else [each]) if isinstance(one, str)]


class _TaskLoader(yaml.SafeLoader):
    """lm-eval's task files may name Python functions; their names are all that is wanted here."""


_TaskLoader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))  # type: ignore[arg-type]
