"""What a user gets wrong is answered by the name of the argument, what was expected and what came."""

import inspect
import re

import numpy as np
import pytest

from simgraft import nn

X = nn.Input(3)
Y = nn.Dense(2)(X)


def graph(output, inputs=X, **options):
    return nn.Network.from_graph(inputs, output, seed=1, **options)


LAYERS = {
    "text as shape": (
        lambda: nn.Input("a"),
        TypeError,
        "shape: expected an integer or a tuple of integers, got 'a'",
    ),
    "fraction as shape": (lambda: nn.Input(3.5), TypeError, "shape: expected an integer .* got 3.5"),
    "negative shape": (lambda: nn.Input((8, -3)), ValueError, "shape: expected an integer in .* got -3"),
    "no value": (lambda: nn.Dense(2)(), TypeError, "Dense: expected 1 value, got 0"),
    "too few values": (lambda: nn.Add()(X), TypeError, "Add: expected 2 to 8 values, got 1"),
    "an array": (lambda: nn.Dense(2)(np.ones(3)), TypeError, "Dense: expected values .* got ndarray"),
    "twice": (lambda: nn.Slice(2, 5, start=1), TypeError, "Slice: argument 'start' is given twice"),
    "too many": (lambda: nn.Add(1), TypeError, "Add: expected at most 0 arguments, got 1"),
    "axes": (
        lambda: nn.Permute((0, 0))(nn.Input((2, 3))).shape,
        ValueError,
        "axes: expected 2 numbers, each of 0 to 1",
    ),
    "text as bound": (lambda: nn.Bound("a", 1)(X), TypeError, "low: expected numbers, got 'a'"),
    "NaN in matrix": (
        lambda: nn.Conserve([[1, np.nan, 1]])(X),
        ValueError,
        "matrix: expected finite numbers",
    ),
    "no pair": (
        lambda: nn.Conserve([[1, 1, 1]], outputs=3)(X),
        TypeError,
        r"outputs: expected \(shift, scale\), got 3",
    ),
    "scale 0": (lambda: nn.Conserve([[1, 1, 1]], outputs=(0, 0))(X), ValueError, "outputs: expected a scale"),
    "layer as output": (
        lambda: graph(nn.Dense(2)),
        TypeError,
        "output: expected a value made by a layer, got Dense",
    ),
    "number as input": (lambda: graph(Y, 3), TypeError, "inputs: expected values made by nn.Input, got 3"),
    "input twice": (lambda: graph(Y, [X, X]), ValueError, "inputs: the same Input is in the list twice"),
    "unused input": (
        lambda: graph(Y, [X, nn.Input(2)]),
        ValueError,
        r"the output does not depend on inputs\[1\]",
    ),
    "dtype": (lambda: graph(Y, dtype="real"), ValueError, "dtype: expected float32 or float64, got 'real'"),
    "hidden": (
        lambda: nn.MLP(64).build(3, 2, seed=1),
        TypeError,
        "hidden: expected a list of integers .* got 64",
    ),
    "spec": (lambda: nn.Network.from_spec({}, np.ones(3)), ValueError, "spec: expected 'dtype' and 'nodes'"),
    "direction": (
        lambda: graph(Y).jvp(np.ones((2, 3), "f4"), np.ones((2, 2), "f4")),
        ValueError,
        "d_x: expected shape",
    ),
    "gradient": (
        lambda: graph(Y).vjp(np.ones((2, 3), "f4"), np.ones((2, 3), "f4"), parameters=False),
        ValueError,
        "d_y: expected shape",
    ),
}


@pytest.mark.parametrize("make, error, message", LAYERS.values(), ids=LAYERS)
def test_networks_say_which_argument_does_not_fit(make, error, message):
    with pytest.raises(error, match=message):
        make()


def custom(function):
    return {"loss": nn.Custom(function)}


