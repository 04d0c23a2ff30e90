"""What kind of work an operator does, by its name: torch's own, those of the quantisation libraries, and GPU kernels.

Names alone do not tell everything: HQQ and torchao unpack weights with the same `aten::mul` and `aten::copy_` that the
rest of a network uses. So an operator's place counts first: within attention all is attention, and within a quantised
layer whatever is no product is the cost of its format.
"""

import re

from bench.schema.quality import OpKind


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PRODUCTS = _words(
    "mm bmm addmm baddbmm addbmm addmv mv dot linear matmul einsum _int_mm _scaled_mm _scaled_grouped_mm _grouped_mm "
    "_weight_int4pack_mm _weight_int4pack_mm_for_cpu _weight_int8pack_mm mkldnn_linear "
    "_mixed_dtypes_linear gemv_4bit gemm_4bit int8_linear_matmul int8_scaled_mm int8_mixed_scaled_mm qbytes_mm "
    "qbits_mm gemm_f16i4_awq gemm_f16i4_marlin gemm_f16f8_marlin udqmm"
)
COPIES = _words(
    "copy_ _to_copy to clone contiguous cat index_copy_ index_copy index_put_ _index_put_impl_ index_select index "
    "embedding gather scatter_ stack repeat repeat_interleave constant_pad_nd masked_scatter_ _pin_memory"
)
ELEMENTWISE = _words(
    "add add_ sub sub_ rsub mul mul_ div div_ neg pow sqrt rsqrt reciprocal exp log silu silu_ gelu relu sigmoid "
    "tanh sum mean amax amin max min abs any all argmax argmin topk sort cumsum where gt ge lt le eq ne logical_and "
    "logical_or logical_not bitwise_and bitwise_or bitwise_not __and__ __or__ __rshift__ __lshift__ "
    "bitwise_right_shift bitwise_left_shift clamp clamp_ clamp_min clamp_max round round_ floor fill_ zero_ "
    "masked_fill masked_fill_ native_layer_norm layer_norm rms_norm _fused_rms_norm cos sin arange full ones zeros "
    "full_like zeros_like ones_like nonzero linalg_vector_norm norm isfinite floor_divide remainder eye tril triu "
    "unique_consecutive"
)
BOOKKEEPING = _words(
    "view reshape _unsafe_view _reshape_alias t transpose permute as_strided slice select narrow split chunk unbind "
    "expand expand_as unsqueeze squeeze flatten unflatten empty empty_like empty_strided new_empty new_empty_strided "
    "new_zeros new_full resize_ resolve_conj resolve_neg detach detach_ alias item _local_scalar_dense lift_fresh "
    "is_nonzero result_type can_cast set_ movedim view_as numpy_t _conj"
)
"""Operators that move no data: what they take is the cost of calling them."""

_IN_ATTENTION = re.compile(r"scaled_dot_product|flash_attn|flash_attention|_efficient_attention|softmax")
_OF_A_FORMAT = re.compile(r"quant|unpack|choose_qparams|_pack_")
_COMPILED = re.compile(r"Torch-Compiled Region|CompiledF|## Call")
_KERNELS: tuple[tuple[OpKind, re.Pattern[str]], ...] = (
    ("attention", re.compile(r"flash|fmha|attention|softmax")),
    ("dequantise", re.compile(r"quant|unpack")),
    ("product", re.compile(r"gemm|gemv|gemvx|matmul|cutlass|cublas|nvjet|xmma|marlin|splitk|triton_tem|_mm_")),
    ("cast-copy", re.compile(r"memcpy|memset|copy|catarray|gather|index|scatter")),
    ("elementwise", re.compile(r"elementwise|vectorized|reduce|norm|triton_(poi|red|per)|arange|fill|sort|where")),
)


def kind(name: str) -> OpKind | None:
    """The kind of an operator called from the host, by its name alone; None for one that is not known here.

    >>> kind("aten::mm"), kind("bitsandbytes::dequantize_4bit"), kind("aten::view"), kind("mylib::surprise")
    ('product', 'dequantise', 'other', None)
    """
    if _COMPILED.match(name):
        return None
    _space, mark, own = name.partition("::")
    if not mark:
        return "other"  # a function of Python's own, seen because it is differentiable: its time is Python's
    if _IN_ATTENTION.search(own):
        return "attention"
    if own in PRODUCTS:
        return "product"
    if _OF_A_FORMAT.search(own):
        return "dequantise"
    if own in COPIES:
        return "cast-copy"
    if own in ELEMENTWISE:
        return "elementwise"
    return "other" if own in BOOKKEEPING else None


def kernel_kind(name: str) -> OpKind | None:
    """The kind of a GPU kernel by its own name, for one that no operator is known to have started.

    >>> kernel_kind("void cutlass::Kernel2<cutlass_80_wmma_tensorop_bf16_s161616gemm>"), kernel_kind("Memcpy DtoH")
    ('product', 'cast-copy')
    """
    low = name.lower()
    return next((kind for kind, words in _KERNELS if words.search(low)), None)


def placed(own: OpKind | None, around: OpKind | None) -> OpKind | None:
    """The kind of an operator of kind `own` that was called within something of kind `around`.

    Within a quantised layer (`around` is "dequantise") products stay products and bookkeeping stays what it is.
    """
    if around == "attention":
        return "attention" if own != "other" else "other"
    if around == "dequantise":
        return own if own in ("product", "attention", "other") else "dequantise"
    return own
