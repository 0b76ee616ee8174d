"""The hand-written gradient against derivatives that know nothing of it."""

import numpy as np
import pytest

from charrnn.errors import CharrnnError
from charrnn.network import one_hot
from charrnn.network.parallel import ParallelStack
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import Stack, segment_length, zero_state
from charrnn.network.truncation import Policy, Truncation
from charrnn.text.batches import Streams
from charrnn.training.config import TrainConfig
from charrnn.training.loop import Dropout, Trainer

T, n, d = 7, 3, 5
STACKS = [(4,), (4, 3), (3, 5, 2)]
PHI = {
    "tanh": np.tanh,
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "relu": lambda z: z * (z.real > 0),
}


def naive_losses(p, ids, targets, H0, replace=None):
    """The document's equations step by step: the loss of every step and the states after it.

    `replace(t, l, H)` gives the state that step t of layer l sees instead of H.
    """
    phi = PHI[p.architecture.activation]
    H, trace, losses = [h.astype(p.vector.dtype) for h in H0], [], []
    for t in range(len(ids)):
        if replace:
            H = [replace(t, i, h) for i, h in enumerate(H)]
        X = np.eye(d)[ids[t]]
        for i in range(len(H)):
            W_x, W_hh, b = p.layer(i + 1)
            H[i] = X = phi(X @ W_x + H[i] @ W_hh + b)
        W_ha, b_a = p.output()
        Z = X @ W_ha + b_a
        losses.append((np.log(np.exp(Z).sum(1)) - Z[np.arange(len(Z)), targets[t]]).sum())
        trace.append([h.real.copy() for h in H])
    return np.array(losses), trace


def naive_gradient(p, objective):
    """Complex-step derivative of `objective(parameters)` by every weight."""
    numeric = np.empty_like(p.vector)
    for i in range(numeric.size):
        shifted = p.vector.astype(complex)
        shifted[i] += 1e-30j
        numeric[i] = objective(Parameters(p.architecture, complex, shifted)).imag / 1e-30
    return numeric


def setup(hidden, activation, T=T):
    rng = np.random.default_rng(3)
    p = Parameters(Architecture(d, hidden, activation), np.float64)
    p.vector[:] = rng.standard_normal(p.vector.size) * 0.5
    ids, targets = rng.integers(0, d, (2, T, n))
    H0 = [rng.standard_normal((n, h)) * 0.3 for h in hidden]
    return p, ids, targets, H0


def program_gradient(p, ids, targets, H0, truncation, **options):
    gradient = Parameters(p.architecture, np.float64)
    stack = Stack(p.architecture, np.float64)
    loss, state = stack.loss_and_gradient(p, ids, targets, H0, truncation, gradient, **options)
    return loss, gradient.vector, state


def window(name, tau=None, steps=T, seed=0, **options):
    return Policy(name, steps, tau, **options).window(0, steps, [seed])


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
    loss, gradient, state = program_gradient(p, ids, targets, H0, window("full"))
    losses, trace = naive_losses(p, ids, targets, H0)
    np.testing.assert_allclose(loss, losses.sum() / (T * n), rtol=1e-13)
    for ours, naive in zip(state, trace[-1], strict=True):
        np.testing.assert_allclose(ours, naive, rtol=1e-12, atol=1e-15)
    assert close(gradient, naive_gradient(p, lambda q: naive_losses(q, ids, targets, H0)[0].sum() / (T * n)))


@pytest.mark.parametrize("tau", [1, 2, 3, T])
@pytest.mark.parametrize("activation", PHI)
@pytest.mark.parametrize("hidden", STACKS)
def test_fixed_gradient_is_that_of_blocks_whose_first_state_is_held_constant(hidden, activation, tau):
    p, ids, targets, H0 = setup(hidden, activation)
    _, gradient, _ = program_gradient(p, ids, targets, H0, window("fixed", tau))
    _, reference = naive_losses(p, ids, targets, H0)

    def objective(q):
        total = 0
        for start in range(0, T, tau):
            before = H0 if start == 0 else reference[start - 1]
            total += naive_losses(q, ids[start : start + tau], targets[start : start + tau], before)[0].sum()
        return total / (T * n)

    assert close(gradient, naive_gradient(p, objective))


