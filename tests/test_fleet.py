"""Cells × machines over nodes that come and go: scheduling, resuming, prices by machine; no Ray here."""

import os
import signal
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from bench import store
from bench.errors import InputError
from bench.execute import under_load
from bench.execute.cluster import (
    Claim,
    Files,
    Offer,
    Order,
    Reply,
    answered,
    clusters,
    on_ray,
    on_slurm,
    passes,
    resume,
    schedule,
)
from bench.execute.cluster import node as node_of_ours
from bench.execute.cluster.fleet import Fleet
from bench.execute.cluster.schedule import MOST_LOSSES, Node, Unit
from bench.execute.run import Bench
from bench.plan import json_schema, read
from bench.report import footnotes
from bench.report.rows import rows
from bench.schema import Cell, CostChoices, Machine, Record, RunnerChoice, Sampling, Sweep
from tests import samples
from tests.commands import bench
from tests.fleets import FakeCluster, Quiet, environment_of

SWEEP = Sweep(
    name="x",
    models=(),
    precisions=(),
    runners=(),
    workloads=(),
    replicates=2,
    sampling=Sampling(max_replicates=2),
)


def cells(count: int, options: dict[str, object] | None = None) -> list[Cell]:
    runner = RunnerChoice(name="fake", options=options or {})
    return [samples.cell().model_copy(update={"cell_id": f"{index:012}", "runner": runner}) for index in range(count)]


def run(
    cluster: FakeCluster, units: Sequence[Unit], folder: Path, waits_s: float = 0.0
) -> tuple[dict[str, list[Unit]], list[Record], Quiet]:
    """A whole run: what was left out, the journal, what was said."""
    quiet = Quiet()
    with store.Journal(folder) as journal:
        resume.restore(units, folder, quiet.say, False)
        bench_of = Bench(journal, SWEEP, quiet, lambda cell: f"bench run --only {cell.cell_id}")
        choices = list({unit.cell.runner.model_dump_json(): unit.cell.runner for unit in units}.values())
        fleet = Fleet(cluster, bench_of, choices, waits_s, False, lambda _: None)
        fleet.settled()
        left = fleet.run(units)
    return left, list(store.read(folder, quiet.say)), quiet


def counted(records: Sequence[Record]) -> Counter[tuple[str, str | None, int]]:
    return Counter((one.cell.cell_id, one.machine, one.replicate) for one in records if one.status == "ok")


def test_every_cell_runs_on_each_machine_and_records_say_where(tmp_path: Path) -> None:
    machines = (Machine(name="big", resources={"big": 1}, usd_per_hour=2.0), Machine(name="small", cpus=2))
    cluster = FakeCluster({"a": "one", "b": "two"}, {"a": Offer("a", 2.0, resources={"big": 1})})
    units = schedule.units(cells(3), machines)
    left, records, _ = run(cluster, units, tmp_path)
    assert left == {}
    assert counted(records) == {
        (f"{index:012}", name, each): 1 for index in range(3) for name in ("big", "small") for each in (0, 1)
    }
    assert {one.environment.cpu_model for one in records if one.machine == "big"} == {"one"}
    assert all(one.node in ("1", "2") and one.command for one in records)
    assert all(count == 1 for count in cluster.most.values())


def test_replicates_are_interleaved_on_each_node_and_stay_on_one_kind(tmp_path: Path) -> None:
    cluster = FakeCluster({"a": "one", "b": "two"}, durations=(1, 1))
    run(cluster, schedule.units(cells(6), ()), tmp_path)
    for node in ("a", "b"):
        order = [(cell, replicate) for key, cell, replicate in cluster.jobs if key == node]
        assert [replicate for _, replicate in order] == sorted(replicate for _, replicate in order)
        first = [cell for cell, replicate in order if replicate == 0]
        second = [cell for cell, replicate in order if replicate == 1]
        assert sorted(first) == sorted(second)
        assert len(first) > 1
    assert len({cell for _, cell, _ in cluster.jobs}) == 6


