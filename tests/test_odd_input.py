"""Input that nobody means well: bombs, devices, closed streams, contradictions. One line each, and nothing is lost."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.cli.choices import overridden
from bench.errors import InputError
from bench.plan import cost, read, source
from bench.plan.folder import write_text
from bench.schema import CostChoices, OneOff, Owned
from tests.commands import bench, command
from tests.test_bad_input import refused

OWNED = ("prices", "owned", "--capex", "31000", "--life", "4")


def _choices(tmp_path: Path, text: str) -> CostChoices:
    path = tmp_path / "cost.yaml"
    path.write_text(text, encoding="utf-8")
    return read.choices(path)


def _line(tmp_path: Path, text: str) -> str:
    """The one line that a cost file is refused with, without the file's name."""
    with pytest.raises(InputError) as caught:
        _choices(tmp_path, text)
    (line,) = caught.value.lines
    assert "\n" not in line
    return line.removeprefix(f"{tmp_path / 'cost.yaml'}:")


def _option(**given: Any) -> str:
    """The one line that cost options are refused with, over a config that says nothing."""
    with pytest.raises(InputError) as caught:
        overridden(CostChoices(), given)
    (line,) = caught.value.lines
    return line


# --- files that are no files -------------------------------------------------------------------------------------


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text(encoding="utf-8")))
    reader.start()
    write_text(pipe, "a table\n")
    reader.join(timeout=30)
    assert found == ["a table\n"]
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_the_file_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link, second = tmp_path / "there" / "table.md", tmp_path / "link", tmp_path / "second"
    target.write_text("old", encoding="utf-8")
    link.symlink_to(Path("there") / "table.md")
    second.symlink_to(link)
    write_text(second, "new")
    assert (link.is_symlink(), second.is_symlink(), target.read_text(encoding="utf-8")) == (True, True, "new")
    assert [path.name for path in target.parent.iterdir()] == ["table.md"]


def test_a_link_to_nothing_makes_the_file_and_a_loop_is_said(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("absent")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "absent").read_text(encoding="utf-8") == "new"
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=r"loop: cannot write it"):
        write_text(tmp_path / "loop", "new")
    assert (tmp_path / "loop").is_symlink()


# --- small files that unfold -------------------------------------------------------------------------------------

LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, ":2: *a0: aliases are not read here"),
        ("apis: &all\n  - *all\n", ":2: *all: aliases"),
        ("utilisation: " + "[" * 50_000, ":1: nested more than 100 deep"),
        ("utilisation: " + "{a: " * 50_000, ":1: nested more than 100 deep"),
        ("apis: [" + "x, " * 1_000_000 + "x]", ":1: too long, over 200,000 keys and values"),
        ("apis:\n" + "- x\n" * 250_000, "too long, over 200,000"),
    ],
    ids=["laughs", "itself", "lists", "mappings", "one-line", "lines"],
)
@pytest.mark.parametrize("loader", ["usual", "python"])
def test_a_file_that_unfolds_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: str, text: str, words: str
) -> None:
    """With libyaml and without it."""
    if loader == "python":
        monkeypatch.setattr(source, "_Loader", yaml.SafeLoader)
        if len(text) > 500_000:  # its scanner takes minutes for that many
            monkeypatch.setattr(source, "EVENTS", 500)
            text, words = text[:4000], words.replace("200,000", "500")
    assert words in ":" + _line(tmp_path, text)


def test_an_anchor_without_a_use_and_a_long_matrix_are_no_bombs(tmp_path: Path) -> None:
    assert _choices(tmp_path, "usd_per_hour: &price 2.5\n").usd_per_hour == 2.5
    config = tmp_path / "long.yaml"
    works = "".join(f"  - {{batch_size: {i}, input_tokens: 8, output_tokens: 4}}\n" for i in range(1, 10_001))
    config.write_text(f"models: shape:pythia-70m\nprecisions: bf16\nworkloads:\n{works}")
    assert len(read.sweep(config).workloads) == 10_000


