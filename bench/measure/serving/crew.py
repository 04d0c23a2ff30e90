"""The load generator processes as the conductor sees them: started, spoken to, listened to, and ended."""

import os
import selectors
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from bench.errors import InputError
from bench.measure.serving.orders import Command, Orders, Word

READ_BYTES = 1 << 18
END_S = 5.0


class LostClientError(RuntimeError):
    """A load generator process ended before its work was done, or never began.

    Its part of the trace, and those of the others, stand in the run's folder: `salvage` counts and joins them.
    """


class Crew:
    """All load generators of one run. A context manager: none of them outlives it."""

    def __init__(self, orders: Sequence[Orders]) -> None:
        """Start a process for each. Raises InputError when the system gives none."""
        self._processes: list[subprocess.Popen[bytes]] = []
        self._selector = selectors.DefaultSelector()
        self._rest: dict[int, bytes] = {}
        self.pids: list[int] = []
        try:
            for one in orders:
                self._start(one)
        except OSError as error:
            self.end()
            raise InputError(
                f"clients: cannot start load generator {len(self._processes) + 1} ({error.strerror}); ask for fewer"
            ) from None

    def _start(self, orders: Orders) -> None:
        process = subprocess.Popen(
            (sys.executable, "-m", "bench.measure.serving.process"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._processes.append(process)
        self.pids.append(process.pid)
        assert process.stdout is not None
        self._rest[orders.worker] = b""
        self._selector.register(process.stdout, selectors.EVENT_READ, orders.worker)
        self._write(process, orders.model_dump_json().encode())

    def tell(self, command: Command, worker: int | None = None) -> None:
        """A command to one of them, or to all."""
        line = command.model_dump_json(exclude_defaults=True).encode()
        for place, process in enumerate(self._processes):
            if worker is None or worker == place:
                self._write(process, line)

    def _write(self, process: subprocess.Popen[bytes], line: bytes) -> None:
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it is gone, which `heard` tells
            process.stdin.write(line + b"\n")
            process.stdin.flush()

    def heard(self, timeout_s: float) -> list[tuple[int, Word | None]]:
        """What they have said, waiting for it at most so long. None: that one is gone."""
        found: list[tuple[int, Word | None]] = []
        for key, _ in self._selector.select(max(0.0, timeout_s)):
            worker: int = key.data
            data = os.read(key.fd, READ_BYTES)
            if not data:
                self._selector.unregister(key.fileobj)
                found.append((worker, None))
                continue
            *lines, self._rest[worker] = (self._rest[worker] + data).split(b"\n")
            found += [(worker, Word.model_validate_json(line)) for line in lines]
        return found

    def code_of(self, worker: int) -> str:
        """How one that is gone ended."""
        try:
            code = self._processes[worker].wait(END_S)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def end(self) -> None:
        """Let those that run write what they have, then end them whatever they do."""
        for process in self._processes:
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()  # which tells a load generator that nobody listens any more
        for process in self._processes:
            if process.stdout is not None:
                with suppress(OSError):
                    process.stdout.close()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._selector.close()

    def __enter__(self) -> "Crew":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