TRAINING = {
    "loss by name": ({"loss": "mse"}, TypeError, r"loss: expected a loss such as nn.MSE\(\), got 'mse'"),
    "class of a loss": ({"loss": nn.MAE}, TypeError, "loss: expected a loss such as"),
    "optimizer by name": (
        {"optimizer": "adam"},
        TypeError,
        "optimizer: expected an optimiser such as .* got 'adam'",
    ),
    "class of a schedule": (
        {"optimizer": nn.Adam(nn.schedule.OneCycle)},
        ValueError,
        "rate: expected a number",
    ),
    "negative schedule": (
        {"optimizer": nn.Adam(nn.schedule.OneCycle(-1))},
        ValueError,
        "rate: expected numbers >= 0",
    ),
    "iterations": (
        {"optimizer": nn.LBFGS(iterations=0)},
        ValueError,
        "iterations: expected an integer >= 1, got 0",
    ),
    "callback": ({"callbacks": nn.EarlyStopping()}, TypeError, "callbacks: expected a list of callables"),
    "threads": ({"num_threads": -1}, ValueError, "num_threads: expected an integer >= 1 or None, got -1"),
    "no terms": ({"loss": nn.Terms([])}, TypeError, r"terms: expected a list of nn.Term, got \[\]"),
    "bare losses": ({"loss": nn.Terms([nn.MSE()])}, TypeError, "terms: expected a list of nn.Term"),
    "column weight": ({"loss": nn.MSE([1, -2])}, ValueError, "column_weight: expected numbers >= 0"),
    "no function": (custom("a"), TypeError, "function: expected a callable, got 'a'"),
    "no gradient": (
        custom(lambda p, t, x, w: 1.0),
        TypeError,
        r"expected it to return \(value, d_prediction\), got float",
    ),
    "NaN gradient": (
        custom(lambda p, t, x, w: (1.0, p * np.nan)),
        ValueError,
        r"d_prediction\[0, 0\] is nan",
    ),
}


@pytest.mark.parametrize("options, error, message", TRAINING.values(), ids=TRAINING)
def test_training_says_which_argument_does_not_fit_and_leaves_the_weights(options, error, message):
    network, x = graph(Y), np.ones((4, 3), np.float32)
    before = network.parameters.copy()
    with pytest.raises(error, match=message):
        nn.fit(network, (x, x[:, :2]), epochs=1, progress=False, **options)
    assert np.array_equal(network.parameters, before)


def test_a_negative_row_weight_is_refused_by_its_row():
    x, weight = np.ones((4, 3), np.float32), np.array([1, 1, -0.5, 1], np.float32)
    with pytest.raises(ValueError, match=re.escape("weight[2]: expected a weight >= 0, got -0.5")):
        nn.fit(graph(Y), (x, x[:, :2], weight), epochs=1, progress=False)


def test_what_is_no_network_yet_is_told_to_be_built():
    with pytest.raises(TypeError, match=r"network: expected an nn.Network, got MLP; call its build"):
        nn.fit(nn.MLP([4]), (np.ones((4, 3)), np.ones((4, 2))))


def test_constructors_show_their_arguments_in_the_order_in_which_they_take_them():
    assert str(inspect.signature(nn.Slice)) == "(start, stop)"
    assert str(inspect.signature(nn.Dense)) == "(units, activation='linear', parameter=None)"
    assert nn.Slice(2, 5)(nn.Input(8)).shape == (3,)


@pytest.mark.parametrize(
    "num_threads, error, message",
    [
        (1.5, TypeError, "num_threads: expected an integer, got float"),
        (-1, ValueError, "num_threads: expected 0 \\(all\\) or a positive number, got -1"),
    ],
)
def test_threads_are_counted_in_whole_numbers(num_threads, error, message):
    network = nn.MLP([4]).build(3, 2, seed=1)
    with pytest.raises(error, match=message):
        network.predict(np.ones((4, 3), np.float32), num_threads=num_threads)
