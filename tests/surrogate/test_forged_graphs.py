"""Graphs of every operator in a surrogate, with attributes, edges and sizes of a forger: refused, or run within
their rows. The readers of files and of entries are the same; the checksum is not in the way here."""

import numpy as np
import pytest

from simgraft import _core

OPS = {op["name"]: op for op in _core.nn_ops() if op["name"] != "input"}
NUMBERS = (0, -1, 1, 2, 3, 5, 64, 4096, 2**16, 2**27, 2**28, 2**31, 2**53, 1e300, np.nan, np.inf, 0.5)
INTEGERS = (0, -1, 1, 2, 3, 9, 2**31 - 1, -(2**31))
LARGEST_WORKSPACE = 2**26  # what is larger is read, but not run here


def nodes_of(rng, name):
    """The operator on inputs of its example, and a layer behind it."""
    op = OPS[name]
    if op["has_example"]:
        shapes, attributes = _core.nn_op_example(name, int(rng.integers(2**62)))
    else:
        shapes = [(int(rng.integers(1, 4)), int(rng.choice((1, 3, 17))))] * op["min_inputs"]
        attributes = {a["name"]: 1 for a in op["attributes"] if a["default"] is None and a["type"] == "int"}
    nodes = [["input", (), {"shape": shape}] for shape in shapes]
    return [*nodes, [name, tuple(range(len(nodes))), attributes], ["activation", (len(nodes),), {}]]


def forge_nodes(rng, nodes):
    for _ in range(rng.integers(1, 4)):
        node = nodes[rng.integers(len(nodes))]
        numbers = [name for name, value in node[2].items() if not isinstance(value, str)]
        if numbers and rng.random() < 0.7:
            name = str(rng.choice(numbers))
            values = list(np.atleast_1d(node[2][name]))
            values[rng.integers(len(values))] = NUMBERS[rng.integers(len(NUMBERS))]
            node[2][name] = values + [1] * (int(rng.integers(0, 3)) == 0)
        elif rng.random() < 0.5:
            node[1] = tuple(int(rng.integers(-1, len(nodes))) for _ in node[1])
        else:
            node[0] = str(rng.choice(list(OPS)))
    return nodes


def lines(texts):
    return "".join(f"{text}\n" for text in texts)


def sizes_of(nodes):
    """Parameters of every node, columns in and out: a forger counts them right where the graph makes sense."""
    try:
        graph = _core.Graph([(op, inputs, {k: v if isinstance(v, str) else tuple(v) if np.ndim(v) else v
                                           for k, v in attributes.items()}) for op, inputs, attributes in nodes])
        sizes = [sum(int(np.prod(shape)) for _, _, shape in node["parameters"]) for node in graph.nodes()]
        if sum(sizes) < 2**20 and max(graph.n_in, graph.n_out) < 2**12:
            return sizes, graph.n_in, graph.n_out
    except (ValueError, TypeError, OverflowError):
        pass
    return [0] * len(nodes), 3, 2


def entries_of(rng, nodes, dtype):
    sizes, n_in, n_out = sizes_of(nodes)
    entries = {"kernel/name": "forged", "kernel/version": "1", "description": "{}"}
    for side, program, n in (("input", "encoder", n_in), ("output", "decoder", n_out)):
        entries |= {f"{side}/name": "x\n" * n, f"{side}/unit": "1\n" * n}
        entries |= {f"{side}/low": np.full(n, -9.0), f"{side}/high": np.full(n, 9.0)}
        entries[f"{program}/column"] = np.array([[0, j, 1, 0, 0] for j in range(n)], np.int32)
        entries |= {f"{program}/op": np.zeros(0, np.int32), f"{program}/value": np.zeros((0, 2))}
    names, places, values = [], [], []
    for k, (_, _, attributes) in enumerate(nodes):
        for name, value in attributes.items():
            given = [] if isinstance(value, str) else [float(v) for v in np.atleast_1d(value)]
            names.append(name if given else f"{name}={value}")
            places.append((k, len(given)))
            values += given
    edges = [i for node in nodes for i in node[1]]
    return entries | {
        "network/op": lines(node[0] for node in nodes),
        "network/n_inputs": np.array([len(node[1]) for node in nodes], np.int32),
        "network/input": np.array(edges, np.int32),
        "network/attribute": lines(names),
        "network/attribute_at": np.array(places, np.int32).reshape(-1, 2),
        "network/attribute_value": np.array(values, np.float64),
        "network/n_parameters": np.array(sizes, np.int64),
        "network/parameters": rng.normal(size=sum(sizes)).astype(dtype),
    }


def forge_array(rng, entries):
    name = "network/" + str(rng.choice(("n_inputs", "input", "attribute_at", "attribute_value", "n_parameters")))
    array = entries[name].copy()
    if array.size:
        choices = NUMBERS if name.endswith("value") else INTEGERS
        array.reshape(-1)[rng.integers(array.size)] = choices[rng.integers(len(choices))]
    return entries | {name: array}


def run(rng, surrogate, dtype):
    """Every task; rows and results are what numpy checks them to be, writes beyond them are for the sanitizer."""
    n_in, n_out = (len(surrogate.describe()[side]) for side in ("inputs", "outputs"))
    for n in (0, 1, 3):
        x, d, g = (rng.normal(size=(n, width)).astype(dtype) for width in (n_in, n_in, n_out))
        y, t, d_x = np.empty_like(g), np.empty_like(g), np.empty_like(x)
        surrogate.evaluate(x, y, 0, None, None, 1)
        surrogate.jvp(x, d, t, 0, None, None, 1)
        surrogate.vjp(x, g, d_x, 0, None, None, 1)


@pytest.mark.parametrize("name", OPS)
def test_forged_graphs_are_refused_or_run(name):
    rng = np.random.default_rng(sum(name.encode()))
    refused = ran = 0
    for k in range(60):
        dtype = (np.float32, np.float64)[k % 2]
        nodes = nodes_of(rng, name)
        entries = entries_of(rng, forge_nodes(rng, nodes) if k % 3 else nodes, dtype)
        if k % 3 == 1:
            entries = forge_array(rng, entries)
        try:
            surrogate = _core.Surrogate(entries)
        except OSError:
            refused += 1
            continue
        if surrogate.describe()["workspace_bytes"] <= LARGEST_WORKSPACE:
            run(rng, surrogate, dtype)
            ran += 1
    assert refused >= 10 and ran >= 10  # both ways were taken
