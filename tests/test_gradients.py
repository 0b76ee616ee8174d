"""The hand-written gradient against derivatives that know nothing of it."""

import numpy as np
import pytest

from charrnn.network import truncation
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import backward, cross_entropy, forward, zero_state

T, n, d = 7, 3, 5


def naive_loss(p, ids, targets, H0, activation, cut=None, reference=None):
    """The document's equations step by step; states that cross a cut are taken from `reference`."""
    phi = {
        "tanh": np.tanh,
        "identity": lambda z: z,
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "relu": lambda z: z * (z.real > 0),
    }[activation]
    H, trace, loss = [h.astype(complex) for h in H0], [], 0
    for t in range(len(ids)):
        if cut and t % cut == 0 and t and reference is not None:
            H = [h.astype(complex) for h in reference[t - 1]]
        X = np.eye(d)[ids[t]]
        for i in range(len(H)):
            W_x, W_hh, b = p.layer(i + 1)
            H[i] = X = phi(X @ W_x + H[i] @ W_hh + b)
        W_ha, b_a = p.output()
        Z = X @ W_ha + b_a
        loss = loss + (np.log(np.exp(Z).sum(1)) - Z[np.arange(n), targets[t]]).sum()
        trace.append([h.real.copy() for h in H])
    return loss / (T * n), trace


def setup(hidden, activation):
    rng = np.random.default_rng(3)
    p = Parameters(Architecture(d, hidden, activation), np.float64)
    p.vector[:] = rng.standard_normal(p.vector.size) * 0.5
    ids, targets = rng.integers(0, d, (2, T, n))
    H0 = [rng.standard_normal((n, h)) * 0.3 for h in hidden]
    return p, ids, targets, H0


@pytest.mark.parametrize("tau", [None, 1, 2, 3, T])
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "identity"])
@pytest.mark.parametrize("hidden", [(4,), (4, 3), (3, 5, 2)])
def test_gradient_equals_complex_step_of_the_objective_with_cut_states_held_constant(hidden, activation, tau):
    p, ids, targets, H0 = setup(hidden, activation)
    tape = forward(p, ids, H0)
    gradient = Parameters(p.architecture, np.float64)
    gains = truncation.full(T) if tau is None else truncation.fixed(T, tau)
    backward(p, tape, targets, gains, gradient)
    loss, reference = naive_loss(p, ids, targets, H0, activation)
    np.testing.assert_allclose(cross_entropy(tape, targets).mean(), loss.real, rtol=1e-13)
    numeric = np.empty_like(gradient.vector)
    for i in range(numeric.size):
        shifted = p.vector.astype(complex)
        shifted[i] += 1e-30j
        q = Parameters(p.architecture, complex, shifted)
        value, _ = naive_loss(q, ids, targets, H0, activation, tau, reference)
        numeric[i] = value.imag / 1e-30
    assert np.abs(gradient.vector - numeric).max() < 1e-10 * np.abs(numeric).max()


def test_one_step_from_a_zero_state_is_the_feed_forward_network():
    p, ids, _, _ = setup((4, 3), "tanh")
    tape = forward(p, ids[:1], zero_state(p, n))
    H1 = np.tanh(np.eye(d)[ids[0]] @ p["W_xh1"] + p["b_h1"])
    H2 = np.tanh(H1 @ p["W_h1h2"] + p["b_h2"])
    Z = np.exp(H2 @ p["W_h2a"] + p["b_a"])
    np.testing.assert_allclose(tape.A, Z / Z.sum(1, keepdims=True), rtol=1e-13)


@pytest.mark.torch
def test_gradient_equals_that_of_torch_nn_rnn():
    import torch

    p, ids, targets, H0 = setup((4, 4), "tanh")
    net = torch.nn.RNN(d, 4, 2).double()
    with torch.no_grad():
        for i in (1, 2):
            W_x, W_hh, b = p.layer(i)
            getattr(net, f"weight_ih_l{i - 1}").copy_(torch.from_numpy(W_x.T.copy()))
            getattr(net, f"weight_hh_l{i - 1}").copy_(torch.from_numpy(W_hh.T.copy()))
            getattr(net, f"bias_ih_l{i - 1}").copy_(torch.from_numpy(b.copy()))
            getattr(net, f"bias_hh_l{i - 1}").zero_()
    out, _ = net(torch.from_numpy(np.eye(d)[ids]), torch.from_numpy(np.stack(H0)))
    W_ha, b_a = (torch.from_numpy(w.copy()) for w in p.output())
    logits = (out @ W_ha + b_a).reshape(-1, d)
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets.ravel())).backward()
    gradient = Parameters(p.architecture, np.float64)
    backward(p, forward(p, ids, H0), targets, truncation.full(T), gradient)
    for i in (1, 2):
        dW_x, dW_hh, db = gradient.layer(i)
        for ours, theirs in ((dW_x, "weight_ih"), (dW_hh, "weight_hh"), (db, "bias_ih")):
            expected = getattr(net, f"{theirs}_l{i - 1}").grad.numpy().T
            np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-12)
