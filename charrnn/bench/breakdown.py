"""Where the time of a training step goes, by wrapping the functions of the network while a few steps run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from charrnn.bench.competitors import Shape


def breakdown(shape: Shape, steps: int = 20) -> dict[str, float]:
    """Seconds a step (the mean of `steps`) by kind of work; with one worker, so that nothing overlaps.

    Exclusive times: a function that calls another of the table is not charged for it.
    """
    from charrnn import blas

    blas.configure(1, 1, shape.n, max(shape.hidden))

    from charrnn.bench.competitors import product
    from charrnn.network import backward, layer, one_hot, output, stack
    from charrnn.training import loop
    from charrnn.training.optimizers import Updater

    kinds: list[tuple[Any, str, str]] = [
        (layer, "forward", "recurrent loop, forward"),
        (layer, "backward", "recurrent loop, backward"),
        (backward, "add_product", "weight gradients"),
        (backward, "add_gradient", "weight gradients"),
        (backward, "in_one_pass", "derivatives, errors handed down"),
        (stack.Stack, "forward", "input products"),
        (one_hot, "times_W", "one-hot input"),
        (one_hot, "fill", "one-hot input"),
        (one_hot, "add_transpose_times", "one-hot input"),
        (output, "softmax", "softmax"),
        (output, "probabilities", "output layer's products, loss"),
        (output, "loss_and_error", "output layer's products, loss"),
        (Updater, "update", "optimiser and clipping"),
        (loop, "clip", "optimiser and clipping"),
    ]
    step = product(replace(shape, threads=1))
    for _ in range(3):
        step()
    seconds: dict[str, float] = {}
    inner: list[float] = []

    def timed(function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            inner.append(0.0)
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                elapsed = time.perf_counter() - started
                seconds[kind] = seconds.get(kind, 0.0) + elapsed - inner.pop()
                if inner:
                    inner[-1] += elapsed

        return call

    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in kinds]
    try:
        for owner, name, kind in kinds:
            setattr(owner, name, timed(getattr(owner, name), kind))
        started = time.perf_counter()
        for _ in range(steps):
            step()
        total = time.perf_counter() - started
    finally:
        for owner, name, function in originals:
            setattr(owner, name, function)
    seconds["everything else"] = total - sum(seconds.values())
    return {kind: value / steps for kind, value in sorted(seconds.items(), key=lambda item: -item[1])}
