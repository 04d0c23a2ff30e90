"""Prices as a person asks for them: whose list wins, which models can be compared, odd names, files and screens."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost import api_prices, hardware_prices, hourly, price_file
from bench.cost.printable import unprintable
from bench.errors import InputError
from bench.hardware import parts
from bench.schema import Accelerator, CostChoices
from tests.commands import ROOT, bench, command
from tests.samples import H100, environment, facts

few = settings(deadline=None, max_examples=60)
HEADER = "provider,instance,accelerator,accel_count,vcpus,usd_per_hour_on_demand,usd_per_hour_spot,region,as_of,source"
CPU_ROW = "mine,box,CPU,0,4,0.20,,here,2026-11-01,my bill"
ON_GPU = facts({"cuda:0": 1_000_000_000})
HERE = {**os.environ, "PYTHONPATH": str(ROOT)}
CHAT = {"mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}


def prices(folder: Path, *lines: str, header: str = HEADER) -> str:
    path = folder / "mine.csv"
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return str(path)


def api_file(folder: Path, **entries: Any) -> Path:
    path = folder / "f.json"
    path.write_text(json.dumps({key.replace("__", "/"): entry for key, entry in entries.items()}), encoding="utf-8")
    return path


def said(done: Any) -> str:
    """The one line of an error."""
    assert done.returncode == 2, done.stdout
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return str(line)


# --- whose list wins


def test_an_own_price_of_a_cpu_wins(tmp_path: Path) -> None:
    """$0.20 for 4 vCPUs is $0.05 each, times the CPUs of the machine; without the file it is c5.xlarge's price."""
    path, machine = prices(tmp_path, CPU_ROW), environment()
    found = hourly.rate(CostChoices(hardware_price_files=(path,)), machine, facts())
    assert found.usd_per_hour == pytest.approx(0.05 * machine.cpu_usable, rel=1e-12)
    assert f"mine box, here, as of 2026-11-01, grade B, from {path} ($0.2 for 4 vCPUs)" in found.basis
    assert "c5.xlarge" in hourly.rate(CostChoices(), machine, facts()).basis
    named = hourly.rate(CostChoices(hardware_price_files=(path,), provider="aws"), machine, facts())
    assert "aws" in named.basis
    assert path not in named.basis
    assert hourly.for_part("CPU", 3, CostChoices(hardware_price_files=(path,))).usd_per_hour == pytest.approx(0.15)


def test_own_prices_of_an_accelerator_win_by_their_median(tmp_path: Path) -> None:
    """$1, $2 and $9 a device: the median is $2, whatever others ask and whatever grade the user gave his own."""
    rows = [f"mine,box{usd},NVIDIA H100 80GB,8,,{8 * usd},,,2026-11-01,bill" for usd in (9, 1, 2)]
    path, machine = prices(tmp_path, *rows), environment([H100])
    found = hourly.rate(CostChoices(hardware_price_files=(path,)), machine, ON_GPU)
    assert found.usd_per_hour == pytest.approx(2.0, rel=1e-12)
    assert f"mine box2, as of 2026-11-01, grade B, from {path}, the median of 3 own offers" in found.basis
    crusoe = hourly.rate(CostChoices(hardware_price_files=(path,), provider="crusoe"), machine, ON_GPU)
    assert crusoe == hourly.rate(CostChoices(provider="crusoe"), machine, ON_GPU)
    weak = prices(tmp_path, "mine,box,NVIDIA H100 80GB,1,,3,,,2026-11-01,bill,C", header=f"{HEADER},quality")
    rated = hourly.rate(CostChoices(hardware_price_files=(weak,)), machine, ON_GPU)
    assert rated.usd_per_hour == 3.0
    assert "the only own offer" in rated.basis
    assert "one weak source" in rated.flags


def test_a_file_that_does_not_sell_the_part_leaves_the_list(tmp_path: Path) -> None:
    choices = CostChoices(hardware_price_files=(prices(tmp_path, CPU_ROW),))
    machine = environment([H100])
    assert hourly.rate(choices, machine, ON_GPU) == hourly.rate(CostChoices(), machine, ON_GPU)


