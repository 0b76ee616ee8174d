"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from datetime import date
from pathlib import Path


def machine() -> dict[str, str]:
    """Processor, cores, versions and date."""
    from importlib.metadata import PackageNotFoundError, version

    from charrnn import blas

    blas.configure()  # as in the product's own process, where NumPy is not imported yet
    library = blas.describe()
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        model = f"{names['model name']} (family {names['cpu family']}, model {names['model']})"
    except (OSError, KeyError):
        pass
    found = {"processor": model, "cores": str(os.cpu_count()), "python": platform.python_version()}
    found["blas"] = f"{library['name']} {library['version']}, kernel {library['kernel'] or 'unknown'}"
    for package in ("numpy", "torch", "jax"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "date": date.today().isoformat()}
