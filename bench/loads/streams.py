"""Where chance comes from: one stream of random numbers a purpose, the same in every load generator process.

Arrivals and lengths hang on seed and replicate alone, so that two levels of a load meet the same requests in the same
order (common random numbers). What prompts say hangs on the whole traffic besides: two cells of a sweep must not send
the same prompts to a server that remembers them.
"""

import hashlib
import json
from pathlib import Path
from typing import Literal

import numpy as np

from bench.schema import Traffic

Purpose = Literal["arrivals", "input lengths", "output lengths", "prefixes", "think times", "order"]
_NUMBER: dict[Purpose, int] = {
    "arrivals": 0,
    "input lengths": 1,
    "output lengths": 2,
    "prefixes": 3,
    "think times": 4,
    "order": 5,
}


def stream(traffic: Traffic, replicate: int, purpose: Purpose, part: int = 0) -> np.random.Generator:
    """A generator at its start; two with the same arguments give the same numbers."""
    key = (replicate, _NUMBER[purpose], part)
    return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence(traffic.seed, spawn_key=key)))


def salt(traffic: Traffic) -> int:
    """64 bits out of all that the traffic says, its seed included; of files their names, wherever they lie."""
    said = traffic.model_dump(mode="json", exclude_defaults=True)
    if traffic.trace is not None:
        said["trace"] = Path(traffic.trace).name
    if traffic.prompts is not None:
        said["prompts"]["file"] = Path(traffic.prompts.file).name
    text = json.dumps(said, sort_keys=True).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
