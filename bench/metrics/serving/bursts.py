"""How much more than chance arrivals come together. Light: no numpy."""

from bench.schema import Traffic

OF_A_TRACE = 10.0
"""Taken for one, whose own bursts are not known beforehand."""


def dispersion(traffic: Traffic) -> float:
    """Variance over mean of the arrivals in a long stretch, at least 1, as of Poisson.

    >>> dispersion(Traffic(load="gamma", requests_per_s=5, burstiness=0.25))
    4.0
    """
    if traffic.load == "burst":
        return float(traffic.burst_size)
    if traffic.load == "gamma":
        return max(1.0, 1 / traffic.burstiness)
    return OF_A_TRACE if traffic.load == "trace" else 1.0
