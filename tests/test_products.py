"""Products in panels are the same products; memory is made once, and let go when it has grown."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from charrnn import blas
from charrnn.inference.beam import beam_search
from charrnn.inference.sampling import Sampler
from charrnn.network.buffers import KEPT, LINE, Array, Buffers
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.network.products import PANEL, grouping, product_with
from charrnn.network.stack import Stack
from charrnn.network.truncation import truncation
from charrnn.training.optimizers import Adam, Updater


@pytest.fixture(params=[False, True], ids=["packed", "unpacked"])
def unpacked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(blas, "multiplies_small_unpacked", lambda: request.param)
    return bool(request.param)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    "n, h, g",
    [
        (16, 512, 512),
        (64, 512, 512),
        (32, 1536, 512),
        (32, 2048, 192),
        (8, 2048, 512),
        (66, 320, 256),
        (37, 256, 192),
        (61, 512, 512),
        (32, 250, 250),
        (3, 5, 4),
    ],
)
def test_products_are_those_of_a_plain_product(n: int, h: int, g: int, transposed: bool, unpacked: bool) -> None:
    rng = np.random.default_rng(0)
    W = rng.standard_normal((g, h)).T if transposed else rng.standard_normal((h, g))
    out = np.empty((n, g), np.float32)
    buffers = Buffers(np.float32)
    product = product_with(np.asarray(W, np.float32), n, buffers)
    in_panels = unpacked and grouping(n, h, g) is not None
    assert bool(buffers.nbytes) == (transposed or in_panels)  # the copy of W
    assert in_panels or not unpacked or (n, h) in [(37, 256), (61, 512), (32, 250), (3, 5)]
    view = product.view(out)
    for _ in range(2):
        H = rng.standard_normal((n, h + 1))[:, :h]  # as of a cell that carries more than H
        product.times(H.astype(np.float32), view)
        np.testing.assert_allclose(out, H @ W, rtol=0, atol=2e-5 * np.sqrt(h))


def test_a_view_serves_every_product_of_its_layout(unpacked: bool) -> None:
    rng = np.random.default_rng(0)
    H = rng.standard_normal((16, 512)).astype(np.float32)
    first, second = (rng.standard_normal((512, 512)).astype(np.float32) for _ in range(2))
    out = np.empty((16, 512), np.float32)
    product = product_with(first, 16, Buffers(np.float32))
    view = product.view(out)
    other = product_with(second, 16, Buffers(np.float32))
    assert other.layout == product.layout and (product.layout is not None) == unpacked
    other.times(H, view)
    np.testing.assert_allclose(out, H @ second, rtol=0, atol=5e-4)


@pytest.mark.parametrize("h", [64, 128, 320, 512, 1024, 4096])
@pytest.mark.parametrize("n", [1, 2, 16, 37, 48, 64, 100, 4096])
def test_groups_divide_the_rows_and_keep_each_product_small(n: int, h: int) -> None:
    grouped = grouping(n, h, h)
    if grouped is None:
        assert n * h * h <= blas.SMALL or not any(
            n % r == 0 and r * h * PANEL <= blas.SMALL for r in range(4 if n > 8 else 2, n + 1)
        )
    else:
        rows, parts = grouped
        assert n % rows == h % parts == 0
        assert rows * h // parts * PANEL <= blas.SMALL
        assert rows >= min(n, 16) or parts == 1


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_gradients_in_panels_are_those_of_double_precision(unpacked: bool, cell: str) -> None:
    T, n = 5, 66
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(0, 9, (2, T, n))
    architecture = Architecture(9, (128, 192), cell=cell)
    exact = initial(architecture, rng, np.float64)
    gradients: list[Array] = []
    for dtype in (np.float64, np.float32):
        parameters = Parameters(architecture, dtype, exact.vector.astype(dtype))
        gradient = Parameters(architecture, dtype)
        window = truncation("full", T).window(0, T)
        Stack(architecture, dtype).loss_and_gradient(parameters, inputs, targets, None, window, gradient)
        gradients.append(gradient.vector)
    error = np.abs(gradients[1] - gradients[0]).max()
    assert error < 1e-6 * np.abs(gradients[0]).max() * np.sqrt(T * n)
    assert grouping(n, 128, 128)
    assert grouping(n, 192, 192)


def test_the_layout_of_a_product_follows_the_sequences_and_not_the_steps() -> None:
    T, n = 66, 5  # panels would fit a matrix of T rows, and do not fit one of n
    assert grouping(T, 128, 128) and grouping(n, 128, 128) is None
    rng = np.random.default_rng(0)
    inputs, targets = rng.integers(0, 9, (2, T, n))
    architecture = Architecture(9, (128,))
    parameters, gradient = initial(architecture, rng, np.float32), Parameters(architecture, np.float32)
    window = truncation("full", T).window(0, T)
    loss = Stack(architecture, np.float32).loss_and_gradient(parameters, inputs, targets, None, window, gradient)
    assert np.isfinite(gradient.vector).all() and loss


@pytest.mark.parametrize("n", [1, 2])
def test_steps_are_views_and_one_sequence_alone_is_a_vector(n: int) -> None:
    steps = Buffers(np.float64).planes("S", 1, 3, n, 5)
    rng = np.random.default_rng(0)
    S, W = steps.array, rng.standard_normal((5, 4))
    S[...] = rng.standard_normal(S.shape)
    step = steps.each[1]
    assert step.shape == ((5,) if n == 1 else (2, 5))
    np.testing.assert_array_equal(steps.rows, S.reshape(3 * n, 5))
    out = np.empty((*step.shape[:-1], 4))
    product = product_with(W, None if n == 1 else n, Buffers(np.float64))
    product.times(step, product.view(out))
    np.testing.assert_allclose(out.reshape(n, 4), S[1] @ W, rtol=1e-14)
    step[...] = 7
    assert (S[1] == 7).all()


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("kind", ["planes", "stepwise", "rows"])
def test_the_same_numbers_are_seen_in_any_layout_of_memory(kind: str, n: int) -> None:
    k, T, h = 3, 4, 5
    steps = getattr(Buffers(np.float64), kind)("S", k, T, n, h)
    numbers = np.random.default_rng(0).standard_normal((k, T, n, h))
    steps.array[...] = numbers
    np.testing.assert_array_equal(
        np.array(steps.each), numbers.swapaxes(0, 1)[:, :, 0] if n == 1 else numbers.swapaxes(0, 1)
    )
    np.testing.assert_array_equal(steps.plane(2).array, numbers[2])
    if kind == "rows":
        np.testing.assert_array_equal(steps.rows, numbers.transpose(1, 2, 0, 3).reshape(T * n, k * h))
        np.testing.assert_array_equal(np.concatenate([np.atleast_2d(step) for step in steps.rows_of_each]), steps.rows)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("n", [None, 2, 16, 37])
def test_a_product_in_parts_has_the_columns_of_each_part(k: int, n: int | None) -> None:
    h, g = 256, 128
    rng = np.random.default_rng(0)
    W, H = rng.standard_normal((h, k * g), np.float32), rng.standard_normal((h,) if n is None else (n, h), np.float32)
    out = np.empty((*([k] if k > 1 else []), *H.shape[:-1], g), np.float32)
    product = product_with(W, n, Buffers(np.float32), k)
    product.times(H, product.view(out))
    expected = np.moveaxis((H.astype(float) @ W.astype(float)).reshape(*H.shape[:-1], k, g), -2, 0)
    np.testing.assert_allclose(out, expected if k > 1 else expected[0], atol=2e-4)


def test_memory_that_has_grown_is_let_go_with_all_that_was_made_of_it() -> None:
    buffers = Buffers(np.float64)
    old = weakref.ref(buffers.kept("own", lambda: buffers.planes("S", 1, 2, 3, 4)).array.base)
    made = weakref.ref(buffers.kept("own", lambda: pytest.fail("it is made already")))
    assert old() is not None
    grown = buffers.block("S", 20, 3, 4)
    assert old() is None and made() is None
    again = buffers.kept("own", lambda: buffers.planes("S", 1, 2, 3, 4))
    assert np.shares_memory(again.array, grown)


def test_little_is_kept_however_many_lengths_there_are() -> None:
    buffers = Buffers(np.float64)
    made = []
    for T in range(5 * KEPT, 0, -1):  # truncation by chance has another T at every update
        made.append(weakref.ref(buffers.kept(T, lambda T=T: buffers.planes("Z", 1, T, 1, 4))))
    assert sum(one() is not None for one in made) <= KEPT
    assert buffers.nbytes == 5 * KEPT * 4 * 8


@pytest.mark.parametrize("kernel, expected", [("SkylakeX", True), ("Haswell", False), ("Zen", False), (None, False)])
def test_panels_are_for_kernels_that_do_not_pack(
    monkeypatch: pytest.MonkeyPatch, kernel: str | None, expected: bool
) -> None:
    monkeypatch.setattr(blas, "describe", lambda: {"kernel": kernel})
    blas.multiplies_small_unpacked.cache_clear()
    try:
        assert blas.multiplies_small_unpacked() is expected
    finally:
        blas.multiplies_small_unpacked.cache_clear()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_begin_at_a_cache_line(dtype: type) -> None:
    parameters = Parameters(Architecture(64, (16,)), dtype)
    arrays = [parameters.vector, parameters["W_h1a"], *Updater(Adam(), 99, np.dtype(dtype)).slots.values()]
    buffers = Buffers(dtype)
    arrays += [buffers.block(f"{i}", i + 1, 100 * i + 3) for i in range(9)]
    assert {array.ctypes.data % LINE for array in arrays} == {0}
    assert not parameters.vector.any()


def test_an_invalid_operation_within_a_product_is_no_warning_and_stays_in_the_result() -> None:
    """OpenBLAS may set the flag of an invalid operation though nothing is wrong: its sgemv of five columns reads what
    lies beside them. A signalling NaN, the only number whose mere use sets the flag, stands for what lies there."""
    parameters = initial(Architecture(5, (5,)), np.random.default_rng(0))
    stack, ids = Stack(parameters.architecture), np.arange(5)[:, None]
    signalling = np.array(0x7FA00000, np.uint32).view(np.float32)
    sampler = Sampler(parameters, ids[:0, 0], state=[np.broadcast_to(signalling, (1, 5))])
    assert next(sampler).shape == (1,)
    assert len(beam_search(parameters, ids[:0, 0], 2, 2, state=[np.broadcast_to(signalling, (1, 5))])) == 2
    tape = stack.forward(parameters, ids)
    for W in (parameters.layer(1)["W_hh"], parameters.output()[0]):
        W[2] = signalling
    assert np.isnan(stack.probabilities(parameters, tape)).all()
    assert np.isnan(stack.losses(parameters, tape, ids)).all()
    assert np.isnan(stack.error_norms_by_lag(parameters, tape, ids, 3)).any()
    assert np.isnan(stack.forward(parameters, ids).layers[0].H_after[-1]).any()
