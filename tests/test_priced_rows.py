"""Rows with dollars: how a bill is split, blended, dated, added to, and held against APIs."""

import csv
import io
import json
from datetime import date
from pathlib import Path

import pytest

from bench.errors import InputError
from bench.report import table
from bench.report.api_table import api_table
from bench.report.costs import Dollars
from bench.report.footnotes import footnotes
from bench.report.render import render
from bench.report.rows import Row, rows
from bench.schema import CostChoices, Edge, Energy, OneOff, Owned, Record, Window, Workload
from tests.commands import bench, fake_config
from tests.samples import a_round, cell, measurement, record

GROQ = "groq/llama-3.1-8b-instant"
INPUT_S, CACHED_S, OUTPUT_S = 1e-3, 2e-4, 2e-2


def _grid(works: list[Workload], factors: tuple[float, ...] = (1.0, 1.0)) -> list[Record]:
    """Rows whose time is exactly INPUT_S for each prompt token of the batch, CACHED_S for a cached one and OUTPUT_S for
    each new one, of which the first comes out of the prefill."""
    found = []
    for work in works:
        rows_, cached = work.batch_size, work.batch_size * work.cached_tokens
        fresh = rows_ * work.input_tokens - cached
        first = INPUT_S * fresh + CACHED_S * cached + OUTPUT_S * rows_
        for index, factor in enumerate(factors):
            steps = tuple((first + OUTPUT_S * rows_ * at) * factor for at in range(work.output_tokens))
            one = a_round(work.output_tokens).model_copy(update={"step_s": steps, "done_s": steps[-1]})
            found.append(record(index, cell(workload=work), measurement(rounds=[one] * 3)))
    return found


THREE = [
    Workload(batch_size=2, input_tokens=100, output_tokens=10),
    Workload(batch_size=2, input_tokens=100, output_tokens=20),
    Workload(batch_size=2, input_tokens=300, output_tokens=10),
]


def _dollars(found: list[Row]) -> list[Dollars]:
    assert all(row.dollars is not None for row in found), [row.no_dollars_because for row in found]
    return [row.dollars for row in found if row.dollars is not None]


def _choices(**given: object) -> CostChoices:
    return CostChoices.model_validate({"usd_per_hour": 3.6, "apis": (GROQ,), **given})


# --- attribution ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"attribution": "fit"}, {"attribution": "ratio", "price_ratio": 4.0}])
def test_the_parts_add_up_to_the_bill_whatever_the_method(how: dict[str, object]) -> None:
    found = rows(_grid(THREE), _choices(**how))
    for row, priced in zip(found, _dollars(found), strict=True):
        work = row.cell.workload
        assert priced.input_usd_per_mtok is not None
        assert priced.output_usd_per_mtok is not None
        parts = (
            work.input_tokens * priced.input_usd_per_mtok.value + work.output_tokens * priced.output_usd_per_mtok.value
        )
        assert parts / 1e6 == pytest.approx(priced.usd_per_request.value, rel=1e-12)


def test_a_fit_finds_the_seconds_that_the_rows_are_made_of() -> None:
    """$3.6 an hour is a mill a second: 1 ms a prompt token is $1.00 a million, 20 ms an output token $20.00."""
    found = rows(_grid(THREE), _choices(attribution="fit"))
    for priced in _dollars(found):
        assert priced.input_usd_per_mtok is not None
        assert priced.output_usd_per_mtok is not None
        assert priced.input_usd_per_mtok.value == pytest.approx(1.0)
        assert priced.output_usd_per_mtok.value == pytest.approx(20.0)
        assert priced.residual == pytest.approx(0.0, abs=1e-9)
        assert priced.method == "fit"
    columns, caption = table.columns(found)
    assert "in and out split by a fit over 3 lengths (residual" in caption
    assert "fit residual" in [column.heading for column in columns]


def test_cached_tokens_get_a_price_of_their_own_by_a_fit() -> None:
    works = [*THREE, Workload(batch_size=2, input_tokens=300, cached_tokens=200, output_tokens=10)]
    found = rows(_grid(works), _choices(attribution="fit"))
    last = _dollars(found)[-1]
    assert last.cached_usd_per_mtok is not None
    assert last.cached_usd_per_mtok.value == pytest.approx(0.2)
    assert "$/Mtok cached" in [column.heading for column in table.columns(found)[0]]
    assert _dollars(found)[0].cached_usd_per_mtok is None


def test_time_charges_the_first_output_token_to_the_prefill() -> None:
    """Prefill 0.24 s of 0.6 s for 200 prompt tokens, decode 0.36 s over 20 output tokens."""
    (first, *_) = _dollars(rows(_grid(THREE), _choices()))
    assert first.input_usd_per_mtok is not None
    assert first.output_usd_per_mtok is not None
    assert first.input_usd_per_mtok.value == pytest.approx(1e6 * 0.001 * 0.24 / 200)
    assert first.output_usd_per_mtok.value == pytest.approx(1e6 * 0.001 * 0.36 / 20)


