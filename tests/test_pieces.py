"""A text of many pieces: cut, shuffled, split, trained on, scored and written."""

from __future__ import annotations

import json
from itertools import islice, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import charrnn as command
from oracle import probabilities, random_parameters

import charrnn
from charrnn.errors import ConfigError, CorpusError
from charrnn.inference.ngram import log_probabilities, witten_bell
from charrnn.inference.sampling import Choice, Sampler
from charrnn.inference.scoring import evaluate
from charrnn.inference.surprise import surprises
from charrnn.model import Model
from charrnn.network.parameters import Parameters
from charrnn.network.stack import Stack
from charrnn.network.truncation import Window
from charrnn.registry import UNITS
from charrnn.text import pieces
from charrnn.text.corpus import encode_corpus, read_corpus
from charrnn.text.pieces import PieceStreams, are_sorted_lines, cut, pack
from charrnn.text.reading import Reading, end_symbol
from charrnn.text.tokenizer import Tokenizer
from charrnn.training.loop import Trainer
from charrnn.training.parts import Parts, parts_of
from charrnn.training.settings import Settings
from charrnn.verify.inspection import inspect

END, d = 0, 5


def cut_text(text: str, kind: str, unit: str) -> list[str]:
    tokenizer = Tokenizer.from_text(text, unit)
    ids = tokenizer.encode(text)
    starts, stops = cut(ids, tokenizer, kind)
    return [tokenizer.decode(ids[start:stop]) for start, stop in zip(starts, stops, strict=True)]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    "kind, text, expected",
    [
        ("lines", "ann\n\nbob\r\n\r\n c\n", ["ann", "bob", " c"]),
        ("lines", "ann\nbob", ["ann", "bob"]),
        ("lines", "à\r\ne\u0301 \n🇩🇪", ["à", "e\u0301 ", "🇩🇪"]),
        ("lines", "\n\n", []),
        ("lines", "a\x1eb\n", ["a", "b"]),
        ("blank", "a\nb\n\nc\n \t\n\n\nd\n", ["a\nb", "c", "d"]),
        ("blank", "\n\na\r\nb\r\n\r\nc", ["a\r\nb", "c"]),
        ("blank", "a\n\nà\n \r\nb", ["a", "à", "b"]),
        ("blank", "a\x1eb\n\x1e\nc\nd", ["a", "b", "c\nd"]),
        ("blank", " \n\n", []),
        ("files", "a\n\nb\n\x1e\x1ec\n", ["a\n\nb\n", "c\n"]),
        ("files", "a", ["a"]),
    ],
)
def test_a_text_is_cut_into_pieces_that_hold_something(kind: str, text: str, expected: list[str], unit: str) -> None:
    assert cut_text(text, kind, unit) == expected


@pytest.mark.parametrize("copied", [1, 3, 1 << 22])
def test_packed_pieces_have_the_end_before_the_first_and_after_each(
    monkeypatch: pytest.MonkeyPatch, copied: int
) -> None:
    monkeypatch.setattr(pieces, "COPIED", copied)
    tokenizer = Tokenizer("\n\x1e" + "abcd")
    for text in ("ab\n\n\nc\nd\n", "ab\n\nc\n\nd"):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(pack(ids, tokenizer, "lines")) == "\nab\nc\nd\n"
    assert tokenizer.decode(pack(ids, tokenizer, "blank")) == "\x1eab\x1ec\x1ed\x1e"
    assert pack(ids, tokenizer, "none") is ids
    assert len(pack(ids[:0], tokenizer, "lines")) == 1
    with pytest.raises(CorpusError, match=r"no U\+001E"):
        pack(ids, Tokenizer("\nabcd"), "files")


def test_a_piece_ends_where_a_file_does(tmp_path: Path) -> None:
    for name, text in (("1", "ann\nbob"), ("2", ""), ("3", "cid\n")):
        (tmp_path / name).write_text(text)
    cases = (("lines", "\nann\nbob\ncid\n"), ("files", "\x1eann\nbob\x1ecid\n\x1e"))
    for unit, (kind, expected) in product(UNITS, cases):
        corpus = encode_corpus([str(tmp_path)], Reading(between=end_symbol(kind), unit=unit))
        assert corpus.tokenizer.decode(pack(corpus.ids, corpus.tokenizer, kind)) == expected
    # The ends stand between files alone: the text that its checksum is of begins with the first.
    assert read_corpus([str(tmp_path)], Reading(between="\x1e")) == "ann\nbob\x1e\x1ecid\n"


