"""Fused inference: numbers against NumPy in float64, and bits that never change."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from simgraft import _core

ACTIVATIONS = [row[0] for row in _core.activations()]
ISAS = ["portable", "v2", "v3", "v4"][: ["portable", "v2", "v3", "v4"].index(_core.isa_best()) + 1]
FUSED_MULTIPLY_ADD = [isa for isa in ISAS if isa in ("v3", "v4")]


@pytest.fixture
def isa():
    """Sets the instruction set; restored afterwards."""
    yield _core.isa_set
    _core.isa_set("auto")


def network(sizes, activation="softsign", last="linear", dtype=np.float32, seed=1):
    rng = np.random.default_rng(seed)
    weights = [(rng.standard_normal((a, b)) / np.sqrt(a)).astype(dtype) for a, b in zip(sizes, sizes[1:])]
    biases = [(0.3 * rng.standard_normal(b)).astype(dtype) for b in sizes[1:]]
    return weights, biases, [activation] * (len(sizes) - 2) + [last]


def plan(net):
    return _core.dense_net(*net, net[0][0].dtype)


def inputs(n, n_in, dtype=np.float32, seed=2):
    return np.random.default_rng(seed).standard_normal((n, n_in)).astype(dtype)


def activate(name, x):
    value = np.vectorize(lambda v: _core.activation_reference(name, v)[0], otypes=[float])
    return value(x) if x.size else x


def oracle(net, x):
    """Plain NumPy in float64."""
    y = x.astype(np.float64)
    for weight, bias, name in zip(*net):
        y = activate(name, y @ weight.astype(np.float64) + (0 if bias is None else bias.astype(np.float64)))
    return y


def limit(net, x, dtype):
    """A chain of n + 1 roundings in each layer on values of order (sum |w x| + |b|), handed on by activations of slope at most 1.13 (gelu),
    and 4 ulp for the activation itself."""
    unit, size, error = np.finfo(dtype).eps, np.abs(x.astype(np.float64)), 0.0
    for weight, bias, _ in zip(*net):
        w = np.abs(weight.astype(np.float64))
        total = size @ w + np.abs(bias)
        error = 1.13 * (error * w.sum(axis=0).max() + (len(w) + 1) * unit / 2 * total.max()) + 4 * unit * (1 + total.max())
        size = total + 1
    return error


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


# ------------------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize("isa_name", ISAS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_agrees_with_float64(activation, dtype, isa_name, isa):
    isa(isa_name)
    net = network([5, 33, 19], activation, activation, dtype)
    x = inputs(50, 5, dtype)
    assert np.abs(plan(net).eval(x) - oracle(net, x)).max() <= limit(net, x, dtype)


@pytest.mark.parametrize("n_out", [1, 3, 17, 65, 129])
@pytest.mark.parametrize("n_in", [1, 3, 17, 65, 129])
def test_odd_layer_sizes_agree_with_float64(n_in, n_out):
    net = network([n_in, 17, n_out])
    x = inputs(101, n_in)
    assert np.abs(plan(net).eval(x) - oracle(net, x)).max() <= limit(net, x, np.float32)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 11, 12, 13, 31, 32, 33, 47, 48, 49, 95, 96, 97, 193])
@pytest.mark.parametrize("order", "CF")
def test_every_number_of_rows_agrees_with_float64(n, order):
    net = network([7, 40, 37])
    x = inputs(n, 7)
    out = np.full((n, 37), np.nan, np.float32, order=order)
    plan(net).eval(x, out)
    assert np.abs(out - oracle(net, x)).max() <= limit(net, x, np.float32)


def test_missing_bias_is_zero():
    weights, biases, names = network([4, 6, 3])
    x = inputs(9, 4)
    zeros = [np.zeros_like(b) for b in biases]
    assert np.array_equal(plan((weights, [None, None], names)).eval(x), plan((weights, zeros, names)).eval(x))


def test_parameter_of_elu_and_leaky_relu():
    weights, biases, _ = network([4, 6, 3])
    x = inputs(9, 4)
    h = np.asarray(x @ weights[0].astype(float) + biases[0])
    h = np.where(h > 0, h, 0.25 * h)
    y = h @ weights[1].astype(float) + biases[1]
    y = np.where(y > 0, y, 0.5 * np.expm1(y))
    got = plan((weights, biases, [("leaky_relu", 0.25), ("elu", 0.5)])).eval(x)
    assert np.abs(got - y).max() < 2e-6  # 6 roundings on values below 4


def test_nan_stays_in_its_row():
    net = network([7, 64, 64, 20], "relu")
    x = inputs(100, 7)
    clean = plan(net).eval(x)
    x[41, 3] = np.nan
    out = plan(net).eval(x)
    assert np.isnan(out[41]).all()
    assert np.array_equal(np.delete(out, 41, 0), np.delete(clean, 41, 0))


# --------------------------------------------------------------------------------------------------------------- bits


@pytest.fixture(scope="module")
def wide():
    """The network of the speed goal, 4096 rows, and its outputs in one call."""
    net = network([7, 64, 64, 256])
    x = inputs(4096, 7)
    return net, x, plan(net).eval(x)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 16, 100, 4096])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_same_bits_for_any_batch_split_and_threads(wide, batch, num_threads):
    net, x, expected = wide
    p = plan(net)
    parts = [p.eval(x[i : i + batch], None, num_threads) for i in range(0, len(x), batch)]
    assert digest(np.concatenate(parts)) == digest(expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_same_bits_for_instruction_sets_with_fma(activation, dtype, isa):
    if len(FUSED_MULTIPLY_ADD) < 2:
        pytest.skip("this CPU has only one instruction set with fused multiply-add")
    net = network([7, 45, 30, 21], activation, activation, dtype)
    x = inputs(333, 7, dtype)
    found = set()
    for name in FUSED_MULTIPLY_ADD:
        isa(name)
        p = plan(net)
        assert p.isa == name
        found |= {digest(p.eval(x)), digest(np.concatenate([p.eval(x[i : i + 3]) for i in range(0, 333, 3)]))}
    assert len(found) == 1


@pytest.mark.parametrize("isa_name", ISAS)
@pytest.mark.parametrize("activation", ["softsign", "tanh"])
@pytest.mark.parametrize("n_out", [1, 5, 40])
def test_same_bits_for_any_strides(n_out, activation, isa_name, isa):
    isa(isa_name)
    net = network([20, 23, n_out], activation)
    p = plan(net)
    x = inputs(150, 20)
    expected = p.eval(x)

    backing = np.zeros((300, 60), np.float32)
    views = {
        "fortran": np.asfortranarray(x),
        "every third column": backing[:150, ::3],
        "every second row": backing[::2, 20:40],
        "reversed": backing[149::-1, 59:39:-1],
    }
    for name, view in views.items():
        view[...] = x
        assert digest(p.eval(view)) == digest(expected), name

    space = np.zeros((300, 3 * n_out), np.float32)
    outs = {
        "fortran": np.zeros((150, n_out), np.float32, order="F"),
        "every third column": space[:150, ::3],
        "every second row": space[::2, :n_out],
        "reversed": space[149::-1, n_out - 1 :: -1] if n_out > 1 else space[149::-1, :1],
    }
    for name, out in outs.items():
        space[...] = 7
        p.eval(x, out)
        assert digest(out) == digest(expected), name
        if name != "fortran":  # nothing beside the output was written
            out[...] = 7
            assert (space == 7).all(), name


@pytest.mark.parametrize("n_out", [1, 5, 37])
@pytest.mark.parametrize("order", "CF")
def test_nothing_is_written_beside_the_output(n_out, order):
    p = plan(network([3, 9, n_out]))
    for n in (1, 5, 50, 131):
        space = np.full((n + 2) * (n_out + 2), 7, np.float32).reshape((n + 2, n_out + 2), order=order)
        p.eval(inputs(n, 3), space[1:-1, 1:-1])
        space[1:-1, 1:-1] = 7
        assert (space == 7).all()


# ---------------------------------------------------------------------------------------------------------- the binding


def test_zero_rows():
    p = plan(network([7, 5, 3]))
    assert p.eval(inputs(0, 7)).shape == (0, 3)


def test_given_output_is_returned():
    p = plan(network([7, 5, 3]))
    out = np.empty((4, 3), np.float32)
    assert p.eval(inputs(4, 7), out=out) is out
    assert p.eval(x=inputs(4, 7), out=None, num_threads=0).shape == (4, 3)


def test_properties_of_a_plan():
    p = plan(network([7, 64, 64, 256]))
    assert (p.n_in, p.n_out, p.dtype, p.isa) == (7, 256, np.float32, _core.isa())
    assert p.flops == 2 * (7 * 64 + 64 * 64 + 64 * 256)


def test_weights_are_copied():
    net = network([7, 5, 3])
    p, x = plan(net), inputs(4, 7)
    before = p.eval(x)
    net[0][0][...] = 0
    assert np.array_equal(p.eval(x), before)


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ((np.zeros((4, 7)),), TypeError, "x: expected float32 array of shape .*float64"),
        ((np.zeros((4, 6), np.float32),), ValueError, r"x: expected shape .*7.*got \(4, 6\)"),
        ((np.zeros(7, np.float32),), ValueError, "x: expected shape"),
        (([[1.0] * 7],), TypeError, "x: expected float32 array"),
        ((np.zeros((4, 7), np.float32), np.zeros((5, 3), np.float32)), ValueError, r"out: expected shape .*got \(5, 3\)"),
        ((np.zeros((4, 7), np.float32), np.zeros((4, 3))), TypeError, "out: expected float32"),
        ((np.zeros((4, 7), np.float32), None, -1), ValueError, "num_threads"),
        ((), TypeError, "misses argument x"),
    ],
)
def test_wrong_arguments_of_eval_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        plan(network([7, 5, 3])).eval(*arguments)


def test_read_only_output_is_refused():
    out = np.zeros((4, 3), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        plan(network([7, 5, 3])).eval(inputs(4, 7), out)


def test_output_that_overlaps_the_input_is_refused():
    space = np.zeros((4, 10), np.float32)
    with pytest.raises(ValueError, match="x and out share memory"):
        plan(network([7, 5, 7])).eval(space[:, :7], space[:, 3:])


@pytest.mark.parametrize(
    "change, error, words",
    [
        (lambda w, b, a: (w[:1], b, a), ValueError, "as many as weights"),
        (lambda w, b, a: ([], [], []), ValueError, "at least one layer"),
        (lambda w, b, a: ([w[0], w[0]], [b[0], b[0]], a), ValueError, "layer 1 takes 7 inputs, but layer 0 gives 5"),
        (lambda w, b, a: (w, [b[0], b[0]], a), ValueError, r"biases\[1\]: expected shape .*3.*got \(5,\)"),
        (lambda w, b, a: (w, b, ["relu", "sine"]), ValueError, r"activations\[1\]: expected one of linear, .*\"sine\""),
        (lambda w, b, a: (w, b, ["relu", 3]), TypeError, r"activations\[1\]"),
        (lambda w, b, a: (w, b, ["relu", ("elu", -1.0)]), ValueError, "parameter of elu"),
        (lambda w, b, a: ([w[0].astype(float), w[1]], b, a), TypeError, r"weights\[0\]: expected float32"),
        (lambda w, b, a: ([np.zeros((7, 0), np.float32)] + w[1:], [np.zeros(0, np.float32)] + b[1:], a), ValueError, "layer 0 has shape"),
    ],
)
def test_wrong_layers_are_named(change, error, words):
    net = network([7, 5, 3])
    with pytest.raises(error, match=words):
        _core.dense_net(*change(*net), np.float32)


def test_other_precisions_are_refused():
    with pytest.raises(ValueError, match="dtype: expected float32 or float64"):
        _core.dense_net(*network([7, 5, 3]), np.float16)


def test_failed_allocations_are_memory_errors():
    net = network([7, 5, 3])
    for n in range(3):  # layer list, plan, workspace
        _core.memory_fail_after(n)
        with pytest.raises(MemoryError):
            plan(net)
    _core.memory_fail_after(-1)
    p = plan(net)
    _core.memory_fail_after(0)
    with pytest.raises(MemoryError):
        p.eval(inputs(2000, 7), None, 2)
    _core.memory_fail_after(-1)


def test_evaluation_allocates_nothing():
    p, x, out = plan(network([7, 64, 3])), inputs(1000, 7), np.empty((1000, 3), np.float32)
    _core.memory_fail_after(-1)
    p.eval(x, out)
    assert _core.memory_fail_after(-1) == 0


def test_one_plan_in_many_threads():
    from concurrent.futures import ThreadPoolExecutor

    net = network([7, 64, 64, 32])
    p, x = plan(net), inputs(20000, 7)
    expected = digest(p.eval(x))
    with ThreadPoolExecutor(4) as pool:
        assert {digest(y) for y in pool.map(lambda _: p.eval(x), range(12))} == {expected}


def test_child_of_fork_evaluates_without_hanging():
    code = """
import os, numpy as np
from simgraft import _core
w = np.ones((3, 2), np.float32)
p = _core.dense_net([w], [None], ["linear"], "float32")
x = np.ones((5000, 3), np.float32)
p.eval(x, None, 2)
child = os.fork()
if child == 0:
    os._exit(0 if (p.eval(x, None, 2) == 3).all() else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, env=os.environ).returncode == 0


# ---------------------------------------------------------------------------------------------------------- activations


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_reference_derivative_is_the_slope_of_the_reference(activation):
    h = 1e-5
    for x in (-4.0, -1.3, -0.2, 0.3, 1.1, 5.0):
        slope = (_core.activation_reference(activation, x + h)[0] - _core.activation_reference(activation, x - h)[0]) / (2 * h)
        # truncation h^2 / 6 times a third derivative below 2, and round-off 5 eps / h
        assert _core.activation_reference(activation, x)[1] == pytest.approx(slope, abs=2e-10)
