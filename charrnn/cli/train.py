"""`charrnn train`."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from charrnn.errors import CheckpointError, ConfigError, CorpusError
from charrnn.training.config import TrainConfig

D = TrainConfig()


def _hidden(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise ConfigError(f"--hidden {text}: must be widths separated by commas, as in 128,256") from None


def train(
    corpus: Annotated[
        list[str] | None, typer.Argument(help="Text files, directories, or - for standard input.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Run directory: best.npz, last.npz, metrics.jsonl.")] = Path("runs/last"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing run.")] = False,
    resume: Annotated[Path | None, typer.Option(help="Run directory to go on with, exactly.")] = None,
    hidden: Annotated[str, typer.Option(help="Width of each layer.")] = ",".join(map(str, D.hidden)),
    activation: Annotated[str, typer.Option(help="tanh, relu, sigmoid or identity.")] = D.activation,
    seq_length: Annotated[int, typer.Option(help="Time steps T of an update.")] = D.seq_length,
    batch_size: Annotated[int, typer.Option(help="Streams n read side by side.")] = D.batch_size,
    truncation: Annotated[str, typer.Option(help="full, or fixed blocks of --tau steps.")] = D.truncation,
    tau: Annotated[int | None, typer.Option(help="Steps that an error travels back.")] = D.tau,
    max_steps: Annotated[int, typer.Option(help="Updates.")] = D.max_steps,
    learning_rate: Annotated[float, typer.Option(help="Adam's rate after warm-up.")] = D.learning_rate,
    warmup_steps: Annotated[int, typer.Option(help="Updates of linear warm-up.")] = D.warmup_steps,
    grad_clip: Annotated[float, typer.Option(help="Largest gradient norm.")] = D.grad_clip,
    val_frac: Annotated[float, typer.Option(help="Share of the text, from its end, for validation.")] = D.val_frac,
    eval_every: Annotated[int, typer.Option(help="Updates between evaluations.")] = D.eval_every,
    seed: Annotated[int, typer.Option(help="Seed of the starting weights.")] = D.seed,
    encoding: Annotated[str, typer.Option(help="Encoding of the text.")] = D.encoding,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Train a network on text. Everything but the result goes to standard error."""
    from charrnn.training import checkpoint as checkpoints

    previous = None
    if resume is not None:
        previous = checkpoints.load(resume / "last.npz")
        settings, sources, out = previous.progress["config"], previous.progress["corpus"], resume
        if not isinstance(settings, dict) or not isinstance(sources, list):
            raise CheckpointError(f"{resume}: holds no training to resume")
        config = TrainConfig(**{**settings, "hidden": tuple(settings["hidden"])})
    else:
        if not corpus:
            raise ConfigError("name a text to train on, as in: charrnn train corpus.txt")
        sources = [source if source == "-" else str(Path(source).resolve()) for source in corpus]
        config = TrainConfig(
            hidden=_hidden(hidden),
            activation=activation,
            seq_length=seq_length,
            batch_size=batch_size,
            truncation=truncation,
            tau=tau,
            max_steps=max_steps,
            learning_rate=learning_rate,
            warmup_steps=warmup_steps,
            grad_clip=grad_clip,
            val_frac=val_frac,
            eval_every=eval_every,
            seed=seed,
            encoding=encoding,
        )
        if (out / "last.npz").exists() and not force:
            raise ConfigError(f"{out} holds a run; choose another --out, add --force, or go on with --resume {out}")

    from charrnn.text.corpus import read_corpus

    text = read_corpus(sources, config.encoding)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    if previous is not None and previous.progress["sha256"] != digest:
        raise CorpusError(f"{', '.join(sources)}: not the text that {resume} was trained on; restore it to resume")
    _run(config, text, {"config": asdict(config), "corpus": sources, "sha256": digest}, out, previous, as_json)


def _run(config: TrainConfig, text: str, origin: dict, out: Path, previous, as_json: bool) -> None:  # type: ignore[no-untyped-def,type-arg]
    import math

    from tqdm import tqdm

    from charrnn.errors import StorageError
    from charrnn.inference.evaluation import evaluate
    from charrnn.text.tokenizer import Tokenizer
    from charrnn.training import checkpoint as checkpoints
    from charrnn.training.loop import Trainer

    tokenizer = Tokenizer.from_text(text)
    ids = tokenizer.encode(text)
    split = len(ids) - int(len(ids) * config.val_frac)
    trainer = Trainer(config, tokenizer.size, ids[:split])
    validation = ids[split:] if len(ids) - split >= 2 else None
    best = math.inf
    if previous is not None:
        trainer.restore(previous.parameters, previous.extra)
        best = float(previous.progress["best"]) if previous.progress["best"] is not None else math.inf
    streams = trainer.streams
    print(
        f"{len(text):,} characters, {tokenizer.size} symbols, {trainer.parameters.vector.size:,} parameters, "
        f"{streams.steps_per_epoch:,} steps an epoch, {streams.dropped:,} characters left over each epoch",
        file=sys.stderr,
    )
    if streams.notice:
        print(streams.notice, file=sys.stderr)

    def save(name: str) -> None:
        progress = {**origin, "best": best if math.isfinite(best) else None}
        extra = trainer.snapshot() if name == "last.npz" else {}
        checkpoints.save(out / name, checkpoints.Checkpoint(trainer.parameters, tokenizer.symbols, progress, extra))

    first, started, smooth, score = trainer.step, time.perf_counter(), math.nan, None
    try:
        out.mkdir(parents=True, exist_ok=True)
        log = (out / "metrics.jsonl").open("a" if previous else "w", buffering=1, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write to {out}: {error.strerror}; choose another --out") from error
    with log, tqdm(total=config.max_steps, initial=first, unit="step", disable=None) as bar:
        try:
            for step in trainer.steps():
                smooth = step.loss if math.isnan(smooth) else 0.98 * smooth + 0.02 * step.loss
                bar.update()
                if step.number % config.eval_every and step.number != config.max_steps:
                    continue
                row = {"step": step.number, "train": smooth, "gradient_norm": step.gradient_norm}
                line = f"step {step.number:,}: train {smooth:.4f} nats"
                if validation is not None:
                    score = evaluate(trainer.parameters, validation)
                    row["validation"] = score.nats_per_char
                    line += (
                        f", validation {score.nats_per_char:.4f} nats ({score.nats_per_char / math.log(2):.3f} bits)"
                    )
                print(json.dumps(row, allow_nan=False), file=log)
                bar.write(line, file=sys.stderr)
                reached = score.nats_per_char if score else smooth
                if reached < best:
                    best = reached
                    save("best.npz")
                save("last.npz")
        except KeyboardInterrupt:
            save("last.npz")
            if not (out / "best.npz").exists():
                save("best.npz")
            print(f"\nsaved at step {trainer.step}; go on with: charrnn train --resume {out}", file=sys.stderr)
            raise typer.Exit(130) from None
    seconds = time.perf_counter() - started
    characters = (trainer.step - first) * streams.batch_size * streams.seq_length
    print(f"{out / 'best.npz'}; next: charrnn sample --ckpt {out}", file=sys.stderr)
    if as_json:
        result = {
            "run": str(out),
            "checkpoint": str(out / "best.npz"),
            "parameters": trainer.parameters.vector.size,
            "steps": trainer.step,
            "epochs": trainer.step / streams.steps_per_epoch,
            "characters": characters,
            "seconds": seconds,
            "characters_per_second": characters / seconds,
            "train": {"nats_per_char": None if math.isnan(smooth) else smooth},
            "validation": score.as_dict() if score else None,
        }
        print(json.dumps(result, allow_nan=False))
