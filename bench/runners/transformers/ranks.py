"""The processes of a tensor parallel deployment, as the first of them sees the others.

The first rank is the worker itself, so that the stamps are taken where its tokens are. It starts the others with the
environment that torchrun gives, and tells each over a pipe what to do: a rank that waits for work sleeps in a read,
where one that waited in a collective would spin on its device. All ranks then run the same forwards; that is the whole
protocol inside of a timed round. When a rank dies, its socket closes, which a collective over gloo notices at once;
one over NCCL does not, so that it is aborted. A rank that is stuck is given up after `sharded.COLLECTIVE_S`.

torchrun's own agent is not used: it would start the first rank too, restart what died, and wake up ten times a second.
"""

import hashlib
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from bench.errors import BrokenContractError, DoesNotFitError, UnsupportedError
from bench.models import catalogue
from bench.runners.transformers import Options, load, sharded
from bench.schema import Model, ModelFacts, Precision

START_S = 300.0
"""For all ranks to import the engine and to find each other."""
GRACE_S = 15.0
"""For a collective to fail after a rank has died, and for a rank that died to say why."""
LOOPBACK = "127.0.0.1"
ELSEWHERE = Path(__file__).parents[2] / "execute" / "elsewhere.py"
"""Finds `bench` in whatever Python this is."""


class RankError(RuntimeError):
    """A rank failed. `out_of_memory` says whether that was the reason."""

    def __init__(self, text: str, out_of_memory: bool = False) -> None:
        super().__init__(text)
        self.out_of_memory = out_of_memory


class Ranks:
    """The ranks 1 … N − 1 of this process, which is rank 0."""

    def __init__(self, model: Model, precision: Precision, options: Options) -> None:
        """Starts them and waits until all have found each other. Raises UnsupportedError before, where that is known
        to be in vain, and RankError when one of them dies."""
        load.check_devices(options)
        gguf = catalogue.kind(model) == "gguf" or model.gguf_file is not None
        sharded.check(options, precision, None if gguf else catalogue.config(model), gguf)
        self._number = options.tensor_parallel
        self._lost = threading.Event()
        self._waiting = threading.Event()
        self._others: list[tuple[subprocess.Popen[bytes], Connection]] = []
        self._store, port = _store()
        os.environ.update(_environment(0, self._number, port))
        self._said: list[Any] = []
        with self._closed_on_failure():
            for rank in range(1, self._number):
                self._others.append(_started(rank, self._number, port))
            threading.Thread(target=self._watch, daemon=True).start()
            for rank, (_, pipe) in enumerate(self._others, 1):
                self._send(rank, pipe, (model, precision, options))
            self._answers(START_S)
            with self._waits():
                sharded.join(0, self._number)

    # --- what they do

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Have every rank load its share while this one loads its own; they need nothing of each other for that."""
        with self._closed_on_failure():
            self._tell("load_here")
            yield

    def facts_of_all(self, own: ModelFacts) -> ModelFacts:
        """The facts of this rank with the bytes and devices of all of them, once each has loaded its share."""
        with self._closed_on_failure():
            return merged(own, self._answers(None))

    @contextmanager
    def together(self, what: str, *arguments: Any) -> Iterator[None]:
        """Have the others do what this rank does meanwhile, and end when all have done it. Raises what ended one."""
        self._tell(what, *arguments)
        try:
            with self._waits():
                yield
                self._said = self._answers(None)
        except (RankError, UnsupportedError, DoesNotFitError, torch.OutOfMemoryError, MemoryError):
            self.close()
            raise
        except Exception as error:
            failed = self._why(GRACE_S)
            self.close()
            if failed is None and "imed out" in str(error):
                failed = RankError(f"another rank did not take part in a sum for {sharded.COLLECTIVE_S:g} s")
            if failed is not None:
                raise failed from error
            raise

    def agree(self, tokens: Sequence[Sequence[int]]) -> None:
        """Raises BrokenContractError where a rank chose other tokens than this one in what they just generated."""
        if any(said != digest(tokens) for said in self._said):
            raise BrokenContractError("the ranks of a tensor parallel model chose different tokens")

    def reset_device_peaks(self) -> None:
        """Start new peaks of device memory on the other ranks."""
        self._tell("reset_device_peaks")
        self._answers(GRACE_S)

    def device_peaks(self) -> Mapping[str, int]:
        """Bytes that torch allocated and reserved at most on the other ranks, added; none on a CPU."""
        self._tell("device_peaks")
        total: dict[str, int] = {}
        for peaks in self._answers(GRACE_S):
            for name, size in peaks.items():
                total[name] = total.get(name, 0) + size
        return total

    def close(self) -> None:
        """End the others; they end by themselves with this process too."""
        others, self._others = self._others, []
        for process, pipe in others:
            process.kill()
            process.wait()
            pipe.close()

    @contextmanager
    def _closed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    # --- how they are told, and what they answer

    def _tell(self, what: str, *arguments: Any) -> None:
        if not self._others:
            raise RankError("the other ranks of this model have ended")
        for rank, (_, pipe) in enumerate(self._others, 1):
            self._send(rank, pipe, (what, arguments))

    def _send(self, rank: int, pipe: Connection, message: Any) -> None:
        try:
            pipe.send(message)
        except OSError:
            raise self._why(GRACE_S) or RankError(f"rank {rank} does not listen") from None

    def _answers(self, timeout_s: float | None) -> list[Any]:
        """One answer of each; without a timeout for as long as they live, which the worker's own limit ends."""
        found = []
        for rank, (process, pipe) in enumerate(self._others, 1):
            try:
                if not pipe.poll(timeout_s):
                    raise RankError(f"rank {rank} did not answer within {timeout_s:g} s")
                kind, said = pipe.recv()
            except (EOFError, OSError):
                raise _ended(rank, process) from None
            if kind != "done":
                raise _typed(rank, said)
            found.append(said)
        return found

    def _why(self, timeout_s: float) -> Exception | None:
        """Why another rank ended, waited for so long; None where all seem to live."""
        if not self._lost.wait(timeout_s):
            return None
        ended = None
        for rank, (process, pipe) in enumerate(self._others, 1):
            try:
                while pipe.poll(0):
                    kind, said = pipe.recv()
                    if kind != "done":
                        return _typed(rank, said)
            except (EOFError, OSError):
                ended = ended or _ended(rank, process)
        return ended

    # --- a rank that dies

    @contextmanager
    def _waits(self) -> Iterator[None]:
        """This process waits for the others in collectives, from which a dead one does not always free it."""
        self._waiting.set()
        try:
            if self._lost.is_set():
                raise self._why(0) or RankError("a rank has ended")
            yield
        finally:
            self._waiting.clear()

    def _watch(self) -> None:
        """In a thread that sleeps until a rank's end of its pipe is closed, which is the moment of its death."""
        poller = select.poll()
        for _, pipe in self._others:
            poller.register(pipe.fileno(), 0)  # hang-ups are told even where nothing is asked for
        poller.poll()
        self._lost.set()
        if not self._waiting.is_set():
            return  # whoever speaks to it next will hear
        if dist.is_initialized() and dist.get_backend() == "nccl":
            dist.distributed_c10d._abort_process_group()
        for _ in range(int(2 * GRACE_S)):
            if threading.Event().wait(1.0) or not self._waiting.is_set():
                return
        print("a rank has ended, and this one hangs in a collective", file=sys.stderr, flush=True)
        os._exit(1)


