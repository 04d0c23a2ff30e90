"""What contradicts itself in a load, said before anything is sent: each with its key and what to do about it."""

from collections.abc import Iterator

from bench.loads import lengths
from bench.loads.lengths import LONGEST
from bench.schema import Lengths, Traffic

BURSTINESS = (0.01, 10_000.0)
"""Below, two thousand arrivals are but a few clusters; above, gaps are as good as constant."""


def problems(traffic: Traffic) -> list[tuple[str, str]]:
    """Every contradiction as (key, message); empty where there is none. Reads no file.

    >>> problems(Traffic(load="closed", input_tokens=64, output_tokens=64))
    [('concurrency', 'a closed loop keeps so many streams open at once; say how many, such as concurrency: 8')]
    """
    found = [*_level(traffic), *_shape(traffic)]
    if traffic.load == "trace":
        found += _trace(traffic)
    else:
        found += [*_no_trace(traffic), *_ramp(traffic), *_prompts(traffic), *_turns(traffic)]
    return found


def _level(traffic: Traffic) -> Iterator[tuple[str, str]]:
    if traffic.load == "closed":
        if traffic.concurrency is None:
            message = "a closed loop keeps so many streams open at once; say how many, such as concurrency: 8"
            yield "concurrency", message
        if traffic.requests_per_s is not None:
            yield "requests_per_s", "a closed loop sends when an answer is over; leave it out, or take load: poisson"
        return
    if traffic.concurrency is not None:
        yield "concurrency", "an open loop sends by its schedule; leave it out, take load: closed, or set max_in_flight"
    if traffic.load == "trace":
        if traffic.requests_per_s is not None:
            yield "requests_per_s", "a trace has a rate of its own; leave it out, and set speed to send it faster"
    elif traffic.requests_per_s is None:
        yield "requests_per_s", f"load: {traffic.load} needs its mean rate, such as requests_per_s: 4"


def _shape(traffic: Traffic) -> Iterator[tuple[str, str]]:
    if traffic.load == "burst":
        if traffic.burst_size == 1:
            yield "burst_size", "a burst of one is load: constant; set 2 or more"
        elif traffic.burst_size > traffic.max_in_flight:
            yield "burst_size", f"one burst ends the load by max_in_flight ({traffic.max_in_flight:,}); raise that"
    elif traffic.burst_size != 1:
        yield "burst_size", f"load: {traffic.load} has no bursts; leave it out, or take load: burst"
    if traffic.load != "gamma" and traffic.burstiness != 1:
        yield "burstiness", f"load: {traffic.load} has none; leave it out, or take load: gamma"
    elif not BURSTINESS[0] <= traffic.burstiness <= BURSTINESS[1]:
        remedy = "take load: burst" if traffic.burstiness < 1 else "take load: constant"
        yield "burstiness", f"outside of {BURSTINESS[0]:g} to {BURSTINESS[1]:,.0f} it says nothing new; {remedy}"


def _trace(traffic: Traffic) -> Iterator[tuple[str, str]]:
    if traffic.trace is None:
        yield "trace", "load: trace needs the path of a Mooncake or BurstGPT file"
    for key in ("ramp", "prompts", "shared_prefix", "input_tokens", "output_tokens"):
        if getattr(traffic, key) is not None:
            yield key, "a trace tells this itself; leave it out, or take another load"
    if traffic.turns > 1:
        yield "turns", "each row of a trace is a request of its own; leave it out, or take another load"
    if traffic.think_time_s:
        yield "think_time_s", "a trace tells when each request comes; leave it out"


def _no_trace(traffic: Traffic) -> Iterator[tuple[str, str]]:
    if traffic.trace is not None:
        yield "trace", f"load: {traffic.load} replays nothing; leave it out, or take load: trace"
    if traffic.trace_format != "auto":
        yield "trace_format", "there is no trace; leave it out, or take load: trace"
    if traffic.speed != 1:
        yield "speed", "it is how fast a trace is replayed; leave it out, or set requests_per_s"


def _ramp(traffic: Traffic) -> Iterator[tuple[str, str]]:
    if traffic.ramp is None:
        return
    closed = traffic.load == "closed"
    first = traffic.concurrency if closed else traffic.requests_per_s
    if first is not None and traffic.ramp.to <= first:
        key = "concurrency" if closed else "requests_per_s"
        yield "ramp.to", f"a load grows from {key} ({first:g}) to more; set it over {first:g}, or leave ramp out"
    most = 100_000 if closed else 1_000_000
    if traffic.ramp.to > most:
        yield "ramp.to", f"over {most:,}, which nothing here can send; set less"


def _prompts(traffic: Traffic) -> Iterator[tuple[str, str]]:
    if traffic.prompts is not None:
        if traffic.shared_prefix is not None:
            yield "shared_prefix", "prompts from a file are sent as they are; leave one of the two out"
        if traffic.input_tokens is not None:
            yield "input_tokens", "prompts from a file have their own lengths; leave one of the two out"
    else:
        if traffic.input_tokens is None:
            yield "input_tokens", "say how long prompts are, such as input_tokens: 128, or name a file in prompts"
        if traffic.output_tokens is None:
            yield "output_tokens", "say how long answers may be, such as output_tokens: 64"
    for key, asked in (("input_tokens", traffic.input_tokens), ("output_tokens", traffic.output_tokens)):
        if isinstance(asked, Lengths):
            problem = lengths.problems(asked)
            if problem:
                yield key, problem
        elif asked is not None and not 1 <= asked <= LONGEST:
            yield key, f"{asked:,} tokens; set 1 to {LONGEST:,}"
    yield from _shared(traffic)


def _shared(traffic: Traffic) -> Iterator[tuple[str, str]]:
    asked = traffic.input_tokens
    if traffic.shared_prefix is None or asked is None or (isinstance(asked, Lengths) and lengths.problems(asked)):
        return
    mean = lengths.mean_of(asked)
    shared = round(traffic.shared_prefix.hit_rate * mean)
    key = "shared_prefix.hit_rate"
    if traffic.shared_prefix.hit_rate and not shared:
        yield key, f"of {mean:g} tokens that is less than one; set more, longer prompts, or 0"
    elif mean - shared < 1:
        yield key, f"of {mean:g} tokens nothing is left to tell prompts apart; set less, or longer prompts"


def _turns(traffic: Traffic) -> Iterator[tuple[str, str]]:
    if traffic.think_time_s and traffic.turns == 1:
        yield "think_time_s", "there is a pause between turns only; set turns to 2 or more, or leave it out"
