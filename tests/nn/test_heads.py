"""Softmax, constraints, sets, distributions and couplings against formulas in NumPy and against what they
promise. Gradients, tangents and bits of every one are in test_ops.py."""

import numpy as np
import pytest

import simgraft as sg
from simgraft import _core, encode, nn

EPS = np.finfo(np.float64).eps
PRECISIONS = pytest.mark.parametrize("dtype", (np.float32, np.float64))


def graph_of(op, shapes, attributes=None):
    inputs = [("input", (), {"shape": shape}) for shape in shapes]
    return _core.Graph([*inputs, (op, tuple(range(len(shapes))), attributes or {})])


def row_of(arrays):
    return np.hstack([np.asarray(a).reshape(len(a), -1) for a in arrays])


def run(op, arrays, attributes=None, parameters=None, **options):
    """Result of one operator for arrays (rows, *shape)."""
    graph = graph_of(op, [a.shape[1:] for a in arrays], attributes)
    x = row_of(arrays)
    p = (
        np.zeros(graph.n_parameters, x.dtype)
        if parameters is None
        else np.concatenate([np.ravel(a) for a in parameters]).astype(x.dtype)
    )
    return graph.forward(p, x, **options).reshape(len(x), *graph.nodes()[-1]["shape"])


def gradients(op, arrays, d_y, attributes=None):
    """Gradients of sum(d_y * y) by input."""
    graph = graph_of(op, [a.shape[1:] for a in arrays], attributes)
    d_x = graph.backward(np.zeros(graph.n_parameters), row_of(arrays), d_y.reshape(len(d_y), -1))[1]
    parts = np.split(d_x, np.cumsum([a[0].size for a in arrays])[:-1], axis=1)
    return [part.reshape(a.shape) for part, a in zip(parts, arrays)]


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# ----------------------------------------------------------------------------------------- softmax and shapes
def test_softmax_is_what_its_formula_says():
    x = np.random.default_rng(1).normal(0, 3, (5, 4, 37))
    # exp to 2 ulp of an argument that is off by half an ulp of 20, a sum of 37 positive terms, a division:
    # below 60 eps.
    np.testing.assert_allclose(run("softmax", [x]), softmax(x), rtol=60 * EPS)


@PRECISIONS
def test_softmax_of_huge_numbers_is_finite(dtype):
    top = np.finfo(dtype).max / 4
    y = run("softmax", [np.array([[-top, 0, top], [top, top, -top], [-top, -top, -top]], dtype)])
    np.testing.assert_array_equal(y[:2], np.array([[0, 0, 1], [0.5, 0.5, 0]], dtype))
    np.testing.assert_allclose(y[2], 1 / 3, rtol=2 * np.finfo(dtype).eps)


def test_reshape_keeps_the_order_of_elements():
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(run("reshape", [x], {"shape": (2, 6)}), x.reshape(2, 2, 6))
    with pytest.raises(ValueError, match="shape: expected 12 elements, as in the input, got 10"):
        graph_of("reshape", [(3, 4)], {"shape": (2, 5)})


@pytest.mark.parametrize("shape", ((3, 4), (3, 1), (3,)))
def test_multiply_takes_equal_shapes_and_one_number_for_all_channels(shape):
    a, b = (np.random.default_rng(1).normal(size=(5, *s)) for s in ((3, 4), shape))
    np.testing.assert_array_equal(run("multiply", [a, b]), a * b.reshape(5, 3, -1))


def test_multiply_refuses_other_shapes():
    with pytest.raises(ValueError, match="expected the second input of the shape of the first"):
        graph_of("multiply", [(3, 4), (4,)])


# ------------------------------------------------------------------------------------------------ constraints
@PRECISIONS
@pytest.mark.parametrize(
    "function, formula",
    [("softplus", lambda x: np.logaddexp(0, x)), ("exp", np.exp), ("relu", lambda x: np.maximum(x, 0))],
)
def test_positive_is_its_formula_and_never_below_the_floor(function, formula, dtype):
    x = np.random.default_rng(1).normal(0, 20, (1, 1001)).astype(dtype)
    x[0, :3] = -np.finfo(dtype).max, 0, -80
    y = run("positive", [x], {"function": function, "floor": 0.125})
    assert (y >= 0.125).all()
    np.testing.assert_allclose(y, 0.125 + formula(x.astype(np.float64)), rtol=8 * np.finfo(dtype).eps)


