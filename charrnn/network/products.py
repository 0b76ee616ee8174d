"""The products H W_hh of the loop over time: few rows, the same W again and again.

BLAS packs both factors of a product before it multiplies, which with few rows takes as long as multiplying. OpenBLAS's
kernels for AVX-512 leave it out where a product is small. So a larger W is laid out once, in panels of columns, and H
is taken in groups of rows, so that each group times each panel is small: one call of np.matmul (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from charrnn import blas
from charrnn.network.buffers import Array, Buffers

# OpenBLAS's kernel for AVX-512 reads beyond float32 matrices of five columns (sgemv, 0.3.31). The product is right, but
# what lies there may set the processor's flag of an invalid operation, and NumPy warns of that. Functions with products
# are run without the warning; numbers that are not finite are looked for in the results.
unflagged = np.errstate(invalid="ignore")

PANEL = 64  # columns: four AVX-512 registers of float32, as OpenBLAS's kernel takes at once
ENOUGH = 16  # rows of a group
CACHED = 1 << 18  # weights that fit into a core's own cache, 1 MB
PARTS = (2, 3, 4, 8)


@dataclass(slots=True)
class Product:
    """`times(H, view(out))` writes H W into `out`, for one W (h, k·g), many H (n, h) and any `out` (k, n, g).

    `out` is (n, g) for k = 1, and has no n, like H, where there is one row alone. A view is made once for an `out` that
    is used again; `layout` identifies the layout of the view. Valid until the next `product_with` on the same buffers.
    """

    times: Callable[[Array, Array], object]
    view: Callable[[Array], Array]
    layout: int | None


def product_with(W: Array, n: int | None, buffers: Buffers, k: int = 1) -> Product:
    """The product with W (h, k·g) of matrices of n rows, or of vectors (n None), parted into k results."""
    h, g = W.shape[0], W.shape[1] // k
    if n is None:
        return Product(W.T.dot, lambda out: out.reshape(-1), None)
    grouped = grouping(n, h, g) if W.dtype == np.float32 and blas.multiplies_small_unpacked() else None
    if grouped is None:
        return _whole(W, k, buffers)
    rows, parts = grouped
    panels = buffers.block("W", parts, k, g // PANEL, 1, h // parts, PANEL)
    np.copyto(panels, W.reshape(parts, h // parts, k, g // PANEL, 1, PANEL).transpose(0, 2, 3, 4, 1, 5))

    def view(out: Array) -> Array:
        # (…, k, panels, groups, rows, 64)
        return out.reshape(-1, k, n // rows, rows, g // PANEL, PANEL).transpose(0, 1, 4, 2, 3, 5)

    if parts == 1:
        return Product(lambda H, out: np.matmul(H.reshape(-1, rows, h), panels, out), view, rows)

    products = buffers.block("HW", parts, k, n, g)  # of a part of the columns of H with the same rows of W
    each = view(products)
    first, second, *others = products[:, 0] if k == 1 else products

    def times(H: Array, out: Array) -> None:
        of_part = H.reshape(-1, rows, parts, h // parts).transpose(2, 0, 1, 3)
        np.matmul(of_part[:, None, None], panels, each)
        np.add(first, second, out)
        for product in others:
            np.add(out, product, out)

    return Product(times, _as_it_is, None)


def _whole(W: Array, k: int, buffers: Buffers) -> Product:
    """Without panels: one product for each of the k parts."""
    if k == 1 and W.flags.c_contiguous:
        return Product(lambda H, out: H.dot(W, out), _as_it_is, None)
    h, g = W.shape[0], W.shape[1] // k
    parts = buffers.block("W", k, h, g)  # BLAS is slower on a transposed factor
    np.copyto(parts, W.reshape(h, k, g).swapaxes(0, 1))
    if k == 1:
        whole = parts[0]
        return Product(lambda H, out: H.dot(whole, out), _as_it_is, None)
    return Product(lambda H, out: np.matmul(H, parts, out), _as_it_is, None)


def _as_it_is(out: Array) -> Array:
    return out


def grouping(n: int, h: int, g: int) -> tuple[int, int] | None:
    """Rows of a group, and parts of h, for (n, h) times (h, g) in panels; None where one whole product is as fast, or
    no panels fit.

    Each group reads all of W from the cache. With few rows in a group that takes longer than the arithmetic, so a large
    h is parted: the products are then small with more rows, and are added.
    """
    if n * h * g <= blas.SMALL or g % PANEL:
        return None

    def most(part: int) -> int:
        return max((rows for rows in range(1, min(n, blas.SMALL // (part * PANEL)) + 1) if n % rows == 0), default=0)

    whole = most(h)
    if h * g > CACHED and whole < min(n, ENOUGH):
        for parts in PARTS:
            if h % parts == 0 and most(h // parts) >= min(n, ENOUGH):
                return most(h // parts), parts
    # Groups of two or three rows read the panels too often; for n up to 8, packing costs still more.
    return (whole, 1) if whole >= (4 if n > 8 else 2) else None
