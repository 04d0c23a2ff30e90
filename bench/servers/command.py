"""A server that the user starts with a command of their own: any engine, container or wrapper script.

Nothing is known of it but what the config says; the precision in a row is the user's own word for what it serves.
"""

from bench.errors import UnsupportedError
from bench.servers.engine import Command, Engine, Launch


def command(launch: Launch) -> Command:
    """Never made here: `start` takes a whole command as it is. Raises UnsupportedError where there is none."""
    said = f" ({' '.join(launch.program)})" if launch.program else ""
    raise UnsupportedError(
        f"the engine command needs a whole command{said}",
        "write command: [PROGRAM, …, --port, '{port}']; {model} and {host} are filled in too",
    )


ENGINE = Engine(name="command", command=command, install="check the first word of command", metrics_path=None)
