"""A row of the tables of cells under load, and what is said of a load: its words, its level, its family."""

import json
from dataclasses import dataclass, field
from datetime import date

from bench.cost.billed import Bill
from bench.cost.hourly import HourlyRate
from bench.cost.mix import Mix
from bench.cost.serving import ApiOfMix, Asleep, Good, Prices
from bench.metrics.serving import ServingFigures
from bench.metrics.serving import frontier as levels
from bench.metrics.serving.billed import Billed
from bench.metrics.statistics import Estimate
from bench.metrics.verdict import Reason
from bench.report.serving.counters import Counted
from bench.schema import Cell, Environment, Failure, Serving, Slo, Status, Stop, Traffic

Level = tuple[float, str]
"""Of a load, with its unit."""


@dataclass(frozen=True)
class ServingDollars:
    """What the tokens of a row cost. Of a machine there are `rate`, `full`, `at` and perhaps `good` and `asleep`; of an
    endpoint that is paid by the token there is the `bill`.

    `at` is at the assumed utilisation, `full` at 1. `usd_per_mtok` is all that a million tokens cost, input and output
    together: what is compared with APIs. `mix` are the tokens that are priced there.
    """

    day: date
    mix: Mix
    usd_per_mtok: Estimate
    apis: tuple[ApiOfMix, ...]
    utilisation: float = 1.0
    ratio: float = 4.0
    rate: HourlyRate | None = None
    whose: str = ""
    full: Prices | None = None
    at: Prices | None = None
    one_off_usd_per_mtok: float = 0.0
    good: Good | None = None
    asleep: Asleep | None = None
    not_asleep_because: str | None = None
    bill: Bill | None = None
    checked: Billed | None = None
    good_mix: Mix | None = None
    """Tokens of what met every objective."""
    api_cached_share: float = 0.0
    asked_utilisation: float = 1.0
    """What was asked for, also where a serverless machine does not idle."""
    blends: tuple[str, ...] = ()
    """Ratios of input to output that dollars are given at, too."""

    @property
    def cheapest(self) -> ApiOfMix | None:
        """The cheapest of the compared APIs for these tokens."""
        return min(self.apis, key=lambda one: one.usd_per_mtok, default=None)


@dataclass(frozen=True)
class ServingRow:
    """One cell under load on one machine, against one server: figures, dollars and verdict, or why there are none.

    `servings` are its replicates' own facts, in the order of the journal, `counted` what the server's own counters say
    of each replicate's steady window.
    """

    cell: Cell
    environment: Environment
    status: Status
    replicates: int
    servings: tuple[Serving, ...] = ()
    figures: ServingFigures | None = None
    dollars: ServingDollars | None = None
    verdict: tuple[Reason, ...] = ()
    failure: Failure | None = None
    no_dollars_because: str | None = None
    counted: tuple[Counted, ...] = ()
    machine: str | None = None
    """Of a fleet: what its config calls the machine."""
    slo: tuple[Slo, ...] = ()
    command: str | None = None
    stop: Stop | None = None
    failed_runs_usd: float = 0.0
    """Of a paid endpoint: what runs cost of which no figure came."""
    unpriced_bill: Bill | None = None
    """Of a paid endpoint: what was spent for figures of which no dollar can be made."""
    measured_at: str | None = None
    """When its first replicate began."""
    notes: tuple[str, ...] = field(default=())
    at_one_usd_per_hour: ServingDollars | None = None
    """Where nobody knows what the hour costs: dollars at $1, so that they can follow a price that is asked for."""

    @property
    def traffic(self) -> Traffic:
        """Raises ValueError for a cell that is not under load."""
        if self.cell.traffic is None:
            raise ValueError("not a cell under load")
        return self.cell.traffic

    @property
    def bill(self) -> Bill | None:
        """What was spent at an endpoint that is paid by the token, whatever the verdict."""
        return self.unpriced_bill if self.dollars is None else self.dollars.bill

    @property
    def meets(self) -> bool | None:
        """Whether every objective was met; None without objectives, or without figures."""
        if self.figures is None or not self.figures.objectives:
            return None
        return all(one.met for one in self.figures.objectives)

    @property
    def fatal(self) -> str:
        """The codes of what makes the figures mean nothing; empty where nothing does."""
        return ", ".join(reason.code for reason in self.verdict if reason.fatal)


UNITS = {"closed": "streams", "trace": "times its speed"}


def is_open(traffic: Traffic) -> bool:
    """Whether requests come by a schedule, however long the answers take."""
    return traffic.load != "closed"


def level(traffic: Traffic) -> Level | None:
    """How high the load is; None where it has no level.

    >>> level(Traffic(load="closed", concurrency=16)), level(Traffic(load="poisson", requests_per_s=4))
    ((16.0, 'streams'), (4.0, 'requests/s'))
    """
    value = levels.level_of(traffic)
    return None if value is None else (value, UNITS.get(traffic.load, "requests/s"))


def load_text(traffic: Traffic) -> str:
    """The load in two words, with the shape of what is bursty.

    >>> load_text(Traffic(load="closed", concurrency=16)), load_text(Traffic(load="poisson", requests_per_s=4))
    ('closed 16', 'poisson 4/s')
    >>> load_text(Traffic(load="gamma", requests_per_s=0.5, burstiness=0.25))
    'gamma(0.25) 0.5/s'
    """
    shape = {"gamma": f"({traffic.burstiness:g})", "burst": f"({traffic.burst_size})"}.get(traffic.load, "")
    return traffic.label().replace(traffic.load, f"{traffic.load}{shape}", 1)


def family(row: ServingRow) -> str:
    """Equal for rows that differ in the level of their load alone."""
    of = server_key(row.servings[0] if row.servings else None)
    return json.dumps([levels.family(row.cell), row.environment.fingerprint(), *of])


def server_key(serving: Serving | None) -> tuple[str, ...]:
    """What tells runs against one endpoint apart: what it calls itself, what it serves, and whose weights."""
    if serving is None:
        return ()
    able, own = serving.capabilities, serving.server
    started = ("", "", "") if own is None else (own.engine, own.version or "", own.weights_id or "")
    return able.server or "", able.served_model, *started


def engine_text(row: ServingRow) -> str:
    """Which engine, or which endpoint, in a few words."""
    if row.servings:
        able, own = row.servings[0].capabilities, row.servings[0].server
        if own is not None:
            return f"{own.engine} {own.version}" if own.version else own.engine
        if able.server:
            return able.server
    options = row.cell.runner.options
    server = options.get("server")
    if isinstance(server, dict) and server.get("engine"):
        return str(server["engine"])
    return host_of(str(options.get("base_url") or "")) or row.cell.runner.name


def host_of(url: str) -> str:
    """Host and port of a URL; nothing that could be a name and a password, or a key.

    >>> host_of("http://user:secret@127.0.0.1:8000/v1?key=1")
    '127.0.0.1:8000'
    """
    rest = url.partition("://")[2] or url
    for mark in "/?#":
        rest = rest.partition(mark)[0]
    return rest.rpartition("@")[2]
