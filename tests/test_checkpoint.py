"""A checkpoint loads exactly as it was saved, for ever, or is rejected with one clear error within bounds."""

from __future__ import annotations

import copy
import itertools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import child
import numpy as np
import pytest
from forge import signed
from hostile import HOSTILE
from hostile_checkpoints import CHECKPOINTS, SYMBOLS, good
from scale import SEED, scaled

import charrnn
from charrnn.errors import CheckpointError, DivergedError, StorageError
from charrnn.storage.checkpoint import Checkpoint, load, save

GOLDEN = Path(__file__).parent / "golden"


def of_good() -> Checkpoint:
    arrays, metadata = good()
    state = {name.removeprefix("state."): arrays.pop(name) for name in list(arrays) if name.startswith("state.")}
    arrays.pop("vocabulary")
    settings, progress = metadata["settings"], metadata["progress"]
    return Checkpoint("rnn", (2, 4), "tanh", SYMBOLS, arrays, settings, progress, state)


def assert_same(a: Checkpoint, b: Checkpoint) -> None:
    for name in ("cell", "hidden", "activation", "symbols", "settings", "progress", "unit", "normalize"):
        assert getattr(a, name) == getattr(b, name), name
    for ours, theirs in ((a.weights, b.weights), (a.extra, b.extra)):
        assert list(ours) == list(theirs)
        for name in ours:
            assert ours[name].dtype == theirs[name].dtype
            assert ours[name].shape == theirs[name].shape
            assert ours[name].tobytes() == theirs[name].tobytes()


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    checkpoint = of_good()
    before = copy.deepcopy(checkpoint)
    save(tmp_path / "a.npz", checkpoint)
    assert_same(load(tmp_path / "a.npz"), before)
    assert_same(checkpoint, before)


