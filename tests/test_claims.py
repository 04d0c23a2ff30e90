"""The market claims are tests too: their digits, their verdicts, and the page that tells them."""

import json
import math
import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from bench.claims import fast_hosts, gpt4_fall, hosts, ninety_below, self_hosting
from bench.claims.claim import Claim, dated_sources, row_name
from bench.claims.every import every
from bench.claims.text import FORMATS, render
from bench.cost.blend import parse
from bench.metrics.statistics import Estimate
from bench.plan import read
from bench.plan.folder import write_plan
from bench.report.render import escaped
from bench.report.rows import Row, rows
from bench.schema import CostChoices, Workload
from tests.commands import ROOT, bench
from tests.samples import cell, failed_record, measurement, record

DAY = date(2026, 11, 22)
"""The day of docs/claims.md."""


def measured(usd_per_hour: float, source: str = "builtin:smollm2-135m", **choices: object) -> list[Row]:
    """Two requests a second: 100 tokens in and 11 out, batch 2, one second a batch."""
    cost = CostChoices.model_validate({"usd_per_hour": usd_per_hour, **choices})
    return rows([record(of=cell(source=source))], cost)


@pytest.fixture(scope="module")
def claims() -> list[Claim]:
    return every((), DAY)


# --- 1: GPT-4 at $4 ------------------------------------------------------------------------------------------------


def test_gpt4_fell_from_36_to_4_dollars() -> None:
    """−88.9 % in all, −78.8 % a year over 17 months, −79.2 % by days."""
    found = gpt4_fall.claim()
    assert found.figures["first_usd_per_mtok"] == 36.0
    assert found.figures["last_usd_per_mtok"] == 4.0
    assert found.figures["months"] == 17
    assert found.figures["total"] == pytest.approx(1 - 4 / 36, rel=1e-12)
    assert found.figures["yearly_by_months"] == pytest.approx(1 - (4 / 36) ** (12 / 17), rel=1e-12)
    days = (date(2024, 8, 6) - date(2023, 3, 14)).days
    assert found.figures["yearly_by_days"] == pytest.approx(1 - (4 / 36) ** (365.25 / days), rel=1e-12)
    text = "\n".join(found.arithmetic)
    for words in ("−88.9% over 17 months (511 days)", "−78.8%", "−79.2%"):
        assert words in text


@pytest.mark.parametrize(
    ("blend", "percent", "before", "after"),
    [("3:1", 78.1, 37.5, 4.375), ("50/50", 75.2, 45.0, 6.25), ("output only", 71.8, 60.0, 10.0)],
)
def test_the_blend_moves_the_fall(blend: str, percent: float, before: float, after: float) -> None:
    found = gpt4_fall.claim().figures[f"yearly_by_months {blend}"]
    assert round(found * 100, 1) == percent
    assert found == pytest.approx(1 - (after / before) ** (12 / 17), rel=1e-12)


def test_gpt4_itself_costs_what_it_did() -> None:
    found = gpt4_fall.claim()
    assert found.figures["same_product_total"] == 0
    assert found.verdict == "partly"
    assert "openai/gpt-4 still lists $30 in, $60 out" in found.arithmetic[-1]


# --- 2: 90 % below -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "host", "usd", "change"),
    [
        ("gpt-oss-120b", "novita", 0.09, -98),
        ("gpt-oss-120b", "cerebras", 0.43, -89),
        ("Llama-3.3-70B", "novita", 0.188, -95),
        ("Llama-3.3-70B", "together", 0.88, -78),
    ],
)
def test_the_ends_of_the_ranges_that_the_project_began_with_still_stand(
    model: str, host: str, usd: float, change: int
) -> None:
    """$0.09 to 0.43 and $0.19 to 0.88 at 80/20, −98 to −89 % and −95 to −78 % of $4."""
    own, _ = hosts.listings(model, parse("80/20"), DAY)
    (found,) = {float(one.usd) for one in own if one.provider == host}
    assert found == pytest.approx(usd, rel=1e-9)
    assert round((found / 4 - 1) * 100) == change


