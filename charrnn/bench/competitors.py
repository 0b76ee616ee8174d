"""One competitor in a process of its own: `python -m charrnn.bench.competitors NAME SHAPE`.

A competitor does the whole training step of the same network on the same kind of batch: forward, cross-entropy,
backward, clipping by norm, Adam; float32. For each line "k" on standard input it does k of them and prints their
seconds as a JSON list. Each has the form that its users write and that is fastest for it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charrnn.training.loop import Trainer

Run = Callable[[], object]


@dataclass(frozen=True)
class Shape:
    """What is raced: layer widths, batch n, steps T, symbols, cell; `mode` is train, or sample for n = 1, T draws.

    `threads` are the product's; None is its own choice.
    """

    hidden: tuple[int, ...]
    n: int
    T: int
    symbols: int = 65
    mode: str = "train"
    threads: int | None = None
    cell: str = "rnn"

    def dumps(self) -> str:
        """As one argument of a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Shape:
        """The shape that `dumps` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "hidden": tuple(fields["hidden"])})

    @property
    def label(self) -> str:
        """As in 512 × 2, 32, 50."""
        same = len(set(self.hidden)) == 1
        widths = f"{self.hidden[0]} × {len(self.hidden)}" if same and len(self.hidden) > 1 else None
        cell = "" if self.cell == "rnn" else f"{self.cell} "
        return f"{cell}{widths or ', '.join(map(str, self.hidden))}; {self.n}; {self.T}"

    @property
    def multiplications(self) -> int:
        """Floating-point operations in the matrix products of one training step.

        6 for every weight that is multiplied (2 forward, 4 backward) and target; the one-hot input needs none.
        """
        pairs = pairwise(self.hidden)
        gates = {"gru": 3, "lstm": 4}.get(self.cell, 1)
        recurrent = sum(h * h for h in self.hidden) + sum(a * b for a, b in pairs)
        weights = gates * recurrent + self.hidden[-1] * self.symbols
        return 6 * weights * self.n * self.T


def trainer(shape: Shape, shards: int | None = None) -> Trainer:
    """charrnn's own trainer on random characters, in the environment that the commands make for themselves.

    The batch has so many `shards`, or as many as suit its size.
    """
    from charrnn import blas

    sampling = shape.mode == "sample"
    from charrnn.training.settings import Settings, default_shards

    h = max(shape.hidden)
    shards = 1 if sampling else shards or default_shards(shape.n, h)
    workers = blas.configure(1 if sampling else shape.threads, shards, shape.n // shards, 1 if sampling else h)
    import numpy as np

    from charrnn.text.batches import Streams
    from charrnn.training.loop import Trainer

    rng = np.random.default_rng(0)
    ids = rng.integers(0, shape.symbols, 20 * shape.n * shape.T + 1).astype(np.uint32)
    config = Settings(
        hidden=shape.hidden,
        cell=shape.cell,
        batch_size=shape.n,
        seq_length=shape.T,
        shards=None if sampling else shards,
        max_steps=10**9,
    )
    return Trainer(config, shape.symbols, Streams(ids, shape.n, shape.T), workers)


def product(shape: Shape) -> Run:
    """charrnn's own training step, or its own sampler, as the commands run them."""
    network = trainer(shape)
    if shape.mode != "sample":
        return network.update
    import numpy as np

    from charrnn.inference.sampling import Sampler

    drawn = iter(Sampler(network.parameters, np.array([0]), 1))

    def draw() -> None:
        for _ in range(shape.T):
            next(drawn)

    return draw


def torch_loss(net: Any, head: Any, one_hot: Any, state: Any, inputs: Any, targets: Any) -> tuple[Any, Any]:
    """The mean cross-entropy in nats of nn.RNN, nn.GRU or nn.LSTM with nn.Linear, and the state after the last step, as
    PyTorch has it; inputs, targets (T, n)."""
    from torch.nn.functional import cross_entropy

    H, state = net(one_hot[inputs], state)
    state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
    return cross_entropy(head(H).flatten(0, 1), targets.flatten()), state