@PRECISIONS
def test_bound_is_never_passed_and_reached_at_infinity(dtype):
    rng = np.random.default_rng(1)
    low = rng.normal(0, 10.0 ** rng.integers(-3, 4, 200)).astype(dtype)
    high = (low + rng.exponential(10.0 ** rng.integers(-3, 4, 200))).astype(dtype)
    x = np.concatenate(
        [rng.normal(0, 30, (300, 200)), np.full((1, 200), -1e30), np.full((1, 200), 1e30)]
    ).astype(dtype)
    y = run("bound", [x], parameters=[low, high])
    # Without the clip of the kernel some of the rounded sums pass high by an ulp.
    assert ((low <= y) & (y <= high)).all()
    np.testing.assert_array_equal(y[-2], low)
    np.testing.assert_allclose(
        y[-1], high, rtol=0, atol=np.finfo(dtype).eps * np.maximum(abs(low), abs(high)).max()
    )
    exact = low + (high - low).astype(np.float64) / (1 + np.exp(-x.astype(np.float64).clip(-700)))
    np.testing.assert_allclose(y, exact, rtol=0, atol=8 * np.finfo(dtype).eps * (abs(low) + abs(high)).max())


def test_bounds_are_kept_in_training_and_saved_with_the_network(tmp_path):
    x = nn.Input(3)
    network = nn.Network.from_graph(x, nn.Bound([0, -1], [1, 2])(nn.Dense(2)(nn.Dense(5, "tanh")(x))), seed=1)
    rows = np.random.default_rng(1).normal(size=(64, 3)).astype(np.float32)
    before = network.parameters.copy()
    nn.fit(
        network,
        (rows, rows[:, :2]),
        optimizer=nn.AdamW(1e-2, weight_decay=0.1),
        epochs=3,
        seed=1,
        progress=False,
    )
    assert (network.parameters[:-4] != before[:-4]).any()
    np.testing.assert_array_equal(network.parameters[-4:], [0, -1, 1, 2])
    again = nn.Network.from_spec(network.spec, network.parameters)
    np.testing.assert_array_equal(again.predict(rows), network.predict(rows))


