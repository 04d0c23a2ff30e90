"""Stored runs become entries: every figure is that of the tables, and nothing is lost or mixed on the way."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from bench.entries import imported_text, load, mixed
from bench.entries.entry import Entry, Origin, Report
from bench.entries.of_batch import thinned
from bench.entries.plain import as_plain, plain
from bench.entries.priced import Asked
from bench.errors import InputError
from bench.schema import CostChoices, FourBit
from tests import entries_samples, levels_samples, samples, serving_samples
from tests.commands import bench

OWN = Asked()


def read(*runs: Path, usd_per_hour: float | None = 0.1) -> Report:
    def choose(planned: CostChoices) -> CostChoices:
        return planned if usd_per_hour is None else planned.model_copy(update={"usd_per_hour": usd_per_hour})

    return load.report(runs, choose, lambda _: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Levels × batch sizes with their quality."""
    folder = tmp_path_factory.mktemp("entries") / "levels"
    return levels_samples.run(folder, [*levels_samples.quality(), *levels_samples.speed()])


def test_a_batch_is_what_the_command_reports(run: Path) -> None:
    done = bench("report", run, "--usd-per-hour", "0.1", "-f", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["rows"]
    entries = read(run).entries
    assert len(entries) == len(told) == 9
    for entry, line in zip(entries, told, strict=True):
        assert (entry.model, entry.precision, entry.batch_size) == (
            line["model"],
            line["precision"],
            line["batch_size"],
        )
        assert entry.priced is not None
        dollars = mixed.usd_per_mtok(entry.priced, OWN)
        assert dollars is not None
        assert dollars.value == pytest.approx(line["blended_usd_per_mtok"], rel=1e-12)
        assert dollars.low == pytest.approx(line["blended_usd_per_mtok_low"], rel=1e-12)
        for name in ("ttft_s", "tpot_s", "decode_tokens_per_s", "total_tokens_per_s"):
            assert entry.figure(name) == line[name]
            assert entry.figures[name].high == line[f"{name}_high"]
        assert entry.quality.kl_mean == line["kl_mean_nats"]
        assert entry.verdict_text == line["verdict"]
        # A user of a batch sees one row of it.
        per_user = entry.figure("tokens_per_s_per_user")
        assert per_user == pytest.approx(line["decode_tokens_per_s"] / line["batch_size"])


def test_a_load_is_what_the_command_reports(tmp_path: Path) -> None:
    requests = serving_samples.requests()
    run = serving_samples.stored(tmp_path / "load", [serving_samples.served(tmp_path / "load", requests)])
    told = json.loads(bench("report", run, "-f", "json").stdout)["serving"]["rows"][0]
    (entry,) = read(run, usd_per_hour=None).entries
    assert entry.kind == "load"
    assert (entry.level, entry.level_unit) == (4.0, "streams")
    assert entry.figure("output_tokens_per_s") == told["output_tokens_per_s"]
    assert entry.priced is not None
    dollars = mixed.usd_per_mtok(entry.priced, OWN)
    assert dollars is not None
    assert dollars.value == pytest.approx(told["usd_per_mtok"], rel=1e-12)
    seen = entry.distributions["ttft_s"]
    assert seen.n > 0
    assert list(seen.values_s) == sorted(seen.values_s)
    assert seen.percentiles["50"] == told["ttft_p50_s"]


def test_the_page_keeps_what_it_was_made_with_for_the_command_that_it_shows(run: Path, tmp_path: Path) -> None:
    def kept(*words: str) -> list[list[str]]:
        done = bench("report", run, *words, "-o", tmp_path / "page.html")
        assert done.returncode == 0, done.stderr
        text = (tmp_path / "page.html").read_text(encoding="utf-8")
        found: list[list[str]] = json.loads(text.partition('id="payload">')[2].partition("</script>")[0])["options"]
        return found

    words = ["--api", "openai/gpt-5-mini", "--as-of", "2026-11-15", "--attribution", "ratio:5"]
    assert kept(*words, "--all-cells") == [[*words[:2]], [*words[2:4]], [*words[4:]], ["--all-cells", ""]]
    ((name, day),) = kept()
    assert name == "--as-of"
    assert day == load.read([run], lambda one: one, lambda _: None).day.isoformat()


def test_memory_is_whole_by_its_parts(run: Path) -> None:
    for entry in read(run).entries:
        of = entry.memory
        assert of is not None
        if of.peak_bytes is not None:
            parts = (of.weights_bytes or 0) + (of.kv_cache_bytes or 0) + (of.other_bytes or 0)
            assert parts >= of.peak_bytes


def test_keys_are_unique_and_two_runs_of_a_cell_are_two_entries(run: Path, tmp_path: Path) -> None:
    again = levels_samples.run(tmp_path / "again", levels_samples.speed())
    found = read(run, again)
    keys = [one.key for one in found.entries]
    assert len(keys) == len(set(keys)) == 18
    assert keys[9] == keys[0] + "~2"
    assert {one.run for one in found.entries} == {"levels", "again"}


def test_notes_name_the_rows_that_they_are_about(tmp_path: Path) -> None:
    records = [samples.record(), samples.failed_record("oom", of=samples.cell(precision=FourBit(name="nf4")))]
    found = read(levels_samples.run(tmp_path / "one", records))
    ok, failed = found.entries
    assert (ok.status, failed.status) == ("ok", "oom")
    assert not failed.figures
    assert failed.priced is None
    about = {note.text: note.about for note in found.notes}
    price = next(text for text in about if text.startswith("Hardware price: "))
    assert about[price] == (ok.key,)
    # Why it failed stands in the row itself.
    assert failed.failure == "bitsandbytes has no kernel here"
    assert not any(failed.failure in text for text in about)


def test_a_run_without_records_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text("")
    with pytest.raises(InputError, match="no records; run the config first"):
        read(tmp_path)


def test_a_newer_schema_is_said_and_left_out(tmp_path: Path) -> None:
    run = levels_samples.run(tmp_path / "new", levels_samples.speed(sizes=(1,)))
    journal = run / "records.jsonl"
    lines = journal.read_text().splitlines()
    lines[0] = lines[0].replace('"schema_version":1', '"schema_version":99', 1)
    journal.write_text("\n".join(lines) + "\n")
    found = read(run)
    assert any("schema 99" in warning for warning in found.warnings)


def test_the_plain_form_is_json_and_holds_every_name(run: Path) -> None:
    entry = read(run).entries[0]
    made = json.loads(json.dumps(as_plain(entry), allow_nan=False))
    assert set(made) == set(Entry.__dataclass_fields__)
    assert made["figures"]["ttft_s"] == {
        "value": entry.figures["ttft_s"].value,
        "low": entry.figures["ttft_s"].low,
        "high": entry.figures["ttft_s"].high,
        "n": entry.figures["ttft_s"].n,
    }
    assert plain(float("inf")) is None
    with pytest.raises(TypeError):
        plain(object())


def test_a_distribution_is_thinned_in_equal_shares() -> None:
    found = thinned([float(value) for value in range(10_000)])
    assert len(found) == 101
    assert {round(after - before) for before, after in pairwise(found)} == {99, 100}
    assert found[0] == pytest.approx(10_000 - 1 - found[-1], abs=1)


def test_a_model_that_this_version_does_not_have_is_reported_all_the_same(tmp_path: Path) -> None:
    for source in ("builtin:of-tomorrow", "shape:of-tomorrow"):
        of = samples.cell(source=source)
        found = read(levels_samples.run(tmp_path / source.partition(":")[0], [samples.record(of=of)]))
        (entry,) = found.entries
        assert entry.status == "ok"
        assert entry.model.startswith("of-tomorrow")


def test_imports_are_priced_at_a_blend_as_in_the_page() -> None:
    """An output token of the sample takes ten times an input token; the hour costs $0.1."""
    one = entries_samples.entry(kind="imported", origin=Origin("AIPerf"))
    input_s = 5000 * 192 / (128 + 640)
    usd = 0.1 / 3600 * (0.8 * input_s + 0.2 * 10 * input_s)
    line = imported_text.flat(one, ["80/20"])
    assert line["usd_per_mtok_at_80_to_20"] == pytest.approx(usd, rel=1e-3)  # geometric mean over the replicates
    assert line["cheapest_api_at_80_to_20"] == "groq/llama-3.1-8b-instant"
    assert line["cheapest_api_usd_per_mtok_at_80_to_20"] == pytest.approx(0.8 * 0.05 + 0.2 * 0.08)
    share = line["usd_per_mtok_at_80_to_20"] / line["cheapest_api_usd_per_mtok_at_80_to_20"]
    assert line["ratio_to_cheapest_api_at_80_to_20"] == pytest.approx(share)
    assert "$/Mtok 80/20" in imported_text.render([one], "md", blends=["80/20"])
    assert "$/Mtok 80/20" not in imported_text.render([one], "md")


def test_imports_stand_below_each_other_on_a_narrow_screen() -> None:
    origin = Origin("vLLM bench serve", "0.33", "one.json")
    rows = [
        entries_samples.entry(kind="imported", origin=origin, workload=f"closed {streams}, 64 in, 16 out")
        for streams in (1, 4)
    ]
    wide = imported_text.render(rows, "table", 240)
    assert wide.count("workload") == 1
    narrow = imported_text.render(rows, "table", 110)
    assert narrow.count("workload") == 2
    # What is equal in every row stands above the table, and no cell is broken.
    assert narrow.startswith("measured by other tools: vLLM bench serve · smollm2-135m · bf16 · transformers\n")
    assert narrow.count("closed 4, 64 in, 16 out  ") == 2
    assert "one.json: written by vLLM bench serve 0.33; imported, not measured by this program." in narrow
