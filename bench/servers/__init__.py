"""Engines that can be started as a server on loopback: one description (command, paths, metrics) a file.

`start.start` starts one, waits until it is ready and hands back a `running.Running`; `metrics.sample` reads the
counters of any server that offers them, started here or not. `docs/servers.md` says how a config names an engine.
"""
