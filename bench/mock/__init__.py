"""An OpenAI-compatible server without a model, that keeps time and tells the truth about it.

It ships with the package because the load generator tests itself on it. It never stands in for an engine in a result.
"""
