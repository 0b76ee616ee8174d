"""The public face: what a notebook does, without a command."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracle import gradient, losses, zero_state

import charrnn
from charrnn.errors import ConfigError, CorpusError
from charrnn.network.truncation import Truncation
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
        *("export", "load", "resume", "train"),
    }
    assert all(getattr(charrnn, name).__doc__ for name in charrnn.__all__)
    assert set(charrnn.__all__) <= set(dir(charrnn))
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


def test_states_counts_and_seeds_that_cannot_be_are_refused(model: charrnn.Model) -> None:
    good = model.score("the cat").state
    assert good is not None
    for state in ([], good[:1], good + good, [S[0] for S in good], [np.zeros((1, 3))] * 2):
        for use in (model.score, model.sample, model.gradient):
            with pytest.raises(ValueError, match="a state must have arrays"):
                use(*([5] if use == model.sample else ["the cat"]), state=state)  # type: ignore[operator]
    for wrong in ({"length": -1}, {"seed": -1}):
        with pytest.raises(ConfigError, match="must be at least 0"):
            model.sample(**wrong)
    with pytest.raises(ConfigError, match="count 0"):
        model.samples(0)
    with pytest.raises(ConfigError, match="maybe"):
        model.score("the cat", unknown="maybe")


def test_a_training_that_fails_leaves_its_directory_free(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(TEXT)

    class Short(Truncation):
        def gains(self, steps: Any) -> Any:
            return np.ones(3)

    charrnn.TRUNCATIONS["short"], charrnn.OPTIMIZERS["none"] = Short, None
    try:
        for wrong, words in (({"truncation": "short"}, "gains gave 3"), ({"optimizer": "none"}, "not callable")):
            with pytest.raises((ValueError, TypeError), match=words):
                charrnn.train(tmp_path / "t", out=tmp_path / "run", force=True, **{**SMALL, **wrong})
    finally:
        del charrnn.TRUNCATIONS["short"], charrnn.OPTIMIZERS["none"]

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
    assert evaluated == [150, 300, 450, 600, 750, 900]