@pytest.mark.parametrize(
    "low, high, message",
    [
        (0, 0, "high: expected more than low"),
        ([0, 1], [1, 2], r"low: expected one number or shape \(3,\)"),
        (0, np.inf, "high: expected finite numbers"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(low, high, message):
    with pytest.raises(ValueError, match=message):
        nn.Bound(low, high)(nn.Input(3))


@PRECISIONS
def test_parts_of_a_simplex_add_up_to_the_total(dtype):
    rng = np.random.default_rng(1)
    x, total = rng.normal(0, 5, (50, 3, 37)).astype(dtype), rng.normal(0, 100, (50, 3, 1)).astype(dtype)
    y = run("simplex", [x, total], {"total": 2.0}).astype(np.float64)
    # Every part is rounded three times, and their sum once before: (3 + 37) eps of the total is ample.
    assert (abs(y.sum(axis=-1) - 2.0 * total[..., 0]) <= 40 * np.finfo(dtype).eps * abs(total[..., 0])).all()
    assert (y * total >= 0).all()
    np.testing.assert_allclose(
        y, 2.0 * total.astype(np.float64) * softmax(x.astype(np.float64)), rtol=200 * np.finfo(dtype).eps
    )


def constrained(matrix, right=None, *, n_z=0, dtype="float64", **options):
    """Network [y, z] -> Conserve(y, z), nothing else."""
    y, z = nn.Input(np.shape(matrix)[1]), nn.Input(n_z) if n_z else None
    out = nn.Conserve(matrix, right, **options)(*([y, z] if n_z else [y]))
    return nn.Network.from_graph([y, z] if n_z else y, out, seed=1, dtype=dtype)


@PRECISIONS
def test_constraints_hold_to_rounding(dtype):
    rng = np.random.default_rng(1)
    matrix, right, constant = rng.normal(size=(4, 30)), rng.normal(size=(4, 7)), rng.normal(size=4)
    network = constrained(matrix, right, n_z=7, constant=constant, dtype=np.dtype(dtype).name)
    x = rng.normal(0, 10, (200, 37)).astype(dtype)
    y = network.predict(x).astype(np.float64)
    defect = y @ matrix.T - x[:, 30:].astype(np.float64) @ right.T - constant
    # Sums of 30 and 7 products, their coefficients rounded too: 2 roundings each plus a chain of ceil(30 /
    # 16) + 4, times the sizes of the terms; the correction is multiplied with coefficients that are off by
    # eps, at most 4 such terms.
    size = (
        abs(y) @ abs(matrix).T
        + abs(x[:, 30:]) @ abs(right).T
        + abs(constant)
        + abs(x[:, :30]) @ abs(matrix).T
    )
    assert (abs(defect) <= 12 * np.finfo(dtype).eps * size).all()
    assert (
        abs(x[:, :30].astype(np.float64) @ matrix.T - x[:, 30:].astype(np.float64) @ right.T)
        .min(axis=0)
        .max()
        > 1e-3
    )


def test_the_correction_is_the_smallest_that_satisfies_the_constraints():
    rng = np.random.default_rng(2)
    matrix, weight, x = rng.normal(size=(2, 6)), rng.uniform(0.5, 3, 6), rng.normal(size=(9, 6))
    change = constrained(matrix, weight=weight).predict(x) - x
    # Least squares in scaled unknowns u = change / sqrt(weight) is another way to the same: condition number
    # below 10.
    least = np.linalg.lstsq(matrix * np.sqrt(weight), -(x @ matrix.T).T, rcond=None)[0].T * np.sqrt(weight)
    np.testing.assert_allclose(change, least, rtol=0, atol=100 * EPS * abs(x).max())


def test_channels_of_weight_zero_keep_their_bits_and_the_residual_takes_the_rest():
    rng = np.random.default_rng(3)
    matrix = np.array([[1.0, 2.0, -1.0, 0.5]])
    x = rng.normal(size=(20, 4))
    y = constrained(matrix, weight=[0, 0, 1, 0]).predict(x)
    np.testing.assert_array_equal(y[:, [0, 1, 3]], x[:, [0, 1, 3]])
    np.testing.assert_allclose(
        y[:, 2], x[:, 0] + 2 * x[:, 1] + 0.5 * x[:, 3], rtol=0, atol=20 * EPS * abs(x).max()
    )


def test_constraints_in_physical_units_hold_behind_encoders():
    """Enthalpy of a column: heat capacity times heating plus latent heat times moistening equals the flux,
    units far apart."""
    rng = np.random.default_rng(4)
    matrix, right = np.concatenate([np.full(8, 1004.0), np.full(8, 2.5e6)])[None], np.array([[1.0]])
    shift, scale = (
        rng.normal(size=16) * 1e-5,
        np.concatenate([rng.uniform(1, 2, 8) * 1e-5, rng.uniform(1, 2, 8) * 1e-8]),
    )
    network = constrained(matrix, right, n_z=1, outputs=(shift, scale), inputs=(30.0, 50.0))
    x = rng.normal(size=(40, 17))
    y, flux = shift + scale * network.predict(x)[:, :16], 30.0 + 50.0 * x[:, 16]
    size = abs(y) @ abs(matrix[0]) + abs(flux) + abs(shift + scale * x[:, :16]) @ abs(matrix[0])
    assert (abs(y @ matrix[0] - flux) <= 40 * EPS * size).all()


def test_a_surrogate_conserves_in_physical_units(tmp_path):
    """Three parts of a flux that add up to it; the network sees all of them standardised."""

    def shares(x):
        a = 0.2 + 0.1 * np.tanh(x["flux"] / 300 - 1)
        return {"air": a * x["flux"], "ground": 0.3 * x["flux"], "space": (0.7 - a) * x["flux"]}

    kernel = sg.Kernel(
        shares,
        inputs={"flux": sg.Var("W m-2", 100, 1000), "idle": sg.Var("1", 0, 1)},
        outputs={name: sg.Var("W m-2") for name in ("air", "ground", "space")},
    )
    data = kernel.sample(sg.sampling.sobol(kernel, seed=1), 512, out=tmp_path / "data", progress=False)
    encoder, decoder = encode.Encoder().fit(data), encode.Encoder(side="outputs").fit(data)

    def model(x, n_out):
        constraint = nn.Conserve(
            [[1, 1, 1]], right=[[1, 0]], outputs=decoder.affine(), inputs=encoder.affine()
        )
        return constraint(nn.Dense(n_out)(nn.Dense(16, "tanh")(x)), x)

    surrogate = sg.Surrogate(kernel, nn.Model(model)).fit(
        data, epochs=2, seed=1, dtype="float64", progress=False
    )
    surrogate.save(tmp_path / "shares.sg")
    flux = np.linspace(100, 1000, 77)
    for found in (surrogate, sg.Surrogate.load(tmp_path / "shares.sg")):
        parts = found({"flux": flux, "idle": np.full(77, 0.5)})
        # Encoding, sums and decoding round numbers of up to 1000 some ten times.
        np.testing.assert_allclose(sum(parts.values()), flux, rtol=20 * EPS)


def test_training_sees_the_constraint_and_leaves_it_alone():
    rng = np.random.default_rng(5)
    x = nn.Input(3)
    y = nn.Conserve([[1, 1, 1, 1]], constant=[2.0])(nn.Dense(4)(nn.Dense(8, "tanh")(x)))
    network = nn.Network.from_graph(x, y, seed=1, dtype="float64")
    rows = rng.normal(size=(128, 3))
    target = np.abs(rows @ rng.normal(size=(3, 4)))
    target *= 2 / target.sum(axis=1, keepdims=True)
    constants = network.parameters[-9:].copy()
    history = nn.fit(
        network,
        (rows, target),
        optimizer=nn.AdamW(1e-2, weight_decay=0.01),
        epochs=40,
        batch_size=32,
        seed=1,
        progress=False,
    )
    np.testing.assert_array_equal(network.parameters[-9:], constants)
    np.testing.assert_allclose(network.predict(rows).sum(axis=1), 2, rtol=20 * EPS)
    assert history["loss"][-1] < 0.5 * history["loss"][0]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(matrix=[[1, 1, 1], [2, 2, 2]]), "the constraints depend on each other"),
        (
            dict(matrix=[[1, 1, 0], [0, 0, 1]], weight=[1, 1, 0]),
            "weight: constraint 1 has no channel that may be changed",
        ),
        (dict(matrix=[[1, 1]]), r"matrix: expected shape \(constraints, 3\), got \(1, 2\)"),
        (
            dict(matrix=[[1, 1, 1]], constant=[1, 2]),
            r"constant: expected one number or shape \(1,\), got \(2,\)",
        ),
        (
            dict(matrix=[[1, 1, 1]], right=[[1]]),
            "right: expected coefficients of the second value, and a second value, or neither",
        ),
        (dict(matrix=[[1, 1, 1]], weight=[-1, 1, 1]), "weight: expected >= 0"),
    ],
)
def test_constraints_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        nn.Conserve(**arguments)(nn.Input(3))


