"""Bytes of a packed key or value: a formula over the format, tested against what the caches really hold."""

import math

from bench.schema import KvCache

PACKED_BYTES = {"int8": 1.0, "int4": 0.5, "int2": 0.25, "fp8": 1.0}
INT3_IN_A_WORD = 10
"""HQQ packs ten 3-bit values into an int32."""


def kv_bytes_per_value(kept: KvCache, plain_bytes: float) -> float:
    """Bytes of one packed key or value with its share of the scales, in the limit of a long sequence.

    `plain_bytes`: of one value as it is computed, whose type the scales have too. Integers have a scale and a zero
    point for each group; fp8 has one scale a tensor, which is nothing in the limit. The newest tokens, which stay
    plain, are not in it. int3 fills words of ten values along a group, and the last word of each group is not full.

    >>> kv_bytes_per_value(KvCache(format="int4"), 2.0), kv_bytes_per_value(KvCache(format="fp8"), 2.0)
    (0.5625, 1.0)
    """
    if kept.format == "fp8":
        return PACKED_BYTES["fp8"]
    if kept.format == "int3":
        packed = 4.0 * math.ceil(kept.group_size / INT3_IN_A_WORD) / kept.group_size
    else:
        packed = PACKED_BYTES[kept.format]
    return packed + 2.0 * plain_bytes / kept.group_size
