"""From a YAML file to cells in the order in which they run."""
