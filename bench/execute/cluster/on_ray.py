"""A Ray cluster behind the seam: `ray://HEAD[:PORT]` (Ray Client), or `ray` for the cluster this machine is part of.

Ray starts a process on the node and holds its resources; what is measured runs in a child of that process. Tasks are
pinned to their node, never retried by Ray, and looked after: one whose node is gone would wait for ever.
"""

import os
import socket
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import InputError, extra
from bench.execute.cluster import Claim, Ended, Files, Offer, Order, answered

PORT = 10001
"""Of Ray Client, unless the head was started with another one."""

REACH_S = 5.0
CALL_S = 10.0
"""For the head to answer at all, and for it to answer a question. Ray itself would try for half a minute."""

VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CLIENT_RECONNECT_GRACE_PERIOD": "10",  # seconds that the head keeps tasks of a client it no longer hears of
    "GRPC_VERBOSITY": "NONE",  # it tells of every process that is started beside its threads
}
"""Of this process, unless the person has set them."""

NO_OWN_CLUSTER = ("RAY_ENABLE_AUTO_CONNECT", "0")
"""Without it Ray starts a whole cluster on this machine when it is asked something and the head is gone."""

PROBE_S = 300.0
"""For a node to import what a runner is made of, from a slow disk too."""

ATTEMPTS = 3
SLOW = "Starting Ray client server failed"
"""What a busy head says when the process that it starts for each client takes longer than it waits."""

STOP_S = 12.0
"""A task sees that it is cancelled when its wait for the child wakes, every ten seconds at the latest."""

MISSING = f"Ray is not installed; {extra('ray')}, the same versions on every node"
KIND = "accelerator_type:"


def check(text: str) -> str:
    """The address, whole. Raises InputError for one that is none."""
    if text == "ray":
        return text
    host, colon, port = text.removeprefix("ray://").rpartition(":")
    if not colon:
        host, port = port, str(PORT)
    if not text.startswith("ray://") or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"--on {text}: not an address; write ray://HEAD or ray://HEAD:PORT, ray, or slurm")
    return f"ray://{host}:{port}"


def warning(address: str) -> str | None:
    """What to say of a cluster that anybody in the network may use."""
    host = address.removeprefix("ray://").rpartition(":")[0].strip("[]")
    if address == "ray" or host == "localhost" or host.startswith("127.") or host == "::1":
        return None
    if os.environ.get("RAY_AUTH_MODE") == "token":
        return None
    return (
        f"{host} is not on loopback, and RAY_AUTH_MODE is not `token`: whoever reaches its ports runs programs there. "
        "Start every node with RAY_AUTH_MODE=token (docs/clusters.md)"
    )