def test_without_a_grid_the_fit_says_why_there_is_none() -> None:
    found = rows(_grid(THREE[:1]), _choices(attribution="fit"))
    assert _dollars(found)[0].method == "time"
    assert any("because there is no fit" in note and "measure at least two mixes" in note for note in footnotes(found))


def test_an_assumed_ratio_is_the_ratio_of_the_two_prices() -> None:
    (first, *_) = _dollars(rows(_grid(THREE), _choices(attribution="ratio", price_ratio=5.0)))
    assert first.input_usd_per_mtok is not None
    assert first.output_usd_per_mtok is not None
    assert first.output_usd_per_mtok.value == pytest.approx(5 * first.input_usd_per_mtok.value)
    assert "assumed price ratio of 5" in first.split


def test_blends_by_hand_and_in_every_format() -> None:
    """$1 in and $20 out: 3:1 is 23/4, 80/20 is 4.8, half and half 10.5."""
    found = rows(_grid(THREE), _choices(attribution="fit", blends=("50/50",)))
    (first, *_) = _dollars(found)
    values = {name: blend.value for name, blend in first.blends.items() if blend is not None}
    assert values == pytest.approx({"3:1": 5.75, "80/20": 4.8, "50/50": 10.5})
    assert "$/Mtok 50/50" in render(found, "md")
    assert "$/Mtok 3:1" not in render(found, "md")
    (line, *_) = csv.DictReader(io.StringIO(render(found, "csv")))
    assert float(line["usd_per_mtok_at_80_to_20"]) == pytest.approx(4.8)
    assert float(line["usd_per_mtok_at_50_to_50"]) == pytest.approx(10.5)
    assert "split by a fit" in line["split"]


# --- prices --------------------------------------------------------------------------------------------------------


def test_twice_the_price_is_twice_every_dollar_of_the_machine() -> None:
    once, twice = (_dollars(rows(_grid(THREE, (1.0, 1.1)), _choices(usd_per_hour=price)))[0] for price in (3.6, 7.2))
    for name in ("input_usd_per_mtok", "output_usd_per_mtok", "blended_usd_per_mtok", "usd_per_request"):
        one, other = getattr(once, name), getattr(twice, name)
        assert (other.value, other.low, other.high) == pytest.approx((2 * one.value, 2 * one.low, 2 * one.high))
    assert twice.apis[0].ratio.value == pytest.approx(2 * once.apis[0].ratio.value)


def test_an_owned_machine_is_priced_from_its_capital_and_power() -> None:
    """$31,000 at 10 % over 4 years and 1.73 kW at $0.083: about $1.26 an hour."""
    machine = Owned(capex_usd=31_000, financing_rate=0.10, life_years=4, power_kw=1.73, usd_per_kwh=0.083)
    found = rows(_grid(THREE), CostChoices(owned=machine, apis=(GROQ,)))
    assert _dollars(found)[0].rate.usd_per_hour == pytest.approx(1.26, abs=0.005)
    assert any("owned" in note for note in footnotes(found))


def test_a_one_off_cost_is_in_the_comparison_alone() -> None:
    """$100 over 50 Mtok is $2 a million tokens, and a request of 110 tokens bears $0.00022 of it."""
    plain = _dollars(rows(_grid(THREE), _choices()))[0]
    found = rows(_grid(THREE), _choices(one_off=OneOff(usd=100, mtok=50, what="a fine-tune")))
    priced = _dollars(found)[0]
    assert priced.one_off_usd_per_mtok == pytest.approx(2.0)
    assert priced.usd_per_request == plain.usd_per_request
    api = priced.apis[0].api_usd_per_request
    assert priced.apis[0].ratio.value == pytest.approx((plain.usd_per_request.value + 110 * 2e-6) / api)
    assert priced.apis[0].break_even is None  # the one-off alone is more than the API asks
    assert priced.apis[0].break_even_utilisation is None
    assert any("a fine-tune" in note for note in footnotes(found))
    assert "one-off $/Mtok" in render(found, "md")


def test_the_apis_cache_makes_the_same_request_cheaper() -> None:
    model = "openai/gpt-5-nano"
    cold = _dollars(rows(_grid(THREE), _choices(apis=(model,))))[0].apis[0]
    warm = _dollars(rows(_grid(THREE), _choices(apis=(model,), api_cached_share=0.8)))[0].apis[0]
    tier = cold.model.tariff.tiers[0]
    assert float(tier.cached) < float(tier.input)
    assert cold.api_usd_per_request == pytest.approx((100 * float(tier.input) + 10 * float(tier.output)) / 1e6)
    expected = (20 * float(tier.input) + 80 * float(tier.cached) + 10 * float(tier.output)) / 1e6
    assert warm.api_usd_per_request == pytest.approx(expected)


