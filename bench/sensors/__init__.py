"""Counters of the machine: null and a reason where there is none."""