# --- what a cost file says ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("blends: [3:1]", '1: blends[0]: write 3:1 as a plain decimal number, or quote it where text is meant: "3:1"'),
        ("one_off: {usd: 100}", "1: one_off.mtok: missing"),
        ("owned:\n  life_years: 4\n", "1: owned.capex_usd: missing"),
        ("cost:\n  one_off: {usd: 100}\n", "2: cost.one_off.mtok: missing"),
        (
            "owned: {capex_usd: 3e4, life_years: 4}",
            "1: owned.capex_usd: must be a valid number (got '3e4'); write 30000",
        ),
        ("usd_per_hour: '1,000'", "1: usd_per_hour: must be a valid number (got '1,000'); write 1000"),
        ("usd_per_hour: cheap", "1: usd_per_hour: must be a valid number (got 'cheap')"),
        ("apis: [5]", "1: apis[0]: must be a valid string (got 5)"),
        ("apis: 5", "1: apis: must be a list (got 5)"),
        ("one_off: {usd: 1, mtok: 1, what: ''}", "1: one_off.what: must not be empty (got '')"),
        ("owned: cheap", "1: owned: must be a mapping of keys (got 'cheap')"),
        ("as_of: yesterday", "1: as_of: must be a day such as 2026-01-31 (got 'yesterday')"),
        ("as_of: '20261001'", "1: as_of: must be a day such as 2026-01-31 (got '20261001')"),
        ("blends: ['0:0']", "1: blends[0]: '0:0' is no blend; "),
    ],
)
def test_a_mistake_in_a_cost_file_is_one_plain_line(tmp_path: Path, text: str, line: str) -> None:
    assert _line(tmp_path, text).startswith(line)


def test_a_day_may_stand_in_quotes(tmp_path: Path) -> None:
    days = [_choices(tmp_path, f"as_of: {text}\napis: openai/gpt-4o").as_of for text in ("2026-10-01", '"2026-10-01"')]
    assert [str(one) for one in days] == ["2026-10-01"] * 2


def test_the_block_of_a_config_is_a_cost_file(tmp_path: Path) -> None:
    """As `bench prices owned` prints it; beside other keys `cost` is none."""
    said = bench(*OWNED, "--financing", "0.00005").stdout
    block = said[said.index("cost:") :]
    found = _choices(tmp_path, block)
    assert found.owned == Owned(capex_usd=31_000, life_years=4, financing_rate=5e-5)
    assert found == _choices(tmp_path, "owned: {capex_usd: 31000, life_years: 4, financing_rate: 0.00005}")
    assert _line(tmp_path, "usd_per_hour: 2\ncost: {utilisation: 0.5}").startswith("2: cost: unknown key")
    assert _line(tmp_path, "cost: 3").startswith("1: cost: must be a mapping of keys")


def test_an_empty_cost_file_says_what_belongs_there(tmp_path: Path) -> None:
    line = _line(tmp_path, "# nothing\n")
    assert "the file is empty; write a key of a config's `cost:`" in line
    assert "quickstart" not in line


def test_what_stands_twice_counts_once(tmp_path: Path) -> None:
    found = _choices(tmp_path, "apis: [openai/gpt-4o, openai/gpt-4o]\nblends: ['3:1', 80/20, '3:1']")
    assert (found.apis, found.blends) == (("openai/gpt-4o",), ("3:1", "80/20"))
    given = {"api": ["openai/gpt-4o"] * 2, "blend": ["80/20", "80/20"]}
    found = overridden(CostChoices(), given)
    assert (found.apis, found.blends) == (("openai/gpt-4o",), ("80/20",))


# --- options -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"attribution": "ratio:0"}, "--attribution: must be greater than 0 (got 0.0)"),
        ({"attribution": "fit:3"}, "--attribution: fit takes no number; write fit alone, or ratio:3"),
        ({"attribution": "time:4"}, "--attribution: time takes no number; write time alone, or ratio:4"),
        ({"blend": ["0:0"]}, "--blend: '0:0' is no blend; "),
        ({"cost": ""}, "--cost: empty; name a file"),
        ({"hardware_prices": [""]}, "--hardware-prices: empty; name a file"),
        ({"api_prices": ["x.json", ""]}, "--api-prices: empty; name a file"),
        ({"as_of": "20261101"}, "--as-of: '20261101' is no day"),
        ({"as_of": "2026-W01-1"}, "--as-of: '2026-W01-1' is no day"),
        ({"as_of": "2026-02-30"}, "--as-of: '2026-02-30' is no day"),
        ({"usd_per_hour": 1.0, "price_kind": "spot"}, "--price-kind: contradicts --usd-per-hour"),
        ({"usd_per_hour": 1.0, "provider": "aws"}, "--provider: contradicts --usd-per-hour"),
    ],
)
def test_an_odd_option_is_one_line_with_its_own_name(given: dict[str, Any], line: str) -> None:
    assert _option(**given).startswith(line)


