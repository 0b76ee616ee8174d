"""The mathematics, asked whether it is right: gradients, the document's equations, and what a gradient sees."""
