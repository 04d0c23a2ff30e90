"""Which weights a name means, and how to have them: names, shapes, the built-in model."""
