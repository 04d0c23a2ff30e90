"""llm-cost-bench: what a million tokens cost on this hardware, and when that is cheaper than an API."""

__version__ = "0.1.0"
