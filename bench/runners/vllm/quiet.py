"""Imported before vLLM, which reads these when it is imported: no statistics of use are sent from a benchmark."""

import os

os.environ["VLLM_NO_USAGE_STATS"] = "1"
os.environ["DO_NOT_TRACK"] = "1"