@pytest.mark.parametrize("tau", [1, 2, 4, T + 3])
@pytest.mark.parametrize("activation", PHI)
@pytest.mark.parametrize("hidden", STACKS)
def test_sliding_gradient_gives_every_loss_its_own_last_tau_steps(hidden, activation, tau):
    p, ids, targets, H0 = setup(hidden, activation)
    context = 2  # steps without a loss, through which the first losses still reach back
    truncation = Truncation(np.ones(T), context, T - context, lags=tau)
    _, gradient, _ = program_gradient(p, ids, targets[context:], H0, truncation)
    _, reference = naive_losses(p, ids, targets, H0)

    def objective(q):
        total = 0
        for t in range(context, T):
            start = max(t - tau + 1, 0)
            before = H0 if start == 0 else reference[start - 1]
            total += naive_losses(q, ids[start : t + 1], targets[start : t + 1], before)[0][-1]
        return total / ((T - context) * n)

    assert close(gradient, naive_gradient(p, objective))


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
    policy = Policy("random", 3, 3, cut)
    seed = next(s for s in range(99) if len(set(policy.window(0, T, [s]).gains)) > 1)
    truncation = policy.window(0, T, [seed])
    steps = len(truncation.gains)
    ids, targets = ids[:steps], targets[:steps]
    _, gradient, _ = program_gradient(p, ids, targets, H0, truncation)
    _, reference = naive_losses(p, ids, targets, H0)
    replace = cut_at(truncation.gains, reference)
    numeric = naive_gradient(p, lambda q: naive_losses(q, ids, targets, H0, replace)[0].sum() / (n * 5))
    assert close(gradient, numeric)  # 5 = seq_length + τ − 1, whatever the length that came out


@pytest.mark.parametrize("activation", PHI)
@pytest.mark.parametrize("hidden", STACKS)
@pytest.mark.parametrize("cut", ["constant", "polynomial"])
def test_random_gradient_is_the_full_one_on_the_mean_over_all_cut_patterns(hidden, activation, cut):
    p, ids, targets, H0 = setup(hidden, activation)
    full = program_gradient(p, ids, targets, H0, window("full"))[1]
    policy = Policy("random", T, 3, cut)
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
        mean += probability * program_gradient(p, ids, targets, H0, Truncation(np.array(gains), 0, T))[1]
        mass += probability
    assert abs(mass - 1) < 1e-12
    assert close(mean, full)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cut", ["constant", "polynomial"])
def test_random_gains_are_zero_at_a_cut_and_the_inverse_of_staying_uncut_elsewhere(cut, seed):
    policy = Policy("random", 200, 5, cut)
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
    policy = Policy("random", 10, 6, cut)
    lengths = [len(policy.window(0, 10_000, [seed]).gains) for seed in range(2000)]
    assert min(lengths) == 10
    if cut == "constant":  # memoryless: the mean overshoot is τ − 1
        assert abs(np.mean(lengths) - (10 + 6 - 1)) < 0.5