def test_a_lost_cell_is_measured_again_and_counts_as_nothing(tmp_path: Path) -> None:
    cluster = FakeCluster({"a": "same", "b": "same"}, deaths={4: "b"}, durations=(2, 2))
    left, records, quiet = run(cluster, schedule.units(cells(4), ()), tmp_path)
    assert left == {}
    assert set(counted(records).values()) == {1}
    assert len(counted(records)) == 8
    (lost,) = [one for one in records if one.status == "lost"]
    assert lost.error is not None
    assert lost.error.reason == "node 2: its node died"
    assert any("node 2: its node died" in line for line in quiet.lines)
    (row, *_) = [one for one in rows(records, CostChoices(usd_per_hour=1)) if one.cell == lost.cell]
    assert row.status == "ok"
    assert "failures" not in {reason.code for reason in row.verdict}


def test_a_node_that_never_says_what_it_is_keeps_nobody_waiting(tmp_path: Path) -> None:
    cluster = FakeCluster({"a": "same", "b": "same"}, mute=frozenset("b"))
    ticks = count(step=60)
    quiet = Quiet()
    with store.Journal(tmp_path) as journal:
        bench_of = Bench(journal, SWEEP, quiet, lambda _: "bench run")
        fleet = Fleet(cluster, bench_of, [cells(1)[0].runner], 0.0, False, lambda _: None, clock=lambda: next(ticks))
        fleet.settled()
        assert fleet.run(schedule.units(cells(2), ())) == {}
    assert "node 2: no answer within 300 s; it is not used" in quiet.lines
    assert {key for key, _, _ in cluster.jobs} == {"a"}
    assert not cluster.tasks


def test_a_node_without_the_engine_takes_a_cell_only_where_none_has_it(tmp_path: Path) -> None:
    cluster = FakeCluster({"a": "one", "b": "two"}, bare=frozenset("a"))
    left, _, quiet = run(cluster, schedule.units(cells(3), ()), tmp_path / "b has it")
    assert left == {}
    assert {key for key, _, _ in cluster.jobs} == {"b"}
    assert "node 1: no engine" in quiet.lines
    cluster = FakeCluster({"a": "one"}, bare=frozenset("a"))
    run(cluster, schedule.units(cells(1), ()), tmp_path / "none has it")
    assert cluster.jobs  # a record says what to install


def test_a_node_of_another_version_may_say_what_nobody_understands() -> None:
    assert answered("t", '{"status": "ok"}', {}).reply == Reply()
    assert "cannot be read" in (answered("t", '{"status": "tired"}', {}).lost or "")
    text, _ = node_of_ours.perform('{"what": "sing"}', {})
    assert "cannot read this order" in (Reply.model_validate_json(text).refused or "")


def test_notes_of_this_machine_stay_when_a_cluster_goes_on(tmp_path: Path) -> None:
    """Of a run under load that was killed here, what it measured is here, and a run without a cluster keeps it."""
    for name, node in (("a", None), ("b", "1")):
        under_load.begun(tmp_path, samples.record().model_copy(update={"record_id": name, "node": node}))
    assert resume.cleared(tmp_path) == 1
    assert [one.name for one in (tmp_path / "traces").glob(f"*{under_load.NOTE}")] == [f"a{under_load.NOTE}"]


def test_a_head_without_cpus_takes_nothing(tmp_path: Path) -> None:
    cluster = FakeCluster({"a": "same", "b": "same"}, {"a": Offer("a", 0.0)}, births={20: "b"})
    left, _, quiet = run(cluster, schedule.units(cells(2), ()), tmp_path, waits_s=60)
    assert left == {}
    assert {key for key, _, _ in cluster.jobs} == {"b"}
    assert "node 1: offers no CPUs; it is not used" in quiet.lines


def test_a_cell_that_ends_well_between_its_losses_is_not_given_up(tmp_path: Path) -> None:
    """Nodes on spot go for reasons of their own."""

    class Spot(FakeCluster):
        def submit(self, key: str, claim: Claim, order: Order, files: Files) -> str:
            if order.what == "job" and len(self.jobs) % 2 == 0:
                self.deaths[self.step + 1] = key
                self.births[self.step + 2] = f"n{len(self.jobs) // 2 + 1}"
            return super().submit(key, claim, order, files)

    names = [f"n{index}" for index in range(6)]
    later = {1000 + index: name for index, name in enumerate(names) if index}
    cluster = Spot(dict.fromkeys(names, "same"), births=later, durations=(1, 1))
    sweep = SWEEP.model_copy(update={"replicates": 4, "sampling": Sampling(max_replicates=4)})
    units = schedule.units(cells(1), (Machine(name="spot", cpus=1),))
    quiet = Quiet()
    with store.Journal(tmp_path) as journal:
        bench_of = Bench(journal, sweep, quiet, lambda _: "bench run")
        fleet = Fleet(cluster, bench_of, [units[0].cell.runner], 60.0, False, lambda _: None)
        fleet.settled()
        left = fleet.run(units)
    statuses = [one.status for one in store.read(tmp_path, quiet.say)]
    assert (left, statuses.count("ok")) == ({}, 4)
    assert statuses.count("lost") >= MOST_LOSSES
    again = schedule.units(cells(1), (Machine(name="spot", cpus=1),))
    resume.restore(again, tmp_path, quiet.say, False)
    assert not again[0].is_given_up


