"""vLLM's OpenAI-compatible server: `vllm serve`. Its build for CPUs (0.32) was run; GPUs by its documentation alone.

Its bitsandbytes weights are nf4 with quantised scales, computed in bf16 (newer ones have them in the package
vllm-bnb-plugin); it makes fp8 while it loads (`fp8_per_tensor` and its like, which older ones do not know), and no
int8. Keys and values as fp8 are e4m3 with the scales that the checkpoint brings, else 1. A shape is served with random
weights and a tokenizer that is made up too.
"""

from bench.models import catalogue, shape_folder
from bench.schema import FourBit, Fp8
from bench.servers import precision as precisions
from bench.servers import weights as files
from bench.servers.engine import HOST, Command, Engine, Launch, Meanings


def command(launch: Launch) -> Command:
    """`vllm serve MODEL …`; /health answers 200 when the engine is up."""
    is_shape = catalogue.kind(launch.weights.model) == "shape"
    source = str(shape_folder.ensure(launch.weights.model)) if is_shape else files.checkpoint(launch.weights, "vllm")
    precisions.check_stored(launch.precision, launch.weights)
    words = [*(launch.program or ("vllm",)), "serve", source, "--host", HOST, "--port", str(launch.port)]
    words += ["--served-model-name", launch.weights.name]
    if launch.weights.revision is not None:
        words += ["--revision", launch.weights.revision, "--tokenizer-revision", launch.weights.revision]
    if launch.weights.model.trust_remote_code:
        words.append("--trust-remote-code")
    if is_shape:
        words += ["--load-format", "dummy"]
    return Command((*words, *_precision(launch)), launch.weights.name)


def _precision(launch: Launch) -> list[str]:
    wanted = launch.precision
    kept = precisions.kv_type(wanted, "vllm", {"fp8": "fp8"})
    kv = [] if kept is None else ["--kv-cache-dtype", kept]
    if isinstance(wanted, Fp8):
        dtype = precisions.TORCH_NAMES[wanted.compute_dtype]
        return ["--dtype", dtype, "--quantization", f"fp8_per_{wanted.scales}", *kv]
    precisions.check_quantised(wanted, "vllm")
    if isinstance(wanted, FourBit):
        precisions.check_four_bit(wanted, "vllm", "nf4", "bf16")
        return ["--dtype", "bfloat16", "--quantization", "bitsandbytes", *kv]
    if wanted.name == "int8":
        raise precisions.refuse(wanted, "vllm")
    named = precisions.dtype(wanted, "vllm")
    return kv if named is None else ["--dtype", named, *kv]


ENGINE = Engine(
    name="vllm",
    command=command,
    install="install vllm in an environment of its own and name its program: command: [/path/to/bin/vllm]",
    version_path="/version",
    meanings=Meanings(
        prefix="vllm:",
        running=("vllm:num_requests_running",),
        waiting=("vllm:num_requests_waiting",),
        kv_usage=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        prompt_tokens=("vllm:prompt_tokens_total",),
        cached_tokens=("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
        generation_tokens=("vllm:generation_tokens_total",),
    ),
    env={"VLLM_NO_USAGE_STATS": "1"},
)
