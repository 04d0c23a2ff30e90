"""What was not measured, computed from what was: other hardware, a load to be served. Always an estimate."""