def test_a_measured_cached_prompt_is_cached_at_the_api_too() -> None:
    work = Workload(batch_size=1, input_tokens=100, cached_tokens=60, output_tokens=10)
    found = _dollars(rows(_grid([work]), _choices(apis=("openai/gpt-5-nano",))))[0].apis[0]
    assert found.cached_tokens == 60


def test_a_replay_takes_the_prices_of_its_day() -> None:
    """gpt-4o asked 5/15 a million in June 2024 and 2.5/10 today."""
    then = _dollars(rows(_grid(THREE), _choices(apis=("openai/gpt-4o",), as_of=date(2024, 6, 1))))[0]
    now = _dollars(rows(_grid(THREE), _choices(apis=("openai/gpt-4o",))))[0]
    assert then.day == date(2024, 6, 1)
    assert then.apis[0].api_usd_per_request == pytest.approx((100 * 5 + 10 * 15) / 1e6)
    assert now.apis[0].api_usd_per_request == pytest.approx((100 * 2.5 + 10 * 10) / 1e6)


def test_a_day_before_the_first_known_price_is_an_error() -> None:
    with pytest.raises(InputError, match="no price is known for 2022-01-01"):
        rows(_grid(THREE), _choices(apis=("openai/gpt-4o",), as_of=date(2022, 1, 1)))


# --- the command -----------------------------------------------------------------------------------------------------