def test_the_installed_data_knows_cheaper_and_dearer_hosts() -> None:
    """What differs from those ranges, as docs/claims.md says it."""
    found = ninety_below.claim(DAY).figures
    assert found["limit_usd_per_mtok"] == pytest.approx(0.40)
    ends = {
        model: (found[f"{model} lowest_usd_per_mtok"], found[f"{model} highest_usd_per_mtok"]) for model in SUBJECTS
    }
    assert ends["gpt-oss-120b"] == pytest.approx((0.8 * 0.03 + 0.2 * 0.15, 0.8 * 0.35 + 0.2 * 0.75))
    assert ends["Llama-3.3-70B"] == pytest.approx((0.8 * 0.10 + 0.2 * 0.32, 0.8 * 0.85 + 0.2 * 1.20))


SUBJECTS = ninety_below.SUBJECTS


def test_routers_free_and_batch_listings_and_labs_without_an_api_are_no_hosts() -> None:
    own, routers = hosts.listings("gpt-oss-120b", parse("80/20"), DAY)
    assert {one.provider.partition("_")[0] for one in routers} == {"openrouter", "huggingface"}
    assert not any(one.is_router or ":free" in one.name or ":batch" in one.name for one in own)
    assert "openai" not in {one.provider for one in own}
    assert {"groq", "sambanova", "cerebras", "deepinfra"} <= {one.provider for one in own}
    assert [one.usd for one in own] == sorted(one.usd for one in own)


def test_partly_because_some_hosts_are_below_and_some_are_not() -> None:
    found = ninety_below.claim(DAY)
    assert 0 < found.figures["listings_below"] < found.figures["listings"]
    assert found.verdict == "partly"
    assert "quality not compared" in found.because


def test_a_day_before_these_models_has_no_host() -> None:
    """No price is guessed for a day on which nobody sold them."""
    found = ninety_below.claim(date(2024, 1, 1))
    assert found.verdict == "cannot be told here"
    assert found.figures["listings"] == 0


# --- 3: self-hosting -----------------------------------------------------------------------------------------------


def test_the_example_is_labelled_and_has_its_digits() -> None:
    """H100 at $2.69: 1.56 (never) against $0.05/$0.08, 0.46 against $0.18/$0.18."""
    found = self_hosting.claim((), DAY)
    groq, together = (found.figures[f"example {name}"] for name in self_hosting.EXAMPLE_APIS)
    assert groq == pytest.approx(2.69e6 / (3600 * (8000 * 0.05 + 1000 * 0.08)), rel=1e-12)
    assert together == pytest.approx(2.69e6 / (3600 * 9000 * 0.18), rel=1e-12)
    assert (round(groq, 2), round(together, 2)) == (1.56, 0.46)
    assert found.arithmetic[0].startswith("example, not measured: an H100 at $2.69 per hour")
    assert found.arithmetic[1].endswith("= 1.56: never")
    assert found.verdict == "cannot be told here"


API = "groq/llama-3.1-8b-instant"
AT_GROQ = (100 * 0.05 + 11 * 0.08) / 1e6
"""USD of one of the sample's requests."""


def test_a_dear_machine_never_breaks_even() -> None:
    """At $3.60 an hour a request is $0.0005: the API's price reflects self-hosting."""
    found = self_hosting.claim(measured(3.6, apis=[API]), DAY)
    assert found.verdict == "holds"
    assert f"u* = {0.0005 / AT_GROQ:.1f} (±?), never" in "\n".join(found.arithmetic)


def test_a_cheap_machine_breaks_even() -> None:
    """At $0.01 an hour a request is 1.39 millionths: from 24 % on."""
    found = self_hosting.claim(measured(0.01, apis=[API]), DAY)
    assert found.verdict == "does not hold"
    share = 0.01 / 3600 / 2 / AT_GROQ
    assert f"u* = {share:.3f} (±?), from {share:.0%} on" in "\n".join(found.arithmetic)


def test_the_assumed_utilisation_does_not_move_the_break_even() -> None:
    one, half = (self_hosting.claim(measured(0.01, apis=[API], utilisation=share), DAY) for share in (1.0, 0.5))
    assert one.arithmetic == half.arithmetic


