"""The public face: what a notebook does, without a command."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracle import gradient, losses, zero_state

import charrnn
from charrnn.errors import ConfigError, CorpusError, DivergedError
from charrnn.network.parameters import Parameters
from charrnn.network.truncation import Sliding, Truncation
from charrnn.training.schedules import Progress

TEXT = "the cat sat on the mat; the dog sat on the log.\n" * 40
SMALL: dict[str, Any] = dict(
    hidden=(8, 6), seq_length=10, batch_size=4, eval_every=20, max_steps=40, warmup_steps=3, threads=1
)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> charrnn.Result:
    directory = tmp_path_factory.mktemp("api")
    (directory / "text.txt").write_text(TEXT)
    trained: charrnn.Result = charrnn.train(directory / "text.txt", out=directory / "run", test_frac=0.1, **SMALL)
    return trained


@pytest.fixture(scope="module")
def model(result: charrnn.Result) -> charrnn.Model:
    """In double precision, to compare with other ways of computing."""
    return result.model.astype(np.float64)


def test_the_public_names_are_these_and_each_is_there() -> None:
    assert set(charrnn.__all__) == {
        *("ACTIVATIONS", "CELLS", "INITS", "OPTIMIZERS", "SCHEDULES", "TRUNCATIONS"),
        *("Cell", "CharrnnError", "Gradient", "Model", "Optimizer", "Result", "Score", "Settings", "Truncation"),
        "TensorBoard",
        *("export", "import_model", "load", "resume", "train"),
    }
    assert all(getattr(charrnn, name).__doc__ for name in charrnn.__all__)
    assert dir(charrnn) == sorted(charrnn.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = charrnn.trian


def test_to_import_charrnn_imports_nothing_heavy() -> None:
    heavy = "{'numpy', 'pydantic', 'yaml', 'typer', 'rich', 'tqdm', 'multiprocessing'}"
    program = f"import sys, charrnn; charrnn.train, charrnn.CELLS; print(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.check_output([sys.executable, "-c", program], text=True, cwd=Path(__file__).parents[1])
    assert "numpy" not in shown
    program = f"import sys, charrnn; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True, cwd=Path(__file__).parents[1]) == "[]\n"


def test_a_training_gives_its_model_scores_and_history(result: charrnn.Result) -> None:
    assert (result.steps, result.characters) == (40, 1600)
    assert result.validation is not None and result.test is not None and result.train is not None
    assert [row["step"] for row in result.history] == [20, 40]
    validation = min(row["validation"] for row in result.history)
    assert result.validation.nats_per_char == pytest.approx(validation, rel=1e-5)
    plain = json.loads(json.dumps(result.as_dict()))
    assert plain["validation"]["bits_per_char"] == result.validation.bits_per_char
    assert charrnn.load(result.run).symbols == result.model.symbols == "".join(sorted(set(TEXT)))
    assert charrnn.Settings(**result.model.settings).hidden == (8, 6)


def test_the_train_loss_of_a_result_is_the_mean_since_the_last_evaluation_but_one(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(TEXT)
    events: list[Any] = []
    begun = time.perf_counter()
    trained = charrnn.train(tmp_path / "t", tmp_path / "run", on_event=events.append, **{**SMALL, "max_steps": 50})
    assert 0 < trained.seconds < time.perf_counter() - begun
    losses = [event.loss for event in events if hasattr(event, "loss")]
    assert len(losses) == 50 and [event.step for event in events if hasattr(event, "train")] == [20, 40, 50]
    assert trained.train == pytest.approx(np.mean(losses[40:]), rel=1e-12)
    means = [np.mean(losses[:20]), np.mean(losses[20:40]), np.mean(losses[40:])]
    assert [event.train for event in events if hasattr(event, "train")] == pytest.approx(means, rel=1e-12)


def test_a_run_is_resumed_to_the_bits_of_one_that_was_never_stopped(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(TEXT)
    options = {**SMALL, "schedule": "constant"}
    seen: list[object] = []
    charrnn.train([tmp_path / "t"], out=tmp_path / "a", **{**options, "max_steps": 20})
    parts = charrnn.resume(tmp_path / "a", max_steps=40, on_event=seen.append)
    whole = charrnn.train(str(tmp_path / "t"), out=tmp_path / "b", **options)
    np.testing.assert_array_equal(parts.model.parameters.vector, whole.model.parameters.vector)
    assert len(seen) == 21  # 20 steps and an evaluation
    with pytest.raises(ConfigError, match="hidden cannot change"):
        charrnn.resume(tmp_path / "a", hidden=9)


def test_values_from_python_are_checked_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(TEXT)
    for wrong, words in (
        ({"hidden": 0}, "hidden 0: must be"),
        ({"learning_rate": float("nan")}, "learning_rate nan"),
        ({"hiden": 3}, "did you mean hidden"),
        ({"truncation": "fixed"}, "tau"),
    ):
        with pytest.raises(ConfigError, match=words):
            charrnn.train(tmp_path / "t", out=tmp_path / "run", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no text"):
        charrnn.train([])
    assert not (tmp_path / "run").exists()


def test_a_score_holds_the_log_probability_of_every_character_but_the_first(model: charrnn.Model) -> None:
    text = TEXT[:60]
    score = model.score(text)
    ids = model.encode(text).astype(int)
    each, _ = losses(model.parameters, ids[:-1, None], ids[1:, None], zero_state(model.parameters, 1))
    assert score.log_probabilities is not None and score.log_probabilities.shape == (59,)
    np.testing.assert_allclose(score.log_probabilities, -each, rtol=1e-11)
    np.testing.assert_allclose(score.nats_per_char, each.mean(), rtol=1e-11)
    assert score.bits_per_char == score.nats_per_char / np.log(2)
    on = model.score(TEXT[60:90], state=model.score(text).state)
    assert on.log_probabilities is not None
    np.testing.assert_allclose(
        on.log_probabilities,
        model.score(TEXT[:90]).log_probabilities[59:],
        rtol=1e-11,  # type: ignore[index]
    )


def test_samples_are_seeded_streamed_stopped_and_go_on_from_a_state(model: charrnn.Model) -> None:
    text = model.sample(50, "the ", seed=3, temperature=0.8)
    assert len(text) == 50 and text == model.sample(50, "the ", seed=3, temperature=0.8)
    assert "".join(islice(model.stream("the ", seed=3, temperature=0.8), 50)) == text
    assert model.sample(50, "the ", seed=3, temperature=0.8, stop=text[20:22]).endswith(text[20:22])
    stream = model.stream("the ", greedy=True)
    first = "".join(islice(stream, 10))
    assert first + model.sample(10, state=stream.state, greedy=True) == model.sample(20, "the ", greedy=True)
    assert model.samples(3, 20, "the ", greedy=True) == [model.sample(20, "the ", greedy=True)] * 3
    assert len(set(model.samples(3, 20, seed=1))) == 3
    for wrong in ({"temperature": 0.0}, {"temperature": 1e-39}, {"top_p": 0.0}, {"top_k": -1}):
        with pytest.raises(ConfigError):
            model.sample(5, **wrong)
    with pytest.raises(CorpusError, match="'Ω'"):
        model.sample(5, "Ω")


def test_a_gradient_is_that_of_the_mean_loss_by_name(model: charrnn.Model) -> None:
    text = TEXT[:12]
    ids = model.encode(text).astype(int)
    ours = model.gradient(text)
    parameters = model.parameters

    def loss(p: Any) -> Any:
        return losses(p, ids[:-1, None], ids[1:, None], zero_state(parameters, 1))[0].mean()

    exact = gradient(parameters, loss)
    start = 0
    for g in ours.weights.values():
        np.testing.assert_allclose(g.ravel(), exact[start : start + g.size], rtol=1e-9, atol=1e-14)
        start += g.size
    assert ours.nats_per_char == pytest.approx(model.score(text).nats_per_char, rel=1e-12)
    by_lag = model.gradient(text, truncation="sliding", tau=99).weights
    np.testing.assert_allclose(by_lag["W_h1h1"], ours.weights["W_h1h1"], rtol=1e-9, atol=1e-14)


def test_ids_out_of_range_are_refused(model: charrnn.Model) -> None:
    for ids in (np.array([0, 99]), np.array([0, -1]), np.array([0.5, 1]), np.array([[0, 1]])):
        with pytest.raises(ValueError, match="ids must be"):
            model.score_ids(ids)


def test_a_model_is_saved_and_loaded_as_it_was(model: charrnn.Model, tmp_path: Path) -> None:
    model.parameters["W_h1h1"][0, 0] += 1
    model.save(tmp_path / "m.npz")
    again = charrnn.load(str(tmp_path / "m.npz"))
    np.testing.assert_array_equal(again.parameters.vector, model.parameters.vector)
    assert (again.symbols, again.settings, again.architecture) == (model.symbols, model.settings, model.architecture)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_an_edited_copy_scores_and_saves_as_edited_and_leaves_the_original_alone(
    model: charrnn.Model, tmp_path: Path, way: Any
) -> None:
    text, before = TEXT[:50], model.parameters.vector.copy()
    ours = way(model)
    assert ours.score(text) == model.score(text)
    ours.parameters["W_h1h1"][...] = 0
    ours.parameters.vector[-1] += 1
    by_hand = model.astype(np.float64)  # its views are made of a vector of its own
    by_hand.parameters["W_h1h1"][...] = 0
    by_hand.parameters["b_a"][-1] += 1
    ours.save(tmp_path / "m.npz")
    assert ours.score(text) == by_hand.score(text) == charrnn.load(tmp_path / "m.npz").score(text)
    assert ours.score(text) != model.score(text)
    np.testing.assert_array_equal(model.parameters.vector, before)
    ours.parameters.vector = before
    ours.parameters.vector *= 1
    assert ours.score(text) == model.score(text)


class Halves(Truncation):
    """Errors are halved at every third step of the stream."""

    def gains(self, steps: Any) -> Any:
        return np.where(steps % 3 == 0, 0.5, 1.0)


def test_a_truncation_of_ones_own_trains_resumes_and_has_the_gradient_of_its_objective(
    tmp_path: Path, model: charrnn.Model
) -> None:
    from charrnn.verify.gradcheck import gradcheck, small_problem

    assert all(check.passed for check in gradcheck(small_problem((4, 3), T=7), Halves(7)))
    (tmp_path / "t").write_text(TEXT)
    charrnn.TRUNCATIONS["halves"] = Halves
    try:
        options = {**SMALL, "truncation": "halves", "schedule": "constant"}
        charrnn.train(tmp_path / "t", out=tmp_path / "a", **{**options, "max_steps": 20})
        parts = charrnn.resume(tmp_path / "a", max_steps=40)
        whole = charrnn.train(tmp_path / "t", out=tmp_path / "b", **options)
        np.testing.assert_array_equal(parts.model.parameters.vector, whole.model.parameters.vector)
        by_name = model.gradient(TEXT[:20], "halves").weights["W_h1h1"]
        np.testing.assert_array_equal(by_name, model.gradient(TEXT[:20], Halves(1)).weights["W_h1h1"])
        assert (by_name != model.gradient(TEXT[:20]).weights["W_h1h1"]).any()
    finally:
        del charrnn.TRUNCATIONS["halves"]
    with pytest.raises(ConfigError, match="halves"):
        charrnn.resume(tmp_path / "a", max_steps=50)


class Sign(charrnn.Optimizer):
    """Δ = η sign(m), m ← 0.9 m + 0.1 g."""

    slots = ("m",)

    def delta(self, g: Any, slots: Any, out: Any, rate: float, t: int) -> None:
        slots["m"][...] = 0.9 * slots["m"] + 0.1 * g
        np.multiply(np.sign(slots["m"]), rate, out=out)


def test_an_optimizer_and_a_schedule_of_ones_own_train_and_resume(tmp_path: Path) -> None:
    def line(progress: Progress) -> float:
        return 1 - 0.9 * progress.done

    (tmp_path / "t").write_text(TEXT)
    charrnn.OPTIMIZERS["sign"], charrnn.SCHEDULES["line"] = Sign, line
    try:
        options = {**SMALL, "optimizer": "sign", "schedule": "line", "warmup_steps": 0, "learning_rate": 0.01}
        whole = charrnn.train(tmp_path / "t", out=tmp_path / "a", **options)
        stopped: list[int] = []

        def stop_halfway(event: Any) -> None:
            stopped.append(1)
            if len(stopped) == 22:  # after the evaluation of step 20, which saves
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            charrnn.train(tmp_path / "t", out=tmp_path / "b", on_event=stop_halfway, **options)
        parts = charrnn.resume(tmp_path / "b")
        np.testing.assert_array_equal(parts.model.parameters.vector, whole.model.parameters.vector)
        rates = [row["learning_rate"] for row in whole.history]
        assert rates == pytest.approx([0.01 * (1 - 0.9 * 19 / 40), 0.01 * (1 - 0.9 * 39 / 40)])
    finally:
        del charrnn.OPTIMIZERS["sign"], charrnn.SCHEDULES["line"]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_every_cell_trains_resumes_scores_and_samples(tmp_path: Path, cell: str) -> None:
    (tmp_path / "t").write_text(TEXT)
    options = {**SMALL, "cell": cell, "schedule": "constant", "truncation": "fixed", "tau": 7, "recompute": True}
    charrnn.train(tmp_path / "t", out=tmp_path / "a", **{**options, "max_steps": 20})
    parts = charrnn.resume(tmp_path / "a", max_steps=40)
    whole = charrnn.train(tmp_path / "t", out=tmp_path / "b", **options)
    np.testing.assert_array_equal(parts.model.parameters.vector, whole.model.parameters.vector)
    model = charrnn.load(tmp_path / "a")
    assert model.architecture.cell == cell and len(model.sample(20, seed=1)) == 20
    assert model.score(TEXT[:50]).nats_per_char < np.log(len(model.symbols)) * 1.2


# For one layer, in the place of an array (1, 8): what has another shape, and what holds no finite real numbers.
WRONG_SHAPES = (None, 3, "abc", [], np.zeros((1, 3)), [[1.0, 2.0], [3.0]], np.zeros(8), np.zeros((2, 8)))
WRONG_NUMBERS = (
    *(np.zeros((1, 8), kind) for kind in (complex, object, bool, "U3")),
    *(np.full((1, 8), value) for value in (np.nan, np.inf)),
)


@pytest.mark.parametrize("use", ["score", "gradient", "sample", "stream", "samples"])
def test_states_that_cannot_be_are_refused_everywhere(model: charrnn.Model, use: str) -> None:
    good = model.score("the cat").state
    assert good is not None and good[0].shape == (1, 8)
    call = getattr(model, use)
    call = {"sample": partial(call, 3), "samples": partial(call, 2, 3)}.get(use, call)
    wrong = [[S, good[1]] for S in WRONG_SHAPES] + [[], good[:1], good + good, 3, "abc", iter(good), {0: good[0]}]
    for words, states in (("a state must have arrays", wrong), ("finite", [[S, good[1]] for S in WRONG_NUMBERS])):
        for state in states:
            with pytest.raises(ValueError, match=words) as caught:
                call("the cat", state=state)
            assert len(str(caught.value)) < 200
    for same in (good, tuple(good), [S.tolist() for S in good], [S.astype(np.float32) for S in good]):
        call("the cat", state=same)
    single = model.astype(np.float32)
    with pytest.raises(ValueError, match="finite"):
        single.score("the cat", state=[np.full((1, 8), 1e300), good[1]])


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        *((method, (wrong,), "text") for method in ("encode", "score", "gradient") for wrong in (None, b"the", 3)),
        *((method, (wrong,), "the prompt .*: must be text") for method in ("stream",) for wrong in (None, b"the", 3)),
        ("sample", ("The",), r"length 'The': .* the prompt comes second, as in sample\(200, 'The '\)"),
        *(("sample", (wrong,), "length .*: must be a whole number") for wrong in (-1, 2.5, None, True, 10**30)),
        *(("samples", (wrong,), "count .*: must be a whole number") for wrong in (0, -1, 2.5, "2", None, 10**12)),
        ("samples", (2, "The"), "the prompt comes second"),
        ("gradient", ("the cat", "fixed", 2.5), "tau 2.5: must be a whole number"),
        ("gradient", ("the cat", "fixed", True), "tau True: must be a whole number"),
        ("gradient", ("the cat", Sliding(1, 3), 2), "tau: a truncation that is given as an object has its own"),
        ("gradient", ("the cat", ["full"]), "must be one of full, fixed"),
        ("astype", ("x",), "dtype x: must be float32 or float64"),
        ("astype", (None,), "dtype None: must be"),
        *(("save", (wrong,), "path .*: must be a path") for wrong in ("", None, 3, b"m.npz", "a\0b")),
    ],
)
def test_what_cannot_be_is_one_line_that_names_it(model: charrnn.Model, method: str, given: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        getattr(model, method)(*given)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": None},
        {"temperature": "1"},
        {"top_k": 2.5},
        {"top_k": True},
        {"top_p": "0.5"},
        {"greedy": "no"},
        {"greedy": np.array([1, 2])},
        {"seed": 2.5},
        {"seed": [1, 2]},
        {"seed": -1},
        {"stop": ""},
        {"stop": b"a"},
        {"stop": 3},
        {"unknown": "maybe"},
        {"unknown": ["skip"]},
        {"n": 3},
        {"temprature": 1.0},
    ],
    ids=str,
)
def test_options_of_sampling_that_cannot_be_are_named(model: charrnn.Model, options: Any) -> None:
    for call in (partial(model.sample, 5), partial(model.samples, 2, 5)):
        with pytest.raises(ConfigError, match=next(iter(options))):
            call(**options)
    assert model.sample(9, seed=np.int8(1), top_k=np.int64(3)) == model.sample(9, seed=1, top_k=3)


def test_arguments_of_a_score_that_cannot_be_are_named(model: charrnn.Model) -> None:
    text = TEXT * 2
    for name in ("streams", "workers"):
        for wrong in (0, -1, 2.5, "2", None, True):
            with pytest.raises(ConfigError, match=rf"{name} .*: must be a whole number of at least 1"):
                model.score(text, **{name: wrong})  # type: ignore[arg-type]
    ids = model.encode(text)
    for name, value in (("warmup", -1), ("warmup", 2.5), ("keep", "x")):
        with pytest.raises(ConfigError, match=rf"{name} .*: must be"):
            model.score_ids(ids, **{name: value})
    with pytest.raises(ConfigError, match="streams: a text that goes on from a state is read as one"):
        model.score(text, state=model.score("the cat").state, streams=2)
    assert model.score(text, streams=np.int8(3)) == model.score(text, streams=3)  # type: ignore[arg-type]
    for empty in ([], np.array([]), np.array([], np.uint8)):
        with pytest.raises(CorpusError, match="length 0 cannot be scored"):
            model.score_ids(empty)


def test_a_stream_is_its_own_iterator(model: charrnn.Model) -> None:
    stream = model.stream("the ", seed=3)
    assert iter(stream) is stream
    assert "".join([next(stream), *islice(stream, 8), next(iter(stream))]) == model.sample(10, "the ", seed=3)


def test_a_model_whose_weights_are_not_finite_writes_nothing(model: charrnn.Model) -> None:
    broken = copy.deepcopy(model)
    broken.parameters["b_h1"][0] = np.nan
    for options in ({}, {"greedy": True}):
        with pytest.raises(DivergedError, match="a weight is not finite"):
            broken.sample(3, **options)  # type: ignore[arg-type]


def test_symbols_and_a_vector_must_be_those_of_the_network(model: charrnn.Model) -> None:
    with pytest.raises(ValueError, match=r"a vector of .* holds these weights"):
        Parameters(model.architecture, np.float64, np.append(model.parameters.vector, 0))
    for symbols in (model.symbols[:-1], model.symbols[:-1] + model.symbols[0], list(model.symbols)):
        with pytest.raises(ValueError, match=f"must be text of {len(model.symbols)} different characters"):
            charrnn.Model(model.parameters, symbols)  # type: ignore[arg-type]


def test_paths_that_cannot_be_are_named_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(TEXT)
    for wrong in ("", 3, b"run", "a\0b"):
        for name in ("out", "config", "init_from"):
            with pytest.raises(ConfigError, match=rf"^{name} .*: must be a path"):
                charrnn.train(tmp_path / "t", **{name: wrong})  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"^texts .*: must be a path"):
            charrnn.train([wrong], tmp_path / "run")  # type: ignore[list-item]
        with pytest.raises(ConfigError, match=r"^path .*: must be a path"):
            charrnn.load(wrong)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"^run .*: must be a path"):
            charrnn.resume(wrong)  # type: ignore[arg-type]
    for text in (TEXT, "the cat sat\n", "the cat " * 99):
        with pytest.raises(ConfigError, match=r"^texts 'the cat.*: this is no file; write the text to one"):
            charrnn.train(text, tmp_path / "run")
    for wrong in (None, 3, b"t"):
        with pytest.raises(ConfigError, match=r"^texts .*: must be a path, or several"):
            charrnn.train(wrong, tmp_path / "run")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="maybe"):
        charrnn.train(tmp_path / "t", tmp_path / "run", unknown="maybe")
    with pytest.raises(ConfigError, match="force 'no': must be True or False"):
        charrnn.train(tmp_path / "t", tmp_path / "run", force="no")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_training_that_fails_leaves_its_directory_free(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(TEXT)

    class Short(Truncation):
        def gains(self, steps: Any) -> Any:
            return np.ones(3)

    class Raises(charrnn.Optimizer):
        def delta(self, g: Any, slots: Any, out: Any, rate: float, t: int) -> None:
            out[...] = 0
            if t == 2:
                raise TypeError("not today")

    charrnn.TRUNCATIONS["short"], charrnn.OPTIMIZERS["raises"] = Short, Raises
    try:
        for wrong, words in (({"truncation": "short"}, "gains gave 3"), ({"optimizer": "raises"}, "not today")):
            with pytest.raises((ValueError, TypeError), match=words):
                charrnn.train(tmp_path / "t", out=tmp_path / "run", force=True, **{**SMALL, **wrong})
    finally:
        del charrnn.TRUNCATIONS["short"], charrnn.OPTIMIZERS["raises"]

    def fails(event: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        charrnn.train(tmp_path / "t", out=tmp_path / "run", force=True, on_event=fails, **SMALL)
    assert charrnn.train(tmp_path / "t", out=tmp_path / "run", force=True, **SMALL).steps == 40


def test_the_mean_of_random_gradients_over_seeds_is_the_full_one(model: charrnn.Model) -> None:
    text = TEXT[:9]
    draws = [model.gradient(text, "random", tau=3, seed=seed).weights for seed in range(3000)]
    full = model.gradient(text).weights
    assert (draws[0]["W_h1h1"] != draws[1]["W_h1h1"]).any()
    for name in ("b_a", "W_h1h1", "W_xh1"):
        mean = np.mean([draw[name] for draw in draws], axis=0)
        error = np.std([draw[name] for draw in draws], axis=0) / np.sqrt(len(draws))
        assert (np.abs(mean - full[name]) <= 5 * error + 1e-12).all(), name


def test_a_short_run_that_is_resumed_to_a_long_one_is_evaluated_as_a_long_one(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(TEXT * 10)
    options = dict(hidden=8, seq_length=10, batch_size=4, threads=1)
    charrnn.train(tmp_path / "t", out=tmp_path / "run", max_steps=12, **options)  # type: ignore[arg-type]
    resumed = charrnn.resume(tmp_path / "run", max_steps=900)
    evaluated = [row["step"] for row in resumed.history if "validation" in row and row["step"] > 12]
    assert evaluated == [180, 360, 540, 720, 900]