def digest(tokens: Sequence[Sequence[int]]) -> str:
    """What ranks compare instead of all tokens."""
    return hashlib.sha256(repr([list(row) for row in tokens]).encode()).hexdigest()


def merged(own: ModelFacts, others: Sequence[ModelFacts]) -> ModelFacts:
    """One model's facts from those of its ranks: their weights added, what is whole on several counted on each."""
    everyone = [own, *others]
    placement: dict[str, int] = {}
    for one in everyone:
        for place, size in one.placement.items():
            placement[place] = placement.get(place, 0) + size
    return own.model_copy(
        update={
            "weights_bytes": sum(one.weights_bytes for one in everyone),
            "placement": placement,
            "accelerators": tuple(device for one in everyone for device in one.accelerators),
            "parallel": {"tensor": len(everyone)},
        }
    )


def _store() -> tuple[Any, int]:
    """The store where ranks find each other, on a free port of the loopback alone, and that port."""
    listening = socket.create_server((LOOPBACK, 0))
    port = listening.getsockname()[1]
    timeout = timedelta(seconds=START_S)
    descriptor = listening.detach()
    store = dist.TCPStore(LOOPBACK, port, None, True, timeout, False, master_listen_fd=descriptor)
    return store, port


def _environment(rank: int, ranks: int, port: int) -> dict[str, str]:
    """What torchrun sets. The store is there already, so that no rank opens one."""
    loopback = "lo" if sys.platform.startswith("linux") else "lo0"
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", loopback),
        "NCCL_SOCKET_IFNAME": os.environ.get("NCCL_SOCKET_IFNAME", loopback),
    }


def _started(rank: int, ranks: int, port: int) -> tuple[subprocess.Popen[bytes], Connection]:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, str(ELSEWHERE), "-m", "bench.runners.transformers.follower", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env={**os.environ, **_environment(rank, ranks, port)},
        )
    return process, Connection(ours.detach())


def _ended(rank: int, process: "subprocess.Popen[bytes]") -> RankError:
    """What an end without a word means."""
    try:
        code = process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        return RankError(f"rank {rank} closed its pipe and goes on")
    if code == -9:
        return RankError(f"rank {rank} was killed by the system (signal 9), most likely because memory ran out", True)
    what = f"died of signal {-code}" if code < 0 else f"ended with exit code {code}"
    return RankError(f"rank {rank} {what}; its own words are in the log")


def _typed(rank: int, said: Mapping[str, Any]) -> Exception:
    """The error that another rank told of, as if it were this one's."""
    if said["kind"] == "unsupported":
        return UnsupportedError(f"rank {rank}: {said['reason']}", said["remedy"])
    if said["kind"] == "does not fit":
        return DoesNotFitError(f"rank {rank}: {said['reason']}", said["remedy"])
    return RankError(f"rank {rank}: {said['reason']}", said["kind"] == "oom")