def test_an_own_price_of_a_listed_offer_wins_though_it_is_older(tmp_path: Path) -> None:
    """What a contract says of aws c5.xlarge counts, not what the list saw later."""
    listed = next(
        one for one in hardware_prices.offers(device="CPU", provider="aws") if one.row.instance == "c5.xlarge"
    )
    row = listed.row
    path = prices(tmp_path, f"aws,c5.xlarge,{row.accelerator},0,4,0.04,,{row.region},2024-01-01,contract")
    found = hourly.for_part("CPU", 1, CostChoices(hardware_price_files=(path,), provider="aws"))
    assert found.usd_per_hour == pytest.approx(0.01, rel=1e-12)
    assert "older than 90 days" in found.flags


# --- which parts


@pytest.mark.parametrize(
    ("listed", "name", "memory", "same"),
    [
        ("NVIDIA H100 80GB", "NVIDIA H100 NVL", 95_830 * 2**20, False),
        ("NVIDIA H100 80GB", "NVIDIA H100 NVL", None, False),
        ("NVIDIA H100 80GB", "H100 NVL 94GB", None, False),
        ("NVIDIA H100 80GB SXM", "NVIDIA H100 NVL", None, False),
        ("NVIDIA H100 NVL 94GB", "NVIDIA H100 80GB HBM3", 85_520_809_984, False),
        ("NVIDIA H100 NVL 94GB", "NVIDIA H100", 85_520_809_984, False),
        ("NVIDIA H100 NVL 94GB", "NVIDIA H100 NVL", 95_830 * 2**20, True),
        ("NVIDIA H100 NVL", "NVIDIA H100 NVL", None, True),
        ("NVIDIA H100 80GB", "NVIDIA H100 80GB HBM3", 85_520_809_984, True),
        ("NVIDIA H200 141GB", "NVIDIA H200 NVL", 150_000_000_000, True),
        ("NVIDIA GB200 NVL72", "NVIDIA GB200", None, True),
    ],
)
def test_an_h100_nvl_is_no_h100_of_80_gb(listed: str, name: str, memory: int | None, same: bool) -> None:
    assert parts.same_part(listed, Accelerator(name=name, memory_bytes=memory)) is same


def test_no_80_gb_offer_prices_an_nvl(tmp_path: Path) -> None:
    path = prices(tmp_path, "mine,nvl,NVIDIA H100 NVL 94GB,1,,2.5,,,2026-11-01,bill")
    for device in ("H100 NVL", "H100 NVL 94GB", Accelerator(name="NVIDIA H100 NVL", memory_bytes=95_830 * 2**20)):
        assert hardware_prices.offers(device=device) == ()
        assert [one.row.instance for one in hardware_prices.offers(device=device, files=(path,))] == ["nvl"]
    with pytest.raises(InputError, match="the price list does not know 'H100 NVL'"):
        hourly.for_part("H100 NVL", 1, CostChoices())


