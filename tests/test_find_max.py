"""`bench run --find-max` against a mock server whose capacity is known; and what a level's failure says."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.cli import run as command_line
from bench.execute import search
from bench.metrics.serving.search import Search
from bench.schema import Failure, Record
from tests.commands import bench, lines
from tests.mocked import mock
from tests.underload import job, traffic

CLOSED = """\
runners: {{name: openai, base_url: '{url}'}}
workloads: {{load: closed, concurrency: 3, input_tokens: 8, output_tokens: 8, warmup_s: 0.1, until: {{requests: 36}}}}
slo: ['ttft_s.p80<=0.022']
"""


@pytest.mark.alone
def test_the_most_streams_that_a_server_has_slots_for(tmp_path: Path) -> None:
    """Three slots and 66 ms a request: a fourth stream waits for a slot."""
    path, out = tmp_path / "max.yaml", tmp_path / "out"
    with mock(ttft_s=0.01, itl_s=0.008, slots=3) as server:
        path.write_text(CLOSED.format(url=server.base_url))
        done = bench("run", path, "--out", out, "--find-max")
        assert done.returncode == 0, done.stderr
        assert "highest load that met every objective: 3 streams at once; 4 did not" in done.stderr
        before = len(lines(out))
        again = bench("run", path, "--out", out, "--find-max", "--slo", "ttft_s.p80<=5ms")
        assert "no load met every objective" in again.stderr
    levels = {one["cell"]["traffic"]["concurrency"] for one in lines(out)}
    assert levels >= {1, 3, 4, 6}
    assert [one["cell"]["traffic"]["concurrency"] for one in lines(out)[before:]] == [1]  # all others were there
    rows = json.loads((out / "table-serving.json").read_text())["rows"]
    assert len(rows) == len(levels)
    assert "--find-max" in next(one["command"] for one in lines(out) if one["cell"]["traffic"]["concurrency"] == 6)
    refused = bench("run", path, "--out", out, "--find-max", "--slo", "ttft_s.p99.9<=1")
    assert refused.returncode == 2
    assert "cannot show" in refused.stderr


def record(folder: Path, **more: Any) -> Record:
    given = job(folder, traffic(concurrency=4))
    fields: dict[str, Any] = {"record_id": "a", "replicate": 0, "started_at": "", "cell": given.cell}
    return Record.model_construct(**fields, **more)


def test_a_level_at_which_the_server_cannot_start_is_not_met(tmp_path: Path) -> None:
    tellings = search.Tellings(Search(lowest=1, integer=True), (), tmp_path)
    tellings.add(record(tmp_path, status="oom", error=Failure(reason="no memory", exit_code=0)), 4)
    assert tellings.search.next() == 2
    tellings.add(record(tmp_path, status="invalid", error=Failure(reason="refused", exit_code=0)), 2)
    assert tellings.search.next() == 2


def test_a_run_that_we_were_killed_in_says_nothing_of_its_level(tmp_path: Path) -> None:
    assert search._tells(record(tmp_path, status="oom", error=Failure(reason="no memory", exit_code=-9)))
    assert not search._tells(record(tmp_path, status="crashed", error=Failure(reason="killed under load")))
    assert not search._tells(record(tmp_path, status="crashed", error=Failure(reason="interrupted", exit_code=130)))


@dataclass(frozen=True)
class Named:
    cell_id: str


def test_a_search_leaves_no_cell_of_the_config_out_of_the_plan() -> None:
    kept = command_line._with([Named("b"), Named("c")], [Named("a"), Named("b")])  # type: ignore[list-item]
    assert [one.cell_id for one in kept] == ["b", "c", "a"]