JOURNAL = "tests/data/records-v1.jsonl"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--as-of", "2030-01-01"), "--as-of: 2030-01-01 is in the future"),
        (("--as-of", "yesterday"), "--as-of"),
        (("--attribution", "guess"), "--attribution: must be 'time', 'fit' or 'ratio'"),
        (("--attribution", "ratio:x"), "--attribution: 'x' is not a number"),
        (("--attribution", "ratio:-1"), "--attribution: must be greater than 0"),
        (("--blend", "3"), "is no blend"),
        (("--price-kind", "cheap"), "--price-kind"),
        (("--utilisation", "0"), "--utilisation"),
        (("--utilisation", "nan"), "--utilisation"),
        (("--usd-per-hour", "-1"), "--usd-per-hour"),
        (("--usd-per-hour", "nan"), "--usd-per-hour"),
        (("--api-cached-share", "2"), "--api-cached-share"),
        (("--api", "grok/llama"), "--api: unknown API provider 'grok'"),
        (("--provider", "awss"), "--provider: unknown provider 'awss'"),
        (("--api-prices", "no-such-file.json"), "no-such-file.json"),
        (("--hardware-prices", "no-such-file.csv"), "no-such-file.csv"),
        (("--cost", "no-such-file.yaml"), "no-such-file.yaml: no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_assumptions_are_one_line(options: tuple[str, ...], said: str) -> None:
    done = bench("report", JOURNAL, *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_a_file_of_assumptions_takes_the_place_of_the_configs(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(
        "owned: {capex_usd: 31000, life_years: 4, financing_rate: 0.1, power_kw: 1.73, usd_per_kwh: 0.083}\n"
        "attribution: ratio\nprice_ratio: 4\nblends: [80/20]\nutilisation: 0.5\n"
    )
    done = bench("report", JOURNAL, "--cost", path, "--format", "json")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)["rows"][0]
    assert row["usd_per_hour"] == pytest.approx(1.26, abs=0.005)
    assert row["utilisation"] == 0.5
    assert row["output_usd_per_mtok"] == pytest.approx(4 * row["input_usd_per_mtok"])


def test_mistakes_in_such_a_file_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("usd_per_hour: 3\nowned: {capex_usd: 100, life_years: 0}\nblends: [80-20]\nutilization: 1\n")
    done = bench("report", JOURNAL, "--cost", path)
    assert done.returncode == 2
    assert f"{path}:2: owned.life_years: must be greater than 0" in done.stderr
    assert f"{path}:4: utilization: unknown key; did you mean 'utilisation'?" in done.stderr


# --- rows that differ in what is cached, or mean nothing -------------------------------------------------------------


def test_rows_that_mean_nothing_do_not_feed_the_fit() -> None:
    """A fatal verdict is about the row's times: they may move nobody else's dollars."""
    alone = _dollars(rows(_grid(THREE), _choices(attribution="fit")))
    odd = Workload(batch_size=2, input_tokens=2000, output_tokens=51)
    spoilt = []
    for one in _grid([odd]):
        assert one.measurement is not None
        stalled = tuple(each.model_copy(update={"stalled_s": each.done_s}) for each in one.measurement.rounds)
        slow = tuple(
            each.model_copy(update={"step_s": tuple(9 * at for at in each.step_s), "stalled_s": 9 * each.done_s})
            for each in stalled
        )
        spoilt.append(one.model_copy(update={"measurement": one.measurement.model_copy(update={"rounds": slow})}))
    found = rows([*_grid(THREE), *spoilt], _choices(attribution="fit"))
    assert found[-1].no_dollars_because == "busy"
    assert [row.dollars for row in found[:-1]] == alone


def test_cached_and_uncached_rows_stand_apart_in_every_table() -> None:
    works = [THREE[2], THREE[2].model_copy(update={"cached_tokens": 200})]
    found = rows(_grid(works), _choices(apis=("openai/gpt-5-nano",)))
    columns, caption = table.columns(found)
    assert "cached" not in caption
    (cached,) = [column for column in columns if column.heading == "cached"]
    assert [cached.text(row) for row in found] == ["–", "200"]
    _, lines = api_table(found)
    assert [line[0] for line in lines if "at the API" in line[0]] == [
        "300 in + 10 out, at the API",
        "300 in (200 cached) + 10 out, at the API",
    ]
    prices = [row.apis[0].api_usd_per_request for row in _dollars(found)]
    assert [float(line[2]) for line in lines if "at the API" in line[0]] == pytest.approx(
        [price * 1000 for price in prices], rel=5e-3
    )
    notes = footnotes(found)
    assert any("200 of 300 prompt tokens (as measured) are taken as cached at the API" in note for note in notes)
    assert any("Cached tokens have no price of their own here" in note for note in notes)


def test_an_api_that_asks_nothing_is_named_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "ours.json"
    path.write_text(json.dumps({"x/free": {"input_cost_per_token": 1e-320, "output_cost_per_token": 1e-320}}))
    done = bench("report", JOURNAL, "--usd-per-hour", "1", "--api-prices", path, "--api", "x/free")
    assert "Traceback" not in done.stderr
    assert "inf" not in done.stdout.lower().replace("info", "")
    assert done.returncode == 2 or "x/free: these requests cost nothing there; leave it out" in " ".join(
        done.stdout.split()
    )


def test_electricity_is_in_the_comparison_of_an_owned_machine_alone() -> None:
    """Joules counted, no power in the owner's rate: what the requests cost beside the hour, PUE and all."""
    records = []
    for one in _grid(THREE[:1], (1.0, 1.0)):
        assert one.measurement is not None
        energy = Energy(cpu_energy_j=30.0, sources={"cpu_energy_j": "a meter"})
        window = Window(start=Edge(), end=Edge(), duration_s=3.0, energy=energy)
        records.append(one.model_copy(update={"measurement": one.measurement.model_copy(update={"window": window})}))
    machine = Owned(capex_usd=31_000, life_years=4, pue=1.5)
    choices = CostChoices(owned=machine, usd_per_kwh=0.36, apis=(GROQ,))
    (priced,) = _dollars(rows(records, choices))
    # 30 J over 3 rounds of 2 · 10 output tokens: 0.5 J a token, 10 tokens a request, 1.5 times that at the meter.
    expected = 0.5 * 10 * 1.5 * 0.36 / 3.6e6
    assert priced.beside_usd_per_request["electricity"].value == pytest.approx(expected)
    api = priced.apis[0].api_usd_per_request
    assert priced.apis[0].ratio.value == pytest.approx((priced.usd_per_request.value + expected) / api)
    stated = _dollars(rows(records, _choices(usd_per_kwh=0.36)))[0]
    assert stated.beside_usd_per_request == {}


def test_what_made_the_comparison_is_stored_with_it() -> None:
    """Package and version, matched model id, dates and age; the kind and date of the hour's price."""
    text = render(rows(_grid(THREE[:1]), CostChoices(apis=(GROQ,))), "json")
    row = json.loads(text)["rows"][0]
    assert row["usd_per_hour_kind"] == "on_demand"
    assert row["usd_per_hour_as_of"] == "2026-09-06"
    assert row["cheapest_api_source"].startswith("genai-prices ")
    assert row["cheapest_api_model_id"] == "llama-3.1-8b-instant"
    assert row["apis"][0]["confirmed"] == "2026-11-10"
    assert row["apis"][0]["stale"] is (row["apis"][0]["age_days"] > 90)


def test_price_files_of_a_config_are_found_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "cfg").mkdir()
    prices = {"ours/x": {"input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7}}
    (tmp_path / "cfg" / "ours.json").write_text(json.dumps(prices))
    config = fake_config(tmp_path / "cfg")
    config.write_text(config.read_text() + "cost: {usd_per_hour: 1, api_price_files: ours.json, apis: ours/x}\n")
    done = bench("run", config, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in (tmp_path / "run" / "plan.json").read_text()
    done = bench("report", tmp_path / "run", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"][0]["apis"][0]["api"] == "ours/x"
