"""`charrnn sample`."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charrnn.cli.options import RUN_HELP, Ckpt, Column, check_utf8, chosen, one_checkpoint
from charrnn.cli.written import (
    as_shown,
    compared,
    plain,
    told,
    with_probabilities,
    write_apart,
    write_json,
    write_pieces,
    write_samples,
)
from charrnn.errors import ConfigError

if TYPE_CHECKING:
    from charrnn.model import Model, Options

OWN = "own"  # stands for the run's training text; a file of this name is ./own


def sample(
    run: Annotated[list[str] | None, typer.Argument(help=RUN_HELP, metavar="RUN", show_default=False)] = None,
    ckpt: Ckpt = None,
    length: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Symbols to write: characters or bytes, as the model's unit is (default 500, with --beam 100); 0: "
            "without end. With --pieces the most that a piece may have (default 10000).",
            metavar="INTEGER",
        ),
    ] = None,
    pieces: Annotated[
        int | None,
        typer.Option(min=1, help="Write so many whole pieces, of a model trained on pieces.", metavar="INTEGER"),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="With --pieces: only such as the run's training text does not hold.")
    ] = False,
    prompt: Annotated[
        str | None, typer.Option(help="Text to go on from; left out, the start of a line.", metavar="TEXT")
    ] = None,
    prompt_file: Annotated[
        str | None,
        typer.Option(
            help="File that holds the prompt, or - for standard input, less the newline at its end.", metavar="PATH"
        ),
    ] = None,
    unknown: Annotated[
        str, typer.Option(help="Unknown characters of the prompt: error, skip or replace.", metavar="NAME")
    ] = "error",
    temperature: Annotated[
        str | None,
        typer.Option(
            help="Below 1 safer, above 1 bolder, 0: --greedy (default 0.8; Model.sample: 1). Several, as "
            "0.5,0.8,1.1, write one after another from the same seed.",
            metavar="NUMBER,...",
            show_default=False,
        ),
    ] = None,
    top_k: Annotated[
        int, typer.Option(min=0, help="Draw from the k most probable characters only; 0: from all.", metavar="INTEGER")
    ] = 0,
    top_p: Annotated[
        float, typer.Option(help="Draw from the most probable ones that have this mass together.", metavar="NUMBER")
    ] = 1.0,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always take the most probable character.")] = False,
    repetition_penalty: Annotated[
        float,
        typer.Option(
            help="Above 1, as 1.2: a passage of the last 1024 symbols (with --interactive, of this turn) is repeated "
            "word for word with less probability, by this factor for each symbol after the twelfth.",
            metavar="NUMBER",
        ),
    ] = 1.0,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            help=r"End a sample after this text; several may be given. \n is a line end, \t a tab, \\ a backslash.",
            metavar="TEXT",
        ),
    ] = None,
    num_samples: Annotated[
        int, typer.Option(min=1, help="Samples, an empty line between them.", metavar="INTEGER")
    ] = 1,
    beam: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="Instead of drawing, search for so many of the most probable continuations (beam search).",
            metavar="INTEGER",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same text.", metavar="INTEGER")] = None,
    novelty: Annotated[
        str | None,
        typer.Option(
            help="Tell what of the sample stands in this text, or, with own, in the run's training text; on a terminal "
            "it is underlined.",
            metavar="PATH",
        ),
    ] = None,
    column: Column = None,
    show_probs: Annotated[
        bool,
        typer.Option(
            "--show-probs",
            help="Colour each character by the probability that the model gives it, at temperature 1 and among all "
            "characters, however it is drawn. Where there are no colours, marks stand in a line below each; with "
            "--json, it is probabilities and what else was probable.",
        ),
    ] = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Type, and let the model go on, in turns that can be undone.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write text. Standard output holds the text and nothing else; of several temperatures, each before its text, and
    of --beam the log-probabilities."""
    temperatures = _temperatures("0.8" if temperature is None else temperature)
    several = len(temperatures) > 1
    if prompt is not None and prompt_file is not None:
        raise ConfigError("--prompt and --prompt-file: only one of them can be given")
    for name, texts in (("--prompt", [prompt or ""]), ("--stop", stop or [])):
        for text in texts:
            check_utf8(name, text)
    if new and pieces is None:
        raise ConfigError("--new is for pieces; add --pieces and a number of them")
    together = {"--num-samples": num_samples > 1, "--novelty": novelty, "several temperatures": several}
    drawing = {"--temperature": temperature is not None, "--top-k": top_k, "--top-p": top_p != 1, "--greedy": greedy}
    drawing |= {"--repetition-penalty": repetition_penalty != 1, "--seed": seed is not None}
    if several:
        _check_alone("several temperatures", {"--greedy": greedy, "--top-k 1": top_k == 1})
    if pieces is not None:
        _check_alone("--pieces", {**together, "--stop": stop})
    if beam is not None:
        _check_alone("--beam", {**together, **drawing, "--pieces": pieces, "--interactive": interactive})
    if beam is not None and length == 0:
        raise ConfigError("--length 0: a search has an end; give a length")
    if show_probs and novelty and not as_json:
        raise ConfigError("--show-probs and --novelty: both mark the text; leave one out, or add --json")
    if length == 0 and (num_samples > 1 or several or pieces or novelty or show_probs or as_json):
        raise ConfigError("--length 0: a text without end is one sample and nothing else; give a length")
    if interactive and (num_samples > 1 or several or pieces or novelty or show_probs or as_json or prompt_file):
        raise ConfigError("--interactive: goes with --prompt, --length and how symbols are drawn; leave the rest out")
    if "" in (stop or []):
        raise ConfigError("--stop: an empty text is found at once; give at least one character")

    from charrnn import blas

    blas.configure()  # a second thread gains half where the machine is idle, and loses tenfold where it is not

    from charrnn.inference.sampling import Choice
    from charrnn.model import load
    from charrnn.text.tokenizer import check_unknown

    check_unknown(unknown)
    choices: list[Options] = []
    for value in temperatures:  # 0 is without chance, as the limit has it
        Choice(value or 1.0, top_k, top_p, greedy, repetition_penalty)  # before anything is read
        choices.append({"temperature": value or 1.0, "greedy": greedy or value == 0})
    path = chosen(_checkpoint(run or [], ckpt))
    model = load(path)
    corpus = None if novelty is None else _corpus(novelty, column, path, model.tokenizer)
    given = prompt or "" if prompt_file is None else _prompt(prompt_file, column, path)
    if not any("\r" in symbol for symbol in model.symbols):  # a text file of Windows, for a model that has read others
        given = given.replace("\r\n", "\n")
    wanted = pieces or num_samples
    if wanted > 1 and (top_k == 1 or all(choice["greedy"] for choice in choices)):
        print(f"{wanted} samples would be the same text: without chance there is only one", file=sys.stderr)
        num_samples, pieces = 1, pieces and 1
    options: Options = {
        "top_k": top_k,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "seed": secrets.randbelow(2**31) if several and seed is None else seed,
        "unknown": unknown,
    }
    drawn: list[Options] = [{**options, **choice} for choice in choices]
    stops = [_unescaped(text) for text in stop or []]
    sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
    show, legend = with_probabilities(model, unknown) if show_probs and not as_json else (None, "")

    def data(text: str, given: str) -> dict[str, Any]:
        found = model.predictions(text, given, unknown=unknown) if show_probs else None
        return {"text": text, "characters": found and [one.as_dict() for one in found]}

    if pieces is not None:
        known = _known(path, model) if new else set[str]()
        most = 10_000 if length is None else length
        whole = model.pieces(pieces, known=known, length=most, prompt=given, **drawn[0])
        if as_json:
            samples = [{**data(piece, ""), "temperature": told(drawn[0])} for piece in whole.kept]
            thrown = {"known": whole.known, "again": whole.again, "spoilt": whole.spoilt}
            write_json(path, given, samples, options, thrown_away=thrown)
        write_pieces(model, pieces, whole, bool(known), as_json, show, legend)
        return
    if interactive:
        _converse(model, given, length or 200, stops, drawn[0])
        return
    length = (100 if beam else 500) if length is None else length
    if beam is not None:
        found = model.beam(beam, length, given, stop=stops, unknown=unknown)
        if as_json:
            write_json(path, given, [{**data(text, given), "log_probability": p} for text, p in found], options)
            return
        write_apart(f"log-probability {p:.4f} nats\n{(show or plain)(given, text)}" for text, p in found)
        sys.stdout.write(legend)
        return
    if as_json:
        samples = []
        for each in drawn:
            for text in model.samples(num_samples, length, given, stop=stops, **each):
                copied = None if corpus is None else compared(text, corpus).as_dict()
                samples.append({**data(text, given), "temperature": told(each), "novelty": copied})
        write_json(path, given, samples, options)
        return
    for i, each in enumerate(drawn):
        head = f"{chr(10) if i else ''}temperature {told(each):g}\n\n" if several else ""
        write_samples(model, given, num_samples, length, stops, each, corpus, head, show)
    sys.stdout.write(legend)


