"""`bench publish RUN…`: a folder of results that is ready to commit, looked through, and pushed where asked for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.choices import Given, with_cost_options

if TYPE_CHECKING:
    from bench.publish.folder import Published

PUSHING = "Pushing to a Hugging Face dataset"


def add_to(app: typer.Typer) -> None:
    app.command(
        name="publish",
        epilog="Example: bench publish results/local/quickstart --usd-per-hour 0.40 --licence cc-by-4.0",
    )(with_cost_options(publish))


def publish(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of runs or suites, or journals (records.jsonl).", show_default=False),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the folder, instead of the hardware's.")] = None,
    into: Annotated[Path, typer.Option(help="The folder is made in here.")] = Path("results"),
    columns: Annotated[
        str | None, typer.Option(help="Of the tables for people: sets and names, comma-separated (docs/tables.md).")
    ] = None,
    sort: Annotated[
        str | None, typer.Option(help="Order of the rows, by names of columns; -NAME: the largest first.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of tables and page, instead of the runs' names.")] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", help="Of the results, such as cc-by-4.0 (said, not checked)."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", "--yes", help="Also where runs or edited files of an older publication are lost."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do everything but write: say what would be.")] = False,
    push: Annotated[
        str | None,
        typer.Option(metavar="OWNER/DATASET", help="Push the folder to this dataset.", rich_help_panel=PUSHING),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="A dataset that is made for it is private.", rich_help_panel=PUSHING)
    ] = False,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="Another hub than huggingface.co.", rich_help_panel=PUSHING)
    ] = None,
    token_env: Annotated[
        str | None,
        typer.Option(help="Environment variable with the token; default HF_TOKEN.", rich_help_panel=PUSHING),
    ] = None,
    *,
    given: Given,
) -> None:
    """Write results/<machine>/: records, tables, charts, page and README, ready to commit.

    Home folders, host names and private addresses are replaced; a secret stops it, and nothing is written then.
    """
    from bench import __version__
    from bench.cli import warn
    from bench.cli.choices import overridden
    from bench.errors import InputError
    from bench.page import vega
    from bench.plan import suite_folder
    from bench.publish import folder, hub

    for option, value in (("--private", private), ("--endpoint", endpoint), ("--token-env", token_env)):
        if value and push is None:
            raise InputError(f"{option}: says how to push; name the dataset with --push")
    if push is not None:
        hub.check_name(push)
        if not dry_run:
            hub.check(push, endpoint, token_env)
    asked = folder.Asked(__version__, into, name, columns, sort, title, licence, force, dry_run)
    every = [own for run in runs for own in suite_folder.members(run)]
    made = folder.write(every, lambda planned: overridden(planned, given), warn, asked)
    _say(made, dry_run)
    if push is not None and dry_run:
        print(f"would be pushed to the dataset {push}")
    elif push is not None:
        done = hub.push(
            made.folder,
            push,
            private=private,
            endpoint=endpoint,
            token_env=token_env,
            ignored=(vega.bundle(), vega.licence()),
        )
        print(f"pushed to {done.url} (commit {done.commit[:12]})")


def _say(made: "Published", dry_run: bool) -> None:
    """What was replaced, and what is there now."""
    for sentence in made.replaced:
        print(sentence)
    size = f"{len(made.files)} files, {made.bytes / 1e6:.1f} MB"
    if dry_run:
        print(f"would {'renew' if made.renewed else 'write'} {made.folder} ({size}):")
        for file in made.files:
            print(f"  {file}")
        return
    done = "renewed" if made.renewed else "wrote"
    print(f"{done} {made.folder} ({size}); look at README.md, then: git add {made.folder}")
