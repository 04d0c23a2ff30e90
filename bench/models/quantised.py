"""What a checkpoint says of its own quantisation, held against the precision that it is asked for at."""

from collections.abc import Mapping
from typing import Any

from bench.errors import UnsupportedError
from bench.schema import Precision
from bench.schema.precision import STORED


def check(precision: Precision, settings: Mapping[str, Any], verb: str) -> None:
    """`settings`: its config.json; `verb`: what cannot be done with it ("served", "loaded").

    Raises UnsupportedError for a quantised checkpoint under a precision that it does not have, and for one that is
    not quantised under `checkpoint` or a format.
    """
    stored = settings.get("quantization_config")
    method = stored.get("quant_method") if isinstance(stored, dict) else None
    if precision.name in STORED:
        if stored is None:
            raise UnsupportedError("this checkpoint is not quantised", "name a precision, such as bf16")
        if precision.name not in ("checkpoint", method):
            raise UnsupportedError(
                f"this checkpoint is quantised with {method or 'an unknown method'}, not with {precision.name}",
                f"use precision: {method if method in STORED else 'checkpoint'}",
            )
    elif stored is not None:
        raise UnsupportedError(
            f"this checkpoint is already quantised ({method or 'unknown method'}) and cannot be {verb} as "
            f"{precision.name}",
            "use precision: checkpoint",
        )
