"""llama-bench and optimum-benchmark: files that the tools wrote, figures worked out by hand, and broken files.

Where the files are from: tests/data/imports/README.md.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import InputError
from bench.imports import llama_bench, optimum_benchmark
from bench.imports.found import Found
from bench.imports.llama_settings import model_of, precision_of
from bench.imports.read import read

DATA = Path(__file__).parent / "data" / "imports"
LLAMA = DATA / "llama-bench"
OPTIMUM = DATA / "optimum-benchmark"

# Nanoseconds in default.json: the medians of three.
PP64_S, TG16_S = 0.149378642, 0.093267676


def loaded(path: Path) -> Any:
    return json.loads(path.read_text())


def written(folder: Path, said: Any, name: str = "some.json") -> Path:
    """`said` as JSON, or as it stands where it is text already."""
    file = folder / name
    file.write_text(said if isinstance(said, str) else json.dumps(said))
    return file


def values(found: Found) -> dict[str, float]:
    return {name: one.value for name, one in found.imported.figures.items()}


def refusal(file: Path, tool: str | None = None) -> str:
    """The one line that says why a file is refused."""
    with pytest.raises(InputError) as caught:
        read(file, tool)
    (line,) = caught.value.lines
    assert line.startswith(str(file))
    assert "\n" not in line
    return line


# --- llama-bench ----------------------------------------------------------------------------------------------------


def test_a_prompt_and_a_decode_test_make_a_request() -> None:
    (found,) = read(LLAMA / "default.json")
    assert (found.model, found.precision, found.engine) == ("SmolLM2-135M-Instruct", "Q4_1", "llama.cpp (CPU)")
    assert (found.batch_size, found.input_tokens, found.cached_tokens, found.output_tokens) == (1, 64, 0, 16)
    assert (found.accelerators, found.cpu_model, found.cpu_count) == ((), "AMD EPYC", 2)
    assert values(found) == pytest.approx(
        {
            "prefill_tokens_per_s": 64 / PP64_S,
            "ttft_s": PP64_S,
            "decode_tokens_per_s": 16 / TG16_S,
            "tokens_per_s_per_user": 16 / TG16_S,
            "tpot_s": TG16_S / 16,
        }
    )
    of = found.imported
    assert (of.tool, of.tool_version, of.measured_at) == ("llama-bench", None, "2026-11-22T14:16:07Z")
    assert of.weights_bytes == 96_576_768
    assert all(one.low is None and one.n == 3 for one in of.figures.values())
    assert "avg_ts, stddev_ts, samples_ts" in of.left_out
    assert any("pp64 and tg16: nothing was timed as a whole" in remark for remark in of.remarks)


def test_a_decode_from_an_empty_context_is_doubted() -> None:
    (doubt,) = read(LLAMA / "default.json")[0].imported.doubts
    assert doubt.code == "short-context"
    assert "an empty context" in doubt.what
    assert "-d 64" in doubt.remedy


def test_the_decode_at_the_depth_of_the_prompt_is_taken() -> None:
    at = {str(one.options["tests"]): one for one in read(LLAMA / "depth.jsonl")}
    exact = at["pp64 and tg16 @ d64"]
    assert not exact.imported.doubts
    assert values(exact)["decode_tokens_per_s"] == pytest.approx(16 / 0.21478559)
    assert "pp64 and tg16" not in at
    cached = at["pp128 @ d64 and tg16 @ d64"]
    assert (cached.input_tokens, cached.cached_tokens, cached.output_tokens) == (192, 64, 16)
    assert values(cached)["prefill_tokens_per_s"] == pytest.approx(128 / 0.510766221)
    assert "a context of 64 tokens" in cached.imported.doubts[0].what
    assert "-d 192 for" in cached.imported.doubts[0].remedy  # where that prompt ends


def test_pg_is_a_request_timed_as_a_whole() -> None:
    (found,) = read(LLAMA / "pg.json")
    whole_s = 0.311696671  # the median of five, one of which is 15 times as long
    assert values(found) == pytest.approx(
        {
            "e2el_s": whole_s,
            "output_tokens_per_s": 16 / whole_s,
            "total_tokens_per_s": 80 / whole_s,
            "requests_per_s": 1 / whole_s,
        }
    )
    assert not found.imported.doubts


def test_tests_with_other_settings_make_no_request_together(tmp_path: Path) -> None:
    said = loaded(LLAMA / "default.json")
    said[1]["n_threads"] = 1
    first, then = read(written(tmp_path, said))
    assert first.output_tokens is None
    assert "only the prompt was timed: give -n too" in first.imported.remarks
    assert then.input_tokens is None
    assert "only the decode was timed: give -p too" in then.imported.remarks


def test_one_object_a_line_and_the_same_test_twice(tmp_path: Path) -> None:
    pp, tg = loaded(LLAMA / "default.json")
    again = {**pp, "samples_ns": [one * 2 for one in pp["samples_ns"]]}
    (found,) = read(written(tmp_path, "\n".join(json.dumps(one) for one in (pp, tg, again)), "some.jsonl"))
    figure = found.imported.figures["ttft_s"]
    assert figure.value == pytest.approx(1.5 * PP64_S)
    assert figure.n == 6
    assert "over 2 tests" in figure.said


def test_without_samples_the_mean_counts(tmp_path: Path) -> None:
    said = [{**one, "samples_ns": []} for one in loaded(LLAMA / "default.json")]
    (found,) = read(written(tmp_path, said))
    figure = found.imported.figures["ttft_s"]
    assert figure.value == pytest.approx(0.153309908)
    assert figure.said.startswith("avg_ns")


def test_devices_that_computed(tmp_path: Path) -> None:
    def of(**changed: Any) -> tuple[str, ...]:
        gpu = {"gpu_info": "NVIDIA A100, NVIDIA A100, NVIDIA L4", "backends": "CUDA"}
        said = [{**one, **gpu, **changed} for one in loaded(LLAMA / "default.json")]
        (found,) = read(written(tmp_path, said))
        assert (found.cpu_count is None) == bool(found.accelerators)
        return found.accelerators

    assert of() == ("NVIDIA A100", "NVIDIA A100", "NVIDIA L4")
    assert of(n_gpu_layers=0) == () == of(devices="none") == of(backends="CPU")
    assert of(devices="CUDA0/CUDA2") == ("NVIDIA A100", "NVIDIA L4")
    assert of(split_mode="none", main_gpu=2) == ("NVIDIA L4",)


def test_names_of_files_and_types() -> None:
    assert model_of("/home/somebody/m/Qwen3-8B.Q4_K_M.gguf", "Q4_K_M") == "Qwen3-8B"
    assert precision_of("llama 8B Q4_K - Small") == "Q4_K_S"
    hostile = "<script>\u202e\n"
    assert precision_of(f"a b {hostile}") == hostile.strip()
    assert model_of(hostile, hostile) == hostile


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one.pop("n_prompt"), "n_prompt: missing"),
        (lambda one: one.pop("model_filename"), "model_filename: missing or empty"),
        (lambda one: one.update(samples_ns=[0, 1]), "samples_ns[0]: must be above 0"),
        (lambda one: one.update(samples_ns=[-5]), "samples_ns[0]: must not be negative"),
        (lambda one: one.update(samples_ns=[], avg_ns=0), "avg_ns: must be above 0"),
        (lambda one: one.update(n_prompt=0), "a test of nothing"),
        (lambda one: one.update(n_prompt="64"), "must be a number"),
        (lambda one: one.update(embeddings=True), "a test of embeddings"),
    ],
)
def test_broken_tests_are_refused_by_their_key(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    tests = loaded(LLAMA / "default.json")
    change(tests[0])
    assert said in refusal(written(tmp_path, tests), "llama-bench")


def test_a_run_that_was_stopped_says_how_to_read_what_it_finished(tmp_path: Path) -> None:
    line = refusal(LLAMA / "interrupted.json")
    assert "ends in the middle" in line
    assert "add ] at its end" in line
    mended = written(tmp_path, (LLAMA / "interrupted.json").read_text() + "]")
    (found,) = read(mended)
    assert found.input_tokens == 64
    assert found.output_tokens is None


def test_other_outputs_of_llama_bench_name_the_option(tmp_path: Path) -> None:
    file = written(tmp_path, "build_commit,build_number,model_filename,model_type\na,1,b,c\n", "some.csv")
    assert "-o json or -o jsonl" in refusal(file)


# --- optimum-benchmark ----------------------------------------------------------------------------------------------

E2EL_S, TTFT_S, DECODE_S = 3.4211510439999984, 0.6068886389984982, 2.8142624050015


def test_figures_of_stamped_generations() -> None:
    """Two prompts of 64 tokens, 16 new ones each; the medians of five iterations."""
    (found,) = read(OPTIMUM / "benchmark.json")
    assert (found.model, found.precision, found.engine) == ("smollm2-135m", "bf16", "pytorch 2.13.0+cpu")
    assert (found.batch_size, found.input_tokens, found.output_tokens) == (2, 64, 16)
    assert (found.accelerators, found.cpu_model, found.cpu_count) == ((), "AMD EPYC", 2)
    decode_s = 2.8594084900032612  # the median of five; that of the generation above is another iteration's
    assert values(found) == pytest.approx(
        {
            "e2el_s": E2EL_S,
            "ttft_s": TTFT_S,
            "output_tokens_per_s": 32 / E2EL_S,
            "total_tokens_per_s": 160 / E2EL_S,
            "requests_per_s": 2 / E2EL_S,
            "prefill_tokens_per_s": 128 / TTFT_S,
            "tpot_s": decode_s / 15,
            "tokens_per_s_per_user": 15 / decode_s,
            "decode_tokens_per_s": 30 / decode_s,
            "load_s": 0.4457955139951082,
        }
    )
    of = found.imported
    assert (of.tool_version, of.peak_memory_bytes) == ("0.6.0", 794_742_784)
    assert (of.requests, of.input_tokens, of.output_tokens) == (10, 640, 160)


def test_what_means_something_else_is_left_out_with_the_reason() -> None:
    of = read(OPTIMUM / "benchmark.json")[0].imported
    assert "235 values for 75 gaps" in of.left_out["per_token"]
    assert "the second generation" in of.left_out["first_generate"]
    assert "first_generate_s" not in of.figures
    assert "itl_s" not in of.figures


def test_a_decode_by_subtraction_is_refused(tmp_path: Path) -> None:
    said = loaded(OPTIMUM / "benchmark.json")
    said["config"]["backend"] |= {"name": "vllm", "version": "0.11.0"}
    del said["report"]["per_token"]
    (found,) = read(written(tmp_path, said))
    assert not {"decode_tokens_per_s", "tpot_s"} & found.imported.figures.keys()
    assert "no measurement" in found.imported.left_out["decode.latency, decode.throughput"]
    assert found.imported.figures["ttft_s"].value == pytest.approx(TTFT_S)


def test_energy_is_left_out(tmp_path: Path) -> None:
    said = loaded(OPTIMUM / "benchmark.json")
    said["report"]["generate"]["energy"] = {"unit": "kWh", "cpu": 1e-5, "ram": 1e-6, "gpu": 0.0, "total": 1.1e-5}
    of = read(written(tmp_path, said))[0].imported
    assert "codecarbon" in of.left_out["energy, efficiency"]
    assert "energy_j_per_output_token" not in of.figures


def test_precision_devices_and_random_weights(tmp_path: Path) -> None:
    said = loaded(OPTIMUM / "benchmark.json")
    said["config"]["backend"] |= {
        "device": "cuda",
        "device_ids": "1",
        "quantization_scheme": "bnb",
        "quantization_config": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        "no_weights": True,
        "model": "/home/somebody/secret/Llama-3.1-8B",
    }
    said["config"]["environment"]["gpu"] = ["NVIDIA L4", "NVIDIA A100-SXM4-80GB"]
    said["report"]["decode"]["memory"] |= {"max_reserved": 900.5, "max_global_vram": 5000.0}
    (found,) = read(written(tmp_path, said))
    assert (found.precision, found.accelerators) == ("nf4", ("NVIDIA A100-SXM4-80GB",))
    assert found.imported.peak_memory_bytes == 900_500_000
    assert [one.code for one in found.imported.doubts] == ["random-weights"]
    assert found.model == "Llama-3.1-8B"
    assert "secret" not in found.imported.model_dump_json()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda said: said["report"].pop("generate"), "no generation was timed"),
        (lambda said: said["report"].pop("prefill"), "report.prefill: missing"),
        (lambda said: said["config"].pop("scenario"), "config.scenario: missing"),
        (lambda said: said["config"]["scenario"]["input_shapes"].pop("sequence_length"), "sequence_length: missing"),
        (lambda said: said["report"]["generate"]["latency"].update(values=[1.0, 0.0]), "values[1]: must be above 0"),
        (lambda said: said["report"]["generate"]["latency"].update(values=[]), "scenario.latency=true"),
        (lambda said: said["report"]["prefill"]["latency"].update(unit="ms"), "unit: must be s"),
        (lambda said: said["config"]["scenario"]["generate_kwargs"].update(num_beams=4), "num_beams: above 1"),
        (lambda said: said["config"]["scenario"]["generate_kwargs"].update(min_new_tokens=1), "not max_new_tokens"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_key(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], line: str
) -> None:
    said = loaded(OPTIMUM / "benchmark.json")
    change(said)
    assert line in refusal(written(tmp_path, said), "optimum-benchmark")


def test_the_report_alone_names_the_file_beside_it(tmp_path: Path) -> None:
    assert "import benchmark.json" in refusal(OPTIMUM / "benchmark_report.json")
    config = written(tmp_path, loaded(OPTIMUM / "benchmark.json")["config"])
    assert "no result" in refusal(config)
    assert "benchmark.json" in refusal(config)


# --- both -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [LLAMA / "default.json", OPTIMUM / "benchmark.json"], ids=lambda one: one.parent.name)
def test_a_file_that_is_cut_anywhere_is_refused_in_one_line(tmp_path: Path, file: Path) -> None:
    text = file.read_text().rstrip()
    for cut in range(1, len(text), len(text) // 25):
        assert refusal(written(tmp_path, text[:cut]))


def test_each_claims_its_own_files_alone() -> None:
    for file in (*LLAMA.iterdir(), *OPTIMUM.glob("*.json")):
        text = file.read_text()
        assert llama_bench.claims(text, file.name) == (file.parent == LLAMA)
        assert optimum_benchmark.claims(text, file.name) == (file.parent == OPTIMUM)
