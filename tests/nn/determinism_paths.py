"""Bits of every path through every operator, in one process with one instruction set: prints them as JSON.

{case: {"hash": {path: SHA-256 of its result}, "broken": [what gave other bits]}}; test_determinism.py compares processes.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

import simgraft as sg
from simgraft import _core, nn

sys.path.insert(0, str(Path(__file__).parent))
import test_ops  # noqa: E402

ROWS = 101  # several chunks, none of them full
SPLITS = (1, 7, 64)


def graphs(name):
    """(label, nodes): the operator between layers, three times, with other shapes and choices."""
    if name == "dense chain":  # the fused path
        yield name, [("input", (), {"shape": 5}), ("dense", (0,), {"units": 33, "activation": "tanh"}),
                     ("dense", (1,), {"units": 17, "activation": "gelu"}), ("dense", (2,), {"units": 3})]
        return
    variants = test_ops.variants(test_ops.OPS[name])
    for i in range(3):
        rng = np.random.default_rng([test_ops.hash_of(name), i])
        force = variants[(i * len(variants)) // 3]
        for _ in range(500):
            nodes = test_ops.branched(rng, name, force)
            try:
                _core.Graph(nodes)
                break
            except ValueError:
                continue
        yield f"{name} {i}", nodes


def digest(*arrays):
    h = hashlib.sha256()
    for array in arrays:
        h.update(np.ascontiguousarray(array))
    return h.hexdigest()


def check_rows(path, function, inputs, found):
    """A row's bits must not depend on the batch it is in, its place there, the strides, and the threads. A call on nothing else than
    its rows: function(*inputs, num_threads)."""
    whole = function(*inputs, 1)
    found["hash"][path] = digest(whole)

    def same(what, rows):
        if rows.tobytes() != whole.tobytes():
            found["broken"].append(f"{path}, {what}")

    same("again", function(*inputs, 1))
    same("2 threads", function(*inputs, 2))
    for size in SPLITS:
        parts = [function(*(a[i:i + size] for a in inputs), 1) for i in range(0, ROWS, size)]
        same(f"batches of {size}", np.concatenate(parts))
    order = np.random.default_rng(1).permutation(ROWS)
    back = np.empty_like(whole)
    back[order] = function(*(np.ascontiguousarray(a[order]) for a in inputs), 2)
    same("rows in another order", back)


def surrogate_of(network):
    """The network with nothing around it, as a host runs it."""
    kernel = sg.Kernel(None, name="bare", inputs={"x": sg.Var("1", shape=(network.n_in,))},
                       outputs={"y": sg.Var("1", shape=(network.n_out,))})
    return sg.Surrogate.from_network(kernel, network, guard="off")


def train(nodes, start, data, threads):
    network = nn.Network(nodes, start.copy())
    nn.fit(network, data, epochs=2, batch_size=ROWS - 20, seed=3, optimizer=nn.Adam(1e-3), num_threads=threads, progress=False)
    return network.parameters


def paths(nodes, dtype):
    found = {"hash": {}, "broken": []}
    graph = _core.Graph(nodes)
    rng = np.random.default_rng(5)
    start = np.zeros(graph.n_parameters, dtype)
    graph.initialise(start, "glorot_uniform", 2)
    start += rng.normal(0, 0.1, start.size).astype(dtype)  # scales that are not one, shifts that are not zero
    x, d_x = (rng.normal(size=(ROWS, graph.n_in)).astype(np.float32).astype(dtype) for _ in range(2))
    y = rng.normal(size=(ROWS, graph.n_out)).astype(np.float32).astype(dtype)
    network = nn.Network(nodes, start)

    check_rows("predict", lambda a, n: network.predict(a, num_threads=n), (x,), found)
    check_rows("jvp", lambda a, d, n: network.jvp(a, d, num_threads=n), (x, d_x), found)
    check_rows("vjp", lambda a, d, n: network.vjp(a, d, parameters=False, num_threads=n)[0], (x, y), found)
    surrogate = surrogate_of(network)
    check_rows("surrogate", lambda a, n: surrogate.evaluate(a, num_threads=n), (x.astype(np.float64),), found)

    gradient = graph.backward(start, x, y)[0]  # a sum over rows, in an order that their number fixes
    found["hash"]["gradient"] = digest(gradient)
    weights = train(nodes, start, (x, y), 1)
    found["hash"]["training"] = digest(weights)
    for what, threads in (("again", 1), ("2 threads", 2)):
        if train(nodes, start, (x, y), threads).tobytes() != weights.tobytes():
            found["broken"].append(f"training, {what}")
    if not np.isfinite(weights).all() or np.array_equal(weights, start) != (start.size == 0):
        found["broken"].append("training, it learnt nothing")
    return found


def main(names):
    result = {"isa": _core.isa()}
    for name in names:
        for label, nodes in graphs(name):
            for dtype in (np.float32, np.float64):
                result[f"{label} {np.dtype(dtype)}"] = paths(nodes, dtype)
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:] or ["dense chain", *test_ops.OPS])
