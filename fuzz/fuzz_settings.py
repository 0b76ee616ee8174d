"""Fuzzes the YAML of settings, `charrnn.training.settings.resolve`; harness.py says how.

What is read is written as YAML again, and must be read as the same. The seeds are the recipes, and every setting with
values of all kinds.
"""

from __future__ import annotations

import atheris
import harness

with atheris.instrument_imports(include=["charrnn", "yaml"]):
    from charrnn.errors import ConfigError
    from charrnn.training.settings import FIELDS, resolve

FILE = harness.directory() / "c.yaml"
VALUES = ["1", "-1", "0.5", "1e-3", "true", "null", "~", "[1, 2]", "[]", '"a\\nb"', "'x'", "1,2", ".inf", "0x10", "rnn"]


def one_input(raw: bytes) -> None:
    """Reads the input as a file of settings."""
    FILE.write_bytes(raw)
    with harness.refused(ConfigError):
        settings, _ = resolve(FILE, {})
        FILE.write_bytes(settings.as_yaml().encode())
        assert resolve(FILE, {})[0] == settings


def seeds() -> dict[str, bytes]:
    """See above."""
    files = {path.name: path.read_bytes() for path in (harness.ROOT / "configs").glob("*.yaml")}
    for i, key in enumerate(FIELDS):
        files[key] = f"{key}: {VALUES[i % len(VALUES)]}\n".encode()
    for i, value in enumerate(VALUES):
        files[f"value{i}"] = f"# a\n---\nhidden: {value}\nseed: 1 # b\n".encode()
    return files


if __name__ == "__main__":
    harness.main(one_input, seeds)
