"""The only clock of the project: what is timed, and how."""