# ------------------------------------------------------------------------------------------------------- sets
def random_set(rng, n_rows=6, n_items=19, channels=5):
    """Items and a mask; the first row has no item, the second all."""
    mask = (rng.random((n_rows, n_items)) < 0.6).astype(np.float64)
    mask[0], mask[1] = 0, 1
    return rng.normal(size=(n_rows, n_items, channels)), mask


POOLS = {"mean": lambda x: x.mean(axis=0), "sum": lambda x: x.sum(axis=0), "max": lambda x: x.max(axis=0)}


@pytest.mark.parametrize("pool", POOLS)
def test_pool_takes_the_items_that_are_present(pool):
    items, mask = random_set(np.random.default_rng(1))
    y = run("set_pool", [items, mask], {"pool": pool})
    np.testing.assert_array_equal(y[0], 0)
    for row in range(1, len(items)):
        # Sums of up to 19 numbers of order one.
        np.testing.assert_allclose(
            y[row], POOLS[pool](items[row][mask[row] > 0.5]), rtol=0, atol=19 * 4 * EPS
        )
    np.testing.assert_allclose(
        run("set_pool", [items], {"pool": pool}), [POOLS[pool](x) for x in items], rtol=0, atol=19 * 4 * EPS
    )


def heads_of(x, n_heads):
    return x.reshape(*x.shape[:-1], n_heads, -1)


def attention_of_row(query, key, value, mask, n_heads):
    """Vaswani et al. 2017, eq. 1, head by head."""
    out = np.zeros((len(query), value.shape[-1]))
    present = mask > 0.5
    if present.any():
        for h in range(n_heads):
            q, k, v = (heads_of(a, n_heads)[:, h] for a in (query, key[present], value[present]))
            heads_of(out, n_heads)[:, h] = softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v
    return out


# Scores of three products and shares that are off by as many eps as the scores are, about 20; means of 19
# items of order one.
ATTENTION_LIMIT = 200 * EPS


@pytest.mark.parametrize("n_heads", (1, 3))
def test_attention_is_what_its_formula_says(n_heads):
    rng = np.random.default_rng(2)
    key, mask = random_set(rng, channels=9)
    query, value = rng.normal(size=(6, 4, 9)), rng.normal(size=(6, 19, 6))
    y = run("attention", [query, key, value, mask], {"heads": n_heads})
    expected = [attention_of_row(*row, n_heads) for row in zip(query, key, value, mask)]
    np.testing.assert_allclose(y, expected, rtol=0, atol=ATTENTION_LIMIT)
    np.testing.assert_array_equal(y[0], 0)


def test_attention_pool_is_attention_of_its_parameters():
    rng = np.random.default_rng(3)
    key, mask = random_set(rng, channels=6)
    value, query = rng.normal(size=(6, 19, 4)), rng.normal(size=(3, 6))
    pooled = run("attention_pool", [key, value, mask], {"heads": 2, "queries": 3}, [query])
    np.testing.assert_array_equal(
        pooled, run("attention", [np.broadcast_to(query, (6, 3, 6)), key, value, mask], {"heads": 2})
    )


