"""Cells on a real Ray cluster: two nodes on loopback with a token, one killed, the driver killed, wrong addresses.

Ray takes ten seconds to start here, so that one cluster serves all tests of this file.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench import store
from bench.schema import Record
from tests.commands import ROOT, command

sys.path.insert(0, str(ROOT / "scripts"))
from local_cluster import HEAD, LocalCluster  # type: ignore[import-not-found,unused-ignore]

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: the extra `ray`"),
]

CONFIG = """\
models: shape:pythia-70m
precisions: fp32
runners: {{name: fake, prefill_s: {prefill_s}, step_s: 0.001}}
workloads: {{batch_size: [{batches}], input_tokens: 8, output_tokens: 4}}
protocol: {{rounds: 1, max_rounds: 1, warmup_rounds: 0, memory_pass: false}}
replicates: {replicates}
sampling: {{max_replicates: {replicates}}}
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with LocalCluster(({"first": 1}, {"second": 1})) as found:
        yield found


def config(folder: Path, batches: str = "1, 2", prefill_s: float = 0.01, replicates: int = 2, more: str = "") -> Path:
    path = folder / "c.yaml"
    text = CONFIG.format(batches=batches, prefill_s=prefill_s, replicates=replicates)
    path.write_text(text + more, encoding="utf-8")
    return path


