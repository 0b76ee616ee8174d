"""The picture of quality.md: loss by time, of charrnn and of PyTorch's nn.RNN and nn.LSTM, trained the same way.

    python docs/beside_pytorch.py data/tinyshakespeare.txt    # needs torch and matplotlib

The same are text, split, batches, the state that goes on, Adam, its learning rate and schedule, clipping, and number
of updates, and the initial weights; PyTorch has all cores. Time for validation is not counted.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import charrnn
from charrnn.bench.competitors import torch_loss
from charrnn.formats.pytorch import to_arrays
from charrnn.text.batches import Streams
from charrnn.text.corpus import encode_corpus
from charrnn.training.loop import Trainer
from charrnn.training.schedules import Progress, learning_rate_factor
from charrnn.training.settings import Settings

EVERY = 100  # updates between points
Curve = list[tuple[float, float]]  # seconds and validation loss


def ours(text: str, cell: str) -> Curve:
    """charrnn with its defaults but the cell."""
    with tempfile.TemporaryDirectory() as place:
        result = charrnn.train(text, out=Path(place, "run"), cell=cell, eval_every=EVERY)
        return [(row["seconds"], row["validation"]) for row in result.history if "validation" in row]


def theirs(text: str, cell: str) -> Curve:
    """PyTorch's layers of the same sizes."""
    import torch
    from torch import nn

    corpus = encode_corpus([text])
    held_out = -(-len(corpus.ids) // 10)
    train, validation = corpus.ids[:-held_out], corpus.ids[-held_out:].astype(np.int64)
    config, d = Settings(cell=cell), len(corpus.symbols)
    streams = Streams(train, config.batch_size, config.seq_length)
    config = config.fitted(streams.steps_per_epoch)
    net = getattr(nn, cell.upper())(d, config.hidden[0], len(config.hidden))
    head, one_hot = nn.Linear(config.hidden[-1], d), torch.eye(d)
    both = nn.ModuleDict({"rnn": net, "decoder": head})
    weights = to_arrays(Trainer(config, d, streams).parameters)
    both.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
    parameters = [*net.parameters(), *head.parameters()]
    adam = torch.optim.Adam(parameters, config.learning_rate, fused=True)
    curve: Curve = []
    seconds, steps, position, epoch, state = 0.0, config.max_steps or 0, 0, 0, None
    for step in range(steps):
        started = time.perf_counter()
        if position + config.seq_length > streams.length:
            epoch, position, state = epoch + 1, 0, None
        inputs, targets = streams.read(epoch, position, position + config.seq_length)
        position += config.seq_length
        rate = learning_rate_factor(config.schedule, Progress(step, step / steps), config.warmup_steps or 0)
        adam.param_groups[0]["lr"] = config.learning_rate * rate
        adam.zero_grad(set_to_none=True)
        read = (torch.from_numpy(np.asarray(ids, np.int64)) for ids in (inputs, targets))
        loss, state = torch_loss(net, head, one_hot, state, *read)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.grad_clip)
        adam.step()
        seconds += time.perf_counter() - started
        if (step + 1) % EVERY == 0:
            curve.append((seconds, _validation(net, head, one_hot, torch.from_numpy(validation))))
            print(f"PyTorch {cell} {step + 1}: {seconds:.1f} s, {curve[-1][1]:.4f} nats", flush=True)
    return curve


def _validation(net: Any, head: Any, one_hot: Any, ids: Any, chunk: int = 5000) -> float:
    """The mean loss of a text that is read as one stream."""
    import torch

    total, state = 0.0, None
    with torch.inference_mode():
        for start in range(0, len(ids) - 1, chunk):
            inputs = ids[start : min(start + chunk, len(ids) - 1), None]
            loss, state = torch_loss(net, head, one_hot, state, inputs, ids[start + 1 :][: len(inputs), None])
            total += float(loss) * len(inputs)
    return total / (len(ids) - 1)


def draw(curves: dict[str, Curve], path: Path) -> None:
    """Writes the picture."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "charrnn", "font.size": 11}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for (name, curve), colour in zip(curves.items(), ("#0b5a8a", "#7fb2d4", "#a8480f", "#e0a583"), strict=True):
        seconds, losses = zip(*curve, strict=True)
        axes.plot(seconds, losses, color=colour, label=f"{name}: {losses[-1]:.3f} after {seconds[-1]:.0f} s")
        axes.plot(seconds[-1], losses[-1], "o", color=colour)
    axes.set(xlabel="seconds of training", ylabel="validation, nats per character", ylim=(1.48, 2.1))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    text = sys.argv[1]
    measured = {
        "charrnn, rnn": ours(text, "rnn"),
        "PyTorch, nn.RNN": theirs(text, "rnn"),
        "charrnn, lstm": ours(text, "lstm"),
        "PyTorch, nn.LSTM": theirs(text, "lstm"),
    }
    draw(measured, Path(__file__).parent / "pictures" / "beside-pytorch.svg")