def set_networks():
    items, mask = nn.Input((19, 5)), nn.Input(19)
    heads = {
        "deep sets": nn.Dense(3)(nn.SetPool("sum")(nn.Dense(7, "tanh")(items), mask)),
        "largest": nn.SetPool("max")(items, mask),
        "multihead": nn.MultiheadPool(6, heads=2, queries=2)(items, mask),
        "transformer": nn.SetPool("mean")(nn.SelfAttention(heads=2)(nn.Dense(6)(items), mask), mask),
    }
    return {
        name: nn.Network.from_graph([items, mask], y, seed=1, dtype="float64") for name, y in heads.items()
    }


@pytest.mark.parametrize("name", set_networks())
def test_functions_of_sets_do_not_depend_on_the_order_of_items(name):
    network = set_networks()[name]
    rng = np.random.default_rng(4)
    items, mask = random_set(rng)
    order = rng.permutation(19)
    a, b = network.predict(row_of([items, mask])), network.predict(row_of([items[:, order], mask[:, order]]))
    # The same sums in another order: 19 terms of order one, through at most four layers.
    np.testing.assert_allclose(a, b, rtol=0, atol=0 if name == "largest" else 1000 * EPS)


@pytest.mark.parametrize("filler", (1e30, np.nan, np.inf), ids=str)
@pytest.mark.parametrize("name", ("deep sets", "largest", "multihead"))
def test_items_that_are_not_present_have_no_influence(name, filler):
    network = set_networks()[name]
    items, mask = random_set(np.random.default_rng(5))
    x, other = row_of([items, mask]), row_of([np.where(mask[..., None] > 0.5, items, filler), mask])
    np.testing.assert_array_equal(network.predict(other), network.predict(x))


def test_present_items_of_self_attention_do_not_see_absent_ones():
    items, mask = nn.Input((19, 6)), nn.Input(19)
    network = nn.Network.from_graph(
        [items, mask], nn.SelfAttention(heads=3)(items, mask), seed=1, dtype="float64"
    )
    x, m = random_set(np.random.default_rng(6), channels=6)
    other = np.where(m[..., None] > 0.5, x, 1e3)
    a, b = (network.predict(row_of([v, m])).reshape(x.shape) for v in (x, other))
    np.testing.assert_array_equal(a[m > 0.5], b[m > 0.5])


@pytest.mark.parametrize(
    "op, attributes, n_extra",
    [("set_pool", {"pool": "mean"}, 0), ("set_pool", {"pool": "max"}, 0), ("attention_pool", {}, 1)],
)
def test_gradients_of_sets_are_zero_where_no_item_is(op, attributes, n_extra):
    rng = np.random.default_rng(7)
    items, mask = random_set(rng)
    hidden = np.where(mask[..., None] > 0.5, items, np.nan)
    found = gradients(op, [hidden] * (1 + n_extra) + [mask], rng.normal(size=(6, 5)), attributes)
    for d in found[:-1]:
        assert np.isfinite(d).all() and not d[mask < 0.5].any()
    assert not found[-1].any()  # the mask is no variable


def test_sets_of_the_wrong_shape_are_refused():
    with pytest.raises(
        ValueError, match=r"expected a set \(n_items, channels\) as input 0, got 1 dimensions"
    ):
        graph_of("set_pool", [(5,)])
    with pytest.raises(
        ValueError, match=r"expected a mask \(n_items = 5\) as input 1, got 1 dimensions and 4 elements"
    ):
        graph_of("set_pool", [(5, 2), (4,)])
    with pytest.raises(ValueError, match="heads: expected a divisor of 3 and 3 channels, got 2"):
        graph_of("attention_pool", [(5, 3), (5, 3)], {"heads": 2})
    with pytest.raises(
        ValueError, match="expected keys with the 4 channels of the queries and the 5 items of the values"
    ):
        graph_of("attention", [(2, 4), (6, 4), (5, 3)])


# ---------------------------------------------------------------------------------------------- distributions
SEED, STEP = 11, 5


def gaussian(n_rows, dtype=np.float64, channels=7):
    rng = np.random.default_rng(1)
    return [rng.normal(size=(n_rows, channels)).astype(dtype) for _ in range(2)]


