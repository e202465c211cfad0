"""Tangent-linear and adjoint of surrogates, through encoder, network and decoder, in physical units."""

import numpy as np
import pytest

import simgraft as sg
from simgraft import encode


def residual(x, n_out):
    h = sg.nn.Dense(17, "tanh")(x)
    return sg.nn.Dense(n_out)(sg.nn.Add()(h, sg.nn.Dense(17, "swish")(h)))


KERNEL = sg.Kernel(
    None,
    name="mixed",
    inputs={
        "pressure": sg.Var("Pa", 1e2, 1e5, scale="log"),
        "mix": sg.Var("1", 0, 1, shape=(2,)),
        "flux": sg.Var("W m-2", -300, 300),
        "hour": sg.Var("h", 0, 24),
        "depth": sg.Var("m", 0, 10),
        "snow": sg.Var("m", -99, 2),
    },
    outputs={"rate": sg.Var("s-1"), "tau": sg.Var("1", shape=(2,)), "heat": sg.Var("W m-3"), "wind": sg.Var("rad")},
)


def mixed(model, dtype):
    """Every step of encoders and decoders that has a derivative."""
    network = model.build(9, 6, seed=3, dtype=dtype)
    rng = np.random.default_rng(4)
    network.parameters += (0.1 * rng.standard_normal(network.n_parameters)).astype(dtype)
    return sg.Surrogate.from_network(
        KERNEL,
        network,
        encoder={
            "pressure": [encode.Log(), encode.Standardise(mean=8.0, std=2.0)],
            "mix": [encode.Root(4), encode.MinMax(low=np.zeros(2), high=np.ones(2))],
            "flux": [encode.SignedLog(scale=10.0), encode.Standardise(mean=0.0, std=2.0)],
            "hour": [encode.Angle(period=24.0)],
            "depth": [encode.Clip(low=2.0, high=8.0), encode.Standardise(mean=5.0, std=3.0)],
            "snow": [encode.Mask(missing=-99.0), encode.Standardise(mean=1.0, std=0.5)],
        },
        decoder={
            "rate": [encode.Log(), encode.Standardise(mean=-2.0, std=1.5)],
            "tau": [encode.Root(4)],
            "heat": [encode.SignedLog(scale=5.0)],
            "wind": [encode.Angle()],
        },
        guard="off",
    )


def rows(n=257):
    rng = np.random.default_rng(5)
    x = np.column_stack(
        [
            10 ** rng.uniform(2, 5, n),
            rng.uniform(0.05, 0.95, (n, 2)),
            rng.uniform(-300, 300, n),
            rng.uniform(0.5, 23.5, n),
            rng.choice([1.0, 5.0, 6.0, 9.0], n) + rng.uniform(0, 0.5, n),
            rng.uniform(0.1, 2, n),
        ]
    )
    x[::7, 6] = -99.0
    return x