def test_a_file_made_from_the_format_alone_loads(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(signed(*good()))
    assert_same(load(tmp_path / "a.npz"), of_good())


def test_np_load_finds_the_weights_and_the_vocabulary_under_their_names(tmp_path: Path) -> None:
    save(tmp_path / "a.npz", of_good())
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["W_h1h2"].shape == (2, 4)
        assert list(map(chr, arrays["vocabulary"])) == list(SYMBOLS)


def nats(checkpoint: Checkpoint, text: Sequence[str]) -> float:
    """The mean loss of a text under a network of simple layers, written out in float64."""
    phi = {"tanh": np.tanh, "relu": lambda Z: np.maximum(Z, 0)}[checkpoint.activation]
    W = {name: array.astype(np.float64) for name, array in checkpoint.weights.items()}
    ids = [checkpoint.symbols.index(c) for c in text]
    layers = range(1, len(checkpoint.hidden) + 1)
    H = {layer: np.zeros(checkpoint.hidden[layer - 1]) for layer in layers}
    total = 0.0
    for x, y in itertools.pairwise(ids):
        for layer in layers:
            below = W["W_xh1"][x] if layer == 1 else H[layer - 1] @ W[f"W_h{layer - 1}h{layer}"]
            H[layer] = phi(below + H[layer] @ W[f"W_h{layer}h{layer}"] + W[f"b_h{layer}"])
        Z = H[len(H)] @ W[f"W_h{len(H)}a"] + W["b_a"]
        total += np.log(np.exp(Z).sum()) - Z[y]
    return total / (len(ids) - 1)


# What the version that wrote the file said of this text: `charrnn eval --json`.
TEXT = "naïve café 日本 whence a plain in spain;\n"
FORMATS: dict[int, tuple[float, dict[str, Any]]] = {
    1: (1.6427926754480915, {"activation": "tanh", "dtype": "float32", "optimizer": "adam"}),
    2: (2.5076632031442814, {"activation": "relu", "dtype": "float64", "optimizer": "momentum"}),
}
VALUES = {  # the first of W_xh1, W_h2h2 and b_a, and the last of the state of layer 1
    1: (0.0236432496458292, -0.20002657175064087, -1.0592020750045776),
    2: (0.023643249400513433, -0.01837184147954347, -0.8823544728613163),
}


@pytest.mark.parametrize("version", FORMATS)
def test_a_checkpoint_of_every_format_loads_for_ever(version: int) -> None:
    score, settings = FORMATS[version]
    path = GOLDEN / f"checkpoint-{version}.npz"
    checkpoint = load(path)
    assert (checkpoint.cell, checkpoint.hidden) == ("rnn", (5, 4))
    assert checkpoint.activation == settings["activation"]
    assert checkpoint.symbols == "\n ;acefhilmnoprstvwyéï–日本"
    weights = {"W_xh1", "W_h1h1", "b_h1", "W_h1h2", "W_h2h2", "b_h2", "W_h2a", "b_a"}
    assert set(checkpoint.weights) == weights
    first = [float(checkpoint.weights[name].flat[0]) for name in ("W_xh1", "W_h2h2", "b_a")]
    assert first == list(VALUES[version])
    with np.load(path, allow_pickle=False) as stored:
        assert {name: a.tobytes() for name, a in checkpoint.weights.items()} == {
            name: stored[name].tobytes() for name in weights
        }
        assert {f"state.{name}" for name in checkpoint.extra} == {n for n in stored.files if n.startswith("state.")}
    assert nats(checkpoint, TEXT) == pytest.approx(score, rel=1e-6)
    assert {key: checkpoint.settings[key] for key in settings} == settings
    assert checkpoint.settings["learning_rate"] == 0.02
    assert list(checkpoint.progress) == ["trainer", "best", "train", "stale", "_interval", "_row"]
    trainer = checkpoint.progress["trainer"]
    assert isinstance(trainer, dict)
    assert (trainer["step"], trainer["position"]) == (400, 2800)


# Symbols of a text, and what the version that wrote the file said of it, for each unit of format 3.
CUT = ["n", "a", "ï", "v", "e", " ", "c", "a", "f", "é", " ", "क्षि", " ", "🇩🇪", "👩‍🚀", " ", "กำ", " ", "é", ";", "\n"]
DECOMPOSED = "naïve café क्षि 🇩🇪👩‍🚀 กำ e\u0301;\n"
UNITS: dict[str, tuple[str, Sequence[str], float]] = {
    "codepoint": ("none", DECOMPOSED, 0.8329713282851982),
    "grapheme": ("nfc", CUT, 0.19574184499930108),
    "byte": ("none", list(map(chr, DECOMPOSED.encode())), 1.8426794613662518),
}


@pytest.mark.parametrize("unit", UNITS)
def test_a_checkpoint_of_each_unit_loads_for_ever(unit: str, tmp_path: Path) -> None:
    normalize, cut, score = UNITS[unit]
    path = GOLDEN / f"checkpoint-3-{unit}.npz"
    checkpoint = load(path)
    assert (checkpoint.unit, checkpoint.normalize, checkpoint.settings["unit"]) == (unit, normalize, unit)
    assert nats(checkpoint, cut) == pytest.approx(score, rel=1e-6)
    assert charrnn.load(path).score(DECOMPOSED).nats_per_char == pytest.approx(score, rel=1e-6)
    save(tmp_path / "a.npz", checkpoint)
    assert (tmp_path / "a.npz").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("version", FORMATS)
def test_a_checkpoint_of_an_older_format_is_saved_in_the_newest(tmp_path: Path, version: int) -> None:
    checkpoint = load(GOLDEN / f"checkpoint-{version}.npz")
    save(tmp_path / "a.npz", checkpoint)
    assert_same(load(tmp_path / "a.npz"), checkpoint)
    with np.load(tmp_path / "a.npz") as arrays:
        assert json.loads(arrays["metadata"].tobytes())["metadata"]["format"] == 3


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_checkpoint_of_another_meaning_is_rejected_for_its_own_reason(tmp_path: Path, case: str) -> None:
    content, reason = CHECKPOINTS[case]
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(CheckpointError, match=reason) as caught:
        load(tmp_path / "a.npz")
    line = str(caught.value)
    assert line.isprintable()
    assert str(tmp_path / "a.npz") in line
    assert "; " in line  # what to do
    assert len(line) < 400 + len(str(tmp_path))


def test_every_hostile_file_is_rejected_within_one_gib_and_two_seconds(tmp_path: Path) -> None:
    outcomes = json.loads(child.output(child.start("bounded.py", tmp_path)))
    assert len(outcomes) >= 120
    for name, (line, seconds, megabytes) in outcomes.items():
        _, reason = {**HOSTILE, **CHECKPOINTS}.get(name, ("", str(tmp_path)))
        assert re.search(reason, line), (name, line)
        assert seconds < 2, (name, seconds)
        assert megabytes < 500, (name, megabytes)


def test_every_mutant_is_rejected_or_loads_exactly_and_does_nothing_else(tmp_path: Path) -> None:
    """20,000 mutants, or in the long form 100,000, in two processes."""
    count = scaled(10_000, 50_000)
    processes = [child.start("torture.py", tmp_path, SEED + k, count) for k in range(2)]
    for process in processes:
        counts = json.loads(child.output(process, 600))
        print(f"seed {SEED}:", counts)
        assert counts["rejected"] + counts["identical"] + counts["different"] == count
        # Not everything is rejected by the first check, nor let through.
        assert 0.5 < counts["rejected"] / count < 0.9
        assert counts["identical"] > 0.02 * count


@pytest.mark.parametrize(("name", "value"), [("W_h1h1", np.nan), ("b_a", np.inf), ("optimizer_m", -np.inf)])
def test_what_is_not_finite_never_replaces_a_good_checkpoint(tmp_path: Path, name: str, value: float) -> None:
    path = tmp_path / "last.npz"
    save(path, of_good())
    before = path.read_bytes()
    diverged = of_good()
    (diverged.weights if name in diverged.weights else diverged.extra)[name].flat[0] = value
    with pytest.raises(DivergedError, match=f"{name} holds values that are not finite; ") as caught:
        save(path, diverged)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": ()},
        {"hidden": (2, 4.0)},
        {"symbols": "ba\n"},
        {"symbols": "\n\ud800\ud801"},
        {"symbols": "\nab€"},
        {"symbols": ("\n", "ab")},
        {"unit": "word"},
        {"unit": "byte"},
        {"unit": "grapheme", "symbols": ("\n", "", "b")},
        {"unit": "grapheme", "symbols": ("\n", "a" + "\u0301" * 32, "b")},
        {"unit": "grapheme", "symbols": ("\n", "a" + "\u0301" * 300, "b")},
        {"normalize": "nfd"},
        {"cell": "rnn\n"},
        {"weights": {}},
        {"progress": {"loss": float("nan")}},
        {"settings": {"a": {1, 2}}},
        {"settings": {"text": "x" * 1_000_000}},
    ],
)
def test_what_would_not_load_is_not_saved(tmp_path: Path, change: dict[str, Any]) -> None:
    checkpoint = of_good()
    for key, value in change.items():
        setattr(checkpoint, key, value)
    with pytest.raises((ValueError, TypeError)):
        save(tmp_path / "a.npz", checkpoint)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "array"),
    [("W_h2h2", None), ("gamma", np.zeros(4, "<f4")), ("b_h2", np.zeros(3, "<f4")), ("W_xh1", np.zeros((2, 3), "<f4"))],
)
def test_a_model_names_the_weight_that_its_cell_misses_or_does_not_know_or_has_in_another_shape(
    tmp_path: Path, name: str, array: np.ndarray | None
) -> None:
    arrays, metadata = good()
    arrays.pop(name, None)
    (tmp_path / "a.npz").write_bytes(signed(arrays if array is None else {**arrays, name: array}, metadata))
    load(tmp_path / "a.npz")  # for all that is known without the cell, it is a checkpoint
    with pytest.raises(CheckpointError, match=rf"a\.npz: not a checkpoint of charrnn \((weights )?{name} [^;]+\); "):
        charrnn.load(tmp_path / "a.npz")


