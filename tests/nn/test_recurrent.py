"""LSTM and GRU against their formulas in plain NumPy, and against PyTorch where it is installed."""

import numpy as np
import pytest

from simgraft import _core, nn

SIZES = [(1, 1, 1), (1, 3, 5), (2, 17, 33), (7, 5, 17), (5, 65, 3), (33, 2, 64)]  # steps, channels, units


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, weight, recurrent, bias):
    """States after every step; x (n, steps, channels)."""
    h = c = np.zeros((len(x), recurrent.shape[0]))
    states = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ weight + h @ recurrent + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack(states, 1)


def gru(x, weight, recurrent, bias, recurrent_bias):
    h = np.zeros((len(x), recurrent.shape[0]))
    states = []
    for t in range(x.shape[1]):
        x_r, x_z, x_n = np.split(x[:, t] @ weight + bias, 3, axis=1)
        h_r, h_z, h_n = np.split(h @ recurrent + recurrent_bias, 3, axis=1)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        h = (1 - z) * np.tanh(x_n + r * h_n) + z * h
        states.append(h)
    return np.stack(states, 1)


LAYERS = {"lstm": (nn.LSTM, lstm), "gru": (nn.GRU, gru)}


def build(kind, steps, channels, units, dtype=np.float64, **attributes):
    """A network of one recurrent layer with random biases, and its parameter arrays in order. Weights of the start values do not
    blow up differences from step to step."""
    x = nn.Input((steps, channels))
    network = nn.Network.from_graph(x, LAYERS[kind][0](units, **attributes)(x), seed=3, dtype="float64")
    rng = np.random.default_rng(4)
    for name, view in network._views(network._graph.nodes()[-1]):
        view[:] = view.astype(np.float32) if "weight" in name else rng.normal(0, 0.5, view.shape).astype(np.float32)
    network = network.copy(np.dtype(dtype).name)
    return network, dict(network._views(network._graph.nodes()[-1]))


def rows(n, steps, channels, dtype=np.float64):
    return np.random.default_rng(5).normal(size=(n, steps, channels)).astype(np.float32).astype(dtype)


def as_rows(a):
    return np.ascontiguousarray(a.reshape(len(a), -1))


@pytest.mark.parametrize("steps, channels, units", SIZES)
@pytest.mark.parametrize("kind", LAYERS)
def test_layers_are_what_their_formula_says(kind, steps, channels, units):
    x = rows(53, steps, channels)  # more than a block of rows, no multiple of a tile
    # Sums of at most 98 terms of order one, seen: 4 eps, 4e-7 in float. Ten times that.
    for dtype, limit in ((np.float64, 1e-14), (np.float32, 4e-6)):
        network, views = build(kind, steps, channels, units, dtype)
        states = LAYERS[kind][1](x, *(v.astype(np.float64) for v in views.values()))
        found = network.predict(as_rows(x.astype(dtype)))
        np.testing.assert_allclose(found, as_rows(states), rtol=0, atol=limit)
        last, _ = build(kind, steps, channels, units, dtype, output="last")
        np.testing.assert_array_equal(last.predict(as_rows(x.astype(dtype))), found[:, -units:])


