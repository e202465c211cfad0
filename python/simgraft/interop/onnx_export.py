"""ONNX models of surrogates and networks."""

import json
import math
import os
from pathlib import Path

import numpy as np

from simgraft import _core
from simgraft.interop._builder import UnsupportedError
from simgraft.interop._parts import GATHER_ANGLE, GATHER_ARGMAX, nodes_with_parameters, parts_of

OPSET = 18
"""Version of the default operator set that is written: it defines Elu, Softsign and Softplus for double.
Periodic padding needs 19."""


def to_onnx(model, path=None, *, dtype=None, by_name=False):
    """ONNX model of a surrogate, encoder and decoder inside, or of a bare network.

    Parameters
    ----------
    model : Surrogate or nn.Network
    path : path-like, optional
        Where to write the model; its folder is made where it does not exist.
    dtype : {"float32", "float64"}, optional
        Of inputs and outputs; default float64 for a surrogate, the network's own for a network. The network
        computes in its own precision; encoder and decoder compute in that of inputs and outputs, as in
        simgraft.
    by_name : bool, optional
        One input (N, \\*shape) and one output for every variable of the kernel, in place of the packed tables
        "inputs" (N, n_in) and "outputs" (N, n_out).

    Returns
    -------
    onnx.ModelProto
        With names, units and ranges of the columns, kernel and provenance in its metadata, as JSON.

    Raises
    ------
    ImportError
        Without the package onnx: ``pip install simgraft[interop]``.
    UnsupportedError
        A ValueError, if a layer cannot be written; the message names node and layer.

    Notes
    -----
    The guard is not part of the model: the ranges are in the metadata for the host to check. ONNX Runtime has
    no Erf in double, so a float64 network with gelu is a valid model that it refuses. Rows of image-like
    inputs of a bare network stay as they are here: flat, channels last.

    Examples
    --------
    >>> from simgraft import interop, nn
    >>> model = interop.to_onnx(nn.MLP([8], "tanh").build(3, 2, seed=1))
    >>> [node.op_type for node in model.graph.node]
    ['Gemm', 'Tanh', 'Gemm']
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("writing ONNX needs the package onnx: pip install simgraft[interop]") from error
    parts = parts_of(model)
    if dtype is None:
        dtype = "float64" if parts.encoder else parts.network.dtype.name
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype: expected 'float32' or 'float64', got {dtype!r}")
    if by_name and parts.kernel is None:
        raise ValueError("by_name: a bare network has no named variables; expected a surrogate")
    proto = _Exporter(onnx, parts, dtype, by_name).model(getattr(model, "provenance", None))
    onnx.checker.check_model(proto)
    if path is not None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            onnx.save(proto, str(temporary))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return proto


class _Value:
    """A value of the network in the graph: its ONNX name with channels last, and first where that was
    needed."""

    def __init__(self, shape, last=None, first=None):
        self.shape, self.last, self.first = shape, last, first


class _Exporter:
    def __init__(self, onnx, parts, dtype, by_name):
        self.onnx, self.parts, self.by_name = onnx, parts, by_name
        self.real, self.dtype = np.dtype(dtype), parts.network.dtype  # of the host, of the network
        self.nodes, self.constants, self.known, self.count, self.opset = [], [], {}, 0, OPSET

    # ------------------------------------------------------------------------------------------------- pieces

    def kind(self, dtype):
        return self.onnx.TensorProto.FLOAT if np.dtype(dtype) == np.float32 else self.onnx.TensorProto.DOUBLE

    def constant(self, value, hint="constant"):
        """Name of an initializer."""
        value = np.ascontiguousarray(value)
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self.known:
            self.known[key] = name = f"{hint}_{len(self.constants)}"
            self.constants.append(self.onnx.numpy_helper.from_array(value, name))
        return self.known[key]

    def integers(self, *values):
        return self.constant(np.array(values, np.int64), "shape")

    def node(self, op, *inputs, n_out=1, **attributes):
        """Places a node; returns the name of its result (or names)."""
        self.count += 1
        outputs = [f"v{self.count}" if n_out == 1 else f"v{self.count}_{i}" for i in range(n_out)]
        self.nodes.append(
            self.onnx.helper.make_node(op, list(inputs), outputs, name=f"{op}_{self.count}", **attributes)
        )
        return outputs[0] if n_out == 1 else outputs

    def columns(self, x, first, stop):
        return self.node("Slice", x, self.integers(first), self.integers(stop), self.integers(1))

    # ---------------------------------------------------------------------------------------------- programs

    def program(self, program, x, real):
        """Columns of table x sent through their steps, in the type real."""
        if program.is_identity:
            return x
        pieces = []
        for run in program.runs():
            columns = [program.columns[j] for j in run]
            gather, first, n, steps = columns[0]
            sources = [c[1] for c in columns]
            if gather == GATHER_ANGLE:
                y = self.angle(self.columns(x, first, first + 1), self.columns(x, first + 1, first + 2), real)
            elif gather == GATHER_ARGMAX:
                y = self.node("ArgMax", self.columns(x, first, first + n), axis=1, keepdims=1)
                y = self.node("Cast", y, to=self.kind(real))
            elif sources == list(range(sources[0], sources[0] + len(sources))):
                whole = sources[0] == 0 and len(sources) == program.n_in
                y = x if whole else self.columns(x, sources[0], sources[0] + len(sources))
            else:
                y = self.node("Gather", x, self.integers(*sources), axis=1)
            for s, (name, *_) in enumerate(steps):
                a, b = (np.array([[c[3][s][k] for c in columns]], real) for k in (1, 2))
                y = self.step(
                    name, y, a, b, x, [int(c[3][s][2]) for c in columns] if name == "unmask" else None, real
                )
            pieces.append(y)
        return pieces[0] if len(pieces) == 1 else self.node("Concat", *pieces, axis=1)

    def step(self, name, x, a, b, table, masks, real):
        node, number = self.node, self.constant

        def one(value):
            return number(np.array([[value]], real))

        if name == "standardise":
            return node("Mul", node("Sub", x, number(a)), number(b))
        if name == "affine":
            return node("Add", node("Mul", x, number(a)), number(b))
        if name == "log":
            return node("Log", x)
        if name == "exp":
            return node("Exp", x)
        if name == "root":
            n = int(a[0, 0])
            if n & (n - 1):
                return node("Pow", x, number(1 / a))
            for _ in range(n.bit_length() - 1):
                x = node("Sqrt", x)
            return x
        if name == "power":
            y, n = None, int(a[0, 0])
            while n:
                if n & 1:
                    y = x if y is None else node("Mul", y, x)
                n >>= 1
                if n:
                    x = node("Mul", x, x)
            return y
        if name == "signed_log":  # log1p after Kahan: u = 1 + z, log(u) z / (u - 1)
            z = node("Div", node("Abs", x), number(a))
            u = node("Add", z, one(1))
            small = node("Equal", u, one(1))
            v = node("Where", small, one(2), u)
            y = node("Div", node("Mul", node("Log", v), z), node("Sub", v, one(1)))
            return node("Mul", node("Sign", x), node("Where", small, z, y))
        if name == "signed_exp":  # expm1 after Kahan: u = exp(z), (u - 1) z / log(u)
            z = node("Abs", x)
            u = node("Exp", z)
            small = node("Equal", u, one(1))
            v = node("Where", small, one(2), u)
            y = node("Div", node("Mul", node("Sub", v, one(1)), z), node("Log", v))
            return node("Mul", node("Mul", node("Sign", x), number(a)), node("Where", small, z, y))
        if name in ("sin", "cos"):
            return node("Sin" if name == "sin" else "Cos", node("Mul", x, number(a)))
        if name == "one_hot":
            return node("Cast", node("Equal", x, number(a)), to=self.kind(real))
        if name == "present":
            return node("Cast", node("Not", self.missing(x, a)), to=self.kind(real))
        if name == "fill":
            return node("Where", self.missing(x, a), number(b), x)
        if name == "clip":
            y = node("Where", node("Less", number(b), x), number(b), x)
            return node("Where", node("Less", x, number(a)), number(a), y)
        if name == "unmask":
            mask = node("Gather", table, self.integers(*masks), axis=1)
            return node("Where", node("Less", mask, one(0.5)), number(a), x)
        raise UnsupportedError(f"encoder step {name}: cannot be written as ONNX")

    def missing(self, x, a):
        gone = np.isnan(a)
        if gone.all():
            return self.node("IsNaN", x)
        same = self.node("Equal", x, self.constant(np.where(gone, 0, a).astype(a.dtype)))
        if not gone.any():
            return same
        same = self.node("And", same, self.constant(~gone))
        return self.node("Or", same, self.node("And", self.node("IsNaN", x), self.constant(gone)))

    def angle(self, s, c, real):
        """Angle in [0, 2 pi) of a sine and a cosine, as csrc/surrogate/encode.hot.c computes it: a quintic of
        atan, then one correction by the sine of what is missing. ONNX has no atan2, and ONNX Runtime no Atan
        in double."""
        node = self.node

        def one(value):
            return self.constant(np.array([[value]], real))

        def mul(x, y):
            return node("Mul", x, y)

        size_s, size_c = node("Abs", s), node("Abs", c)
        high, low = node("Max", size_s, size_c), node("Min", size_s, size_c)
        none = node("Equal", high, one(0))
        high = node("Where", none, one(1), high)
        q = node("Div", low, high)
        q2 = mul(q, q)
        t = node("Add", mul(q2, one(0.079331)), one(-0.288679))
        t = mul(q, node("Add", mul(q2, t), one(0.995354)))
        t = node("Where", node("Less", size_c, size_s), node("Sub", one(math.pi / 2), t), t)
        t = node("Where", node("Less", c, one(0)), node("Sub", one(math.pi), t), t)
        t = node("Where", node("Less", s, one(0)), node("Neg", t), t)
        us, uc = node("Div", s, high), node("Div", c, high)
        norm = node("Sqrt", node("Add", mul(us, us), mul(uc, uc)))
        norm = node("Where", none, one(1), norm)
        d = node("Sub", mul(us, node("Cos", t)), mul(uc, node("Sin", t)))
        d = node("Div", d, norm)
        d2 = mul(d, d)
        e = node("Add", mul(d2, one(0.075)), one(1 / 6))
        t = node("Add", t, node("Add", mul(mul(d, d2), e), d))
        t = node("Where", node("Less", t, one(0)), node("Add", t, one(2 * math.pi)), t)
        return node("Where", node("Less", t, one(2 * math.pi)), t, one(0))

    # ----------------------------------------------------------------------------------------------- network

    def network(self, x):
        """The network on table x (N, n_in); returns (N, n_out)."""
        nodes, values, at = nodes_with_parameters(self.parts.network), [], 0
        for i, node in enumerate(nodes):
            shape = tuple(node["shape"])
            if node["op"] == "input":
                size = math.prod(shape)
                part = x if size == self.parts.network.n_in else self.columns(x, at, at + size)
                values.append(_Value(shape, self.shaped(part, shape) if len(shape) > 1 else part))
                at += size
                continue
            write = LAYERS.get(node["op"])
            try:
                if write is None:
                    raise UnsupportedError("layer not supported; supported are " + ", ".join(sorted(LAYERS)))
                values.append(write(self, node, shape, [values[j] for j in node["inputs"]]))
            except UnsupportedError as error:
                raise UnsupportedError(f"node {i} ({node['op']}): {error}") from None
        y = self.last(values[-1])
        return y if len(values[-1].shape) == 1 else self.shaped(y, (math.prod(values[-1].shape),))

    def shaped(self, x, shape):
        return self.node("Reshape", x, self.integers(-1, *shape))

    def last(self, value):
        """Name of a value with channels last."""
        if value.last is None:
            rank = len(value.shape)
            value.last = self.node("Transpose", value.first, perm=[0, *range(2, rank + 1), 1])
        return value.last

    def first(self, value):
        """Name of a value with channels first, as convolutions of ONNX have them."""
        if value.first is None:
            rank = len(value.shape)
            value.first = self.node("Transpose", value.last, perm=[0, rank, *range(1, rank)])
        return value.first

    def elementwise(self, value, place):
        """Result of place(name) in the order the value is in already."""
        if value.last is None:
            return _Value(value.shape, first=place(value.first))
        return _Value(value.shape, last=place(value.last))

    def activate(self, value, attributes):
        """The activation of a layer behind its result."""
        kind, parameter = attributes.get("activation", "linear"), attributes.get("parameter")
        if kind == "linear":
            return value
        if kind not in ACTIVATIONS:
            raise UnsupportedError(f"activation {kind}; supported are {', '.join(sorted(ACTIVATIONS))}")
        return self.elementwise(value, lambda x: ACTIVATIONS[kind](self, x, parameter))

    # ------------------------------------------------------------------------------------------------- model

    def model(self, provenance):
        parts, helper = self.parts, self.onnx.helper
        x, inputs = self.table("inputs", parts.n_in, parts.kernel and parts.kernel.inputs)
        z = self.program(parts.encoder, x, self.real) if parts.encoder else x
        if self.real != self.dtype:
            z = self.node("Cast", z, to=self.kind(self.dtype))
        z = self.network(z)
        if self.real != self.dtype:
            z = self.node("Cast", z, to=self.kind(self.real))
        y = self.program(parts.decoder, z, self.real) if parts.decoder else z
        outputs = self.results(y, "outputs", parts.n_out, parts.kernel and parts.kernel.outputs)
        graph = helper.make_graph(
            self.nodes, "simgraft", inputs, outputs, self.constants, doc_string=parts.title
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", self.opset)],
            ir_version=8,
            producer_name="simgraft",
            producer_version=_core.__version__,
            doc_string=parts.title,
        )
        helper.set_model_props(model, self.metadata(provenance))
        return model

    def table(self, name, n, variables):
        """Name of the packed input table, and what the graph declares."""
        tensor = self.onnx.helper.make_tensor_value_info
        if not self.by_name:
            return name, [tensor(name, self.kind(self.real), ["N", n])]
        flat, declared = [], []
        for key, v in variables.items():
            declared.append(
                tensor(key, self.kind(self.real), ["N", *v.shape], doc_string=f"{v.doc} [{v.unit}]".strip())
            )
            flat.append(self.node("Reshape", key, self.integers(-1, v.size)))
        return flat[0] if len(flat) == 1 else self.node("Concat", *flat, axis=1), declared

    def results(self, y, name, n, variables):
        tensor = self.onnx.helper.make_tensor_value_info
        if not self.by_name:
            if not self.nodes or y == "inputs":
                y = self.node("Identity", y)
            for node in self.nodes:
                node.output[:] = [name if out == y else out for out in node.output]
                node.input[:] = [name if given == y else given for given in node.input]
            return [tensor(name, self.kind(self.real), ["N", n])]
        sizes = [v.size for v in variables.values()]
        pieces = (
            [y] if len(sizes) == 1 else self.node("Split", y, self.integers(*sizes), n_out=len(sizes), axis=1)
        )
        declared = []
        for piece, (key, v) in zip(pieces, variables.items()):
            taken = f"{key}_out" if key in self.parts.kernel.inputs else key
            self.nodes.append(
                self.onnx.helper.make_node("Reshape", [piece, self.integers(-1, *v.shape)], [taken])
            )
            declared.append(
                tensor(taken, self.kind(self.real), ["N", *v.shape], doc_string=f"{v.doc} [{v.unit}]".strip())
            )
        return declared

    def metadata(self, provenance):
        def plain(columns):
            return [
                {
                    k: (None if isinstance(v, float) and not math.isfinite(v) else v)
                    for k, v in c.items()
                    if k != "scale"
                }
                for c in columns
            ]

        found = {
            "simgraft.inputs": json.dumps(plain(self.parts.inputs)),
            "simgraft.outputs": json.dumps(plain(self.parts.outputs)),
        }
        if self.parts.kernel is not None:
            from simgraft.surrogate import _plain

            found["simgraft.kernel"] = json.dumps(_plain(self.parts.kernel.describe()))
            found["simgraft.provenance"] = json.dumps(
                _plain({k: v for k, v in (provenance or {}).items() if k != "history"})
            )
        return found


# ------------------------------------------------------------------------------------------------ activations


def _number(g, value):
    return g.constant(np.array(value, g.dtype))


def _gelu(g, x, _):
    erf = g.node("Erf", g.node("Mul", x, _number(g, math.sqrt(0.5))))
    return g.node("Mul", g.node("Mul", x, g.node("Add", erf, _number(g, 1))), _number(g, 0.5))


def _leaky_relu(g, x, p):
    if float(np.float32(p)) == p or g.dtype == np.float32:
        return g.node("LeakyRelu", x, alpha=float(p))
    return g.node("PRelu", x, g.constant(np.array([p], g.dtype)))  # attributes are floats


def _elu(g, x, p):
    if float(np.float32(p)) == p or g.dtype == np.float32:
        return g.node("Elu", x, alpha=float(p))
    low = g.node("Mul", g.node("Elu", g.node("Min", x, _number(g, 0))), _number(g, p))
    return g.node("Add", g.node("Relu", x), low)


ACTIVATIONS = {
    "linear": lambda g, x, _: x,
    "relu": lambda g, x, _: g.node("Relu", x),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "softsign": lambda g, x, _: g.node("Softsign", x),
    "tanh": lambda g, x, _: g.node("Tanh", x),
    "sigmoid": lambda g, x, _: g.node("Sigmoid", x),
    "swish": lambda g, x, _: g.node("Mul", x, g.node("Sigmoid", x)),
    "gelu": _gelu,
    "softplus": lambda g, x, _: g.node("Softplus", x),
}


# ----------------------------------------------------------------------------------------------------- layers

LAYERS = {}


def _layer(*names):
    def register(function):
        LAYERS.update((name, function) for name in names)
        return function

    return register


@_layer("dense")
def _dense(g, node, shape, inputs):
    weight, bias = (g.constant(node["values"][k], k) for k in ("weight", "bias"))
    x = g.last(inputs[0])
    y = (
        g.node("Gemm", x, weight, bias)
        if len(shape) == 1
        else g.node("Add", g.node("MatMul", x, weight), bias)
    )
    return g.activate(_Value(shape, y), node["attributes"])


@_layer("activation")
def _activation(g, node, shape, inputs):
    if node["attributes"]["activation"] == "linear":
        return g.elementwise(inputs[0], lambda x: g.node("Identity", x))
    return g.activate(inputs[0], node["attributes"])


@_layer("add")
def _add(g, node, shape, inputs):
    first = all(v.last is None for v in inputs)
    names = [g.first(v) if first else g.last(v) for v in inputs]
    y = g.node("Add", *names) if len(names) == 2 else g.node("Sum", *names)
    return _Value(shape, first=y) if first else _Value(shape, y)


@_layer("concatenate")
def _concatenate(g, node, shape, inputs):
    first = all(v.last is None for v in inputs)
    names = [g.first(v) if first else g.last(v) for v in inputs]
    y = g.node("Concat", *names, axis=1 if first else len(shape))
    return _Value(shape, first=y) if first else _Value(shape, y)


@_layer("slice")
def _slice(g, node, shape, inputs):
    a, value = node["attributes"], inputs[0]
    ends = g.integers(a["start"]), g.integers(a["stop"])
    if value.last is None:
        return _Value(shape, first=g.node("Slice", value.first, *ends, g.integers(1)))
    return _Value(shape, g.node("Slice", value.last, *ends, g.integers(len(shape))))


@_layer("affine")
def _affine(g, node, shape, inputs):
    value, parts = inputs[0], [node["values"]["scale"], node["values"]["shift"]]
    if value.last is None:
        parts = [p.reshape(-1, *[1] * (len(shape) - 1)) for p in parts]
    scale, shift = (g.constant(p, "affine") for p in parts)
    return g.elementwise(value, lambda x: g.node("Add", g.node("Mul", x, scale), shift))


@_layer("multiply")
def _multiply(g, node, shape, inputs):
    x, y = g.last(inputs[0]), g.last(inputs[1])
    if len(inputs[1].shape) < len(shape):
        y = g.node("Unsqueeze", y, g.integers(-1))
    return _Value(shape, g.node("Mul", x, y))


@_layer("reshape")
def _reshape(g, node, shape, inputs):
    return _Value(shape, g.shaped(g.last(inputs[0]), shape))


@_layer("permute")
def _permute(g, node, shape, inputs):
    return _Value(
        shape, g.node("Transpose", g.last(inputs[0]), perm=[0, *(a + 1 for a in node["attributes"]["axes"])])
    )


@_layer("dropout")
def _dropout(g, node, shape, inputs):
    return inputs[0]


@_layer("softmax")
def _softmax(g, node, shape, inputs):
    return _Value(shape, g.node("Softmax", g.last(inputs[0]), axis=-1))


def _each(value, rank):
    """A list attribute with one number for every dimension."""
    value = list(value) if isinstance(value, (tuple, list)) else [value]
    return [int(v) for v in (value if len(value) == rank else value * rank)]


def _pad_node(g, x, before, after, mode, first):
    """Pad of the positions of a field."""
    if not any(before) and not any(after):
        return x
    around = ([0, 0], []) if first else ([0], [0])
    pads = [*around[0], *before, *around[1], *around[0], *after, *around[1]]
    mode = {
        "zero": "constant",
        "same": "constant",
        "replicate": "edge",
        "reflect": "reflect",
        "periodic": "wrap",
    }[mode]
    if mode == "wrap":
        g.opset = max(g.opset, 19)
    return g.node("Pad", x, g.integers(*pads), mode=mode)


def _reach(n, kernel, stride, dilation):
    """Positions that a window reads outside the field, before and after, except for padding valid;
    csrc/nn/op_conv.c."""
    total = [
        max(0, (-(-m // s) - 1) * s + (k - 1) * d + 1 - m) for m, k, s, d in zip(n, kernel, stride, dilation)
    ]
    return [t // 2 for t in total], [t - t // 2 for t in total]


@_layer("conv")
def _conv(g, node, shape, inputs):
    a, rank = node["attributes"], len(shape) - 1
    kernel, stride, dilation = (_each(a[k], rank) for k in ("kernel", "stride", "dilation"))
    x, pads = g.first(inputs[0]), [0] * 2 * rank
    if a["padding"] != "valid":
        before, after = _reach(inputs[0].shape, kernel, stride, dilation)
        if a["padding"] == "same":
            pads = before + after
        else:
            x = _pad_node(g, x, before, after, a["padding"], True)
    weight = g.constant(np.moveaxis(node["values"]["weight"], (-2, -1), (1, 0)), "weight")
    y = g.node(
        "Conv",
        x,
        weight,
        g.constant(node["values"]["bias"], "bias"),
        kernel_shape=kernel,
        strides=stride,
        dilations=dilation,
        pads=pads,
        group=a["groups"],
    )
    return g.activate(_Value(shape, first=y), a)


@_layer("max_pool", "average_pool")
def _pool(g, node, shape, inputs):
    a, rank = node["attributes"], len(shape) - 1
    size, stride = (_each(a[k], rank) for k in ("size", "stride"))
    stride = [s or k for s, k in zip(stride, size)]
    before, after = (
        _reach(inputs[0].shape, size, stride, [1] * rank)
        if a["padding"] == "same"
        else ([0] * rank, [0] * rank)
    )
    op = "MaxPool" if node["op"] == "max_pool" else "AveragePool"
    y = g.node(op, g.first(inputs[0]), kernel_shape=size, strides=stride, pads=before + after)
    return _Value(shape, first=y)


@_layer("global_pool")
def _global_pool(g, node, shape, inputs):
    value, rank = inputs[0], len(inputs[0].shape)
    axes = range(1, rank) if value.last is not None else range(2, rank + 1)
    op = "ReduceMax" if node["attributes"]["kind"] == "max" else "ReduceMean"
    return _Value(shape, g.node(op, value.last or value.first, g.integers(*axes), keepdims=0))


@_layer("upsample")
def _upsample(g, node, shape, inputs):
    a, rank = node["attributes"], len(shape) - 1
    scales = g.constant(np.array([1, 1, *_each(a["factor"], rank)], np.float32), "scales")
    if a["method"] == "nearest":
        options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        options = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return _Value(shape, first=g.node("Resize", g.first(inputs[0]), "", scales, **options))


@_layer("pad")
def _pad(g, node, shape, inputs):
    a, rank, value = node["attributes"], len(shape) - 1, inputs[0]
    before, after = (_each(a[k], rank) for k in ("before", "after"))
    if value.last is None:
        return _Value(shape, first=_pad_node(g, value.first, before, after, a["mode"], True))
    return _Value(shape, _pad_node(g, value.last, before, after, a["mode"], False))


@_layer("batch_norm")
def _batch_norm(g, node, shape, inputs):
    arrays = [g.constant(node["values"][k], k) for k in ("scale", "shift", "mean", "variance")]
    options = {"epsilon": node["attributes"]["epsilon"], "momentum": 1 - node["attributes"]["momentum"]}
    if len(shape) == 1:
        return _Value(shape, g.node("BatchNormalization", g.last(inputs[0]), *arrays, **options))
    return _Value(shape, first=g.node("BatchNormalization", g.first(inputs[0]), *arrays, **options))


@_layer("layer_norm")
def _layer_norm(g, node, shape, inputs):
    scale, shift = (g.constant(node["values"][k], k) for k in ("scale", "shift"))
    y = g.node(
        "LayerNormalization", g.last(inputs[0]), scale, shift, axis=-1, epsilon=node["attributes"]["epsilon"]
    )
    return _Value(shape, y)


@_layer("lstm", "gru")
def _recurrent(g, node, shape, inputs):
    a, values, kind = node["attributes"], node["values"], node["op"].upper()
    n = a["units"]
    # gates of ONNX: i, o, f, c and z, r, h; here: i, f, g, o and r, z, n
    order = [0, 3, 1, 2] if kind == "LSTM" else [1, 0, 2]

    def gates(v):
        return np.concatenate([v[..., k * n : (k + 1) * n] for k in order], axis=-1)

    weight, recurrent = (g.constant(gates(values[k]).T[None], k) for k in ("weight", "recurrent_weight"))
    second = values["recurrent_bias"] if kind == "GRU" else np.zeros_like(values["bias"])
    bias = g.constant(np.concatenate([gates(values["bias"]), gates(second)])[None], "bias")
    x = g.node("Transpose", g.last(inputs[0]), perm=[1, 0, 2])
    options = {"hidden_size": n, "direction": "reverse" if a["reverse"] else "forward"}
    if kind == "GRU":
        options["linear_before_reset"] = 1
    y, last = g.node(kind, x, weight, recurrent, bias, n_out=2, **options)
    if a["output"] == "last":
        return _Value(shape, g.node("Squeeze", last, g.integers(0)))
    return _Value(shape, g.node("Transpose", g.node("Squeeze", y, g.integers(1)), perm=[1, 0, 2]))


# ------------------------------------------------------------------------------------------------ constraints


def _column(g, value, rank):
    """A value with one number for all channels, whose last dimension may be left out, as (..., 1)."""
    x = g.last(value)
    return x if len(value.shape) == rank else g.node("Unsqueeze", x, g.integers(-1))


@_layer("positive")
def _positive(g, node, shape, inputs):
    op = {"softplus": "Softplus", "exp": "Exp", "relu": "Relu"}[node["attributes"]["function"]]
    floor = node["attributes"]["floor"]

    def place(x):
        y = g.node(op, x)
        return g.node("Add", y, _number(g, floor)) if floor else y

    return g.elementwise(inputs[0], place)


@_layer("bound")
def _bound(g, node, shape, inputs):
    low, high = (node["values"][k] for k in ("low", "high"))
    y = g.node("Mul", g.node("Sigmoid", g.last(inputs[0])), g.constant(high - low, "width"))
    return _Value(shape, g.node("Add", y, g.constant(low, "low")))


@_layer("simplex")
def _simplex(g, node, shape, inputs):
    y = g.node("Softmax", g.last(inputs[0]), axis=-1)
    if node["attributes"]["total"] != 1:
        y = g.node("Mul", y, _number(g, node["attributes"]["total"]))
    if len(inputs) == 2:
        y = g.node("Mul", y, _column(g, inputs[1], len(shape)))
    return _Value(shape, y)


@_layer("conserve")
def _conserve(g, node, shape, inputs):
    values, x = node["values"], g.last(inputs[0])
    rest = g.node(
        "Add",
        g.node("MatMul", x, g.constant(-values["matrix"].T, "matrix")),
        g.constant(values["constant"], "constant"),
    )
    if len(inputs) == 2:
        z = g.last(inputs[1]) if len(inputs[1].shape) == len(shape) else _column(g, inputs[1], len(shape))
        rest = g.node("Add", rest, g.node("MatMul", z, g.constant(values["right"].T, "right")))
    return _Value(
        shape, g.node("Add", x, g.node("MatMul", rest, g.constant(values["correction"], "correction")))
    )
