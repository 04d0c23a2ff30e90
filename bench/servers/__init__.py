"""Engines that can be started as a server on loopback: one description (command, paths, metrics) a file."""