def pytorch(shape: Shape, threads: int | None) -> Run:
    """nn.RNN, nn.GRU or nn.LSTM with one-hot input and fused Adam; sampling as a step loop without gradients.

    `threads` None leaves PyTorch its own choice, all cores.
    """
    import torch
    from torch import nn

    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    d = shape.symbols
    net = getattr(nn, shape.cell.upper())(d, shape.hidden[0], len(shape.hidden))
    head = nn.Linear(shape.hidden[-1], d)
    one_hot = torch.eye(d)
    if shape.mode == "sample":
        state: Any = None
        ids = torch.zeros(1, dtype=torch.long)

        def draw() -> None:
            nonlocal state, ids
            with torch.inference_mode():
                for _ in range(shape.T):
                    H, state = net(one_hot[ids][None], state)
                    ids = torch.multinomial(torch.softmax(head(H[0]), -1), 1)[:, 0]

        return draw
    parameters = [*net.parameters(), *head.parameters()]
    adam = torch.optim.Adam(parameters, 1e-3, fused=True)
    inputs, targets = torch.randint(d, (2, shape.T, shape.n))
    state = None

    def step() -> None:
        nonlocal state
        adam.zero_grad(set_to_none=True)
        loss, state = torch_loss(net, head, one_hot, state, inputs, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        loss.item()

    return step


def jax_loss(cell: str, weights: Any, state: Any, inputs: Any, targets: Any) -> tuple[Any, list[Any]]:
    """The mean cross-entropy in nats, and S_T (n, states·h_l) of each layer, C beside H; inputs, targets (T, n).

    `weights` are the layers' (W_x, W_hh, b, c), c for a GRU alone, W_ha and b_a; `state` is S_0 of each layer. The
    gates have charrnn's order.
    """
    import jax
    import jax.numpy as jnp

    layers, W_ha, b_a = weights
    X, states = None, []
    for (W_x, W_hh, b, c), S_0 in zip(layers, state, strict=True):
        Z = (W_x[inputs] if X is None else X @ W_x) + b
        h = W_hh.shape[0]

        def step(S: Any, Z_t: Any, W: Any = W_hh, c: Any = c, h: int = h) -> Any:
            H = S[:, :h]
            R = H @ W
            if cell == "rnn":
                S = jnp.tanh(Z_t + R)
            elif cell == "gru":
                r, u = jnp.split(jax.nn.sigmoid(Z_t[:, : 2 * h] + R[:, : 2 * h]), 2, axis=1)
                N = jnp.tanh(Z_t[:, 2 * h :] + r * (R[:, 2 * h :] + c))
                S = N + u * (H - N)
            else:
                A = Z_t + R
                i, f, o = jnp.split(jax.nn.sigmoid(A[:, : 3 * h]), 3, axis=1)
                C = f * S[:, h:] + i * jnp.tanh(A[:, 3 * h :])
                S = jnp.concatenate([o * jnp.tanh(C), C], axis=1)
            return S, S[:, :h]

        S_T, X = jax.lax.scan(step, S_0, Z)
        states.append(S_T)
    log_A = jax.nn.log_softmax(X @ W_ha + b_a)
    return -jnp.take_along_axis(log_A, targets[..., None], 2).mean(), states


def jax_scan(shape: Shape) -> Run:
    """jax.jit of the whole step, with lax.scan over time and the input as a gather."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    rng = np.random.default_rng(0)
    d = shape.symbols
    widths = [d, *shape.hidden]

    def matrix(*size: int) -> Any:
        return jnp.asarray(rng.uniform(-1, 1, size).astype(np.float32) / size[0] ** 0.5)

    gates, states = {"rnn": (1, 1), "gru": (3, 1), "lstm": (4, 2)}[shape.cell]
    layers = [
        (matrix(a, gates * h), matrix(h, gates * h), jnp.zeros(gates * h), jnp.zeros(h)) for a, h in pairwise(widths)
    ]
    weights = (layers, matrix(widths[-1], d), jnp.zeros(d))

    def update(weights: Any, m: Any, v: Any, t: Any, state: Any, inputs: Any, targets: Any) -> Any:
        (loss, state), g = jax.value_and_grad(partial(jax_loss, shape.cell), has_aux=True)(
            weights, state, inputs, targets
        )
        norm = jnp.sqrt(sum((x * x).sum() for x in jax.tree.leaves(g)))
        scale = jnp.minimum(1.0, 1.0 / norm)
        g = jax.tree.map(lambda x: x * scale, g)
        m = jax.tree.map(lambda m, x: 0.9 * m + 0.1 * x, m, g)
        v = jax.tree.map(lambda v, x: 0.999 * v + 0.001 * x * x, v, g)
        a, b = 1 - 0.9**t, 1 - 0.999**t
        weights = jax.tree.map(lambda w, m, v: w - 1e-3 * (m / a) / (jnp.sqrt(v / b) + 1e-8), weights, m, v)
        return weights, m, v, t + 1, state, loss

    compiled = jax.jit(update, donate_argnums=(0, 1, 2, 3, 4))
    inputs, targets = (jnp.asarray(rng.integers(0, d, (shape.T, shape.n))) for _ in range(2))
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = [jnp.zeros((shape.n, states * h)) for h in shape.hidden]
    carried: list[Any] = [weights, zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(1), state]

    def step() -> None:
        *carried[:], loss = compiled(*carried, inputs, targets)
        loss.block_until_ready()

    return step


def gemm(shape: Shape) -> Run:
    """The machine's limit: a 2048³ float32 product through NumPy's BLAS, on all cores."""
    from charrnn import blas

    blas.configure(rows=1, h=10**6)
    os.environ[blas.THREADS[0]] = str(blas.cores())  # one product, all threads
    import numpy as np

    A = np.random.default_rng(0).random((2048, 2048), np.float32)
    out = np.empty_like(A)
    return lambda: np.matmul(A, A, out=out)


COMPETITORS: dict[str, Callable[[Shape], Run]] = {
    "charrnn": product,
    "PyTorch, 1 thread": lambda shape: pytorch(shape, 1),
    "PyTorch, all cores": lambda shape: pytorch(shape, None),
    "JAX": jax_scan,
    "limit": gemm,
}


def main(name: str, shape: Shape) -> None:
    """Serves turns until standard input ends."""
    run = COMPETITORS[name](shape)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            started = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - started)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Shape.loads(sys.argv[2]))
