"""Every operator of the table against numerical derivatives. A new operator is picked up without a change here."""

import itertools

import numpy as np
import pytest

from simgraft import _core

OPS = {op["name"]: op for op in _core.nn_ops() if op["name"] != "input"}
SIZES = (1, 2, 3, 5, 7, 17, 33)  # below, at and above vector widths and tile heights, never a round number


def draw_attribute(rng, attribute):
    """A random value inside the range of the table; None where the default is as good as any."""
    if attribute["type"] == "choice":
        return str(rng.choice(attribute["choices"]))
    if attribute["type"] == "float":
        return float(rng.uniform(max(attribute["low"], 0.2), min(attribute["high"], 1.5)))
    return int(rng.integers(max(attribute["low"], 0), 20))


def draw_attributes(rng, op, force=None):
    return {a["name"]: draw_attribute(rng, a) for a in op["attributes"]} | (force or {})


EXAMPLES = 6  # drawn from the table for each operator that has its own examples


def variants(op):
    """Choices are not left to chance: one case for each."""
    if op["has_example"]:
        return [{"example": str(i)} for i in range(EXAMPLES)]
    choices = [[(a["name"], c) for c in a["choices"]] for a in op["attributes"] if a["type"] == "choice"]
    return [dict(pairs) for pairs in itertools.product(*choices)]


CASES = [pytest.param(name, force, id="-".join([name, *force.values()])) for name in OPS for force in variants(OPS[name])]


def make_graph(rng, make_nodes):
    """Random attributes can contradict each other (slice beyond the last channel): draw until the rule accepts them."""
    for _ in range(500):
        try:
            return _core.Graph(make_nodes(rng))
        except ValueError:
            continue
    raise AssertionError("no valid attributes found in 500 draws")


def has_gradient(op, i):
    return not op["no_gradient_inputs"] >> i & 1


def example(rng, name):
    shapes, attributes = _core.nn_op_example(name, int(rng.integers(2**63)))
    return [("input", (), {"shape": shape}) for shape in shapes], attributes


def bare(rng, name, force):
    """Inputs -> operator, nothing else. Rank 1 or 2, or as the table's example has it."""
    op = OPS[name]
    if op["has_example"]:
        nodes, attributes = example(rng, name)
        return [*nodes, (name, tuple(range(len(nodes))), attributes)]
    n = int(rng.integers(op["min_inputs"], min(op["max_inputs"], 3) + 1))
    shape = (int(rng.choice(SIZES)),) if rng.random() < 0.6 else (int(rng.choice((2, 3))), int(rng.choice(SIZES)))
    nodes = [("input", (), {"shape": shape})] * n
    return [*nodes, (name, tuple(range(n)), draw_attributes(rng, op, force))]


def branched(rng, name, force):
    """Two inputs, a value used by three nodes, the operator twice, once fed with the same value in every place."""
    op, units = OPS[name], int(rng.choice(SIZES))
    if op["has_example"]:
        return branched_example(rng, name)
    n = op["min_inputs"]
    attributes = draw_attributes(rng, op, force)
    nodes = [
        ("input", (), {"shape": int(rng.choice(SIZES))}),
        ("input", (), {"shape": int(rng.choice(SIZES))}),
        ("dense", (0,), {"units": units, "activation": "tanh"}),
        ("dense", (1,), {"units": units, "activation": "swish"}),
        (name, (2, 3, 2, 3)[:n] if n > 1 else (2,), attributes),
        (name, (2,) * n, attributes),
    ]
    return [*nodes, ("concatenate", (4, 2, 3, 5), {}), ("dense", (6,), {"units": 3, "activation": "softsign"})]


def branched_example(rng, name):
    """The operator twice, on its inputs and on functions of them, added up."""
    nodes, attributes = example(rng, name)
    n, first = len(nodes), []
    for i in range(n):
        first.append(i)
        if has_gradient(OPS[name], i):
            first[i] = len(nodes)
            nodes.append(("dense", (i,), {"units": nodes[i][2]["shape"][-1], "activation": "tanh"}))
    nodes += [(name, tuple(range(n)), attributes), (name, tuple(first), attributes)]
    k = len(nodes)
    return [*nodes, ("add", (k - 2, k - 1), {}), ("dense", (k,), {"units": 3, "activation": "softsign"})]


CHECKED = 25  # elements of each array whose derivatives are taken numerically where there are more


def chosen_elements(rng, graph, p, x):
    """Flat numbers of some elements of p and of x, from every parameter and every input."""
    found = ([], [])
    for which, part in arrays_of(graph):
        vector = (p, x)[which]
        elements = np.arange(vector.size).reshape(vector.shape)[part].ravel()
        found[which].append(elements if elements.size <= CHECKED else rng.choice(elements, CHECKED, replace=False))
    return [np.concatenate(part) if part else np.arange(0) for part in found]


