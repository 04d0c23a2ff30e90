"""Pure functions from raw facts to figures: no clock, no file, no engine."""