def list_of(lengths: list[int]) -> Any:
    """Packed pieces of these lengths, each with symbols of its own."""
    parts = [np.arange(length) + 1000 * (i + 1) for i, length in enumerate(lengths)]
    return np.concatenate([[END], *(np.append(part, END) for part in parts)])


def random_pieces(count: int, longest: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    parts = [np.append(rng.integers(1, d, rng.integers(1, longest + 1)), END) for _ in range(count)]
    return np.concatenate([[END], *parts])


def lists() -> dict[str, tuple[list[int], int, int]]:
    """Lengths of pieces, n and T that are asked for."""
    rng = np.random.default_rng(0)
    return {
        "names": (rng.integers(1, 12, 3000).tolist(), 64, 64),
        "few": ([3, 1, 4, 1, 5], 64, 64),
        "one": ([9], 4, 4),
        "equal, one more than streams": ([7] * 9, 8, 4),
        "a long one": ([*rng.integers(1, 9, 300).tolist(), 400], 16, 8),
        "poems": (rng.integers(300, 1200, 50).tolist(), 16, 64),
    }


@pytest.mark.parametrize("name", lists())
def test_every_piece_is_read_whole_in_every_epoch_and_hardly_any_twice(name: str) -> None:
    lengths, n, T = lists()[name]
    ids = list_of(lengths)
    streams, again = (PieceStreams(ids, END, n, T, (3,)) for _ in range(2))
    orders = []
    for epoch in (0, 1):
        inputs, targets = streams.read(epoch, 0, streams.length)
        assert (inputs[0] == END).all() and (inputs[1:] == targets[:-1]).all()
        assert inputs.shape == (streams.length, streams.batch_size)
        seen = []
        for X, Y in zip(inputs.T, targets.T, strict=True):
            borders = [*np.flatnonzero(X == END), *([len(X)] if Y[-1] == END else [])]
            for start, stop in pairwise(borders):
                number, length = divmod(int(X[start + 1]), 1000)[0] - 1, stop - start - 1
                np.testing.assert_array_equal(X[start + 1 : stop], np.arange(length) + 1000 * (number + 1))
                assert length == lengths[number]
                seen.append(number)
        assert set(seen) == set(range(len(lengths)))
        orders.append(seen)
        windows = [streams.read(epoch, start, start + streams.seq_length) for start in range(0, streams.length, T)]
        assert all((again.read(epoch, 0, 1)[0] == inputs[:1]).ravel()) and len(windows) > 0
    assert len(lengths) < 5 or orders[0] != orders[1]
    total = len(ids) - 1
    assert streams.repeated == streams.length * streams.batch_size - total
    assert streams.repeated <= 0.05 * total or streams.length * streams.batch_size < total + 2 * T
    assert streams.batch_size * (max(lengths) + 1) <= total  # the longest piece fits into a stream
    assert (streams.count, streams.longest) == (len(lengths), max(lengths))


def test_another_seed_gives_another_order() -> None:
    ids = random_pieces(200, 9)
    first, second = (PieceStreams(ids, END, 4, 8, (seed, 3)).read(0, 0, 50)[0] for seed in (1, 2))
    assert (first != second).any()


def parts(text: str, **settings: Any) -> Parts:
    tokenizer = Tokenizer.from_text(text)
    return parts_of(charrnn_corpus(tokenizer, text), Settings(**settings))


def charrnn_corpus(tokenizer: Tokenizer, text: str) -> Any:
    from charrnn.text.corpus import EncodedCorpus

    return EncodedCorpus(tokenizer.encode(text), tokenizer, "")


def test_parts_are_whole_pieces_drawn_at_random_by_the_seed() -> None:
    names = [f"{a}{b}{c}" for a in "abcdefgh" for b in "abcdefgh" for c in "xyz"]
    text = "".join(f"{name}\n" for name in names)
    decode = Tokenizer.from_text(text).decode
    made = parts(text, pieces="lines", val_frac=0.1, test_frac=0.2)
    own = [decode(part).strip("\n").split("\n") for part in (made.training, made.validation, made.test)]
    assert sorted(name for part in own for name in part) == names
    assert [len(part) for part in own] == [192 - 20 - 39, 20, 39]
    assert len({name[0] for name in own[1]}) > 4  # from all of the alphabet
    for same, seed in ((True, 1), (False, 2)):
        others = parts(text, pieces="lines", val_frac=0.1, test_frac=0.2, seed=seed)
        assert np.array_equal(others.validation, made.validation) == same
    assert [(name, offset) for name, _, offset in made.items()] == [("training", 0), ("validation", 0), ("test", 0)]
    assert made.end == 0


def test_a_text_of_too_few_pieces_is_refused() -> None:
    for text, words in (("ann", "one piece"), ("\n\n", "none")):
        with pytest.raises(CorpusError, match=f"pieces lines: the text holds {words}"):
            parts(f"{text}\n", pieces="lines")
    tokenizer = Tokenizer.from_text("a\nb\n")
    few = parts("a\nb\n", pieces="lines", test_frac=0.1)
    with pytest.raises(CorpusError, match="no piece"):
        PieceStreams(few.training, 0, 4, 4, (1,))
    assert tokenizer.size == 3


def settings(name: str = "full", tau: int | None = None, **others: Any) -> Settings:
    return Settings(
        **{
            **dict(hidden=(4, 3), seq_length=8, batch_size=4, pieces="lines", truncation=name, tau=tau),
            **dict(dtype="float64", max_steps=99, shards=3),
            **others,
        }
    )


def trainer(config: Settings, ids: Any = None, workers: int = 1) -> Trainer:
    ids = random_pieces(40, 9) if ids is None else ids
    return Trainer(config, d, PieceStreams(ids, END, config.batch_size, config.seq_length, (config.seed, 3)), workers)


@pytest.mark.parametrize("name, tau", [("fixed", 3), ("fixed", 20), ("sliding", 4), ("sliding", 13)])
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_the_windows_of_an_epoch_have_together_the_gradient_of_its_streams_in_one(
    name: str, tau: int, cell: str
) -> None:
    made = trainer(settings(name, tau, cell=cell, learning_rate=1e-30, grad_clip=0))
    streams = made.streams
    summed, total = np.zeros_like(made.gradient.vector), 0.0
    for _ in range(streams.steps_per_epoch):
        loss = made.update().loss
        summed, total = summed + made.gradient.vector, total + loss
    assert made.epoch == 1 and streams.steps_per_epoch > 5
    inputs, targets = streams.read(0, 0, streams.length)
    steps = np.arange(streams.length)
    gains = np.where(steps % tau != 0, 1.0, 0.0) if name == "fixed" else np.ones(streams.length)
    window = Window(gains, 0, streams.seq_length, tau if name == "sliding" else None, inputs == END)
    into = Parameters(made.architecture, np.float64)
    loss, _ = Stack(made.architecture, np.float64).loss_and_gradient(
        made.parameters, inputs, targets, None, window, into
    )
    np.testing.assert_allclose(total, loss / (streams.batch_size * streams.seq_length), rtol=1e-12)
    assert np.abs(summed - into.vector).max() < 1e-11 * np.abs(into.vector).max()


@pytest.mark.parametrize("name, tau", [("full", None), ("fixed", 5), ("sliding", 3), ("random", 4)])
def test_training_goes_on_exactly_from_any_step(name: str, tau: int | None) -> None:
    config = settings(name, tau, dropout=0.2)
    straight = trainer(config)
    for _ in range(3 * straight.streams.steps_per_epoch // 2):
        other = trainer(config)
        arrays, numbers = straight.snapshot()
        other.restore(straight.parameters.vector, {k: v.copy() for k, v in arrays.items()}, numbers)
        losses = [straight.update().loss, other.update().loss]
        assert losses[0] == losses[1] and (straight.parameters.vector == other.parameters.vector).all()
    assert straight.epoch == 1


def test_the_number_of_workers_changes_no_bit() -> None:
    outcomes = []
    for workers in (1, 2, 3):
        made = trainer(settings("sliding", 3), workers=workers)
        losses = [made.update().loss for _ in range(made.streams.steps_per_epoch + 2)]
        outcomes.append((losses, made.parameters.vector.tobytes()))
        made.engine.close()
    assert outcomes[0] == outcomes[1] == outcomes[2]


def naive(p: Parameters, ids: Any) -> Any:
    """The log-probability of every character of packed pieces, each piece read alone."""
    every = []
    for start, stop in pairwise(np.flatnonzero(ids == END)):
        A = probabilities(p, ids[start:stop])
        every.append(np.log(A[np.arange(stop - start), ids[start + 1 : stop + 1]]))
    return np.concatenate(every)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_each_piece_is_scored_from_a_fresh_state(cell: str) -> None:
    p, ids = random_parameters((4, 3), d, cell=cell), random_pieces(60, 9)
    exact = naive(p, ids)
    for streams in (1, 7):  # no piece is as long as the warm-up
        score = evaluate(p, ids, streams=streams, warmup=16, keep=True, end=END)
        np.testing.assert_allclose(score.log_probabilities, exact, rtol=1e-12)
    np.testing.assert_allclose(
        np.concatenate([part.log_probabilities for part in surprises(p, ids, end=END)]), exact, rtol=1e-12
    )
    middle = 101
    first = evaluate(p, ids[:middle], end=END)
    second = evaluate(p, ids[middle:], state=first.state, keep=True, end=END)
    np.testing.assert_allclose(second.log_probabilities, exact[middle - 1 :], rtol=1e-12)


def test_no_gradient_is_seen_past_the_beginning_of_a_piece() -> None:
    ids, lags = random_pieces(400, 5), 20
    for report in inspect(random_parameters((4, 3), d), ids, lags, END):
        assert all(report.norms[:5]) and not any(report.norms[6:])  # the end before it and five characters
    assert all(report.norms[lags] for report in inspect(random_parameters((4, 3), d), ids, lags))


def model(kind: str = "lines", symbols: str = "\nabcd") -> Model:
    return Model(random_parameters((4, 3), len(symbols)), symbols, {"pieces": kind})


def test_a_model_of_pieces_scores_a_text_as_pieces_in_any_order() -> None:
    made = model()
    one, other = made.score("ab\ncd\n"), made.score("cd\n\nab")
    assert one.characters == 6 and one.log_probabilities is not None and other.log_probabilities is not None
    np.testing.assert_allclose(one.log_probabilities, np.roll(other.log_probabilities, 3), rtol=1e-12)
    np.testing.assert_allclose(made.gradient("ab\ncd\n").nats_per_char, one.nats_per_char, rtol=1e-12)
    begun = made.stream("a", length=0).state
    rest = made.score("b\ncd\n", state=begun)
    np.testing.assert_allclose(rest.log_probabilities, one.log_probabilities[1:], rtol=1e-12)
    blank = model("blank", "\n\x1eabcd")
    assert blank.score("ab\nc\n\nd").characters == 7 == len("ab\nc|d|")


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_sampler_begins_each_piece_afresh(cell: str, n: int) -> None:
    p = random_parameters((4, 3), d, cell=cell)
    p["b_a"][END] = 1.5  # pieces are short
    sampler = Sampler(p, np.array([END]), 1, Choice(temperature=1.0), n, end=END)
    drawn = np.array(list(islice(sampler, 60)))
    stack = Stack(p.architecture, np.float64)
    inputs = np.concatenate([np.full((1, n), END), drawn])
    tape = stack.forward(p, inputs, fresh=inputs == END)
    assert (drawn == END).sum() > 5
    for ours, theirs in zip(sampler.state, tape.state(len(inputs)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    greedy = Sampler(p, np.array([END]), 1, Choice(greedy=True), n, end=END)
    ids = np.array(list(islice(greedy, 30)))
    A = stack.probabilities(p, stack.forward(p, inputs := np.vstack([np.full((1, n), END), ids]), fresh=inputs == END))
    assert (A[:-1].argmax(axis=2) == ids).all()


def test_whole_pieces_are_written_and_known_ones_thrown_away() -> None:
    made = model()
    made.parameters["b_a"][END] = 0.5
    every = made.pieces(200, seed=1)
    assert len(every.kept) == 200 and all(piece and "\n" not in piece for piece in every.kept)
    assert every == made.pieces(200, seed=1) != made.pieces(200, seed=2)
    known = {piece for piece in every.kept if len(piece) < 3}
    new = made.pieces(50, known=known, seed=1)
    assert len(set(new.kept)) == 50 and not known & set(new.kept)
    assert new.known > 0 and new.spoilt > 0
    assert all(piece.startswith("ab") for piece in made.pieces(5, prompt="ab", seed=1).kept)
    short = made.pieces(20, length=2, seed=1)
    assert max(map(len, short.kept)) == 2 and short.spoilt > 0
    few = made.pieces(50, known={"a", "b", "c", "d"}, length=1, tries=100, seed=1)
    assert not few.kept and few.thrown_away == 100
    with pytest.raises(ConfigError, match="not trained on pieces"):
        model("none").pieces(3)


def test_no_context_of_an_n_gram_goes_past_the_end_of_a_piece() -> None:
    train, test = random_pieces(300, 6), random_pieces(50, 6, seed=1)
    rng = np.random.default_rng(0)

    def shuffled(ids: Any) -> Any:
        parts = np.split(ids[1:], np.flatnonzero(ids[1:] == END)[:-1] + 1)
        return np.concatenate([[END], *(parts[i] for i in rng.permutation(len(parts)))])

    scores = witten_bell(train, test, d, end=END)
    others = witten_bell(shuffled(train), shuffled(test), d, end=END)
    for ours, theirs in zip(scores, others, strict=True):
        np.testing.assert_allclose(ours.nats_per_char, theirs.nats_per_char, rtol=1e-12)
        assert (ours.contexts, ours.entries) == (theirs.contexts, theirs.entries)
    crossing = witten_bell(train, test, d)
    assert [a.nats_per_char == b.nats_per_char for a, b in zip(scores[:3], crossing, strict=False)] == [
        True,
        True,
        False,
    ]
    bigram = log_probabilities(train, test, d, 2)  # knows one character: the end, at most
    np.testing.assert_allclose(bigram.mean(), -scores[1].nats_per_char)


def test_a_list_in_alphabetical_order_is_noticed() -> None:
    names = sorted(f"{a}{b}" for a in "abcdefgh" for b in "abcdefgh")
    assert are_sorted_lines("\n".join(names))
    assert not are_sorted_lines("\n".join(names[::-1])) and not are_sorted_lines("\n".join(names[:40]))
    assert not are_sorted_lines("\n".join(["the same"] * 99))


NAMES = "".join(f"{a}{b}{c}\n" for a in ("ka", "lo", "mi", "nu") for b in ("ra", "se", "ti", "vo") for c in "mnsx")
SMALL = ["--hidden", "16", "--max-steps", "300", "--batch-size", "4", "--threads", "1", "--no-yardsticks"]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with names.txt and a run r, trained on its lines."""
    directory = tmp_path_factory.mktemp("names")
    (directory / "names.txt").write_text(NAMES)
    called = command("train", str(directory / "names.txt"), "--pieces", "lines", "--out", str(directory / "r"), *SMALL)
    assert called.code == 0, called.err
    assert "pieces    57 to train on, of 5 characters (median), 5 at most" in called.err
    return directory


def test_the_command_line_trains_on_names_and_writes_new_ones(names: Path) -> None:
    called = command(
        "sample", "--ckpt", str(names / "r"), "--pieces", "6", "--new", "--seed", "1", "--temperature", "0.6"
    )
    assert called.code == 0, called.err
    lines = called.out.splitlines()
    corpus = encode_corpus([str(names / "names.txt")], Reading(between="\n"))
    training = parts_of(corpus, Settings(pieces="lines")).training
    known = Tokenizer(corpus.symbols).decode(training).split("\n")
    assert len(set(lines)) == 6 and not set(lines) & set(known)
    assert "more thrown away" in called.err and "in the training text" in called.err
    plain = command("sample", "--ckpt", str(names / "r"), "--length", "60", "--seed", "1")
    assert len(plain.out) == 61 and plain.out.count("\n") > 5
    scored = json.loads(command("eval", str(names / "names.txt"), "--ckpt", str(names / "r"), "--json").out)
    assert scored["characters"] == len(NAMES) and set(scored["parts"]) == {"training", "validation"}
    last = json.loads((names / "r" / "metrics.jsonl").read_text().splitlines()[-1])
    best = scored["parts"]["validation"]["nats_per_char"]
    assert last["validation"] >= best > 0


def test_the_command_line_says_what_cannot_be(names: Path, tmp_path: Path) -> None:
    run = str(names / "r")
    few = command("sample", "--ckpt", run, "--pieces", "3", "--new", "--length", "2", "--temperature", "0.1")
    assert few.code == 1 and "gave up after" in few.err.splitlines()[-1]
    assert command("sample", "--ckpt", run, "--new").code == 2
    assert command("sample", "--ckpt", run, "--pieces", "3", "--stop", "a").code == 2
    (tmp_path / "one.txt").write_text("one line\n")
    called = command("train", str(tmp_path / "one.txt"), "--pieces", "lines", "--out", str(tmp_path / "o"), *SMALL)
    assert called.code == 3 and "pieces lines: the text holds one piece" in called.err
    assert not (tmp_path / "o").exists()
    noted = command("train", str(names / "names.txt"), "--out", str(tmp_path / "p"), *SMALL, "--max-steps", "1")
    assert "sorted lines" in noted.err
    refused = command("sample", "--ckpt", str(tmp_path / "p"), "--pieces", "2")
    assert refused.code == 2 and "not trained on pieces" in refused.err


def test_verses_and_files_are_pieces_too_and_their_end_is_never_printed(tmp_path: Path) -> None:
    verses = [f"a {w}\nand {w}s\n" for w in ("cat", "dog", "rat", "hen", "cow", "bat")]
    (tmp_path / "verses.txt").write_text("\n".join(verses))
    (tmp_path / "files").mkdir()
    for i, verse in enumerate(verses):
        (tmp_path / "files" / f"{i}.txt").write_text(verse)
    for kind, source in (("blank", "verses.txt"), ("files", "files")):
        run = tmp_path / f"run of {kind}"
        result = charrnn.train(
            tmp_path / source, run, pieces=kind, hidden=(16,), max_steps=60, batch_size=2, threads=1, val_frac=0.2
        )
        assert result.model.piece_kind == kind and result.model.symbols[1] == "\x1e"
        text = result.model.sample(200, seed=1)
        assert "\x1e" not in text and "\n\n" in text
        called = command("sample", "--ckpt", str(run), "--pieces", "3", "--seed", "1")
        assert called.code == 0 and "\x1e" not in called.out and called.out.count("\n\n") >= 2
        scored = command("eval", str(tmp_path / source), "--ckpt", str(run), "--json", "--no-yardsticks")
        assert set(json.loads(scored.out)["parts"]) == {"training", "validation"}
        resumed = charrnn.resume(run, max_steps=70)
        assert resumed.steps == 70


@pytest.mark.parametrize("unit", ["grapheme", "byte"])
@pytest.mark.parametrize("kind", ["lines", "blank"])
def test_pieces_of_graphemes_and_of_bytes_are_trained_on_written_and_scored(
    tmp_path: Path, kind: str, unit: str
) -> None:
    apart = {"lines": "", "blank": "\r\n"}[kind]
    names = [f"{a}e\u0301{b}🇩🇪" for a in "abcdß" for b in "xyzö"]
    (tmp_path / "t.txt").write_text("".join(f"{name}\r\n{apart}" for name in names), encoding="utf-8", newline="")
    small: dict[str, Any] = dict(hidden=(16,), seq_length=16, batch_size=2, threads=1, val_frac=0.2, learning_rate=0.01)
    result = charrnn.train(tmp_path / "t.txt", tmp_path / "run", pieces=kind, unit=unit, max_steps=100, **small)
    model = result.model
    assert model.symbols[model.end] == end_symbol(kind)
    assert len(set(model.pieces(20, seed=1, temperature=0.5).kept) & set(names)) > 1
    scored = json.loads(command("eval", str(tmp_path / "t.txt"), "--ckpt", str(tmp_path / "run"), "--json").out)
    assert scored["code_points"] == sum(len(name) + 1 for name in names)
    called = command("sample", "--ckpt", str(tmp_path / "run"), "--pieces", "5", "--new", "--seed", "1")
    found = called.out.split()
    assert called.code == 0 and len(found) >= 5 and "\x1e" not in called.out
    corpus = encode_corpus([str(tmp_path / "t.txt")], Reading(between=end_symbol(kind)), tokenizer=model.tokenizer)
    training = parts_of(corpus, Settings(pieces=kind, unit=unit, val_frac=0.2)).training
    assert not set(found) & set(model.tokenizer.decode(training).split(end_symbol(kind)))
    assert charrnn.resume(tmp_path / "run", max_steps=101).steps == 101
