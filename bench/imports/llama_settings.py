"""What a test of llama-bench says of the model, the machine and its settings: everything but the times."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.imports.values import Values

ENGINE = "llama.cpp"

_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "n_batch": (2048,),
    "n_ubatch": (512,),
    "type_k": ("f16",),
    "type_v": ("f16",),
    "n_gpu_layers": (-1, 99),
    "n_cpu_moe": (0,),
    "split_mode": ("layer",),
    "main_gpu": (0,),
    "no_kv_offload": (False, 0),
    "flash_attn": (-1, "auto"),
    "cpu_mask": ("0x0",),
    "cpu_strict": (False, 0),
    "poll": (50,),
    "devices": ("auto",),
    "tensor_split": ("0.00",),
    "tensor_buft_overrides": ("none",),
    "use_mmap": (True, 1),
    "use_direct_io": (False, 0),
    "load_mode": ("auto",),
    "lazy_mode": ("auto",),
    "no_op_offload": (False, 0),
    "no_host": (False, 0),
    "repack": (True, 1),
    "fit_target": (0,),
    "fit_min_ctx": (0,),
}
"""Settings and their defaults: a cell is told from others by those that differ."""


@dataclass(frozen=True)
class Settings:
    """`key` is equal for tests that may be put together. The rest is as `Found` and `Imported` want it."""

    key: tuple[Any, ...]
    model: str
    precision: str
    engine: str
    version: str | None
    hardware: str
    weights_bytes: int | None
    accelerators: tuple[str, ...]
    cpu_model: str
    cpu_count: int | None
    options: Mapping[str, str | int | float | bool]
    remarks: tuple[str, ...]

    def __hash__(self) -> int:
        return hash(self.key)


def settings(of: Values) -> Settings:
    """Of one test. Raises InputError for a key that is missing or is not what it must be."""
    path, kind = of.text("model_filename"), of.text("model_type")
    if not path:
        raise of.error("model_filename", "missing or empty; was it written by another version of llama-bench?")
    precision = precision_of(kind)
    devices = _devices(of)
    layers = of.said.get("n_gpu_layers")
    remarks = []
    if devices and isinstance(layers, int) and 0 < layers < 99:
        remarks.append(f"n_gpu_layers is {layers}: layers beyond that, if the model has more, stayed on the CPU")
    if "(guessed)" in kind:
        remarks.append(f"the precision is llama.cpp's guess ({precision})")
    options = _options(of)
    threads = of.count_or_none("n_threads")
    if threads is not None:
        options["n_threads"] = threads
        if not devices:
            remarks.append("its CPUs are the threads that it used: the file does not say how many the machine has")
    model = model_of(path, precision)
    backend = of.text("backends")
    weights = of.count_or_none("model_size")
    cpu = of.text("cpu_info").strip()
    hardware = ", ".join(devices) if devices else cpu
    return Settings(
        key=(path, kind, weights, backend, hardware, of.said.get("build_commit"), *sorted(map(str, options.items()))),
        model=model,
        precision=precision,
        engine=f"{ENGINE} ({backend})" if backend else ENGINE,
        version=_version(of),
        hardware=hardware,
        weights_bytes=weights,
        accelerators=devices,
        cpu_model=cpu,
        cpu_count=threads if not devices else None,
        options=options,
        remarks=tuple(remarks),
    )


def precision_of(model_type: str) -> str:
    """The type of most weights, as llama.cpp's own tools name it; "" where the description has none.

    >>> [precision_of(f"llama 8B {kind}") for kind in ("Q4_K - Medium", "all F32", "mostly Q4_0", "(guessed) Q8_0")]
    ['Q4_K_M', 'F32', 'Q4_0', 'Q8_0']
    >>> precision_of("qwen2 7B IQ4_XS - 4.25 bpw"), precision_of("gpt-oss 20B MXFP4 MoE"), precision_of("llama")
    ('IQ4_XS', 'MXFP4 MoE', '')
    """
    said = model_type.split(" ", 2)[2:]
    if not said:
        return ""
    name, _, size = said[0].replace("(guessed) ", "").partition(" - ")
    name = re.sub(r"^(all|mostly) ", "", name.strip())
    letter = {"Small": "_S", "Medium": "_M", "Large": "_L"}.get(size.strip(), "")
    return name + letter


def model_of(path: str, precision: str) -> str:
    """The file's name without its folder, its ending, the number of its part and its precision.

    >>> model_of("/home/me/models/Llama-3.1-8B-Instruct-Q4_K_M.gguf", "Q4_K_M")
    'Llama-3.1-8B-Instruct'
    >>> model_of(r"C:\\models\\x-00001-of-00003.gguf", "Q8_0"), model_of("q8_0.gguf", "Q8_0")
    ('x', 'q8_0')
    """
    name = re.split(r"[\\/]", path)[-1]
    name = re.sub(r"\.gguf$", "", name, flags=re.IGNORECASE)
    name = re.sub(r"-\d{5}-of-\d{5}$", "", name)
    if precision:
        name = re.sub(rf"(?<=.)[-._]{re.escape(precision)}$", "", name, flags=re.IGNORECASE)
    return name or path


def _devices(of: Values) -> tuple[str, ...]:
    """The accelerators that computed: those of the machine, less what `-ngl`, `-dev`, `-sm` and `-mg` exclude."""
    every = [name.strip() for name in of.text("gpu_info").split(", ") if name.strip()]
    backend, asked = of.text("backends"), of.said.get("devices")
    if not every or backend == "CPU" or of.said.get("n_gpu_layers") == 0 or asked == "none":
        return ()
    if isinstance(asked, str) and asked != "auto":
        numbers = [int(one[1]) for name in asked.split("/") if (one := re.search(r"(\d{1,3})$", name))]
        picked = [every[number] for number in numbers if number < len(every)]
        every = picked or every
    main = of.said.get("main_gpu")
    if of.said.get("split_mode") == "none" and isinstance(main, int) and 0 <= main < len(every):
        return (every[main],)
    return tuple(every)


def _options(of: Values) -> dict[str, str | int | float | bool]:
    found: dict[str, str | int | float | bool] = {}
    for name, usual in _DEFAULTS.items():
        value = of.said.get(name)
        if isinstance(value, str | int | float | bool) and value not in usual:
            found[name] = value
    return found


def _version(of: Values) -> str | None:
    """Build number and commit; None of a build that does not know them."""
    commit, number = of.text("build_commit"), of.count_or_none("build_number")
    if not number and commit in ("", "unknown"):
        return None
    return f"b{number} ({commit})" if number else commit
