"""Layer and batch normalisation against their formulas and PyTorch, running statistics, and dropout."""

import numpy as np
import pytest

from simgraft import _core, nn

CHANNELS = (1, 3, 16, 17, 65, 129)
TRAINING = (11, 4)  # seed, step


def graph_of(op, shape, **attributes):
    return _core.Graph([("input", (), {"shape": shape}), (op, (0,), attributes)])


def problem(op, shape, n, dtype=np.float64, **attributes):
    """Graph, random parameters (variance > 0), rows with an offset as physical fields have."""
    graph, rng = graph_of(op, shape, **attributes), np.random.default_rng(1)
    p = rng.uniform(0.2, 2, graph.n_parameters).astype(np.float32).astype(dtype)
    x = rng.normal(3, 2, (n, graph.n_in)).astype(np.float32).astype(dtype)
    d_y = rng.normal(size=x.shape).astype(np.float32).astype(dtype)
    return graph, p, x, d_y


def split(p, n):
    return p.reshape(-1, n)


# ------------------------------------------------------------------------------------------------- layer normalisation
@pytest.mark.parametrize("channels", CHANNELS)
def test_layer_norm_is_its_formula(channels):
    for dtype, limit in ((np.float64, 1e-14), (np.float32, 5e-6)):  # some ten roundings of numbers below ten
        graph, p, x, _ = problem("layer_norm", (2, channels), 7, dtype)
        scale, shift = split(p.astype(float), channels)
        rows = x.astype(float).reshape(7, 2, channels)
        centred = rows - rows.mean(-1, keepdims=True)
        expected = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * scale + shift
        np.testing.assert_allclose(graph.forward(p, x), expected.reshape(7, -1), rtol=0, atol=limit)


@pytest.mark.parametrize("channels", CHANNELS[1:])
def test_layer_norm_has_the_gradients_of_pytorch(channels):
    torch = pytest.importorskip("torch")
    graph, p, x, d_y = problem("layer_norm", (2, channels), 7, epsilon=1e-3)
    layer = torch.nn.LayerNorm(channels, eps=1e-3, dtype=torch.float64)
    with torch.no_grad():
        for to, value in zip(layer.parameters(), split(p, channels)):
            to.copy_(torch.tensor(value))
    rows = torch.tensor(x.reshape(7, 2, channels), requires_grad=True)
    y = layer(rows)
    y.backward(torch.tensor(d_y.reshape(7, 2, channels)))
    d_p, d_x = graph.backward(p, x, d_y)
    np.testing.assert_allclose(graph.forward(p, x), y.detach().numpy().reshape(7, -1), rtol=0, atol=1e-14)
    np.testing.assert_allclose(d_x, rows.grad.numpy().reshape(7, -1), rtol=0, atol=1e-13)
    np.testing.assert_allclose(d_p, np.concatenate([q.grad.numpy() for q in layer.parameters()]), rtol=0, atol=1e-13)


# ------------------------------------------------------------------------------------------------- batch normalisation
@pytest.mark.parametrize("n", (1, 2, 50, 700))
@pytest.mark.parametrize("channels", CHANNELS)
def test_batch_norm_in_training_is_its_formula(channels, n):
    # Numbers below ten; a lone row is a sum of differences of zero over sqrt(epsilon): round-off of x times 1e3 at most.
    for dtype, limit in ((np.float64, 1e-12 if n == 1 else 2e-14), (np.float32, 1e-3 if n == 1 else 1e-5)):
        graph, p, x, _ = problem("batch_norm", (2, channels), n, dtype)
        scale, shift, _, _ = split(p.astype(float), channels)
        rows = x.astype(float).reshape(-1, channels)
        expected = (rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5) * scale + shift
        found = graph.forward(p, x, training=TRAINING)
        np.testing.assert_allclose(found, expected.reshape(n, -1), rtol=0, atol=limit)


@pytest.mark.parametrize("channels", CHANNELS)
def test_batch_norm_in_inference_uses_the_running_statistics(channels):
    graph, p, x, _ = problem("batch_norm", (2, channels), 5)
    scale, shift, mean, variance = split(p, channels)
    expected = (x.reshape(-1, channels) - mean) / np.sqrt(variance + 1e-5) * scale + shift
    np.testing.assert_allclose(graph.forward(p, x), expected.reshape(5, -1), rtol=0, atol=1e-13)


