"""The command `bench`: one file a command. This stays light: what is heavy is imported when it is used."""

import errno
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from bench.errors import DoubtError, InputError

COMMAND = os.environ.get("BENCH_COMMAND", "bench")
"""How the person called us, for the commands that we suggest."""

app = typer.Typer(
    name="bench",
    help="What does a million tokens cost on this hardware, at this precision, and when is that cheaper than an API?",
    epilog=f"First: {COMMAND} run configs/quickstart.yaml",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS = (
    *("run", "report", "requests", "compare", "breakeven", "project", "plan", "claims"),
    *("publish", "leaderboard", "history", "import_results", "export"),
    *("doctor", "selftest", "mock_server", "hardware", "models", "prices", "schema"),
)

for _name in COMMANDS:
    import_module(f"bench.cli.{_name}").add_to(app)


def warn(message: str) -> None:
    """One line on standard error; the work goes on."""
    tell(f"warning: {message}")


def tell(line: str) -> None:
    """On standard error, with a mark for what a terminal would obey: a message may hold others' words."""
    from bench.cost.printable import unprintable

    print("".join("\ufffd" if unprintable(one) else one for one in line), file=sys.stderr)


def main() -> None:
    """Run the command. Bad input: one line each on standard error, exit code 2, no traceback; doubts: exit code 3."""
    _open_streams()
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except typer.TyperException as error:
        line = _usage(error)
        if line:
            tell(f"error: {line}")
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(1)
    except SystemExit as ending:
        if not isinstance(ending.__context__, BrokenPipeError):
            raise
        # typer and rich end with 1 where the reader went away; a shell expects 128 + SIGPIPE.
        _let_go()
        sys.exit(141)
    except InputError as error:
        for line in error.lines:
            tell(f"error: {line}")
        sys.exit(2)
    except DoubtError as error:
        for line in error.lines:
            tell(f"doubt: {line}")
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        _let_go()
        sys.exit(141)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _let_go()
        sys.stderr.write("error: no space left where the output goes; free some and run the same command to go on\n")
        sys.exit(2)


def _open_streams() -> None:
    """Have both streams take any character, with a question mark for what their encoding has not."""
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - open as long as the process is
    if sys.stdout is None:
        print("error: standard output is closed; send it to a file, or to /dev/null", file=sys.stderr)
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _let_go() -> None:
    """The reader of our output went away (`| head`), or there is no room for it: nothing is left to say."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _usage(error: typer.TyperException) -> str:
    """A usage error in one line that begins with the option. Empty where help was asked for by giving no words."""
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""  # the help has been printed
    if param is None:
        return " ".join(error.format_message().split())
    name = max(param.opts, key=len) if param.param_type_name == "option" else param.name.upper()
    if type(error).__name__ == "MissingParameter":
        return f"{name}: missing; {context.command_path} --help shows an example" if context else f"{name}: missing"
    problems: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    return f"{name}: {_unfit(problems[0]) if problems else error.message.rstrip('.')}"


def _unfit(problem: dict[str, Any]) -> str:
    """Why a value cannot be that of its option."""
    from bench.plan import wording

    for kind, word in (("float_", "a number"), ("int_", "a whole number")):
        if problem["type"].startswith(kind):
            return f"{problem['input']!r} is not {word}{wording.remedy(problem)}"
    return f"{wording.plain(problem)} (got {problem['input']!r})"
