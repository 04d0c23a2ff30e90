"""Runs of many machines in one table: what may be ranked against each other, and where the intervals cannot tell."""
