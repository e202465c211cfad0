"""Surrogates: wrong use is answered by name, and derivatives take names as calls do."""

import numpy as np
import pytest

import simgraft as sg


def plate(inputs):
    field = inputs["field"]
    return {"mean": inputs["gain"] * field.mean(axis=(1, 2)), "twice": 2 * field}


@pytest.fixture(scope="module")
def kernel():
    return sg.Kernel(
        plate,
        name="plate",
        inputs={"field": sg.Var("K", 200, 300, shape=(2, 3)), "gain": sg.Var("1", 0, 1)},
        outputs={"mean": sg.Var("K"), "twice": sg.Var("K", shape=(2, 3))},
    )


@pytest.fixture(scope="module")
def data(kernel):
    return kernel.sample(sg.sampling.uniform(kernel, seed=1), 64, seed=1, progress=False)


@pytest.fixture(scope="module")
def surrogate(kernel, data):
    return sg.Surrogate(kernel, sg.nn.MLP([4], "tanh"), guard="off").fit(
        data, seed=1, epochs=1, dtype="float64", progress=False
    )


def test_derivatives_by_name_are_those_of_packed_rows(kernel, data, surrogate):
    rng = np.random.default_rng(1)
    x, d_x, d_y = data.X[:5], rng.normal(size=(5, 7)), rng.normal(size=(5, 7))
    inputs = kernel.unpack_inputs(x)
    along = surrogate.jvp(inputs, kernel.unpack_inputs(d_x))
    back = surrogate.vjp(inputs, kernel.unpack_outputs(d_y))
    assert along["twice"].shape == back["field"].shape == (5, 2, 3)
    assert np.array_equal(kernel.pack_outputs(along), surrogate.jvp(x, d_x))
    assert np.array_equal(kernel.pack_inputs(back), surrogate.vjp(x, d_y))
    with pytest.raises(ValueError, match=r"d_y\['twice'\]: expected shape \(n, 2, 3\)"):
        surrogate.vjp(inputs, {"mean": np.ones(5), "twice": np.ones((5, 3, 2))})


def test_validation_loss_of_a_custom_loss_is_that_of_its_function(kernel, data):
    """A loss that is all the user's own must not look like 0, or the first epoch is always the best."""

    def squared(prediction, target, x, weight):
        miss = prediction - target
        assert x.shape[1] == 7
        return np.mean(miss**2), 2 * miss / miss.size

    fits = [
        sg.Surrogate(kernel, sg.nn.MLP([4], "tanh")).fit(
            data, validation=data, seed=1, epochs=2, dtype="float64", progress=False, loss=loss
        )
        for loss in (sg.nn.MSE(), sg.nn.Custom(squared))
    ]
    builtin, own = (fit.history_["validation_loss"] for fit in fits)
    assert own == pytest.approx(builtin, rel=1e-9)  # two ways to sum 448 squares in double


@pytest.mark.parametrize(
    "network, message",
    [
        ("mlp", "network: expected a specification .* got 'mlp'"),
        (sg.nn.Dense(4), r"network: expected a specification .* got Dense"),
        (sg.nn.Ensemble(sg.nn.MLP([4]), 2), r"got Ensemble; train it and give its mean_network\(\)"),
        (sg.nn.zoo.VAE(2), "got the generative model VAE"),
    ],
)
def test_a_network_that_cannot_stand_in_is_refused(kernel, data, network, message):
    with pytest.raises(TypeError, match=message):
        sg.Surrogate(kernel, network).fit(data, seed=1, epochs=1, progress=False)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"train": (1, 2)}, "train: expected a simgraft.Dataset, got tuple"),
        ({"validation": 3}, "validation: expected a simgraft.Dataset, got int"),
        ({"loss": "mse"}, r"loss: expected a loss such as nn.MSE\(\), got 'mse'"),
    ],
)
def test_fit_names_the_argument_of_a_wrong_type(kernel, data, options, message):
    with pytest.raises(TypeError, match=message):
        sg.Surrogate(kernel, sg.nn.MLP([4])).fit(
            **{"train": data, "seed": 1, "epochs": 1, "progress": False} | options
        )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"shape": 1.5}, "shape: expected an integer or a tuple of integers, got 1.5"),
        ({"shape": (1.5,)}, r"shape: expected an integer or a tuple of integers, got \(1.5,\)"),
        ({"low": "a"}, "low: expected a number, got 'a'"),
    ],
)
def test_a_variable_names_what_is_wrong_with_it(options, message):
    with pytest.raises(TypeError, match=message):
        sg.Var("K", **options)


def test_a_network_from_elsewhere_that_does_not_fit_is_refused(kernel):
    network = sg.nn.MLP([4]).build(7, 7, seed=1)
    with pytest.raises(ValueError, match=r"domain: expected two arrays of shape \(7,\), got \(1, 2\)"):
        sg.Surrogate.from_network(kernel, network, domain=(1, 2))
    with pytest.raises(TypeError, match="network: expected an nn.Network or a list of weights, got MLP"):
        sg.Surrogate.from_network(kernel, sg.nn.MLP([4]))
    with pytest.raises(TypeError, match=r"got EnsembleNetwork; deploy its mean_network\(\)"):
        sg.Surrogate.from_network(kernel, sg.nn.Ensemble(sg.nn.MLP([4]), 2).build(7, 7, seed=1))


def test_a_file_is_not_opened_for_what_is_no_kernel(surrogate, tmp_path):
    surrogate.save(tmp_path / "a.sg")
    with pytest.raises(TypeError, match="kernel: expected a simgraft.Kernel, got function"):
        sg.load(tmp_path / "a.sg", kernel=plate)