def test_one_api_of_each_kind_is_partly() -> None:
    """$0.06 an hour is dearer than Groq at full load and cheaper than GPT-4."""
    found = self_hosting.claim(measured(0.06, apis=[API, "openai/gpt-4"]), DAY)
    assert found.verdict == "partly"
    assert (found.figures["never"], found.figures["comparisons"]) == (1, 2)
    assert "in 1 of 2 comparisons" in found.because


def in_dispute(low: float, value: float, high: float) -> list[Row]:
    """The row at $0.06 an hour, with its break-even against each API replaced."""
    (row,) = measured(0.06, apis=[API])
    assert row.dollars is not None
    (one,) = row.dollars.apis
    doubtful = replace(one, break_even=Estimate(value, low, high, 3))
    return [replace(row, dollars=replace(row.dollars, apis=(doubtful,)))]


def test_an_interval_to_both_sides_tells_nothing() -> None:
    """The report says of 93 % (38 to 227) that it cannot be told; so does the claim."""
    found = self_hosting.claim(in_dispute(0.38, 0.933, 2.27), DAY)
    assert found.verdict == "cannot be told here"
    assert "u* = 0.933 (0.380 to 2.27), in doubt" in found.arithmetic[-1]
    assert "in 1 of 1 comparison the interval reaches to both sides" in found.because
    assert (found.figures["never"], found.figures["in_doubt"], found.figures["comparisons"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ("never", "holds"),
        ("from", "does not hold"),
        ("doubt", "cannot be told here"),
        ("never doubt", "cannot be told here"),
        ("from doubt", "cannot be told here"),
        ("never from", "partly"),
        ("never from doubt", "partly"),
        ("", "cannot be told here"),
    ],
)
def test_the_verdict_is_firm_only_where_nothing_is_in_doubt(shares: str, verdict: str) -> None:
    ends = {"never": (1.1, 1.2, 1.3), "from": (0.4, 0.5, 0.6), "doubt": (0.8, 1.1, 1.4)}
    found = self_hosting.claim([row for name in shares.split() for row in in_dispute(*ends[name])], DAY)
    assert found.verdict == verdict


def test_a_row_in_doubt_says_its_verdict() -> None:
    """Replicates of 0.7, 1 and 1.43 times the sample: the interval of the row's dollars is wide, and it is said."""
    of = cell()
    own = [record(index, of, measurement(factor)) for index, factor in enumerate((0.7, 1.0, 1 / 0.7))]
    lines = self_hosting.claim(rows(own, CostChoices(usd_per_hour=0.04, apis=(API,))), DAY).arithmetic
    (row,) = [line for line in lines if line.startswith("#1 ")]
    assert "±" in row
    assert re.search(r"\(verdict: [a-z, -]*wide[a-z, -]*\)$", row)


def test_what_a_request_costs_beside_the_hour_is_named() -> None:
    """$5,000 over 1,000 Mtok is $5 a Mtok: 111 tokens bear $0.000555, more than the API asks for them."""
    one_off = {"usd": 5000, "mtok": 1000, "what": "a fine-tune"}
    found = self_hosting.claim(measured(0.01, apis=[API], one_off=one_off), DAY)
    assert found.verdict == "holds"
    row, line = found.arithmetic[-2:]
    assert "at full load + $0.555 one-off (a fine-tune)" in row
    assert line.endswith("u* above 100%: what it costs beside the hour alone is more, never")
    small = self_hosting.claim(measured(0.01, apis=[API], one_off={"usd": 1, "mtok": 1000}), DAY).arithmetic
    assert "$0.000111 one-off" in small[-2]
    share = 0.01 / 3600 / 2 / (AT_GROQ - 111 * 1e-3 / 1e6)
    assert f"u* = {share:.3f} (±?), from {share:.0%} on" in small[-1]


def test_a_break_even_without_an_upper_end_is_in_doubt() -> None:
    """At the dear end of its interval the electricity alone is more than the API asks."""
    found = self_hosting.claim(in_dispute(0.3, 0.5, math.inf), DAY)
    assert found.verdict == "cannot be told here"
    assert "u* = 0.500 (0.300 to ∞), in doubt" in found.arithmetic[-1]


