"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from datetime import date


def machine() -> dict[str, str]:
    """Processor, cores, versions and date."""
    from importlib.metadata import PackageNotFoundError, version

    from charrnn import blas

    blas.configure()  # as in the product's own process, where NumPy is not imported yet
    library = blas.describe()
    found = {"processor": blas.processor(), "cores": str(os.cpu_count()), "python": platform.python_version()}
    found["blas"] = f"{library['name']} {library['version']}, kernel {library['kernel'] or 'unknown'}"
    for package in ("numpy", "torch", "jax"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "date": date.today().isoformat()}
