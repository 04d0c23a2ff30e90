"""Ctrl-C, held while something must not be cut short."""

import signal
import threading
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

    def take_in(self, other: signal.Signals) -> None:
        """Have another signal do what Ctrl-C does: that of batch systems, service managers and `timeout`.

        Without it the run would be gone at once, and what an engine has started might live on. Where Ctrl-C is ignored,
        as in the background of a script, the other signal ends the run as before.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(other, self._as_interrupt)

    def _as_interrupt(self, number: int, _: object) -> None:
        if signal.SIG_IGN in (signal.getsignal(signal.SIGINT), self._usual):
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        else:
            signal.raise_signal(signal.SIGINT)

    def _remember(self, *_: object) -> None:
        self._waiting = True


interrupts = Interrupts()
