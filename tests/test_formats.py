"""Models for other programs and from them: the same numbers, the same bits back, and a line for what cannot be."""

from __future__ import annotations

import io
import json
import math
import pickle
import re
import struct
import tracemalloc
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import charrnn as call
from scale import SEED, scaled

import charrnn
from charrnn.errors import CharrnnError, CheckpointError, ConfigError, CorpusError, StorageError
from charrnn.network.activations import TANH
from charrnn.network.cells.rnn import RNN
from charrnn.network.parameters import Architecture, Parameters
from charrnn.storage import safetensors as own

ROOT = Path(__file__).parents[1]
CELLS = [("rnn", phi) for phi in ("tanh", "relu", "sigmoid", "identity")] + [("gru", "tanh"), ("lstm", "tanh")]
SYMBOLS = "\n !Tehäж€😀"
SETTINGS = {"seq_length": 32, "hidden": [7, 7], "pieces": "lines", "dropout": 0.25}


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [name for name in packages if find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


def random_model(
    rng: Any, cell: str, phi: str, hidden: tuple[int, ...], symbols: str = SYMBOLS, dtype: str = "float32"
) -> charrnn.Model:
    architecture = Architecture(len(symbols), hidden, phi, cell)
    size = sum(map(math.prod, architecture.shapes().values()))
    scale = 0.25 if cell == "rnn" else 0.8  # what is far back fades, so that rounding does not grow
    vector = (scale * rng.standard_normal(size) / math.sqrt(max(hidden) / 8)).astype(dtype)
    return charrnn.Model(Parameters(architecture, dtype, vector), symbols, dict(SETTINGS))


def snippet(word: str) -> str:
    found = re.findall(r"```python\n(.*?)```", (ROOT / "docs/formats.md").read_text("utf-8"), re.S)
    return next(code for code in found if word in code)


# ONNX


@needs("onnx", "onnxruntime")
@pytest.mark.parametrize("hidden", [(16,), (16, 9), (16, 9, 12)])
@pytest.mark.parametrize(("cell", "phi"), CELLS)
def test_an_onnx_runtime_gives_the_probabilities_and_states_of_charrnn_in_parts_too(
    cell: str, phi: str, hidden: tuple[int, ...], tmp_path: Path
) -> None:
    import onnxruntime

    rng = np.random.default_rng(3)
    model = random_model(rng, cell, phi, hidden)
    charrnn.export(model, tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    zeros = {value.name: np.zeros((1, 2, value.shape[2]), np.float32) for value in session.get_inputs()[1:]}

    def read(part: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        log_A, *after = session.run(None, {"ids": part, **state})
        return log_A, dict(zip(names[1:], after, strict=True))

    ids = rng.integers(0, len(SYMBOLS), (1001, 2))
    log_A, after = read(ids[:1000], zeros)
    assert log_A.shape == (1000, 2, len(SYMBOLS))
    score = model.score_ids(ids[:, 1], keep=True, end=None)
    theirs = log_A[np.arange(1000), 1, ids[1:, 1]]
    np.testing.assert_allclose(np.exp(theirs), np.exp(score.log_probabilities), rtol=0, atol=1e-6)
    first, between = read(ids[:400], zeros)
    second, end = read(ids[400:1000], between)
    np.testing.assert_allclose(np.concatenate([first, second]), log_A, rtol=0, atol=2e-6)
    for name in after:
        np.testing.assert_allclose(end[name], after[name], rtol=0, atol=1e-6)
    ours = model.score_ids(ids[:999, 1], end=None).state
    last, _ = read(ids[999:1000], {name: _state(name, ours) for name in names[1:]})
    np.testing.assert_allclose(last[0, 1], log_A[999, 1], rtol=0, atol=2e-6)


def _state(name: str, state: Any) -> Any:
    """Two times the array that an input takes, of a state of charrnn's for one sequence."""
    S = state[int(re.findall(r"\d+", name)[0]) - 1]
    plane = S if S.ndim == 2 else S["HC".index(name[0])]
    return np.repeat(plane[None], 2, axis=1)


@needs("onnx")
def test_an_onnx_file_tells_vocabulary_and_settings_and_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    import onnx

    model = random_model(np.random.default_rng(0), "gru", "tanh", (7, 7))
    model.settings["val_file"] = "/home/me/secret.txt"
    for name in ("a.onnx", "b.onnx"):
        charrnn.export(model, tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    made = onnx.load(tmp_path / "a.onnx")
    told = {entry.key: entry.value for entry in made.metadata_props}
    assert json.loads(told["vocabulary"]) == list(SYMBOLS) and json.loads(told["settings"]) == SETTINGS
    assert (told["cell"], json.loads(told["hidden"])) == ("gru", [7, 7])
    assert [node.op_type for node in made.graph.node].count("GRU") == 2 and made.opset_import[0].version == 14


@needs("onnx", "onnxruntime")
def test_the_code_of_the_page_on_formats_samples_from_an_onnx_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    charrnn.export(random_model(np.random.default_rng(0), "lstm", "tanh", (6, 5)), "book.onnx")
    exec(snippet("onnxruntime"), {})
    text = capsys.readouterr().out
    assert text.startswith("The ") and len(text) == 205 and set(text) <= set(SYMBOLS)


# Back again, bit for bit


@pytest.mark.parametrize("ending", [".safetensors", pytest.param(".pt", marks=pytest.mark.torch)])
def test_what_is_exported_and_imported_has_the_same_bits(ending: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(scaled(15, 300)):
        cell, phi = CELLS[rng.integers(len(CELLS))]
        layers = int(rng.integers(1, 5))
        hidden = tuple(map(int, rng.integers(1, 12, layers)))
        if ending == ".pt":
            hidden = (hidden[0],) * layers
            phi = "tanh" if phi in ("sigmoid", "identity") else phi
        symbols = "".join(sorted(map(chr, rng.choice(0xD7FF, rng.integers(1, 40), replace=False))))
        model = random_model(rng, cell, phi, hidden, symbols, str(rng.choice(["float32", "float64"])))
        special = rng.random(model.parameters.vector.shape)
        tiny = np.finfo(model.parameters.vector.dtype).smallest_subnormal
        model.parameters.vector[special < 0.3] = rng.choice([0.0, -0.0, tiny, -tiny, 1e30])
        charrnn.export(model, tmp_path / f"a{ending}")
        back = charrnn.import_model(tmp_path / f"a{ending}")
        assert back.parameters.vector.tobytes() == model.parameters.vector.tobytes()
        assert (back.architecture, back.symbols, back.settings) == (model.architecture, symbols, SETTINGS)


@pytest.mark.parametrize(("unit", "normalize"), [("byte", "none"), ("grapheme", "nfc"), ("codepoint", "nfkc")])
@pytest.mark.parametrize(
    "name", ["a.safetensors", "hub/", pytest.param("a.pt", marks=pytest.mark.torch), "a.onnx", "a.html"]
)
def test_every_file_tells_unit_and_normal_form_or_cannot_be_made_of_them(
    unit: str, normalize: str, name: str, tmp_path: Path
) -> None:
    of_unit: dict[str, list[str]] = {"byte": list(map(chr, range(256))), "grapheme": ["a", "e\u0323\u0301", "🇩🇪"]}
    symbols = of_unit.get(unit, ["a", "b", "c"])
    architecture = Architecture(len(symbols), (4,), "tanh", "gru")
    vector = np.random.default_rng(0).standard_normal(sum(map(math.prod, architecture.shapes().values())))
    parameters = Parameters(architecture, "float32", vector.astype("f4"))
    known = tuple(symbols) if unit == "grapheme" else "".join(symbols)
    model = charrnn.Model(parameters, known, {}, unit, normalize)
    path = f"{tmp_path}/{name}"
    if name == "a.onnx":
        onnx = pytest.importorskip("onnx")
        charrnn.export(model, path)
        told = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        assert (told["unit"], told["normalize"], json.loads(told["vocabulary"])) == (unit, normalize, symbols)
    elif name == "a.html" and unit == "byte":
        with pytest.raises(ConfigError, match="unit byte: a page shows characters"):
            charrnn.export(model, path)
    else:
        charrnn.export(model, path)
        if name != "a.html":
            back = charrnn.import_model(f"{path}model.safetensors" if name == "hub/" else path)
            assert (back.unit, back.normalize, back.symbols) == (unit, normalize, known)
            assert back.parameters.vector.tobytes() == model.parameters.vector.tobytes()
            back.save(tmp_path / "back.npz")
            assert charrnn.load(tmp_path / "back.npz").symbols == known


def test_the_command_exports_a_run_and_imports_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("The cat sat on the mat.\n" * 20)
    small: dict[str, Any] = dict(hidden=(5,), seq_length=10, batch_size=4, max_steps=10, threads=1, val_frac=0.2)
    model = charrnn.train("text.txt", out="runs/book", val_file=None, **small).model
    assert call("export", "book", "book.safetensors").code == 0
    done = call("import", "book.safetensors")
    assert (done.code, done.out) == (0, "")
    assert done.err == (
        f"book.npz: rnn of 5 units, φ tanh, {len(model.symbols)} symbols, {model.parameters.vector.size} parameters\n"
        "next: charrnn sample book.npz\n"
    )
    assert call("sample", "book.npz", "--seed", "1").out == call("sample", "book", "--seed", "1").out
    assert charrnn.load("book.npz").settings == {k: v for k, v in model.settings.items() if v is not None}
    again = call("import", "book.safetensors")
    assert (again.code, again.err.count("\n")) == (2, 1) and "book.npz is there already" in again.err
    assert call("import", "book.safetensors", "--out", "other").code == 2
    assert call("import", "book.safetensors", "--out", "nowhere/a.npz").code == 5
    assert call("import", "missing.safetensors").code == 3


@needs("safetensors")
def test_the_library_of_the_format_reads_and_writes_the_same_arrays(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    model = random_model(np.random.default_rng(0), "lstm", "tanh", (6, 4), dtype="float64")
    charrnn.export(model, tmp_path / "a.safetensors")
    ours, told = own.decode((tmp_path / "a.safetensors").read_bytes())
    theirs = load_file(tmp_path / "a.safetensors")
    assert set(theirs) == set(ours)
    assert all(theirs[name].tobytes() == array.tobytes() for name, array in ours.items())
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        assert file.metadata() == told and told["format"] == "pt"
    save_file({name: np.ascontiguousarray(array) for name, array in theirs.items()}, tmp_path / "b.safetensors", told)
    back = charrnn.import_model(tmp_path / "b.safetensors")
    assert back.parameters.vector.tobytes() == model.parameters.vector.tobytes()


def test_an_array_that_is_not_in_c_order_is_written_as_what_it_is() -> None:
    array = np.arange(6.0).reshape(2, 3).T
    assert (own.decode(own.encode({"a": array}, {}))[0]["a"] == array).all()


# A folder for a hub


def test_a_folder_holds_weights_configuration_vocabulary_and_a_card_of_what_the_run_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("The cat sat on the mat.\n" * 20)
    small: dict[str, Any] = dict(seq_length=10, batch_size=4, max_steps=20, eval_every=10, threads=1, val_frac=0.2)
    model = charrnn.train("text.txt", out="runs/book", hidden=(5, 4), cell="gru", **small).model
    done = call("export", "book", "hub/")
    assert (done.code, done.out) == (0, "") and re.fullmatch(r"hub/: 0\.\d\d MB\n", done.err)
    assert {path.name for path in Path("hub").iterdir()} == {
        *("model.safetensors", "config.json", "vocab.json", "README.md")
    }
    back = charrnn.import_model("hub/model.safetensors")
    assert back.parameters.vector.tobytes() == model.parameters.vector.tobytes() and back.symbols == model.symbols
    assert json.loads(Path("hub/vocab.json").read_text("utf-8")) == {c: i for i, c in enumerate(model.symbols)}
    config = json.loads(Path("hub/config.json").read_text("utf-8"))
    assert (config["model_type"], config["vocab_size"], config["torch_dtype"]) == ("charrnn", 13, "float32")
    assert (config["cell"], config["hidden"], config["num_hidden_layers"]) == ("gru", [5, 4], 2)
    card = Path("hub/README.md").read_text("utf-8")
    rows = [json.loads(line) for line in Path("runs/book/metrics.jsonl").read_text().splitlines()]
    nats = min(row["validation"] for row in rows if "validation" in row)
    assert f"| lowest validation loss, in 20 steps | {nats:.4f} | {nats / math.log(2):.4f} |" in card
    assert f"| a uniform guess among its symbols | {math.log(13):.4f} |" in card and '"seq_length": 10' in card
    assert card.startswith("---\nlibrary_name: charrnn\n") and "# book\n" in card and "text.txt" not in card
    size = model.parameters.vector.size
    assert f"gru, 2 layers of 5, 4 units, {size} parameters, 13 symbols" in " ".join(card.split())
    again = call("export", "book", "hub")
    assert (again.code, again.err) == (2, "error: hub: the directory is not empty; name a new one\n")
    Path("empty").mkdir()
    assert call("export", "book", "empty").code == 0 and len(list(Path("empty").iterdir())) == 4
    assert call("export", "book", "nowhere/hub/").code == 5 and not list(tmp_path.glob(".charrnn*"))


def test_a_card_has_no_losses_that_are_not_known_and_no_markup_of_others(tmp_path: Path) -> None:
    model = random_model(np.random.default_rng(0), "rnn", "relu", (5,))
    model.settings["optimizer"] = "```\n<script>"
    charrnn.export(model, f"{tmp_path / '<img src=x> [a](b)'}/")
    card = (tmp_path / "<img src=x> [a](b)" / "README.md").read_text("utf-8")
    assert "validation" not in card and "uniform" not in card
    assert r"# \<img src=x\> \[a\]\(b\)" in card and "one layer of 5 units, φ relu" in " ".join(card.split())
    assert card.count("\n```") == 2 and r"```\n<script>" in card


@pytest.mark.parametrize("fails", ["mkdir", "fsync", "replace"])
def test_a_folder_that_cannot_be_written_leaves_nothing(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    model = random_model(np.random.default_rng(0), "rnn", "tanh", (5,))
    monkeypatch.setattr(f"charrnn.storage.durable.os.{fails}", refuse)
    with pytest.raises(StorageError, match="No space left"):
        charrnn.export(model, f"{tmp_path / 'hub'}/")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


# PyTorch


@pytest.mark.torch
@pytest.mark.parametrize(("cell", "phi"), [c for c in CELLS if c[1] in ("tanh", "relu")])
def test_the_code_of_the_page_on_formats_samples_in_pytorch_with_the_same_probabilities(
    cell: str, phi: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    model = random_model(np.random.default_rng(0), cell, phi, (6, 6))
    charrnn.export(model, "book.pt")
    names: dict[str, Any] = {}
    exec(snippet("torch.load"), names)
    text = capsys.readouterr().out
    assert text.startswith("The ") and len(text) == 205 and set(text) <= set(SYMBOLS)
    ids = np.random.default_rng(1).integers(0, len(SYMBOLS), 500)
    with torch.no_grad():
        H, _ = names["network"]["rnn"](torch.eye(len(SYMBOLS))[torch.from_numpy(ids[:-1])])
        theirs = torch.log_softmax(names["network"]["decoder"](H), -1).numpy()
    ours = model.score_ids(ids, keep=True, end=None).log_probabilities
    np.testing.assert_allclose(theirs[np.arange(499), ids[1:]], ours, rtol=0, atol=1e-5)
    if find_spec("safetensors"):
        from safetensors.torch import load_file

        charrnn.export(model, "book.safetensors")
        arrays, state_dict = load_file("book.safetensors"), names["network"].state_dict()
        assert set(arrays) == set(state_dict) and all(torch.equal(arrays[name], state_dict[name]) for name in arrays)


@pytest.mark.torch
@pytest.mark.parametrize("embedded", [False, True])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_network_of_pytorch_has_the_same_probabilities_here(kind: str, embedded: bool, tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    symbols, d = list("ebda c"), 4 if embedded else 6
    net = torch.nn.ModuleDict({"core": getattr(torch.nn, kind)(d, 5, 2), "out": torch.nn.Linear(5, 6)}).double()
    if embedded:
        net["encoder"] = torch.nn.Embedding(6, d).double()
    torch.save({"epoch": 3, "model_state_dict": net.state_dict()}, tmp_path / "a.pth")
    model = charrnn.import_model(tmp_path / "a.pth", symbols)
    assert (model.symbols, model.architecture.cell, model.architecture.hidden) == (" abcde", kind.lower(), (5, 5))
    text = "bad cab, a decade be".replace(",", "")
    ids = torch.tensor([symbols.index(c) for c in text])
    with torch.no_grad():
        X = net["encoder"](ids) if embedded else torch.eye(6).double()[ids]
        theirs = torch.log_softmax(net["out"](net["core"](X)[0]), -1)[:-1].gather(1, ids[1:, None])[:, 0].numpy()
    np.testing.assert_allclose(model.score(text).log_probabilities, theirs, rtol=1e-12)


# The vocabulary


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """The safetensors file of a gru of 4 units and 3 symbols, by PyTorch's names, and nothing else."""
    rng = np.random.default_rng(0)
    arrays = {
        "weight_ih_l0": rng.standard_normal((12, 3)),
        "weight_hh_l0": rng.standard_normal((12, 4)),
        "bias_ih_l0": rng.standard_normal(12),
        "bias_hh_l0": rng.standard_normal(12),
        "fc.weight": rng.standard_normal((3, 4)),
        "fc.bias": rng.standard_normal(3),
    }
    (tmp_path / "net.safetensors").write_bytes(own.encode(arrays, {}))
    return tmp_path / "net.safetensors"


def test_a_vocabulary_is_a_list_an_object_of_ids_or_a_text(foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('["b", "a", "ж"]')
    (tmp_path / "ids.json").write_text('{"a": 1, "ж": 2, "b": 0}')
    (tmp_path / "text.txt").write_text("жabab")
    listed, numbered = (charrnn.import_model(foreign, tmp_path / name) for name in ("list.json", "ids.json"))
    assert listed.symbols == numbered.symbols == charrnn.import_model(foreign, tmp_path / "text.txt").symbols == "abж"
    assert (listed.parameters.vector == numbered.parameters.vector).all()
    sorted_here = charrnn.import_model(foreign, "abж" and list("abж"))
    W, V = listed.parameters, sorted_here.parameters
    assert (W["W_xh1"] == V["W_xh1"][[1, 0, 2]]).all() and (W["b_a"] == V["b_a"][[1, 0, 2]]).all()
    assert (W["W_h1a"] == V["W_h1a"][:, [1, 0, 2]]).all() and (W["W_h1h1"] == V["W_h1h1"]).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('["a", "b"]', "2 symbols, and the network has 3"),
        ('["a", "b", "b"]', "a symbol occurs twice"),
        ('["a", "b", "cd"]', "the symbol 'cd' is not one character"),
        ('["a", "b", 3]', "the symbol 3 is not one character"),
        ('["a", "b", "\\ud800"]', r"the symbol '\ud800' is not one character"),
        ('{"a": 0, "b": 2, "c": 2}', "its ids must be 0, 1, 2 … each once"),
        ('{"a": 0, "b": true, "c": 2}', "its ids must be 0, 1, 2 … each once"),
        ("3", "it must hold a list of symbols, or an object with the id of each"),
        ("[", "it is no JSON"),
        ("[" * 10_000, "nested more than"),
    ],
)
def test_a_vocabulary_that_cannot_be_is_one_line(foreign: Path, tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "v.json").write_text(content)
    done = call("import", str(foreign), "--vocabulary", str(tmp_path / "v.json"), "--out", str(tmp_path / "a.npz"))
    assert (done.code, done.err.count("\n")) == (3, 1) and done.err.startswith(f"error: {tmp_path / 'v.json'}: ")
    assert reason in done.err and not (tmp_path / "a.npz").exists()


def test_what_is_missing_or_too_much_beside_a_file_is_one_line(foreign: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="says nothing of its symbols; give their vocabulary"):
        charrnn.import_model(foreign)
    with pytest.raises(ConfigError, match="activation relu: a gru has tanh"):
        charrnn.import_model(foreign, list("abc"), "relu")
    with pytest.raises(ConfigError, match="activation 'rleu': must be one of"):
        charrnn.import_model(foreign, list("abc"), "rleu")
    with pytest.raises(ConfigError, match="vocabulary 3: must be symbols, or a path"):
        charrnn.import_model(foreign, 3)  # type: ignore[arg-type]
    with pytest.raises(CorpusError, match="missing"):
        charrnn.import_model(foreign, tmp_path / "missing.txt")
    with pytest.raises(CorpusError, match="no file at"):
        charrnn.import_model(foreign, tmp_path / "missing.json")
    for name in ("a.npz", "a.onnx", "a"):
        with pytest.raises(ConfigError, match=r"a file that ends in \.safetensors, \.pt, \.pth; name one"):
            charrnn.import_model(tmp_path / name)
    charrnn.export(random_model(np.random.default_rng(0), "rnn", "relu", (3,)), tmp_path / "own.safetensors")
    with pytest.raises(ConfigError, match=r"^vocabulary: .* has its own; leave it out"):
        charrnn.import_model(tmp_path / "own.safetensors", list("abc"))
    assert charrnn.import_model(tmp_path / "own.safetensors").architecture.activation == "relu"


# What cannot be exported


@pytest.mark.parametrize("ending", [".onnx", ".safetensors", ".pt"])
def test_a_network_that_a_format_does_not_have_is_one_line_and_writes_nothing(ending: str, tmp_path: Path) -> None:
    class Own(RNN):
        pass

    rng = np.random.default_rng(0)
    charrnn.CELLS["own"] = Own
    charrnn.ACTIVATIONS["mine"] = TANH
    try:
        for cell, phi in (("own", "tanh"), ("rnn", "mine")):
            with pytest.raises(ConfigError, match="charrnn's own"):
                charrnn.export(random_model(rng, cell, phi, (3,)), tmp_path / f"a{ending}")
    finally:
        del charrnn.CELLS["own"], charrnn.ACTIVATIONS["mine"]
    if ending == ".pt":
        for phi, hidden, reason in (
            ("sigmoid", (3,), "PyTorch runs charrnn's own tanh, relu"),
            ("tanh", (3, 4), "one"),
        ):
            with pytest.raises(ConfigError, match=reason):
                charrnn.export(random_model(rng, "rnn", phi, hidden), tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("ending", "package"), [(".onnx", "onnx"), (".pt", "torch")])
def test_a_package_that_is_missing_is_named_with_what_installs_it(
    ending: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ConfigError, match=rf"needs the package {package}; pip install 'charrnn-bptt\[{package}\]'"):
        charrnn.export(random_model(np.random.default_rng(0), "rnn", "tanh", (3,)), tmp_path / f"a{ending}")
    if ending == ".pt":
        with pytest.raises(ConfigError, match="needs the package torch"):
            charrnn.import_model(tmp_path / "a.pt")


# What comes from anyone


def forged(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it declares a header of 0 bytes, and has 0 bytes in all"),
        (
            struct.pack("<Q", 2**63) + b"{}",
            "it declares a header of 9223372036854775808 bytes, and has 10 bytes in all",
        ),
        (struct.pack("<Q", 5_000_000) + b" " * 5_000_000, "it has 5000000 bytes, more than the 4000000 allowed"),
        (forged(b"[" * 100_000), "nested more than 32 deep"),
        (forged([]), "its header is no object"),
        (forged({"a": 3}), "a is 3; it must be an object"),
        (forged({"a": entry("BF16", (2,))}, b"1234"), "'a' is of 'BF16', not of F32 or F64"),
        (forged({"a": entry(shape=[-1])}, b"1234"), "it must be a list of whole numbers"),
        (forged({"a": entry(shape=[True])}, b"1234"), "it must be a list of whole numbers"),
        (forged({"a": entry(shape=[0, 2**53])}), "one or two sides of at least 1"),
        (forged({"a": entry(shape=[1] * 3)}, b"1234"), "one or two sides of at least 1"),
        (forged({"a": entry(shape=[2**53, 2**53])}, b"1234"), "'a' has 4 bytes, and its shape"),
        (forged({"a": entry(), "b": entry()}, b"1234"), "'b' does not begin where the array before it ends"),
        (forged({"a": entry(offsets=(4, 8))}, b"12341234"), "'a' does not begin"),
        (forged({"a": entry()}, b"12341"), "its arrays have 4 bytes, and the file has 5 for them"),
        (forged({"__metadata__": {"a": 1}}), "a is 1; it must be a string"),
        (forged({}), "its arrays are of no type"),
        (forged({"a": entry()}, b"1234"), "it has no recurrent layer"),
        (forged({f"{i}": entry(offsets=(4 * i, 4 * i + 4)) for i in range(5000)}, b"1234" * 5000), "5000 arrays"),
    ],
)
def test_a_hostile_safetensors_file_is_one_line_for_its_own_reason_within_bounds(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=re.escape(reason)) as caught:
            charrnn.import_model(path, list("ab"))
        assert tracemalloc.get_traced_memory()[1] < 12 * len(content) + 2_000_000
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


def arrays_of(foreign: Path) -> dict[str, Any]:
    return {name: array.copy() for name, array in own.decode(foreign.read_bytes())[0].items()}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: a["bias_ih_l0"].fill(np.nan), "bias_ih_l0 holds values that are not finite"),
        (lambda a: a["fc.weight"].fill(np.inf), "fc.weight holds values that are not finite"),
        (lambda a: a.update({"bias_ih_l0": np.zeros(12, np.float32)}), "its arrays are of float32 and float64"),
        (lambda a: a.pop("bias_hh_l0"), "bias_hh_l0 is missing"),
        (lambda a: a.pop("fc.bias"), "no linear layer"),
        (lambda a: a.update({"weight_ih_l0_reverse": a["weight_ih_l0"]}), "weight_ih_l0_reverse is no part of"),
        (lambda a: a.update({"x.weight_ih_l0": a["weight_ih_l0"]}), "several recurrent networks"),
        (lambda a: a.update({"weight_ih_l2": a["weight_ih_l0"]}), "weight_ih_l1 is missing"),
        (lambda a: a.update({"weight_ih_l0": np.zeros((11, 3))}), "weight_ih_l0 is 11 × 3; it must be 12 × any"),
        (lambda a: a.update({"weight_ih_l0": np.zeros((12, 5))}), "there is no embedding of 3 symbols before it"),
        (lambda a: a.update({"weight_hh_l0": np.zeros((12, 6))}), "weight_hh_l0 is 12 × 6, which is of no rnn"),
        (lambda a: a.update({"weight_hh_l0": np.zeros(12)}), "weight_hh_l0 is 12; it must be any × any"),
        (lambda a: a.update({"bias_hh_l0": np.zeros((12, 1))}), "bias_hh_l0 is 12 × 1; it must be 12"),
        (lambda a: a.update({"fc.weight": np.zeros((3, 5))}), "the linear layer's weight is 3 × 5; it must be any × 4"),
        (lambda a: a.update({"fc.bias": np.zeros(2)}), "the linear layer's bias is 2; it must be 3"),
        (lambda a: (a["bias_ih_l0"].fill(1e308), a["bias_hh_l0"].fill(1e308)), "not finite"),
    ],
)
def test_arrays_that_make_no_network_are_one_line_for_their_own_reason(foreign: Path, change: Any, reason: str) -> None:
    arrays = arrays_of(foreign)
    change(arrays)
    foreign.write_bytes(own.encode(arrays, {}))
    with pytest.raises(CheckpointError, match=re.escape(reason)):
        charrnn.import_model(foreign, list("abc"))


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"charrnn": "2"}, "newer format"),
        ({"charrnn": "x"}, "no JSON"),
        ({"cell": "lstm"}, "it says lstm (4,), and its arrays are of gru (4,)"),
        ({"hidden": "[5]"}, "it says gru (5,)"),
        ({"hidden": "5"}, "must be lists"),
        ({"activation": "relu"}, "activation is 'relu', which this cell does not have"),
        ({"vocabulary": '["a"]'}, "1 symbols, and the network has 3"),
        ({"vocabulary": '["a", "b", []]'}, "the symbol [] is not one character"),
        ({"settings": "[" * 100_000}, "nested more than"),
        ({"settings": "3"}, "settings is 3; it must be an object"),
        ({"unit": "word"}, "unit is 'word'; it must be one of codepoint, grapheme, byte"),
        ({"normalize": "nfd"}, "normalize is 'nfd'; it must be one of none, nfc, nfkc"),
        ({"unit": "byte"}, "its vocabulary is not that of all bytes"),
        ({"unit": "byte", "normalize": "nfc"}, "bytes have no normal form"),
        ({"unit": "grapheme", "vocabulary": '["a", "b", ""]'}, "the symbol '' is not one grapheme"),
    ],
)
def test_metadata_that_contradicts_the_arrays_is_one_line(foreign: Path, told: dict[str, str], reason: str) -> None:
    good = {"charrnn": "1", "cell": "gru", "activation": "tanh", "hidden": "[4]", "vocabulary": '["a", "b", "c"]'}
    foreign.write_bytes(own.encode(arrays_of(foreign), {**good, "settings": "{}"}))
    assert charrnn.import_model(foreign).symbols == "abc"
    foreign.write_bytes(own.encode(arrays_of(foreign), {**good, "settings": "{}", **told}))
    with pytest.raises(CheckpointError, match=re.escape(reason)):
        charrnn.import_model(foreign)


