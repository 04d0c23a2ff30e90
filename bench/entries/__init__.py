"""One flat shape for every kind of row: a static batch, a cell under load, another tool's result."""
