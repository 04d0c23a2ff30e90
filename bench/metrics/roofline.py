"""How near a run is to what its device can do at most: bytes and FLOPs from the model's config.json.

B rows, S prompt tokens, C of them in the cache beforehand, N new tokens a row. Formulas and worked examples stand in
docs/roofline.md. Everything here is the least that the arithmetic needs: an engine that copies, pads or dequantises
does more, and its ratios are lower.
"""

from dataclasses import dataclass
from typing import Any

from bench.metrics import footprint
from bench.metrics.footprint import Shape
from bench.metrics.statistics import Estimate
from bench.schema import Ceiling, Gguf, ModelFacts, Precision, Workload
from bench.schema.precision import GGUF_NAMES, STORED

TYPES = {
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "fp32": "fp32",
    "fp16": "fp16",
    "bf16": "bf16",
}
"""What engines call a type → what a ceiling calls it."""
ACTIVATIONS_TOO = {"int8": "int8", "torchao-int8dq": "int8", "torchao-fp8dq": "fp8", "fp8": "fp8"}
"""Precisions that quantise activations as well → the type of their products."""


@dataclass(frozen=True)
class Work:
    """What one prefill and one decode step (the mean over N − 1 of them) must do."""

    prefill_flops: float
    prefill_bytes: float
    step_flops: float
    step_bytes: float


@dataclass(frozen=True)
class Roofline:
    """A measured cell against its device's ceiling; what cannot be said is None and `reason` says why.

    `limit` and `prefill_limit` are "memory" or "compute": the resource whose own time is longer in a decode step and in
    the prefill. The floors are seconds at that limit: no engine on this device can be faster at this precision.
    """

    basis: str
    work: Work | None = None
    mbu: Estimate | None = None
    mfu: Estimate | None = None
    limit: str | None = None
    prefill_limit: str | None = None
    floor_ttft_s: float | None = None
    floor_step_s: float | None = None
    floor_e2el_s: float | None = None
    reason: str | None = None


def roofline(
    config: dict[str, Any],
    facts: ModelFacts,
    precision: Precision,
    workload: Workload,
    ttft: Estimate | None,
    tpot: Estimate | None,
    ceiling: Ceiling | None,
    basis: str,
) -> Roofline:
    """MBU of the decode, MFU of the prefill, and the floors. `basis` says where the ceiling is from, or why none is."""
    if ttft is None:
        return Roofline(basis, reason="scheduled continuously: prefill and decode overlap, so neither has a time")
    of = footprint.shape(config)
    if of is None:
        return Roofline(basis, reason="the model's sizes are not known")
    if of.window is not None and of.window < workload.input_tokens + workload.output_tokens:
        return Roofline(basis, reason=f"longer than the {of.window} tokens that the layers look back: not modelled")
    todo = work(of, facts, precision, workload)
    if ceiling is None:
        return Roofline(basis, todo, reason=basis)
    kind = product_type(precision, facts)
    read, peak = ceiling.read_bytes_per_s, ceiling.gemm_flops_per_s.get(kind)
    steps = workload.output_tokens - 1
    why = []
    if not read:
        why.append(f"the read bandwidth of {ceiling.device} is not known")
    if not peak:
        why.append(f"the {kind} peak of {ceiling.device} is not known")
    if not steps or tpot is None:
        why.append("one output token has no decode step")
    floor_ttft_s, prefill_limit = _floor(todo.prefill_bytes, todo.prefill_flops, read, peak)
    floor_step_s, limit = _floor(todo.step_bytes, todo.step_flops, read, peak) if steps else (None, None)
    floor_e2el_s = None if floor_ttft_s is None else floor_ttft_s + steps * (floor_step_s or 0.0)
    return Roofline(
        basis,
        todo,
        mbu=tpot.into(todo.step_bytes / read) if steps and tpot is not None and read else None,
        mfu=ttft.into(todo.prefill_flops / peak) if peak else None,
        limit=limit,
        prefill_limit=prefill_limit,
        floor_ttft_s=floor_ttft_s,
        floor_step_s=floor_step_s,
        floor_e2el_s=floor_e2el_s,
        reason="; ".join(why) or None,
    )


