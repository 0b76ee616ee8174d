"""Checks of the mathematics: gradients, the document's equations, and the gradient norm by lag."""
