"""`bench mock-server`: an OpenAI-compatible server without a model: programmed times, a true log."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from bench.mock.settings import MockSettings

PARENT_ENDED = "--end-with-parent"


class MockCommand(TyperCommand):
    """Its help ends with the settings, which are read when they are asked for: pydantic is not light."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        print(_listed())


def add_to(app: typer.Typer) -> None:
    app.command(
        name="mock-server",
        cls=MockCommand,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        epilog="Example: bench mock-server --port 8000 --ttft-s 0.05 --itl-s 0.01 --truth truth.jsonl",
    )(mock_server)


def mock_server(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0, max=65535)] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    truth: Annotated[Path | None, typer.Option(help="Log of what really happened, one JSON line a request.")] = None,
    end_with_parent: Annotated[
        bool, typer.Option(PARENT_ENDED, help="End when the process that started it ends.")
    ] = False,
) -> None:
    """Serve an OpenAI-compatible API without a model: times, styles and faults as told. Never a result.

    The first line on standard output is its address. A request may choose its own settings: {"mock": {"ttft_s": 1}, …}.
    """
    import os

    from bench.mock import process, server

    parent = os.getppid()
    settings = parse(context.args)
    if end_with_parent:
        process.end_with_parent(parent)
    server.run(settings, lambda url: print(url, flush=True), host, port, truth)


def parse(words: list[str]) -> "MockSettings":
    """The settings of `--name value`, `--name=value`, `--flag` and `--no-flag`. Raises InputError."""
    from pydantic import ValidationError

    from bench.errors import InputError, nearest
    from bench.mock.settings import MockSettings

    fields = {f"--{name.replace('_', '-')}": name for name in MockSettings.model_fields}
    flags = {option for option, name in fields.items() if MockSettings.model_fields[name].annotation is bool}
    given: dict[str, Any] = {}
    rest = list(words)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if option.replace("--no-", "--", 1) in flags and not equals:
            given[fields[option.replace("--no-", "--", 1)]] = not option.startswith("--no-")
        elif option not in fields:
            known = [*fields, "--port", "--host", "--truth"]
            raise InputError(f"{option}: unknown {'option' if option[:1] == '-' else 'word'}; {nearest(option, known)}")
        elif equals or rest:
            given[fields[option]] = value if equals else rest.pop(0)
        else:
            raise InputError(f"{option}: needs a value; bench mock-server --help says which")
    try:
        return MockSettings.model_validate(given)
    except ValidationError as error:
        raise InputError(*(_wrong(dict(one)) for one in error.errors())) from None


def _wrong(problem: dict[str, Any]) -> str:
    """One line that begins with the option."""
    from bench.plan import wording

    option, given = "--" + str(problem["loc"][0]).replace("_", "-"), problem["input"]
    for kind, word in (("float_", "a number"), ("int_", "a whole number")):
        if problem["type"].startswith(kind):
            return f"{option}: {given!r} is not {word}{wording.remedy(problem)}"
    return f"{option}: {wording.plain(problem)} (got {given!r})"


def _listed() -> str:
    """Every setting with its default."""
    from textwrap import fill

    from bench.mock.settings import MockSettings

    lines = ["Settings (the same names, with _, in a request's `mock`):", ""]
    for name, field in MockSettings.model_fields.items():
        option, usual = "--" + name.replace("_", "-"), field.default
        said = field.description or ""
        if isinstance(usual, bool):
            option, said = (f"--no-{option[2:]}", f"turns off: {said}") if usual else (option, said)
        elif usual is not None:
            said += f" [default: {usual!r}]" if " " in str(usual) else f" [default: {usual!s}]"
        lines.append(fill(said, 110, initial_indent=f"  {option:<27}", subsequent_indent=" " * 29))
    return "\n".join(lines) + "\n"