def test_limits_that_a_lost_node_was_measuring_are_measured_on_another(tmp_path: Path) -> None:
    class Asked(FakeCluster):
        def submit(self, key: str, claim: Claim, order: Order, files: Files) -> str:
            asked.append((order.what, key))
            return super().submit(key, claim, order, files)

    asked: list[tuple[str, str]] = []
    cluster = Asked({"a": "same", "b": "same"}, deaths={2: "a"})
    with store.Journal(tmp_path) as journal:
        bench_of = Bench(journal, SWEEP, Quiet(), lambda _: "bench run")
        fleet = Fleet(cluster, bench_of, [RunnerChoice(name="transformers")], 0.0, False, lambda _: None)
        fleet.settled()
    assert [key for what, key in asked if what == "ceilings"] == ["a", "b"]


def test_ctrl_c_loses_no_record_that_came_with_another(tmp_path: Path) -> None:
    class Stopping(Quiet):
        def finished(self, record: Record) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    cluster = FakeCluster({"a": "same", "b": "same"}, durations=(1, 1))
    with store.Journal(tmp_path) as journal:
        bench_of = Bench(journal, SWEEP, Stopping(), lambda _: "bench run")
        fleet = Fleet(cluster, bench_of, [cells(1)[0].runner], 0.0, False, lambda _: None)
        fleet.settled()
        with pytest.raises(KeyboardInterrupt):
            fleet.run(schedule.units(cells(2), ()))
    assert len(list(store.read(tmp_path, lambda _: None))) == 2


def test_a_cell_that_ends_its_nodes_is_given_up(tmp_path: Path) -> None:
    nodes = {f"n{index}": "same" for index in range(6)}
    cluster = FakeCluster(nodes, kills=frozenset({f"{1:012}"}), durations=(1, 1))
    left, records, _ = run(cluster, schedule.units(cells(3), ()), tmp_path)
    ((reason, units),) = left.items()
    assert [unit.cell.cell_id for unit in units] == [f"{1:012}"]
    assert f"lost {MOST_LOSSES} times" in reason
    assert sum(one.status == "lost" and one.cell.cell_id == f"{1:012}" for one in records) == MOST_LOSSES
    assert len(counted(records)) == 4
    again = schedule.units(cells(3), ())
    resume.restore(again, tmp_path, lambda _: None, False)
    assert [unit.is_given_up for unit in again] == [False, True, False]
    resume.restore(again, tmp_path, lambda _: None, True)
    assert not any(unit.is_given_up for unit in again)


def test_a_node_that_joins_takes_what_waits(tmp_path: Path) -> None:
    machines = (Machine(name="big", resources={"big": 1}),)
    late = FakeCluster({"a": "one", "b": "two"}, {"b": Offer("b", 2.0, resources={"big": 1})}, births={20: "b"})
    left, records, _ = run(late, schedule.units(cells(2), machines), tmp_path / "waits", waits_s=60)
    assert left == {}
    assert {one.node for one in records} == {"2"}
    late = FakeCluster({"a": "one", "b": "two"}, {"b": Offer("b", 2.0, resources={"big": 1})}, births={20: "b"})
    left, records, _ = run(late, schedule.units(cells(2), machines), tmp_path / "does not")
    assert list(left) == ["node 1 offers 0 of big"]
    assert records == []


def test_the_same_run_goes_on_from_what_nodes_have_measured(tmp_path: Path) -> None:
    first = FakeCluster({"a": "one", "b": "two"}, deaths={4: "a", 5: "b"})
    run(first, schedule.units(cells(4), ()), tmp_path)
    before = counted(list(store.read(tmp_path, lambda _: None)))
    assert 0 < len(before) < 8
    left, records, _ = run(FakeCluster({"c": "two", "d": "one"}), schedule.units(cells(4), ()), tmp_path)
    assert left == {}
    assert set(counted(records).values()) == {1}
    assert len(counted(records)) == 8
    left, again, _ = run(FakeCluster({"e": "three"}), schedule.units(cells(4), ()), tmp_path)
    assert (left, len(again)) == ({}, len(records))


