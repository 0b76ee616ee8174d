"""Character-level recurrent language models in NumPy, with backpropagation through time by hand."""

__version__ = "0.1.0"