def test_the_first_day_that_the_default_apis_know_is_said() -> None:
    """The day that is offered is taken, and the day before it is not."""
    line = _option(as_of="2024-06-01")
    assert line.startswith("--as-of: groq/llama-3.1-8b-instant: no price is known for 2024-06-01")
    assert "; name others with --api, or take " in line
    first = line.rpartition("or take ")[2].removesuffix(" or later")
    assert str(overridden(CostChoices(), {"as_of": first}).as_of) == first
    assert overridden(CostChoices(), {"as_of": "2024-06-01", "api": ["openai/gpt-4o"]}).apis == ("openai/gpt-4o",)
    assert str(overridden(CostChoices(), {"as_of": "2024-06-01"}, uses_apis=False).as_of) == "2024-06-01"


def test_a_files_day_may_have_its_apis_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "cost.yaml"
    path.write_text("as_of: 2024-06-01\n")
    assert overridden(CostChoices(), {"cost": str(path), "api": ["openai/gpt-4o"]}).apis == ("openai/gpt-4o",)
    assert _option(cost=str(path)).startswith("as_of: groq/llama-3.1-8b-instant: no price is known")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("report", "x", "--utilisation", "abc"), "--utilisation: 'abc' is not a number"),
        ((*OWNED, "--capex", "31,000"), "--capex: '31,000' is not a number; write 31000"),
        (("prices", "owned", "--life", "4"), "--capex: missing; bench prices owned --help"),
        (("report",), "RUNS: missing; bench report --help"),
        (("report", "x", "--no-such-option"), "No such option: --no-such-option"),
        (("prices", "owmed"), "No such command 'owmed'. Did you mean 'owned'?"),
        ((*OWNED, "--power-kw", "1"), "--power-kw: costs nothing without --usd-per-kwh"),
    ],
)
def test_a_usage_error_is_one_line(arguments: tuple[str, ...], line: str) -> None:
    done = bench(*arguments)
    refused(done)
    assert done.stdout == ""
    (said,) = done.stderr.splitlines()
    # The command is called by the name that it was started with.
    assert line.partition("; bench")[0] in said
    assert said.startswith("error: ")


def test_free_power_is_stated_in_the_block_too(tmp_path: Path) -> None:
    said = bench(*OWNED, "--power-kw", "1.5", "--usd-per-kwh", "0").stdout
    found = _choices(tmp_path, said[said.index("cost:") :]).owned
    assert found is not None
    assert (found.power_kw, found.usd_per_kwh) == (1.5, 0.0)


# --- contradictions and bounds -----------------------------------------------------------------------------------

MACHINE = "owned: {capex_usd: 31000, life_years: 4}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("usd_per_hour: 1\nprovider: aws", "2: provider: contradicts usd_per_hour"),
        ("price_kind: spot\nusd_per_hour: 1", "1: price_kind: contradicts usd_per_hour"),
        (f"{MACHINE}\nprovider: aws", "2: provider: contradicts owned"),
        (f"{MACHINE}\nprice_kind: reserved", "2: price_kind: contradicts owned"),
        ("price_ratio: 5", "1: price_ratio: does nothing with attribution time"),
        ("attribution: fit\nprice_ratio: 5", "2: price_ratio: does nothing with attribution fit"),
        ("spot_overhead: 0.1", "1: spot_overhead: does nothing with price_kind on_demand"),
        ("price_kind: reserved\nspot_availability: 0.5", "2: spot_availability: does nothing with price_kind reserved"),
        ("owned: {capex_usd: 1, life_years: 4, power_kw: 1}", "1: owned.power_kw: costs nothing without owned.usd_per"),
    ],
)
def test_what_cannot_hold_together_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    assert _line(tmp_path, text).startswith(line)