@PRECISIONS
def test_gaussian_sample_is_the_mean_in_inference_and_the_reparameterised_draw_in_training(dtype):
    mean, log_variance = gaussian(101, dtype)
    np.testing.assert_array_equal(run("gaussian_sample", [mean, log_variance]), mean)
    y = run("gaussian_sample", [mean, log_variance], training=(SEED, STEP))
    # The stream of node 2 in this step, see nn/op_random.h.
    draws = _core.random_fill("normal", SEED, 1 << 63 | STEP << 16 | 2, 0, np.empty(mean.size, np.float32))
    expected = mean + np.exp(log_variance.astype(np.float64) / 2) * draws.reshape(mean.shape)
    np.testing.assert_allclose(y, expected, rtol=0, atol=8 * np.finfo(dtype).eps * abs(expected).max())


def test_draws_of_a_row_do_not_depend_on_rows_after_it_or_on_threads():
    pair = gaussian(500)
    whole = run("gaussian_sample", pair, training=(SEED, STEP), num_threads=2)
    np.testing.assert_array_equal(run("gaussian_sample", pair, training=(SEED, STEP), num_threads=1), whole)
    np.testing.assert_array_equal(
        run("gaussian_sample", [a[:333] for a in pair], training=(SEED, STEP)), whole[:333]
    )
    assert (run("gaussian_sample", pair, training=(SEED, STEP + 1)) != whole).all()


def test_mixture_density_is_normalised_and_bounded():
    rng = np.random.default_rng(2)
    k, n, low, high = 4, 3, -6.0, 3.0
    x = rng.normal(0, 2, (50, k * (1 + 2 * n)))
    x[0] = 1e6
    x[1, k + k * n :] = -1e6
    y = run("mixture_density", [x], {"components": k, "low": low, "high": high})
    # The logarithm of a sum to one ulp of numbers up to 10.
    np.testing.assert_allclose(y[:, :k], np.log(softmax(x[:, :k])), rtol=0, atol=40 * EPS)
    np.testing.assert_array_equal(y[:, k : k + k * n], x[:, k : k + k * n])
    spread = y[:, k + k * n :]
    assert (spread >= low).all() and (spread <= high).all()
    argument = 4 * (x[2:, k + k * n :] - (low + high) / 2) / (high - low)
    np.testing.assert_allclose(
        spread[2:], low + (high - low) / (1 + np.exp(-argument)), rtol=0, atol=60 * EPS
    )


def test_mixture_head_learns_two_branches():
    """y = +-x with equal chances: a mean would be 0, the mixture finds both branches and their spread of
    0.1."""
    rng = np.random.default_rng(3)
    x = rng.uniform(0.5, 1.5, (2000, 1))
    y = np.where(rng.random((2000, 1)) < 0.5, x, -x) + 0.1 * rng.normal(size=(2000, 1))
    value = nn.Input(1)
    network = nn.Network.from_graph(
        value, nn.MixtureHead(1, components=2)(nn.Dense(16, "tanh")(value)), seed=1, dtype="float64"
    )
    history = nn.fit(
        network,
        (x, y),
        loss=nn.MixtureNLL(2),
        optimizer=nn.Adam(1e-2),
        epochs=20,
        batch_size=100,
        seed=1,
        progress=False,
    )
    # Entropy of the truth: log 2 + log(0.1) + log(2 pi e) / 2 = -0.19; the best single Gaussian of spread
    # 1.05 has 1.46, where some start values stay for long.
    assert history["loss"][-1] < 0.0
    assert sorted(np.sign(network.predict(np.ones((1, 1)))[0, 2:4])) == [-1, 1]


# -------------------------------------------------------------------------------------------------- couplings
COUPLINGS = {"affine_coupling": ({}, 2), "spline_coupling": ({"bins": 8, "bound": 3.0}, 23)}
each_coupling = pytest.mark.parametrize("name", COUPLINGS)


def couple(name, x, conditioner, direction, **more):
    y = run(name, [x, conditioner], COUPLINGS[name][0] | {"direction": direction} | more)
    return y[..., :-1], y[..., -1]


def problem(name, spread=1.0, n_rows=200, n=5, dtype=np.float64, seed=1):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(0, 1.5, (n_rows, n)).astype(dtype),
        rng.normal(0, spread, (n_rows, n * COUPLINGS[name][1])).astype(dtype),
    )


