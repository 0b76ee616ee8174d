"""The hand-written gradient against derivatives that know nothing of it."""

import numpy as np
import pytest
from oracle import PHI, gradient, losses, random_parameters, random_state, zero_state

from charrnn.engine.batch import Dropout
from charrnn.network import one_hot
from charrnn.network.parameters import Parameters
from charrnn.network.stack import Stack, segment_length
from charrnn.network.truncation import Random, Window, truncation
from charrnn.text.batches import Streams
from charrnn.training.loop import Trainer
from charrnn.training.settings import Settings

T, n, d = 7, 3, 5
STACKS = [(4,), (4, 3), (3, 5, 2)]


def setup(hidden, activation, T=T, cell="rnn"):
    p = random_parameters(hidden, d, activation, cell)
    ids, targets = np.random.default_rng(3).integers(0, d, (2, T, n))
    return p, ids, targets, random_state(p, n)


def program_gradient(p, ids, targets, H0, window, **options):
    """The mean loss, the gradient and the state, as the stack computes them."""
    into = Parameters(p.architecture, np.float64)
    stack = Stack(p.architecture, np.float64)
    total, state = stack.loss_and_gradient(p, ids, targets, H0, window, into, **options)
    return total / targets.size, into.vector, state


def window(name, tau=None, steps=T, seed=0, **options):
    return truncation(name, steps, tau=tau, **options).window(0, steps, [seed])


def close(analytical, numeric):
    return np.abs(analytical - numeric).max() < 1e-11 * np.abs(numeric).max()


def cut_at(gains, reference):
    """Replaces H that crosses transition t by H_ref + gain·(H − H_ref): the value stays, its derivative is scaled."""

    def replace(t, i, H):
        return H if t == 0 else reference[t - 1][i] + gains[t] * (H - reference[t - 1][i])

    return replace


@pytest.mark.parametrize("activation", PHI)
@pytest.mark.parametrize("hidden", STACKS)
def test_full_gradient_loss_and_state_equal_complex_step_of_a_naive_loop(hidden, activation):
    p, ids, targets, H0 = setup(hidden, activation)
    loss, ours, state = program_gradient(p, ids, targets, H0, window("full"))
    each, trace = losses(p, ids, targets, H0)
    np.testing.assert_allclose(loss, each.sum() / (T * n), rtol=1e-13)
    for kept, naive in zip(state, trace[-1], strict=True):
        np.testing.assert_allclose(kept, naive, rtol=1e-12, atol=1e-15)
    assert close(ours, gradient(p, lambda q: losses(q, ids, targets, H0)[0].sum() / (T * n)))


@pytest.mark.parametrize("tau", [1, 2, 3, T])
@pytest.mark.parametrize("activation", PHI)
@pytest.mark.parametrize("hidden", STACKS)
def test_fixed_gradient_is_that_of_blocks_whose_first_state_is_held_constant(hidden, activation, tau):
    p, ids, targets, H0 = setup(hidden, activation)
    _, ours, _ = program_gradient(p, ids, targets, H0, window("fixed", tau))
    _, reference = losses(p, ids, targets, H0)

    def objective(q):
        total = 0
        for start in range(0, T, tau):
            before = H0 if start == 0 else reference[start - 1]
            total += losses(q, ids[start : start + tau], targets[start : start + tau], before)[0].sum()
        return total / (T * n)

    assert close(ours, gradient(p, objective))


@pytest.mark.parametrize("tau", [1, 2, 4, T + 3])
@pytest.mark.parametrize("activation", PHI)
@pytest.mark.parametrize("hidden", STACKS)
def test_sliding_gradient_gives_every_loss_its_own_last_tau_steps(hidden, activation, tau):
    p, ids, targets, H0 = setup(hidden, activation)
    context = 2  # steps without a loss, through which the first losses still reach back
    cuts = Window(np.ones(T), context, T - context, lags=tau)
    _, ours, _ = program_gradient(p, ids, targets[context:], H0, cuts)
    _, reference = losses(p, ids, targets, H0)

    def objective(q):
        total = 0
        for t in range(context, T):
            start = max(t - tau + 1, 0)
            before = H0 if start == 0 else reference[start - 1]
            total += losses(q, ids[start : t + 1], targets[start : t + 1], before)[0][-1]
        return total / ((T - context) * n)

    assert close(ours, gradient(p, objective))


