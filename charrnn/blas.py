"""The linear algebra library under NumPy: its kernel and its threads, chosen before NumPy is first imported.

Two facts, measured (docs/benchmarks.md). OpenBLAS, which the NumPy wheels carry, runs its AVX2 kernel on AMD processors
that have AVX-512; its kernel for Intel's (SkylakeX) is faster there. And two threads that share one small product
spend more time handing it over than multiplying. Both settings change the last bits of results, so the manifest of a
run says what was in force. A setting that the user made in the environment is never touched.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from pathlib import Path

KERNEL = "OPENBLAS_CORETYPE"
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"}

# Numbers of one step's recurrent product, n·h², below which one thread is faster than several.
ONE_THREAD_BELOW = 32 * 100 * 100


def configure(threads: int | None = None, work: int | None = None) -> None:
    """Sets the environment for the BLAS; does nothing once NumPy is imported.

    `threads` is the user's wish; without one, `work` (n·h² of the widest layer) decides between one and the default.
    """
    if "numpy" in sys.modules:
        return
    if KERNEL not in os.environ and _is_amd_with_avx512():
        os.environ[KERNEL] = "SkylakeX"
    if threads is not None:
        os.environ[THREADS[0]] = str(threads)
    elif work is not None and work < ONE_THREAD_BELOW and not any(name in os.environ for name in THREADS):
        os.environ[THREADS[0]] = "1"


def _is_amd_with_avx512(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    try:
        text = cpuinfo.read_text("utf-8", "replace").split("\n\n", 1)[0]
    except OSError:  # not Linux: leave OpenBLAS its own choice
        return False
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    values = {key.strip(): value.split() for key, value in fields.items()}
    return values.get("vendor_id") == ["AuthenticAMD"] and set(values.get("flags", ())) >= AVX512


def describe() -> Mapping[str, object]:
    """What is in force: the library and its version, its kernel and threads where it tells them."""
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    library = _openblas()
    kernel, threads = None, None
    if library is not None:
        library.scipy_openblas_get_corename64_.restype = ctypes.c_char_p
        kernel = library.scipy_openblas_get_corename64_().decode()
        threads = int(library.scipy_openblas_get_num_threads64_())
    return {"name": blas["name"], "version": blas["version"], "kernel": kernel, "threads": threads}


def _openblas() -> ctypes.CDLL | None:
    """The OpenBLAS that NumPy's wheel has loaded; None for any other BLAS or system."""
    try:
        maps = Path("/proc/self/maps").read_text()
        path = next(line.split()[-1] for line in maps.splitlines() if "libscipy_openblas64_" in line)
        library = ctypes.CDLL(path)
        library.scipy_openblas_get_corename64_, library.scipy_openblas_get_num_threads64_  # noqa: B018
    except (OSError, StopIteration, AttributeError):
        return None
    return library