@pytest.mark.parametrize("kind", LAYERS)
def test_reverse_is_the_layer_on_the_steps_from_last_to_first(kind):
    x = rows(5, 7, 3)
    forward, _ = build(kind, 7, 3, 5)
    for output, turn in (("sequence", slice(None, None, -1)), ("last", slice(None))):
        one, _ = build(kind, 7, 3, 5, output=output)
        back, _ = build(kind, 7, 3, 5, output=output, reverse=1)
        expected = one.predict(as_rows(x[:, ::-1])).reshape(5, -1, 5)[:, turn]
        np.testing.assert_array_equal(back.predict(as_rows(x)).reshape(5, -1, 5), expected)
    assert not np.array_equal(forward.predict(as_rows(x)), back.predict(as_rows(x)))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_rows_have_the_same_bits_for_any_split_threads_and_instruction_set(kind, dtype):
    network, _ = build(kind, 9, 5, 33, dtype)
    x = as_rows(rows(101, 9, 5, dtype))
    whole = network.predict(x, num_threads=1)
    np.testing.assert_array_equal(network.predict(x, num_threads=2), whole)
    for size in (1, 2, 49, 100):
        parts = [network.predict(x[i:i + size], num_threads=1) for i in range(0, len(x), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    isas = [isa for isa in ("v3", "v4") if isa <= _core.isa_best() and _core.isa_best().startswith("v")]
    try:
        for isa in isas:
            _core.isa_set(isa)
            np.testing.assert_array_equal(network.predict(x), whole)
    finally:
        _core.isa_set("auto")


@pytest.mark.parametrize("kind", LAYERS)
def test_many_rows_train_with_the_gradient_of_the_sum(kind):
    """Blocks of rows and groups of steps add up: the gradient of 130 rows is the sum of those of single rows."""
    network, _ = build(kind, 6, 3, 17)
    x, rng = as_rows(rows(130, 6, 3)), np.random.default_rng(6)
    d_y = rng.normal(size=(130, network.n_out))
    d_x, d_p = network.vjp(x, d_y)
    alone = [network.vjp(x[i:i + 1], d_y[i:i + 1]) for i in range(130)]
    np.testing.assert_array_equal(d_x, np.concatenate([a for a, _ in alone]))
    # 780 terms of order one
    total = sum(b for _, b in alone)
    np.testing.assert_allclose(d_p, total, rtol=0, atol=1e-13 * 780 * np.abs(total).max())


@pytest.mark.parametrize("kind", LAYERS)
def test_the_gradient_of_a_training_chunk_is_that_of_all_its_rows(kind):
    """A chunk of training starts from nothing where vjp adds to zeros, and takes more rows than a block has."""
    network, _ = build(kind, 2, 3, 5)
    x, y = as_rows(rows(72, 2, 3)), np.random.default_rng(7).normal(size=(72, 10))
    trainer = _core.Trainer(network._graph, network.parameters, ("mse", {}), ("sgd", {}), num_threads=1)
    assert trainer.chunk_rows == 72
    expected = network.vjp(x, 2 * (network.predict(x) - y) / y.size)[1]
    np.testing.assert_allclose(trainer.gradient(x, y, None)[1], expected, rtol=0, atol=1e-14)


def torch_layer(torch, kind, views, channels, units):
    """The layer of PyTorch with our parameters, as the documentation says they correspond."""
    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](channels, units, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor(views["weight"].T))
        layer.weight_hh_l0.copy_(torch.tensor(views["recurrent_weight"].T))
        layer.bias_ih_l0.copy_(torch.tensor(views["bias"]))
        layer.bias_hh_l0.copy_(torch.tensor(views.get("recurrent_bias", np.zeros_like(views["bias"]))))
    return layer


@pytest.mark.parametrize("steps, channels, units", SIZES)
@pytest.mark.parametrize("kind", LAYERS)
def test_values_and_gradients_are_those_of_pytorch(kind, steps, channels, units):
    torch = pytest.importorskip("torch")
    network, views = build(kind, steps, channels, units)
    layer = torch_layer(torch, kind, views, channels, units)
    x = torch.tensor(rows(5, steps, channels), requires_grad=True)
    y = layer(x)[0]
    d_y = torch.tensor(np.random.default_rng(7).normal(size=tuple(y.shape)))
    y.backward(d_y)
    flat = as_rows(x.detach().numpy())
    np.testing.assert_allclose(network.predict(flat), as_rows(y.detach().numpy()), rtol=0, atol=1e-13)
    d_x, d_p = network.vjp(flat, as_rows(d_y.numpy()))
    expected = [layer.weight_ih_l0.grad.T, layer.weight_hh_l0.grad.T, layer.bias_ih_l0.grad]
    expected += [layer.bias_hh_l0.grad] if kind == "gru" else []
    expected = np.concatenate([g.numpy().ravel() for g in expected])
    # sums of up to 33 x 5 x 64 terms, whose sizes the largest element shows
    np.testing.assert_allclose(d_x, as_rows(x.grad.numpy()), rtol=0, atol=1e-12 * max(1, np.abs(x.grad.numpy()).max()))
    np.testing.assert_allclose(d_p, expected, rtol=0, atol=1e-12 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("kind", LAYERS)
def test_both_directions_side_by_side_are_bidirectional_pytorch(kind):
    torch = pytest.importorskip("torch")
    x = nn.Input((7, 3))
    both = nn.Concatenate()(LAYERS[kind][0](5)(x), LAYERS[kind][0](5, reverse=1)(x))
    network = nn.Network.from_graph(x, both, seed=3, dtype="float64")
    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](3, 5, batch_first=True, bidirectional=True, dtype=torch.float64)
    names = {"weight": "weight_ih", "recurrent_weight": "weight_hh", "bias": "bias_ih", "recurrent_bias": "bias_hh"}
    with torch.no_grad():
        for node, end in zip(network._graph.nodes()[1:3], ("l0", "l0_reverse")):
            getattr(layer, f"bias_hh_{end}").zero_()
            for name, view in network._views(node):
                getattr(layer, f"{names[name]}_{end}").copy_(torch.tensor(view.T))
        values = rows(5, 7, 3)
        expected = layer(torch.tensor(values))[0].numpy()
    np.testing.assert_allclose(network.predict(as_rows(values)), as_rows(expected), rtol=0, atol=1e-14)


def test_an_input_without_steps_is_refused():
    x = nn.Input(3)
    with pytest.raises(ValueError, match=r"lstm.*expected shape \(steps, channels\), got 1 dimensions"):
        nn.Network.from_graph(x, nn.LSTM(4)(x), seed=1)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_recurrent_network_learns_what_only_memory_can_know(kind):
    """The target is the first step of the sequence, seen from the last state: no function of the last step explains it."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(2000, 6)).astype(np.float32)
    y = np.tanh(x[:, :1])
    values = nn.Input((6, 1))
    network = nn.Network.from_graph(values, nn.Dense(1)(LAYERS[kind][0](16, output="last")(values)), seed=1)
    nn.fit(network, (x, y), epochs=40, batch_size=50, optimizer=nn.Adam(5e-3), seed=2, progress=False)
    # Variance of the target 0.38: a model without memory is left with all of it. Seen: 3e-4 (lstm), 2e-4 (gru).
    assert np.mean((network.predict(x) - y) ** 2) < 0.004
