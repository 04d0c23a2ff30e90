"""An hour at 500 requests/s in one process's memory: made-up answers through the code that every answer takes.

    python scripts/simulate_hour.py [--requests 1800000] [--tokens 64] [--trace FILE] [--fold] [--read]

Each made-up exchange becomes a request, is counted, sampled, and written into a trace as in a load generator, as fast
as it goes, with a snapshot twice a simulated second that goes through the conductor's own books. Prints the peak memory
of this process. With --read the bytes of each stream are parsed as well, which takes some minutes more. With --fold the
trace is then folded as a report does, and the peak is printed again.
"""

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import traces
from bench.client import Exchange
from bench.client.events import read_answer
from bench.loads import Session, Turn
from bench.measure.serving.answers import Answers
from bench.measure.serving.lines import Lines
from bench.measure.serving.live import Merged
from bench.measure.serving.sessions import Talk
from bench.schema import Request
from bench.sensors.memory import peak_rss_bytes

RATE = 500
MIB = 1 << 20


def events(tokens: int) -> list[bytes]:
    """A stream as a server sends it, an event a token."""
    told = [
        b'data: {"id":"x","choices":[{"index":0,"delta":{"content":" tok"},"finish_reason":null}]}\n\n'
        for _ in range(tokens)
    ]
    end = b'data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":128,"completion_tokens":%d}}\n\ndata: [DONE]\n\n' % tokens
    return [*told, end, usage]


def exchange(index: int, pieces: list[bytes]) -> Exchange:
    """One that was sent at its time: first token after 50 ms, 10 ms a token, and some noise."""
    sent_ns = index * (1_000_000_000 // RATE)
    turn = Turn("", 64, 128)
    talk = Talk(Session(index, sent_ns / 1e9, [turn]), 0, [""], b"", 128, True, sent_ns / 1e9)
    talk.request = Request(index, session=index, due_s=sent_ns / 1e9, asked_output_tokens=64, asked_input_tokens=128)
    noise = (index * 7919) % 997
    stamps = [sent_ns + 50_000_000 + noise * 1000 + at * (10_000_000 + noise * 31) for at in range(len(pieces))]
    return Exchange(
        tag=talk, sent_ns=sent_ns, read_ns=stamps, pieces=pieces, http_status=200, done_ns=stamps[-1], headers={}
    )


def made_up(one: Exchange, request: Request, _: int) -> str:
    """What `read_answer` would find, without parsing."""
    stamps = [at / 1e9 for at in one.read_ns[:-2]]
    request.sent_s = (one.sent_ns or 0) / 1e9
    request.first_token_s = request.first_answer_s = stamps[0]
    request.last_token_s, request.done_s = stamps[-1], (one.done_ns or 0) / 1e9
    request.http_status, request.finish, request.count_source = 200, "length", "usage"
    request.input_tokens, request.output_tokens, request.chunks = 128, len(stamps), len(stamps)
    request.first_event_tokens = 1
    request.gaps_us = [
        (later - earlier) // 1000 for earlier, later in zip(one.read_ns, one.read_ns[1:-2], strict=False)
    ]
    request.gap_tokens = [1] * (len(stamps) - 1)
    return ""


def run(trace: Path, requests: int, tokens: int, read: Callable[[Exchange, Request, int], str]) -> None:
    """Push that many requests through."""
    answers = Answers(read, Lines(traces.TraceWriter(trace), kept=50), None)
    merged = Merged(1, keep_samples=True)
    pieces = events(tokens)
    gc.freeze()
    gc.disable()
    for index in range(requests):
        answers.wait(exchange(index, pieces))
        while answers.step(0):
            pass
        if index % (RATE // 2) == 0:
            merged.take(0, answers.tally.snapshot(index / RATE).model_copy(update={"sent": index}))
            merged.stand(index / RATE)
            if gc.get_count()[0] > 50_000:
                gc.collect(0)
    gc.enable()
    answers.flush()
    answers.lines.close(None, 0)


def main() -> None:
    """Print peak memory and time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_800_000)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--trace", type=Path, help="keep the trace here")
    parser.add_argument("--read", action="store_true", help="parse each stream")
    parser.add_argument("--fold", action="store_true", help="fold the trace afterwards, as a report does")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trace = asked.trace or Path(folder) / "hour.jsonl.gz"
        start = time.perf_counter()
        parsed = lambda one, request, epoch_ns: read_answer(one, request, epoch_ns, "chat", True)  # noqa: E731
        run(trace, asked.requests, asked.tokens, parsed if asked.read else made_up)
        took_s = time.perf_counter() - start
        print(
            f"{asked.requests:,} requests of {asked.tokens} tokens in {took_s:.0f} s "
            f"({took_s / asked.requests / asked.tokens * 1e6:.2f} µs a token), "
            f"trace {trace.stat().st_size / MIB:.0f} MiB, peak memory {(peak_rss_bytes() or 0) / MIB:.0f} MiB"
        )
        if asked.fold:
            from bench.metrics.serving.columns import fold

            start = time.perf_counter()
            columns = fold(traces.read(trace))
            print(
                f"folded in {time.perf_counter() - start:.0f} s, peak memory {(peak_rss_bytes() or 0) / MIB:.0f} MiB "
                f"({type(columns).__name__})"
            )


if __name__ == "__main__":
    main()
