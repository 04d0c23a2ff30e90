"""Stored runs as data frames, for notebooks and programs: `bench.load`. Engines are never imported, pandas when asked
for a frame."""

from bench.api.choices import Choices, OwnPrice, Prices
from bench.api.run import Place, Run, load

__all__ = ["Choices", "OwnPrice", "Place", "Prices", "Run", "load"]