@pytest.mark.parametrize("activation", PHI)
@pytest.mark.parametrize("hidden", STACKS)
def test_sliding_over_at_least_the_whole_sequence_is_full(hidden, activation):
    p, ids, targets, H0 = setup(hidden, activation)
    full = program_gradient(p, ids, targets, H0, window("full"))[1]
    for tau in (T, T + 5):
        assert close(program_gradient(p, ids, targets, H0, window("sliding", tau))[1], full)


@pytest.mark.parametrize("cut", ["constant", "polynomial"])
@pytest.mark.parametrize("hidden", STACKS)
def test_random_gradient_equals_the_objective_whose_crossings_are_scaled_by_their_weight(hidden, cut):
    p, ids, targets, H0 = setup(hidden, "tanh")
    policy = Random(3, 3, cut)
    seed = next(s for s in range(99) if len(set(policy.window(0, T, [s]).gains)) > 1)
    cuts = policy.window(0, T, [seed])
    steps = len(cuts.gains)
    ids, targets = ids[:steps], targets[:steps]
    _, ours, _ = program_gradient(p, ids, targets, H0, cuts)
    _, reference = losses(p, ids, targets, H0)
    replace = cut_at(cuts.gains, reference)
    numeric = gradient(p, lambda q: losses(q, ids, targets, H0, replace)[0].sum() / (n * 5))
    assert close(ours, numeric)  # 5 = seq_length + τ − 1, whatever the length that came out


@pytest.mark.parametrize("activation", PHI)
@pytest.mark.parametrize("hidden", STACKS)
@pytest.mark.parametrize("cut", ["constant", "polynomial"])
def test_random_gradient_is_the_full_one_on_the_mean_over_all_cut_patterns(hidden, activation, cut):
    p, ids, targets, H0 = setup(hidden, activation)
    full = program_gradient(p, ids, targets, H0, window("full"))[1]
    policy = Random(T, 3, cut)
    mean, mass = np.zeros_like(full), 0.0
    for pattern in range(2 ** (T - 1)):
        probability, since, gains = 1.0, 1, [0.0]
        for t in range(T - 1):
            c = policy.cut_probability(since)
            if pattern >> t & 1:
                probability, since = probability * c, 1
                gains.append(0.0)
            else:
                probability, since = probability * (1 - c), since + 1
                gains.append(1 / (1 - c))
        mean += probability * program_gradient(p, ids, targets, H0, Window(np.array(gains), 0, T))[1]
        mass += probability
    assert abs(mass - 1) < 1e-12
    assert close(mean, full)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cut", ["constant", "polynomial"])
def test_random_gains_are_zero_at_a_cut_and_the_inverse_of_staying_uncut_elsewhere(cut, seed):
    policy = Random(200, 5, cut)
    gains = policy.window(0, 1000, [seed]).gains
    assert len(gains) >= 200 and gains[0] == 0
    since = 1  # a window begins right after a cut
    for gain in gains[1:]:
        if gain:
            assert gain == 1 / (1 - policy.cut_probability(since))
            since += 1
        else:
            since = 1
    assert 20 < (gains == 0).sum() < 80


@pytest.mark.parametrize("cut", ["constant", "polynomial"])
def test_random_windows_end_at_a_cut_at_or_after_the_sequence_length(cut):
    policy = Random(10, 6, cut)
    lengths = [len(policy.window(0, 10_000, [seed]).gains) for seed in range(2000)]
    assert min(lengths) == 10
    if cut == "constant":  # memoryless: the mean overshoot is τ − 1
        assert abs(np.mean(lengths) - (10 + 6 - 1)) < 0.5


