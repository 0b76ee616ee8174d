"""The kernel and the threads of the BLAS: only where they help, and never over the user's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from charrnn.blas import _skylakex_helps, plan

ROOT = Path(__file__).parents[1]
AVX512 = "fpu avx2 avx512f avx512dq avx512cd avx512bw avx512vl"


def cpu(vendor: str, family: int, flags: str) -> str:
    one = f"vendor_id\t: {vendor}\ncpu family\t: {family}\nflags\t\t: {flags}\n"
    return f"{one}\n{one}"


@pytest.mark.parametrize(
    "text, small, large",
    [
        (cpu("AuthenticAMD", 26, AVX512), True, True),  # Zen 5
        (cpu("AuthenticAMD", 25, AVX512), True, False),  # Zen 4
        (cpu("AuthenticAMD", 25, "fpu avx2"), False, False),  # Zen 3
        (cpu("GenuineIntel", 6, AVX512), False, False),
        ("vendor_id\t: AuthenticAMD\n", False, False),
        ("", False, False),
    ],
)
def test_the_kernel_is_changed_only_where_it_is_faster(tmp_path: Path, text: str, small: bool, large: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert _skylakex_helps(16 * 128**2, tmp_path / "cpuinfo") is small
    assert _skylakex_helps(16 * 512**2, tmp_path / "cpuinfo") is large
    assert _skylakex_helps(1, tmp_path / "missing") is False


@pytest.mark.parametrize(
    "threads, n, h, expected",
    [
        (2, 1, 100, (1, 1)),
        (2, 4, 128, (1, 1)),
        (2, 32, 128, (2, 1)),
        (2, 1, 4096, (1, 2)),
        (8, 64, 512, (8, 1)),
        (8, 8, 512, (2, 4)),
        (64, 64, 512, (16, 4)),
    ],
)
def test_workers_share_the_batch_and_the_smallest_networks_stay_on_one_core(
    threads: int, n: int, h: int, expected: tuple[int, int]
) -> None:
    assert plan(threads, n, h) == expected


def configured(code: str, **environment: str) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS", "OMP"))}
    script = f"import os; from charrnn import blas; {code}"
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**clean, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_a_setting_of_the_user_stays() -> None:
    shown = "blas.configure(n=64, h=512); print(os.environ['OPENBLAS_CORETYPE'], os.environ['OPENBLAS_NUM_THREADS'])"
    assert configured(shown, OPENBLAS_CORETYPE="Haswell", OPENBLAS_NUM_THREADS="3") == "Haswell 3"
    assert configured("print(blas.configure(n=64, h=512))", OMP_NUM_THREADS="1") == "1"


def test_the_wish_for_threads_is_followed_and_nothing_is_touched_once_numpy_is_there() -> None:
    assert configured("print(blas.configure(3, 64, 512), os.environ['OPENBLAS_NUM_THREADS'])") == "3 1"
    assert (
        configured("import numpy; print(blas.configure(3, 64, 512), os.environ.get('OPENBLAS_NUM_THREADS'))")
        == "1 None"
    )


def test_what_is_in_force_is_told() -> None:
    told = configured("blas.configure(); print(sorted(blas.describe()))")
    assert told == "['kernel', 'name', 'threads', 'version']"