@pytest.mark.parametrize(
    "text",
    [
        "usd_per_hour: 1\nprice_kind: on_demand",
        f"{MACHINE}\nprice_kind: on_demand",
        "price_kind: spot\nspot_overhead: 0.1\nspot_availability: 0.5",
        "attribution: ratio\nprice_ratio: 5",
        "owned: {capex_usd: 1, life_years: 4, power_kw: 1, usd_per_kwh: 0}",
        "owned: {capex_usd: 1, life_years: 4, power_kw: 1}\nusd_per_kwh: 0.1",
    ],
)
def test_what_holds_together_is_taken(tmp_path: Path, text: str) -> None:
    assert _choices(tmp_path, text)


def test_an_option_over_a_files_key_is_no_contradiction(tmp_path: Path) -> None:
    """The command line wins: also over a stored plan."""
    path = tmp_path / "cost.yaml"
    path.write_text("usd_per_hour: 1\nattribution: ratio\nprice_ratio: 5\n")
    found = overridden(CostChoices(), {"cost": str(path), "price_kind": "spot", "attribution": "time"})
    assert (found.usd_per_hour, found.price_kind, found.attribution) == (None, "spot", "time")
    stored = CostChoices(provider="aws", price_kind="spot", spot_overhead=0.1)
    assert overridden(stored, {"usd_per_hour": 2.0}).usd_per_hour == 2.0
    stored = CostChoices(owned=Owned(capex_usd=1, life_years=4, power_kw=1), price_ratio=5.0)
    assert overridden(stored, {"provider": "aws"}).owned is None


@pytest.mark.parametrize(
    ("noun", "values"),
    [
        (CostChoices, {"utilisation": 1e-7}),
        (CostChoices, {"usd_per_hour": 1e-10}),
        (CostChoices, {"usd_per_hour": 2e6}),
        (CostChoices, {"price_ratio": 1e-7}),
        (CostChoices, {"price_ratio": 1e7}),
        (Owned, {"capex_usd": 1e13, "life_years": 4}),
        (Owned, {"capex_usd": 1.0, "life_years": 1e-3}),
        (OneOff, {"usd": 1e13, "mtok": 1}),
        (OneOff, {"usd": 1.0, "mtok": 1e-7}),
    ],
)
def test_figures_of_no_machine_are_refused(noun: Any, values: dict[str, float]) -> None:
    """Sums of them would overflow, or be nothing."""
    with pytest.raises(ValueError, match=r"greater than or equal|less than or equal"):
        noun(**values)


def test_a_bound_is_said_in_plain_digits(tmp_path: Path) -> None:
    assert _line(tmp_path, "utilisation: 0.0000001").startswith(
        "1: utilisation: must be greater than or equal to 0.000001"
    )
    assert _line(tmp_path, "utilisation: 0").startswith("1: utilisation: must be greater than 0 (got 0")


@pytest.mark.parametrize("text", ["2026-11-01", "2024-02-29"])
def test_a_day_is_read_as_it_is_written(text: str) -> None:
    assert str(cost.day(text)) == text


# --- the streams -------------------------------------------------------------------------------------------------

TREND = ("prices", "trend", "openai/gpt-4")


def test_a_closed_standard_output_is_one_line() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command(*TREND)], stderr=subprocess.PIPE, text=True, timeout=120
    )
    assert done.returncode == 2
    assert done.stderr == "error: standard output is closed; send it to a file, or to /dev/null\n"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_narrow_encoding_takes_every_character(encoding: str) -> None:
    done = subprocess.run(
        command(*TREND), env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"openai/gpt-4" in done.stdout


@pytest.mark.parametrize("words", [TREND, ("--help",), ("schema",)], ids=lambda words: words[0])
def test_a_reader_that_went_away_ends_the_command_with_141(words: tuple[str, ...]) -> None:
    """Before the first byte, so that the first flush meets the closed pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(command(*words), stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_help_stays_help() -> None:
    done = subprocess.run([sys.executable, "-m", "bench"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (2, "")
    assert "Commands" in done.stdout
    done = bench("report", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--utilisation" in done.stdout
