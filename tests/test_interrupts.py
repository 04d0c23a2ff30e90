"""Signals that end a run: held while something must not be cut short, and never lost."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.execute.interrupts import Interrupts
from tests.commands import ROOT


@pytest.fixture
def taken() -> Iterator[Interrupts]:
    """With SIGTERM taken in, as `bench run` does, and Ctrl-C as in a terminal, whatever the tests were started from."""
    usual = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    found = Interrupts()
    found.take_in(signal.SIGTERM)
    yield found
    for one, handler in usual.items():
        signal.signal(one, handler)


def test_sigterm_does_what_ctrl_c_does(taken: Interrupts) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    taken.hold()
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        taken.let_through()


def test_where_ctrl_c_is_ignored_sigterm_ends_the_run_all_the_same() -> None:
    """As in the background of a script."""
    code = (
        "import signal; from bench.execute.interrupts import interrupts; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "interrupts.take_in(signal.SIGTERM); interrupts.hold(); signal.raise_signal(signal.SIGTERM)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -signal.SIGTERM