@dataclass
class RayCluster:
    """`ray` is the module, imported once it is needed."""

    name: str
    ray: Any
    tickets: dict[str, Any] = field(default_factory=dict)
    """Ticket → reference of its task, or why it could not be submitted."""
    places: dict[str, str] = field(default_factory=dict)
    """Ticket → key of its node."""
    gone: dict[str, int] = field(default_factory=dict)
    """Ticket → how often its node was not there when somebody waited for it."""
    probe_limit_s: float | None = PROBE_S
    remote: Any = None
    is_gone: bool = False
    """Whether the head answers no more: nothing is asked of it again."""

    def offers(self) -> Sequence[Offer]:
        return [_offer(node) for node in self._asked(self.ray.nodes) if node["Alive"]]

    def _asked(self, ask: Callable[..., Any], *words: Any, **named: Any) -> Any:
        """What the head answers. Raises InputError when it is gone, and what Ray says of a task."""
        try:
            return ask(*words, **named)
        except (self.ray.exceptions.RayError, ValueError):
            raise
        except Exception as error:  # whatever a connection that is gone raises  # noqa: BLE001
            self.is_gone = True
            raise InputError(
                f"--on {self.name}: the head is gone ({_line(error)}); everything measured is kept, and the same "
                "command goes on"
            ) from None

    def submit(self, key: str, claim: Claim, order: Order, files: Files) -> str:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ticket = uuid.uuid4().hex
        options = {
            "num_cpus": claim.cpus,
            "num_gpus": claim.devices,
            "max_retries": 0,
            "name": f"bench {order.what}",
            "scheduling_strategy": NodeAffinitySchedulingStrategy(key, soft=False),
        }
        if self.remote is None:
            self.remote = self.ray.remote(max_calls=0)(_performing())
        try:
            text = order.model_dump_json(exclude_defaults=True)
            self.tickets[ticket] = self._asked(self.remote.options(**options).remote, text, dict(files))
        except ValueError as error:  # a node that went away in this very moment
            self.tickets[ticket] = error
        self.places[ticket] = key
        return ticket

    def wait(self, timeout_s: float) -> Sequence[Ended]:
        failed = [ticket for ticket, one in self.tickets.items() if isinstance(one, Exception)]
        pending = {one: ticket for ticket, one in self.tickets.items() if ticket not in failed}
        ready: list[Any] = []
        if pending:
            ready, _ = self._asked(self.ray.wait, list(pending), num_returns=len(pending), timeout=0)
            if not ready and not failed:
                ready, _ = self._asked(self.ray.wait, list(pending), num_returns=1, timeout=timeout_s)
        ended = [Ended(ticket, lost=_line(self.tickets.pop(ticket))) for ticket in failed]
        for ticket in failed:
            del self.places[ticket]
        ended += [self._ended(pending[one]) for one in ready]
        return [*ended, *self._without_node()]

    def _ended(self, ticket: str) -> Ended:
        reference = self.tickets.pop(ticket)
        self.places.pop(ticket, None)
        self.gone.pop(ticket, None)
        try:
            text, files = self._asked(self.ray.get, reference)
        except self.ray.exceptions.OutOfMemoryError:
            return Ended(ticket, lost="Ray ended it because the node's memory ran out (RAY_memory_usage_threshold)")
        except self.ray.exceptions.RayError as error:
            return Ended(ticket, lost=_why(error))
        return answered(ticket, text, files)

    def _without_node(self) -> list[Ended]:
        """Tasks whose node is gone and of which Ray says nothing, given up the third time."""
        here = {one.key for one in self.offers()} if self.tickets else set()
        found = []
        for ticket in [ticket for ticket in self.tickets if self.places[ticket] not in here]:
            self.gone[ticket] = self.gone.get(ticket, 0) + 1
            if self.gone[ticket] >= 3:
                self.drop(ticket)
                found.append(Ended(ticket, lost="its node left the cluster"))
        return found

    def drop(self, ticket: str) -> None:
        with suppress(Exception):
            self.ray.cancel(self.tickets[ticket], force=True)
        del self.tickets[ticket], self.places[ticket]
        self.gone.pop(ticket, None)

    def stop(self) -> None:
        for force in (False, True) if not self.is_gone else ():
            for one in self.tickets.values():
                with suppress(Exception):
                    self.ray.cancel(one, force=force)
            with suppress(Exception):
                _, left = self.ray.wait(list(self.tickets.values()), num_returns=len(self.tickets), timeout=STOP_S)
                if not left:
                    break
        self.tickets.clear()

    def close(self) -> None:
        with suppress(Exception):
            self.ray.shutdown()


def _performing() -> Callable[[str, Any], Any]:
    """What Ray carries to the nodes: a function that needs nothing of ours to be understood there."""

    def bench_order(text: str, files: Any) -> Any:
        try:
            from bench.execute.cluster import node
        except ImportError as error:
            import json

            return json.dumps({"refused": f"cannot import bench ({error}); install the same version there"}), {}
        return node.perform(text, files)

    bench_order.__module__ = "__main__"  # by value, not by name: a node may have another version, or none
    return bench_order


def connect(address: str) -> RayCluster:
    """Reach a cluster. Raises InputError in one line, soon, for one that refuses, and where Ray is not installed."""
    ray = _imported()
    told = {"logging_level": "ERROR", "log_to_driver": False}
    if address == "ray":
        where = "auto"
    else:
        where = address
        _check_reachable(address)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with _quiet():
                ray.init(where, **told)
            break
        except Exception as error:  # Ray raises of many kinds, none of them ours  # noqa: BLE001
            with suppress(Exception):
                ray.shutdown()
            if attempt == ATTEMPTS or SLOW not in str(error):
                raise InputError(f"--on {address}: {_no_connection(error)}") from None
    return RayCluster(address, ray)


