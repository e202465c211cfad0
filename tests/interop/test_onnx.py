"""ONNX in and out, against the numbers of ONNX Runtime.

Limits. ONNX Runtime adds in another order and has its own exp and tanh: a float network of a few layers
differs by some ulp of its largest output, 1.2e-7 each; 20 ulp are allowed, in double likewise.
"""

import json

import numpy as np
import pytest
from interop_cases import largest, random_inputs, randomised, record

import simgraft as sg
from simgraft import interop, nn

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install simgraft[interop]")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

LIMIT = {"float32": 20 * 2.0**-23, "float64": 20 * 2.0**-52}
SIZES = [(1, 1, 1), (3, 17, 1), (17, 65, 129), (129, 3, 65), (65, 129, 17)]


def run(model, *inputs):
    """Results of ONNX Runtime, in the order of the graph."""
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install simgraft[bench]")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([i.name for i in session.get_inputs()], inputs, strict=True)))


def graph(nodes, shapes, constants=None, outputs=("y",), opset=18, kind=TensorProto.FLOAT):
    """A model of nodes (operator, inputs, outputs, attributes); shapes of its inputs by name."""
    made = [helper.make_node(op, i, o, name=f"node{k}", **a) for k, (op, i, o, a) in enumerate(nodes)]
    model = helper.make_model(
        helper.make_graph(
            made,
            "test",
            [helper.make_tensor_value_info(n, kind, s) for n, s in shapes.items()],
            [helper.make_tensor_value_info(n, kind, None) for n in outputs],
            [numpy_helper.from_array(v, n) for n, v in (constants or {}).items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    return model


def both(model, *inputs, rows=lambda y: y.reshape(len(y), -1)):
    """Largest difference between our reading of the model and ONNX Runtime."""
    network = interop.from_onnx(model)
    ours = network.predict(np.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1))
    theirs = np.concatenate([rows(y) for y in run(model, *inputs)], axis=1)
    return noted(model, ours, theirs)


def noted(model, ours, theirs):
    """The difference, kept for the page where the model is of float."""
    value = largest(ours, theirs)
    return record("onnx", [n.op_type for n in model.graph.node], value) if ours.dtype == np.float32 else value


def draw(*shape, seed=0, dtype=np.float32, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(dtype)


# ----------------------------------------------------------------------------------------------------- export


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_exported_network_gives_the_numbers_of_predict(sizes, dtype):
    n_in, hidden, n_out = sizes
    network = randomised(nn.MLP([hidden, hidden], "tanh").build(n_in, n_out, seed=1, dtype=dtype), 2)
    x = draw(50, n_in, dtype=dtype)
    (y,) = run(interop.to_onnx(network), x)
    assert y.dtype == dtype and largest(y, network.predict(x)) < LIMIT[dtype]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", nn.ACTIVATIONS)
def test_every_activation_comes_back_as_it_went(activation, dtype):
    network = randomised(
        nn.MLP([17], activation, output_activation=activation).build(3, 5, seed=1, dtype=dtype), 2
    )
    x = draw(200, 3, dtype=dtype, scale=3)
    model = interop.to_onnx(network)
    back = interop.from_onnx(model)
    assert np.array_equal(back.predict(x), network.predict(x)) and back.is_chain
    if activation == "gelu" and dtype == "float64":
        pytest.skip("ONNX Runtime has no Erf in double")
    assert largest(run(model, x)[0], network.predict(x)) < LIMIT[dtype]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["leaky_relu", "elu"])
def test_parameter_of_an_activation_keeps_its_precision(activation, dtype):
    x = nn.Input(3)
    network = nn.Network.from_graph(x, nn.Dense(17, activation, parameter=0.1)(x), seed=1, dtype=dtype)
    x = draw(50, 3, dtype=dtype)
    assert largest(run(interop.to_onnx(network), x)[0], network.predict(x)) < LIMIT[dtype]


@pytest.mark.parametrize("host", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["surrogate", "surrogate_f64", "surrogate_graph"])
def test_exported_surrogate_gives_the_numbers_of_evaluate(kind, host, request):
    surrogate = request.getfixturevalue(kind)
    x = surrogate.kernel.pack_inputs(random_inputs(300, seed=5)).astype(host)
    (y,) = run(interop.to_onnx(surrogate, dtype=host), x)
    truth = surrogate.evaluate(x, guard="off")
    assert y.dtype == host
    # 20 ulp of the coarser precision, times 8 for the power of 4 and the exponential of the decoder
    coarse = "float64" if host == kind.replace("surrogate_f64", "float64") else "float32"
    off = np.abs(y - truth).max(axis=0) / np.abs(truth).max(axis=0)
    assert off.max() < 8 * LIMIT[coarse]


def test_missing_values_that_are_not_numbers_go_in_and_out():
    kernel = sg.Kernel(
        None, inputs={"x": sg.Var("m", shape=3)}, outputs={"y": sg.Var("m", shape=3)}, name="gaps"
    )
    given = [sg.encode.Mask(missing=np.nan), sg.encode.Standardise(mean=np.arange(3.0), std=np.full(3, 2.0))]
    weight = np.eye(6, dtype=np.float32)
    surrogate = sg.Surrogate.from_network(
        kernel, [weight], [np.zeros(6, np.float32)], ["linear"], encoder={"x": given}, decoder={"y": given}
    )
    x = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, -2.0]])
    (y,) = run(interop.to_onnx(surrogate), x)
    assert np.array_equal(y, surrogate.evaluate(x), equal_nan=True) and np.isnan(y).sum() == 3


