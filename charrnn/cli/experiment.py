"""`charrnn experiment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from charrnn.errors import ConfigError, CorpusError

NAMES = ("influence", "recall", "regularisation", "equal-time", "pictures")
OF_TEXT = NAMES[2:]


def experiment(
    name: Annotated[
        str, typer.Argument(help="influence, recall, regularisation, equal-time or pictures.", metavar="NAME")
    ],
    corpus: Annotated[Path, typer.Option(help="Text of the last three.", metavar="PATH")] = Path(
        "data/pydoc-topics.txt"
    ),
    write: Annotated[
        Path | None,
        typer.Option(
            help="Put the table into this Markdown file; pictures go beside it (left out: into this directory).",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Run one of the experiments on truncation again; most take minutes, and all are seeded."""
    if name not in NAMES:
        raise ConfigError(f"experiment {name}: must be one of {', '.join(NAMES)}")
    if name in OF_TEXT and not corpus.exists():
        raise CorpusError(
            f"{corpus}: not there; `make data/pydoc-topics.txt` writes the usual one in a clone of charrnn, "
            "--corpus takes your own"
        )

    from charrnn import blas

    blas.configure(1)

    from charrnn.storage.durable import atomic_write_bytes

    if name == "pictures":
        from charrnn.experiments.pictures import GAINS, network_reports
        from charrnn.report.lags import svg

        for label, gain in GAINS.items():
            path = (write.parent if write else Path()) / f"gradient-{label}.svg"
            atomic_write_bytes(path, svg(network_reports(corpus, gain), "gradient by lag").encode())
            print(path)
        return

    from tqdm import tqdm

    from charrnn.experiments import influence, recall, regularisation
    from charrnn.report.markdown import with_block

    if name == "influence":
        result = influence.experiment()
    elif name == "recall":
        result = recall.experiment()
    else:
        compare, seeds = (
            (regularisation.equal_updates, regularisation.SEEDS)
            if name == "regularisation"
            else (regularisation.equal_time, 1)
        )
        with tqdm(total=seeds * len(regularisation.TAUS), unit="run", disable=None, leave=False) as bar:
            result = compare(corpus, done=bar.update)
    print(result.markdown(), end="")
    if write is not None:
        text = write.read_text("utf-8") if write.exists() else ""
        text = with_block(text, name, result.markdown())
        atomic_write_bytes(write, text.encode())
