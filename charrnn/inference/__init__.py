"""Using a network: sampling, evaluation, and the gradient check."""