@pytest.mark.parametrize("options", [("sliding", 4), ("sliding", 9), ("fixed", 7), ("fixed", 3), ("full", None)])
def test_training_gives_each_window_of_a_stream_the_gradient_of_its_own_truncation(options):
    name, tau = options
    steps, width = 5, 2
    ids = np.random.default_rng(5).integers(0, d, 2 * 20 + 1)
    config = TrainConfig(
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
    p, reference = trainer.parameters, [zero, *naive_losses(trainer.parameters, inputs, targets, zero)[1]]
    for start in range(0, 20, steps):
        trainer.update()

        def objective(q, start=start):
            total = 0
            for t in range(start, start + steps):
                first = {"full": start, "fixed": t - t % (tau or 1), "sliding": max(t - (tau or 1) + 1, 0)}[name]
                part = slice(first, t + 1)
                total += naive_losses(q, inputs[part], targets[part], reference[first])[0][-1]
            return total / (steps * width)

        assert close(trainer.gradient.vector, naive_gradient(p, objective))


@pytest.mark.parametrize("alpha", [4.0, 6.0])
@pytest.mark.parametrize("cut", ["constant", "polynomial"])
def test_mean_length_of_a_random_segment_is_tau(cut, alpha):
    tau = 50
    policy = Policy("random", 1, tau, cut, alpha)
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
    truncation = Policy(name, steps, None if name == "full" else 100).window(0, steps, [1])
    kept = program_gradient(p, ids, targets, H0, truncation, keep=300)
    again = program_gradient(p, ids, targets, H0, truncation, keep=300, recompute=True)
    assert kept[0] == again[0]
    assert (kept[1] == again[1]).all()
    assert all((a == b).all() for a, b in zip(kept[2], again[2], strict=True))


def test_segments_change_nothing_but_rounding():
    steps = 600
    p, ids, targets, H0 = setup((4, 3), "tanh", steps)
    p.vector *= 0.5
    loss, gradient, state = program_gradient(p, ids, targets, H0, window("full", steps=steps))
    sliding = window("sliding", steps, steps=steps)  # one segment by definition, and equal to full
    loss_1, gradient_1, _ = program_gradient(p, ids, targets, H0, sliding)
    np.testing.assert_allclose(loss, loss_1, rtol=1e-13)
    assert close(gradient, gradient_1)
    for ours, naive in zip(state, naive_losses(p, ids, targets, H0)[1][-1], strict=True):
        np.testing.assert_allclose(ours, naive, rtol=1e-10)


def test_segments_that_begin_at_a_cut_change_nothing(monkeypatch):
    steps, border = 300, segment_length(300)
    assert border < steps
    p, ids, targets, H0 = setup((4, 3), "tanh", steps)
    truncation = window("fixed", border, steps=steps)
    in_segments = program_gradient(p, ids, targets, H0, truncation)[1]
    monkeypatch.setattr("charrnn.network.stack.segment_length", lambda T: T)
    assert close(in_segments, program_gradient(p, ids, targets, H0, truncation)[1])


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
    A = stack.probabilities(p, stack.forward(p, ids[:1], zero_state(p, n)))[0]
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

    _, gradient, _ = program_gradient(p, ids, targets, H0, window("full"), masks=masks)
    assert close(gradient, naive_gradient(p, objective))
    _, by_lag, _ = program_gradient(p, ids, targets, H0, window("sliding", T), masks=masks)
    assert close(by_lag, gradient)


@pytest.mark.torch
@pytest.mark.parametrize("hidden", [(6,), (6, 6)])
def test_losses_and_gradients_equal_those_of_torch_rnn(hidden):
    import torch

    p, ids, targets, H0 = setup(hidden, "tanh")
    rnn = torch.nn.RNN(d, 6, len(hidden)).double()
    head = torch.nn.Linear(6, d).double()
    with torch.no_grad():
        for i in range(len(hidden)):
            W_x, W_hh, b = p.layer(i + 1)
            getattr(rnn, f"weight_ih_l{i}").copy_(torch.from_numpy(W_x.T.copy()))
            getattr(rnn, f"weight_hh_l{i}").copy_(torch.from_numpy(W_hh.T.copy()))
            getattr(rnn, f"bias_ih_l{i}").copy_(torch.from_numpy(b))
            getattr(rnn, f"bias_hh_l{i}").zero_()
        W_ha, b_a = p.output()
        head.weight.copy_(torch.from_numpy(W_ha.T.copy()))
        head.bias.copy_(torch.from_numpy(b_a))
    out, _ = rnn(torch.from_numpy(np.eye(d)[ids]), torch.from_numpy(np.stack(H0)))
    loss = torch.nn.functional.cross_entropy(head(out).reshape(-1, d), torch.from_numpy(targets.reshape(-1)))
    loss.backward()
    ours, gradient, _ = program_gradient(p, ids, targets, H0, window("full"))
    g = Parameters(p.architecture, np.float64, gradient)
    np.testing.assert_allclose(ours, loss.item(), rtol=1e-12)
    for i in range(len(hidden)):
        for key, ours_i in zip(("weight_ih", "weight_hh", "bias_ih"), g.layer(i + 1), strict=True):
            np.testing.assert_allclose(ours_i.T, getattr(rnn, f"{key}_l{i}").grad.numpy(), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(g.output()[0].T, head.weight.grad.numpy(), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", ["full", "fixed", "sliding", "random"])
@pytest.mark.parametrize("workers", [2, 3])
def test_workers_that_share_the_batch_give_the_gradient_of_one(name, workers):
    p, ids, targets, H0 = setup((4, 3), "tanh")
    truncation = Policy(name, T, None if name == "full" else 3).window(0, T, [0])
    ids, targets = ids[: len(truncation.gains)], targets[: len(truncation.gains)]

    masks = Dropout(0.5, (4, 3), n, "float64", (0, 0))
    loss, gradient, state = program_gradient(p, ids, targets, H0, truncation, masks=masks)
    shared = Parameters(p.architecture, np.float64)
    stack = ParallelStack(p.architecture, np.float64, workers)
    loss_2, state_2 = stack.loss_and_gradient(p, ids, targets, H0, truncation, shared, masks=masks)
    np.testing.assert_allclose(loss_2, loss, rtol=1e-13)
    assert close(shared.vector, gradient)
    for ours, theirs in zip(state_2, state, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


def test_workers_follow_the_weights_keep_the_state_of_an_earlier_step_and_run_segments_again():
    steps = 300  # more than one segment
    p, ids, targets, H0 = setup((4, 3), "tanh", steps)
    truncation = window("full", steps=steps)
    shared, stack = Parameters(p.architecture, np.float64), ParallelStack(p.architecture, np.float64, 3)
    options = {"keep": 100, "recompute": True}
    for _ in range(2):
        _, gradient, state = program_gradient(p, ids, targets, H0, truncation, **options)
        _, state_2 = stack.loss_and_gradient(p, ids, targets, H0, truncation, shared, **options)
        assert close(shared.vector, gradient)
        for ours, theirs in zip(state_2, state, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)
        p.vector[:] += 0.1 * gradient / np.abs(gradient).max()
    recomputing = stack._others[0].nbytes
    stack.loss_and_gradient(p, ids, targets, H0, truncation, shared)
    assert recomputing < stack._others[0].nbytes


def test_a_worker_that_fails_or_dies_is_told_and_an_answer_not_fetched_is_not_taken_for_another():
    p, ids, targets, H0 = setup((4,), "tanh")
    _, expected, _ = program_gradient(p, ids, targets, H0, window("full"))
    stack = ParallelStack(p.architecture, np.float64, 3)
    gradient = Parameters(p.architecture, np.float64)
    for failing in range(3):  # the others have their answers, which must not be taken for those of the next step
        impossible = np.where((np.arange(n) == failing) & (np.arange(T)[:, None] == 0), d, targets)
        with pytest.raises(IndexError):
            stack.loss_and_gradient(p, ids, impossible, H0, window("full"), gradient)
        stack.loss_and_gradient(p, ids, targets, H0, window("full"), gradient)
        assert close(gradient.vector, expected)
    stack._others[1]._process.kill()
    with pytest.raises(CharrnnError, match="worker process ended early"):
        stack.loss_and_gradient(p, ids, targets, H0, window("full"), gradient)