@pytest.mark.parametrize("channels", CHANNELS)
def test_batch_norm_has_the_values_gradients_and_statistics_of_pytorch(channels):
    torch = pytest.importorskip("torch")
    graph, p, x, d_y = problem("batch_norm", (2, channels), 50, momentum=0.2, epsilon=1e-3)
    layer = torch.nn.BatchNorm1d(channels, eps=1e-3, momentum=0.2, dtype=torch.float64)
    with torch.no_grad():
        for to, value in zip((layer.weight, layer.bias, layer.running_mean, layer.running_var), split(p, channels)):
            to.copy_(torch.tensor(value))
    rows = torch.tensor(x.reshape(-1, channels), requires_grad=True)
    y = layer(rows)
    y.backward(torch.tensor(d_y.reshape(-1, channels)))
    d_p, d_x = graph.backward(p, x, d_y, training=TRAINING)
    d_scale, d_shift, mean, variance = split(d_p, channels)
    for found, expected, limit in (
        (graph.forward(p, x, training=TRAINING), y.detach(), 2e-14),
        (d_x, rows.grad, 1e-13),
        (d_scale, layer.weight.grad, 1e-12),
        (d_shift, layer.bias.grad, 1e-12),
        (0.8 * split(p, channels)[2] + 0.2 * mean, layer.running_mean, 1e-14),
        (0.8 * split(p, channels)[3] + 0.2 * variance, layer.running_var, 1e-13),
    ):
        np.testing.assert_allclose(found, expected.numpy().reshape(found.shape), rtol=0, atol=limit)


def test_running_statistics_after_some_batches_follow_the_formula():
    rng, momentum, batch = np.random.default_rng(2), 0.1, 40
    x = rng.normal([1, -2, 5], [1, 3, 0.2], (4 * batch, 3))
    graph = graph_of("batch_norm", 3, momentum=momentum)
    p = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1], float)
    trainer = _core.Trainer(graph, p, ("mse", {}), ("adamw", {"weight_decay": 0.5}), num_threads=2)
    trainer.epoch(x, np.zeros_like(x), None, None, batch, np.full(4, 1e-3))
    mean, variance = np.zeros(3), np.ones(3)
    for part in x.reshape(4, batch, 3):
        mean += momentum * (part.mean(0) - mean)
        variance += momentum * (part.var(0, ddof=1) - variance)
    # neither the optimiser nor its weight decay touches them
    np.testing.assert_allclose(p.reshape(4, 3)[2:], [mean, variance], rtol=1e-13)
    assert np.all(p.reshape(4, 3)[0] < 1)


def test_a_batch_is_normalised_as_a_whole_whatever_the_size_of_chunks():
    """1000 rows of 300 channels are many chunks of other operators; thread counts make no difference either."""
    rng = np.random.default_rng(3)
    x = rng.normal(2, 3, (1000, 300)).astype(np.float32)
    values = nn.Input(300)
    network = nn.Network.from_graph(values, nn.BatchNorm()(nn.Dense(300)(values)), seed=1)
    y = network._graph.forward(network.parameters, x, training=TRAINING)
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)  # 1000 roundings of order eps
    np.testing.assert_allclose(y.std(0), 1, atol=1e-4)  # epsilon / 2 over variances above 0.1
    found = []
    for threads in (1, 2):
        p = network.parameters.copy()
        trainer = _core.Trainer(network._graph, p, ("mse", {}), ("adam", {}), num_threads=threads)
        trainer.epoch(x, x, None, None, 500, np.full(2, 1e-3))
        found.append(p)
    np.testing.assert_array_equal(*found)


def test_a_network_with_batch_norm_is_trained_by_fit_and_predicts_with_its_statistics():
    rng = np.random.default_rng(4)
    x = rng.normal(100, 20, (2000, 3)).astype(np.float32)  # not standardised: what batch normalisation is for
    y = np.sin((x[:, :1] - 100) / 20).astype(np.float32)
    values = nn.Input(3)
    hidden = nn.Activation("tanh")(nn.BatchNorm()(nn.Dense(32)(values)))
    network = nn.Network.from_graph(values, nn.Dense(1)(hidden), seed=1)
    nn.fit(network, (x, y), epochs=30, batch_size=100, optimizer=nn.Adam(5e-3), seed=2, progress=False)
    # variance of the target 0.43; seen 0.007
    assert np.mean((network.predict(x) - y) ** 2) < 0.03


# ------------------------------------------------------------------------------------------------------------- dropout
N, WIDTH = 2000, 37


def dropped(rate, x, training=TRAINING, **options):
    return graph_of("dropout", x.shape[1], rate=rate).forward(np.zeros(0, x.dtype), x, training=training, **options)