def numeric_gradient(graph, p, x, d_y, training=None, elements=(None, None)):
    """Central differences in double, at the given elements of p and x (NaN elsewhere) or at all. With h = 1e-6 the truncation error is
    h^2 f''' / 6 or, across the knot of a spline, h / 4 of the jump of f'': below 1e-6 of values of order one; round-off eps f / h is
    1e-9 of them. A wrong sign makes 1."""
    h = 1e-6

    def slope(vector, chosen):
        gradient = np.full(vector.shape, np.nan)
        flat = vector.reshape(-1)
        for i in range(flat.size) if chosen is None else chosen:
            keep = flat[i]
            flat[i] = keep + h
            up = value()
            flat[i] = keep - h
            gradient.flat[i] = (up - value()) / (2 * h)
            flat[i] = keep
        return gradient

    def value():
        return float((graph.forward(p, x, training=training) * d_y).sum())

    return slope(p, elements[0]), slope(x, elements[1])


def error(numeric, analytic):
    """Largest difference over the largest size; what the tolerances of the table bound."""
    if numeric.size == 0:
        return 0.0
    scale = max(np.abs(numeric).max(), 1e-3)
    return float(np.abs(numeric - analytic).max() / scale)


def point(rng, graph, rows=3):
    """Parameters, inputs and a direction, exactly representable in float so that both precisions see the same point."""
    p = rng.normal(0, 0.5, graph.n_parameters).astype(np.float32)
    x = rng.normal(0, 1, (rows, graph.n_in)).astype(np.float32)
    d_y = rng.normal(0, 1, (rows, graph.n_out)).astype(np.float32)
    return p, x, d_y


def check_gradients(graph, rng, op, training=None):
    p, x, d_y = point(rng, graph)
    p64, x64, d_y64 = (a.astype(np.float64) for a in (p, x, d_y))
    elements = chosen_elements(rng, graph, p64, x64)
    numeric = numeric_gradient(graph, p64, x64, d_y64, training, elements)
    for found, tolerance in ((graph.backward(p64, x64, d_y64, training=training), op["tolerance_f64"]),
                             (graph.backward(p, x, d_y, training=training), op["tolerance_f32"])):
        for expected, analytic, chosen in zip(numeric, found, elements):
            assert error(expected.flat[chosen], analytic.flat[chosen]) <= tolerance
    if training is None:  # the gradient of the rows alone is the same
        np.testing.assert_array_equal(graph.backward(p64, x64, d_y64, want_parameters=False)[1],
                                      graph.backward(p64, x64, d_y64)[1])


@pytest.mark.parametrize("build", (bare, branched), ids=("bare", "branched"))
@pytest.mark.parametrize("name, force", CASES)
def test_gradients_of_every_operator(name, force, build):
    rng = np.random.default_rng([hash_of(name + "".join(force.values())), build is bare])
    for _ in range(3):
        graph = make_graph(rng, lambda r: build(r, name, force))
        check_gradients(graph, rng, OPS[name])
        if OPS[name]["random"] or OPS[name]["couples_rows"]:
            check_gradients(graph, rng, OPS[name], training=(7, 3))


@pytest.mark.parametrize("build", (bare, branched), ids=("bare", "branched"))
@pytest.mark.parametrize("name, force", CASES)
def test_tangents_are_the_transpose_of_gradients(name, force, build):
    """<J dx, dy> = <dx, J^T dy>, and J dx is the derivative of y along dx."""
    rng = np.random.default_rng([hash_of(name + "".join(force.values())), 2 + (build is bare)])
    graph = make_graph(rng, lambda r: build(r, name, force))
    # Sums of products that cancel: held against the sum of their sizes. 1e-13 is 450 eps, for chains of some hundred roundings.
    for dtype, limit in ((np.float64, 1e-13), (np.float32, 1e-6)):
        p, x, d_y = (a.astype(dtype) for a in point(rng, graph, rows=5))
        t_x = rng.normal(size=x.shape).astype(np.float32).astype(dtype)
        y, t_y = graph.tangent(p, x, t_x)
        np.testing.assert_array_equal(y, graph.forward(p, x))
        masks = [i for i in range(len(graph.nodes())) if graph.nodes()[i]["op"] == "input" and not has_gradient(OPS[name], i)]
        t_x[:, columns_of_inputs(graph, masks)] = 0
        t_y = graph.tangent(p, x, t_x)[1]
        d_x = graph.backward(p, x, d_y, want_parameters=False)[1]
        left, right = t_y.astype(np.float64) * d_y, t_x.astype(np.float64) * d_x
        scale = max(np.abs(left).sum(), np.abs(right).sum(), 1e-3)
        assert abs(left.sum() - right.sum()) <= limit * scale
        if dtype is np.float64:
            h = 1e-5
            slope = (graph.forward(p, x + h * t_x) - graph.forward(p, x - h * t_x)) / (2 * h)
            assert error(slope, t_y) <= OPS[name]["tolerance_f64"]