def test_settings_nested_too_deep_are_not_saved(tmp_path: Path) -> None:
    checkpoint = of_good()
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    checkpoint.settings = {"deep": deep}
    with pytest.raises(ValueError, match="32 deep"):
        save(tmp_path / "a.npz", checkpoint)


def test_a_checkpoint_replaces_a_link_and_leaves_its_target_alone(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "last.npz"
    victim.write_bytes(b"precious")
    link.symlink_to("victim")
    save(link, of_good())
    assert victim.read_bytes() == b"precious"
    assert_same(load(link), of_good())


def test_what_is_no_file_is_an_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "empty").mkdir()
    for name in ("pipe", "device", "empty", "missing", "a\0b"):
        with pytest.raises(CheckpointError) as caught:
            load(tmp_path / name)
        assert str(caught.value).isprintable()
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(StorageError, match="symbolic links"):
        load(tmp_path / "circle")


def test_a_run_directory_gives_its_best_checkpoint_or_else_its_last(tmp_path: Path) -> None:
    last, best = of_good(), of_good()
    last.settings, best.settings = {"name": "last"}, {"name": "best"}
    save(tmp_path / "last.npz", last)
    assert load(tmp_path).settings["name"] == "last"
    save(tmp_path / "best.npz", best)
    assert load(tmp_path).settings["name"] == "best"
