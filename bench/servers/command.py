"""A server that the user starts with a command of their own: any engine, container or wrapper script.

Nothing is known of it but what the config says; the precision in a row is the user's own word for what it serves.
"""

from bench.errors import UnsupportedError
from bench.servers.engine import Command, Engine, Launch, Meanings


def command(launch: Launch) -> Command:
    """Never made here: `start` takes a whole command as it is. Raises UnsupportedError where there is none."""
    said = f" ({' '.join(launch.program)})" if launch.program else ""
    raise UnsupportedError(
        f"the engine command needs a whole command{said}",
        "write command: [PROGRAM, …, --port, '{port}']; {model} and {host} are filled in too",
    )


ENGINE = Engine(
    name="command",
    command=command,
    install="check the first word of command",
    metrics_path=None,
    # Those of `bench mock-server`; another engine's own names tell its dialect, whoever starts it.
    meanings=Meanings(
        prefix="mock:",
        running=("mock:num_requests_running",),
        waiting=("mock:num_requests_waiting",),
        prompt_tokens=("mock:prompt_tokens_total",),
        generation_tokens=("mock:generation_tokens_total",),
    ),
)
