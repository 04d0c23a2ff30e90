"""SGLang's server: `python3 -m sglang.launch_server`. Described by its documentation, not run by our tests.

docs.sglang.io: advanced_features/server_arguments and references/production_metrics, as of version 0.5. It counts with
`--enable-metrics`; `/server_info` was `/get_server_info` at first. Several GPUs: `args: [--tp, "2"]`, also `--dp`.
"""

from bench.servers import precision as precisions
from bench.servers import weights as files
from bench.servers.engine import HOST, Command, Engine, Launch, Meanings


def command(launch: Launch) -> Command:
    """`python3 -m sglang.launch_server --model-path MODEL …`; /health answers 200 after its own warm-up."""
    source = files.checkpoint(launch.weights, "sglang")
    precisions.check_stored(launch.precision, launch.weights)
    precisions.check_quantised(launch.precision, "sglang")
    kept = precisions.kv_type(launch.precision, "sglang", {"fp8": "fp8_e4m3"})
    if launch.precision.name in ("int8", "nf4", "fp4"):
        raise precisions.refuse(launch.precision, "sglang")
    program = launch.program or ("python3", "-m", "sglang.launch_server")
    words = [*program, "--model-path", source, "--host", HOST, "--port", str(launch.port)]
    words += ["--served-model-name", launch.weights.name, "--enable-metrics"]
    if launch.weights.revision is not None:
        words += ["--revision", launch.weights.revision]
    if launch.weights.model.trust_remote_code:
        words.append("--trust-remote-code")
    if kept is not None:
        words += ["--kv-cache-dtype", kept]
    named = precisions.dtype(launch.precision, "sglang")
    return Command((*words, *(() if named is None else ("--dtype", named))), launch.weights.name)


ENGINE = Engine(
    name="sglang",
    command=command,
    install="install sglang in an environment of its own and name its interpreter: "
    "command: [/path/to/bin/python, -m, sglang.launch_server]",
    version_path="/server_info",
    meanings=Meanings(
        prefix="sglang:",
        running=("sglang:num_running_reqs",),
        waiting=("sglang:num_queue_reqs",),
        kv_usage=("sglang:token_usage",),
        prompt_tokens=("sglang:prompt_tokens_total",),
        cached_tokens=("sglang:cached_tokens_total",),
        generation_tokens=("sglang:generation_tokens_total",),
    ),
)