def work(of: Shape, facts: ModelFacts, precision: Precision, workload: Workload) -> Work:
    """FLOPs (a multiplication and an addition are two) and bytes of the prefill and of the mean decode step.

    The prefill multiplies the S − C uncached tokens of a row alone. Each of them looks back on the cached ones and on
    half of the others: (S − C)·C + (S − C)²/2 = (S² − C²)/2 pairs. Keys and values of the uncached ones are written and
    those of the cached ones read: S of them either way.
    """
    rows, prompt, cached = workload.batch_size, workload.input_tokens, workload.cached_tokens
    fresh = prompt - cached
    # The steps 1 … N − 1 look back on S + 1 … S + N − 1 tokens.
    context = prompt + workload.output_tokens / 2
    kv = kv_bytes_per_token(of, facts, precision)
    active = of.with_experts(of.top_k).linear_parameters
    head = 2.0 * of.hidden * of.vocab * rows
    # Two products, scores and values, of 2 · layers · heads · head size for each pair of tokens.
    pair = 4.0 * of.layers * of.query_width
    return Work(
        prefill_flops=2.0 * active * rows * fresh + pair * rows * (prompt**2 - cached**2) / 2 + head,
        prefill_bytes=read_bytes(of, facts, precision, rows * fresh) + rows * prompt * kv,
        step_flops=2.0 * active * rows + pair * rows * context + head,
        step_bytes=read_bytes(of, facts, precision, rows) + rows * context * kv,
    )


def read_bytes(of: Shape, facts: ModelFacts, precision: Precision, tokens: int) -> float:
    """Bytes of the weights that a pass over `tokens` tokens reads, scales included.

    An untied input embedding is left out. For stored levels, whose bits the config does not tell, the bytes that were
    measured in memory less that table. A GGUF file says the bytes of each: tables and output head are packed too.
    """
    if of.stored is not None and footprint.is_packed_file(of, facts, precision):
        return _read_of_file(of, of.stored, tokens)
    touched = of.with_experts(experts_touched(of, tokens)).without_table()
    if precision.name not in STORED and not isinstance(precision, Gguf):
        return footprint.weights_bytes(touched, precision)
    kind = TYPES.get(facts.dtype)
    # Where the engine names no plain type (blocks of a GGUF file), the tables are packed like the rest.
    plain = footprint.PLAIN_BYTES[kind] if kind else facts.weights_bytes / of.parameters
    packed = (facts.weights_bytes - plain * of.other_parameters) / of.linear_parameters
    return packed * touched.linear_parameters + plain * touched.other_parameters


def _read_of_file(of: Shape, stored: footprint.Stored, tokens: int) -> float:
    """All of the file but an untied input embedding and the experts that no token is sent to."""
    table = 0 if of.tied else stored.table_bytes
    share = of.with_experts(experts_touched(of, tokens)).linear_parameters / of.linear_parameters
    return stored.layer_bytes * share + stored.other_bytes - table


def experts_touched(of: Shape, tokens: int) -> float:
    """Mean number of a layer's E experts that some of `tokens` tokens use, each k of them, routed uniformly.

    A token leaves an expert out with probability 1 − k/E: E · (1 − (1 − k/E)^tokens).
    """
    return of.experts * (1 - (1 - of.top_k / of.experts) ** tokens)


def kv_bytes_per_token(of: Shape, facts: ModelFacts, precision: Precision) -> float:
    """Keys and values of one token in all layers: as the engine said, else at the type of what is not packed."""
    if facts.kv_bytes_per_token is not None:
        return float(facts.kv_bytes_per_token)
    return 2.0 * of.layers * of.kv_width * footprint.precision_bytes(precision)


def product_type(precision: Precision, facts: ModelFacts) -> str:
    """The type in which matrices are multiplied: whose peak the FLOPs are held against.

    Weights that are quantised alone are multiplied in the type of the activations, whatever their own is. llama.cpp
    packs the activations of a product with packed weights into blocks of int8 (ggml's `vec_dot_type`, `mmq` on GPUs).
    """
    if facts.products is not None:
        return facts.products
    if isinstance(precision, Gguf) or facts.dtype.lower() in GGUF_NAMES:
        return "int8"
    if precision.name in STORED:
        return TYPES.get(facts.dtype, facts.dtype)
    if precision.name in ACTIVATIONS_TOO:
        return ACTIVATIONS_TOO[precision.name]
    return str(getattr(precision, "compute_dtype", precision.name))


def _floor(size: float, flops: float, read: float | None, peak: float | None) -> tuple[float | None, str | None]:
    """Seconds at the slower of the two resources, and which it is; nothing when one of them is not known."""
    if not read or not peak:
        return None, None
    memory_s, compute_s = size / read, flops / peak
    return max(memory_s, compute_s), "memory" if memory_s >= compute_s else "compute"
