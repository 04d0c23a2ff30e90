"""`python -m bench.models.convert FILE.gguf FOLDER`: a GGUF file as bf16 safetensors with config and tokenizer.

Runs in a process of its own, because it imports torch and transformers.
"""

import sys
from pathlib import Path


def convert(gguf: Path, target: Path) -> None:
    """Dequantise every tensor (transformers' own reader) and save the model as an ordinary checkpoint."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True), **where
    )
    # The weights are dense now; transformers still marks the model as quantised and would refuse to save it.
    model.hf_quantizer = None
    model.is_quantized = False
    model.quantization_method = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(gguf.parent, **where).save_pretrained(target)
    # Named as other tools know it, so that they can read the folder too.
    settings = target / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace('"TokenizersBackend"', '"PreTrainedTokenizerFast"'))


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