def _imported() -> Any:
    """Ray, also where AMD's Python package is installed and its library is not: that raises no ImportError."""
    if find_spec("ray") is None:
        raise InputError(f"--on: {MISSING}")
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    os.environ.update([NO_OWN_CLUSTER])
    hidden = "amdsmi" not in sys.modules and not _has_rocm()
    if hidden:
        sys.modules["amdsmi"] = None  # type: ignore[assignment]
    try:
        import ray
    except ImportError as error:
        raise InputError(f"--on: Ray cannot be imported ({_line(error)}); {MISSING.partition('; ')[2]}") from None
    finally:
        if hidden:
            del sys.modules["amdsmi"]
    return ray


def _has_rocm() -> bool:
    from ctypes import CDLL

    try:
        CDLL("libamd_smi.so")
    except OSError:
        return Path(os.environ.get("ROCM_PATH", "/opt/rocm"), "lib", "libamd_smi.so").exists()
    return True


def _check_reachable(address: str) -> None:
    """Whether something there answers, and as Ray Client does, to this token. Raises InputError."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    host = host.strip("[]")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except OSError as error:
        why = error.strerror or ("no answer" if isinstance(error, TimeoutError) else str(error))
        raise InputError(
            f"--on {address}: cannot be reached ({why}); is the head started there, with "
            f"--ray-client-server-port={port}?"
        ) from None
    import grpc  # type: ignore[import-untyped]
    from ray._private.grpc_utils import init_grpc_channel

    nouns: Any = import_module("ray.core.generated.ray_client_pb2")
    calls: Any = import_module("ray.core.generated.ray_client_pb2_grpc")
    channel = init_grpc_channel(f"{host}:{port}", asynchronous=False)
    try:
        asked = nouns.ClusterInfoRequest(type=nouns.ClusterInfoType.PING)
        calls.RayletDriverStub(channel).ClusterInfo(asked, timeout=CALL_S, wait_for_ready=False)
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            raise InputError(
                f"--on {address}: it refuses this token; set RAY_AUTH_MODE=token and the RAY_AUTH_TOKEN (or "
                "RAY_AUTH_TOKEN_PATH) that the head was started with"
            ) from None
        raise InputError(
            f"--on {address}: what answers there is no Ray Client ({error.code().name.lower()}); the port of the "
            "head's --ray-client-server-port is meant, not that of its own --port"
        ) from None
    except Exception as error:  # a token that is asked for and is not there  # noqa: BLE001
        raise InputError(f"--on {address}: {_line(error)}") from None
    finally:
        channel.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray warns of what its errors say anyhow."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _no_connection(error: Exception) -> str:
    text = _line(error)
    if SLOW in str(error):
        return "the head starts a process for each client, and that took it too long three times: it is too busy"
    if "ersion mismatch" in text:
        return f"{text}; install the same Python and Ray on every machine"
    if isinstance(error, ConnectionError) and "find" in text:
        return f"no Ray runs on this machine ({text}); start it with `ray start`, or name a head: ray://HEAD"
    return text


def _why(error: Exception) -> str:
    """Why a task brought nothing."""
    name = type(error).__name__
    return {
        "NodeDiedError": "its node died",
        "WorkerCrashedError": "its process on the node died",
        "TaskUnschedulableError": "its node left the cluster",
        "TaskCancelledError": "it was cancelled",
        "LocalRayletDiedError": "its node died",
        "ObjectLostError": "its node died before it brought the result",
        "OwnerDiedError": "its node died before it brought the result",
    }.get(name, f"{name}: {_line(error)}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _offer(node: dict[str, Any]) -> Offer:
    resources = dict(node["Resources"])
    labelled = (node.get("Labels") or {}).get("ray.io/accelerator-type")
    named = [name.removeprefix(KIND) for name in resources if name.startswith(KIND)]
    return Offer(
        node["NodeID"],
        float(resources.get("CPU", 0.0)),
        int(resources.get("GPU", 0)),
        {name: amount for name, amount in resources.items() if not name.startswith("node:")},
        tuple(dict.fromkeys([*named, *([labelled] if labelled else [])])),
    )
