"""One training on disk and in memory: configuration, run directory, loop, checkpoints, model."""