def test_a_cached_prompt_is_named() -> None:
    of = cell(workload=Workload(batch_size=2, input_tokens=100, cached_tokens=90, output_tokens=11))
    assert "batch 2, 100 (90 cached) + 11" in row_name(1, rows([record(of=of)], CostChoices(usd_per_hour=1))[0])


def test_electricity_is_the_marginal_cost_where_it_is_known() -> None:
    """$0.10 per million output tokens · 11 tokens = 1.1 millionths of a dollar a request."""
    (row,) = measured(0.01, apis=[API])
    assert row.dollars is not None
    known = replace(row, dollars=replace(row.dollars, electricity_usd_per_mtok=Estimate(0.10, None, None, 1)))
    line = self_hosting.claim([known], DAY).arithmetic[-1]
    assert "electricity alone $0.00110 per 1,000 requests ($0.100 per Mtok out · 11 tokens)" in line
    assert f"{1.1e-6 / AT_GROQ:.0%} of {API}" in line


def test_a_row_without_dollars_says_why() -> None:
    found = self_hosting.claim(rows([failed_record()], CostChoices()), DAY)
    assert found.verdict == "cannot be told here"
    assert "no row has dollars" in found.because
    assert "no dollars (unsupported)" in found.arithmetic[-1]


# --- 4: 10–100x ----------------------------------------------------------------------------------------------------


def test_speeds_over_gpu_hosts_by_hand() -> None:
    found = fast_hosts.claim((), DAY).figures
    assert found["speed sambanova/fireworks Llama-3.1-70B"] == pytest.approx(457 / 71, rel=1e-12)
    assert found["speed groq/octoai Llama-3.1-8B"] == pytest.approx(751 / 164, rel=1e-12)
    assert found["speed sambanova/fireworks gpt-oss-120b"] == pytest.approx(692.5 / 683.4, rel=1e-12)
    assert found["price groq/quicksilverpro gpt-oss-120b"] == pytest.approx(0.24 / 0.054, rel=1e-12)


def test_only_hosts_of_one_model_in_one_source_are_divided() -> None:
    for one in fast_hosts._ratios(fast_hosts.speeds()):
        assert (one.fast.comparable, one.fast.model) == (one.other.comparable, one.other.model)
        assert one.other.kind != "special"
        assert one.fast.comparable


def test_ten_times_is_reached_only_over_the_slowest_host() -> None:
    found = fast_hosts.claim((), DAY)
    assert found.verdict == "partly"
    assert "1.0× to 9.3×; 10 times or more: sambanova over slowest (16×)" in found.because


def ratio(fast: float, other: float) -> fast_hosts.Ratio:
    def speed(provider: str, kind: str, rate: float) -> fast_hosts.Speed:
        return fast_hosts.Speed(provider, kind, "m", rate, "2026-01-01", "one", "somebody", "https://a.example", "B")

    return fast_hosts.Ratio(speed("groq", "special", fast), speed("fireworks", "gpu", other))


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([], "cannot be told here"),
        ([(100.0, 10.0), (1000.0, 10.0)], "holds"),
        ([(100.0, 10.0), (50.0, 10.0)], "partly"),
        ([(99.0, 10.0)], "does not hold"),
    ],
    ids=["nothing known", "both", "one", "none"],
)
def test_the_verdict_follows_from_the_ratios(pairs: list[tuple[float, float]], verdict: str) -> None:
    assert fast_hosts._verdict([ratio(*pair) for pair in pairs]) == verdict


def test_a_measured_row_stands_beside_hosts_of_its_model_alone() -> None:
    """20 tokens a second: Groq's 751 of 2024 are 38 times as much; another model is no comparison."""
    same = fast_hosts.claim(measured(3.6, source="shape:llama-3.1-8b"), DAY).arithmetic[-1]
    assert "20.0 tok/s a request here" in same
    assert "groq 38× (2024-09-10)" in same
    other = fast_hosts.claim(measured(3.6), DAY).arithmetic[-1]
    assert "no host of this model is listed, and speeds of other models do not compare" in other


