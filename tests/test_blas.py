"""The kernel and the threads of the BLAS: only where they help, and never over the user's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
AVX512 = "fpu avx2 avx512f avx512dq avx512cd avx512bw avx512vl"


def cpu(vendor: str, family: int, flags: str) -> str:
    one = f"vendor_id\t: {vendor}\ncpu family\t: {family}\nflags\t\t: {flags}\n"
    return f"{one}\n{one}"


def configured(code: str, *arguments: str, **environment: str) -> str:
    """What `code` prints in a fresh process, in which nobody has set up the BLAS or imported NumPy."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS", "OMP"))}
    return subprocess.run(
        [sys.executable, "-c", f"import os, sys; from charrnn import blas\n{code}", *arguments],
        env={**clean, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


# Python reads the processor from a file of the system; here it reads another, or finds none.
KERNELS = """
import pathlib
def read_text(path, *_):
    assert str(path) == "/proc/cpuinfo"
    if sys.argv[1] == "none": raise FileNotFoundError
    return sys.argv[1]
pathlib.Path.read_text = read_text
for h in (128, 512):
    os.environ.pop("OPENBLAS_CORETYPE", None)
    blas.configure(rows=16, h=h)
    print(os.environ.get("OPENBLAS_CORETYPE"))
"""


@pytest.mark.parametrize(
    "text, small, large",
    [
        (cpu("AuthenticAMD", 26, AVX512), "SkylakeX", "SkylakeX"),  # Zen 5
        (cpu("AuthenticAMD", 25, AVX512), "SkylakeX", "None"),  # Zen 4
        (cpu("AuthenticAMD", 25, "fpu avx2"), "None", "None"),  # Zen 3
        (cpu("GenuineIntel", 6, AVX512), "None", "None"),
        ("vendor_id\t: AuthenticAMD\n", "None", "None"),
        ("", "None", "None"),
        ("none", "None", "None"),
    ],
    ids=["Zen 5", "Zen 4", "Zen 3", "Intel", "no family", "empty", "no file"],
)
def test_the_kernel_is_changed_only_where_it_is_faster(text: str, small: str, large: str) -> None:
    assert configured(KERNELS, text).split() == [small, large]


def test_workers_are_as_many_as_the_wish_and_the_shards_allow_each_with_a_blas_of_one_thread() -> None:
    shown = "print([blas.configure(t, s) for t, s in ((1, 8), (2, 8), (8, 3), (4096, 1))], os.environ[blas.THREADS[0]])"
    assert configured(shown) == "[1, 2, 3, 1] 1"


def test_without_a_wish_there_are_as_many_workers_as_cores() -> None:
    code = "blas.cores = lambda: 5\nprint(blas.configure(shards=8), blas.configure(shards=4), blas.configure())"
    assert configured(code) == "5 4 1"
    assert configured("print(blas.configure(shards=10**6) == blas.cores(), os.environ[blas.THREADS[0]])") == "True 1"


@pytest.mark.parametrize("name", ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"])
def test_a_setting_of_the_user_stays_and_means_one_worker(name: str) -> None:
    shown = f"print(blas.configure(shards=4, rows=16, h=512), *map(os.environ.get, ('OPENBLAS_CORETYPE', '{name}')))"
    assert configured(shown, OPENBLAS_CORETYPE="Haswell", **{name: "3"}) == "1 Haswell 3"
    in_force = "import numpy; told = blas.describe(); blas.configure(shards=4); print(blas.describe() == told)"
    assert configured(in_force, **{name: "2"}) == "True"


def test_a_wish_for_threads_goes_over_the_environment() -> None:
    shown = "print(blas.configure(3, 4), os.environ[blas.THREADS[0]]); import numpy; print(blas.describe()['threads'])"
    workers, wish, in_force = configured(shown, OPENBLAS_NUM_THREADS="2").split()
    assert (workers, wish) == ("3", "1") and in_force in ("1", "None")  # None: a BLAS that does not tell


def test_once_numpy_is_there_the_threads_are_set_in_the_library_and_the_kernel_stays() -> None:
    told = "blas.describe()['threads'], 'OPENBLAS_CORETYPE' in os.environ"
    assert configured(f"import numpy; blas.configure(3, 4, 16, 128); print({told})") in ("1 False", "None False")


def test_what_is_in_force_is_told() -> None:
    told = configured("blas.configure(); print(sorted(blas.describe()))")
    assert told == "['kernel', 'name', 'threads', 'version']"