def test_a_node_of_another_version_is_named_and_not_used(tmp_path: Path) -> None:
    left, records, quiet = run(FakeCluster({"a": "one"}, version="0.1"), schedule.units(cells(1), ()), tmp_path)
    assert records == []
    assert list(left) == ["no node is there"]
    assert any("node 1: has bench 0.1, this is" in line and "install the same" in line for line in quiet.lines)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=some.integers(0, 10_000),
    kinds=some.lists(some.sampled_from(["one", "two"]), min_size=2, max_size=4),
    deaths=some.dictionaries(some.integers(2, 25), some.integers(0, 3), max_size=3),
    births=some.dictionaries(some.integers(2, 25), some.integers(1, 3), max_size=2),
)
def test_nothing_is_lost_or_doubled_whatever_dies(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    kinds: list[str],
    deaths: dict[int, int],
    births: dict[int, int],
) -> None:
    folder = tmp_path_factory.mktemp("fleet")
    names = {f"n{index}": kind for index, kind in enumerate(kinds)}
    dies = {step: f"n{index}" for step, index in deaths.items() if 0 < index < len(kinds)}
    comes = {step: f"n{index}" for step, index in births.items() if index < len(kinds)}
    cluster = FakeCluster(names, deaths=dies, births=comes, seed=seed)
    units = schedule.units(cells(5), ())
    left, records, _ = run(cluster, units, folder)
    found = counted(records)
    assert set(found.values()) <= {1}
    assert len({one.record_id for one in records}) == len(records)
    done = {unit.cell.cell_id for unit in units} - {one.cell.cell_id for group in left.values() for one in group}
    for name in done:
        of = [one for one in records if one.cell.cell_id == name and one.status == "ok"]
        assert Counter(one.environment.fingerprint() for one in of).most_common(1)[0][1] >= 2
    run(FakeCluster({"x": "one", "y": "two"}), schedule.units(cells(5), ()), folder)
    whole = list(store.read(folder, lambda _: None))
    assert all(
        sum(one.status == "ok" and one.cell.cell_id == f"{index:012}" for one in whole) >= 2 for index in range(5)
    )


def node(devices: int = 0, kinds: tuple[str, ...] = (), cpus: float = 16.0) -> Node:
    choice = RunnerChoice(name="fake")
    return Node(1, Offer("k", cpus, devices, kinds=kinds), {schedule.key_of(choice): environment_of("x")})


def transformers(**options: object) -> Cell:
    return samples.cell().model_copy(update={"runner": RunnerChoice(name="transformers", options=dict(options))})


def test_what_a_cell_holds_of_a_node() -> None:
    eight = node(8, ("H100",))
    assert schedule.claim(transformers(device="cpu"), None, eight) == Claim(16.0)
    assert schedule.claim(transformers(device="auto"), None, eight) == Claim(2.0, 1)
    assert schedule.claim(transformers(tensor_parallel=4), None, eight) == Claim(8.0, 4)
    assert schedule.claim(transformers(device_map="auto"), None, eight) == Claim(16.0, 8)
    assert schedule.claim(transformers(device="auto"), None, node()) == Claim(16.0)
    assert schedule.claim(transformers(device="cuda"), None, node()) == "needs 1 accelerator, and it has none"
    h100 = Machine(name="h", accelerator="H100", devices=2)
    assert schedule.claim(transformers(device="auto"), h100, eight) == Claim(4.0, 2)
    assert schedule.claim(transformers(), h100, node(8, ("L40S",))) == "has L40S"
    assert schedule.claim(transformers(), h100, node(8, ("NVIDIA H100 80GB HBM3",))) == Claim(4.0, 2)
    assert schedule.claim(transformers(), Machine(name="c"), eight) == "has accelerators"
    assert schedule.claim(
        transformers(), Machine(name="m", accelerator="MI300X"), node(1, ("AMD-Instinct-MI300X-OAM",))
    ) == Claim(16.0, 1)