def start(cluster: Any, path: Path, out: Path, *more: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command("run", path, "--out", out, "--on", cluster.address, *more),
        env={**cluster.variables, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def finished(run: "subprocess.Popen[str]") -> str:
    _, errors = run.communicate(timeout=240)
    assert run.returncode == 0, errors
    return errors


def records(folder: Path) -> list[Record]:
    return list(store.read(folder, lambda _: None))


def until(ask: Callable[[], object], limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while not ask():
        assert time.monotonic() < end
        time.sleep(0.1)


def children(cluster: Any) -> list[psutil.Process]:
    """Processes that measure a cell, on either node."""
    found = []
    for one in cluster.processes():
        try:
            if "bench.execute.worker" in " ".join(one.cmdline()):
                found.append(one)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
def test_cells_on_machines_are_measured_on_their_nodes_and_once(cluster: Any, tmp_path: Path) -> None:
    machines = (
        "machines: [{name: one, resources: {first: 1}}, {name: two, resources: {second: 1}}, {accelerator: H100}]\n"
    )
    path = config(tmp_path, batches="1", more=machines)
    errors = finished(start(cluster, path, tmp_path / "out"))
    found = records(tmp_path / "out")
    assert {(one.machine, one.replicate, one.cell.workload.batch_size) for one in found} == {
        (name, replicate, 1) for name in ("one", "two") for replicate in (0, 1)
    }
    assert len(found) == 4
    assert all(one.status == "ok" for one in found)
    assert all("--on ray://HEAD --out" in (one.command or "") for one in found)
    assert len({one.node for one in found if one.machine == "one"}) == 1
    assert "left out: 1 cells of H100: node" in errors
    assert "127.0.0" not in (tmp_path / "out" / "records.jsonl").read_text(encoding="utf-8")
    again = finished(start(cluster, path, tmp_path / "out"))
    assert "4 measurements are already in" in again
    assert len(records(tmp_path / "out")) == 4


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_nothing_behind_and_goes_on(cluster: Any, tmp_path: Path) -> None:
    path = config(tmp_path, batches="1, 2, 3", prefill_s=2, replicates=1)
    run = start(cluster, path, tmp_path / "out", RAY_CLIENT_RECONNECT_GRACE_PERIOD="1")
    until(lambda: len(children(cluster)) == 2 and (tmp_path / "out" / "records.jsonl").exists())
    run.send_signal(signal.SIGKILL)
    run.communicate()
    until(lambda: not children(cluster))
    finished(start(cluster, path, tmp_path / "out"))
    assert sorted(one.cell.workload.batch_size for one in records(tmp_path / "out")) == [1, 2, 3]


@pytest.mark.slow
def test_ctrl_c_ends_what_runs_on_the_nodes(cluster: Any, tmp_path: Path) -> None:
    path = config(tmp_path, batches="1, 2", prefill_s=60, replicates=1)
    run = start(cluster, path, tmp_path / "out")
    until(lambda: len(children(cluster)) == 2)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130, errors
    assert "the same command goes on from there" in errors
    until(lambda: not children(cluster), 15)


def test_a_node_that_dies_with_a_cell_is_a_record_and_the_cell_goes_elsewhere(cluster: Any, tmp_path: Path) -> None:
    machines = "machines: [{name: any, cpus: 1}, {accelerator: H100}]\n"
    path = config(tmp_path, batches="1, 2, 3, 4", prefill_s=1, replicates=1, more=machines)
    run = start(cluster, path, tmp_path / "out")
    until(lambda: len(children(cluster)) == 2)
    cluster.kill()
    assert "left out: 4 cells of H100: node" in finished(run)
    found = records(tmp_path / "out")
    assert sorted(one.cell.workload.batch_size for one in found if one.status == "ok") == [1, 2, 3, 4]
    assert {one.machine for one in found} == {"any"}
    assert "127.0.0" not in (tmp_path / "out" / "records.jsonl").read_text(encoding="utf-8")
    (lost,) = [one for one in found if one.status != "ok"]
    assert lost.status == "lost"
    assert lost.error is not None
    assert lost.error.reason.startswith(f"node {lost.node}: its node")


@pytest.mark.slow
def test_a_head_that_dies_is_one_line_and_no_cluster_is_started_here(tmp_path: Path) -> None:
    path = config(tmp_path, batches="1, 2, 3, 4", prefill_s=2, replicates=1)
    journal = tmp_path / "out" / "records.jsonl"
    with LocalCluster() as own:
        run = start(own, path, tmp_path / "out")
        until(lambda: journal.exists() and journal.stat().st_size)
        own.kill(HEAD)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 2, errors
    assert "the head is gone" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert "ERROR" not in errors  # of a Ray that starts by itself
    assert records(tmp_path / "out")


@pytest.mark.slow
def test_quality_is_scored_on_the_node_and_what_the_reference_keeps_comes_back(cluster: Any, tmp_path: Path) -> None:
    path = config(tmp_path, batches="1", replicates=1)
    text = path.read_text(encoding="utf-8").replace("precisions: fp32", "precisions: [fp32, bf16]")
    text = text.replace("shape:pythia-70m", "builtin:smollm2-135m").replace("step_s: 0.001", "step_s: 0.001, text: {}")
    text += "quality: {window_tokens: 64, context_tokens: 32, max_bytes: 4096}\n"
    path.write_text(text + "machines: {name: one, resources: {first: 1}}\n", encoding="utf-8")
    finished(start(cluster, path, tmp_path / "out"))
    scored = [one for one in records(tmp_path / "out") if one.purpose == "quality"]
    assert [one.status for one in scored] == ["ok", "ok"]
    kept = {one.scored.kept_file for one in scored if one.scored is not None} - {None}
    assert kept == {one.name for one in (tmp_path / "out" / "quality").iterdir()}
    assert any(one.scored is not None and one.scored.against is not None for one in scored)


@pytest.mark.parametrize(
    ("on", "variables", "said"),
    [
        ("here", {"RAY_AUTH_TOKEN": "f" * 32}, "refuses this token"),
        pytest.param("ray://127.0.0.1:9", {}, "cannot be reached", marks=pytest.mark.slow),
        pytest.param("gcs", {}, "no Ray Client", marks=pytest.mark.slow),
    ],
)
def test_a_head_that_refuses_is_one_line(
    cluster: Any, tmp_path: Path, on: str, variables: dict[str, str], said: str
) -> None:
    address = {"here": cluster.address, "gcs": cluster.address.replace(str(cluster.port), str(cluster.gcs))}.get(on, on)
    began = time.monotonic()
    done = subprocess.run(
        command("run", config(tmp_path), "--out", tmp_path / "out", "--on", address),
        env={**cluster.variables, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "out").exists()
    assert time.monotonic() - began < 60
    assert json.dumps(done.stdout) == '""'