@pytest.mark.parametrize("options", [("sliding", 4), ("sliding", 9), ("fixed", 7), ("fixed", 3), ("full", None)])
def test_training_gives_each_window_of_a_stream_the_gradient_of_its_own_truncation(options):
    name, tau = options
    steps, width = 5, 2
    ids = np.random.default_rng(5).integers(0, d, 2 * 20 + 1)
    config = Settings(
        hidden=(4, 3),
        seq_length=steps,
        batch_size=width,
        truncation=name,
        tau=tau,
        dtype="float64",
        learning_rate=1e-30,
        grad_clip=0,
        max_steps=99,
    )
    trainer = Trainer(config, d, Streams(ids, width, steps))
    inputs, targets = trainer.streams.read(0, 0, 20)
    zero = zero_state(trainer.parameters, width)
    p, reference = trainer.parameters, [zero, *losses(trainer.parameters, inputs, targets, zero)[1]]
    for start in range(0, 20, steps):
        trainer.update()

        def objective(q, start=start):
            total = 0
            for t in range(start, start + steps):
                first = {"full": start, "fixed": t - t % (tau or 1), "sliding": max(t - (tau or 1) + 1, 0)}[name]
                part = slice(first, t + 1)
                total += losses(q, inputs[part], targets[part], reference[first])[0][-1]
            return total / (steps * width)

        assert close(trainer.gradient.vector, gradient(p, objective))


@pytest.mark.parametrize("alpha", [4.0, 6.0])
@pytest.mark.parametrize("cut", ["constant", "polynomial"])
def test_mean_length_of_a_random_segment_is_tau(cut, alpha):
    tau = 50
    policy = Random(1, tau, cut, alpha)
    mean, survival = 0.0, 1.0
    for length in range(1, 200_000):
        mean += survival
        survival *= 1 - policy.cut_probability(length)
    assert abs(mean - tau) < 0.01


@pytest.mark.parametrize("name", ["full", "fixed", "random"])
@pytest.mark.parametrize("batch", [1, n])
def test_recompute_and_kept_states_give_the_same_bits(name, batch):
    steps = 600  # more than one segment
    p, ids, targets, H0 = setup((4, 3), "tanh", steps)
    ids, targets, H0 = ids[:, :batch], targets[:, :batch], [h[:batch] for h in H0]
    cuts = window(name, None if name == "full" else 100, steps, seed=1)
    kept = program_gradient(p, ids, targets, H0, cuts, keep=300)
    again = program_gradient(p, ids, targets, H0, cuts, keep=300, recompute=True)
    assert kept[0] == again[0]
    assert (kept[1] == again[1]).all()
    assert all((a == b).all() for a, b in zip(kept[2], again[2], strict=True))


def test_segments_change_nothing_but_rounding():
    steps = 600
    p, ids, targets, H0 = setup((4, 3), "tanh", steps)
    p.vector *= 0.5
    loss, whole, state = program_gradient(p, ids, targets, H0, window("full", steps=steps))
    sliding = window("sliding", steps, steps=steps)  # one segment by definition, and equal to full
    loss_1, gradient_1, _ = program_gradient(p, ids, targets, H0, sliding)
    np.testing.assert_allclose(loss, loss_1, rtol=1e-13)
    assert close(whole, gradient_1)
    for kept, naive in zip(state, losses(p, ids, targets, H0)[1][-1], strict=True):
        np.testing.assert_allclose(kept, naive, rtol=1e-10)


