"""A network in use: sampling, scoring, and the yardsticks that a score is set beside."""
