"""Networks ready to run: values and derivatives of fused chains and of other graphs."""

import numpy as np
import pytest

from simgraft import _core, nn

# One network per branch of the slopes: from the output alone, from the sum before it, with a parameter, none at all.
CHAINS = {
    "tanh": ([33, 65], "tanh", "linear"),
    "swish": ([17, 9], "swish", "gelu"),
    "elu": ([5], "elu", "softplus"),
    "softsign": ([64, 64], "softsign", "sigmoid"),
    "linear": ([], "linear", "linear"),
}


def residual(x, n_out):
    h = nn.Dense(17, "tanh")(x)
    h = nn.Add()(h, nn.Dense(17, "swish")(h))
    return nn.Dense(n_out)(nn.Concatenate()(h, x))


def activated(x, n_out):
    """A chain with activations as layers of their own."""
    h = nn.Activation("tanh")(nn.Dense(33)(x))
    return nn.Activation("softplus")(nn.Dense(n_out)(h))


def build(name, n_in=7, n_out=19, dtype="float64"):
    model = {"residual": nn.Model(residual), "activated": nn.Model(activated)}.get(name) or nn.MLP(*CHAINS[name])
    network = model.build(n_in, n_out, seed=3, dtype=dtype)
    rng = np.random.default_rng(4)
    network.parameters += (0.1 * rng.standard_normal(network.n_parameters)).astype(dtype)
    return network


def arrays(network, n, seed=5):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((n, width)).astype(network.dtype) for width in (network.n_in, network.n_in, network.n_out)]


NAMES = [*CHAINS, "residual", "activated"]


@pytest.mark.parametrize("name", NAMES)
def test_only_chains_are_fused(name):
    assert build(name).net().is_fused == (name != "residual")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_net_gives_the_bits_of_the_graph(name, dtype):
    network = build(name, dtype=dtype)
    x, *_ = arrays(network, 101)
    assert np.array_equal(network.predict(x), network._graph.forward(network.parameters, x))


@pytest.mark.parametrize("dtype, limit", [("float32", 1e-6), ("float64", 1e-13)])
@pytest.mark.parametrize("sizes", [(7, 19), (375, 18), (1, 1), (40, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_adjoint_is_the_transpose_of_the_tangent(name, sizes, dtype, limit):
    network = build(name, *sizes, dtype=dtype)
    x, d_x, d_y = arrays(network, 203)
    tangent, (adjoint, none) = network.jvp(x, d_x), network.vjp(x, d_y, parameters=False)
    assert none is None
    left, right = tangent.astype(float) * d_y, adjoint.astype(float) * d_x
    # Relative to the sum of sizes: the sums themselves may cancel.
    assert abs(left.sum() - right.sum()) <= limit * min(np.abs(left).sum(), np.abs(right).sum())


@pytest.mark.parametrize("name", NAMES)
def test_tangent_agrees_with_finite_differences(name):
    network = build(name)
    x, d_x, _ = arrays(network, 50)
    step = 1e-5  # error of the central difference: step^2 f''' + 1e-16 / step, both about 1e-10 of values near 1
    slope = (network.predict(x + step * d_x) - network.predict(x - step * d_x)) / (2 * step)
    np.testing.assert_allclose(network.jvp(x, d_x), slope, rtol=0, atol=1e-8 * np.abs(slope).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_adjoint_agrees_with_the_graph(name, dtype):
    network = build(name, dtype=dtype)
    x, _, d_y = arrays(network, 101)
    expected, _ = network.vjp(x, d_y)
    ours, _ = network.vjp(x, d_y, parameters=False)
    # The same sums in the same order; only where a slope is multiplied in may differ.
    np.testing.assert_allclose(ours, expected, rtol=0, atol=8 * np.finfo(dtype).eps * np.abs(expected).max())


@pytest.mark.parametrize("n_in", [7, 40])  # lanes along the batch, and along the features
@pytest.mark.parametrize("name", ["swish", "residual"])
def test_derivatives_have_the_same_bits_for_any_split_strides_and_threads(name, n_in):
    network = build(name, n_in, dtype="float32")
    net = network.net()
    x, d_x, d_y = arrays(network, 1203)
    for run, d, width in ((net.jvp, d_x, network.n_out), (net.vjp, d_y, network.n_in)):
        whole = run(x, d)
        for cuts in ([1], [31], [32, 33, 130], [500, 501]):
            parts = zip(np.split(x, cuts), np.split(d, cuts))
            assert np.array_equal(np.concatenate([run(a, b) for a, b in parts]), whole)
        out = np.empty((width, len(x)), np.float32).T
        assert np.array_equal(run(np.asfortranarray(x), np.asfortranarray(d), out), whole)
        assert np.array_equal(run(x[::-1], d[::-1])[::-1], whole)
        assert np.array_equal(run(x, d, num_threads=2), whole)


@pytest.mark.skipif(_core.isa() != "v4", reason="needs AVX-512")
@pytest.mark.parametrize("name", ["tanh", "swish", "residual"])
def test_derivatives_have_the_same_bits_with_avx2(name):
    network = build(name, dtype="float32")
    x, d_x, d_y = arrays(network, 203)
    wide = network.jvp(x, d_x), network.vjp(x, d_y, parameters=False)[0]
    try:
        _core.isa_set("v3")
        narrow = network.jvp(x, d_x), network.vjp(x, d_y, parameters=False)[0]
    finally:
        _core.isa_set("auto")
    assert all(map(np.array_equal, wide, narrow))


def test_a_net_without_derivatives_refuses_them():
    network = build("residual")
    x, d_x, _ = arrays(network, 3)
    net = _core.Net(network._graph, network.parameters, derivatives=False)
    assert np.array_equal(net.eval(x), network.predict(x))
    with pytest.raises(ValueError, match="derivatives=False"):
        net.jvp(x, d_x)


@pytest.mark.parametrize("d, words", [(np.zeros((4, 6)), "d_x: expected shape"), (np.zeros((3, 7)), "d_x: expected shape")])
def test_a_direction_of_another_shape_is_refused(d, words):
    with pytest.raises(ValueError, match=words):
        build("tanh").net().jvp(np.zeros((4, 7)), d)
