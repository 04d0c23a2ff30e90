"""lm-eval's tasks, from files and local data alone, asked of the very model that was scored.

A task is what EleutherAI's evaluation harness calls one: a YAML file that says how examples become requests and how
answers become metrics. Only local data is read (`dataset_path: json` and the like), found from the task's own folder;
nothing is fetched. `!function` in a task runs the Python file beside it, as it does in lm-eval.
"""

import logging
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import InputError, UnsupportedError
from bench.runners import Runner, RunsTasks
from bench.schema import TaskChoice, TaskResult

LOCAL = ("json", "csv", "text", "parquet", "arrow")
"""Builders of the library `datasets` that read files."""

BOOTSTRAPS = 1000
"""Resamples for the standard error of metrics without a formula for it."""

SEED = 1234
"""Of the examples that are shown before the question: equal for all levels."""


class Ready:
    """Tasks that are read and whose data is there, before any model is loaded."""

    def __init__(self, runner: Runner, paths: Sequence[str]) -> None:
        """Raises UnsupportedError where lm-eval or the runner cannot, InputError for a task that cannot be read."""
        if not isinstance(runner, RunsTasks):
            raise UnsupportedError("this runner runs no tasks", "use the runner transformers, or leave tasks out")
        if find_spec("lm_eval") is None:
            raise UnsupportedError(
                "tasks need lm-eval, which is not installed", "pip install 'llm-cost-bench[lm-eval]'"
            )
        # Read when the libraries are imported: what is not on this disk is an error, not a download.
        os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        self._runner = runner
        self._tasks = {}
        # `datasets` maps what it made of the data into memory; the files may go once they are open.
        with tempfile.TemporaryDirectory(prefix="bench-tasks-") as cache:
            for path in paths:
                self._tasks[path] = _built(Path(path), cache)

    def run(self, choices: Sequence[TaskChoice]) -> tuple[TaskResult, ...]:
        """Every metric of every task; `choices` says the name and the limit of each, in the order of the paths."""
        from lm_eval.evaluator import evaluate

        model = self._runner.language_model()
        found: list[TaskResult] = []
        for (path, task), choice in zip(self._tasks.items(), choices, strict=True):
            said = evaluate(
                model,
                {"tasks": {choice.name: task}, "groups": {}, "group_map": {}},
                limit=choice.limit,
                bootstrap_iters=BOOTSTRAPS,
                log_samples=False,
            )
            if said is None or not said["results"]:
                raise InputError(f"{Path(path).name}: lm-eval gave no result for this task")
            for name, metrics in said["results"].items():
                found += _results(choice.name, metrics, said["n-samples"][name]["effective"])
        return tuple(found)


def _built(path: Path, cache: str) -> Any:
    """One task with its data, ready to be asked. Raises InputError for one that cannot be read."""
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    try:
        said = load_yaml(path)
        task = ConfigurableTask(config=_local(said, path, cache))
    except (InputError, UnsupportedError):
        raise
    except Exception as error:  # a task is anything that people write, Python of their own included
        text = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path.name}: lm-eval cannot make a task of it ({type(error).__name__}: {text}); correct the task"
        ) from error
    task.set_fewshot_seed(seed=SEED)
    return task


def _local(said: dict[str, Any], path: Path, cache: str) -> dict[str, Any]:
    """The task's configuration with its data found from its own folder. Raises InputError for one that is elsewhere."""
    if not isinstance(said.get("task"), str):
        raise InputError(f"{path.name}: is not one task (task: its name); name each task's own file")
    if "custom_dataset" in said:
        return said
    if said.get("dataset_path") not in LOCAL:
        raise InputError(
            f"{path.name}: dataset_path {said.get('dataset_path')!r} is not local; use one of {', '.join(LOCAL)} with "
            "dataset_kwargs: {data_files: …}"
        )
    keywords = dict(said.get("dataset_kwargs") or {})
    keywords["data_files"] = _found(keywords.get("data_files"), path)
    return {**said, "dataset_kwargs": {**keywords, "cache_dir": cache}}


def _found(files: Any, path: Path) -> Any:
    """The files of a task, from its folder; Raises InputError for one that is not there."""
    if isinstance(files, dict):
        return {split: _found(names, path) for split, names in files.items()}
    if isinstance(files, list):
        return [_found(name, path) for name in files]
    if not isinstance(files, str):
        raise InputError(f"{path.name}: dataset_kwargs.data_files names no files; give those of the local data")
    file = path.parent / files
    if not file.is_file():
        raise InputError(f"{path.name}: its data {files} is not there; it is looked for beside the task's file")
    return str(file.resolve())


def _results(task: str, metrics: dict[str, Any], examples: int) -> Iterator[TaskResult]:
    """lm-eval writes a metric as `acc,none`: its name and the filter that answers went through."""
    for key, value in metrics.items():
        metric, _, chosen = key.partition(",")
        if not chosen or metric.endswith("_stderr") or not isinstance(value, int | float) or not math.isfinite(value):
            continue
        stderr = metrics.get(f"{metric}_stderr,{chosen}")
        told = isinstance(stderr, int | float) and math.isfinite(stderr)
        yield TaskResult(
            task=task,
            metric=metric if chosen == "none" else f"{metric} ({chosen})",
            value=float(value),
            stderr=float(stderr) if told and stderr is not None else None,
            examples=int(examples),
        )