@pytest.mark.parametrize("rate", (0.0, 0.1, 0.5, 0.9))
def test_dropout_drops_its_share_and_keeps_the_mean(rate):
    y = dropped(rate, np.ones((N, WIDTH)))
    share = np.mean(y == 0)
    sigma = np.sqrt(rate * (1 - rate) / y.size)
    assert abs(share - rate) <= 4 * sigma
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-15)
    assert abs(y.mean() - 1) <= 4 * sigma / (1 - rate)


def test_dropout_has_no_pattern_along_rows_or_columns():
    y = dropped(0.3, np.ones((N, WIDTH))) == 0
    sigma = np.sqrt(0.3 * 0.7)
    assert np.abs(y.mean(0) - 0.3).max() <= 5 * sigma / np.sqrt(N)  # 37 columns, 2000 rows: 5 sigma in 2e3 draws
    assert np.abs(y.mean(1) - 0.3).max() <= 5 * sigma / np.sqrt(WIDTH)
    for shift in (1, 4):
        neighbours = np.corrcoef(y.ravel()[:-shift], y.ravel()[shift:])[0, 1]
        assert abs(neighbours) <= 4 / np.sqrt(y.size)


def test_dropout_draws_anew_in_every_step_seed_and_node():
    x = np.ones((50, WIDTH))
    first = dropped(0.5, x, (1, 1))
    np.testing.assert_array_equal(first, dropped(0.5, x, (1, 1)))
    for other in (dropped(0.5, x, (1, 2)), dropped(0.5, x, (2, 1))):
        # same in half of the places, 4 sigma
        assert abs(np.mean(first == other) - 0.5) <= 4 * 0.5 / np.sqrt(x.size)
    twice = _core.Graph([("input", (), {"shape": WIDTH}), ("dropout", (0,), {}), ("dropout", (0,), {}), ("add", (1, 2), {})])
    both = twice.forward(np.zeros(0), x, training=(1, 1))
    assert abs(np.mean(both == 2) - 0.5) <= 4 * 0.5 / np.sqrt(x.size)


def test_dropout_is_off_in_inference():
    x = np.random.default_rng(5).normal(size=(50, WIDTH)).astype(np.float32)
    np.testing.assert_array_equal(dropped(0.5, x, None), x)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_dropout_does_not_depend_on_chunks_threads_precision_or_instruction_set(dtype):
    x = np.ones((N, WIDTH), dtype)
    whole = dropped(0.3, x, num_threads=1) != 0
    np.testing.assert_array_equal(dropped(0.3, x, num_threads=2) != 0, whole)
    np.testing.assert_array_equal(dropped(0.3, x[:999], num_threads=1) != 0, whole[:999])
    np.testing.assert_array_equal(dropped(0.3, x.astype(np.float64)) != 0, whole)
    try:
        for isa in ("portable", "v2", "v3", "v4"):
            if isa == "portable" or isa <= _core.isa_best():
                _core.isa_set(isa)
                np.testing.assert_array_equal(dropped(0.3, x) != 0, whole)
    finally:
        _core.isa_set("auto")


def test_training_with_dropout_has_the_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(500, 9)).astype(np.float32), rng.normal(size=(500, 2)).astype(np.float32)
    values = nn.Input(9)
    hidden = nn.Dropout(0.2)(nn.Dense(33, "tanh")(values))
    network = nn.Network.from_graph(values, nn.Dense(2)(hidden), seed=1)
    found = []
    for threads in (1, 2):
        p = network.parameters.copy()
        trainer = _core.Trainer(network._graph, p, ("mse", {}), ("adam", {}), num_threads=threads, seed=7)
        trainer.epoch(x, y, None, None, 250, np.full(2, 1e-2))
        found.append(p)
    np.testing.assert_array_equal(*found)


# ---------------------------------------------------------------------------------------------------- all of them: bits
@pytest.mark.skipif(_core.isa_best() != "v4", reason="needs a CPU with AVX-512")
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("op", ("layer_norm", "batch_norm"))
@pytest.mark.parametrize("channels", CHANNELS)
def test_avx2_and_avx512_give_the_same_bits_in_training(op, channels, dtype):
    graph, p, x, d_y = problem(op, (3, channels), 100, dtype)
    found = []
    try:
        for isa in ("v3", "v4"):
            _core.isa_set(isa)
            found.append((graph.forward(p, x, training=TRAINING), *graph.backward(p, x, d_y, training=TRAINING)))
    finally:
        _core.isa_set("auto")
    for a, b in zip(*found):
        np.testing.assert_array_equal(a, b)
