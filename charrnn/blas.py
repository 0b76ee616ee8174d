"""The linear algebra library under NumPy, and the cores: chosen by size, before NumPy is first imported.

OpenBLAS, which the NumPy wheels carry, runs its AVX2 kernel on AMD processors that have AVX-512. OpenBLAS's AVX-512
kernel for Intel processors (SkylakeX) is twice as fast on Zen 5 and later, and on Zen 4 for small products
(docs/benchmarks.md). Threads that share one small product spend more time on synchronisation than on arithmetic, so the
batch is divided among workers (`engine.workers`), each with a BLAS of one thread.
Kernel and threads change the last bits of results: the manifest of a run records both. Environment variables that the
user has set are kept, but `threads` overrides them.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

KERNEL = "OPENBLAS_CORETYPE"
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"}

ZEN4, ZEN5 = 25, 26  # families of processors; Zen 3 is of 25 too, but has no AVX-512
SMALL = 1_000_000  # multiplications: up to so many, the kernels in `UNPACKED` do not pack the factors of a product
UNPACKED = {"SkylakeX", "Cooperlake", "SapphireRapids"}
_limited_by_user = any(name in os.environ for name in THREADS)


def configure(threads: int | None = None, shards: int = 1, rows: int = 1, h: int = 1) -> int:
    """Prepares the BLAS for work in `shards` parts of `rows` rows each, times matrices (h, h); returns how many workers
    to use for them.

    `threads` is the user's wish; without one, it is the number of cores, unless the environment limits the BLAS. Every
    worker has a BLAS of one thread: with more, the bits would depend on the machine.
    """
    if threads is not None or not _limited_by_user:
        os.environ[THREADS[0]] = "1"  # for this process, and for workers
        if "numpy" in sys.modules:
            _set_threads(1)
    if "numpy" not in sys.modules and KERNEL not in os.environ and _skylakex_helps(rows * h * h):
        os.environ[KERNEL] = "SkylakeX"
    if threads is None:
        threads = 1 if _limited_by_user else cores()
    return max(1, min(threads, shards))


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _skylakex_helps(multiplications: int, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the recurrent product of so many multiplications is faster with OpenBLAS's kernel for Intel."""
    try:
        text = cpuinfo.read_text("utf-8", "replace").split("\n\n", 1)[0]
    except OSError:  # not Linux: leave OpenBLAS its own choice
        return False
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    values = {key.strip(): value.split() for key, value in fields.items()}
    if values.get("vendor_id") != ["AuthenticAMD"] or not set(values.get("flags", ())) >= AVX512:
        return False
    family = int(values.get("cpu family", ["0"])[0])
    return family >= ZEN5 or (family == ZEN4 and multiplications <= SMALL)


@cache
def multiplies_small_unpacked() -> bool:
    """Whether the kernel in force multiplies products of up to `SMALL` multiplications without packing them first."""
    return describe()["kernel"] in UNPACKED


def _set_threads(count: int) -> None:
    """The threads of the BLAS that is loaded, if it can be told."""
    library = _openblas()
    if library is not None:
        library.scipy_openblas_set_num_threads64_(count)


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


def processor() -> str:
    """The name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        names = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        return f"{names['model name']} (family {names['cpu family']}, model {names['model']})"
    except (OSError, KeyError):
        return platform.processor() or platform.machine()


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
