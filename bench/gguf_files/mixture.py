"""Which type each tensor gets: the rules of llama-quantize without an importance matrix, for the types made here.

They follow `llama_tensor_get_type` and `tensor_allows_quantization` of llama.cpp's src/llama-quant.cpp (build 11434)
and are tested against the program itself. Pure: names, shapes and sizes in, names of types out.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.gguf_files.types import BY_NAME, MOST_OF, PLAIN

MADE_HERE = (
    *("q4_0", "q4_1", "q5_0", "q5_1", "q8_0"),
    *("q2_k", "q3_k_s", "q3_k_m", "q3_k_l", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m", "q6_k", "iq4_nl", "iq4_xs"),
)
"""Quantised precisions whose rules are here; plain ones have none."""

KEPT = (
    *("_norm.weight", "ffn_gate_inp.weight", "altup", "laurel", "per_layer_model_proj"),
    *("position_embd.weight", "token_types.weight", "ssm_conv1d", "shortconv.conv.weight"),
    *("indexer.k_proj.weight", "indexer.q_proj.weight", "attn_rel_b.weight", "ffn_gate_tid2eid.weight"),
    *("time_mix_first.weight", "time_mix_lerp_fused.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight"),
    *(f"time_mix_{letter}{number}.weight" for letter in "wvag" for number in range(3)),
    *(".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd", ".patch_merger"),
    *("a.rvq.codebook", "mm.a.code_embd"),
)
"""Parts of names whose matrices stay as they are."""

UNKNOWN = ("glm5-next", "falcon")
"""Architectures with rules of their own that are not here."""

FALLBACK = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "IQ4_XS": "IQ4_NL"}
"""Types of 256 values a block → what rows get that are no multiple of it."""

VALUES = ("attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight")
LAYER = re.compile(r"blk\.(\d+)\.")


@dataclass(frozen=True)
class Sizes:
    """What the rules ask of a model."""

    architecture: str
    layers: int
    heads: int
    kv_heads: int
    experts: int = 0

    @property
    def shared(self) -> int:
        """Heads that share a key and a value."""
        return self.heads // self.kv_heads if self.kv_heads else 1

    @property
    def is_70b(self) -> bool:
        """As llama.cpp tells it: by its layers."""
        if self.architecture == "llama":
            return self.layers == 80 and self.experts != 8 and self.heads != self.kv_heads
        return self.layers == 80 and self.architecture in ("qwen2", "deci", "olmo")


@dataclass(frozen=True)
class Planned:
    """A tensor as it will be: shape as the file has it, fastest dimension first."""

    name: str
    shape: tuple[int, ...]
    type: str

    @property
    def values(self) -> int:
        return math.prod(self.shape)


def targets(tensors: Sequence[Planned], precision: str, sizes: Sizes) -> list[Planned]:
    """The tensors with their new types, in the order in which llama-quantize goes over them: by layer, then name."""
    ordered = sorted(tensors, key=lambda one: (_layer(one.name), one.name))
    counted = _Counted(precision, sizes, tensors)
    return [Planned(one.name, one.shape, _target(one, precision, counted)) for one in ordered]


def may_change(tensor: Planned) -> bool:
    """Whether llama-quantize touches a tensor: matrices called weight, but for those whose names it spares."""
    if not any(size > 1 for size in tensor.shape[1:]):
        return False
    return tensor.name.endswith("weight") and not any(part in tensor.name for part in KEPT)


def _target(tensor: Planned, precision: str, counted: "_Counted") -> str:
    if not may_change(tensor):
        return tensor.type
    if precision in PLAIN:
        return PLAIN[precision]
    return fitting(counted.wanted(tensor), tensor.shape[0])


def fitting(kind: str, inputs: int) -> str:
    """The type that rows of so many values can have: the one asked for, else its fallback, else F16.

    >>> fitting("Q4_K", 4096), fitting("Q4_K", 576), fitting("Q4_0", 100)
    ('Q4_K', 'Q5_0', 'F16')
    """
    for one in (kind, FALLBACK.get(kind, kind)):
        if inputs % BY_NAME[one].values == 0:
            return one
    return "F16"


def _layer(name: str) -> int:
    found = LAYER.match(name)
    return int(found.group(1)) if found else -1


class _Counted:
    """The rules, with their count of the tensors that went before."""

    def __init__(self, precision: str, sizes: Sizes, tensors: Sequence[Planned]) -> None:
        self._precision = precision
        self._sizes = sizes
        self._tied = all(one.name != "output.weight" for one in tensors)
        self._all_values = sum(any(part in one.name for part in VALUES) for one in tensors)
        self._values = 0
        self._downs = 0
        self._default = MOST_OF[precision]

    def wanted(self, tensor: Planned) -> str:
        """The type by the mixture, before it is seen whether rows fit."""
        name = tensor.name
        is_table = name in ("token_embd.weight", "per_layer_token_embd.weight")
        if name == "output.weight" or (is_table and self._tied):
            return self._head(tensor.shape[0])
        if is_table:
            return self._default
        if any(part in name for part in VALUES):
            return self._value()
        if self._sizes.experts == 8 and "attn_k.weight" in name:
            return "Q8_0"
        if "ffn_down" in name:
            return self._down(name)
        if "attn_output.weight" in name:
            return self._output()
        return self._default

    def _head(self, inputs: int) -> str:
        """The output head, and a table that is one too."""
        if self._default == "Q8_0" or inputs % BY_NAME[self._default].values:
            return "Q8_0"
        return "Q6_K"

    def _value(self) -> str:
        index, self._values = self._values, self._values + 1
        named, shared = self._precision, self._sizes.shared >= 4
        rules: dict[str, Callable[[], str]] = {
            "q2_k": lambda: "Q4_K" if shared else "Q3_K",
            "q3_k_m": lambda: "Q5_K" if index < 2 else "Q4_K",
            "q3_k_l": lambda: "Q5_K",
            "iq4_nl": lambda: "Q5_K" if shared else self._default,
            "iq4_xs": lambda: "Q5_K" if shared else self._default,
            "q4_k_m": lambda: "Q6_K" if _more(index, self._all_values) else self._default,
            "q5_k_m": lambda: "Q6_K" if _more(index, self._all_values) else self._default,
            "q4_k_s": lambda: "Q5_K" if index < 4 else self._default,
        }
        kind = rules.get(named, lambda: self._default)()
        if self._sizes.is_70b and kind in ("Q3_K", "Q4_K"):
            kind = "Q5_K"
        return "Q8_0" if self._sizes.experts == 8 else kind

    def _down(self, name: str) -> str:
        index, self._downs = self._downs, self._downs + 1
        if self._sizes.experts > 1:
            index = _layer(name)
        layers, named = self._sizes.layers, self._precision
        rules: dict[str, Callable[[], str]] = {
            "q2_k": lambda: "Q3_K",
            "q3_k_m": lambda: "Q5_K" if index < layers // 16 else "Q4_K",
            "q3_k_l": lambda: "Q5_K",
            "q4_k_m": lambda: "Q6_K" if _more(index, layers) else self._default,
            "q5_k_m": lambda: "Q6_K" if _more(index, layers) else self._default,
            "q4_k_s": lambda: "Q5_K" if index < layers // 8 else self._default,
            "iq4_nl": lambda: "Q5_K" if index < layers // 8 else self._default,
            "iq4_xs": lambda: "Q5_K" if index < layers // 8 else self._default,
        }
        return rules.get(named, lambda: self._default)()

    def _output(self) -> str:
        """The attention's output matrix."""
        if self._sizes.experts == 8:
            low = ("q2_k", "q3_k_s", "q3_k_m", "q4_k_s", "q4_k_m", "iq4_nl", "iq4_xs")
            return "Q5_K" if self._precision in low else self._default
        return {"q2_k": "Q3_K", "q3_k_m": "Q4_K", "q3_k_l": "Q5_K"}.get(self._precision, self._default)


def _more(index: int, count: int) -> bool:
    """The layers that get more bits: the first and the last eighth, and every third one between."""
    return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2
