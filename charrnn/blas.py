"""The linear algebra library under NumPy, and the cores: chosen by size, before NumPy is first imported.

Measured (docs/benchmarks.md): OpenBLAS, which the NumPy wheels carry, runs its AVX2 kernel on AMD processors that have
AVX-512. From Zen 5 on, which computes all 512 bits at once, its kernel for Intel's (SkylakeX) is twice as fast; on
Zen 4 it is for small products only. And two threads that share one small product spend more time handing it over than
multiplying, so that the batch is shared out among workers (`network.parallel`), each with the BLAS to itself.
Both change the last bits of results: the manifest of a run says what was in force. What the user set in the
environment stays; only --threads goes over it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

KERNEL = "OPENBLAS_CORETYPE"
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"}

ZEN4, ZEN5 = 25, 26  # families of processors; Zen 3 is of 25 too, but has no AVX-512
SMALL = 1_000_000  # multiplications of a product up to which these have kernels that need no packing
UNPACKED = {"SkylakeX", "Cooperlake", "SapphireRapids"}

# A worker's least share: units times sequences, and sequences. Below it a step is so short that talking to another
# process costs more than the second core gains. And from how many multiplications on, n·h², BLAS threads gain.
SHARE, SEQUENCES = 500, 4
BLAS_THREADS_FROM = 500_000


def plan(threads: int, n: int, h: int) -> tuple[int, int]:
    """How `threads` are best used for n sequences through a layer of h units: workers, and BLAS threads in each."""
    workers = max(1, min(threads, n // SEQUENCES, n * h // SHARE))
    return workers, threads // workers if n * h * h >= BLAS_THREADS_FROM else 1


def configure(threads: int | None = None, n: int = 1, h: int = 1) -> int:
    """Sets the environment of the BLAS for `plan`, and returns the number of workers.

    `threads` is the user's wish; without one, it is the number of cores, unless the environment limits the BLAS.
    Once NumPy is imported there is nothing left to choose: one worker.
    """
    if "numpy" in sys.modules:
        return 1
    if threads is None and any(name in os.environ for name in THREADS):
        workers = 1
    else:
        workers, blas_threads = plan(threads or _cores(), n, h)
        os.environ[THREADS[0]] = str(blas_threads)
    if KERNEL not in os.environ and _skylakex_helps(n // workers * h * h):
        os.environ[KERNEL] = "SkylakeX"
    return workers


def _cores() -> int:
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
