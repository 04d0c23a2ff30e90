"""Ctrl-C, held while something must not be cut short."""

import signal
from typing import Any


class Interrupts:
    """Ctrl-C, kept waiting while a measurement is on its way to the disk.

    By a handler and not by a signal mask: a mask is one thread's, and the signal would reach another one.
    """

    def __init__(self) -> None:
        self._usual: Any = None
        self._waiting = False

    def hold(self) -> None:
        """From now on only remember it."""
        if self._usual is None:
            self._usual = signal.signal(signal.SIGINT, self._remember) or signal.SIG_DFL

    def remember(self) -> None:
        """One has come, and what it interrupts is brought to its end first: `let_through` raises it again."""
        self.hold()
        self._waiting = True

    def let_through(self) -> None:
        """Raises KeyboardInterrupt if one has come in the meantime."""
        if self._usual is None:
            return
        usual, self._usual = self._usual, None
        waiting, self._waiting = self._waiting, False
        signal.signal(signal.SIGINT, usual)
        if waiting and usual is not signal.SIG_IGN:
            raise KeyboardInterrupt

    def forget(self) -> None:
        """Back to the usual, while an exception is on its way that ends the run anyhow."""
        if self._usual is not None:
            signal.signal(signal.SIGINT, self._usual)
        self._usual, self._waiting = None, False

    def _remember(self, *_: object) -> None:
        self._waiting = True


interrupts = Interrupts()