@each_coupling
def test_inverse_undoes_forward_and_log_determinants_are_opposite(name):
    x, conditioner = problem(name)
    y, log = couple(name, x, conditioner, "forward")
    back, log_back = couple(name, y, conditioner, "inverse")
    np.testing.assert_allclose(back, x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(log_back, -log, rtol=0, atol=1e-12)
    assert abs(y - x).max() > 0.5


@PRECISIONS
@each_coupling
def test_inverse_is_as_exact_as_the_slope_allows(name, dtype):
    """An error eps of y is one of eps / slope in x; steep and flat splines of any shape."""
    x, conditioner = problem(name, spread=4.0, n_rows=2000, n=1, dtype=dtype)
    y, log = couple(name, x, conditioner, "forward")
    back, _ = couple(name, y, conditioner, "inverse")
    slope = np.exp(log.astype(np.float64))[:, None]
    # y is a sum of two numbers of the size of y and the box, off by a few eps; x likewise.
    scale = np.finfo(dtype).eps * (abs(x) + (abs(y) + 3.0) / slope)
    assert (abs(back.astype(np.float64) - x) <= 20 * scale).all()


@PRECISIONS
def test_a_flat_piece_with_a_steep_end_is_inverted_to_rounding(dtype):
    """The textbook root of eq. 6 loses a factor of steep / flat = 1e4 to cancellation just below the knot."""
    raw = np.array(
        [5.0, -5, -5, 5, 20]
    )  # a bin almost as wide as the box, of height 0.006, that ends with slope 20.5
    knot = -3 + 6 * (1e-3 + 0.998 * softmax(raw[:2])[0])
    x = (knot - 10.0 ** -np.arange(2, 6))[:, None].astype(dtype)
    conditioner = np.tile(raw, (4, 1)).astype(dtype)
    y, log = couple("spline_coupling", x, conditioner, "forward", bins=2)
    back, _ = couple("spline_coupling", y, conditioner, "inverse", bins=2)
    # x and y are off by eps of the box; slopes here are between 1e-4 and 20.
    scale = np.finfo(dtype).eps * 3 * (1 + 1 / np.exp(log.astype(np.float64)))
    assert (abs(back[:, 0].astype(np.float64) - x[:, 0]) <= 4 * scale).all()


@PRECISIONS
@pytest.mark.parametrize("spread", (1.0, 30.0))
def test_inverse_of_any_spline_is_finite(spread, dtype):
    x, conditioner = problem("spline_coupling", spread=spread, n_rows=20000, n=1, dtype=dtype)
    y, log = couple("spline_coupling", x, conditioner, "inverse")
    assert np.isfinite(y).all() and np.isfinite(log).all() and (abs(y[abs(x) < 3]) <= 3).all()


@pytest.mark.parametrize("direction", ("forward", "inverse"))
@each_coupling
def test_log_determinant_is_that_of_the_numerical_jacobian(name, direction):
    x, conditioner = problem(name, n_rows=20, n=4)
    log = couple(name, x, conditioner, direction)[1]
    h, jacobian = 1e-6, np.empty((20, 4, 4))
    for j in range(4):
        step = h * np.eye(4)[j]
        jacobian[:, :, j] = (
            couple(name, x + step, conditioner, direction)[0]
            - couple(name, x - step, conditioner, direction)[0]
        ) / (2 * h)
    # Central differences: round-off eps / h and truncation h^2 times a third derivative of up to 1e3.
    np.testing.assert_allclose(np.linalg.slogdet(jacobian)[1], log, rtol=0, atol=1e-7)


def test_affine_coupling_is_what_its_formula_says():
    x, conditioner = problem("affine_coupling", spread=3.0)
    t, s = conditioner[:, :5], 1.5 * np.tanh(conditioner[:, 5:] / 1.5)
    y, log = couple("affine_coupling", x, conditioner, "forward", bound=1.5)
    np.testing.assert_allclose(y, x * np.exp(s) + t, rtol=0, atol=40 * EPS * abs(y).max())
    np.testing.assert_allclose(log, s.sum(axis=1), rtol=0, atol=40 * EPS)


def spline(x, raw, bins, bound):
    """Durkan et al. 2019, eq. 4 and 5, one number at a time."""
    if not -bound < x < bound:
        return x, 0.0
    sizes = 2 * bound * (1e-3 + (1 - bins * 1e-3) * softmax(raw[: 2 * bins].reshape(2, bins)))
    knots = -bound + np.concatenate([np.zeros((2, 1)), np.cumsum(sizes, axis=1)], axis=1)
    slopes = np.concatenate([[1], 1e-3 + np.logaddexp(0, raw[2 * bins :] + np.log(np.expm1(1 - 1e-3))), [1]])
    k = min(np.searchsorted(knots[0], x, side="right") - 1, bins - 1)
    (w, h), (x0, y0), d0, d1 = sizes[:, k], knots[:, k], slopes[k], slopes[k + 1]
    xi, s = (x - x0) / w, h / w
    bottom = s + (d1 + d0 - 2 * s) * xi * (1 - xi)
    y = y0 + h * (s * xi**2 + d0 * xi * (1 - xi)) / bottom
    return y, np.log(s**2 * (d1 * xi**2 + 2 * s * xi * (1 - xi) + d0 * (1 - xi) ** 2) / bottom**2)


@pytest.mark.parametrize("bins", (2, 5, 32))
def test_spline_coupling_is_what_the_paper_says(bins):
    rng = np.random.default_rng(4)
    x, raw = rng.normal(0, 2, (60, 3)), rng.normal(0, 1.5, (60, 3, 3 * bins - 1))
    y, log = couple("spline_coupling", x, raw.reshape(60, -1), "forward", bins=bins, bound=2.5)
    expected = np.array([[spline(v, r, bins, 2.5) for v, r in zip(row, raws)] for row, raws in zip(x, raw)])
    # Knots are sums of up to 32 sizes, off by some eps of the box, and divided by bins of 1e-3 of it: 1e3 x
    # 1e2 eps.
    np.testing.assert_allclose(y, expected[..., 0], rtol=0, atol=1e-11)
    np.testing.assert_allclose(log, expected[..., 1].sum(axis=1), rtol=0, atol=1e-10)
    assert (abs(x) > 2.5).any()


def test_a_conditioner_of_zero_is_the_identity():
    x, conditioner = problem("spline_coupling")
    y, log = couple("spline_coupling", x, 0 * conditioner, "forward")
    np.testing.assert_allclose(y, x, rtol=0, atol=20 * EPS * 3)
    np.testing.assert_allclose(log, 0, rtol=0, atol=5 * 40 * EPS)


@PRECISIONS
@pytest.mark.parametrize("spread", (1.0, 30.0))
def test_splines_are_monotone_and_join_the_identity(spread, dtype):
    rng = np.random.default_rng(5)
    x = np.linspace(-4, 4, 4001).astype(dtype)[:, None]
    for _ in range(20):
        raw = np.broadcast_to(rng.normal(0, spread, 23), (len(x), 23)).astype(dtype)
        y, log = couple("spline_coupling", x, raw, "forward")
        assert np.isfinite(log).all()
        # Rising up to the rounding of y; the smallest slope may be below the resolution of a float.
        assert (np.diff(y[:, 0].astype(np.float64)) >= -8 * np.finfo(dtype).eps * 3).all()
        np.testing.assert_array_equal(y[abs(x) >= 3], x[abs(x) >= 3])
        assert (log[abs(x[:, 0]) >= 3] == 0).all()


@PRECISIONS
@pytest.mark.parametrize("direction", ("forward", "inverse"))
def test_knots_edges_and_tails_give_finite_numbers_and_gradients(direction, dtype):
    rng = np.random.default_rng(6)
    bins, bound = 8, 3.0
    raw = rng.normal(0, 2, 23)
    sizes = 2 * bound * (1e-3 + (1 - bins * 1e-3) * softmax(raw[:16].reshape(2, 8)))
    knots = -bound + np.cumsum(sizes, axis=1).ravel()
    edge = np.nextafter(np.array(3, dtype), 0)
    huge = np.finfo(dtype).max
    points = np.concatenate(
        [knots, [-3, 3, edge, -edge, 0, -0.0, 1e-40, huge, -huge, np.inf, -np.inf]]
    ).astype(dtype)
    x, conditioner = points[:, None], np.tile(raw, (len(points), 1)).astype(dtype)
    graph = graph_of("spline_coupling", [(1,), (23,)], {"direction": direction})
    row = row_of([x, conditioner])
    y = graph.forward(np.empty(0, dtype), row)
    d_x = graph.backward(np.empty(0, dtype), row, np.ones_like(y))[1]
    t_y = graph.tangent(np.empty(0, dtype), row, np.ones_like(row))[1]
    assert np.isfinite(y[:-2]).all() and np.isfinite(d_x).all() and np.isfinite(t_y).all()
    np.testing.assert_array_equal(y[-4:, 0], points[-4:])
    np.testing.assert_array_equal(y[-4:, 1], 0)


def test_not_a_number_stays_one():
    x = np.array([[np.nan, 1.0]])
    for op, arrays in (
        ("softmax", [x]),
        ("bound", [x]),
        ("positive", [x]),
        ("spline_coupling", [x, np.ones((1, 46))]),
        ("affine_coupling", [x, np.ones((1, 4))]),
    ):
        y = run(op, arrays, parameters=[[0, 0, 1, 1]] if op == "bound" else None)
        assert np.isnan(y[0, 0])


def test_a_conditioner_of_the_wrong_size_is_refused():
    with pytest.raises(
        ValueError, match="expected a conditioner with 23 channels for each of 2, 46 in all, got 45"
    ):
        graph_of("spline_coupling", [(2,), (45,)])
