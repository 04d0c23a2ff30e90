"""Claims about the market, held against dated data: each with its arithmetic, its sources and a verdict."""
