"""Write the default corpus: the language reference that every Python carries for its `help()`.

Usage: python data/extract_pydoc_topics.py FILE
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def extract() -> str:
    """All topics of `pydoc_data.topics` in the order of their names, a blank line between two."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        sys.exit(
            f"error: {sys.executable} comes without pydoc_data.topics, the text of the demo; "
            "install the full standard library (on Debian and Ubuntu: apt install python3) "
            "or take another Python: make clean demo PYTHON=/path/to/python3"
        )
    return "\n".join(topics[name] for name in sorted(topics))


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python data/extract_pydoc_topics.py FILE")
    target = Path(sys.argv[1])
    text = extract()
    unfinished = target.with_name(target.name + ".part")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="")
        os.replace(unfinished, target)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        sys.exit(f"error: cannot write {target}: {error.strerror}")
    print(f"{target}: {len(text):,} characters of the Python language reference")


if __name__ == "__main__":
    main()