# --- which models


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("openai/text-embedding-3-small", "has no price of output text tokens; choose a text model"),
        ("openai/gpt-image-1", "is no text model by its name (image); choose a text model"),
        ("openai/gpt-4o-transcribe", "is no text model by its name (transcribe); choose a text model"),
        ("openai/gpt-audio", "is also sold by output_audio_mtok; choose a text model"),
        ("openai/gpt-realtime@batch", "choose a text model|no batch price"),
        ("google/gemini-2.5-flash-image", "is also sold by output_image_mtok; choose a text model"),
        ("google/gemini-2.5-pro-tts", "is no text model by its name (tts)"),
        ("mistral/mistral-embed", "is no text model by its name (embed)"),
    ],
)
def test_what_cannot_answer_a_chat_request_is_not_compared(name: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        api_prices.lookup(name)
    (line,) = caught.value.lines
    assert any(one in line for one in words.split("|"))
    assert line.startswith(name)


def test_its_price_is_still_listed() -> None:
    assert "text-embedding-3-small" in bench("prices", "api", "openai/text-embedding-3-small").stdout
    found = api_prices.listed("openai/text-embedding-3-small")
    assert (found.input_usd_per_mtok, found.output_usd_per_mtok) == (0.02, 0.0)
    for name in (*api_prices.DEFAULT_APIS, "openai/gpt-4o@batch", "google/gemini-2.5-pro"):
        assert api_prices.is_text(name)


def test_the_mode_of_a_file_decides(tmp_path: Path) -> None:
    modes = ("embedding", "image_generation", "audio_transcription", "rerank")
    files = [api_file(tmp_path, **{f"mine__{mode}-1": {**CHAT, "mode": mode} for mode in modes}, mine__tts={**CHAT})]
    for mode in modes:
        with pytest.raises(InputError, match=f"mine/{mode}-1 is of mode {mode}; choose a text model"):
            api_prices.lookup(f"mine/{mode}-1", files=files)
        assert api_prices.listed(f"mine/{mode}-1", files=files).output_usd_per_mtok == 2.0
    assert api_prices.lookup("mine/tts", files=files).output_usd_per_mtok == 2.0  # its owner says that it chats


def test_free_models_are_refused_as_before(tmp_path: Path) -> None:
    free = {**CHAT, "input_cost_per_token": 0, "output_cost_per_token": 0}
    files = [api_file(tmp_path, mine__free=free, mine__chat=CHAT)]
    with pytest.raises(InputError, match="a price that nobody asks cannot be compared"):
        api_prices.lookup("mine/free", files=files)


# --- names


def test_the_way_to_the_names_of_a_file_names_the_file(tmp_path: Path) -> None:
    path = api_file(tmp_path, mine__chat=CHAT)
    with pytest.raises(InputError) as caught:
        api_prices.lookup("mine/x", files=[path])
    (line,) = caught.value.lines
    assert line.endswith(f"(all: bench prices api mine --file {path})")
    assert "mine/chat" in bench("prices", "api", "mine", "--file", path).stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("openai/gpt-4o@batch@batch", "@batch stands there more than once; write openai/gpt-4o@batch"),
        ("openai/gpt-4o@batch@batch@batch", "@batch stands there more than once; write openai/gpt-4o@batch"),
        ("openai/gpt-4o@bath", "@bath is not known; did you mean 'openai/gpt-4o@batch'?"),
        ("openai/gpt-4o@flex", "@flex is not known; the only such end is @batch"),
        ("openai/gpt-4o@bath@batch", "@bath is not known; did you mean 'openai/gpt-4o@batch'?"),
    ],
)
def test_ends_of_names(name: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        api_prices.lookup(name)
    (line,) = caught.value.lines
    assert words in line


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["", "", "  ,"], "nothing but blank lines; its first line must name the columns: provider,"),
        ([HEADER], "no rows; its columns are named"),
        ([HEADER, CPU_ROW.replace(",4,", ",12345678901234567890,")], ":2: vcpus: must be at most 999999"),
        ([HEADER, CPU_ROW.replace(",4,", ",4.5,")], ":2: vcpus: must be a whole number (got '4.5')"),
        ([HEADER, "mine,box,CPU"], ":2: fewer fields (3) than columns (10); leave what is unknown empty"),
        ([HEADER, CPU_ROW + ",a,b"], ":2: more fields (12) than columns (10); put quotes around a field"),
        (
            [HEADER, CPU_ROW.replace("mine", "\x1b[31mred")],
            r":2: provider: holds a character that cannot be printed (got '\x1b[31mred')",
        ),
        (
            [HEADER, CPU_ROW.replace("box", "b\x00x")],
            r":2: instance: holds a character that cannot be printed (got 'b\x00x')",
        ),
        (
            [HEADER, CPU_ROW.replace("bill", "\u202ebill")],
            r":2: source: holds a character that cannot be printed (got 'my \u202ebill')",
        ),
    ],
)
def test_odd_files_of_hourly_prices(tmp_path: Path, lines: list[str], words: str) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    line = said(bench("prices", "hardware", "--file", path))
    assert words in line
    assert line.isprintable()


@pytest.mark.parametrize("odd", ["\x1b[31mred", "nul\x00", "two\nlines", "\u202eback", "half\ud800"])
def test_odd_names_of_api_models(tmp_path: Path, odd: str) -> None:
    for entries in ({f"mine/{odd}": CHAT}, {"mine/chat": {**CHAT, "litellm_provider": odd}}):
        path = tmp_path / "f.json"
        path.write_text(json.dumps(entries), encoding="utf-8")
        line = said(bench("prices", "api", "mine", "--file", path))
        assert "holds a character that cannot be printed" in line
        assert f"{path}: " in line
        assert line.isprintable()


@few
@given(st.text(max_size=20))
def test_printable_is_what_a_terminal_shows(text: str) -> None:
    assert not unprintable(text) or not text.isprintable()
    assert unprintable(text + "\x1b")
    if text.isascii() and text.isprintable():
        assert not unprintable(text)


def test_a_note_may_have_lines(tmp_path: Path) -> None:
    path = prices(tmp_path, CPU_ROW + ',"one\ntwo\tthree"', header=f"{HEADER},note")
    (row,) = price_file.read(price_file.stamp(path))
    assert row.raw["note"] == "one\ntwo\tthree"
    assert row.file == path


