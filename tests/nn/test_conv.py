"""Convolution, pooling and upsampling against plain NumPy: every padding, stride and rank, odd sizes."""

import itertools

import numpy as np
import pytest

from simgraft import _core

PADDINGS = ("same", "valid", "periodic", "replicate")
PAD_MODE = {"same": {"mode": "constant"}, "periodic": {"mode": "wrap"}, "replicate": {"mode": "edge"}}


def each(value, rank):
    return (value,) * rank if np.ndim(value) == 0 else tuple(value)


def padded(x, kernel, stride, dilation, padding):
    """Rows x (n, d ..., c) with what is outside the field, and the number of outputs of each dimension."""
    rank = x.ndim - 2
    kernel, stride, dilation = each(kernel, rank), each(stride, rank), each(dilation, rank)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    if padding == "valid":
        return x, [(n - e) // s + 1 for n, e, s in zip(x.shape[1:-1], extent, stride)]
    out = [-(-n // s) for n, s in zip(x.shape[1:-1], stride)]
    total = [max((o - 1) * s + e - n, 0) for o, s, e, n in zip(out, stride, extent, x.shape[1:-1])]
    return np.pad(x, [(0, 0), *((t // 2, t - t // 2) for t in total), (0, 0)], **PAD_MODE[padding]), out


def windows(x, kernel, stride, dilation, out):
    """(kernel position, values at that position of every output)."""
    rank = x.ndim - 2
    kernel, stride, dilation = each(kernel, rank), each(stride, rank), each(dilation, rank)
    for k in itertools.product(*map(range, kernel)):
        at = tuple(slice(i * d, i * d + (o - 1) * s + 1, s) for i, d, o, s in zip(k, dilation, out, stride))
        yield k, x[(slice(None), *at)]


def convolve(x, weight, bias, stride=1, dilation=1, groups=1, padding="same"):
    rank = x.ndim - 2
    kernel = weight.shape[:rank]
    x, out = padded(x, kernel, stride, dilation, padding)
    y = np.zeros((len(x), *out, weight.shape[-1])) + bias
    c, u = weight.shape[-2], weight.shape[-1] // groups
    for k, part in windows(x, kernel, stride, dilation, out):
        for g in range(groups):
            y[..., g * u : (g + 1) * u] += part[..., g * c : (g + 1) * c] @ weight[k][:, g * u : (g + 1) * u]
    return y


def run(op, shape, attributes, x, p=None, dtype=np.float64, **kwargs):
    graph = _core.Graph([("input", (), {"shape": shape}), (op, (0,), attributes)])
    p = np.zeros(graph.n_parameters) if p is None else p
    y = graph.forward(p.astype(dtype), x.reshape(len(x), -1).astype(dtype), **kwargs)
    return y.reshape(len(x), *graph.nodes()[1]["shape"])


def problem(seed, shape, units, kernel, groups=1, rows=2):
    """Numbers that float holds exactly, so that both precisions see the same ones."""
    rng = np.random.default_rng(seed)
    weight = (
        rng.normal(size=(*each(kernel, len(shape) - 1), shape[-1] // groups, units))
        .astype(np.float32)
        .astype(float)
    )
    bias = rng.normal(size=units).astype(np.float32).astype(float)
    x = rng.normal(size=(rows, *shape)).astype(np.float32).astype(float)
    return x, weight, bias, np.concatenate([weight.ravel(), bias])


# shape, units, kernel, stride, dilation, groups: below and above vector widths, one channel and one unit, one
# position, fields of several blocks (more than 131072 elements), kernels larger than the field, steps that do
# not divide it
CASES = [
    ((17, 3), 5, 3, 1, 1, 1),
    ((1, 1), 1, 1, 1, 1, 1),
    ((1, 3), 17, 5, 1, 1, 1),
    ((33, 7), 16, 4, 2, 1, 1),
    ((9000, 17), 3, 5, 1, 2, 1),
    ((129, 6), 4, 3, 3, 2, 2),
    ((17, 3, 1), 7, 3, 1, 1, 1),
    ((9, 17, 8), 1, (3, 5), 1, 1, 1),
    ((5, 4, 65), 33, (2, 3), (2, 1), 1, 1),
    ((90, 95, 17), 5, 3, 1, 1, 1),
    ((11, 13, 6), 9, 3, 2, (1, 2), 3),
    ((3, 1, 17, 2), 3, 3, 1, 1, 1),
    ((7, 5, 6, 3), 16, 3, 1, 1, 1),
    ((5, 9, 7, 9), 33, (1, 3, 2), (1, 2, 3), 1, 1),
    ((30, 21, 30, 8), 16, 3, 1, 1, 1),
    ((22, 14, 17, 32), 3, 3, 1, 1, 1),
    ((6, 7, 8, 4), 8, 3, 2, 2, 4),
    ((4, 4, 4, 2), 2, 2, 2, 1, 1),
]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("shape, units, kernel, stride, dilation, groups", CASES)
def test_convolution_is_what_the_formula_says(shape, units, kernel, stride, dilation, groups, padding):
    attributes = dict(
        units=units, kernel=kernel, stride=stride, dilation=dilation, groups=groups, padding=padding
    )
    extent = [(k - 1) * d + 1 for k, d in zip(each(kernel, len(shape) - 1), each(dilation, len(shape) - 1))]
    if padding == "valid" and any(e > n for e, n in zip(extent, shape)):
        with pytest.raises(
            ValueError,
            match=r"node 1 \(conv\): kernel: reaches over \d+ positions of dimension \d, which has 1",
        ):
            _core.Graph([("input", (), {"shape": shape}), ("conv", (0,), attributes)])
        return
    x, weight, bias, p = problem(1, shape, units, kernel, groups)
    expected = convolve(x, weight, bias, stride, dilation, groups, padding)
    terms = weight[..., 0].size
    # Sums of `terms` products of order one, rounded once each: about eps sqrt(terms), eps terms at worst.
    for dtype in (np.float64, np.float32):
        found = run("conv", shape, attributes, x, p, dtype)
        assert found.shape == expected.shape
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=4 * np.finfo(dtype).eps * terms * max(1, np.abs(expected).max() / 8)
        )


@pytest.mark.parametrize("activation", ("relu", "tanh", "gelu"))
def test_the_activation_is_applied_to_what_the_convolution_gives(activation):
    shape = (7, 9, 5)
    x, _, _, p = problem(2, shape, 6, 3)
    plain = run("conv", shape, dict(units=6, kernel=3), x, p)
    np.testing.assert_array_equal(
        run("conv", shape, dict(units=6, kernel=3, activation=activation), x, p),
        run("activation", plain.shape[1:], dict(activation=activation), plain),
    )


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("shape, units, kernel, stride, dilation, groups", CASES)
def test_rows_have_the_same_bits_in_any_batch_thread_and_vector_width(
    shape, units, kernel, stride, dilation, groups, dtype
):
    attributes = dict(
        units=units, kernel=kernel, stride=stride, dilation=dilation, groups=groups, activation="softsign"
    )
    x, _, _, p = problem(3, shape, units, kernel, groups, rows=5)
    whole = run("conv", shape, attributes, x, p, dtype, num_threads=2)
    for i in range(5):
        np.testing.assert_array_equal(
            run("conv", shape, attributes, x[i : i + 1], p, dtype, num_threads=1), whole[i : i + 1]
        )
    if _core.isa_best() == "v4":
        try:
            _core.isa_set("v3")
            np.testing.assert_array_equal(run("conv", shape, attributes, x, p, dtype), whole)
        finally:
            _core.isa_set("auto")


def test_a_net_has_the_same_bits_whether_rows_are_used_where_they_are_or_copied():
    rng = np.random.default_rng(11)
    graph = _core.Graph(
        [("input", (), {"shape": (7, 9, 3)}), ("conv", (0,), dict(units=5, kernel=3, activation="tanh"))]
    )
    p, x = rng.normal(size=graph.n_parameters), rng.normal(size=(70, graph.n_in))
    net, wide = _core.Net(graph, p), np.empty((70, graph.n_out + 1))
    expected = graph.forward(p, x)
    np.testing.assert_array_equal(net.eval(x), expected)
    net.eval(x, wide[:, 1:])
    np.testing.assert_array_equal(wide[:, 1:], expected)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("shape, units, kernel, stride, dilation, groups", CASES)
def test_gradients_are_the_transpose_of_the_convolution(
    shape, units, kernel, stride, dilation, groups, padding
):
    """Linear in the field and in the weights, so values decide: <d_y, conv(x)> = <d_x, x> = <d_w, w>."""
    attributes = dict(
        units=units, kernel=kernel, stride=stride, dilation=dilation, groups=groups, padding=padding
    )
    try:
        graph = _core.Graph([("input", (), {"shape": shape}), ("conv", (0,), attributes)])
    except ValueError:
        assert padding == "valid"
        return
    x, weight, bias, p = problem(4, shape, units, kernel, groups)
    x = x.reshape(2, -1)
    rng = np.random.default_rng(5)
    d_y, t_x, t_p = (rng.normal(size=s) for s in ((2, graph.n_out), x.shape, p.shape))
    d_p, d_x = graph.backward(p, x, d_y)
    zero = np.concatenate([weight.ravel(), 0 * bias])
    along_x = (d_y * graph.forward(zero, t_x)).sum()
    along_p = (d_y * graph.forward(t_p, x)).sum()
    # Sums of products of order one that cancel, held against the sum of their sizes: 1e-14 is 45 eps.
    assert along_x == pytest.approx((d_x * t_x).sum(), abs=1e-14 * np.abs(d_x * t_x).sum())
    assert along_p == pytest.approx((d_p * t_p).sum(), abs=1e-14 * np.abs(d_p * t_p).sum() + 1e-12)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(
    "shape, kernel, stride", [((9, 11, 2), 3, 1), ((9, 11, 17), 3, 1), ((7, 9, 3), 2, 2)]
)
def test_gradients_of_a_field_used_twice_are_added(shape, kernel, stride, padding):
    """Few channels and many: their gradients are made with lanes along the field and along channels."""
    attributes = dict(units=5, kernel=kernel, stride=stride, padding=padding)
    field, conv = ("input", (), {"shape": shape}), ("conv", (0,), attributes)
    once, twice = _core.Graph([field, conv]), _core.Graph([field, conv, conv, ("concatenate", (1, 2), {})])
    rng = np.random.default_rng(12)
    p, x, d_y = (rng.normal(size=s) for s in ((2, once.n_parameters), (2, once.n_in), (2, 2, once.n_out)))
    expected = sum(once.backward(p[i], x, d_y[i])[1] for i in range(2))
    sides = [d.reshape(2, -1, 5) for d in d_y]
    found = twice.backward(p.ravel(), x, np.concatenate(sides, -1).reshape(2, -1))[1]
    # Two sums of at most 45 products of order one.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("padding, stride", [("same", 1), ("valid", 1), ("valid", 2)])
@pytest.mark.parametrize("rank", (1, 2, 3))
def test_convolution_agrees_with_pytorch(rank, padding, stride):
    torch = pytest.importorskip("torch")
    shape, units, kernel = (9, 11, 10)[:rank] + (5,), 7, 3
    x, weight, bias, p = problem(6, shape, units, kernel)
    graph = _core.Graph(
        [
            ("input", (), {"shape": shape}),
            ("conv", (0,), dict(units=units, kernel=kernel, stride=stride, padding=padding)),
        ]
    )
    back, there = (rank + 1, rank, *range(rank)), (0, rank + 1, *range(1, rank + 1))
    x_t, w_t, b_t = (
        torch.tensor(a, requires_grad=True) for a in (x.transpose(there), weight.transpose(back), bias)
    )
    y_t = getattr(torch.nn.functional, f"conv{rank}d")(
        x_t, w_t, b_t, stride=stride, padding=1 if padding == "same" else 0
    )
    y = graph.forward(p, x.reshape(2, -1))
    here = (0, *range(2, rank + 2), 1)
    np.testing.assert_allclose(y, y_t.detach().numpy().transpose(here).reshape(2, -1), rtol=0, atol=1e-13)
    d_y = np.random.default_rng(7).normal(size=y_t.shape)
    y_t.backward(torch.tensor(d_y))
    d_p, d_x = graph.backward(p, x.reshape(2, -1), d_y.transpose(here).reshape(2, -1))
    np.testing.assert_allclose(d_x, x_t.grad.numpy().transpose(here).reshape(2, -1), rtol=0, atol=1e-13)
    np.testing.assert_allclose(
        d_p[: weight.size], w_t.grad.numpy().transpose(*range(2, rank + 2), 1, 0).ravel(), rtol=0, atol=1e-11
    )
    np.testing.assert_allclose(d_p[weight.size :], b_t.grad.numpy(), rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "shape, attributes, message",
    [
        ((3,), dict(kernel=1), "expected a field of 1 to 3 dimensions with channels last, got rank 1"),
        (
            (5, 5, 1),
            dict(kernel=(3, 3, 3)),
            "kernel: expected 1 or 2 numbers for a field of 2 dimensions, got 3",
        ),
        ((5, 5, 1), dict(kernel=3, stride=(1, 2, 1)), "stride: expected 1 or 2 numbers"),
        ((5, 4), dict(kernel=3, groups=3), "groups: expected a divisor of 4 channels and 2 units, got 3"),
        (
            (5, 4),
            dict(kernel=6, padding="valid"),
            "kernel: reaches over 6 positions of dimension 0, which has 5",
        ),
        (
            (5, 7, 4),
            dict(kernel=3, dilation=(1, 4), padding="valid"),
            "kernel: reaches over 9 positions of dimension 1, which has 7",
        ),
        ((9, 9, 9, 1), dict(kernel=4096), "kernel: one output reaches over more than"),
        (
            (9, 4),
            dict(kernel=3, padding="reflect"),
            "padding: expected one of same, valid, periodic, replicate",
        ),
    ],
)
def test_a_convolution_that_makes_no_sense_is_refused(shape, attributes, message):
    with pytest.raises(ValueError, match=message):
        _core.Graph([("input", (), {"shape": shape}), ("conv", (0,), dict(units=2) | attributes)])


# ------------------------------------------------------------------------------------ pooling, upsampling
POOL_CASES = [
    ((17, 3), 2, 0),
    ((1, 1), 1, 0),
    ((33, 17), 3, 2),
    ((9, 6, 1), (2, 3), 0),
    ((6, 7, 33), 3, 1),
    ((17, 3, 5, 2), (3, 1, 2), (2, 1, 3)),
    ((6, 4, 8, 16), 2, 0),
]


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("padding", ("valid", "same"))
@pytest.mark.parametrize("shape, size, stride", POOL_CASES)
def test_pooling_is_what_the_formula_says(shape, size, stride, padding, dtype):
    rank = len(shape) - 1
    step = size if stride == 0 else stride
    x = np.random.default_rng(8).normal(size=(3, *shape)).astype(dtype)
    extra, out = padded(x.astype(float), size, step, 1, "valid" if padding == "valid" else "same")
    inside, _ = padded(np.ones_like(x, float), size, step, 1, "valid" if padding == "valid" else "same")
    extra[inside == 0] = np.nan
    values = np.stack([v for _, v in windows(extra, size, step, 1, out)])
    for op, reference in (("max_pool", np.nanmax), ("average_pool", np.nanmean)):
        found = run(op, shape, dict(size=size, stride=stride, padding=padding), x, dtype=dtype)
        # Means of at most 27 values of order one.
        np.testing.assert_allclose(
            found, reference(values, axis=0), rtol=0, atol=0 if op == "max_pool" else 8 * np.finfo(dtype).eps
        )
    assert found.shape[1:-1] == tuple(out) and len(out) == rank


@pytest.mark.parametrize("shape", ((1, 1), (17, 3), (5, 3, 33), (3, 4, 5, 2)))
def test_global_pooling_is_what_the_formula_says(shape):
    x = np.random.default_rng(9).normal(size=(3, *shape))
    positions = x.reshape(3, -1, shape[-1])
    np.testing.assert_array_equal(run("global_pool", shape, dict(kind="max"), x), positions.max(axis=1))
    # Means of at most 60 values of order one.
    np.testing.assert_allclose(run("global_pool", shape, {}, x), positions.mean(axis=1), rtol=0, atol=1e-15)


def test_not_a_number_is_not_lost_in_a_maximum():
    x = np.arange(8.0).reshape(1, 8, 1)
    for at in range(8):
        y = x.copy()
        y[0, at] = np.nan
        pooled = run("max_pool", (8, 1), dict(size=4), y)[0, :, 0]
        assert np.isnan(pooled[at // 4]) and not np.isnan(pooled[1 - at // 4])


def test_the_first_of_equal_values_gets_the_gradient():
    graph = _core.Graph([("input", (), {"shape": (4, 4, 1)}), ("max_pool", (0,), dict(size=2))])
    _, d_x = graph.backward(np.zeros(0), np.ones((1, 16)), np.arange(1.0, 5.0)[None])
    np.testing.assert_array_equal(d_x.reshape(4, 4), [[1, 0, 2, 0], [0] * 4, [3, 0, 4, 0], [0] * 4])


@pytest.mark.parametrize("method", ("nearest", "linear"))
@pytest.mark.parametrize(
    "shape, factor",
    [((1, 1), 3), ((17, 3), 2), ((5, 4, 17), (3, 1)), ((3, 2, 5, 1), (1, 4, 2)), ((4, 3, 2, 16), 2)],
)
def test_upsampling_is_what_the_formula_says(shape, factor, method):
    x = np.random.default_rng(10).normal(size=(2, *shape))
    expected = x
    for axis, f in enumerate(each(factor, len(shape) - 1), start=1):
        n = x.shape[axis]
        at = (
            np.arange(n * f) + 0.5
        ) / f - 0.5  # centres of cells; np.interp is constant beyond the first and the last
        expected = (
            np.repeat(expected, f, axis)
            if method == "nearest"
            else np.apply_along_axis(
                lambda line, at=at, n=n: np.interp(at, np.arange(n), line), axis, expected
            )
        )
    # Three interpolations one after the other, a rounding or two each.
    np.testing.assert_allclose(
        run("upsample", shape, dict(factor=factor, method=method), x), expected, rtol=0, atol=2e-15
    )


@pytest.mark.parametrize(
    "op, shape, attributes, message",
    [
        ("max_pool", (5,), dict(size=2), "expected a field of 1 to 3 dimensions"),
        (
            "max_pool",
            (5, 3, 1),
            dict(size=4),
            "size: the window has 4 positions in dimension 1, where the field has 3",
        ),
        (
            "average_pool",
            (5, 3, 1),
            dict(size=(2, 2, 2)),
            "size: expected 1 or 2 numbers for a field of 2 dimensions, got 3",
        ),
        ("global_pool", (5,), {}, "expected a field with channels last, got rank 1"),
        ("upsample", (5, 3, 1), dict(factor=(2, 2, 2)), "factor: expected 1 or 2 numbers"),
        ("upsample", (5, 5, 5, 5, 1), dict(factor=2), "expected a field of 1 to 3 dimensions"),
    ],
)
def test_a_pooling_or_upsampling_that_makes_no_sense_is_refused(op, shape, attributes, message):
    with pytest.raises(ValueError, match=message):
        _core.Graph([("input", (), {"shape": shape}), (op, (0,), attributes)])
