"""Tables of cells under load: what they serve, at which latency, and what that costs."""