def test_segments_that_begin_at_a_cut_change_nothing(monkeypatch):
    steps, border = 300, segment_length(300)
    assert border < steps
    p, ids, targets, H0 = setup((4, 3), "tanh", steps)
    cuts = window("fixed", border, steps=steps)
    in_segments = program_gradient(p, ids, targets, H0, cuts)[1]
    monkeypatch.setattr("charrnn.network.stack.segment_length", lambda T: T)
    assert close(in_segments, program_gradient(p, ids, targets, H0, cuts)[1])


@pytest.mark.parametrize("hidden", STACKS)
def test_many_symbols_add_up_rows_to_the_gradient_that_few_get_from_a_product(monkeypatch, hidden):
    p, ids, targets, H0 = setup(hidden, "tanh")
    by_product = program_gradient(p, ids, targets, H0, window("full"))[1]
    monkeypatch.setattr(one_hot, "DENSE", 0)
    assert close(program_gradient(p, ids, targets, H0, window("full"))[1], by_product)


def test_one_hot_inputs_and_ids_give_the_same_bits():
    p, ids, targets, H0 = setup((4, 3), "tanh")
    by_ids = program_gradient(p, ids, targets, H0, window("full"))
    by_one_hot = program_gradient(p, np.eye(d)[ids], targets, H0, window("full"))
    assert by_ids[0] == by_one_hot[0]
    assert (by_ids[1] == by_one_hot[1]).all()
    with pytest.raises(ValueError, match="one-hot"):
        program_gradient(p, np.full((T, n, d), 0.2), targets, H0, window("full"))


def test_a_large_vocabulary_worked_through_in_blocks_gives_the_same_gradient(monkeypatch):
    p, ids, targets, H0 = setup((4, 3), "tanh")
    whole = program_gradient(p, ids, targets, H0, window("full"))
    monkeypatch.setattr("charrnn.network.output.BLOCK", 16 * d)
    blocks = program_gradient(p, ids, targets, H0, window("full"))
    np.testing.assert_allclose(blocks[0], whole[0], rtol=1e-14)
    assert close(blocks[1], whole[1])


def test_one_step_from_a_zero_state_is_the_feed_forward_network():
    p, ids, _, _ = setup((4, 3), "tanh")
    stack = Stack(p.architecture, np.float64)
    A = stack.probabilities(p, stack.forward(p, ids[:1]))[0]
    H1 = np.tanh(np.eye(d)[ids[0]] @ p["W_xh1"] + p["b_h1"])
    H2 = np.tanh(H1 @ p["W_h1h2"] + p["b_h2"])
    Z = np.exp(H2 @ p["W_h2a"] + p["b_a"])
    np.testing.assert_allclose(A, Z / Z.sum(1, keepdims=True), rtol=1e-13)


def test_the_gradient_under_dropout_equals_complex_step_with_the_same_masks():
    p, ids, targets, H0 = setup((4, 3), "tanh")
    stack = Stack(p.architecture, complex)

    def masks(segment, layer, steps):
        shape = (steps, n, p.architecture.hidden[layer - 1])
        return (np.random.default_rng([segment, layer]).random(shape) < 0.5) / 0.5

    def objective(q):
        return stack.losses(q, stack.forward(q, ids, [h.astype(complex) for h in H0], masks), targets).mean()

    _, ours, _ = program_gradient(p, ids, targets, H0, window("full"), masks=masks)
    assert close(ours, gradient(p, objective))
    _, by_lag, _ = program_gradient(p, ids, targets, H0, window("sliding", T), masks=masks)
    assert close(by_lag, ours)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.8])
def test_dropout_drops_its_share_and_scales_the_rest_to_keep_the_mean(rate):
    for layer, h in ((1, 4), (2, 3)):
        mask = Dropout(rate, (4, 3), np.float64, (1, 2)).masks(0, 5)(0, layer, 800)
        assert mask.shape == (800, 5, h)
        np.testing.assert_allclose(np.unique(mask), [0, 1 / (1 - rate)], rtol=1e-15)
        assert abs((mask == 0).mean() - rate) < 5 * (rate * (1 - rate) / mask.size) ** 0.5