def columns_of_inputs(graph, inputs):
    """Columns of the input row that belong to these input nodes."""
    columns, first = [], 0
    for i, node in enumerate(graph.nodes()):
        if node["op"] == "input":
            size = int(np.prod(node["shape"]))
            if i in inputs:
                columns += range(first, first + size)
            first += size
    return columns


@pytest.mark.parametrize("name", [name for name in OPS if OPS[name]["has_example"]])
def test_examples_reach_every_choice(name):
    drawn = [_core.nn_op_example(name, seed)[1] for seed in range(300)]
    for attribute in OPS[name]["attributes"]:
        if attribute["type"] == "choice" and attribute["name"] != "activation":
            assert {d.get(attribute["name"], attribute["default"]) for d in drawn} == set(attribute["choices"])


def hash_of(text):
    return sum(ord(c) * 31**i for i, c in enumerate(text)) % 2**32


def arrays_of(graph):
    """Every gradient array by itself: each input, each parameter."""
    nodes, first = graph.nodes(), 0
    for node in nodes:
        if node["op"] == "input":
            size = int(np.prod(node["shape"]))
            yield 1, np.s_[:, first:first + size]
            first += size
        for (_, offset, shape), kind in zip(node["parameters"], node["kinds"]):
            if kind == "trained":
                yield 0, np.s_[offset:offset + int(np.prod(shape))]


@pytest.mark.parametrize("name, force", CASES)
def test_a_wrong_sign_in_any_gradient_array_is_noticed(name, force):
    rng = np.random.default_rng(hash_of(name + "".join(force.values())))
    graph = make_graph(rng, lambda r: bare(r, name, force))
    p, x, d_y = (a.astype(np.float64) for a in point(rng, graph))
    numeric, analytic = numeric_gradient(graph, p, x, d_y), graph.backward(p, x, d_y)
    noticed = [which for which, part in arrays_of(graph)
               if error(numeric[which][part], -analytic[which][part]) > max(OPS[name]["tolerance_f64"], OPS[name]["tolerance_f32"])]
    silent = [which for which, part in arrays_of(graph) if not np.any(analytic[which][part])]
    # An array whose gradient is zero everywhere (relu units that are all off) has no sign.
    assert len(noticed) + len(silent) == len(list(arrays_of(graph)))
    assert noticed


