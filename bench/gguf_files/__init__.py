"""GGUF files: what their headers say, what their types mean, and making one at another precision."""
