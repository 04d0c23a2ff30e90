"""A run under load whose figures can be worked out by hand, trace and all.

`streams` answer one request after another without pause; a request takes two seconds: half a second to its first token,
then one each tenth of a second, sixteen in all, for 100 prompt tokens of which 20 were cached. Streams begin evenly
after one another: with 4, 20 or 40 of them every half second is like any other. The window is from 4 to 64 s.
So each stream makes 8 output tokens, 50 prompt tokens and half a request a second.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench import traces
from bench.plan.folder import PLAN, StoredPlan
from bench.schema import (
    Capabilities,
    Cell,
    ClientFacts,
    CostChoices,
    Environment,
    Model,
    Record,
    Request,
    RunnerChoice,
    Served,
    ServerFacts,
    Serving,
    SharedPrefix,
    Slo,
    Traffic,
    Workload,
)
from bench.store import Journal
from tests.samples import environment

WARM_S, STOPPED_S = 4.0, 64.0
INPUT, CACHED, OUTPUT = 100, 20, 16
TTFT_S, GAP_S = 0.5, 0.1
REQUEST_S = TTFT_S + GAP_S * (OUTPUT - 1)


def request(index: int, sent_s: float, **changed: Any) -> Request:
    """One that was answered as all are here, unless `changed`."""
    said: dict[str, Any] = {
        "index": index,
        "sent_s": sent_s,
        "first_token_s": sent_s + TTFT_S,
        "first_answer_s": sent_s + TTFT_S,
        "last_token_s": sent_s + REQUEST_S,
        "done_s": sent_s + REQUEST_S,
        "finish": "length",
        "asked_input_tokens": INPUT,
        "asked_output_tokens": OUTPUT,
        "input_tokens": INPUT,
        "cached_tokens": CACHED,
        "output_tokens": OUTPUT,
        "count_source": "usage",
        "first_event_tokens": 1,
        "chunks": OUTPUT,
        "gaps_us": [round(GAP_S * 1e6)] * (OUTPUT - 1),
        "gap_tokens": [1] * (OUTPUT - 1),
    }
    return Request(**(said | changed))


def requests(streams: int = 4, change: Callable[[int], dict[str, Any]] = lambda _: {}) -> list[Request]:
    """All that were sent before sending stopped; `change` says what is other with the one of a number."""
    found = []
    for stream in range(streams):
        begun = 1 / 32 + REQUEST_S / streams * stream  # between the edges of the timeline's bins, and exact
        while begun < STOPPED_S:
            found.append((begun, stream))
            begun += REQUEST_S
    return [request(index, sent, worker=0, **change(index)) for index, (sent, _) in enumerate(sorted(found))]


def served_cell(streams: int = 4, **options: Any) -> Cell:
    """A closed loop at an endpoint."""
    cell = Cell(
        model=Model(source="builtin:smollm2-135m"),
        precision=Served(name="served"),
        runner=RunnerChoice(name="openai", options={"base_url": "http://127.0.0.1:8000/v1", **options}),
        workload=Workload(batch_size=1, input_tokens=INPUT, output_tokens=OUTPUT),
        traffic=Traffic(
            load="closed",
            concurrency=streams,
            input_tokens=INPUT,
            output_tokens=OUTPUT,
            shared_prefix=SharedPrefix(hit_rate=CACHED / INPUT),
        ),
    )
    return cell.identified(options)


def served(
    folder: Path,
    of: Iterable[Request] | None = None,
    cell: Cell | None = None,
    replicate: int = 0,
    where: Environment | None = None,
    server: ServerFacts | None = None,
    able: Capabilities | None = None,
    **changed: Any,
) -> Record:
    """A record with its trace in the folder."""
    own = cell or served_cell()
    record_id = f"{own.cell_id}.{replicate}.sample"
    assert own.traffic is not None
    everything = list(of) if of is not None else requests(own.traffic.concurrency or 4)
    part, whole = traces.part_of(folder, record_id, 0), traces.path_of(folder, record_id)
    writer = traces.TraceWriter(part)
    writer.write(everything)
    writer.close()
    serving: dict[str, Any] = {
        "trace": str(whole.relative_to(folder)),
        "trace_sha256": traces.join([part], whole),
        "requests": len(everything),
        "capabilities": able or Capabilities(served_model="smollm2-135m", server="sample 1.0", usage_chunk=True),
        "server": server,
        "loopback": True,
        "length_source": "ids",
        "warm_s": WARM_S,
        "stopped_s": STOPPED_S,
        "finished_s": STOPPED_S + 2,
        "ended": "duration",
        "clients": (ClientFacts(worker=0, requests=len(everything), chunks=1, cpu_s=0.1, wall_s=66.0),),
    }
    return Record(
        record_id=record_id,
        replicate=replicate,
        status="ok",
        started_at="2026-11-22T08:00:00+00:00",
        cell=own,
        environment=where or environment(),
        serving=Serving(**(serving | changed)),
    )


def stored(folder: Path, records: Sequence[Record], slo: Sequence[Slo] = (), cost: CostChoices | None = None) -> Path:
    """A run's folder with these records, and a plan of their cells."""
    with Journal(folder) as journal:
        for record in records:
            journal.append(record)
    plan = StoredPlan(
        name="sample",
        config="sample.yaml",
        cells=tuple(dict.fromkeys(record.cell.cell_id for record in records)),
        replicates=1,
        slo=tuple(slo),
        cost=cost or CostChoices(usd_per_hour=3.6),
    )
    (folder / PLAN).write_text(plan.model_dump_json())
    return folder