# --- screens


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
@pytest.mark.parametrize(
    "arguments",
    [
        ("hardware",),
        ("hardware", "--accelerator", "H100", "--kind", "spot", "--sort", "price"),
        ("api",),
        ("api", "google"),
        ("api", "deepseek/deepseek-chat"),
        ("api", "--search", "llama-3.3"),
    ],
    ids=" ".join,
)
def test_tables_keep_to_the_terminal(
    arguments: tuple[str, ...], columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.cli import main

    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "argv", ["bench", "prices", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    text = capsys.readouterr().out
    long = [line for line in text.splitlines() if len(line) > columns]
    assert long == []


def test_prices_stand_at_the_right_and_wide_screens_have_one_line_each() -> None:
    done = subprocess.run(
        command("prices", "hardware", "--accelerator", "H100", "--provider", "lambda"),
        env={"PATH": "", "COLUMNS": "220", "PYTHONUTF8": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    head, _, *rows = done.stdout.partition("\n\n")[0].splitlines()
    edge = head.index("$/h each") + len("$/h each")
    assert rows
    assert all(row[edge - 1].isdigit() and row[edge] == " " for row in rows)


def test_json_has_types() -> None:
    providers = {one["provider"]: one for one in json.loads(bench("prices", "api", "--format", "json").stdout)}
    assert providers["ai21"] == {"provider": "ai21", "models": 2, "also called": None}
    assert "bedrock" in providers["aws"]["also called"]
    done = bench("prices", "hardware", "--accelerator", "CPU", "--provider", "aws", "--format", "json")
    for one in json.loads(done.stdout)["offers"]:
        assert isinstance(one["vcpus"], int)
        assert isinstance(one["usd_per_hour_on_demand"], float)
        assert one["usd_per_hour_on_demand"] / one["vcpus"] == pytest.approx(one["usd_per_unit_hour_on_demand"])
        assert "" not in one.values()


# --- the chart


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("other", [(), ("groq/openai/gpt-oss-20b",)])
def test_prices_are_drawn_where_they_are_labelled(colour: bool, other: tuple[str, ...]) -> None:
    """GPT-4 at $36 and GPT-4o of August 2024 at $4: the flat parts of the line stand beside these numbers."""
    from bench.cli.prices.trend import _line
    from bench.cost.blend import parse
    from bench.report import trend_chart

    asked = ("openai/gpt-4>openai/gpt-4o-2024-08-06", *other)
    text = trend_chart.terminal([_line(name, parse("80/20"), None, None) for name in asked], 100, colour)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    rows = [row.partition("|") for row in plain.splitlines() if re.match(r" +[0-9.]+ \|", row)]
    drawn = {label.strip(): len(cells.replace(" ", "")) for label, _, cells in rows}
    assert drawn["36.0"] > 15
    assert drawn["4.00"] > 15
    if not other:
        assert [label for label, cells in drawn.items() if cells > 1] == ["36.0", "4.00"]
    numbers = [float(label) for label in drawn]
    assert numbers == sorted(numbers, reverse=True)
    assert len(rows) == trend_chart.ROWS


def test_a_closed_output_is_no_traceback() -> None:
    words = " ".join(command("prices", "trend", "openai/gpt-4o"))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{words} >&-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1


# --- scripts


@pytest.mark.parametrize("option", ["--records", "--apis", "--prices", "--part"])
@pytest.mark.parametrize("value", ["0", "-5"])
def test_numbers_of_the_comparison_are_checked(option: str, value: str) -> None:
    words = [sys.executable, "scripts/compare_all.py", option, value]
    done = subprocess.run(words, cwd=ROOT, env=HERE, capture_output=True, text=True, timeout=60)
    assert said(done) == f"error: {option}: must be at least 1 (got {value})"


@pytest.mark.parametrize("name", ["compare_all.py", "refresh_prices.py"])
def test_a_missing_package_is_one_line(name: str) -> None:
    """-S: without site-packages there is neither this package nor any other."""
    words = [sys.executable, "-I", "-S", f"scripts/{name}", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    line = said(done)
    assert line.startswith("error: ")
    assert line.endswith(" is missing; run ./scripts/bench once, then this with .venv/bin/python")
    whole = subprocess.run([sys.executable, *words[3:]], cwd=ROOT, env=HERE, capture_output=True, text=True, timeout=60)
    assert whole.returncode == 0
    assert f".venv/bin/python scripts/{name}" in whole.stdout
