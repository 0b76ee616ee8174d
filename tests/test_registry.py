"""What is added to a registry is checked at once: its name, its kind, and what can be known of how it works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from charrnn.errors import ConfigError, UnknownNameError
from charrnn.network.activations import Activation
from charrnn.network.cells import Cell
from charrnn.network.parameters import Architecture, initial
from charrnn.network.truncation import Truncation
from charrnn.registry import ACTIVATIONS, CELLS, INITS, OPTIMIZERS, SCHEDULES, TRUNCATIONS, Registry
from charrnn.training.optimizers import SGD, Optimizer
from charrnn.training.schedules import Progress, learning_rate_factor

REGISTRIES = [ACTIVATIONS, CELLS, INITS, OPTIMIZERS, SCHEDULES, TRUNCATIONS]
of_kind = pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    before = [set(registry) for registry in REGISTRIES]
    yield
    assert [set(registry) for registry in REGISTRIES] == before


@of_kind
@pytest.mark.parametrize("name", ["a b", "", "x" * 61, "é", "../x", "a\nb", "a: b", 3, None, ("a",), ["a"]])
def test_a_name_that_no_checkpoint_could_hold_is_refused(registry: Registry, name: Any) -> None:
    good = registry[next(iter(registry))]
    with pytest.raises(ValueError, match=rf"^{registry.kind} .*: a name must be 1 to 60 letters, digits, and _ . -$"):
        registry[name] = good
    assert name not in registry


@of_kind
@pytest.mark.parametrize("thing", [None, 3, "x", "charrnn.network.truncation:Full", np.ones(2), SGD()])
def test_a_thing_of_another_kind_is_refused(registry: Registry, thing: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{registry.kind} mine: must be a"):
        registry["mine"] = thing


@pytest.mark.parametrize("registry", [CELLS, OPTIMIZERS, TRUNCATIONS], ids=lambda registry: registry.kind)
@pytest.mark.parametrize("thing", [object, lambda *arguments: None, Optimizer, Cell])
def test_a_class_must_be_of_its_registrys_kind_and_define_what_is_its_own(registry: Registry, thing: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{registry.kind} mine: must "):
        registry["mine"] = thing


@pytest.mark.parametrize("slots", [None, "abc", ("m", "m"), ("é",), ("a/b",), (3,), ["m"], ("x" * 61,)])
def test_slots_that_no_checkpoint_could_hold_are_refused(slots: Any) -> None:
    with pytest.raises(ValueError, match=r"^optimizer mine: slots must be a tuple of different names"):
        OPTIMIZERS["mine"] = type("Mine", (SGD,), {"slots": slots})


@pytest.mark.parametrize(
    "delta",
    [lambda self, g, slots, out, rate, t: rate * g, lambda self, g, slots, out, rate, t: out[1:].fill(0)],
    ids=["returned", "in part"],
)
def test_an_optimizer_that_does_not_write_its_update_is_refused(delta: Any) -> None:
    with pytest.raises(ValueError, match=r"^optimizer mine: delta must write finite numbers into all of `out`"):
        OPTIMIZERS["mine"] = type("Mine", (Optimizer,), {"delta": delta})


def test_a_cells_parameters_must_have_names_that_a_checkpoint_can_hold() -> None:
    class Greek(CELLS["rnn"]):  # type: ignore[misc]
        def shapes(self, d: int, h: int) -> dict[str, tuple[int, ...]]:
            return {**super().shapes(d, h), "γ": (h,)}

    with pytest.raises(ValueError, match=r"^cell greek: a parameter's name must be .*γ"):
        CELLS["greek"] = Greek


@pytest.mark.parametrize(
    "dphi", [lambda H, out: np.subtract(1, H, out), lambda H, out: 1 - H * H, lambda H, out: out.fill(np.nan)]
)
def test_an_activation_whose_derivative_is_wrong_is_refused(dphi: Any) -> None:
    with pytest.raises(ValueError, match=r"^activation mine: dphi differs from the derivative of phi$"):
        ACTIVATIONS["mine"] = Activation(np.tanh, dphi)


@of_kind
def test_the_activations_and_all_else_of_the_package_pass_the_checks(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(registry):
        monkeypatch.setitem(registry, f"again.{name}", registry[name])
        assert registry[f"again.{name}"] is registry[name]


@of_kind
@pytest.mark.parametrize("name", ["nothing", None, 3, ["a"]])
def test_to_read_or_delete_what_is_not_there_is_the_same_error(registry: Registry, name: Any) -> None:
    for use in (registry.__getitem__, registry.__delitem__, registry.pop):
        with pytest.raises(UnknownNameError, match=rf"^{registry.kind} .*: must be one of {next(iter(registry))}, "):
            use(name)
    assert registry.get(name) is None


@pytest.mark.parametrize("factor", [0.5, np.float32(0.5), np.float64(0.5)])
def test_a_schedule_may_give_any_real_number(monkeypatch: pytest.MonkeyPatch, factor: Any) -> None:
    monkeypatch.setitem(SCHEDULES, "mine", lambda progress: factor)
    given = learning_rate_factor("mine", Progress(0, 0.0), 0)
    assert given == 0.5 and type(given) is float


@pytest.mark.parametrize("factor", [None, "1", -1, float("nan"), float("inf"), 1j, np.ones(3)])
def test_a_schedule_that_gives_no_factor_is_named(monkeypatch: pytest.MonkeyPatch, factor: Any) -> None:
    monkeypatch.setitem(SCHEDULES, "mine", lambda progress: factor)
    with pytest.raises(
        ValueError, match=r"^schedule mine: must give a finite number of at least 0, gave .* after 7 upda"
    ):
        learning_rate_factor("mine", Progress(7, 0.5), 0)


def test_starting_weights_that_are_not_finite_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INITS, "mine", lambda W, fan_in, recurrent, rng: W.fill(np.nan))
    with pytest.raises(ConfigError, match=r"^init mine: must give finite weights"):
        initial(Architecture(5, (3,)), np.random.default_rng(0), init="mine")


def test_a_truncation_may_be_registered_under_the_name_of_another() -> None:
    before = TRUNCATIONS["full"]
    TRUNCATIONS["full"] = Truncation
    try:
        assert TRUNCATIONS["full"] is Truncation
    finally:
        TRUNCATIONS["full"] = before
