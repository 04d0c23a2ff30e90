"""Bits of a weight in GGUF files: block formats exactly, mixtures as llama.cpp states them for a Llama-like model.

A block of 32 or 256 weights holds its scales (ggml/src/ggml-common.h of llama.cpp). What llama-quantize makes of a
model is a mixture of such formats; its README (tools/quantize) states the mean of Llama 3.1 8B, and another model's
differs: small ones keep more bits, because their output head weighs more. A file's true bits are in its header.
"""

from collections.abc import Mapping

BLOCK_BITS: Mapping[str, float] = {"q4_0": 4.5, "q4_1": 5.0, "q5_0": 5.5, "q5_1": 6.0, "q8_0": 8.5}
"""Of the levels whose matrices inside the layers all have one format."""

HEAD_BITS = 6.5625
"""Q6_K, which llama-quantize gives the output head and a tied table of those levels; at q8_0 they have its own."""

MIXTURE_BITS: Mapping[str, float] = {
    "iq1_s": 2.0042,
    "iq1_m": 2.1460,
    "iq2_xxs": 2.3824,
    "iq2_xs": 2.5882,
    "iq2_s": 2.7403,
    "iq2_m": 2.9294,
    "iq3_xxs": 3.2548,
    "iq3_xs": 3.4977,
    "iq3_s": 3.6606,
    "iq3_m": 3.7628,
    "iq4_xs": 4.4597,
    "iq4_nl": 4.6818,
    "q2_k": 3.1593,
    "q3_k_s": 3.6429,
    "q3_k_m": 3.9960,
    "q3_k_l": 4.2979,
    "q4_k_s": 4.6672,
    "q4_k_m": 4.8944,
    "q5_k_s": 5.5704,
    "q5_k_m": 5.7036,
    "q6_k": 6.5633,
    "tq1_0": 1.6875,
    "tq2_0": 2.0625,
    "mxfp4": 4.25,
}
"""Mean bits of all weights, tables included; the last three are those of their block format alone."""