@pytest.mark.parametrize("ending", [".safetensors", pytest.param(".pt", marks=pytest.mark.torch)])
def test_every_damaged_file_is_refused_or_a_model_of_finite_numbers(ending: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    path = tmp_path / f"a{ending}"
    charrnn.export(random_model(rng, "gru", "tanh", (3, 3), "abc"), path)
    good = path.read_bytes()
    refused, trials = 0, scaled(250, 5_000)
    for _ in range(trials):
        content = bytearray(good)
        for place in rng.integers(0, len(good) if rng.random() < 0.2 else 1500, rng.integers(1, 4)):
            content[place] = rng.integers(256)
        path.write_bytes(content[: rng.integers(len(good))] if rng.random() < 0.1 else content)
        try:
            model = charrnn.import_model(path)
        except CharrnnError as error:
            assert error.exit_code in (2, 3) and "\n" not in str(error)
            refused += 1
        else:
            assert np.isfinite(model.parameters.vector).all()
    assert refused > trials / 3


class Calling:
    """What calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def with_pickle(content: bytes, pickled: bytes) -> bytes:
    """A .pt file with another pickle in it."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as stored, zipfile.ZipFile(made, "w") as changed:
        for name in stored.namelist():
            changed.writestr(name, pickled if name.endswith("/data.pkl") else stored.read(name))
    return made.getvalue()


@pytest.mark.torch
def test_a_pt_file_that_could_execute_code_or_grow_is_refused_with_what_to_do(tmp_path: Path) -> None:
    import torch

    net, path = torch.nn.LSTM(3, 4), tmp_path / "a.pt"
    linear = {"fc.weight": torch.zeros(3, 4), "fc.bias": torch.zeros(3)}

    def refused(reason: str) -> None:
        done = call("import", str(path), "--vocabulary", str(tmp_path / "v.json"), "--out", str(tmp_path / "a.npz"))
        assert (done.code, done.out, done.err.count("\n")) == (3, "", 1) and reason in done.err, done.err

    (tmp_path / "v.json").write_text('["a", "b", "c"]')
    torch.save(net, path)
    refused("a.pt: more than a state_dict: to read it would call ")
    refused("; if you trust it, load it with torch.load(..., weights_only=False) in Python, and save its state_dict()")
    torch.save(net, path, _use_new_zipfile_serialization=False)
    refused("one from before PyTorch 1.6; if you trust it")
    for values, reason in (
        ({"fc.weight": torch.zeros(1).expand(10**6, 10**6)}, "fc.weight is larger than the file"),
        (
            {"fc.weight": torch.zeros(3, 4, device="meta")},
            "to read it would call torch float32, torch._utils _rebuild_",
        ),
        ({"fc.weight": torch.zeros(3, 4).half()}, "fc.weight is of torch.float16, not of float32 or float64"),
        ({"fc.weight": torch.full((3, 4), math.nan)}, "fc.weight holds values that are not finite"),
        ({"fc.weight": 3}, "fc.weight is no array"),
        ({3: torch.zeros(3, 4)}, "3 is no array"),
    ):
        torch.save({**net.state_dict(), **linear, **values}, path)
        refused(reason)
    torch.save([1, 2], path)
    refused("it is no state_dict")
    torch.save({**net.state_dict(), **linear}, path)
    good = path.read_bytes()
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    (tmp_path / "b.pt").replace(path)
    refused("its parts are compressed or overlap")
    for called in (bytearray, print):
        path.write_bytes(with_pickle(good, pickle.dumps({"a": Calling(called, 3 * 10**9)}, 2)))
        refused(f"to read it would call __builtin__ {called.__name__};")
    path.write_bytes(with_pickle(good, pickle.dumps({"a": Calling(bytearray, 3 * 10**9)}, 4)))
    refused("to read it would call STACK_GLOBAL;")
    path.write_bytes(with_pickle(good, b"nonsense"))
    refused("its pickle is damaged")
    path.write_bytes(good[: len(good) // 2])
    refused("it is cut short or damaged")
    path.write_bytes(good)
    assert charrnn.import_model(path, list("abc")).architecture.hidden == (4,)
