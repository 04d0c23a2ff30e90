"""One load generator's share of the load: how many streams when, and what to have ready for it. Pure."""

from bench.loads import Plan
from bench.measure.serving.orders import Orders, share

WARMEST_S = 0.05
MOST_CONNECTIONS = 512


class Shape:
    """The load as one process of several sees it.

    The streams of a closed loop do not start all at once: the opening wave would then stay a wave, with every prefill
    at the same moment, and its times are none that a user would see. They start one after another, evenly over the
    time that one request took by itself (`Orders.expected_s`), before the run counts.
    """

    def __init__(self, orders: Orders, plan: Plan) -> None:
        self._orders, self._plan = orders, plan
        self._traffic = orders.traffic
        self.is_closed = orders.traffic.load == "closed"
        self.level: float | None = None
        """Streams of the whole closed loop, where the conductor wants others than the plan."""

    def streams(self, at_s: float) -> int:
        """Streams that this process should have."""
        level = int((self._plan.level(at_s) if self.level is None else self.level) + 1e-9)
        spread_s = self._orders.expected_s
        if at_s < spread_s:
            level = min(level, 1 + int(self._plan.level(0.0) * at_s / spread_s))
        return self._own(level)

    @property
    def started_s(self) -> float:
        """When the load is at its level: the ramp over, every stream begun."""
        ramp_s = 0.0 if self._traffic.ramp is None else self._traffic.ramp.over_s
        return max(ramp_s, self._orders.expected_s if self.is_closed else 0.0)

    @property
    def most_in_flight(self) -> int:
        """Of an open loop."""
        return max(1, self._own(self._traffic.max_in_flight))

    @property
    def ahead(self) -> int:
        """Sessions to make ready: a whole wave of a closed loop, half a second of an open one."""
        if self.is_closed:
            return max(4, self._own(self._most))
        return max(16, self._most // self._orders.workers // 2)

    @property
    def connections(self) -> int:
        """To open beforehand: as many as streams; for an open loop what Little's law says, and half as much again."""
        if self.is_closed:
            return self._own(self._most)
        expected = self._most * max(self._orders.expected_s, WARMEST_S) * 1.5 / self._orders.workers
        return min(MOST_CONNECTIONS, self.most_in_flight, max(4, int(expected)))

    @property
    def _most(self) -> int:
        """The highest level of the load."""
        traffic = self._traffic
        level = float(traffic.concurrency or traffic.requests_per_s or 1.0)
        return max(1, int(max(level, 0.0 if traffic.ramp is None else traffic.ramp.to)))

    def _own(self, whole: int) -> int:
        return share(whole, self._orders.worker, self._orders.workers)
