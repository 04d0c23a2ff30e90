"""A cell over the runs of different days and commits: its levels, where they change, and what else changed then."""