@pytest.mark.parametrize("name, force", CASES)
def test_rows_have_the_same_bits_in_any_batch(name, force):
    rng = np.random.default_rng(hash_of(name + "".join(force.values())))
    graph = make_graph(rng, lambda r: branched(r, name, force))
    p, x, _ = point(rng, graph, rows=101)
    whole = graph.forward(p, x, num_threads=2)
    for size in (1, 2, 7, 100):
        parts = [graph.forward(p, x[i:i + size], num_threads=1) for i in range(0, len(x), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.skipif(_core.isa_best() != "v4", reason="needs a CPU with AVX-512")
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("name, force", CASES)
def test_avx2_and_avx512_give_the_same_bits(name, force, dtype):
    rng = np.random.default_rng(hash_of(name + "".join(force.values())))
    graph = make_graph(rng, lambda r: branched(r, name, force))
    p, x, d_y = (a.astype(dtype) for a in point(rng, graph, rows=50))
    found = []
    try:
        for isa in ("v3", "v4"):
            _core.isa_set(isa)
            found.append((graph.forward(p, x), *graph.backward(p, x, d_y)))
    finally:
        _core.isa_set("auto")
    for a, b in zip(*found):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("isa", ("portable", "v2"))
@pytest.mark.parametrize("name, force", CASES)
def test_plain_instruction_sets_agree_to_round_off(name, force, isa):
    rng = np.random.default_rng(hash_of(name + "".join(force.values())))
    graph = make_graph(rng, lambda r: branched(r, name, force))
    p, x, d_y = (a.astype(np.float64) for a in point(rng, graph, rows=20))
    best = (graph.forward(p, x), *graph.backward(p, x, d_y))
    try:
        _core.isa_set(isa)
        plain = (graph.forward(p, x), *graph.backward(p, x, d_y))
    finally:
        _core.isa_set("auto")
    # Sums of at most 20 rows x 33 terms of order one, each rounded twice instead of once: about 1e3 eps.
    for a, b in zip(plain, best):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * max(1, np.abs(b).max()))


# -------------------------------------------------------------------------------------------------------- wrong graphs
@pytest.mark.parametrize("nodes, message", [
    ([("input", (), {"shape": 3})], "nodes: expected 2 to 4096"),
    ([("input", (), {"shape": 3}), ("dens", (0,), {})], 'no operator called "dens"'),
    ([("input", (), {"shape": 3}), ("dense", (0,), {})], r"node 1 \(dense\): units: must be given"),
    ([("input", (), {"shape": 3}), ("dense", (0,), {"units": 0})], r"node 1 \(dense\): units: expected an integer in \[1, "),
    ([("input", (), {"shape": 3}), ("dense", (0,), {"unit": 3})], "dense has no attribute 'unit'"),
    ([("input", (), {"shape": 3}), ("dense", (0,), {"units": 3, "activation": "tan"})], "activation: expected one of linear, relu"),
    ([("input", (), {"shape": 3}), ("dense", (1,), {"units": 3})], r"node 1 \(dense\): inputs must be earlier nodes"),
    ([("input", (), {"shape": 3}), ("add", (0,), {})], r"node 1 \(add\): inputs: expected 2 to 8, got 1"),
    ([("input", (), {"shape": 3}), ("slice", (0,), {"start": 2, "stop": 4})], "expected start < stop <= 3 channels"),
    ([("input", (), {"shape": 3}), ("input", (), {"shape": 4}), ("add", (0, 1), {})], "expected the same shape for all"),
    ([("input", (), {"shape": 3}), ("dense", (0,), {"units": 2}), ("dense", (0,), {"units": 2})], r"node 1 \(dense\) is not used"),
    ([("input", (), {"shape": (2**28, 2**28)}), ("activation", (0,), {})], "more than 268435456 elements"),
])
def test_a_graph_that_makes_no_sense_is_refused_and_names_the_node(nodes, message):
    with pytest.raises(ValueError, match=message):
        _core.Graph(nodes)


@pytest.mark.parametrize("name", OPS)
def test_required_attributes_come_first_so_that_constructors_take_them_in_table_order(name):
    required = [a["default"] is None and a["type"] != "float" for a in OPS[name]["attributes"]]
    assert required == sorted(required, reverse=True)


def test_arrays_that_do_not_fit_are_refused():
    graph = _core.Graph([("input", (), {"shape": 3}), ("dense", (0,), {"units": 2})])
    p, x = np.zeros(8, np.float32), np.zeros((5, 3), np.float32)
    with pytest.raises(TypeError, match=r"x: expected float32 array of shape \(n, n_in=3\), got float64 \(5, 3\)"):
        graph.forward(p, x.astype(np.float64))
    with pytest.raises(ValueError, match=r"x: expected shape \(n, n_in=3\), got \(5, 4\)"):
        graph.forward(p, np.zeros((5, 4), np.float32))
    with pytest.raises(ValueError, match=r"parameters: expected shape \(n_parameters=8,\)"):
        graph.forward(np.zeros(7, np.float32), x)
    assert graph.forward(p, x[:0]).shape == (0, 2)


def test_strided_rows_are_copied_not_misread():
    rng = np.random.default_rng(1)
    graph = _core.Graph([("input", (), {"shape": 3}), ("dense", (0,), {"units": 2})])
    p, wide = rng.normal(size=8), rng.normal(size=(10, 6))
    np.testing.assert_array_equal(graph.forward(p, wide[::2, ::2]), graph.forward(p, wide[::2, ::2].copy()))


def test_no_allocation_failure_goes_unnoticed_in_graphs():
    """Fail the n-th allocation for n = 0, 1, ...: a MemoryError each time, until the call needs no more of them."""
    rng = np.random.default_rng(1)
    x, d_y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))

    def work():
        graph = _core.Graph([("input", (), {"shape": 3}), ("dense", (0,), {"units": 5, "activation": "gelu"}),
                             ("dense", (1,), {"units": 2})])
        p = np.full(graph.n_parameters, 0.1)
        return graph.forward(p, x, num_threads=1), *graph.backward(p, x, d_y)

    expected = work()
    for n in range(100):
        _core.memory_fail_after(n)
        try:
            found = work()
        except MemoryError:
            continue
        finally:
            _core.memory_fail_after(-1)
        break
    assert n >= 15  # graph 6, forward 6, backward 6
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a, b)
