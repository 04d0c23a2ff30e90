"""Imported records as entries: figures, what is against them, and dollars with the arithmetic written out."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.entries import mixed, of_import
from bench.entries.entry import Entry
from bench.entries.import_seconds import Tokens, seconds_of
from bench.entries.plain import as_plain
from bench.entries.priced import Asked, Priced
from bench.errors import InputError
from bench.imports.found import Found, Load
from bench.imports.read import read
from bench.imports.records import records
from bench.metrics.statistics import Estimate
from bench.schema import CostChoices, Imported, ImportedDoubt, ImportedFigure, OneOff, Owned
from tests.commands import bench
from tests.entries_samples import HOSTILE

DATA = Path(__file__).parent / "data" / "imports"
APIS = ("groq/llama-3.1-8b-instant",)
TEN_CENTS = CostChoices(usd_per_hour=0.1, apis=APIS)
RATES = {"requests_per_s": 2.0, "output_tokens_per_s": 200.0, "total_tokens_per_s": 1000.0}
OWN = Asked()


def imported(figures: Mapping[str, float], **more: Any) -> Imported:
    """What a tool said: a figure each, over one run."""
    made = {name: ImportedFigure(value=value, said="its own") for name, value in figures.items()}
    return Imported(tool="some tool", file="some.json", sha256=str(sorted(more)), figures=made, **more)


def served(figures: Mapping[str, float] = RATES, found: Mapping[str, Any] | None = None, **more: Any) -> Found:
    """100 requests of 400 tokens in and 100 out in 50 s, 16 streams at once."""
    known: dict[str, Any] = {"requests": 100, "input_tokens": 40_000, "output_tokens": 10_000, "window_s": 50.0}
    lengths: dict[str, Any] = {"load": Load("closed", 16), "input_tokens": 400.0, "output_tokens": 100.0}
    return Found(imported(figures, **known | more), "some-model", "bf16", **lengths | dict(found or {}))


def entries(found: Sequence[Found], choices: CostChoices = TEN_CENTS) -> list[Entry]:
    return of_import.entries(records(found, "0.1.0"), choices, "imports")


def one(found: Found, choices: CostChoices = TEN_CENTS) -> Entry:
    (record,) = records([found], "0.1.0")
    return of_import.entry(record, choices, "imports")


def priced(entry: Entry) -> Priced:
    assert entry.priced is not None
    return entry.priced


def usd(of: Estimate | None) -> float:
    assert of is not None
    return of.value


def codes(entry: Entry) -> list[str]:
    return [reason.code for reason in entry.verdict]


# --- from a file that a tool wrote to the dollars -------------------------------------------------------------------


def test_two_tests_of_llama_bench_are_priced_as_requests() -> None:
    """64 tokens in take 0.149378642 s and 16 out 0.093267676 s: 80 tokens in 0.242646318 s, at $0.10 an hour."""
    (entry,) = entries(read(DATA / "llama-bench" / "default.json"))
    of = priced(entry)
    per_second = 0.1 / 3600
    assert usd(mixed.usd_per_mtok(of, OWN)) == pytest.approx(0.242646318 / 80 * 1e6 * per_second)
    into, out = (usd(mixed.part_usd_per_mtok(of, part, OWN)) for part in ("input", "output"))
    assert into == pytest.approx(0.149378642 / 64 * 1e6 * per_second)
    assert out == pytest.approx(0.093267676 / 16 * 1e6 * per_second)
    assert (64 * into + 16 * out) / 80 == pytest.approx(usd(mixed.usd_per_mtok(of, OWN)))
    assert "two tests" in of.split
    (api,) = of.apis  # $0.05 in and $0.08 out
    assert api.own_usd_per_mtok == pytest.approx((64 * 0.05 + 16 * 0.08) / 80)
    assert usd(mixed.ratio(of, api, OWN)) == pytest.approx(0.0842521937 / 0.056)
    assert usd(mixed.usd_per_mtok(of, Asked(utilisation=0.5))) == pytest.approx(2 * 0.0842521937)
    assert usd(mixed.usd_per_mtok(of, Asked(mix=(3, 1)))) == pytest.approx((3 * into + out) / 4)
    assert codes(entry) == ["one-replicate", "short-context"]
    assert (entry.kind, entry.workload, entry.run) == ("imported", "batch 1, 64 in, 16 out", "imports")
    assert (entry.origin.tool, entry.origin.file) == ("llama-bench", "default.json")
    assert (entry.precision, entry.runner, entry.hardware) == ("Q4_1", "llama.cpp (CPU)", "AMD EPYC, 2 CPUs")
    assert entry.memory is not None
    assert entry.memory.weights_bytes == 96_576_768


def test_a_timed_batch_is_split_by_its_own_time() -> None:
    """Two prompts of 64 tokens take 3.4211510439999984 s with 16 new ones each, 0.6068886389984982 s of it prefill."""
    (entry,) = entries(read(DATA / "optimum-benchmark" / "benchmark.json"))
    of, per_second = priced(entry), 0.1 / 3600
    assert usd(mixed.usd_per_mtok(of, OWN)) == pytest.approx(3.4211510439999984 / 160 * 1e6 * per_second)
    into, out = (usd(mixed.part_usd_per_mtok(of, part, OWN)) for part in ("input", "output"))
    assert into == pytest.approx(0.6068886389984982 / 128 * 1e6 * per_second)
    assert out == pytest.approx((3.4211510439999984 - 0.6068886389984982) / 32 * 1e6 * per_second)
    assert of.split == "split by measured time"
    assert codes(entry) == ["one-replicate"]
    ratio = priced(entries(read(DATA / "optimum-benchmark" / "benchmark.json"), by_ratio())[0])
    assert usd(ratio.own_s_per_mtok) == pytest.approx(usd(of.own_s_per_mtok))
    assert usd(ratio.output_s_per_mtok) == pytest.approx(4 * usd(ratio.input_s_per_mtok))


def by_ratio() -> CostChoices:
    return TEN_CENTS.model_copy(update={"attribution": "ratio"})


def test_a_request_timed_as_a_whole_is_split_by_the_ratio() -> None:
    (entry,) = entries(read(DATA / "llama-bench" / "pg.json"))
    of = priced(entry)
    assert usd(of.own_s_per_mtok) == pytest.approx(0.311696671 / 80 * 1e6)
    assert "price ratio of 4" in of.split
    assert codes(entry) == ["one-replicate"]


def test_files_of_several_processes_are_replicates() -> None:
    """Prompts took 0.149378642 s in one process and 0.471600793 s in the next: so wide is the interval."""
    folder = DATA / "llama-bench"
    (entry,) = entries([*read(folder / "default.json"), *read(folder / "second.json")])
    assert entry.replicates == 2
    assert entry.origin.file == "default.json, second.json"
    prefill = entry.figures["prefill_tokens_per_s"]
    assert prefill.value == pytest.approx(64 / (0.149378642 * 0.471600793) ** 0.5)
    assert prefill.low is not None
    assert prefill.high is not None
    assert prefill.low < 64 / 0.471600793
    assert prefill.high > 64 / 0.149378642
    assert codes(entry) == ["short-context"]
    own = priced(entry).own_s_per_mtok
    assert own is not None
    assert own.low is not None


def test_the_command_line_imports_and_prices(tmp_path: Path) -> None:
    folder = tmp_path / "imported"
    done = bench("import", DATA / "llama-bench" / "default.json", "-o", folder)
    assert done.returncode == 0, done.stderr
    shown = bench("report", folder, "--usd-per-hour", "0.1", "--api", APIS[0], "-f", "json")
    assert shown.returncode == 0, shown.stderr
    assert "llama-bench" in shown.stdout
    assert "0.08425219375" in shown.stdout


# --- rates of a load ------------------------------------------------------------------------------------------------


def test_a_load_is_priced_by_its_rates_and_the_ratio() -> None:
    """1000 tokens a second at $3.60 an hour are $1.00 for a million; 800 of them input: 800 · 0.625 + 200 · 2.5."""
    entry = one(served(), CostChoices(usd_per_hour=3.6, apis=APIS))
    of = priced(entry)
    assert usd(mixed.usd_per_mtok(of, OWN)) == pytest.approx(1.0)
    assert usd(mixed.part_usd_per_mtok(of, "input", OWN)) == pytest.approx(0.625)
    assert usd(mixed.part_usd_per_mtok(of, "output", OWN)) == pytest.approx(2.5)
    assert (entry.workload, entry.level, entry.level_unit) == ("closed 16, 400 in, 100 out", 16.0, "streams")
    assert codes(entry) == ["whole-run", "one-replicate"]


@pytest.mark.parametrize("name", list(RATES))
def test_any_one_rate_says_the_same(name: str) -> None:
    assert usd(priced(one(served({name: RATES[name]}))).own_s_per_mtok) == pytest.approx(1000.0)


def test_loads_that_differ_in_their_level_alone_are_a_family() -> None:
    low, high = (one(served(found={"load": Load("closed", level)})) for level in (4, 16))
    other = one(served(found={"load": Load("poisson", 4.0)}))
    assert low.family == high.family != other.family
    assert low.key != high.key


def test_cached_tokens_cost_as_much_as_others_here_and_less_at_an_api() -> None:
    choices = CostChoices(usd_per_hour=3.6, apis=("openai/gpt-5-nano",))  # $0.05 in, $0.005 cached, $0.40 out
    of = priced(one(served(cached_tokens=10_000, found={"cached_tokens": 100.0}), choices))
    assert usd(of.cached_s_per_mtok) == usd(of.input_s_per_mtok)
    assert of.apis[0].own_usd_per_mtok == pytest.approx((300 * 0.05 + 100 * 0.005 + 100 * 0.4) / 500)


def test_without_a_count_of_each_kind_the_whole_has_a_price() -> None:
    found = served({"total_tokens_per_s": 1000.0}, {"input_tokens": None, "output_tokens": None},
                   input_tokens=None, output_tokens=None)  # fmt: skip
    entry = one(found, CostChoices(usd_per_hour=3.6))
    of = priced(entry)
    assert usd(mixed.usd_per_mtok(of, OWN)) == pytest.approx(1.0)
    assert (of.mixing, of.apis, of.input_s_per_mtok) == (None, (), None)
    assert "unknown-tokens" in codes(entry)
    assert entry.workload == "closed 16, ? in, ? out"


# --- what an hour costs ---------------------------------------------------------------------------------------------


def test_without_an_hourly_price_the_seconds_stand_and_the_remedy() -> None:
    entry = one(served(), CostChoices(apis=APIS))
    assert entry.no_dollars_because == "no hourly price: give --usd-per-hour, or --accelerator at import"
    assert mixed.usd_per_mtok(priced(entry), OWN) is None
    assert usd(mixed.usd_per_mtok(priced(entry), Asked(usd_per_hour=3.6))) == pytest.approx(1.0)


def test_an_accelerator_is_priced_by_the_list() -> None:
    entry = one(served(found={"accelerators": ("H100", "H100")}), CostChoices(apis=APIS))
    of = priced(entry)
    assert of.rate_basis.startswith("$")
    assert "2 × H100" in of.rate_basis
    assert of.usd_per_hour is not None
    assert usd(mixed.usd_per_mtok(of, OWN)) == pytest.approx(1000 * of.usd_per_hour / 3600)
    assert entry.hardware == "2 × H100"


def test_an_accelerator_that_nobody_knows_has_no_price() -> None:
    entry = one(served(found={"accelerators": (HOSTILE,)}), CostChoices(apis=APIS))
    assert entry.no_dollars_because is not None
    assert "price list" in entry.no_dollars_because


def test_owned_power_and_one_off_costs_stand_beside_the_hour() -> None:
    """3.6 J an output token at $0.25/kWh are $0.25 for a million of them; a fifth of the tokens are output."""
    owned = Owned(capex_usd=8760.0, life_years=1.0)
    choices = CostChoices(owned=owned, usd_per_kwh=0.25, one_off=OneOff(usd=5000, mtok=10_000), apis=APIS)
    of = priced(one(served(RATES | {"energy_j_per_output_token": 3.6}), choices))
    assert usd(of.electricity_usd_per_mtok) == pytest.approx(0.25)
    assert usd(of.electricity_beside_usd_per_mtok) == pytest.approx(0.05)
    assert usd(of.beside_usd_per_mtok) == pytest.approx(0.55)


def test_an_api_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(InputError, match="unknown model"):
        one(served(), CostChoices(usd_per_hour=1, apis=("groq/llama-3.1-8b-instnt",)))


# --- what is against it ---------------------------------------------------------------------------------------------


def test_an_import_of_itself_is_no_doubt() -> None:
    figure = ImportedFigure(value=1000.0, low=990.0, high=1010.0, n=5, said="its own")
    of = imported({}).model_copy(update={"figures": {"total_tokens_per_s": figure}})
    entry = one(Found(of, "m", batch_size=4, input_tokens=400.0, output_tokens=100.0))
    assert entry.verdict_text == "VALID"
    assert usd(priced(entry).own_s_per_mtok) == 1000.0
    assert entry.figures["total_tokens_per_s"] == Estimate(1000.0, 990.0, 1010.0, 5)


@pytest.mark.parametrize(("failed", "code", "fatal"), [(1, None, False), (5, "errors", False), (101, "errors", True)])
def test_failed_requests(failed: int, code: str | None, fatal: bool) -> None:
    entry = one(served(failed_requests=failed))
    assert (code is None) == ("errors" not in codes(entry))
    assert (entry.priced is None) == fatal
    if fatal:
        assert entry.no_dollars_because == "errors"


def test_no_answer_at_all_is_fatal() -> None:
    entry = one(served({}, requests=0, failed_requests=9, input_tokens=0, output_tokens=0))
    assert codes(entry) == ["no-answers"]
    assert entry.no_dollars_because == "no-answers"


def test_doubts_of_the_reader_stand_in_the_verdict() -> None:
    doubt = ImportedDoubt(code="odd", what="it is odd", remedy="look again")
    assert "odd" in codes(one(served(doubts=(doubt,))))


def test_half_of_a_request_has_no_dollars(tmp_path: Path) -> None:
    said = json.loads((DATA / "llama-bench" / "default.json").read_text())[:1]
    (tmp_path / "pp.json").write_text(json.dumps(said))
    (entry,) = entries(read(tmp_path / "pp.json"))
    assert entry.priced is None
    assert entry.no_dollars_because == "the file does not count the tokens of a request, input and output"
    with pytest.raises(InputError, match="the decode time is not in the file"):
        seconds_of({"prefill_tokens_per_s": Estimate(400, None, None, 1)}, Tokens(64, 0, 16), 1, 4.0)


# --- the rest -------------------------------------------------------------------------------------------------------


def test_percentiles_need_as_many_requests_as_ours() -> None:
    of = one(served(percentiles_s={"ttft_s": {"50": 0.2, "90": 0.4, "99": 0.9}}))
    shown = of.distributions["ttft_s"]
    assert shown.percentiles == {"50": 0.2, "90": 0.4, "99": "n too small (100 of 473)"}
    assert (shown.values_s, shown.n) == ((), 100)
    samples = one(served(samples_s={"ttft_s": tuple(index / 100 for index in range(1, 101))}))
    shown = samples.distributions["ttft_s"]
    assert len(shown.values_s) == 100
    assert shown.percentiles["50"] == pytest.approx(0.505)
    assert shown.percentiles["99"] == "n too small (100 of 473)"


def test_origin_tells_what_to_know_and_what_was_left_out() -> None:
    of = one(served(left_out={"p99": "why not"}, remarks=("beware",), tool_version="1.2")).origin
    assert (of.tool, of.version, of.file) == ("some tool", "1.2", "some.json")
    assert of.remarks == ("beware", "p99: left out, why not")


def test_hostile_names_pass_through_as_text() -> None:
    found = served(
        found={"options": {"backend": HOSTILE}, "accelerators": (HOSTILE,), "engine": HOSTILE}, engine=HOSTILE
    )
    entry = one(Found(**{**found.__dict__, "model": HOSTILE, "precision": HOSTILE}))
    assert HOSTILE in entry.label
    assert json.loads(json.dumps(as_plain(entry), allow_nan=False))["runner"] == HOSTILE


def test_a_record_of_ours_is_refused() -> None:
    (record,) = records([served()], "0.1.0")
    with pytest.raises(ValueError, match="no other tool's result"):
        of_import.entry(record.model_copy(update={"imported": None}), TEN_CENTS, "x")