def test_every_speed_has_source_day_and_grade() -> None:
    for one in fast_hosts.speeds():
        assert one.source.startswith("https://")
        assert one.as_of == "undated" or date.fromisoformat(one.as_of) <= DAY
        assert one.grade in ("A", "A−", "B", "C")
        assert one.kind in ("special", "gpu", "unknown")
        assert one.tokens_per_s > 0


# --- another day ---------------------------------------------------------------------------------------------------


THEN = date(2025, 9, 1)


def test_a_replay_says_nothing_of_later_days() -> None:
    """No claim, source or reason names a day after the one that was asked for."""
    for one in every(measured(0.06, apis=[API], as_of=THEN), THEN):
        for text in (*one.arithmetic, *one.sources, one.because):
            for day in re.findall(r"\d{4}-\d{2}-\d{2}", text):
                assert date.fromisoformat(day) <= THEN, text


def test_the_older_model_s_price_is_that_of_the_day() -> None:
    found = gpt4_fall.claim(THEN)
    assert found.arithmetic[-1].endswith(f"(last confirmed on {THEN}), 0% since 2023-03-14")
    assert found.figures == gpt4_fall.claim().figures
    assert found.verdict == "partly"


@pytest.mark.parametrize(
    ("day", "model"), [(date(2024, 8, 5), gpt4_fall.NEW), (date(2023, 3, 13), gpt4_fall.OLD)], ids=["new", "old"]
)
def test_before_both_models_had_a_price_there_is_no_fall(day: date, model: str) -> None:
    found = gpt4_fall.claim(day)
    assert found.verdict == "cannot be told here"
    assert found.arithmetic == (f"{model}: no price is known on or before {day}",)
    assert gpt4_fall.claim(date(2024, 8, 6)).verdict == "partly"


def test_an_example_needs_an_hourly_price_of_the_day() -> None:
    found = self_hosting.claim((), THEN)
    assert found.arithmetic == (
        "no example: no hourly price of runpod Community Cloud H100 SXM is known on or before 2025-09-01",
    )
    assert found.because == "no measured row was given (name a RUN)."


def test_a_host_alone_is_not_divided_by_itself() -> None:
    """On that day Groq alone is listed for gpt-oss-120b, and dearer than others for the Llamas."""
    found = fast_hosts.claim((), THEN)
    assert "gpt-oss-120b, price at 80/20: groq $0.27, and no other host is listed" in found.arithmetic
    assert not any("gpt-oss-120b" in name for name in found.figures)
    ratios = [value for name, value in found.figures.items() if name.startswith("price ")]
    assert min(ratios) > 1
    assert f"above the cheapest ({min(ratios):.1f}× to {max(ratios):.1f}×)" in found.because
    assert "= 1.0×" not in "".join(found.arithmetic)


def asked(*usd: tuple[str, float]) -> fast_hosts.Asked:
    quote = hosts.listings("gpt-oss-120b", parse("80/20"), DAY)[0][0].quote
    own = tuple(hosts.Listing(f"{name}/m", name, Decimal(str(price)), False, quote) for name, price in usd)
    return fast_hosts.Asked("m", own, tuple(one for one in own if one.provider in fast_hosts.SUBJECTS))


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        ((asked(("novita", 1), ("groq", 2), ("sambanova", 3)),), "above the cheapest (2.0× to 3.0×)"),
        ((asked(("groq", 1), ("novita", 2), ("sambanova", 3)),), "at 1.0× to 3.0× of the cheapest"),
        ((asked(("groq", 1), ("novita", 2)),), "in price they are the cheapest"),
        ((asked(("groq", 1)),), "their prices have no other host's beside them"),
        ((), "their prices have no other host's beside them"),
    ],
)
def test_what_is_said_of_prices_follows_from_the_ratios(prices: tuple[fast_hosts.Asked, ...], words: str) -> None:
    assert fast_hosts._in_price(prices).endswith(words)


