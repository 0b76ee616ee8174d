"""Training: settings, the optimiser, the loop and its checkpoints."""
