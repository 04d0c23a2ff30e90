"""optimum-benchmark: benchmark.json of a text-generation run. Definitions are those of the source of 0.6.0.

A "pytorch" run stamps each generation three times: its start, the first scores of the model (before the first token is
chosen), and its end. Its prefill is the first part and its decode the rest of the very same generation. Other backends
time prompts and generations in runs of their own and call the difference to the *mean* prefill the decode: that is no
measurement and is refused, like everything else in `_LEFT_OUT`.
"""

import re
from pathlib import Path
from statistics import median
from typing import Any

from bench.errors import InputError
from bench.imports.found import Found
from bench.imports.values import Values, document, peek
from bench.schema import Imported, ImportedDoubt, ImportedFigure

TOOL = "optimum-benchmark"
READ_VERSION = "0.6.0"

STAMPED = ("pytorch", "onnxruntime", "openvino", "neural-compressor", "ipex")
"""Backends whose generations are stamped at their first token."""

_DEFAULT_NEW_TOKENS = 100
_DEFAULT_BATCH = 2
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_OTHERS = {"forward", "call", "train", "training", "overall", "warmup", "preprocess"}
_MB = 10**6

_SUBTRACTED = "generate less the mean of prefill, which was timed in runs of its own: no measurement"
_LEFT_OUT = {
    "first_generate": "the second generation: one that is not timed ran before it",
    "generate.throughput": "of the mean; ours is of the median. 0.6.0 counts tokens there and calls them samples",
    "prefill.throughput": "in samples per second, of the mean; ours is in tokens, of the median",
    "decode.throughput": "of the mean; ours is of the median",
    "stdev": "of iterations in one process, which are no replicates: no interval is made of it",
}
_ENERGY = (
    "codecarbon's: a sample of power each second, of the CPU by a table where it can read no counter, and the file "
    "does not say which"
)


def claims(text: str, name: str) -> bool:  # noqa: ARG001
    """By its targets: benchmark.json, or its report alone (to say which file is meant)."""
    said = peek(text)
    if not isinstance(said, dict):
        return False
    if {"config", "report"} <= said.keys() and isinstance(said["config"], dict):
        return {"backend", "scenario"} <= said["config"].keys()
    return _is_report(said) or _is_config(said)


def _is_report(said: dict[str, Any]) -> bool:
    return "load_model" in said and all(isinstance(one, dict) and "latency" in one for one in said.values())


def _is_config(said: dict[str, Any]) -> bool:
    return {"backend", "scenario", "launcher", "environment"} <= said.keys()


def read(file: Path, text: str) -> list[Found]:
    """The one cell of the file. Raises InputError for another file of the tool, another task, and broken values."""
    said = document(file, text)
    if isinstance(said, dict) and "report" not in said and (_is_report(said) or _is_config(said)):
        what = "the report alone, without batch and lengths" if _is_report(said) else "the config alone, no result"
        raise InputError(f"{file}: {what}; import benchmark.json, which stands beside it")
    whole = Values(file, said)
    config, report = whole.inner("config"), whole.inner("report")
    if "generate" not in report:
        other = sorted(_OTHERS & report.said.keys())
        what = f"it timed {' and '.join(other)}" if other else "no generation was timed"
        raise report.error("generate", f"missing: {what}; only text generation is imported")
    return [_cell(config, report)]


def _cell(config: Values, report: Values) -> Found:
    backend, scenario = config.inner("backend"), config.inner("scenario")
    asked = scenario.inner_or_none("generate_kwargs") or Values(config.file, {}, "config.scenario.generate_kwargs")
    shapes = scenario.inner("input_shapes")
    batch = shapes.count_or_none("batch_size") or _DEFAULT_BATCH
    prompt, new = shapes.count("sequence_length"), asked.count_or_none("max_new_tokens") or _DEFAULT_NEW_TOKENS
    if asked.count_or_none("min_new_tokens") not in (None, new):
        raise asked.error("min_new_tokens", f"not max_new_tokens ({new}): nobody knows how many tokens were made")
    for name in ("num_beams", "num_return_sequences"):
        if asked.count_or_none(name) not in (None, 1):
            raise asked.error(name, "above 1: several tokens are made for each that is kept; only 1 is imported")
    if not prompt:
        raise shapes.error("sequence_length", "must be above 0")
    environment = config.inner_or_none("environment") or Values(config.file, {}, "config.environment")
    stamped = backend.text("name") in STAMPED
    figures, n = _figures(report, batch, prompt, new, stamped)
    devices = _devices(backend, environment)
    precision, doubts = _precision(backend), _doubts(config, backend)
    cpu = environment.text("cpu").strip()
    options = _options(config, backend, environment)
    imported = Imported(
        tool=TOOL,
        tool_version=environment.text("optimum_benchmark_version") or None,
        file="",
        sha256="",
        engine=options.get("engine"),
        hardware=", ".join(devices) or cpu or None,
        figures=figures,
        requests=batch * n,
        input_tokens=batch * n * prompt,
        output_tokens=batch * n * new,
        peak_memory_bytes=_peak(report, bool(devices)),
        left_out=_left_out(report, n * (new - 1), stamped),
        remarks=_remarks(environment, stamped),
        doubts=doubts,
    )
    return Found(
        imported=imported,
        model=_model(backend.text("model")),
        precision=precision,
        engine=options.pop("engine"),
        batch_size=batch,
        input_tokens=float(prompt),
        cached_tokens=0.0,
        output_tokens=float(new),
        options=options,
        accelerators=devices,
        cpu_model=cpu,
        cpu_count=None if devices else environment.count_or_none("cpu_count"),
    )