def test_speeds_of_a_replay_are_dated_and_not_later() -> None:
    known = fast_hosts.speeds(THEN)
    assert {one.as_of for one in known} == {"2024-09-10"}
    left_out = len(fast_hosts.speeds()) - len(known)
    assert f"{left_out} speeds without a day or of a later one than {THEN} are left out" in "\n".join(
        fast_hosts.claim((), THEN).arithmetic
    )
    assert fast_hosts.claim((), date(2024, 9, 9)).verdict == "cannot be told here"


@pytest.mark.parametrize("where", ["file", "config", "option"])
def test_the_day_of_the_claims_is_that_of_the_rows(tmp_path: Path, where: str) -> None:
    (tmp_path / "records.jsonl").write_text(record().model_dump_json(exclude_none=True) + "\n")
    (tmp_path / "day.yaml").write_text(f"as_of: {THEN}\nusd_per_hour: 1\napis: [{API}]\n")
    options: dict[str, list[str | Path]] = {
        "file": ["--cost", tmp_path / "day.yaml"],
        "option": ["--as-of", str(THEN), "--usd-per-hour", "1"],
    }
    if where == "config":
        plan(tmp_path, THEN)
    done = bench("claims", tmp_path, "--format", "json", *options.get(where, []), "--api", API)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["prices_on"] == str(THEN)
    assert f"last confirmed on {THEN}" in found["claims"][0]["arithmetic"][-1]
    assert found["claims"][2]["arithmetic"][0].startswith("no example")
    assert "at the prices of" not in done.stdout


def test_rows_of_several_days_say_theirs(tmp_path: Path) -> None:
    """The claims are then of today, and each row that is not says so."""
    for name, day in (("one", THEN), ("two", None)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "records.jsonl").write_text(record().model_dump_json(exclude_none=True) + "\n")
        plan(tmp_path / name, day)
    done = bench("claims", tmp_path / "one", tmp_path / "two", "--format", "json", "--api", API)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["prices_on"] == str(datetime.now(UTC).date())
    first, second = (
        next(line for line in found["claims"][2]["arithmetic"] if line.startswith(name)) for name in ("#1 ", "#2 ")
    )
    assert f"at the prices of {THEN}" in first
    assert "at the prices of" not in second


def plan(folder: Path, day: date | None) -> None:
    """A run folder's plan with a day of prices."""
    config = folder / "run.yaml"
    when = f", as_of: {day}" if day else ""
    config.write_text(
        "models: builtin:smollm2-135m\nprecisions: [bf16]\nworkloads: {input_tokens: 100, output_tokens: 11}\n"
        f"cost: {{usd_per_hour: 1{when}}}\n"
    )
    write_plan(folder, read.sweep(config), [record().cell], config)


# --- all of them ---------------------------------------------------------------------------------------------------


def test_every_claim_has_arithmetic_sources_and_a_reason(claims: Sequence[Claim]) -> None:
    assert [one.title for one in claims] == ["GPT-4 at $4", "90% below", "Self-hosting at marginal cost", "10–100x"]
    for one in claims:
        assert one.arithmetic
        assert one.because.endswith(".")
        assert all(re.search(r"\d{4}-\d{2}-\d{2}|undated", source) for source in one.sources), one.sources
    assert all("quality not compared" in one.because for one in claims if one.verdict != "cannot be told here")


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_says_all(claims: list[Claim], form: str) -> None:
    text = render(claims, form, DAY, width=100_000)
    for one in claims:
        for line in (one.title, one.verdict, one.because):
            assert line in text or form == "md"
    assert str(DAY) in text
    if form == "json":
        whole = json.loads(text)
        assert whole["claims"][0]["figures"]["last_usd_per_mtok"] == 4.0
        assert whole["schema_version"] == 1


@pytest.mark.parametrize("width", [60, 80])
def test_no_line_is_wider_than_the_terminal(claims: list[Claim], width: int) -> None:
    assert max(len(line) for line in render(claims, "table", DAY, width=width).splitlines()) <= width


