"""Speed, measured: the product against its peers, each in a process of its own, taking turns."""
