"""`bench.load` and what it gives: the command line's own figures, as data frames."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bench
from bench.schema import Plain
from tests import levels_samples, samples, serving_samples
from tests.commands import ROOT
from tests.commands import bench as command

HEAVY = {"pandas", "numpy", "torch", "pydantic", "yaml", "transformers", "typer"}
COST = {"usd_per_hour": 2.0, "utilisation": 0.5, "apis": ["openai/gpt-5-nano"]}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three levels at three sizes, quality passes, and a cell that failed."""
    failed = samples.failed_record("oom", "it needs 32 GB and there are 16", "choose a smaller batch")
    records = [*levels_samples.speed(), *levels_samples.quality(), failed]
    return levels_samples.run(tmp_path_factory.mktemp("api") / "levels", records)


@pytest.fixture(scope="module")
def run(stored: Path) -> bench.Run:
    return bench.load(stored)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cell under load, three replicates."""
    folder = tmp_path_factory.mktemp("api") / "load"
    folder.mkdir()
    records = [serving_samples.served(folder, replicate=number) for number in range(3)]
    return serving_samples.stored(folder, records)


def _modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_takes_the_standard_library_alone() -> None:
    code = "import bench\nassert callable(bench.load), dir(bench)\nassert not hasattr(bench, 'lod')"
    found = _modules_after(code)
    ours = {name for name in found if not name.startswith("_")} - {"bench", "sitecustomize"}
    assert ours <= set(sys.stdlib_module_names)
    assert not found & HEAVY


def test_loading_takes_no_engine_and_no_pandas(stored: Path) -> None:
    found = _modules_after(f"import bench\nrun = bench.load({str(stored)!r})\nassert len(run) == 10")
    assert "pydantic" in found
    assert not found & {"torch", "transformers", "pandas", "typer", "numpy"}


def test_what_the_package_shows() -> None:
    assert set(bench.__all__) == {"InputError", "Run", "__version__", "load"}
    assert {"load", "Run", "InputError", "__version__"} <= set(dir(bench))
    assert bench.Run.__name__ == "Run"
    assert (Path(bench.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'table'"):
        bench.table  # type: ignore[attr-defined]  # noqa: B018


# --- equal to the command line


def _same(ours: Any, theirs: Any, where: str) -> None:
    if theirs is None:
        assert ours is None or ours is pd.NA or math.isinf(ours) or math.isnan(ours), where
    else:
        assert ours == pytest.approx(theirs, rel=1e-12, abs=0), where


def _same_break_even(ours: Any, theirs: Any) -> None:
    """The command line has null for never."""
    never = theirs["break_even_utilisation"] is None
    assert never == (not ours["break_even_utilisation"] <= 1)
    if not never:
        _same(ours["break_even_utilisation"], theirs["break_even_utilisation"], "break-even")


def _rows(*words: str | Path) -> Any:
    done = command("report", *words, "-f", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


FIGURES = ("ttft_s", "tpot_s", "e2el_s", "decode_tokens_per_s", "prefill_tokens_per_s", "output_tokens_per_s")
RENAMED = {
    "machine_usd_per_mtok": "blended_usd_per_mtok",
    "input_usd_per_mtok": "input_usd_per_mtok",
    "output_usd_per_mtok": "output_usd_per_mtok",
    "ratio": "ratio_to_cheapest_api",
}


@pytest.mark.parametrize("cost", [{}, COST], ids=["own", "other prices"])
def test_a_table_has_the_command_lines_figures(stored: Path, run: bench.Run, cost: Any) -> None:
    options = ["--usd-per-hour", "2", "--utilisation", "0.5", "--api", "openai/gpt-5-nano"] if cost else []
    rows = _rows(stored, *options)["rows"]
    table = run.at(cost).table() if cost else run.table()
    assert len(rows) == len(table) == 10
    for row, ours in zip(rows, table.to_dict("records"), strict=True):
        assert (ours["cell_id"], ours["status"], ours["verdict"]) == (row["cell_id"], row["status"], row["verdict"])
        for name, theirs in ({name: name for name in FIGURES} | RENAMED).items():
            for end in ("", "_low", "_high"):
                _same(ours[name + end], row[theirs + end], name + end)
        for name in ("usd_per_hour", "kl_mean_nats", "delta_nll_nats_se", "weights_bytes"):
            _same(ours[name], row.get(name), name)  # a failed row has no memory
        _same_break_even(ours, row)


def test_costs_has_each_api_as_the_command_line(stored: Path, run: bench.Run) -> None:
    rows = _rows(stored, "--usd-per-hour", "0.05")["rows"]
    costs = run.costs(usd_per_hour=0.05)
    pairs = [(row, api) for row in rows for api in row["apis"] or [None]]
    assert len(pairs) == len(costs) == 9 * 3 + 1
    for (_, api), ours in zip(pairs, costs.to_dict("records"), strict=True):
        if api is None:
            assert ours["no_dollars_because"] == "it needs 32 GB and there are 16"
            continue
        assert ours["api"] == api["api"]
        for name in ("ratio", "ratio_low", "ratio_high"):
            _same(ours[name], api[name], name)
        _same_break_even(ours, api)
        assert ours["cheaper"] in ("self-hosting", "API", "cannot be told")


def test_loads_are_in_the_same_frame(loaded: Path) -> None:
    row = _rows(loaded, "--usd-per-hour", "3.60")["serving"]["rows"][0]
    ours = bench.load(loaded).at(usd_per_hour=3.6).table().iloc[0]
    assert (ours["kind"], ours["level"], ours["level_unit"]) == ("load", 4.0, "streams")
    for name in ("ttft_s", "tpot_s", "e2el_s", "output_tokens_per_s"):
        _same(float(ours[name]), row[name], name)
    # 4 streams make 8 output and 50 prompt tokens a second each: 232 tokens a second at $3.60 an hour.
    assert ours["usd_per_mtok"] == pytest.approx(3.6 / 3600 / 232 * 1e6, rel=0.02)


# --- the frame itself


def test_types_and_what_is_not_known(run: bench.Run) -> None:
    table = run.table()
    assert isinstance(table.index, pd.RangeIndex)
    assert {str(table[name].dtype) for name in ("usd_per_mtok", "ratio_low", "ttft_s", "level")} == {"float64"}
    assert {str(table[name].dtype) for name in ("batch_size", "replicates", "peak_bytes")} == {"Int64"}
    assert {str(table[name].dtype) for name in ("model", "precision", "status")} == {"category"}
    assert {str(table[name].dtype) for name in ("key", "verdict", "command")} == {"string"}
    assert str(table["measured_at"].dtype) == "datetime64[us, UTC]"
    assert table["key"].is_unique
    failed = table[table["status"] == "oom"].iloc[0]
    assert failed["failure"] == "it needs 32 GB and there are 16"
    assert failed["remedy"] == "choose a smaller batch"
    assert math.isnan(failed["usd_per_mtok"])
    assert not failed["believable"]


def test_columns_and_sorting(run: bench.Run) -> None:
    table = run.table(columns=["precision", "batch_size", "usd_per_mtok"], sort=["-batch_size", "usd_per_mtok"])
    assert list(table.columns) == ["precision", "batch_size", "usd_per_mtok"]
    assert list(table["batch_size"]) == [16] * 3 + [4] * 3 + [2] + [1] * 3
    assert table["usd_per_mtok"].iloc[:3].is_monotonic_increasing
    by_name = run.table("precision", sort=["precision", "-batch_size"])["precision"]
    assert list(by_name.drop_duplicates()) == ["bf16", "int8", "nf4"]
    assert run.table("usd_per_mtok", sort="usd_per_mtok")["usd_per_mtok"].isna().iloc[-1]
    with pytest.raises(bench.InputError, match=r"columns: unknown column 'usd_per_mtk'; did you mean 'usd_per_mtok'"):
        run.table(columns=["usd_per_mtk"])
    with pytest.raises(bench.InputError, match="sort: unknown column 'tttf_s'; did you mean 'ttft_s'"):
        run.table(sort="-tttf_s")


def test_entries_records_cells_and_machines(run: bench.Run, stored: Path) -> None:
    assert len(run) == len(run.entries) == 10
    records = list(run.records())
    assert len(records) == len((stored / "records.jsonl").read_text().splitlines())
    assert {cell.cell_id for cell in run.cells} == {record.cell.cell_id for record in records}
    assert set(run.environments) == {entry.machine for entry in run.entries}
    assert run.warnings == ()
    assert "per Mtok" in run.headline
    assert repr(run) == f"Run({stored}: 10 entries)"


def test_several_runs_are_one(run: bench.Run, stored: Path, loaded: Path) -> None:
    both = bench.load(stored, str(loaded))
    assert len(both) == 11
    assert both.table()["run"].value_counts().to_dict() == {"levels": 10, "load": 1}
    assert len(both.samples("e2el_s")["key"].dropna().unique()) == 10


def test_raw_samples_are_the_rounds(run: bench.Run) -> None:
    found = run.samples("e2el_s")
    assert len(found) == 9 * 4 * 3
    first = found[(found["precision"] == "bf16") & (found["workload"].str.startswith("batch 1,"))]
    # The replicate's figure is the median of its rounds, the entry's the geometric mean over replicates.
    middles = first.groupby("replicate")["e2el_s"].median()
    mean = math.exp(sum(map(math.log, middles)) / len(middles))
    entry = next(one for one in run.entries if one.key == first["key"].iloc[0])
    assert mean == pytest.approx(entry.figures["e2el_s"].value, rel=1e-12)
    assert len(run.samples("load_s")) == 9 * 4
    with pytest.raises(bench.InputError, match="samples: unknown metric 'ttft'; did you mean 'ttft_s'"):
        run.samples("ttft")


def test_raw_samples_of_a_load_are_its_requests(loaded: Path) -> None:
    found = bench.load(loaded).samples("ttft_s")
    assert found["ttft_s"].unique() == pytest.approx([serving_samples.TTFT_S])
    assert found.groupby("replicate").size().nunique() == 1
    assert found["round"].isna().all()


# --- what is no run


def test_paths_that_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(bench.InputError, match=r"nowhere: no records.jsonl here"):
        bench.load(tmp_path / "nowhere")
    (tmp_path / "records.jsonl").write_text("")
    with pytest.raises(bench.InputError, match="no records; run the config first") as empty:
        bench.load(tmp_path)
    assert len(empty.value.lines) == 1
    with pytest.raises(bench.InputError, match="slo 'ttft'"):
        bench.load(tmp_path, slo="ttft")


def test_records_of_a_newer_schema_are_said(tmp_path: Path) -> None:
    folder = levels_samples.run(tmp_path / "newer", [samples.record()])
    text = (folder / "records.jsonl").read_text()
    newer = text.replace('"schema_version":1', '"schema_version":99').replace(".sample", ".newer")
    (folder / "records.jsonl").write_text(text + newer)
    run = bench.load(folder)
    assert len(run) == 1
    assert any("schema 99 skipped; this version reads up to" in one for one in run.warnings)
    (folder / "records.jsonl").write_text(newer)
    with pytest.raises(bench.InputError, match=r"no record that can be read .*upgrade"):
        bench.load(folder)


def test_a_run_of_failures_alone(tmp_path: Path) -> None:
    run = bench.load(levels_samples.run(tmp_path / "failed", [samples.failed_record()]))
    assert list(run.table()["status"]) == ["unsupported"]
    assert list(run.costs()["no_dollars_because"]) == ["bitsandbytes has no kernel here"]
    assert run.samples("e2el_s").empty
    assert "unsupported" in run.markdown()


# --- for others to read


def test_hostile_names_are_text_in_a_notebook(tmp_path: Path) -> None:
    cell = samples.cell("someone/<script>alert(1)</script>", Plain(name="bf16"))
    shown = bench.load(levels_samples.run(tmp_path / "hostile", [samples.record(of=cell)]))
    html = shown._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert html.lstrip().startswith("<")


def test_texts_and_the_page(run: bench.Run, tmp_path: Path) -> None:
    assert "| verdict" in run.markdown()
    assert run.markdown(columns="precision,usd_per_mtok", sort="-usd_per_mtok").count("\n|") >= 9
    assert r"\toprule" in run.latex()
    page = run.at(usd_per_hour=2.0).report(tmp_path / "report.html")
    text = page.read_text(encoding="utf-8")
    assert text.lower().startswith("<!doctype html>")
    assert "smollm2-135m" in text


# --- the documentation


def test_the_documented_example_runs_and_prints_what_it_says(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every ```python block of the page runs in one namespace; a ```text block after one is what it prints."""
    text = (ROOT / "docs" / "python-api.md").read_text()
    levels_samples.run(tmp_path / "results" / "local" / "levels", [*levels_samples.speed(), *levels_samples.quality()])
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    found = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", text, re.DOTALL | re.MULTILINE)
    assert len(found) >= 5
    for code, printed in found:
        exec(compile(code, "docs/python-api.md", "exec"), space)  # noqa: S102 - our own page
        shown = [line.rstrip() for line in capsys.readouterr().out.rstrip().splitlines()]
        assert shown == printed.rstrip().splitlines()