def test_engines_of_the_cpu_have_a_node_with_accelerators_for_themselves() -> None:
    """Eight of them at once, each on every core, would measure one another."""

    def held(name: str, **options: object) -> object:
        choice = RunnerChoice(name=name, options=dict(options))
        eight = Node(1, Offer("k", 16.0, 8, kinds=("H100",)), {schedule.key_of(choice): environment_of("x")})
        return schedule.claim(samples.cell().model_copy(update={"runner": choice}), None, eight)

    assert held("llama.cpp") == held("openvino") == held("ort") == Claim(16.0)
    assert held("openai", base_url="http://host:1/v1") == Claim(16.0)
    assert held("openai", base_url="http://localhost:1/v1") == Claim(2.0, 1)
    assert held("llama.cpp", library="/a/build", tensor_split=[1, 1]) == Claim(4.0, 2)
    assert held("llama.cpp", library="/a/build") == held("ort", provider="cuda") == Claim(2.0, 1)
    assert held("openvino", device="GPU.1") == Claim(2.0, 1)
    assert held("vllm", tensor_parallel=2, pipeline_parallel=2) == Claim(8.0, 4)


def test_a_cell_of_many_devices_is_not_passed_by_small_ones(tmp_path: Path) -> None:
    small, big = cells(6), cells(1, {"step_s": 0.002})
    units = [Unit(one) for one in small]
    four = Machine(name="four", accelerator="H100", devices=4)
    units.append(Unit(big[0].model_copy(update={"cell_id": "b" * 12}), four))
    cluster = FakeCluster({"a": "one"}, {"a": Offer("a", 8.0, 4, kinds=("H100",))})
    left, records, _ = run(cluster, units, tmp_path)
    assert left == {}
    assert cluster.most["a"] == 4
    assert len(counted(records)) == 14


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{accelerator: H1000}", "did you mean 'H100'"),
        ("{name: a, devices: 2}", "machines.devices: does nothing without accelerator"),
        ("{name: a, cpu: 3}", "did you mean 'cpus'"),
        ("[{name: a}, {name: a, cpus: 3}]", "two machines are called 'a'"),
        ("{name: a, resources: {x: 0}}", "must be more than 0"),
        ("{name: a, usd_per_hour: -1}", "machines.usd_per_hour"),
        ("{name: ' a'}", "machines.name: must be a line"),
    ],
)
def test_mistakes_in_machines_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "models: shape:pythia-70m\nprecisions: fp32\nrunners: fake\n"
        f"workloads: {{batch_size: 1, input_tokens: 8, output_tokens: 4}}\nmachines: {text}\n"
    )
    with pytest.raises(InputError) as error:
        read.sweep(path)
    assert said in str(error.value)
    assert f"{path}:5" in str(error.value)