def test_signed_logarithm_keeps_small_values():
    kernel = sg.Kernel(None, inputs={"x": sg.Var("m")}, outputs={"y": sg.Var("m")}, name="small")
    chain = [sg.encode.SignedLog(scale=2.0)]
    one = [np.ones((1, 1)), np.zeros(1)]
    there = sg.Surrogate.from_network(kernel, [one[0]], [one[1]], ["linear"], encoder={"x": chain})
    back = sg.Surrogate.from_network(kernel, [one[0]], [one[1]], ["linear"], decoder={"y": chain})
    x = np.array([[0.0], [1e-300], [-1e-20], [3e-9], [-0.1], [50.0]])
    for surrogate in (there, back):
        y, truth = run(interop.to_onnx(surrogate), x)[0], surrogate.evaluate(x)
        assert np.all(np.abs(y - truth) <= 8 * 2.0**-52 * np.abs(truth))  # of each value: 8 roundings
        assert y[0] == 0 and y[1] != 0


def test_variables_by_name(surrogate):
    inputs = random_inputs(20, seed=5)
    model = interop.to_onnx(surrogate, by_name=True)
    found = run(model, *(inputs[i.name] for i in model.graph.input))
    wanted = surrogate(inputs)
    for value, (name, truth) in zip(found, wanted.items()):
        assert value.shape == truth.shape and largest(value, truth) < 8 * LIMIT["float32"], name


def test_metadata_name_units_and_kernel(tmp_path, surrogate):
    interop.to_onnx(surrogate, tmp_path / "new" / "s.onnx")
    model = onnx.load(tmp_path / "new" / "s.onnx")
    found = {p.key: json.loads(p.value) for p in model.metadata_props}
    assert found["simgraft.inputs"][1]["name"] == "pressure" and found["simgraft.inputs"][1]["unit"] == "Pa"
    assert found["simgraft.outputs"][0] == {"name": "rate", "unit": "mol m-3 s-1", "low": None, "high": None}
    assert found["simgraft.kernel"]["version"] == "2.1"
    assert not list((tmp_path / "new").glob(".*"))


def test_export_is_deterministic(surrogate):
    assert interop.to_onnx(surrogate).SerializeToString() == interop.to_onnx(surrogate).SerializeToString()


def test_functional_graph_goes_there_and_back():
    x, z = nn.Input(5), nn.Input(3)
    h = nn.Dense(65, "tanh")(x)
    g = nn.Concatenate()(nn.Slice(start=1, stop=17)(h), x, z)
    y = nn.Dense(3, "elu")(nn.Activation("elu", parameter=2.5)(nn.Add()(g, nn.Affine()(g), g)))
    network = randomised(nn.Network.from_graph([x, z], y, seed=1), 2)
    x = draw(50, 8)
    model = interop.to_onnx(network)
    assert largest(run(model, x)[0], network.predict(x)) < LIMIT["float32"]
    assert largest(interop.from_onnx(model).predict(x), network.predict(x)) < LIMIT["float32"]


def test_wrong_arguments_are_named(surrogate):
    with pytest.raises(ValueError, match="dtype: expected 'float32' or 'float64', got 'float16'"):
        interop.to_onnx(surrogate, dtype="float16")
    with pytest.raises(ValueError, match="by_name: a bare network has no named variables"):
        interop.to_onnx(nn.MLP([]).build(1, 1, seed=1), by_name=True)


# ----------------------------------------------------------------------------------------------------- import