def directions(x, seed=6):
    """In the size of the inputs, and of any size for the outputs."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(x.shape) * np.abs(x), rng.standard_normal((len(x), 5))


MODELS = {"chain": sg.nn.MLP([33, 20], "tanh"), "graph": sg.nn.Model(residual)}


@pytest.mark.parametrize("model", MODELS)
def test_tangent_agrees_with_finite_differences(model):
    surrogate, x = mixed(MODELS[model], "float64"), rows()
    d_x, _ = directions(x)
    d_x[x[:, 6] == -99.0, 6] = 0  # a step away from the missing value is a jump
    # Steps of 1e-6 of the values: truncation 1e-12, rounding 1e-16 / 1e-6 = 1e-10, both of values of order 1 to 10;
    # the angle corrects an approximation of 1e-3 to the rounding of its sine and cosine, 1e-15.
    step = 1e-6
    slope = (surrogate.evaluate(x + step * d_x) - surrogate.evaluate(x - step * d_x)) / (2 * step)
    ours = surrogate.jvp(x, d_x)
    assert np.all(np.abs(ours - slope) <= 1e-7 * np.maximum(1, np.abs(slope).max(axis=0)))


@pytest.mark.parametrize("host", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("model", MODELS)
def test_adjoint_is_the_transpose_of_the_tangent(model, dtype, host):
    surrogate, x = mixed(MODELS[model], dtype), rows().astype(host)
    d_x, d_y = (d.astype(host) for d in directions(rows()))
    left = surrogate.jvp(x, d_x).astype(float) * d_y
    right = surrogate.vjp(x, d_y).astype(float) * d_x
    limit = 1e-13 if dtype == host == "float64" else 1e-6
    assert abs(left.sum() - right.sum()) <= limit * np.abs(left).sum()


@pytest.mark.parametrize("model", MODELS)
def test_derivatives_have_the_same_bits_for_any_split_strides_and_threads(model):
    surrogate, x = mixed(MODELS[model], "float32"), np.tile(rows(), (9, 1))
    d_x, d_y = directions(x)
    for run, d, width in ((surrogate.jvp, d_x, 5), (surrogate.vjp, d_y, 7)):
        whole = run(x, d, num_threads=1)
        assert np.array_equal(run(x, d, num_threads=2), whole)
        out = np.empty((width, len(x))).T
        assert np.array_equal(run(np.asfortranarray(x), np.asfortranarray(d), out), whole)
        assert np.array_equal(np.concatenate([run(a, b) for a, b in zip(np.split(x, [1, 90, 200]), np.split(d, [1, 90, 200]))]), whole)


def test_masked_and_clipped_values_have_no_derivative():
    surrogate, x = mixed(MODELS["chain"], "float64"), rows()
    gradient = surrogate.vjp(x, np.ones((len(x), 5)))
    masked, clipped = x[:, 6] == -99.0, (x[:, 5] < 2) | (x[:, 5] > 8)
    assert masked.any() and clipped.any()
    assert not gradient[masked, 6].any() and not gradient[clipped, 5].any()
    assert np.all(gradient[~masked, 6]) and np.all(gradient[~clipped, 5])


def test_a_linear_surrogate_gives_its_matrix():
    kernel = sg.Kernel(None, inputs={"x": sg.Var("m", -1, 1, shape=(2,))}, outputs={"y": sg.Var("Pa", shape=(3,))}, name="line")
    matrix = np.array([[1.0, 2, 3], [4, 5, 6]])
    line = sg.Surrogate.from_network(kernel, [matrix], [np.zeros(3)], ["linear"])
    x = np.zeros((3, 2))
    assert np.array_equal(line.vjp(x, np.eye(3)), matrix.T)
    assert np.array_equal(line.jvp(x[:2], np.eye(2)), matrix)


def test_the_guard_counts_stops_and_warns_as_in_evaluate():
    surrogate, x = mixed(MODELS["chain"], "float32"), rows()
    d_x, d_y = directions(x)
    x[[3, 200], 3] = 1000.0
    surrogate.reset_guard_report()
    for policy, words in (("raise", None), ("warn", "2 of 257 rows")):
        with pytest.raises(sg.DomainError, match="row 3") if words is None else pytest.warns(sg.surrogate.OutsideDomainWarning, match=words):
            surrogate.vjp(x, d_y, guard=policy)
    surrogate.jvp(x, d_x, guard="count")
    surrogate.vjp(x, d_y, guard="off")
    report = surrogate.guard_report
    assert (report.n_rows, report.n_outside, report.inputs) == (2 * 257, 4, {"flux": 4})
    with pytest.raises(NotImplementedError, match="no kernel to fall back to"):
        surrogate.jvp(x, d_x, guard="fallback")


def test_arguments_that_do_not_fit_are_named():
    surrogate, x = mixed(MODELS["chain"], "float32"), rows(4)
    with pytest.raises(ValueError, match="d_x: expected shape"):
        surrogate.jvp(x, np.zeros((4, 5)))
    with pytest.raises(TypeError, match="d_y: expected float64"):
        surrogate.vjp(x, np.zeros((4, 5), np.float32))


def test_any_network_can_be_fitted_and_saved(kernel, data, tmp_path):
    surrogate = sg.Surrogate(kernel, sg.nn.Model(residual)).fit(data, seed=1, epochs=2, progress=False)
    surrogate.save(tmp_path / "residual.sg")
    loaded = sg.load(tmp_path / "residual.sg")
    x = data.X
    assert np.array_equal(loaded.evaluate(x), surrogate.evaluate(x))
    assert loaded.network_.spec == surrogate.network_.spec and "of 5 nodes" in loaded.describe()


def test_a_network_of_other_sizes_is_refused(kernel):
    with pytest.raises(ValueError, match="network: expected 5 inputs and 2 outputs"):
        sg.Surrogate.from_network(kernel, MODELS["chain"].build(4, 2, seed=1))