def test_the_fleet_example_is_read_and_in_the_schema() -> None:
    sweep = read.sweep(Path("configs/fleet.yaml"))
    assert [one.name for one in sweep.machines] == ["H100", "L40S", "MI300X", "CPU"]
    assert "machines" in json_schema.schema()["properties"]


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ("kubernetes", "not a cluster"),
        ("ray://", "not an address"),
        ("ray://host:x", "not an address"),
        ("ray:host", "not an address"),
        ("slurm:a b", "not a partition"),
    ],
)
def test_addresses_that_are_none(on: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        clusters.check(on)


def test_an_open_cluster_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    assert on_ray.check("ray://head") == "ray://head:10001"
    assert clusters.warning("ray://127.0.0.2:5") is None
    assert "RAY_AUTH_MODE=token" in (clusters.warning("ray://10.0.0.5:10001") or "")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert clusters.warning("ray://10.0.0.5:10001") is None


def test_what_sinfo_says_of_a_node() -> None:
    assert on_slurm.counts("64 gpu:h100:8(S:0-1)") == (64, 8)
    assert on_slurm.counts("16+ gpu:4,shard:8") == (16, 4)
    assert on_slurm.counts("2 (null)") == (2, 0)


def test_slurm_gives_a_probe_the_node_that_a_cell_gets(tmp_path: Path) -> None:
    """CPUs and GPUs that a job did not ask for are hidden from it: the node would be another machine in each record."""
    slurm = on_slurm.SlurmCluster("slurm:gpu", None, tmp_path, "gpu", 64, 8)
    probe, job = slurm.asks(Order(what="probe")), slurm.asks(Order(what="job", timeout_s=3600))
    names = ("cpus_per_task", "gpus_per_node", "slurm_exclusive", "slurm_partition")
    assert [probe[name] for name in names] == [job[name] for name in names] == [64, 8, True, "gpu"]
    assert "cpus_per_task" not in on_slurm.SlurmCluster("slurm:local", None, tmp_path, "local", 2, 0).asks(
        Order(what="probe")
    )


def test_each_machine_has_its_own_price_and_the_cheapest_stands_first() -> None:
    fleet = (Machine(name="dear", usd_per_hour=4.0), Machine(name="cheap", usd_per_hour=1.0), Machine(name="other"))
    records = [
        samples.record(replicate=each).model_copy(update={"machine": one.name, "record_id": f"{one.name}{each}"})
        for one in fleet
        for each in range(3)
    ]
    found = rows(records, CostChoices(usd_per_hour=2.0), fleet=fleet)
    assert [row.machine for row in found] == ["cheap", "other", "dear"]
    usd = [row.dollars.rate.usd_per_hour for row in found if row.dollars is not None]
    assert usd == [1.0, 2.0, 4.0]
    notes = "\n".join(footnotes.footnotes(found))
    assert "Hardware price of cheap: $1 per hour as stated" in notes
    assert "is 2 × cheaper than other" in notes
    assert "4 × cheaper than dear" in notes


def test_without_a_cluster_this_machine_must_be_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    text = (
        "models: shape:pythia-70m\nprecisions: fp32\nrunners: fake\n"
        "workloads: {batch_size: 1, input_tokens: 8, output_tokens: 4}\nreplicates: 1\nsampling: {max_replicates: 1}\n"
    )
    path.write_text(text + "machines: {accelerator: MI300X}\n")
    none = bench("run", path, "--out", tmp_path / "none")
    assert none.returncode == 2
    assert "machines: this machine is none of them (MI300X); name their cluster with --on" in none.stderr
    path.write_text(text + "machines: [{accelerator: MI300X}, {name: here, usd_per_hour: 0.5}]\n")
    done = bench("run", path, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (record,) = store.read(tmp_path / "out", lambda _: None)
    assert record.machine == "here"
    refused = bench("run", path, "--on", "ray://127.0.0.1:1", "--out", tmp_path / "out")
    assert refused.returncode == 2
    assert "cannot be reached" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_machines_of_one_fleet_are_compared_by_name(tmp_path: Path) -> None:
    """Of equal hardware too: their replicates have equal numbers, and none stands in another machine's place."""
    machines = (Machine(name="cheap", resources={"a": 1}), Machine(name="dear", resources={"b": 1}))
    offered = {key: Offer(key, 2.0, 0, {name: 1}) for key, name in (("n1", "a"), ("n2", "b"))}
    for name in ("old", "new"):
        run(FakeCluster({"n1": "x", "n2": "x"}, offered), schedule.units(cells(1), machines), tmp_path / name)
    both = bench("compare", tmp_path / "old", tmp_path / "new")
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("on cheap") == both.stdout.count("on dear") == 1, both.stdout
    old = tmp_path / "old"
    apart = bench("compare", f"{old}:machine=cheap", f"{old}:machine=dear")
    assert apart.returncode == 0, apart.stderr
    assert apart.stdout.count("on cheap → on dear") == 1, apart.stdout
    assert "2 pairs" in apart.stdout
    assert "no cell with machine=near" in bench("compare", f"{old}:machine=near", tmp_path / "new").stderr


def test_passes_run_on_the_configs_machines_alone(tmp_path: Path) -> None:
    """A node like theirs that is none of them may be somebody else's."""
    offered = {key: Offer(key, 2.0, 0, {name: 1}) for key, name in (("n1", "other"), ("n2", "a"), ("n3", "b"))}
    cluster = FakeCluster(dict.fromkeys(offered, "x"), offered)
    units = schedule.units(cells(1), [Machine(name=name, resources={name: 1}) for name in "ab"])
    quiet = Quiet()
    with store.Journal(tmp_path) as journal:
        bench_of = Bench(journal, SWEEP, quiet, lambda _: "")
        fleet = Fleet(cluster, bench_of, [units[0].cell.runner], 0.0, False, lambda _: None)
        fleet.settled()
        fleet.run(units)
        (kind,) = passes.kinds_of(fleet, units)
    assert [node.offer.key for node in kind.nodes] == ["n2", "n3"]
    assert [unit.name for unit in kind.units] == ["a", "b"]
