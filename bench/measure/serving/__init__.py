"""An endpoint under load: server, probe, load generator processes, and what they saw, in one child process."""
