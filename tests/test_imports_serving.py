"""vLLM, GuideLLM and AIPerf: files that they wrote (tests/data/imports/README.md), read by our definitions.

What is expected is worked out here from the single requests in the same files, and not by the code under test.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from bench.errors import InputError
from bench.imports.found import Found
from bench.imports.read import read
from tests.commands import ROOT

DATA = ROOT / "tests" / "data" / "imports"
VLLM, GUIDELLM, AIPERF = (DATA / name for name in ("vllm", "guidellm", "aiperf"))
CLOSED = AIPERF / "closed" / "profile_export_aiperf.json"


def only(path: Path) -> Found:
    (found,) = read(path)
    return found


def values(of: Found) -> dict[str, float]:
    return {name: figure.value for name, figure in of.imported.figures.items()}


def written(tmp_path: Path, said: Any, name: str = "result.json") -> Path:
    file = tmp_path / name
    file.write_text(said if isinstance(said, str) else json.dumps(said))
    return file


def line_of(tmp_path: Path, said: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(written(tmp_path, said))
    (line,) = caught.value.lines
    return line


# --- vLLM bench serve


def test_a_detailed_file_is_computed_anew_from_its_requests() -> None:
    raw = json.loads((VLLM / "serve-closed-detailed.json").read_text())
    good = [place for place, error in enumerate(raw["errors"]) if not error]
    found = only(VLLM / "serve-closed-detailed.json")
    of = values(found)
    assert len(good) == 8
    assert of["ttft_s"] == pytest.approx(median(raw["ttfts"][one] for one in good))
    tpot = [(raw["latencies"][one] - raw["ttfts"][one]) / (raw["output_lens"][one] - 1) for one in good]
    assert found.imported.samples_s["tpot_s"] == pytest.approx(tpot)
    assert of["tpot_s"] == pytest.approx(median(tpot)) == pytest.approx(raw["median_tpot_ms"] / 1000)
    assert of["e2el_s"] == pytest.approx(median(raw["latencies"][one] for one in good))
    assert of["output_tokens_per_s"] == pytest.approx(sum(raw["output_lens"]) / raw["duration"])
    assert of["tokens_per_s_per_user"] == pytest.approx(1 / median(tpot))
    assert (found.imported.requests, found.imported.failed_requests) == (8, 4)
    assert (found.input_tokens, found.output_tokens) == (48, 89 / 8)
    assert found.load is not None
    assert (found.load.kind, found.load.level) == ("closed", 2)


def test_gaps_of_chunks_are_no_gaps_of_tokens_unless_each_chunk_was_one(tmp_path: Path) -> None:
    raw = json.loads((VLLM / "serve-closed-detailed.json").read_text())
    said = only(VLLM / "serve-closed-detailed.json").imported
    assert "itl_s" not in said.figures
    assert "*_itl_ms" in said.left_out
    assert any("empty one at the end" in remark for remark in said.remarks)
    good = [place for place, error in enumerate(raw["errors"]) if not error]
    raw["output_lens"] = [len(gaps) + 1 if place in good else 0 for place, gaps in enumerate(raw["itls"])]
    raw |= {"total_output_tokens": sum(raw["output_lens"])}
    gaps = [gap for place in good for gap in raw["itls"][place]]
    assert values(only(written(tmp_path, raw)))["itl_s"] == pytest.approx(median(gaps))


def test_a_tpot_of_answers_of_one_token_is_unknown_and_not_zero() -> None:
    raw = json.loads((VLLM / "serve-one-token.json").read_text())
    assert raw["median_tpot_ms"] == raw["p99_tpot_ms"] == 0
    said = only(VLLM / "serve-one-token.json").imported
    assert not {"tpot_s", "itl_s", "tokens_per_s_per_user"} & said.figures.keys()
    assert "tpot_s" not in said.percentiles_s
    assert "median_tpot_ms" in said.left_out


def test_a_request_whose_first_token_nobody_saw_has_no_tpot(tmp_path: Path) -> None:
    raw = json.loads((VLLM / "serve-closed-detailed.json").read_text())
    first = next(place for place, error in enumerate(raw["errors"]) if not error)
    raw["ttfts"][first] = 0.0
    samples = only(written(tmp_path, raw)).imported.samples_s
    assert (len(samples["ttft_s"]), len(samples["tpot_s"])) == (7, 7)


def test_an_open_loop_says_from_when_its_times_are_and_leaves_out_goodput_by_unknown_objectives() -> None:
    found = only(VLLM / "serve-poisson.json")
    assert found.load is not None
    assert (found.load.kind, found.load.level) == ("poisson", 8)
    assert any("from sending" in remark for remark in found.imported.remarks)
    assert "request_goodput" in found.imported.left_out
    raw = json.loads((VLLM / "serve-poisson.json").read_text())
    assert values(found)["e2el_s"] == pytest.approx(median(raw["latencies"]))
    assert found.imported.percentiles_s["ttft_s"] == {"99": raw["p99_ttft_ms"] / 1000}
    assert found.imported.measured_at == "2026-11-22T14:18:04"


def test_appended_runs_are_cells_of_their_own_and_failed_ones_are_said(tmp_path: Path) -> None:
    both = read(VLLM / "serve-appended.json")
    assert [one.load.level for one in both if one.load is not None] == [2, 4]
    failed = (VLLM / "serve-all-failed.json").read_text()
    assert "every request failed" in line_of(tmp_path, failed)
    mixed = written(tmp_path, failed + "\n" + (VLLM / "serve-appended.json").read_text())
    assert len(read(mixed)) == 2
    assert any("1 more runs" in remark for remark in read(mixed)[0].imported.remarks)


def test_offline_throughput_is_of_all_tokens_and_never_an_output_rate() -> None:
    raw = json.loads((VLLM / "throughput.json").read_text())
    found = only(VLLM / "throughput.json")
    assert values(found) == pytest.approx(
        {"requests_per_s": raw["requests_per_second"], "total_tokens_per_s": raw["tokens_per_second"]}
    )
    assert found.output_tokens is found.input_tokens is found.imported.output_tokens is None


def test_what_vllms_own_engine_served_is_recomputed_from_its_requests() -> None:
    raw = json.loads((VLLM / "serve-engine.json").read_text())
    found = only(VLLM / "serve-engine.json")
    got = values(found)
    assert got["ttft_s"] == pytest.approx(raw["median_ttft_ms"] / 1000)
    assert got["tpot_s"] == pytest.approx(raw["median_tpot_ms"] / 1000)
    assert got["output_tokens_per_s"] == pytest.approx(12 * 16 / raw["duration"])
    assert (found.imported.input_tokens, found.imported.output_tokens) == (12 * 64, 12 * 16)


def test_a_rate_that_contradicts_its_counts_is_left_out(tmp_path: Path) -> None:
    raw = json.loads((VLLM / "serve-poisson.json").read_text())
    said = only(written(tmp_path, raw | {"output_throughput": 2 * raw["output_throughput"]})).imported
    assert "output_tokens_per_s" not in said.figures
    assert "contradicts" in said.left_out["output_throughput"]
    raw = json.loads((VLLM / "throughput.json").read_text())
    assert "contradicts" in line_of(tmp_path, raw | {"tokens_per_second": 1})


@pytest.mark.parametrize(
    ("changed", "kind", "level"),
    [
        ({"request_rate": "inf", "max_concurrency": None}, "closed", 16),
        ({"request_rate": 4.0, "burstiness": 0.5}, "gamma", 4),
        ({"ramp_up_strategy": "linear", "ramp_up_start_rps": 1, "ramp_up_end_rps": 9}, "poisson", 5),
        ({"request_rate": "inf", "max_concurrency": 3}, "closed", 3),
    ],
)
def test_the_load_of_a_vllm_file(tmp_path: Path, changed: dict[str, Any], kind: str, level: float) -> None:
    raw = json.loads((VLLM / "serve-poisson.json").read_text())
    load = only(written(tmp_path, raw | changed)).load
    assert load is not None
    assert (load.kind, load.level) == (kind, level)


def test_a_file_of_an_older_vllm_counts_its_failures_by_what_was_asked(tmp_path: Path) -> None:
    raw = json.loads((VLLM / "serve-poisson.json").read_text()) | {"num_prompts": 20}
    del raw["failed"], raw["latencies"], raw["queue_times"]
    said = only(written(tmp_path, raw)).imported
    assert said.failed_requests == 4
    assert "e2el_s" not in said.figures


def test_embeddings_make_no_tokens(tmp_path: Path) -> None:
    raw = json.loads((VLLM / "serve-poisson.json").read_text())
    assert "embeddings" in line_of(tmp_path, raw | {"input_sequence_throughput": 3.0})


# --- GuideLLM


def requests_of(path: Path, at: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["benchmarks"][at]["requests"]["successful"]
    return found


def test_guidellms_times_are_ours_and_not_those_that_it_calls_by_the_same_names() -> None:
    path = GUIDELLM / "closed.json"
    every = [(one, one["info"]["timings"]) for one in requests_of(path)]
    of = values(only(path))
    tpot = [
        (at["last_token_iteration"] - at["first_token_iteration"]) / (one["output_tokens"] - 1) for one, at in every
    ]
    assert of["tpot_s"] == pytest.approx(median(tpot))
    theirs = median(one["time_per_output_token_ms"] for one, _ in every) / 1000
    assert of["tpot_s"] < 0.9 * theirs  # theirs has the time to the first token in it
    assert of["e2el_s"] == pytest.approx(median(at["last_token_iteration"] - at["request_start"] for _, at in every))
    assert of["e2el_s"] < median(one["request_latency"] for one, _ in every)  # which has usage and [DONE] in it
    assert of["ttft_s"] == pytest.approx(median(one["time_to_first_token_ms"] for one, _ in every) / 1000)


def test_an_open_loop_of_guidellm_counts_from_its_schedule() -> None:
    path = GUIDELLM / "poisson.json"
    found = only(path)
    due = [
        one["info"]["timings"]["first_token_iteration"] - one["info"]["timings"]["targeted_start"]
        for one in requests_of(path)
    ]
    assert values(found)["ttft_s"] == pytest.approx(median(due))
    assert found.load is not None
    assert (found.load.kind, found.load.level) == ("poisson", 6)
    assert found.imported.tool_version == "0.8.1"


def test_rates_are_counts_over_the_window_also_where_guidellms_mean_is_another() -> None:
    first, second = read(GUIDELLM / "two-loads.json")
    raw = json.loads((GUIDELLM / "two-loads.json").read_text())["benchmarks"][1]
    assert values(second)["requests_per_s"] == pytest.approx(2 / raw["duration"])
    assert raw["metrics"]["requests_per_second"]["successful"]["mean"] < 0.6 * values(second)["requests_per_s"]
    assert any("requests_per_second" in remark for remark in second.imported.remarks)
    assert [one.load.level for one in (first, second) if one.load is not None] == [1, 2]
    assert (second.imported.cached_tokens, second.imported.input_tokens) == (122, 124)
    assert [doubt.code for doubt in second.imported.doubts] == ["warm-cache"]
    assert "98.4%" in second.imported.doubts[0].what


def test_failures_of_guidellm_are_counted_and_not_timed() -> None:
    said = only(GUIDELLM / "failures.json").imported
    assert (said.requests, said.failed_requests, len(said.samples_s["ttft_s"])) == (7, 1, 7)


def test_a_part_of_the_requests_gives_no_times_by_our_definitions(tmp_path: Path) -> None:
    raw = json.loads((GUIDELLM / "closed.json").read_text())
    one = raw["benchmarks"][0]
    one["requests"]["successful"] = one["requests"]["successful"][:3]
    said = only(written(tmp_path, raw)).imported
    assert not {"tpot_s", "e2el_s"} & said.figures.keys()
    assert said.samples_s == {}
    assert said.figures["ttft_s"].value == pytest.approx(
        one["metrics"]["time_to_first_token_ms"]["successful"]["median"] / 1000
    )


def test_a_renamed_metric_is_said_with_its_version(tmp_path: Path) -> None:
    raw = json.loads((GUIDELLM / "closed.json").read_text())
    raw["metadata"]["guidellm_version"] = "9.9.9"
    raw["benchmarks"][0]["scheduling"] = raw["benchmarks"][0].pop("scheduler_metrics")
    line = line_of(tmp_path, raw)
    assert "benchmarks[0].scheduler_metrics" in line
    assert "9.9.9" in line


# --- AIPerf


def aiperf_requests() -> list[dict[str, Any]]:
    lines = (AIPERF / "closed" / "profile_export.jsonl").read_text().splitlines()
    return [one["metrics"] for one in map(json.loads, lines) if not one.get("error")]


def test_aiperf_is_read_with_its_requests_and_the_servers_tokens() -> None:
    every = aiperf_requests()
    found = only(CLOSED)
    of, said = values(found), found.imported
    tpot = [
        (one["request_latency"]["value"] - one["time_to_first_token"]["value"])
        / (one["usage_completion_tokens"]["value"] - 1)
        for one in every
    ]
    assert of["tpot_s"] == pytest.approx(median(tpot) / 1000)
    assert (said.requests, said.failed_requests) == (9, 1)
    assert (said.input_tokens, said.cached_tokens, said.output_tokens) == (
        702,
        218,
        108,
    )  # not the client's 432 and 107
    assert said.measured_at == "2026-11-22T14:19:02.631839"
    assert said.tool_version == "0.13.0"
    gaps = [gap / 1000 for one in every for gap in one["inter_chunk_latency"]["value"]]
    assert of["itl_s"] == pytest.approx(median(gaps))
    assert found.load is not None
    assert (found.load.kind, found.load.level) == ("closed", 2)


def test_without_its_requests_aiperfs_inter_token_latency_is_our_tpot(tmp_path: Path) -> None:
    raw = json.loads(CLOSED.read_text())
    said = only(written(tmp_path, raw)).imported
    assert said.figures["tpot_s"].value == pytest.approx(raw["inter_token_latency"]["p50"] / 1000)
    assert "itl_s" not in said.figures
    assert any("client's count" in remark for remark in said.remarks)  # 107 tokens, and the server says 108
    assert "tpot_s" not in said.percentiles_s
    assert said.percentiles_s["ttft_s"]["90"] == pytest.approx(raw["time_to_first_token"]["p90"] / 1000)


def test_rates_of_aiperf_are_over_the_requests_and_goodput_by_said_objectives() -> None:
    path = AIPERF / "poisson" / "profile_export_aiperf.json"
    raw = json.loads(path.read_text())
    found = only(path)
    of = values(found)
    assert of["requests_per_s"] == pytest.approx(12 / raw["benchmark_duration"]["avg"])
    assert of["requests_per_s"] > 1.05 * raw["request_throughput"]["avg"]  # which has time without requests in it
    assert of["goodput_requests_per_s"] == pytest.approx(12 / raw["benchmark_duration"]["avg"])
    assert "time_to_first_token ≤ 100 ms" in found.imported.figures["goodput_requests_per_s"].said
    assert found.load is not None
    assert (found.load.kind, found.load.level) == ("poisson", 6)


def test_aiperfs_csv_says_the_same_as_its_json_up_to_its_rounding(tmp_path: Path) -> None:
    of_csv = only(CLOSED.with_suffix(".csv"))
    of_json = only(written(tmp_path, CLOSED.read_text()))
    assert values(of_csv) == pytest.approx(values(of_json), rel=1e-3)
    assert (of_csv.model, of_csv.load, of_csv.imported.tool_version) == ("", None, None)


def test_single_requests_of_aiperf_are_no_result_of_their_own() -> None:
    with pytest.raises(InputError, match=r"import profile_export_aiperf\.json"):
        read(AIPERF / "closed" / "profile_export.jsonl")


def test_another_unit_is_taken_and_an_unknown_one_is_said(tmp_path: Path) -> None:
    raw = json.loads(CLOSED.read_text())
    raw["time_to_first_token"] |= {"unit": "sec", "p50": 2.0}
    assert values(only(written(tmp_path, raw)))["ttft_s"] == 2.0
    raw["time_to_first_token"] |= {"unit": "fortnights"}
    assert "time_to_first_token.unit" in line_of(tmp_path, raw)


# --- bad input


def lines_when_cut(path: Path, tmp_path: Path, step: int) -> None:
    """Every `step`-th byte as the end of the file. Nothing of a cut JSON may pass for the whole."""
    raw = path.read_bytes()
    file = tmp_path / path.name
    for end in range(0, len(raw) - 1, step):
        file.write_bytes(raw[:end])
        refusal = quietly(file)
        assert refusal or path.suffix == ".csv", end


def quietly(file: Path) -> str:
    """The one line that the file is refused with; "" where it is read. Any other error goes through."""
    try:
        found = read(file)
    except InputError as error:
        (line,) = error.lines
        return line if "\n" not in line else pytest.fail(line)
    return "" if found else pytest.fail("nothing found and nothing said")


CUT = (VLLM / "serve-one-token.json", CLOSED.with_suffix(".csv"), VLLM / "throughput.json")


@pytest.mark.parametrize("path", CUT, ids=lambda path: path.name)
def test_a_cut_file_is_one_line_and_never_a_traceback(path: Path, tmp_path: Path) -> None:
    lines_when_cut(path, tmp_path, max(1, path.stat().st_size // 250))


@pytest.mark.slow
@pytest.mark.parametrize("path", CUT, ids=lambda path: path.name)
def test_a_file_cut_at_every_byte_is_one_line_and_never_a_traceback(path: Path, tmp_path: Path) -> None:
    lines_when_cut(path, tmp_path, 1)


def leaves(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        if way:
            yield way
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(one, (*way, key))
    else:
        yield way


ODD: tuple[Any, ...] = (None, "x", -1, 1e300, [], {}, True, "\u202e\n<b>", [[]], 0)


@pytest.mark.parametrize(
    ("path", "count"),
    [
        (VLLM / "serve-closed-detailed.json", 250),
        (VLLM / "serve-poisson.json", 250),
        (GUIDELLM / "closed.json", 60),
        (CLOSED, 150),
    ],
    ids=lambda one: one.name if isinstance(one, Path) else "",
)
def test_a_file_with_one_odd_value_is_one_line_or_a_result(path: Path, count: int, tmp_path: Path) -> None:
    raw = json.loads(path.read_text())
    chance = random.Random(7)
    ways = list(leaves(raw))
    file = tmp_path / "odd.json"
    for way in chance.sample(ways, min(count, len(ways))):
        copy = json.loads(json.dumps(raw)) if len(ways) < 2000 else raw
        holder = copy
        for key in way[:-1]:
            holder = holder[key]
        before = holder[way[-1]]
        holder[way[-1]] = chance.choice(ODD)
        file.write_text(json.dumps(copy))
        quietly(file)
        holder[way[-1]] = before
