"""A run that diverges is told where and why, saves no ruin over a good state, and can go back with half the rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_training import IDS, metrics, resumed, run_to, session, trainer

from charrnn.errors import DivergedError
from charrnn.inference.scoring import Score, evaluate
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import Stack
from charrnn.network.truncation import truncation
from charrnn.storage import LAST
from charrnn.storage import checkpoint as checkpoints
from charrnn.training.session import Evaluation, Notice, Session

# Steps of this size ruin the network at once; a quarter of it does not.
RUINOUS: dict[str, Any] = dict(
    activation="relu", learning_rate=10.0, optimizer="sgd", grad_clip=0, schedule="constant", warmup_steps=0
)


def begun(directory: Path, **options: Any) -> Session:
    """A session with the checkpoint of its beginning, as every run has one."""
    one = session(directory, **options)
    one.save(LAST)
    return one


def collected(one: Session) -> tuple[list[Any], str]:
    """Evaluations and notices of a session, and the message it ends with."""
    events: list[Any] = []
    try:
        for event in one.events():
            events.append(event)
    except DivergedError as error:
        return events, str(error)
    return events, ""


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name, layer", [("W_h1h1", "layer 1"), ("b_h2", "layer 2"), ("b_a", "the output layer")])
def test_a_gradient_that_is_not_finite_never_reaches_the_weights(
    monkeypatch: pytest.MonkeyPatch, name: str, layer: str, value: float
) -> None:
    t = trainer()
    next(t.steps())
    before = t.parameters.vector.copy(), {k: v.copy() for k, v in t.updater.slots.items()}
    compute = t.engine.loss_and_gradient

    def spoilt(batch: Any) -> Any:
        result = compute(batch)
        t.gradient[name].flat[0] = value
        return result

    monkeypatch.setattr(t.engine, "loss_and_gradient", spoilt)
    with pytest.raises(
        DivergedError, match=rf"step 2: the loss is .* gradient norm (nan|inf), not finite in {layer}; try"
    ):
        t.update()
    assert (t.parameters.vector == before[0]).all() and t.step == 1
    assert all((t.updater.slots[k] == v).all() for k, v in before[1].items())


def test_an_update_that_leaves_weights_that_are_not_finite_is_divergence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = begun(tmp_path, optimizer="sgd", grad_clip=0, warmup_steps=0, learning_rate=1e12, schedule="constant")
    good = (tmp_path / LAST).read_bytes()
    compute = one.trainer.engine.loss_and_gradient

    def steep(batch: Any) -> Any:
        result = compute(batch)
        one.trainer.gradient.vector.fill(0)
        one.trainer.gradient["W_h2a"].flat[0] = 1e27  # times the rate it is more than float32 holds
        return result

    monkeypatch.setattr(one.trainer.engine, "loss_and_gradient", steep)
    monkeypatch.setattr("charrnn.training.loop.clip", lambda g, *_: 1e27)
    _, message = collected(one)
    assert message.startswith("step 1: the update, of a gradient of norm 1e+27, makes weights too large")
    assert "not finite in the output layer" in message
    assert (tmp_path / LAST).read_bytes() == good


@pytest.mark.parametrize("every", [1, 3])
def test_a_ruined_state_is_never_saved_over_a_good_one(tmp_path: Path, every: int) -> None:
    one = begun(tmp_path, **RUINOUS, checkpoint_every=every)
    events, message = collected(one)
    assert "try a learning_rate below 10" in message and f"{LAST} is of step" in message
    assert not any(isinstance(event, Evaluation) and event.train > 100 for event in events)
    again = resumed(tmp_path, **{**RUINOUS, "learning_rate": 0.01})
    assert again.trainer.look_ahead()[0].loss < 10 * np.log(7)
    run_to(again, 60)  # with steps that are small enough it is as good as any other
    assert again.train < 2.5


def test_after_a_rollback_the_rate_is_half_and_stays_so_when_the_run_is_resumed(tmp_path: Path) -> None:
    options = {**RUINOUS, "on_divergence": "rollback", "checkpoint_every": 1, "max_steps": 20}
    whole = begun(tmp_path / "whole", **options)
    events, message = collected(whole)
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert message == "" and 1 <= len(notices) == whole.trainer.rollbacks <= 3
    assert all("with half the rate" in text and f"({i} of 3)" in text for i, text in enumerate(notices, 1))
    rows = [row for row in metrics(tmp_path / "whole") if "rollback" in row]
    assert [row["rollback"] for row in rows] == list(range(1, len(notices) + 1))
    assert [row["learning_rate"] for row in rows] == [10.0 / 2**i for i in range(1, len(notices) + 1)]
    assert checkpoints.load(tmp_path / "whole" / LAST).progress["trainer"]["rollbacks"] == len(notices)  # type: ignore[index]
    for stop in (1, 2, 3, 4, 7):
        directory = tmp_path / str(stop)
        run_to(begun(directory, **options), stop)
        parts = resumed(directory, **options)
        run_to(parts, 20)
        assert parts.trainer.rollbacks == whole.trainer.rollbacks
        assert (parts.trainer.parameters.vector == whole.trainer.parameters.vector).all()


def test_after_three_rollbacks_a_run_that_diverges_ends(tmp_path: Path) -> None:
    one = begun(tmp_path, **{**RUINOUS, "learning_rate": 1e9}, on_divergence="rollback")
    events, message = collected(one)
    assert sum(isinstance(event, Notice) for event in events) == 3
    assert "it went back 3 times" in message
    events, message = collected(resumed(tmp_path, **{**RUINOUS, "learning_rate": 1e9}, on_divergence="rollback"))
    assert not any(isinstance(event, Notice) for event in events) and "it went back 3 times" in message


def test_a_validation_loss_that_is_not_finite_is_divergence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = begun(tmp_path)
    monkeypatch.setattr("charrnn.training.session.evaluate", lambda *_, **__: Score(float("nan"), 0.0, 1))
    _, message = collected(one)
    assert "step 7: the validation loss is nan" in message and "is of step 0" in message


def test_the_loss_of_what_is_held_all_but_impossible_is_finite_and_exact() -> None:
    architecture = Architecture(7, (8, 6))
    for dtype, far in ((np.float32, 5000.0), (np.float64, 5000.0)):
        parameters = Parameters(architecture, dtype)
        parameters["b_a"][0] = far  # the others have a probability of e^−5000
        expected = far * (IDS[1:41] != 0).mean()
        with np.errstate(all="raise", under="ignore", divide="ignore"):
            assert evaluate(parameters, IDS[:41]).nats_per_char == pytest.approx(expected, rel=1e-6)
        state = evaluate(parameters, IDS[:2]).state
        assert evaluate(parameters, IDS[1:2], state=state).nats_per_char in (pytest.approx(far), 0.0)
        window = truncation("full", 40).window(0, 40)
        gradient, ids = Parameters(architecture, dtype), IDS[:41, None]
        total, _ = Stack(architecture, dtype).loss_and_gradient(parameters, ids[:-1], ids[1:], None, window, gradient)
        assert total / 40 == pytest.approx(expected, rel=1e-6) and np.isfinite(gradient.vector).all()