def _temperatures(given: str) -> list[float]:
    """The numbers of a list with commas between them."""
    try:
        return [float(value) for value in given.split(",")]
    except ValueError:
        raise ConfigError(
            f"--temperature {given}: must be a number, or several with commas between them, as in 0.5,0.8,1.1"
        ) from None


def _converse(model: Model, given: str, length: int, stops: list[str], options: Options) -> None:
    from charrnn.cli.interactive import Conversation, converse

    seed, drawn = options.get("seed"), {**options, "stop": stops}
    seed = secrets.randbelow(2**31) if seed is None else seed
    conversation = Conversation(model, drawn, length, seed, _unescaped, lambda text: sys.stdout.write(as_shown(text)))
    if given:
        sys.stdout.write(as_shown(given))
        conversation.turn(given)
    converse(conversation)


def _checkpoint(words: list[str], ckpt: Path | None) -> Path | None:
    """The run that the arguments name; ConfigError that tells how a prompt is given for those that name none."""
    text = " ".join(words)
    named = one_checkpoint(Path(text) if words else None, ckpt)
    if words:
        from charrnn.training.run import RUNS
        from charrnn.training.runs import find, hint, located

        if len(words) == 1 and text.startswith(f"{RUNS}{os.sep}"):
            return find(text)
        if len(words) > 1 or located(text) is None:
            flag = "--prompt-file" if Path(text).is_file() else "--prompt"
            raise ConfigError(
                f"{text!r}: no checkpoint, and no run in {RUNS}/ here{hint(text)}; for a text to go on from, "
                f"type: charrnn sample {flag} {shlex.quote(text)}"
            )
    return named


