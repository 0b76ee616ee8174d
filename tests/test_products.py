"""Products in panels are the same products."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from charrnn import blas
from charrnn.network.buffers import LINE, STEPS, Array, Buffers
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.network.products import PANEL, group_rows, product_with
from charrnn.network.stack import Stack, zero_state
from charrnn.network.truncation import Policy
from charrnn.training.optimizers import Optimizer


@pytest.fixture(params=[False, True], ids=["packed", "unpacked"])
def unpacked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(blas, "multiplies_small_unpacked", lambda: request.param)
    return bool(request.param)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    "n, h, g",
    [(16, 512, 512), (64, 512, 512), (66, 320, 256), (37, 256, 192), (61, 512, 512), (32, 250, 250), (3, 5, 4)],
)
def test_products_are_those_of_a_plain_product(n: int, h: int, g: int, transposed: bool, unpacked: bool) -> None:
    rng = np.random.default_rng(0)
    W = rng.standard_normal((g, h)).T if transposed else rng.standard_normal((h, g))
    out = np.empty((n, g), np.float32)
    buffers = Buffers(np.float32)
    times_W = product_with(np.asarray(W, np.float32), out, buffers)
    in_panels = unpacked and group_rows(n, h, g) is not None
    assert bool(buffers.nbytes) == (transposed or in_panels)  # the copy of W
    assert in_panels or not unpacked or (n, h) in [(37, 256), (61, 512), (32, 250), (3, 5)]
    for _ in range(2):
        H = rng.standard_normal((n, h + 1))[:, :h]  # as of a cell that carries more than H
        times_W(H.astype(np.float32), out)
        np.testing.assert_allclose(out, H @ W, rtol=0, atol=2e-5 * np.sqrt(h))


@pytest.mark.parametrize("h", [64, 128, 320, 512, 1024, 4096])
@pytest.mark.parametrize("n", [1, 2, 16, 37, 48, 64, 100, 4096])
def test_groups_divide_the_rows_and_keep_each_product_small(n: int, h: int) -> None:
    rows = group_rows(n, h, h)
    if rows is None:
        assert n * h * h <= blas.SMALL or not any(
            n % r == 0 and r * h * PANEL <= blas.SMALL for r in range(4 if n > 8 else 2, n + 1)
        )
    else:
        assert n % rows == 0
        assert rows * h * PANEL <= blas.SMALL


def test_gradients_in_panels_are_those_of_double_precision(unpacked: bool) -> None:
    T, n = 5, 66
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(0, 9, (2, T, n))
    architecture = Architecture(9, (128, 192))
    exact = initial(architecture, rng, np.float64)
    gradients: list[Array] = []
    for dtype in (np.float64, np.float32):
        parameters = Parameters(architecture, dtype, exact.vector.astype(dtype))
        gradient = Parameters(architecture, dtype)
        truncation = Policy("full", T).window(0, T, (0,))
        Stack(architecture, dtype).loss_and_gradient(
            parameters, inputs, targets, zero_state(parameters, n), truncation, gradient
        )
        gradients.append(gradient.vector)
    error = np.abs(gradients[1] - gradients[0]).max()
    assert error < 1e-6 * np.abs(gradients[0]).max() * np.sqrt(T * n)
    assert group_rows(n, 128, 128)
    assert group_rows(n, 192, 192)


def test_steps_are_views_and_one_sequence_alone_is_a_vector() -> None:
    buffers = Buffers(np.float64)
    rng = np.random.default_rng(0)
    W = rng.standard_normal((5, 4))
    for n in (1, 2):
        S = buffers.block("S", 3, n, 5)
        S[...] = rng.standard_normal(S.shape)
        step = buffers.steps(S)[1]
        out = np.empty((*step.shape[:-1], 4))
        product_with(W, out, Buffers(np.float64))(step, out)
        assert step.shape == ((5,) if n == 1 else (2, 5))
        np.testing.assert_allclose(out.reshape(n, 4), S[1] @ W, rtol=1e-14)


def test_steps_do_not_keep_a_block_that_has_grown() -> None:
    buffers = Buffers(np.float64)
    old = buffers.block("S", 2, 3, 4)
    memory = weakref.ref(buffers.steps(old)[0].base)
    buffers.steps(buffers.block("S", 20, 3, 4))
    assert memory() is not None
    del old
    assert memory() is None
    for T in range(100, 0, -1):  # truncation by chance has another T at every update
        buffers.steps(buffers.block("Z", T, 1, 4))
    assert len(buffers._steps) <= STEPS
    for i in range(5 * STEPS):  # as many layers, or kept segments, take turns
        last = buffers.block(f"S{i % (STEPS + 1)}", 2, 3, 4)
        assert buffers.steps(last)[1].base is last.base
    assert weakref.getweakrefcount(last) == 1


@pytest.mark.parametrize("kernel, expected", [("SkylakeX", True), ("Haswell", False), ("Zen", False), (None, False)])
def test_panels_are_for_kernels_that_do_not_pack(
    monkeypatch: pytest.MonkeyPatch, kernel: str | None, expected: bool
) -> None:
    monkeypatch.setattr(blas, "describe", lambda: {"kernel": kernel})
    assert blas.multiplies_small_unpacked.__wrapped__() is expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_begin_at_a_cache_line(dtype: type) -> None:
    parameters = Parameters(Architecture(64, (16,)), dtype)
    arrays = [parameters.vector, parameters["W_h1a"], *Optimizer("adam", 99, np.dtype(dtype)).slots.values()]
    buffers = Buffers(dtype)
    arrays += [buffers.block(f"{i}", i + 1, 100 * i + 3) for i in range(9)]
    assert {array.ctypes.data % LINE for array in arrays} == {0}
    assert not parameters.vector.any()
