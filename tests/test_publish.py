"""A folder that is ready to commit: what is in it, what is kept out of it, and what stands where it fails."""

import errno
import gzip
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from markdown_it import MarkdownIt
from typer.testing import CliRunner

import bench
from bench import store, traces
from bench.cli import publish as command
from bench.entries import load, mixed
from bench.entries.priced import Asked as Own
from bench.errors import InputError
from bench.page import document, vega
from bench.plan import suite_folder
from bench.publish import cleaned, folder, identity, manifest, privacy, secrets, tables
from bench.publish.folder import Asked, Published
from bench.schema import CostChoices, Endpoint, Model, Record, RunnerChoice
from tests import entries_samples, samples, serving_samples
from tests.small_disk import fill, mounted_disk

PRICED = CostChoices(usd_per_hour=2.0)
FORMS = {"README.md", "table.csv", "table.tex", "table.html", "table.json", "report.html", "MANIFEST.json"}


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without charts and page, which take seconds and have tests of their own."""
    monkeypatch.setattr(folder, "_charts", lambda *_: [])
    monkeypatch.setattr(document, "write", lambda report, path: path.write_text(report.headline + str(report.runs)))
    monkeypatch.setattr(vega, "bundle", lambda: "/* a library */")
    monkeypatch.setattr(vega, "licence", lambda: "its licence")


def a_run(place: Path, records: Sequence[Record] | None = None) -> Path:
    """Three replicates of the sample cell, unless others are given."""
    return serving_samples.stored(place, records or [samples.record(number) for number in range(3)], cost=PRICED)


def write(runs: Sequence[Path], into: Path, **asked: Any) -> Published:
    said: list[str] = []
    return folder.write(runs, lambda choices: choices, said.append, Asked("0.1.0", into, **asked))


def everything(place: Path) -> dict[str, bytes]:
    return {str(one.relative_to(place)): one.read_bytes() for one in sorted(place.rglob("*")) if one.is_file()}


def texts(place: Path) -> str:
    """All that can be read in a folder, traces too."""
    return "\n".join(
        (gzip.decompress(data) if name.endswith(".gz") else data).decode("utf-8", "replace")
        for name, data in everything(place).items()
        if not name.endswith(".png")
    )


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


# What is in it


@pytest.mark.usefixtures("light")
def test_a_folder_holds_records_tables_page_and_a_manifest_of_every_byte(tmp_path: Path) -> None:
    made = write([a_run(tmp_path / "quick")], tmp_path / "results", licence="cc-by-4.0")
    place = tmp_path / "results" / "sample-4cpu"
    assert made.folder == place
    assert set(everything(place)) == FORMS | {"runs/quick/records.jsonl", "runs/quick/plan.json"}
    assert set(made.files) == set(everything(place))
    said = json.loads((place / "MANIFEST.json").read_text())
    for name, data in everything(place).items():
        if name != "MANIFEST.json":
            assert said["files"][name] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert said["runs"] == {"quick": 3}
    assert said["licence"] == "cc-by-4.0"
    assert said["measured"] == ["2026-11-21", "2026-11-21"]
    assert [one.name for one in (tmp_path / "results").iterdir()] == ["sample-4cpu"], "nothing is left beside it"


@pytest.mark.usefixtures("light")
def test_the_readme_answers_first_and_says_how_where_at_which_prices_and_again(tmp_path: Path) -> None:
    records = [samples.record(n).model_copy(update={"command": "bench run c.yaml --only x"}) for n in range(3)]
    place = write([a_run(tmp_path / "quick", records)], tmp_path / "results").folder
    text = (place / "README.md").read_text()
    parts = [line for line in text.splitlines() if line.startswith("#")]
    assert parts[0] == "# What a million tokens cost on Sample CPU, 4 CPUs"
    assert parts[1:] == [
        f"## {one}" for one in ("Results", "How it was measured", "Where", "Prices", "Again", "Licence")
    ]
    assert "costs" in text.split("## Results")[0]
    assert "bench run c.yaml --only x" in text
    assert "bench report " in text
    assert "runs/quick" in text
    assert "torch 2.13.0" in text


@pytest.mark.usefixtures("light")
def test_what_is_published_can_be_reported_at_the_same_dollars(tmp_path: Path) -> None:
    run = a_run(tmp_path / "quick")
    place = write([run], tmp_path / "results").folder
    before, after = (
        load.report([one], lambda choices: choices, pytest.fail) for one in (run, place / "runs" / "quick")
    )
    for old, new in zip(before.entries, after.entries, strict=True):
        assert new.figures == old.figures
        assert old.priced is not None
        assert new.priced is not None
        assert mixed.usd_per_mtok(new.priced, Own()) == mixed.usd_per_mtok(old.priced, Own())
    plan = json.loads((place / "runs" / "quick" / "plan.json").read_text())
    assert plan["cost"]["as_of"] == after.day.isoformat(), "tomorrow's prices change nothing"


@pytest.mark.usefixtures("light")
def test_the_command_line_s_prices_are_stored_with_their_files(tmp_path: Path) -> None:
    prices = tmp_path / "mine.csv"
    shutil.copy(Path(cleaned.__file__).parents[1] / "data" / "hourly_prices.csv", prices)
    run = a_run(tmp_path / "quick")
    given = CostChoices(usd_per_hour=7.0, hardware_price_files=(str(prices),))
    made = folder.write([run], lambda _: given, pytest.fail, Asked("0.1.0", tmp_path / "results"))
    copy = made.folder / "runs" / "quick"
    assert (copy / "prices" / "mine.csv").read_bytes() == prices.read_bytes()
    prices.unlink()
    (entry,) = load.report([copy], lambda choices: choices, pytest.fail).entries
    assert entry.priced is not None
    assert entry.priced.usd_per_hour == 7.0


@pytest.mark.usefixtures("light")
def test_a_bare_journal_is_published_with_its_prices(tmp_path: Path) -> None:
    run = a_run(tmp_path / "quick")
    (run / "plan.json").unlink()
    made = folder.write([run / "records.jsonl"], lambda _: PRICED, pytest.fail, Asked("0.1.0", tmp_path / "results"))
    (entry,) = load.report([made.folder / "runs" / "quick"], lambda choices: choices, pytest.fail).entries
    assert entry.priced is not None
    assert entry.priced.usd_per_hour == 2.0


@pytest.mark.usefixtures("light")
def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    runs = [a_run(tmp_path / "quick"), under_load(tmp_path / "load")]
    place = write(runs, tmp_path / "results").folder
    before = everything(place)
    again = write(runs, tmp_path / "results")
    assert again.renewed
    assert everything(place) == before
    write([place / "runs" / "quick", place / "runs" / "load"], tmp_path / "results")
    assert everything(place) == before, "published once more from the published copy"


@pytest.mark.slow
def test_charts_and_page_are_the_same_bytes_too(tmp_path: Path) -> None:
    runs = [a_run(tmp_path / "quick")]
    place = write(runs, tmp_path / "results").folder
    before = everything(place)
    assert {Path(name).suffix for name in before if name.startswith("charts/")} == {".svg", ".png", ".csv"}
    assert all(data.startswith(b"\x89PNG") for name, data in before.items() if name.endswith(".png"))
    assert "![" in before["README.md"].decode()
    write(runs, tmp_path / "results")
    assert everything(place) == before


def under_load(place: Path, error: str | None = None) -> Path:
    """A run under load, one of whose requests failed with a message."""

    def change(index: int) -> dict[str, Any]:
        return {"status": "stream-error", "error": error} if error is not None and index == 3 else {}

    place.mkdir()
    return a_run(place, [serving_samples.served(place, serving_samples.requests(4, change))])


@pytest.mark.usefixtures("light")
def test_traces_lie_beside_the_journal_byte_for_byte(tmp_path: Path) -> None:
    run = under_load(tmp_path / "load")
    place = write([run], tmp_path / "results").folder
    (trace,) = (run / "traces").iterdir()
    assert (place / "runs" / "load" / "traces" / trace.name).read_bytes() == trace.read_bytes()
    (entry,) = load.report([place / "runs" / "load"], lambda choices: choices, pytest.fail).entries
    assert entry.kind == "load"
    assert entry.figure("output_tokens_per_s") == pytest.approx(32)


@pytest.mark.usefixtures("light")
def test_only_known_files_are_taken(tmp_path: Path) -> None:
    run = a_run(tmp_path / "quick")
    (run / "logs").mkdir()
    (run / "logs" / "x.log").write_text("a log")
    (run / "notes.txt").write_text("a note")
    (run / "traces").mkdir()
    (run / "traces" / "of-nothing.jsonl.gz").write_bytes(gzip.compress(b"{}\n"))
    found = everything(write([run], tmp_path / "results").folder)
    assert {name for name in found if name.startswith("runs/")} == {"runs/quick/records.jsonl", "runs/quick/plan.json"}


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("trace", ["../../etc/passwd", "traces/.."])
def test_a_trace_outside_of_its_folder_is_refused(trace: str, tmp_path: Path) -> None:
    (tmp_path / "load").mkdir()
    record = serving_samples.served(tmp_path / "load")
    assert record.serving is not None
    evil = record.model_copy(update={"serving": record.serving.model_copy(update={"trace": trace})})
    assert "names a trace outside" in refused(lambda: write([a_run(tmp_path / "load", [evil])], tmp_path / "results"))


@pytest.mark.usefixtures("light")
def test_hostile_text_is_text_in_the_readme(tmp_path: Path) -> None:
    text = entries_samples.HOSTILE
    other = samples.cell(precision=samples.FP32)
    record = samples.failed_record(reason=text, remedy=text, of=other)
    record = record.model_copy(update={"command": f"bench run ```\n{text}"})
    place = write([a_run(tmp_path / "q", [samples.record(), record])], tmp_path / "results", title=text).folder
    readme = (place / "README.md").read_text()
    tokens = MarkdownIt("commonmark").enable("table").parse(readme)
    kinds = {one.type for token in tokens for one in (token, *(token.children or ()))}
    assert not kinds & {"html_block", "html_inline"}
    assert [token.tag for token in tokens if token.type == "fence"] == ["code", "code"]
    assert "\u202e" not in readme


# What is kept out of it


ADMIN = "/root"
"""The one home folder that is not below a folder of homes."""


def telling() -> Record:
    """A record that names a home folder, a user, a private address and this working folder wherever it can."""
    options = Endpoint(
        base_url="http://10.1.2.3:8000/v1", tokenizer="/home/alice/tok", ca_file="C:\\Users\\bob\\ca.pem"
    )
    cell = samples.cell(
        source="/home/alice/models/tiny",
        runner=RunnerChoice(name="transformers", options=options.model_dump(exclude_none=True)),
    )
    log = ["at http://gpu-box.internal:9000/x", f"in {Path.cwd()}/models/y", f"from {ADMIN}/.cache/z and /Users/eve/w"]
    return samples.failed_record(reason="no /home/alice/models/tiny here", of=cell, log_tail=log).model_copy(
        update={"command": "bench run /home/alice/c.yaml", "cell": cell}
    )


@pytest.mark.usefixtures("light")
def test_paths_and_addresses_are_replaced_and_ids_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "alices-laptop.example.org")
    monkeypatch.setenv("USER", "alice-in-chains")
    original = telling()
    assert original.error is not None
    reason = "alices-laptop said no to alice-in-chains"
    original = original.model_copy(update={"error": original.error.model_copy(update={"remedy": reason})})
    made = write([a_run(tmp_path / "q", [samples.record(), original])], tmp_path / "results")
    for told in ("alice", "bob", "/eve", "10.1.2.3", "gpu-box", "/root", str(Path.cwd())):
        assert told not in texts(made.folder), told
    _, record = store.read(made.folder / "runs" / "q", pytest.fail)
    assert record.cell.cell_id == original.cell.cell_id
    assert record.record_id == original.record_id
    assert record.cell.model == Model(source="~/models/tiny")
    assert record.cell.runner.options["base_url"] == "http://HOST:8000/v1"
    assert record.error is not None
    assert record.error.remedy == "HOST said no to USER"
    assert record.error.log_tail == ("at http://HOST:9000/x", "in models/y", "from ~/.cache/z and ~/w")
    said = "\n".join(made.replaced)
    assert "q/records.jsonl: 1 × home folder replaced in cell.model.source (such as '/home/alice')" in said
    assert "private address replaced in cell.runner.options.base_url (such as '10.1.2.3')" in said


@pytest.mark.usefixtures("light")
def test_a_trace_is_cleaned_and_its_record_still_verifies(tmp_path: Path) -> None:
    run = under_load(tmp_path / "load", "connect to 192.168.7.7 failed, see /home/alice/log")
    place = write([run], tmp_path / "results").folder / "runs" / "load"
    (record,) = store.read(place, pytest.fail)
    assert record.serving is not None
    trace = place / record.serving.trace
    assert hashlib.sha256(trace.read_bytes()).hexdigest() == record.serving.trace_sha256
    before, after = list(traces.read(run / record.serving.trace)), list(traces.read(trace))
    assert after[3].error == "connect to HOST failed, see ~/log"
    after[3].error = before[3].error
    assert after == before
    (old,), (new,) = (load.report([one], lambda c: c, pytest.fail).entries for one in (run, place))
    assert new.figures == old.figures


@pytest.mark.usefixtures("light")
def test_of_a_damaged_trace_what_can_be_read_is_published(tmp_path: Path) -> None:
    run = under_load(tmp_path / "load")
    (trace,) = (run / "traces").iterdir()
    trace.write_bytes(trace.read_bytes() + b"\x1f\x8bnobody has looked at this")
    said: list[str] = []
    made = folder.write([run], lambda choices: choices, said.append, Asked("0.1.0", tmp_path / "results"))
    copy = made.folder / "runs" / "load" / "traces" / trace.name
    assert list(traces.read(copy)) == list(traces.read(trace))
    assert b"nobody has looked" not in copy.read_bytes()


def test_a_reference_to_a_variable_is_no_secret(tmp_path: Path) -> None:
    line = {"headers": {"Authorization": "Bearer ${MY_KEY}"}}
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "b.json").write_text(json.dumps(line) + "\n")
    assert privacy.check(tmp_path) == []
    (tmp_path / "a.jsonl").write_text(json.dumps({"headers": {"Authorization": "Bearer abcd"}}) + "\n")
    (found,) = privacy.check(tmp_path)
    assert (found.key, found.kind) == ("headers.Authorization", "an Authorization header")


KEYS = {
    "a Hugging Face token": "hf_" + "aB3" * 12,
    "an API key (sk-…)": "sk-proj-" + "aB3" * 12,
    "an AWS key id": "AKIA" + "ABCD2345" * 2,
    "a GitHub token": "ghp_" + "aB3" * 12,
    "a JSON web token": "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2QT4",
    "an Authorization header": "Authorization: Bearer abcdef12",
    "a private key": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "a user or password in a URL": "https://me:pass@api.example.com/v1",
    "a key in a URL": "https://api.example.com/v1?api_key=0123456789",
    "a Google key": "AIza" + "Sy0-" * 9,
}


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("kind", KEYS)
def test_a_secret_stops_it_and_is_not_printed(kind: str, tmp_path: Path) -> None:
    key = KEYS[kind]
    bad = samples.failed_record(log_tail=["all well", f"refused with {key} by the server"])
    run = a_run(tmp_path / "q", [samples.record(), bad])
    said = refused(lambda: write([run], tmp_path / "results"))
    assert said.startswith(f"{run}/records.jsonl:2 (error.log_tail.1): {kind}: ")
    assert "revoke it, take it out of this file" in said
    assert key not in said
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("value", ["correct horse battery", 'quo"ted\\secret', "a+b/c d=="])
def test_the_value_of_a_secret_variable_stops_it(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", value)
    said = refused(
        lambda: write([a_run(tmp_path / "q", [samples.failed_record(reason=f"x {value} y")])], tmp_path / "r")
    )
    assert "(error.reason): the value of MY_API_KEY" in said
    assert value not in said


@pytest.mark.usefixtures("light")
def test_a_secret_in_a_trace_or_a_plan_stops_it(tmp_path: Path) -> None:
    run = under_load(tmp_path / "load", f"401: {KEYS['a GitHub token']} is unknown")
    assert "a GitHub token" in refused(lambda: write([run], tmp_path / "results"))
    other = a_run(tmp_path / "q")
    plan = json.loads((other / "plan.json").read_text()) | {"config": KEYS["a Hugging Face token"]}
    (other / "plan.json").write_text(json.dumps(plan))
    assert "plan.json:1" in refused(lambda: write([other], tmp_path / "results"))


@pytest.mark.usefixtures("light")
def test_a_secret_in_a_title_is_found_in_what_was_made_of_it(tmp_path: Path) -> None:
    said = refused(lambda: write([a_run(tmp_path / "q")], tmp_path / "results", title=KEYS["an AWS key id"]))
    assert "results/sample-4cpu/table.html" in said
    assert list((tmp_path / "results").iterdir()) == []


def test_a_secret_is_found_wherever_a_long_line_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "LONGEST_LINE", 200)
    monkeypatch.setattr(privacy, "_OVERLAP", 60)
    key = KEYS["a Hugging Face token"]
    for before in range(100, 300, 7):
        line = "." * before + " " + key + " " + "." * 300
        found = [one.kind for one in privacy.in_line("a.txt", 1, line, {}, ())]
        assert "a Hugging Face token" in found, before


def test_what_every_journal_holds_is_no_finding(tmp_path: Path) -> None:
    run = a_run(tmp_path / "q")
    (tmp_path / "free.txt").write_text(
        "sha256:7ef915c9bf9d94d8 risk-free task-oriented http://127.0.0.1:8000/v1 http://localhost/x https://a.example/b\n"
        "version 2.13.0 10 in, 64 out; the tokens are batch 4; /usr/lib/x; 203.0.113.9; sk-learn; tokens_sha256\n"
    )
    assert secrets.find.__doc__
    assert privacy.check(tmp_path) == []
    assert cleaned.secrets_in(run) == []


def test_short_common_and_plain_values_are_no_secrets() -> None:
    given = {"API_KEY": "short", "TOKENIZERS_PARALLELISM": "falsefalse", "SSH_KEY": "/", "NICE_TOKEN": "long enough"}
    assert set(secrets.of_environment(given).values()) == {"NICE_TOKEN"}
    assert secrets.of_environment({"EIGHT_KEY": "12345678", "SEVEN_KEY": "1234567"}) == {"12345678": "EIGHT_KEY"}


def test_a_secret_value_is_found_as_json_and_urls_write_it() -> None:
    known = secrets.of_environment({"MY_API_KEY": 'a"b/c d=='})
    for text in ('said a"b/c d== then', json.dumps({"k": 'a"b/c d=='}), "?q=a%22b%2Fc%20d%3D%3D"):
        assert [one.kind for one in secrets.find(text, known)] == ["the value of MY_API_KEY"], text


# Names


def elsewhere(**changed: Any) -> list[Record]:
    where = samples.environment(**changed)
    return [samples.record(number, where=where, name=f"other.{number}") for number in range(2)]


@pytest.mark.usefixtures("light")
def test_two_machines_need_a_name(tmp_path: Path) -> None:
    run = a_run(tmp_path / "q", [samples.record(), *elsewhere(accelerators=[samples.H100, samples.H100])])
    said = refused(lambda: write([run], tmp_path / "results"))
    assert "2 machines (h100-80gb-x2, sample-4cpu)" in said
    assert "--name" in said
    assert write([run], tmp_path / "results", name="both").folder.name == "both"


@pytest.mark.usefixtures("light")
def test_two_machines_of_one_name_have_folders_of_their_own(tmp_path: Path) -> None:
    first = write([a_run(tmp_path / "q")], tmp_path / "results").folder
    bigger = samples.environment().model_copy(update={"memory_total_bytes": 64 << 30})
    run = a_run(tmp_path / "p", [samples.record(n, where=bigger) for n in range(2)])
    second = write([run], tmp_path / "results").folder
    assert second.name == f"{first.name}-{bigger.hardware()[:6]}"
    assert write([run], tmp_path / "results").folder == second


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("name", ["../x", "Ein Name", ".hidden", "a/b", "", "x" * 99])
def test_a_name_is_one_of_a_folder(name: str, tmp_path: Path) -> None:
    assert "--name" in refused(lambda: write([a_run(tmp_path / "q")], tmp_path / "results", name=name))


@pytest.mark.parametrize("how", [{"columns": "sped"}, {"sort": "sped"}])
def test_a_misspelt_column_is_said_before_any_work(how: dict[str, str], tmp_path: Path) -> None:
    said = refused(lambda: write([tmp_path / "no-such-run"], tmp_path / "results", **how))
    assert said.startswith(("--columns", "--sort"))


def test_a_run_that_is_none_is_said(tmp_path: Path) -> None:
    assert "no records.jsonl here" in refused(lambda: write([tmp_path], tmp_path / "results"))
    (tmp_path / "records.jsonl").write_text("")
    assert "no records; run the config first" in refused(lambda: write([tmp_path], tmp_path / "results"))


# What stands where it fails


@pytest.mark.usefixtures("light")
def test_nothing_of_another_s_or_of_another_run_is_lost(tmp_path: Path) -> None:
    first, second = a_run(tmp_path / "one"), a_run(tmp_path / "two")
    into = tmp_path / "results"
    place = write([first, second], into).folder
    said = refused(lambda: write([first], into))
    assert f"also holds two; name {place}/runs/two too" in said
    write([first, place / "runs" / "two"], into)
    (place / "notes.md").write_text("mine")
    assert "notes.md would be lost" in refused(lambda: write([first, second], into))
    write([first], into, force=True)
    assert not (place / "notes.md").exists()
    (into / "mine").mkdir()
    (into / "mine" / "thesis.tex").write_text("years of work")
    assert "is no publication of ours" in refused(lambda: write([first], into, name="mine", force=True))
    assert (into / "mine" / "thesis.tex").read_text() == "years of work"


@pytest.mark.usefixtures("light")
def test_a_failure_on_the_way_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, into = a_run(tmp_path / "q"), tmp_path / "results"
    place = write([run], into).folder
    before = everything(into)

    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(tables, "render", full)
        said = refused(lambda: write([run], into))
    assert said == f"{into}: cannot publish (No space left on device); what was published is untouched"
    assert everything(into) == before

    rename = Path.rename

    def broken(path: Path, target: Path) -> Path:
        return full() if path.name == folder.STAGE else rename(path, target)  # type: ignore[return-value]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", broken)
        refused(lambda: write([run], into))
    assert everything(into) == before
    rename(place, into / ".sample-4cpu.old")  # a kill between the two steps
    write([run], into)
    assert everything(into) == before


@pytest.mark.usefixtures("light")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    run = a_run(tmp_path / "q")
    with mounted_disk(tmp_path / "disk", 1 << 20) as disk:
        if disk is None:
            disk = Path("/dev/full")
        else:
            fill(disk)
        said = refused(lambda: write([run], disk / "results"))
        assert "cannot publish (" in said
        assert "\n" not in said


@pytest.mark.usefixtures("light")
def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = refused(lambda: write([a_run(tmp_path / "q")], tmp_path / "file" / "results"))
    assert "cannot publish (Not a directory)" in said


@pytest.mark.usefixtures("light")
def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    run = a_run(tmp_path / "q")
    before = everything(tmp_path)
    made = write([run], tmp_path / "results", dry_run=True)
    assert set(made.files) >= FORMS
    assert everything(tmp_path) == before
    assert not (tmp_path / "results").exists()


def test_a_manifest_tells_what_was_changed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    manifest.write(tmp_path, {})
    stored = manifest.read(tmp_path)
    assert stored is not None
    assert manifest.changed(tmp_path, stored) == []
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").write_text("new")
    assert manifest.changed(tmp_path, stored) == ["a", "b"]


# The command


def called(*words: str) -> Any:
    app = typer.Typer()
    command.add_to(app)
    return CliRunner().invoke(app, list(words))


@pytest.mark.usefixtures("light")
def test_the_command_says_what_it_wrote_and_replaced(tmp_path: Path) -> None:
    run = a_run(tmp_path / "q", [samples.record(), telling()])
    done = called(str(run), "--into", str(tmp_path / "results"), "--usd-per-hour", "3", "--dry-run")
    assert done.exit_code == 0, done.exception
    assert f"would write {tmp_path}/results/sample-4cpu (" in done.output
    assert "home folder replaced in command" in done.output
    done = called(str(run), "--into", str(tmp_path / "results"), "--usd-per-hour", "3")
    assert f"wrote {tmp_path}/results/sample-4cpu (" in done.output
    (entry, *_) = load.report([tmp_path / "results/sample-4cpu/runs/q"], lambda c: c, pytest.fail).entries
    assert entry.priced is not None
    assert entry.priced.usd_per_hour == 3.0


@pytest.mark.usefixtures("light")
def test_a_suite_is_published_as_its_members(tmp_path: Path) -> None:
    """And loaded; what reads one run alone names them."""
    suite = tmp_path / "suite"
    a_run(suite / "a")
    a_run(suite / "b", [samples.record(name="other.0")])
    (suite / "begun").mkdir()
    (suite / "begun" / store.JOURNAL).touch()
    stored = suite_folder.StoredSuite(name="suite", config="suite.yaml", members=("b", "begun", "a", "gone"))
    suite_folder.write_suite(suite, stored)
    done = called(str(suite), "--into", str(tmp_path / "results"))
    assert done.exit_code == 0, done.exception
    assert sorted(one.name for one in (tmp_path / "results/sample-4cpu/runs").iterdir()) == ["a", "b"]
    assert len(bench.load(suite).entries) == 2
    with pytest.raises(InputError, match=f"name its runs: {suite}/a {suite}/b {suite}/begun$"):
        list(store.read(suite, pytest.fail))


def test_options_of_pushing_need_a_dataset(tmp_path: Path) -> None:
    done = called(str(tmp_path), "--private")
    assert isinstance(done.exception, InputError)
    assert "name the dataset with --push" in str(done.exception)


def test_findings_name_the_file_the_line_and_the_key() -> None:
    one = privacy.Finding("records.jsonl", 3, "a token", "hf_a… (37 characters)", "error.reason")
    assert one.text().startswith("records.jsonl:3 (error.reason): a token: hf_a… (37 characters); revoke it")
    assert "revoke" not in replace(one, secret=False).text()


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize(
    "options",
    [
        {"server": {"env": {"OPENAI_API_KEY": "abcd1234efgh5678"}}},
        {"server": {"args": ["--port", "1", "--api-key", "zzz-91827364-abc"]}},
        {"server": {"args": ["--api-key=zzz-91827364-abc"]}},
        {"headers": {"X-Api-Key": "0f8fad5bd9cb469f"}},
    ],
    ids=["variable", "option", "option=", "header"],
)
def test_what_is_named_as_a_secret_is_one(options: dict[str, Any], tmp_path: Path) -> None:
    bad = samples.cell(runner=RunnerChoice(name="transformers", options=options))
    said = refused(lambda: write([a_run(tmp_path / "q", [samples.record(0, of=bad)])], tmp_path / "results"))
    assert "a value that is named as a secret" in said
    assert "5678" not in said
    assert "91827364" not in said


def test_a_secret_in_a_line_of_a_log_is_found_and_a_reference_is_none() -> None:
    lines = {
        "api_key=0f8fad5bd9cb469f refused": 1,
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG": 1,
        '"password": "hunter2hunter2"': 1,
        "api_key: ${OPENAI_API_KEY}": 0,
        "password: authentication failed": 0,
        "key_env: OPENAI_API_KEY, max_tokens: 12345678": 0,
    }
    for line, count in lines.items():
        assert len(list(secrets.find(line, {}))) == count, line


def test_hosts_and_people_without_a_url_are_replaced() -> None:
    text = "alice@gpu-box.corp:/data node-17.internal fe80::1ff:fe23:4567 aa:bb:cc:dd:ee:ff bob.b@example.com"
    clean, found = identity.replaced(text, identity.rules())
    assert clean == "USER@HOST:/data HOST HOST HOST USER@HOST"
    assert len(found) == 5
    same = "results/local/x threading.local() a.local=1 org/model@v1.0 12:34:56 sha256:aa:bb torch.2.local.x a@b"
    assert identity.replaced(same, identity.rules())[0] == same