@pytest.mark.parametrize("opset", [9, 13, 18, 22])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_gemm_and_matmul_with_add(sizes, opset):
    n_in, hidden, n_out = sizes
    weights = {
        "w1": draw(hidden, n_in, seed=1, scale=n_in**-0.5),
        "b1": draw(hidden, seed=2),
        "w2": draw(hidden, n_out, seed=3, scale=hidden**-0.5),
        "b2": draw(1, n_out, seed=4),
    }
    model = graph(
        [
            ("Gemm", ["x", "w1", "b1"], ["h"], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
            ("Softsign", ["h"], ["a"], {}),
            ("MatMul", ["a", "w2"], ["m"], {}),
            ("Add", ["b2", "m"], ["s"], {}),
            ("Tanh", ["s"], ["y"], {}),
        ],
        {"x": ["N", n_in]},
        weights,
        opset=opset,
    )
    assert both(model, draw(50, n_in)) < LIMIT["float32"]
    assert interop.from_onnx(model).is_chain


FUNCTIONS = [
    ("Relu", {}),
    ("LeakyRelu", {"alpha": 0.3}),
    ("Elu", {"alpha": 0.7}),
    ("Softsign", {}),
    ("Tanh", {}),
    ("Sigmoid", {}),
    ("Softplus", {}),
    ("Identity", {}),
    ("Neg", {}),
    ("Gelu", {}),
    ("Exp", {}),
]


@pytest.mark.parametrize(("op", "attributes"), FUNCTIONS, ids=lambda v: v if isinstance(v, str) else "")
def test_every_function_of_elements(op, attributes):
    model = graph([(op, ["x"], ["y"], attributes)], {"x": ["N", 17]}, opset=20)
    assert both(model, draw(50, 17, scale=3)) < LIMIT["float32"]


def test_arithmetic_with_constants_and_values():
    constants = {
        "a": draw(17, seed=1),
        "b": np.float32(2.5),
        "c": draw(1, 17, seed=2),
        "w": draw(5, 17, seed=3),
    }
    model = graph(
        [
            ("MatMul", ["x", "w"], ["h"], {}),
            ("Mul", ["h", "a"], ["m"], {}),
            ("Sub", ["c", "m"], ["s"], {}),
            ("Div", ["s", "b"], ["d"], {}),
            ("Sub", ["d", "h"], ["e"], {}),
            ("Sum", ["e", "d", "h"], ["y"], {}),
        ],
        {"x": ["N", 5]},
        constants,
    )
    assert both(model, draw(50, 5)) < LIMIT["float32"]


@pytest.mark.parametrize("order", range(3))
def test_gelu_and_swish_written_as_products(order):
    constants = {
        "r": np.float32(np.sqrt(2)),
        "q": np.float32(np.sqrt(0.5)),
        "one": np.float32(1),
        "half": np.float32(0.5),
    }
    scaled = ("Mul", ["x", "q"], ["s"], {}) if order else ("Div", ["x", "r"], ["s"], {})
    product = [
        [("Mul", ["x", "p"], ["m"], {}), ("Mul", ["m", "half"], ["g"], {})],
        [("Mul", ["half", "x"], ["m"], {}), ("Mul", ["m", "p"], ["g"], {})],
        [("Mul", ["p", "half"], ["m"], {}), ("Mul", ["x", "m"], ["g"], {})],
    ][order]
    model = graph(
        [
            scaled,
            ("Erf", ["s"], ["e"], {}),
            ("Add", ["e", "one"], ["p"], {}),
            *product,
            ("Sigmoid", ["g"], ["t"], {}),
            ("Mul", ["t", "g"], ["y"], {}),
        ],
        {"x": ["N", 17]},
        constants,
    )
    network = interop.from_onnx(model)
    assert [n["attributes"].get("activation") for n in network._graph.nodes()] == [None, "gelu", "swish"]
    assert both(model, draw(50, 17, scale=2)) < LIMIT["float32"]


def test_weights_in_a_file_of_their_own(tmp_path):
    network = randomised(nn.MLP([65], "tanh").build(17, 3, seed=1), 2)
    onnx.save(interop.to_onnx(network), tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0)
    x = draw(9, 17)
    assert np.array_equal(interop.from_onnx(tmp_path / "m.onnx").predict(x), network.predict(x))
    with pytest.raises(interop.UnsupportedError, match="is in another file; pass the path of the model"):
        interop.from_onnx(onnx.load(tmp_path / "m.onnx", load_external_data=False))


def test_imported_network_becomes_a_surrogate():
    network = interop.from_onnx(interop.to_onnx(randomised(nn.MLP([17], "tanh").build(2, 1, seed=1), 2)))
    inputs = {"p": sg.Var("Pa", 1e3, 1e5, scale="log"), "t": sg.Var("K", 200, 300)}
    kernel = sg.Kernel(None, inputs=inputs, outputs={"y": sg.Var("1")}, name="imported")
    encoder = {"p": [sg.encode.Log(), sg.encode.MinMax(low=np.log(1e3), high=np.log(1e5))]}
    surrogate = sg.Surrogate.from_network(kernel, network, encoder=encoder)
    x = np.array([[1e3, 200.0], [3e4, 250.0]])
    z = np.stack([np.log(x[:, 0] / 1e3) / np.log(100), x[:, 1]], axis=1).astype(np.float32)
    # the encoder computes in double and rounds once: 2 ulp of an input of 1, carried through two layers
    assert largest(surrogate.evaluate(x), network.predict(z)) < LIMIT["float32"]
    assert largest(run(interop.to_onnx(surrogate), x)[0], surrogate.evaluate(x)) < LIMIT["float32"]


def test_layer_normalisation_written_out():
    constants = {
        "two": np.float32(2),
        "eps": np.float32(1e-5),
        "scale": draw(17, seed=1),
        "shift": draw(17, seed=2),
    }
    nodes = [
        ("ReduceMean", ["x"], ["m"], {"axes": [-1]}),
        ("Sub", ["x", "m"], ["d"], {}),
        ("Pow", ["d", "two"], ["q"], {}),
        ("ReduceMean", ["q"], ["v"], {"axes": [-1]}),
        ("Add", ["v", "eps"], ["e"], {}),
        ("Sqrt", ["e"], ["r"], {}),
        ("Div", ["d", "r"], ["n"], {}),
        ("Mul", ["n", "scale"], ["s"], {}),
        ("Add", ["s", "shift"], ["y"], {}),
    ]
    model = graph(nodes, {"x": ["N", 17]}, constants, opset=13)
    assert [n["op"] for n in interop.from_onnx(model)._graph.nodes()] == ["input", "layer_norm"]
    assert both(model, draw(50, 17)) < LIMIT["float32"]


def test_pieces_of_values():
    constants = {
        "starts": np.array([2]),
        "ends": np.array([-1]),
        "axes": np.array([1]),
        "at": np.array(3),
        "ax": np.array([1]),
    }
    model = graph(
        [
            ("Slice", ["x", "starts", "ends", "axes"], ["a"], {}),
            ("Split", ["x"], ["b", "c", "d"], {"axis": 1, "num_outputs": 3}),
            ("Gather", ["x", "at"], ["e"], {"axis": 1}),
            ("Unsqueeze", ["e", "ax"], ["f"], {}),
            ("Concat", ["a", "d", "f", "b", "c"], ["y"], {"axis": -1}),
        ],
        {"x": ["N", 17]},
        constants,
    )
    assert both(model, draw(50, 17)) == 0


def test_double_model_gives_a_double_network():
    weights = {"w": draw(17, 3, dtype=np.float64), "b": draw(3, dtype=np.float64)}
    model = graph(
        [("Gemm", ["x", "w", "b"], ["h"], {}), ("Tanh", ["h"], ["y"], {})],
        {"x": ["N", 17]},
        weights,
        kind=TensorProto.DOUBLE,
    )
    assert interop.from_onnx(model).dtype == np.float64
    assert both(model, draw(50, 17, dtype=np.float64)) < LIMIT["float64"]


def test_several_inputs_and_outputs_lie_side_by_side():
    model = graph(
        [("Concat", ["x", "z"], ["y"], {"axis": 1}), ("Tanh", ["z"], ["t"], {})],
        {"x": ["N", 3], "z": ["N", 5]},
        outputs=("y", "t"),
    )
    assert both(model, draw(9, 3), draw(9, 5, seed=1)) < LIMIT["float32"]
    assert interop.from_onnx(model, outputs=["t"]).n_out == 5
    with pytest.raises(ValueError, match="outputs: the model has no result 'u'; its outputs are y, t"):
        interop.from_onnx(model, outputs=["u"])


def test_fixed_number_of_rows_in_the_file_does_not_matter():
    constants = {"shape": np.array([4, -1]), "w": draw(6, 2)}
    model = graph(
        [
            ("Relu", ["x"], ["r"], {}),
            ("Reshape", ["r", "shape"], ["f"], {}),
            ("MatMul", ["f", "w"], ["y"], {}),
        ],
        {"x": [4, 6]},
        constants,
    )
    assert both(model, draw(4, 6)) < LIMIT["float32"]
    assert interop.from_onnx(model).predict(draw(9, 6)).shape == (9, 2)


def test_constants_are_computed_when_read():
    constants = {"a": draw(3, 5, seed=1), "b": draw(3, 5, seed=2)}
    model = graph(
        [("Exp", ["a"], ["e"], {}), ("Mul", ["e", "b"], ["w"], {}), ("Gemm", ["x", "w"], ["y"], {})],
        {"x": ["N", 3]},
        constants,
    )
    assert both(model, draw(50, 3)) < LIMIT["float32"]


def test_what_exporters_leave_in_a_graph():
    constants = {
        "w": draw(5, 6, seed=1),
        "two": np.array([2, 5]),
        "a": np.array([0.3], np.float32),
        "axes": np.array([2]),
        "one": np.array(1),
        "limit": np.array(6),
        "zero": np.array(0),
    }
    nodes = [
        ("MatMul", ["x", "w"], ["h"], {}),
        ("Dropout", ["h"], ["d"], {}),
        ("Cast", ["d"], ["c"], {"to": TensorProto.FLOAT}),
        ("PRelu", ["c", "a"], ["p"], {}),
        ("Shape", ["p"], ["n"], {}),
        ("Gather", ["n", "zero"], ["n0"], {}),
        ("Constant", [], ["zeros"], {"value_ints": [0]}),
        ("Unsqueeze", ["n0", "zeros"], ["n1"], {}),
        ("Constant", [], ["rest"], {"value_ints": [2, 3]}),
        ("Concat", ["n1", "rest"], ["size"], {"axis": 0}),
        ("Reshape", ["p", "size"], ["r"], {}),
        ("Unsqueeze", ["r", "axes"], ["u"], {}),
        ("Squeeze", ["u", "axes"], ["s"], {}),
        ("Range", ["one", "limit", "one"], ["k"], {}),
        ("Expand", ["k", "two"], ["unused"], {}),
        ("ConstantOfShape", ["two"], ["z"], {}),
        ("Flatten", ["s"], ["f"], {}),
        ("Concat", ["f", "f"], ["y"], {"axis": 1}),
    ]
    assert both(graph(nodes, {"x": ["N", 5]}, constants), draw(9, 5)) < LIMIT["float32"]


def test_start_values_by_the_number_of_rows():
    constants = {
        "w": draw(1, 28, 3, seed=1),
        "r": draw(1, 28, 7, seed=2),
        "one": np.array([1]),
        "seven": np.array([7]),
        "at": np.array([0]),
        "zero": np.zeros((1, 1, 7), np.float32),
    }
    nodes = [
        ("Shape", ["x"], ["n"], {}),
        ("Gather", ["n", "at"], ["rows"], {}),
        ("Concat", ["one", "rows", "seven"], ["size"], {"axis": 0}),
        ("ConstantOfShape", ["size"], ["h0"], {}),
        ("Expand", ["zero", "size"], ["c0"], {}),
        ("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}),
        ("LSTM", ["t", "w", "r", "", "", "h0", "c0"], ["", "h"], {"hidden_size": 7}),
        ("Squeeze", ["h", "at"], ["y"], {}),
    ]
    assert both(graph(nodes, {"x": ["N", 11, 3]}, constants), draw(9, 11, 3)) < LIMIT["float32"]


@pytest.mark.parametrize("opset", [9, 10])
def test_upsample_of_old_files(opset):
    op = "Upsample" if opset == 9 else "Resize"
    model = graph(
        [(op, ["x", "s"], ["y"], {})],
        {"x": ["N", 2, 3, 4]},
        {"s": np.array([1, 1, 2, 3], np.float32)},
        opset=opset,
    )
    assert fields(model, draw(5, 2, 3, 4)) == 0


def test_swish_of_opset_24():
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install simgraft[test]")
    model = graph([("Swish", ["x"], ["y"], {})], {"x": ["N", 17]}, opset=24)
    try:
        off = both(model, draw(50, 17))
    except runtime.capi.onnxruntime_pybind11_state.Fail:
        pytest.skip("this ONNX Runtime does not know opset 24")
    assert off < LIMIT["float32"]


# --------------------------------------------------------------------------------------- fields and sequences


def last(y):
    """Result of ONNX (N, channels, ...) as rows with channels last."""
    return np.moveaxis(y, 1, -1).reshape(len(y), -1)


def fields(model, *inputs):
    """Largest difference for a model whose inputs and outputs are fields (N, channels, ...)."""
    network = interop.from_onnx(model)
    ours = network.predict(np.concatenate([last(x) for x in inputs], axis=1))
    return noted(model, ours, np.concatenate([last(y) for y in run(model, *inputs)], axis=1))


SHAPES = {1: (17,), 2: (9, 8), 3: (5, 4, 6)}


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pads": 1},
        {"pads": 1, "strides": 2},
        {"auto_pad": "SAME_UPPER", "strides": 2},
        {"auto_pad": "SAME_LOWER"},
        {"auto_pad": "VALID", "dilations": 2},
        {"pads": (0, 2)},
        {"pads": 2, "dilations": 2},
        {"group": 3, "pads": 1},
    ],
    ids=str,
)
def test_convolution(rank, options):
    n, groups = SHAPES[rank], options.get("group", 1)
    given = {
        k: [v] * rank if isinstance(v, int) and k not in ("pads", "group") else v for k, v in options.items()
    }
    if "pads" in given:
        low, high = given["pads"] if isinstance(given["pads"], tuple) else (given["pads"],) * 2
        given["pads"] = [low] * rank + [high] * rank
    constants = {"w": draw(6, 3 // groups, *[3, 2, 1][:rank], seed=1), "b": draw(6, seed=2)}
    model = graph(
        [("Conv", ["x", "w", "b"], ["c"], given), ("Tanh", ["c"], ["y"], {})], {"x": ["N", 3, *n]}, constants
    )
    assert fields(model, draw(5, 3, *n)) < LIMIT["float32"]


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strides": 2},
        {"pads": 1, "strides": 2},
        {"ceil_mode": 1, "strides": 2},
        {"auto_pad": "SAME_UPPER", "strides": 2},
        {"pads": 1, "count_include_pad": 1},
    ],
    ids=str,
)
def test_pooling(rank, op, options):
    if op == "MaxPool" and "count_include_pad" in options:
        pytest.skip("an option of AveragePool")
    given = {"kernel_shape": [3, 2, 3][:rank]}
    given.update(
        {
            k: [v] * (2 * rank if k == "pads" else rank) if k in ("pads", "strides") else v
            for k, v in options.items()
        }
    )
    model = graph([(op, ["x"], ["y"], given)], {"x": ["N", 3, *SHAPES[rank]]})
    try:
        off = fields(model, draw(5, 3, *SHAPES[rank]))
    except interop.UnsupportedError as error:
        assert op == "AveragePool" and "unevenly beyond the field" in str(error)
    else:
        assert off < LIMIT["float32"]


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize(
    ("op", "axes"), [("GlobalAveragePool", 0), ("GlobalMaxPool", 0), ("ReduceMean", 1), ("ReduceMax", 1)]
)
def test_global_pooling(rank, op, axes):
    constants = {"axes": np.arange(2, rank + 2), "w": draw(3, 5, seed=1)}
    nodes = [(op, ["x", "axes"] if axes else ["x"], ["p"], {"keepdims": 0} if axes else {})]
    nodes += (
        [("MatMul", ["p", "w"], ["y"], {})]
        if axes
        else [("Flatten", ["p"], ["f"], {}), ("MatMul", ["f", "w"], ["y"], {})]
    )
    model = graph(nodes, {"x": ["N", 3, *SHAPES[rank]]}, constants)
    x = draw(5, 3, *SHAPES[rank])
    ours = interop.from_onnx(model).predict(last(x))
    assert noted(model, ours, run(model, x)[0]) < LIMIT["float32"]


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize(
    "options",
    [
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {"mode": "nearest"},
        {"mode": "linear"},
        {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel", "nearest_mode": "floor"},
    ],
    ids=str,
)
def test_upsampling(rank, options):
    factors = (2, 3, 1)[:rank]
    model = graph(
        [("Resize", ["x", "", "s"], ["y"], options)],
        {"x": ["N", 2, *SHAPES[rank]]},
        {"s": np.array([1, 1, *factors], np.float32)},
    )
    assert fields(model, draw(3, 2, *SHAPES[rank])) < LIMIT["float32"]
    sized = graph(
        [("Resize", ["x", "", "", "n"], ["y"], options)],
        {"x": ["N", 2, *SHAPES[rank]]},
        {"n": np.array([3, 2, *(f * n for f, n in zip(factors, SHAPES[rank]))])},
    )
    assert fields(sized, draw(3, 2, *SHAPES[rank])) < LIMIT["float32"]


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_padding(mode):
    pads = np.array([0, 0, 1, 2, 0, 0, 2, 0])
    model = graph([("Pad", ["x", "p"], ["y"], {"mode": mode})], {"x": ["N", 3, 9, 8]}, {"p": pads}, opset=19)
    x = draw(5, 3, 9, 8)
    assert fields(model, x) == 0
    network = interop.from_onnx(model, channels_last=False)
    assert np.array_equal(network.predict(x.reshape(5, -1)), run(model, x)[0].reshape(5, -1))


def test_flattened_image_keeps_the_order_of_its_channels():
    constants = {"w": draw(4, 3, 3, 3, seed=1), "v": draw(4 * 7 * 6, 5, seed=2), "one": np.array([0, -1])}
    nodes = [
        ("Conv", ["x", "w"], ["c"], {}),
        ("Relu", ["c"], ["r"], {}),
        ("Flatten", ["r"], ["f"], {}),
        ("MatMul", ["f", "v"], ["y"], {}),
        ("Reshape", ["r", "one"], ["z"], {}),
    ]
    model = graph(nodes, {"x": ["N", 3, 9, 8]}, constants, outputs=("y", "z"))
    x = draw(5, 3, 9, 8)
    ours, theirs = interop.from_onnx(model).predict(last(x)), np.concatenate(run(model, x), axis=1)
    assert noted(model, ours, theirs) < LIMIT["float32"]


def test_u_net_like_graph_with_skip_connection():
    constants = {
        "w": draw(4, 3, 3, 3, seed=1, scale=0.2),
        "v": draw(6, 4, 3, 3, seed=2, scale=0.2),
        "u": draw(2, 10, 1, 1, seed=3),
        "g": draw(4, 1, 1, seed=4),
        "s": np.array([1, 1, 2, 2], np.float32),
    }
    nodes = [
        ("Conv", ["x", "w"], ["a"], {"pads": [1, 1, 1, 1]}),
        ("Mul", ["a", "g"], ["b"], {}),
        ("MaxPool", ["b"], ["p"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Conv", ["p", "v"], ["q"], {"pads": [1, 1, 1, 1]}),
        ("Resize", ["q", "", "s"], ["t"], {"mode": "linear"}),
        ("Concat", ["b", "t"], ["k"], {"axis": 1}),
        ("Conv", ["k", "u"], ["y"], {}),
    ]
    model = graph(nodes, {"x": ["N", 3, 8, 6]}, constants)
    assert fields(model, draw(5, 3, 8, 6)) < LIMIT["float32"]
    assert "permute" not in [n["op"] for n in interop.from_onnx(model)._graph.nodes()]


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("biased", [True, False])
def test_recurrence(op, direction, biased):
    d, h, gates = 2 if direction == "bidirectional" else 1, 7, 4 if op == "LSTM" else 3
    constants = {
        "w": draw(d, gates * h, 3, seed=1, scale=0.5),
        "r": draw(d, gates * h, h, seed=2, scale=0.5),
        "b": draw(d, 2 * gates * h, seed=3),
        "shape": np.array([0, 0, -1]),
    }
    options = {
        "hidden_size": h,
        "direction": direction,
        **({"linear_before_reset": 1} if op == "GRU" else {}),
    }
    nodes = [
        ("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}),
        (op, ["t", "w", "r", "b"] if biased else ["t", "w", "r"], ["s", "h"], options),
        ("Transpose", ["s"], ["st"], {"perm": [2, 0, 1, 3]}),
        ("Reshape", ["st", "shape"], ["y"], {}),
        ("Transpose", ["h"], ["z"], {"perm": [1, 0, 2]}),
    ]
    if not biased:
        del constants["b"]
    model = graph(nodes, {"x": ["N", 11, 3]}, constants, outputs=("y", "z"))
    assert both(model, draw(5, 11, 3)) < LIMIT["float32"]


@pytest.mark.parametrize("axis", [1, 2])
def test_normalisation_and_softmax(axis):
    constants = {
        "a": draw(3, seed=1),
        "b": draw(3, seed=2),
        "m": draw(3, seed=3),
        "v": np.abs(draw(3, seed=4)) + 0.5,
        "s": draw(17, seed=5),
        "t": draw(17, seed=6),
    }
    nodes = [
        ("BatchNormalization", ["x", "a", "b", "m", "v"], ["n"], {"epsilon": 0.1}),
        ("LayerNormalization", ["n", "s", "t"], ["l"], {}),
        ("Softmax", ["l"], ["y"], {"axis": axis}),
    ]
    model = graph(nodes, {"x": ["N", 3, 17]}, constants)
    x = draw(5, 3, 17)
    network, theirs = interop.from_onnx(model), run(model, x)[0]
    rows = x if network._graph.nodes()[0]["shape"] == (3, 17) else np.moveaxis(x, 1, 2)
    theirs = theirs if network._graph.nodes()[-1]["shape"] == (3, 17) else np.moveaxis(theirs, 1, 2)
    # normalisation divides differences of size 0.3 and rounding alike
    assert (
        noted(model, network.predict(rows.reshape(5, -1).copy()), theirs.reshape(5, -1))
        < 3 * LIMIT["float32"]
    )


# ----------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("node", "constants", "message"),
    [
        (
            ("GridSample", ["x", "x"], ["y"], {}),
            {},
            r"node 'node0' \(GridSample\): operator not supported; supported are Add, ",
        ),
        (("Log", ["x"], ["y"], {}), {}, r"node 'node0' \(Log\): operator not supported"),
        (
            ("Gemm", ["w", "x"], ["y"], {}),
            {"w": draw(3, 3)},
            r"\(Gemm\): B is computed by the graph; it must be a constant",
        ),
        (
            ("Gemm", ["x", "w"], ["y"], {"transA": 1}),
            {"w": draw(3, 3)},
            r"\(Gemm\): attribute transA = 1; supported: 0",
        ),
        (
            ("Gelu", ["x"], ["y"], {"approximate": "tanh"}),
            {},
            r"\(Gelu\): attribute approximate = 'tanh'; supported: 'none'",
        ),
        (("Div", ["x", "x"], ["y"], {}), {}, r"\(Div\): a quotient of two computed values"),
        (
            ("Concat", ["x", "x"], ["y"], {"axis": 0}),
            {},
            r"\(Concat\): axis 0 of a value of shape \(N, 3\) counts the rows",
        ),
        (
            ("Reshape", ["x", "s"], ["y"], {}),
            {"s": np.array([-1, 2])},
            r"\(Reshape\): .* cannot be reshaped to \[-1, 2\]: rows",
        ),
        (
            ("Slice", ["x", "a", "b", "c", "d"], ["y"], {}),
            {"a": np.array([2]), "b": np.array([-9]), "c": np.array([1]), "d": np.array([-1])},
            r"\(Slice\): steps other than 1",
        ),
        (
            ("Gather", ["x", "a"], ["y"], {"axis": 1}),
            {"a": np.array([0, 2])},
            r"\(Gather\): indices \[0, 2\]; supported",
        ),
        (
            ("MatMul", ["x", "w"], ["y"], {}),
            {"w": draw(5, 5)},
            r"\(MatMul\): weights of shape \(5, 5\) for a value of shape",
        ),
    ],
    ids=lambda v: v[0] if isinstance(v, tuple) else "",
)
def test_what_is_not_supported_is_named(node, constants, message):
    model = graph([node], {"x": ["N", 3]}, constants, opset=20)
    with pytest.raises(interop.UnsupportedError, match=message):
        interop.from_onnx(model)


def test_operator_of_another_domain_is_named():
    model = graph([("Scaler", ["x"], ["y"], {"domain": "ai.onnx.ml"})], {"x": ["N", 3]})
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    with pytest.raises(interop.UnsupportedError, match=r"ai.onnx.ml.Scaler"):
        interop.from_onnx(model)


def test_what_the_outputs_do_not_need_is_not_looked_at():
    model = graph(
        [("Log", ["x"], ["e"], {}), ("Tanh", ["x"], ["y"], {})], {"x": ["N", 3]}, outputs=("y", "e")
    )
    assert interop.from_onnx(model, outputs=["y"]).n_out == 3


def test_opset_out_of_range_is_named():
    model = graph([("Relu", ["x"], ["y"], {})], {"x": ["N", 3]}, opset=7)
    with pytest.raises(interop.UnsupportedError, match="opset 7 of the model; supported are 9 to"):
        interop.from_onnx(model)


def test_input_of_unknown_size_or_type_is_named():
    with pytest.raises(
        interop.UnsupportedError, match="input 'x': only the number of rows may be unknown, got shape"
    ):
        interop.from_onnx(graph([("Relu", ["x"], ["y"], {})], {"x": ["N", "M"]}))
    with pytest.raises(
        interop.UnsupportedError, match="input 'x' has type INT64; supported are FLOAT and DOUBLE"
    ):
        interop.from_onnx(graph([("Relu", ["x"], ["y"], {})], {"x": ["N", 3]}, kind=TensorProto.INT64))


def test_damaged_files_are_refused_and_named(tmp_path):
    path = tmp_path / "net.onnx"
    interop.to_onnx(nn.MLP([17], "tanh").build(3, 5, seed=1), path)
    raw = path.read_bytes()
    refused = 0
    for n in range(0, len(raw), 7):
        path.write_bytes(raw[:n])
        try:
            interop.from_onnx(path)  # the metadata at the end may be missing
        except (OSError, ValueError) as error:
            refused += str(path) in str(error)
    assert refused > 0.9 * len(raw) / 7
    with pytest.raises(OSError, match=r"node 'node0' \(Relu\): its input 'h' is not made before it"):
        interop.from_onnx(graph([("Relu", ["h"], ["y"], {}), ("Relu", ["x"], ["h"], {})], {"x": ["N", 3]}))
    with pytest.raises(FileNotFoundError, match="none.onnx: no such file"):
        interop.from_onnx(tmp_path / "none.onnx")
    with pytest.raises(OSError, match="net.onnx: not a valid ONNX model"):
        path.write_bytes(b"this is a text")
        interop.from_onnx(path)


def test_flipped_bytes_give_a_network_or_a_clear_error(tmp_path):
    raw = bytearray(interop.to_onnx(nn.MLP([5], "tanh").build(3, 2, seed=1)).SerializeToString())
    rng = np.random.default_rng(1)
    for _ in range(300):
        wrong = bytearray(raw)
        for at in rng.integers(0, len(raw), 3):
            wrong[at] = rng.integers(0, 256)
        try:
            interop.from_onnx(bytes(wrong))
        except (OSError, ValueError):
            pass
