"""`python -m bench.measure.serving.process`: one load generator process.

Reads its orders as one JSON line from standard input and commands as more lines while it runs; writes words as JSON
lines to what was standard output (anything else that is printed goes to standard error). When the conductor is gone,
it ends its requests, writes its part of the trace to the end, and stops: nobody would keep the result, but what was
measured and paid for is not lost. Keys come from the environment; no error leaves this process with one in it.
"""

import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from bench.client import Exchange, Target
from bench.client.events import read_answer
from bench.client.transport import StreamTransport
from bench.endpoint import access, tokenizer
from bench.endpoint.bodies import Bodies, wants_cache
from bench.errors import InputError
from bench.loads.plan import plan
from bench.measure.serving.answers import Answers, Read
from bench.measure.serving.driver import Driver, Tools
from bench.measure.serving.lines import Lines
from bench.measure.serving.marks import Mark
from bench.measure.serving.orders import Command, Count, Orders, Snapshot, Word
from bench.measure.serving.spending import ESTIMATE_RATIO, TEMPLATE_TOKENS, Purse
from bench.schema import Request
from bench.sensors.memory import peak_rss_bytes
from bench.traces import TraceWriter, part_of

READ_BYTES = 1 << 16
WAIT_S = 300.0
"""For the conductor to say when to start."""


class Ears:
    """Lines that come on a pipe, heard without waiting."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""
        self.is_closed = False

    def first(self) -> bytes:
        """The first line, waited for. Empty when there is none."""
        while b"\n" not in self._rest and self._heard():
            pass
        line, _, self._rest = self._rest.partition(b"\n")
        os.set_blocking(self._fd, False)
        return line

    def commands(self) -> list[Command] | None:
        """What has come since the last time; None when the conductor is gone."""
        with suppress(BlockingIOError):
            while self._heard():
                pass
        *lines, self._rest = self._rest.split(b"\n")
        found = [Command.model_validate_json(line) for line in lines if line]
        return found if found or not self.is_closed else None

    def _heard(self) -> bool:
        data = os.read(self._fd, READ_BYTES)
        self._rest += data
        self.is_closed = not data
        return bool(data)


class Mouth:
    """Words on a pipe, said without waiting: a conductor that is busy must not hold up a stream."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""
        os.set_blocking(fd, False)

    def say(self, word: Word) -> None:
        """Write what the pipe takes; the rest goes with the next word."""
        self._rest += word.model_dump_json(exclude_defaults=True).encode() + b"\n"
        with suppress(BlockingIOError, BrokenPipeError):
            while self._rest:
                self._rest = self._rest[os.write(self._fd, self._rest) :]

    def finish(self) -> None:
        """Write all of it."""
        os.set_blocking(self._fd, True)
        with suppress(BrokenPipeError):
            while self._rest:
                self._rest = self._rest[os.write(self._fd, self._rest) :]


def main() -> None:
    """Follow the orders on standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C is the conductor's to act on
    mouth = Mouth(os.dup(sys.stdout.fileno()))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    ears = Ears(sys.stdin.fileno())
    line = ears.first()
    if not line:
        sys.exit("bench.measure.serving.process is started by `bench run`")
    orders = Orders.model_validate_json(line)
    target: Target | None = None
    try:
        target = access.target(orders.endpoint, orders.base_url)
        _generate(orders, target, ears, mouth)
    except InputError as error:
        mouth.say(Word(kind="error", reason=error.lines[0], lines=error.lines))
    except Exception as error:  # noqa: BLE001  whatever it is, the conductor must know, and no key be told
        told = "".join(traceback.format_exception(error))
        sys.stderr.write(told if target is None else access.redacted(told, target))
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        mouth.say(Word(kind="error", reason=reason if target is None else access.redacted(reason, target)))
    mouth.finish()


def _generate(orders: Orders, target: Target, ears: Ears, mouth: Mouth) -> None:
    """Get ready, wait for the start, generate the load, and say how it went."""
    count = _counting(orders)
    transport = StreamTransport(target)
    lines = Lines(
        TraceWriter(part_of(Path(orders.folder), orders.record_id, orders.worker)),
        orders.kept_texts if count is not None else 0,
        seed=orders.worker,
    )
    purse = _purse(orders)
    answers = Answers(_reader(orders, target), lines, purse)
    tools = Tools(
        transport=transport,
        plan=plan(orders.traffic, orders.vocabulary.vocabulary(), orders.replicate, count),
        write=Bodies(orders.endpoint, orders.capabilities, orders.traffic.ignore_eos, wants_cache(orders.traffic)).body,
        answers=answers,
        purse=purse,
        hear=ears.commands,
        tell=lambda snapshot: _tell(mouth, snapshot),
    )
    driver = Driver(orders, tools)
    driver.prepare()
    mouth.say(Word(kind="ready"))
    start = _awaited_start(ears)
    if start is not None:
        facts = driver.run(start.epoch_ns or time.perf_counter_ns(), start)
    transport.close()
    lines.close(count, orders.vocabulary.overhead_tokens)
    if start is not None:
        mouth.say(Word(kind="final", facts=facts.model_copy(update={"peak_rss_bytes": peak_rss_bytes()})))


def _tell(mouth: Mouth, snapshot: Snapshot) -> None:
    mouth.say(Word(kind="snapshot", snapshot=snapshot))


def _counting(orders: Orders) -> Count | None:
    """A local tokenizer's count, where the conductor found one."""
    if not orders.tokenizer:
        return None
    found = tokenizer.find(orders.endpoint, orders.model, lambda _: None)
    return None if found is None else found.count


def _purse(orders: Orders) -> Purse | None:
    if orders.allowance is None:
        return None
    overhead = orders.capabilities.overhead_tokens
    is_sure = orders.vocabulary.source in ("ids", "tokenizer")
    return Purse(
        orders.allowance,
        overhead_tokens=TEMPLATE_TOKENS if overhead is None else overhead,
        input_ratio=1.0 if is_sure else ESTIMATE_RATIO,
        mark=Mark(Path(orders.folder), orders.record_id, f"w{orders.worker}"),
    )


def _reader(orders: Orders, target: Target) -> Read:
    """`read_answer` for this endpoint, with no key in what it says of errors."""
    api, stream = orders.endpoint.api, orders.endpoint.stream and orders.capabilities.streams

    def read(exchange: Exchange, request: Request, epoch_ns: int) -> str:
        text = read_answer(exchange, request, epoch_ns, api, stream)
        if request.error is not None:
            request.error = access.redacted(request.error, target)
        return text

    return read


def _awaited_start(ears: Ears) -> Command | None:
    """The command that says when to start; None when the conductor is gone or changed its mind."""
    limit = time.monotonic() + WAIT_S
    while time.monotonic() < limit:
        commands = ears.commands()
        if commands is None:
            return None
        for command in commands:
            if command.abort:
                return None
            if command.epoch_ns is not None:
                return command
        time.sleep(0.001)
    return None


if __name__ == "__main__":
    main()