def _times(report: Values, target: str) -> list[float]:
    """Seconds of each iteration. Raises InputError where one is zero, or the unit is another."""
    latency = report.inner(target).inner("latency")
    if latency.text("unit") not in ("", "s"):
        raise latency.error("unit", f"must be s, got {latency.text('unit')!r}")
    values = latency.numbers("values")
    if not values:
        raise latency.error("values", "missing or empty; run it with scenario.latency=true")
    for index, one in enumerate(values):
        if one <= 0:
            raise latency.error(f"values[{index}]", "must be above 0; the clock did not move: run it again")
    return values


def _figures(report: Values, batch: int, prompt: int, new: int, stamped: bool) -> tuple[dict[str, ImportedFigure], int]:
    """SI figures over the median iteration, and how many iterations there were."""
    whole_s, first_s = _times(report, "generate"), _times(report, "prefill")
    n, e2el_s, ttft_s = len(whole_s), median(whole_s), median(first_s)
    found: dict[str, ImportedFigure] = {}

    def add(name: str, value: float, said: str, count: int = n) -> None:
        found[name] = ImportedFigure(value=value, n=count, said=said)

    whole, first = "median(generate.latency.values)", "median(prefill.latency.values)"
    add("e2el_s", e2el_s, whole)
    add("output_tokens_per_s", batch * new / e2el_s, f"batch_size · max_new_tokens / {whole}")
    add(
        "total_tokens_per_s",
        batch * (prompt + new) / e2el_s,
        f"batch_size · (sequence_length + max_new_tokens) / {whole}",
    )
    add("requests_per_s", batch / e2el_s, f"batch_size / {whole}")
    add("ttft_s", ttft_s, first, len(first_s))
    add("prefill_tokens_per_s", batch * prompt / ttft_s, f"batch_size · sequence_length / {first}", len(first_s))
    if stamped and new > 1:
        decode_s = median(_times(report, "decode"))
        after = "median(decode.latency.values)"
        add("tpot_s", decode_s / (new - 1), f"{after} / (max_new_tokens − 1)")
        add("tokens_per_s_per_user", (new - 1) / decode_s, f"(max_new_tokens − 1) / {after}")
        add("decode_tokens_per_s", batch * (new - 1) / decode_s, f"batch_size · (max_new_tokens − 1) / {after}")
    load = report.inner_or_none("load_model")
    if load is not None and "latency" in load:
        add("load_s", median(_times(report, "load_model")), "load_model.latency.values", 1)
    return found, n


def _left_out(report: Values, gaps: int, stamped: bool) -> dict[str, str]:
    found = dict(_LEFT_OUT)
    tokens = report.inner_or_none("per_token")
    if tokens is not None and "latency" in tokens:
        count = tokens.inner("latency").count_or_none("count")
        found["per_token"] = (
            "its list is never emptied, so that every iteration counts those before it again, and the pauses between "
            f"them: {count} values for {gaps} gaps"
        )
    if not stamped:
        found["decode.latency, decode.throughput"] = _SUBTRACTED
    for target in ("generate", "prefill", "decode"):
        of = report.inner_or_none(target)
        if of is not None and "energy" in of:
            found["energy, efficiency"] = _ENERGY
        memory = None if of is None else of.inner_or_none("memory")
        if memory is not None and "max_global_vram" in memory:
            found["max_global_vram"] = "of every process on the device"
    return found


