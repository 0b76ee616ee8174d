"""`python -m charrnn` is the `charrnn` command."""

from __future__ import annotations

from charrnn.cli.main import main

if __name__ == "__main__":
    main()
