"""Claims about the market, held against dated data: each with its arithmetic, its sources and a verdict.

`bench.claims.every` makes them all; each is a pure function of prices, speeds and measured rows.
"""