@pytest.mark.parametrize("form", ["table", "md"])
def test_a_source_stands_once_with_its_claims(claims: list[Claim], form: str) -> None:
    text = render(claims, form, DAY, width=100_000)
    for source in {source for one in claims for source in one.sources}:
        users = [str(index) for index, one in enumerate(claims, 1) if source in one.sources]
        mark, ending = ("•", f"[{', '.join(users)}]") if form == "table" else ("-", escaped(f"[{', '.join(users)}]"))
        assert text.count(f"{mark} {source if form == 'table' else escaped(source)} {ending}\n") == 1


def test_releases_of_one_package_are_one_source() -> None:
    (listing, *_), _ = hosts.listings("gpt-oss-120b", parse("80/20"), DAY)
    spans = ("genai-prices 0.1.2 to 0.1.13", "genai-prices 0.2.3", "litellm 1.109.1", "prices of 2026.json")
    days = (date(2026, 10, 1), date(2026, 11, 10), None, date(2026, 11, 22))
    quotes = [replace(listing.quote, source=name, confirmed=day) for name, day in zip(spans, days, strict=True)]
    assert dated_sources(quotes, date(2026, 11, 9)) == (
        "genai-prices, several releases, confirmed for 2026-11-09",
        "litellm 1.109.1, of unknown age",
        "prices of 2026.json, confirmed for 2026-11-09",
    )
    assert dated_sources(quotes[:1], None) == ("genai-prices 0.1.2 to 0.1.13, last confirmed on 2026-10-01",)


# --- the command and its page --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def said() -> str:
    done = bench("claims", "--as-of", str(DAY), "--format", "md")
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_the_page_says_what_the_command_says(said: str) -> None:
    """Headings with verdicts, and every dollar, percentage and ratio in their sections."""
    page = (ROOT / "docs" / "claims.md").read_text().replace(" %", "%")
    headings = re.findall(r"^## .*$", page, re.MULTILINE)
    assert headings == re.findall(r"^## .*$", said, re.MULTILINE)
    began, known = re.split(r"^## ", page, flags=re.MULTILINE), re.split(r"^## ", said, flags=re.MULTILINE)
    for section, output in zip(began[1:], known[1:], strict=True):
        section = section.replace("($0.09 to 0.43 and $0.19 to 0.88)", "")  # the old ranges
        lines = section.splitlines()
        cells = " ".join(line.partition("|")[2].partition("|")[2] for line in lines if line.startswith("|"))
        figures = re.findall(r"[−+]\d+(?:\.\d+)?%|\$\d+(?:\.\d+)?|\d+(?:\.\d+)?×|u\* = [\d.]+\d", section)
        figures += re.findall(r"(?<![\w.-])\d(?:[\d,.]*\d)?(?![\w-])", cells)
        assert len(figures) >= 5
        for one in figures:
            known_there = re.escape(one).replace(re.escape("u* = "), ".*= ")
            assert re.search(rf"(?<![\d.,]){known_there}(?![\d.]*\d)", output) or one in lines[0], (lines[0], one)


def test_the_command_with_a_run(tmp_path: Path) -> None:
    """The run's rows stand beside claims 3 and 4, at the prices of the options."""
    journal = tmp_path / "records.jsonl"
    journal.write_text((ROOT / "tests" / "data" / "records-v1.jsonl").read_text())
    done = bench("claims", journal, "--usd-per-hour", "2", "--api", API, "--out", tmp_path / "claims.md", "-f", "md")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "claims.md").read_text()
    assert "$2 per hour as stated" in text
    assert re.search(r"- #1 .*: \\?\$.* per 1,000 requests at full load", text)
    assert re.search(r"  - against .* at groq/llama-3\.1-8b-instant: u\\\* = ", text)
    assert "cannot be told here" not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "pdf"), "--format: unknown format 'pdf'"),
        (
            ("--usd-per-hour", "2"),
            "--usd-per-hour: prices measured rows, and none is given; name a RUN, or leave it out",
        ),
        (("--api", "openai/gpt-5"), "--api: prices measured rows"),
        (("nowhere/at/all",), "nowhere/at/all"),
        (("--as-of", "2999-01-01"), "2999-01-01"),
        (("--api-prices", "absent.json"), "absent.json"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    done: subprocess.CompletedProcess[str] = bench("claims", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
