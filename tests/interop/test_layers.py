"""Every layer that can be exported, on the random examples of the operator table, as ONNX and as C.

Limits. Sums of up to some hundred terms in another order, and other exponentials: 40 ulp of the largest
output are allowed, 1.2e-7 each in float. Examples have values of order 1, and no cancellation larger than
that of a normalisation.
"""

import numpy as np
import pytest
from interop_cases import Compiled, largest, randomised, record

from simgraft import _core, interop, nn
from simgraft.interop import c99, onnx_export

LIMIT = {"float32": 40 * 2.0**-23, "float64": 40 * 2.0**-52}
OPS = {op["name"]: op for op in _core.nn_ops()}
SEEDS = range(6)


def example(name, seed, dtype):
    """A network of the layer alone, as the table draws it, and rows for it."""
    rng = np.random.default_rng(seed)
    if OPS[name]["has_example"]:
        shapes, attributes = _core.nn_op_example(name, int(rng.integers(2**63)))
    else:
        n = max(1, OPS[name]["min_inputs"]) + seed % 2 * (OPS[name]["max_inputs"] > OPS[name]["min_inputs"])
        shapes = [((3, 17), (5,), (2, 3, 7))[seed % 3]] * n
        attributes = {}
        for a in OPS[name]["attributes"]:
            if a["type"] == "choice":
                attributes[a["name"]] = a["choices"][int(rng.integers(len(a["choices"])))]
            elif a["type"] == "int":
                attributes[a["name"]] = int(rng.integers(max(a["low"], 1), 4)) if a["name"] != "start" else 0
    nodes = [("input", (), {"shape": s}) for s in shapes] + [(name, tuple(range(len(shapes))), attributes)]
    graph = _core.Graph(nodes)
    network = nn.Network(nodes, np.zeros(graph.n_parameters, dtype))
    network._graph.initialise(network.parameters, "glorot_uniform", seed)
    randomised(network, seed)
    for node in network._graph.nodes():
        for key, value in network._views(node):
            if key == "variance":
                value[...] = rng.uniform(0.5, 2, value.shape)
    return network, rng.normal(size=(9, network.n_in)).astype(dtype)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", sorted(c99.LAYERS))
def test_c(tmp_path, name, seed):
    dtype = ("float32", "float64")[seed % 2]
    network, x = example(name, seed, dtype)
    y, _ = Compiled(interop.to_c(network, name="unit"), tmp_path).evaluate(x, network.n_out)
    assert record(f"c {dtype}", [name], largest(y, network.predict(x))) < LIMIT[dtype]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", sorted(onnx_export.LAYERS))
def test_onnx_there_and_back(name, seed):
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install simgraft[test]")
    network, x = example(name, seed, "float32")
    model = interop.to_onnx(network)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    truth = network.predict(x)
    assert (
        record("onnx export", [name], largest(session.run(None, {"inputs": x})[0], truth)) < LIMIT["float32"]
    )
    assert largest(interop.from_onnx(model).predict(x), truth) < LIMIT["float32"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", sorted(onnx_export.LAYERS))
def test_onnx_in_double_comes_back_with_the_same_numbers(name, seed):
    network, x = example(name, seed, "float64")
    back = interop.from_onnx(interop.to_onnx(network))
    assert back.dtype == np.float64
    # epsilon and momentum are floats in ONNX: 6e-8 of an epsilon of 1e-5
    assert largest(back.predict(x), network.predict(x)) < (1e-11 if "norm" in name else LIMIT["float64"])


UNEVEN = [
    nn.Conv(5, (2, 3, 1), stride=(1, 2, 1), dilation=(2, 1, 3), padding="same"),
    nn.Conv(4, (3, 1, 2), dilation=(1, 2, 2), padding="periodic", groups=2),
    nn.Conv(3, (2, 2, 3), stride=(2, 1, 1), dilation=(1, 3, 1), padding="replicate"),
    nn.MaxPool((2, 1, 3), (1, 2, 2), padding="same"),
    nn.AveragePool((1, 3, 2), (2, 1, 3), padding="same"),
    nn.Upsample((3, 1, 2), method="linear"),
    nn.Upsample((1, 2, 3)),
    nn.Pad((0, 2, 1), (3, 0, 1), mode="reflect"),
]


@pytest.mark.parametrize("layer", UNEVEN, ids=repr)
def test_every_dimension_of_a_field_has_its_own_numbers(tmp_path, layer):
    x = nn.Input((7, 6, 5, 4))
    network = randomised(nn.Network.from_graph(x, layer(x), seed=1), 2)
    x = np.random.default_rng(3).normal(size=(4, network.n_in)).astype(np.float32)
    truth = network.predict(x)
    y, _ = Compiled(interop.to_c(network, name="unit"), tmp_path).evaluate(x, network.n_out)
    assert largest(y, truth) < LIMIT["float32"]
    assert largest(interop.from_onnx(interop.to_onnx(network)).predict(x), truth) < LIMIT["float32"]


@pytest.mark.parametrize("write", [interop.to_c, interop.to_onnx], ids=["c", "onnx"])
def test_layer_that_cannot_be_written_is_named(write):
    x = nn.Input(4)
    network = nn.Network.from_graph(x, nn.GaussianSample()(nn.Dense(6, "tanh")(x), nn.Dense(6)(x)), seed=1)
    with pytest.raises(
        interop.UnsupportedError, match=r"node 3 \(gaussian_sample\): layer not supported; supported are "
    ):
        write(network)
