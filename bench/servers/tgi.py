"""Text Generation Inference: `text-generation-launcher`. Described by its documentation, not run by our tests.

Its documentation is docs/source/reference/launcher.md of version 3; its project is in maintenance mode. It refuses a
dtype beside a quantisation, and its 4-bit products are in the type of the activations, which for most models is then
fp16. It takes all GPUs that it sees; `args: [--num-shard, "2"]` says how many.
"""

from bench.schema import FourBit, Int8
from bench.servers import precision as precisions
from bench.servers import weights as files
from bench.servers.engine import HOST, Command, Engine, Launch, Meanings


def command(launch: Launch) -> Command:
    """`text-generation-launcher --model-id MODEL …`; requests may call the model what they like."""
    source = files.checkpoint(launch.weights, "tgi")
    precisions.check_stored(launch.precision, launch.weights)
    program = launch.program or ("text-generation-launcher",)
    words = [*program, "--model-id", source, "--hostname", HOST, "--port", str(launch.port)]
    if launch.weights.revision is not None:
        words += ["--revision", launch.weights.revision]
    if launch.weights.model.trust_remote_code:
        words.append("--trust-remote-code")
    # Shards meet at a socket of this name: two servers with one name would take each other's.
    words += ["--shard-uds-path", f"/tmp/text-generation-server-{launch.port}"]  # noqa: S108
    words += ["--max-concurrent-requests", str(max(128, launch.streams))]
    return Command((*words, *_precision(launch)), launch.weights.name)


def _precision(launch: Launch) -> list[str]:
    wanted = launch.precision
    precisions.check_quantised(wanted, "tgi")
    kept = precisions.kv_type(wanted, "tgi", {"fp8": "fp8_e4m3fn"})
    kv = [] if kept is None else ["--kv-cache-dtype", kept]
    if isinstance(wanted, FourBit):
        precisions.check_four_bit(wanted, "tgi", None, "fp16")
        return ["--quantize", f"bitsandbytes-{wanted.name}", *kv]
    if isinstance(wanted, Int8):
        precisions.check_int8(wanted, "tgi")
        return ["--quantize", "bitsandbytes", *kv]
    named = precisions.dtype(wanted, "tgi", ("fp16", "bf16"))
    return kv if named is None else ["--dtype", named, *kv]


ENGINE = Engine(
    name="tgi",
    command=command,
    install="install text-generation-inference, or name a container: command: [docker, run, …, {port}, …]",
    version_path="/info",
    meanings=Meanings(
        prefix="tgi_",
        running=("tgi_batch_current_size",),
        waiting=("tgi_queue_size",),
        prompt_tokens=("tgi_request_input_length_sum",),
        generation_tokens=("tgi_request_generated_tokens_sum",),
    ),
    env={"USAGE_STATS": "off"},
)
