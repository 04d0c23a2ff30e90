"""`bench import FILE…`: results of other tools, taken over as far as they mean what ours do. Imports no engine."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.choices import Given, with_cost_options

if TYPE_CHECKING:
    from bench.imports.found import Found
    from bench.imports.records import Words
    from bench.schema import CostChoices, Record


def add_to(app: typer.Typer) -> None:
    app.command(
        name="import",
        epilog='Example: bench import openai-inf.json --model Qwen/Qwen3-8B --precision bf16 --accelerator "H100"',
    )(with_cost_options(import_results))


def import_results(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files that vLLM, GuideLLM, AIPerf, llama-bench or optimum-benchmark wrote."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder; without it results/imported/ and the first file's name."),
    ] = None,
    tool: Annotated[
        str | None, typer.Option(help="vllm, guidellm, aiperf, llama-bench or optimum-benchmark; else it is detected.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model, where the files do not say it well.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="At which precision the weights were, such as bf16, nf4 or Q4_K_M.")
    ] = None,
    accelerator: Annotated[
        str | None, typer.Option(help='What it ran on, as the price list has it, such as "H100" or "A100 80GB".')
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="So many of these accelerators.")] = 1,
    cpu: Annotated[str | None, typer.Option(help="It ran on this CPU.")] = None,
    cpus: Annotated[int, typer.Option(min=0, max=100_000, help="So many CPUs (hardware threads).")] = 0,
    *,
    given: Given,
) -> None:
    """Take over other tools' results: what means the same as ours, priced and compared by `bench report`.

    Says which metrics were taken over, and which were left out and why. The same result is stored once.
    """
    from bench.errors import InputError
    from bench.imports import find, records
    from bench.imports.read import read

    if tool is not None:
        find(tool)
    if count != 1 and not accelerator:
        raise InputError("--count: of which accelerators? Name them with --accelerator")
    words = records.Words(
        _word("--model", model),
        _word("--precision", precision),
        (_word("--accelerator", accelerator),) * count if accelerator else (),
        _word("--cpu", cpu),
        cpus,
    )
    cost = _cost(given)
    _check_priced(words, cost)
    found = [words.over(one) for file in files for one in read(file, tool)]
    _check_named(found)
    folder = out or records.default_folder(files)
    stored, skipped = _store(folder, found)
    if any(value is not None for value in given.values()):
        _keep_choices(folder, given)
    _tell(folder, stored, skipped)


def _word(option: str, said: str | None) -> str:
    from bench.errors import InputError

    if said is not None and not said.strip():
        raise InputError(f"{option}: it is empty; leave the option out where nobody knows")
    return (said or "").strip()


def _cost(given: Given) -> "CostChoices":
    from bench.cli.choices import overridden
    from bench.schema import CostChoices

    return overridden(CostChoices(), given)


def _check_priced(words: "Words", cost: "CostChoices") -> None:
    """Raises InputError where the price list does not know the named accelerators, and nobody states a price."""
    from bench.cost import hourly
    from bench.errors import InputError

    if words.accelerators and cost.usd_per_hour is None and cost.owned is None:
        try:
            hourly.for_part(words.accelerators[0], len(words.accelerators), cost)
        except InputError as error:
            line = error.lines[0]
            way_out = "" if "--usd-per-hour" in line else " (or state a price with --usd-per-hour)"
            raise InputError(f"--accelerator: {line}{way_out}") from None


def _check_named(found: Sequence["Found"]) -> None:
    from bench.errors import InputError

    for one in found:
        if not one.model:
            raise InputError(f"{one.imported.file}: it does not say which model was measured; name it with --model")


def _store(folder: Path, found: Sequence["Found"]) -> tuple[list["Record"], list["Record"]]:
    """What was written to the folder's journal, and what stood there already."""
    from bench import __version__, store
    from bench.cli import warn
    from bench.errors import InputError
    from bench.imports import records

    before = list(store.read(folder, warn)) if (folder / store.JOURNAL).exists() else []
    if any(one.imported is None for one in before):
        raise InputError(f"{folder}: holds measurements of our own; name another folder with --out")
    known = {one.record_id for one in before}
    stored, skipped = [], []
    with store.Journal(folder) as journal:
        for record in records.records(found, __version__, before):
            if record.record_id in known:
                skipped.append(record)
                continue
            known.add(record.record_id)
            journal.reserve(len(record.model_dump_json()))
            journal.append(record)
            stored.append(record)
    return stored, skipped


def _keep_choices(folder: Path, given: Given) -> None:
    """The choices of cost in the folder's plan, over those that stand there, so that a report uses them."""
    import os

    from bench.cli import warn
    from bench.cli.choices import overridden
    from bench.plan.folder import PLAN, StoredPlan, read_plan, write_text
    from bench.schema import CostChoices

    plan = read_plan(folder, warn) or StoredPlan(name=folder.name, config="", cells=(), replicates=1)
    cost = overridden(plan.cost or CostChoices(), given)
    keys = ("api_price_files", "hardware_price_files")
    relative = {key: tuple(os.path.relpath(one, folder) for one in getattr(cost, key)) for key in keys}
    kept = plan.model_copy(update={"cost": cost.model_copy(update=relative)})
    write_text(folder / PLAN, kept.model_dump_json(indent=1) + "\n")


def _tell(folder: Path, stored: Sequence["Record"], skipped: Sequence["Record"]) -> None:
    """Print what was taken over, what was left out, and the next command."""
    import shlex
    import shutil

    from bench.cli import COMMAND
    from bench.imports import taken_over

    if stored:
        print(taken_over.render(stored, shutil.get_terminal_size((120, 24)).columns), end="")
    if skipped:
        print(
            f"{len(skipped)} of these results are in {folder} already and were not stored again; to import them with "
            "other words, name another folder with --out"
        )
    print(f"next: {COMMAND} report {shlex.quote(str(folder))}")
