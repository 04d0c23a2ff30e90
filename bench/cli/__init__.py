"""The command `bench`: one file a command. This stays light: what is heavy is imported when it is used."""

import errno
import os
import sys
from importlib import import_module

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
    *("run", "report", "compare", "breakeven", "project", "plan", "claims"),
    *("doctor", "selftest", "hardware", "models", "prices", "schema"),
)

for _name in COMMANDS:
    import_module(f"bench.cli.{_name}").add_to(app)


def warn(message: str) -> None:
    """One line on standard error; the work goes on."""
    print(f"warning: {message}", file=sys.stderr)


def main() -> None:
    """Run the command. Bad input: one line each on standard error, exit code 2, no traceback; doubts: exit code 3."""
    try:
        app()
    except InputError as error:
        for line in error.lines:
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    except DoubtError as error:
        for line in error.lines:
            print(f"doubt: {line}", file=sys.stderr)
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stderr.write("error: no space left where the output goes; free some and run the same command to go on\n")
        sys.exit(2)