def _remarks(environment: Values, stamped: bool) -> tuple[str, ...]:
    found = ["prompts are random tokens, and exactly max_new_tokens are made; each iteration has the same prompts"]
    if stamped:
        found.append("the time to the first token ends before that token is chosen")
    version = environment.text("optimum_benchmark_version")
    if version != READ_VERSION:
        found.append(f"its figures are read as {READ_VERSION} defines them; the file is of {version or 'no version'}")
    return tuple(found)


def _doubts(config: Values, backend: Values) -> tuple[ImportedDoubt, ...]:
    found = []
    launcher = config.inner_or_none("launcher")
    if launcher is not None and launcher.text("name") == "torchrun":
        found.append(
            ImportedDoubt(
                code="several-processes",
                what="several processes wrote their times into one list, and the file does not say whether each had "
                "the whole batch",
                remedy="give --usd-per-hour of all devices, and look at what the launcher did",
            )
        )
    if backend.said.get("no_weights") is True:
        found.append(
            ImportedDoubt(
                code="random-weights", what="the weights were random (no_weights)", remedy="run it with the real ones"
            )
        )
    return tuple(found)


def _peak(report: Values, on_device: bool) -> int | None:
    """Reserved memory of the devices, else the resident peak of the process; of loading and of generations."""
    name = "max_reserved" if on_device else "max_ram"
    peaks = []
    for target in ("load_model", "prefill", "decode", "generate"):
        of = report.inner_or_none(target)
        memory = None if of is None else of.inner_or_none("memory")
        if memory is not None and name in memory:
            if memory.text("unit") not in ("", "MB"):
                raise memory.error("unit", f"must be MB, got {memory.text('unit')!r}")
            peaks.append(round(memory.number(name) * _MB))
    return max(peaks, default=None)


def _devices(backend: Values, environment: Values) -> tuple[str, ...]:
    """Names of the accelerators by `device_ids`; empty of a run on the CPU, and where the file does not name them."""
    if backend.text("device") not in ("cuda", "gpu"):
        return ()
    every = [one for one in environment.items("gpu") if isinstance(one, str)]
    ids = backend.said.get("device_ids")
    numbers = [int(one) for one in re.findall(r"\d{1,3}", str(ids))] if ids is not None else []
    return tuple(every[number] for number in numbers if number < len(every)) or tuple(every)


def _precision(backend: Values) -> str:
    """Of quantised weights the scheme, else the type; "" where the file leaves it to the checkpoint."""
    scheme, config = backend.text("quantization_scheme"), backend.inner_or_none("quantization_config")
    if scheme:
        four, eight = (config is not None and config.said.get(f"load_in_{bits}bit") is True for bits in (4, 8))
        kind = config.text("bnb_4bit_quant_type") if config is not None and four else ""
        bits = config.said.get("bits") if config is not None else None
        return kind or (f"{scheme} 4-bit" if four else "int8" if eight else f"{scheme} {bits}-bit" if bits else scheme)
    dtype = backend.text("torch_dtype") or backend.text("dtype")
    return _DTYPES.get(dtype, "" if dtype == "auto" else dtype)


def _options(config: Values, backend: Values, environment: Values) -> dict[str, str]:
    """What tells this run from another of the same model; `engine` is taken out again."""
    name, version = backend.text("name"), backend.text("version")
    library = environment.text("transformers_version")
    found = {"engine": f"{name} {version}".strip()}
    if backend.text("library") == "transformers" and library:
        found["transformers"] = library
    for key in ("attn_implementation", "cache_implementation", "tp_plan", "device_map"):
        if backend.said.get(key) is not None:
            found[key] = str(backend.said[key])
    if backend.said.get("torch_compile") is True:
        found["torch_compile"] = backend.text("torch_compile_target") or "forward"
    launcher = config.inner_or_none("launcher")
    if launcher is not None and launcher.said.get("numactl") is True:
        found["numactl"] = "yes"
    return found


def _model(said: str) -> str:
    """A hub id as it stands; of a path its last part: folders are nobody's business.

    >>> _model("meta-llama/Llama-3.1-8B"), _model("../../smollm2-135m/"), _model("/home/me/models/x")
    ('meta-llama/Llama-3.1-8B', 'smollm2-135m', 'x')
    """
    is_path = said.startswith((".", "/", "~", "\\")) or said.count("/") > 1 or "\\" in said
    return re.split(r"[\\/]", said.rstrip("\\/"))[-1] if is_path else said