def _unescaped(text: str) -> str:
    """The text that is meant by one with \\n, \\t and \\\\ in it; any other backslash is one."""
    meant = {"n": "\n", "t": "\t", "\\": "\\"}
    return re.sub(r"\\([nt\\])", lambda match: meant[match[1]], text)


def _prompt(file: str, column: str | None, path: Path) -> str:
    """The text of a file, which is in UTF-8, whatever the run's own text is in."""
    from charrnn.text.corpus import read_corpus
    from charrnn.text.reading import Reading
    from charrnn.training.parts import reading_of, run_of

    text = read_corpus([file], Reading(column=reading_of(run_of(path), column=column).column))
    return text.removesuffix("\r\n" if text.endswith("\r\n") else "\n") if file == "-" else text


def _corpus(novelty: str, column: str | None, path: Path, tokenizer: Any) -> Any:
    """The code points of the text that samples are compared with."""
    from charrnn.text.corpus import read_corpus
    from charrnn.text.tokenizer import code_points
    from charrnn.training.parts import reading_of, run_of

    if novelty != OWN:
        return code_points(read_corpus([novelty], reading_of(run_of(path), column=column)))
    return _own(path, tokenizer, "name one, as in: --novelty text.txt")


def _own(path: Path, tokenizer: Any, advice: str) -> Any:
    """The code points of the run's training text."""
    from charrnn.text.tokenizer import code_points
    from charrnn.training.parts import own_parts, run_of

    run = run_of(path)
    if run is None:
        raise ConfigError(f"{path}: its own text is not known; {advice}")
    return code_points(tokenizer.decode(own_parts(run, tokenizer).training))


def _check_alone(flag: str, others: Mapping[str, object]) -> None:
    """ConfigError if one of the others is given too."""
    for other, given in others.items():
        if given:
            raise ConfigError(f"{flag} and {other}: only one of them can be given")


def _known(path: Path, model: Model) -> set[str]:
    """The pieces of the run's training text."""
    if model.end is None:  # which `Model.pieces` refuses
        return set()
    text = _own(path, model.tokenizer, "leave --new out").tobytes().decode("utf-32-le", "surrogatepass")
    return set(text.split(model.symbols[model.end]))
