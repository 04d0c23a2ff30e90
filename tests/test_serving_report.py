"""Tables of cells under load: from traces to text, whole or not, and what the commands do with them."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import InputError
from bench.metrics.serving.slo import parse
from bench.metrics.statistics import Estimate
from bench.report.rows import rows
from bench.report.serving.counters import counted
from bench.report.serving.footnotes import footnotes
from bench.report.serving.frontier import families
from bench.report.serving.headline import find_max_lines, headline, range_text
from bench.report.serving.render import render_serving
from bench.report.serving.row import ServingRow, host_of
from bench.report.serving.rows import serving_rows
from bench.schema import (
    Capabilities,
    CostChoices,
    Failure,
    Record,
    Request,
    ServerFacts,
    ServerSample,
    Slo,
    Traffic,
)
from tests.commands import ROOT, bench
from tests.samples import environment, record
from tests.serving_samples import TTFT_S, requests, served, served_cell, stored

GROQ = "groq/llama-3.1-8b-instant"
CHOICES = CostChoices(usd_per_hour=3.6, apis=(GROQ,))
SLO = (parse("ttft.p95<=600ms"),)


def _slow(streams: int, by_s: float) -> list[Request]:
    """Every first token comes later by so much; the others as before."""
    found = requests(streams)
    for one in found:
        assert one.sent_s is not None
        one.first_token_s = one.sent_s + TTFT_S + by_s
        one.gaps_us = [round((2.0 - TTFT_S - by_s) / 15 * 1e6)] * 15
    return found


def _family(folder: Path, slo: tuple[Slo, ...] = SLO) -> list[ServingRow]:
    """Three levels, of which the highest misses the objective."""
    records = [
        served(folder, cell=served_cell(4)),
        served(folder, _slow(40, 0.3), cell=served_cell(40)),
        served(folder, cell=served_cell(20)),
    ]
    return serving_rows(records, folder, CHOICES, slo)


def _failed(status: str = "crashed") -> Record:
    whole = record(of=served_cell())
    error = Failure(reason="the server went away", remedy="see its log")
    return whole.model_copy(update={"status": status, "measurement": None, "error": error, "spent_usd": 0.25})


# --- rows


def test_rows_of_batches_and_rows_under_load_leave_each_other_alone(tmp_path: Path) -> None:
    both = [record(), served(tmp_path), record(1), _failed()]
    batches, loads = rows(both, CHOICES), serving_rows(both, tmp_path, CHOICES)
    assert [row.cell.traffic for row in batches] == [None]
    assert [row.cell.traffic is not None for row in loads] == [True]
    assert batches[0].replicates == 2
    assert "failures" in [reason.code for reason in loads[0].verdict]


def test_replicates_make_an_interval_and_other_servers_another_row(tmp_path: Path) -> None:
    newer = Capabilities(served_model="smollm2-135m", server="sample 2.0")
    records = [served(tmp_path, replicate=number) for number in range(3)]
    records.append(served(tmp_path, replicate=3, able=newer))
    one, two = serving_rows(records, tmp_path, CHOICES)
    assert (one.replicates, two.replicates) == (3, 1)
    assert one.dollars is not None
    assert one.dollars.usd_per_mtok.n == 3
    other = serving_rows([*records[:1], served(tmp_path, replicate=9, where=environment(cpus=8))], tmp_path, CHOICES)
    assert len(other) == 2


def test_rows_stand_in_the_order_of_the_plan(tmp_path: Path) -> None:
    cells = [served_cell(streams) for streams in (4, 20)]
    records = [served(tmp_path, cell=cell) for cell in cells]
    found = serving_rows(records, tmp_path, CHOICES, order=[cells[1].cell_id, cells[0].cell_id])
    assert [row.traffic.concurrency for row in found] == [20, 4]


def test_a_cell_that_only_failed_says_why(tmp_path: Path) -> None:
    (row,) = serving_rows([_failed()], tmp_path, CHOICES)
    assert row.status == "crashed"
    assert row.dollars is None
    text = render_serving([row], "table", 120)
    assert "crashed: the server went away; see its log" in text
    assert render_serving([row], "md")
    assert json.loads(render_serving([row], "json"))["rows"][0]["failure"] == "the server went away"


# --- traces


def test_without_its_trace_a_row_is_invalid_and_says_what_to_do(tmp_path: Path) -> None:
    one = served(tmp_path)
    (tmp_path / "traces").rename(tmp_path / "elsewhere")
    (row,) = serving_rows([one], tmp_path, CHOICES)
    assert (row.status, row.figures, row.dollars) == ("invalid", None, None)
    assert row.failure is not None
    assert row.failure.remedy == "keep traces/ beside records.jsonl"


def test_another_trace_under_the_same_name_is_not_taken_for_it(tmp_path: Path) -> None:
    one = served(tmp_path)
    served(tmp_path, requests(4)[:-1])
    (row,) = serving_rows([one], tmp_path, CHOICES)
    assert row.failure is not None
    assert "another checksum" in row.failure.reason


@pytest.mark.parametrize("name", ["../traces/x.jsonl.gz", "/etc/hostname", "traces/../../x"])
def test_a_trace_is_never_looked_for_outside_of_the_folder(tmp_path: Path, name: str) -> None:
    own = tmp_path / "run"
    one = served(own)
    assert one.serving is not None
    odd = one.model_copy(update={"serving": one.serving.model_copy(update={"trace": name})})
    (row,) = serving_rows([odd], own, CHOICES)
    assert row.failure is not None
    assert "not there" in row.failure.reason


def test_one_lost_trace_of_several_is_said_and_the_others_stand(tmp_path: Path) -> None:
    records = [served(tmp_path, replicate=number) for number in range(3)]
    assert records[1].serving is not None
    (tmp_path / records[1].serving.trace).unlink()
    (row,) = serving_rows(records, tmp_path, CHOICES)
    assert row.replicates == 2
    assert row.dollars is not None
    assert "traces" in [reason.code for reason in row.verdict]


# --- figures that mean nothing


def test_no_dollars_where_the_figures_mean_nothing(tmp_path: Path) -> None:
    """Prompts were cached that were not to be: the verdict is fatal, and its code stands where the dollars would."""
    cell = served_cell()
    assert cell.traffic is not None
    fresh = cell.model_copy(update={"traffic": cell.traffic.model_copy(update={"shared_prefix": None})})
    (row,) = serving_rows([served(tmp_path, cell=fresh)], tmp_path, CHOICES)
    assert row.dollars is None
    assert row.no_dollars_because == "warm-cache"
    assert "(warm-cache)" in render_serving([row], "table", 250)
    assert headline([row]) == "No dollars: warm-cache."


# --- families


def test_the_highest_load_within_the_objectives_is_named(tmp_path: Path) -> None:
    (line,) = find_max_lines(_family(tmp_path))
    assert "closed 20 (100%" in line
    assert "not met at closed 40 (0%" in line
    (of,) = families(_family(tmp_path))
    assert of.highest_met is not None
    assert of.highest_met.level == (20.0, "streams")


def test_where_none_is_within_them_that_is_said(tmp_path: Path) -> None:
    (line,) = find_max_lines(_family(tmp_path, (parse("ttft.p95<=1ms"),)))
    assert "none" in line
    assert "even at closed 4" in line


def test_the_frontier_is_of_speed_and_dollars(tmp_path: Path) -> None:
    """Forty streams are slower for nobody but cheaper by half: a tie in speed that dollars decide."""
    found = _family(tmp_path)
    (of,) = families(found)
    assert [point.level[0] for point in of.points] == [4, 20, 40]
    assert of.cheapest_met is not None
    assert of.cheapest_met.level[0] == 20
    on_front = [point.level[0] for point in of.points if point.on_front]
    assert on_front == [40]  # its later first token leaves less time for the others: faster tokens, and cheaper ones
    text = render_serving(found, "table", 120)
    assert "speed of a user against dollars" in text
    assert "($/Mtok)" in text
    data = json.loads(render_serving(found, "json"))["frontiers"]
    assert data[0]["highest_level_met"] == 20
    assert [point["slo_met"] for point in data[0]["points"]] == [True, True, False]


def test_two_levels_are_no_frontier(tmp_path: Path) -> None:
    assert "speed of a user" not in render_serving(_family(tmp_path)[:2], "table", 120)


# --- text


@pytest.mark.parametrize("width", [60, 80, 120, 400])
def test_the_tables_fit_the_terminal(tmp_path: Path, width: int) -> None:
    text = render_serving(_family(tmp_path), "table", width)
    tables = text[: text.index("• ")]
    assert max(len(line) for line in tables.splitlines()) <= width
    assert "closed 40" in text


def test_a_percentile_of_too_few_requests_says_how_many_it_would_take(tmp_path: Path) -> None:
    (row,) = serving_rows([served(tmp_path)], tmp_path, CHOICES)
    text = render_serving([row], "table", 300)
    assert "n<473" in text


def test_the_headline_gives_dollars_load_api_and_objective(tmp_path: Path) -> None:
    text = headline(_family(tmp_path))
    # closed 40 is cheaper ($0.431), and misses the objective
    for part in ("within ttft_s.p95<=0.6", "closed 20", "$0.862 per million tokens", GROQ, "no utilisation makes up"):
        assert part in text


def test_open_loops_say_that_they_count_from_the_schedule(tmp_path: Path) -> None:
    cell = served_cell(20)
    assert cell.traffic is not None
    traffic = Traffic(load="constant", requests_per_s=10, shared_prefix=cell.traffic.shared_prefix)
    of = requests(20)
    for one in of:
        assert one.sent_s is not None
        one.due_s = one.sent_s - 0.25
    (row,) = serving_rows([served(tmp_path, of, cell.model_copy(update={"traffic": traffic}))], tmp_path, CHOICES)
    text = render_serving([row], "table", 300)
    assert "count from the schedule" in text
    assert row.figures is not None
    assert row.figures.times["ttft_s"][50.0] == pytest.approx(0.75)


def test_plain_data_holds_everything_unrounded(tmp_path: Path) -> None:
    found = _family(tmp_path)
    (line, *_) = csv.DictReader(io.StringIO(render_serving(found, "csv")))
    assert float(line["blended_usd_per_mtok"]) == pytest.approx(1000 / 232, rel=1e-12)
    assert line["slo_met"] == "True"
    whole = json.loads(render_serving(found, "json"))
    row = whole["rows"][0]
    assert row["runs"][0]["whole"]["output_tokens_per_s"] < row["runs"][0]["flow"]["output_tokens_per_s"]
    assert row["runs"][0]["steady"]["start_s"] == 4.0
    assert row["objectives"][0]["slo"] == "ttft_s.p95<=0.6"
    assert row["ended"] == "duration"
    assert row["output_usd_per_mtok"] == pytest.approx(4 * row["input_usd_per_mtok"])


def test_markup_in_a_servers_words_stays_text(tmp_path: Path) -> None:
    odd = Capabilities(served_model="<b>m</b>|x", server="=1+1", notes=("[red]no[/red]",))
    cell = served_cell().model_copy(update={"model": served_cell().model.model_copy(update={"source": "served"})})
    found = serving_rows([served(tmp_path, cell=cell, able=odd)], tmp_path, CHOICES)
    assert "<b>" not in render_serving(found, "md").replace("\\<", "")
    assert "[red]no[/red]" in render_serving(found, "table", 120)
    assert "'=1+1" in render_serving(found, "csv")


def test_a_server_cannot_recolour_the_terminal(tmp_path: Path) -> None:
    odd = Capabilities(served_model="m", server="\x1b[31mred\x07", notes=("first\x1b]0;title\x07",))
    found = serving_rows([served(tmp_path, able=odd)], tmp_path, CHOICES)
    for form in ("table", "md"):
        text = render_serving(found, form, 120)
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "[31mred" in text.replace("\\", "")


def test_a_name_and_a_password_in_a_url_are_not_shown() -> None:
    assert host_of("https://me:sk-canary@api.example:8443/v1") == "api.example:8443"


def test_a_note_of_several_rows_is_said_once_with_what_differs(tmp_path: Path) -> None:
    records = [served(tmp_path, requests(streams, _third_fails), cell=served_cell(streams)) for streams in (4, 20, 40)]
    records.append(served(tmp_path, cell=served_cell(40), replicate=1))
    notes = footnotes(serving_rows(records, tmp_path, CHOICES))
    assert "Replicates: 1; ± is a 95% interval over batch means of its one replicate. [rows 1–2]" in notes
    (failed,) = [note for note in notes if note.startswith("Failed requests: ")]
    assert failed.count("http [row ") == 3
    assert len([note for note in notes if note.startswith("errors: ")]) == 1


def _third_fails(index: int) -> dict[str, object]:
    return {"status": "http", "http_status": 500} if index % 3 == 0 else {}


def test_an_interval_of_no_width_that_means_anything_is_no_range() -> None:
    assert range_text(Estimate(1.0, 0.5, 2.0, 3)) == "0.500–2.00"
    assert range_text(Estimate(1.0, 1e-8, 1e8, 2)) == "1.00 ×÷1,000+"


# --- the server's own counters


def test_counters_are_read_between_the_edges_of_the_window() -> None:
    samples = [
        ServerSample(
            at_s=at,
            values={
                'vllm:prompt_tokens_total{model="m"}': 1000 * at,
                "vllm:generation_tokens_total": 100 * at,
                "vllm:prefix_cache_hits_total": 250 * at,
                "vllm:prefix_cache_queries_total": 1000 * at,
                "vllm:num_requests_waiting": at,
            },
        )
        for at in (0.0, 4.0, 30.0, 64.0, 66.0)
    ]
    found = counted(samples, 4.0, 64.0)
    assert found is not None
    assert found.length_s == 60.0
    assert found.prompt_tokens == 60_000
    assert found.generated_tokens_per_s == 100.0
    assert found.prefix_hit_rate == 0.25
    assert found.queue_max == 64.0
    assert counted(samples[:1], 4.0, 64.0) is None


def test_what_llama_cpp_took_from_its_cache_is_part_of_the_prompts() -> None:
    """It counts what it computed apart from what it had, and a series appears with its first event."""
    values = {"llamacpp:prompt_tokens_total": 75.0, "llamacpp:prompt_tokens_cached_total": 25.0}
    samples = [
        ServerSample(at_s=0.0, values={"llamacpp:requests_deferred": 0.0}),
        ServerSample(at_s=9.0, values=values),
    ]
    found = counted(samples, 0.0, 9.0)
    assert found is not None
    assert (found.prompt_tokens, found.prefix_hit_rate, found.queue_max) == (100.0, 0.25, 0.0)


def test_a_server_that_began_anew_has_no_difference() -> None:
    """Its counters fell: nobody knows what it did."""
    samples = [ServerSample(at_s=at, values={"llamacpp:tokens_predicted_total": 100 - at}) for at in (0.0, 10.0)]
    found = counted(samples, 1.0, 9.0)
    assert found is not None
    assert found.generated_tokens is None


# --- commands


def test_report_prints_both_kinds_of_rows_and_takes_the_plans_objectives(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", [record(), served(tmp_path / "run")], SLO)
    text = bench("report", run)
    assert text.returncode == 0, text.stderr
    assert "under load" in text.stdout
    assert "decode tok/s" in text.stdout
    assert "ttft_s.p95<=0.6" in text.stdout
    other = bench("report", run, "--slo", "e2el.p50<=1.5s")
    assert "e2el_s.p50<=1.5" in other.stdout
    assert "ttft_s.p95" not in other.stdout
    whole = json.loads(bench("report", run, "--format", "json").stdout)
    assert len(whole["rows"]) == len(whole["serving"]["rows"]) == 1
    assert len(list(csv.DictReader(io.StringIO(bench("report", run, "--format", "csv").stdout)))) == 2


def test_report_of_a_run_under_load_alone(tmp_path: Path) -> None:
    started = ServerFacts(engine="llama.cpp", load_s=60.0)
    run = stored(tmp_path / "run", [served(tmp_path / "run", server=started)])
    text = bench("report", run, "--percentiles", "--duty-cycle", "0.5", "--starts-per-month", "30").stdout
    assert "decode tok/s" not in text
    assert "the steady window beside the whole run" in text
    assert "Asleep: on for 50% of the month" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--slo", "ttfx.p95<=1"), "--slo"),
        (("--slo", "soon"), "--slo"),
        (("--duty-cycle", "0.5"), "--starts-per-month"),
        (("--duty-cycle", "2", "--starts-per-month", "1"), "--duty-cycle"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    run = stored(tmp_path / "run", [served(tmp_path / "run")])
    done = bench("report", run, *words)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert says in done.stderr


def test_options_of_loads_are_refused_where_there_is_none(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", [record()])
    done = bench("report", run, "--slo", "ttft.p95<=1s")
    assert done.returncode == 2
    assert "no cell" in done.stderr


@pytest.mark.parametrize("words", [("compare",), ("breakeven",), ("project", "--onto", "H100"), ("claims",)])
def test_commands_that_take_batches_say_who_takes_loads(tmp_path: Path, words: tuple[str, ...]) -> None:
    run = stored(tmp_path / "run", [served(tmp_path / "run")])
    arguments: list[str | Path] = [words[0], run, *([run] if words[0] == "compare" else []), *words[1:]]
    done = bench(*arguments)
    assert done.returncode == 2, done.stdout
    (line,) = done.stderr.splitlines()
    assert "all under load; `bench report` prices them" in line


def test_of_a_mixed_run_those_commands_take_the_batches(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", [served(tmp_path / "run"), record(), record(1)])
    done = bench("breakeven", run)
    assert done.returncode == 0, done.stderr
    assert "batch 2" in done.stdout


def test_strict_counts_rows_under_load(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", [served(tmp_path / "run")])
    done = bench("report", run, "--strict")
    assert done.returncode == 3
    assert "row 1 under load" in done.stderr


def test_print_and_write_keeps_the_tables_of_loads_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bench.cli.finish import print_and_write

    run = stored(tmp_path / "run", [served(tmp_path / "run")])
    found = print_and_write(run, CHOICES, lambda _: None)
    assert len(found) == 1
    assert sorted(path.name for path in run.glob("table*")) == [
        f"table-serving.{form}" for form in ("csv", "json", "md")
    ]
    assert "table-serving.md" in capsys.readouterr().out


def test_requests_dumps_what_was_measured(tmp_path: Path) -> None:
    cells = [served_cell(4), served_cell(20)]
    run = stored(tmp_path / "run", [served(tmp_path / "run", cell=cell) for cell in cells])
    lines = list(csv.DictReader(io.StringIO(bench("requests", run, "--cell", cells[0].cell_id[:6]).stdout)))
    assert len(lines) == len(requests(4))
    assert {line["cell_id"] for line in lines} == {cells[0].cell_id}
    assert float(lines[0]["ttft_s"]) == 0.5
    assert float(lines[0]["tpot_s"]) == pytest.approx(0.1)
    assert lines[0]["due_s"] == ""
    out = tmp_path / "requests.jsonl"
    assert bench("requests", run, "--format", "jsonl", "-o", out).returncode == 0
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(found) == len(requests(4)) + len(requests(20))
    assert found[0]["gaps_us"] == [100_000] * 15


@pytest.mark.parametrize(
    ("words", "says"), [(("--cell", "zzz"), "--cell"), (("--format", "xml"), "--format"), (("-o", "/no/such/x"), "/no")]
)
def test_requests_with_a_wrong_word_is_one_line(tmp_path: Path, words: tuple[str, str], says: str) -> None:
    run = stored(tmp_path / "run", [served(tmp_path / "run")])
    done = bench("requests", run, *words)
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]


def test_requests_of_a_run_without_any(tmp_path: Path) -> None:
    done = bench("requests", stored(tmp_path / "run", [record()]))
    assert done.returncode == 2
    assert "no request" in done.stderr


def test_a_report_of_batches_needs_no_numpy_and_one_of_loads_no_engine(tmp_path: Path) -> None:
    batches = stored(tmp_path / "one", [record()])
    loads = stored(tmp_path / "two", [served(tmp_path / "two")])
    code = (
        "import sys\n"
        "from bench.cli import app\n"
        "for run, heavy in zip(sys.argv[1:], (['numpy', 'torch'], ['torch', 'transformers'])):\n"
        "    app(['report', run], standalone_mode=False)\n"
        "    print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, batches, loads], capture_output=True, text=True, cwd=ROOT)
    assert [line for line in done.stderr.splitlines() if line.startswith("[")] == ["[]", "[]"], done.stderr


def test_an_api_that_nobody_knows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown"):
        serving_rows([served(tmp_path)], tmp_path, CostChoices(apis=("groq/never-was",)))
