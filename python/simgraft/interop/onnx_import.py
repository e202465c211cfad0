"""Networks from ONNX files."""

import math
from pathlib import Path

import numpy as np

from simgraft import _core
from simgraft.interop._builder import ACTIVATIONS, BATCH, TABLE, Builder, Node, Tensor, UnsupportedError, best

OPSETS = (9, 26)
"""First and last version of the default operator set that is read."""

_GELU_PARTS = 1e-3  # relative: constants of an exported Gelu are rounded to float


def from_onnx(source, *, outputs=None, channels_last=None):
    """Network of an ONNX model.

    Parameters
    ----------
    source : path-like, bytes or onnx.ModelProto
    outputs : list of str, optional
        Which results of the graph the network gives, side by side in its output row; default: all.
    channels_last : bool, optional
        Whether inputs and outputs (N, C, ...) of rank 3 and more become rows of shape (..., C). Default:
        where it saves permutations, which is wherever they belong to a convolution; the shapes of the input
        layers, in ``network.summary()``, tell.

    Returns
    -------
    Network
        In the precision of the model's weights (float32 or float64).

    Raises
    ------
    ImportError
        Without the package onnx: ``pip install simgraft[interop]``.
    FileNotFoundError, simgraft.FileFormatError
        If the file is missing or no ONNX model.
    UnsupportedError
        A ValueError: an operator, attribute or shape that has no counterpart here. The message names node and
        operator, and what is supported; see :func:`supported_operators`.

    Notes
    -----
    Rows are samples: every input has the number of rows as an axis (the first one, or wherever the recurrent
    operators of ONNX have it). Inputs and outputs lie side by side in rows, each flattened; an input that no
    output depends on is left out. Images (N, C, H, W) become rows of shape (H, W, C), see ``channels_last``.
    A flattened image keeps the order ONNX gives it.

    Examples
    --------
    >>> from simgraft import interop, nn
    >>> network = nn.MLP([16], "tanh").build(3, 2, seed=1)
    >>> model = interop.to_onnx(network)
    >>> interop.from_onnx(model).layers[0][0].shape
    (3, 16)
    """
    model = _read(source)
    importer = _Importer(model, outputs)
    return best(importer.build, importer.has_images, channels_last)


def supported_operators():
    """ONNX operators that :func:`from_onnx` reads, with what is asked of them.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> "Gemm" in supported_operators()
    True
    """
    return {
        name: " ".join(function.__doc__.split())
        for name, function in sorted(OPERATORS.items())
        if _available(function)
    }


def _available(function):
    return all(op in TABLE for op in getattr(function, "needs", ())) and all(
        kind in ACTIVATIONS for kind in getattr(function, "activations", ())
    )


def _read(source):
    try:
        import onnx
    except ImportError as error:
        raise ImportError("reading ONNX needs the package onnx: pip install simgraft[interop]") from error
    name = "the model"
    if isinstance(source, onnx.ModelProto):
        return source
    try:
        if isinstance(source, (bytes, bytearray)):
            model = onnx.load_model_from_string(bytes(source))
        else:
            name = str(Path(source))
            if not Path(source).is_file():
                raise FileNotFoundError(f"{name}: no such file")
            model = onnx.load(name)
        onnx.checker.check_model(model)
    except (FileNotFoundError, TypeError):
        raise
    except Exception as error:  # protobuf and onnx raise many kinds
        raise _core.FileFormatError(f"{name}: not a valid ONNX model: {_first_line(error)}") from error
    return model


def _first_line(error):
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


class _Node:
    """A node of the ONNX graph with its attributes; remembers which of them were looked at."""

    def __init__(self, proto, index):
        import onnx

        self.proto, self.op = proto, proto.op_type
        self.name = proto.name or f"#{index}"
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        self._attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        self._seen = set()

    def get(self, name, default=None):
        self._seen.add(name)
        value = self._attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def expect(self, name, *allowed):
        """UnsupportedError unless the attribute has one of the values, the first of which is the default."""
        value = self.get(name, allowed[0])
        if value not in allowed:
            raise UnsupportedError(
                f"attribute {name} = {value!r}; supported: {', '.join(map(repr, allowed))}"
            )
        return value

    def check_all_seen(self):
        left = sorted(set(self._attributes) - self._seen)
        if left:
            raise UnsupportedError(f"attribute {left[0]} is not supported")


class _Importer:
    def __init__(self, model, outputs):
        import onnx

        self.onnx, self.model, graph = onnx, model, model.graph
        versions = {o.domain: o.version for o in model.opset_import}
        self.opset = versions.get("", versions.get("ai.onnx", 0))
        if not OPSETS[0] <= self.opset <= OPSETS[1]:
            raise UnsupportedError(
                f"opset {self.opset} of the model; supported are {OPSETS[0]} to {OPSETS[1]}"
            )
        self.nodes = [_Node(n, i) for i, n in enumerate(graph.node)]
        for node in self.nodes:
            if node.proto.domain not in ("", "ai.onnx"):
                node.op = f"{node.proto.domain}.{node.op}"
        self.constants = {t.name: self._array(t) for t in graph.initializer}
        self.graph_inputs = [v for v in graph.input if v.name not in self.constants]
        names = [v.name for v in graph.output]
        self.outputs = names if outputs is None else list(outputs)
        made = {name: node for node in self.nodes for name in node.outputs if name}
        for name in self.outputs:
            if name not in made and name not in {v.name for v in self.graph_inputs}:
                raise ValueError(
                    f"outputs: the model has no result {name!r}; its outputs are {', '.join(names)}"
                )
        self.made = made
        self.users = {}
        for node in self.nodes:
            for name in node.inputs:
                self.users.setdefault(name, []).append(node)
        for name in self.outputs:
            self.users.setdefault(name, []).append(None)
        self.has_images = any(len(v.type.tensor_type.shape.dim) >= 3 for v in self.graph_inputs)

    def _array(self, proto):
        if proto.data_location == self.onnx.TensorProto.EXTERNAL:
            raise UnsupportedError(
                f"initializer {proto.name!r} is in another file; pass the path of the model"
            )
        try:
            return self.onnx.numpy_helper.to_array(proto)
        except Exception as error:
            raise _core.FileFormatError(
                f"initializer {proto.name!r} cannot be read: {_first_line(error)}"
            ) from error

    def _precision(self):
        """That of the weights, or of the inputs where there are none."""
        kinds = {a.dtype for a in self.constants.values() if a.dtype.kind == "f" and a.ndim > 1}
        types = {v.type.tensor_type.elem_type for v in self.graph_inputs}
        double = np.dtype("float64") in kinds if kinds else self.onnx.TensorProto.DOUBLE in types
        return "float64" if double else "float32"

    def fixed_rows(self):
        """The number of rows where the file fixes it, None otherwise."""
        for v in self.graph_inputs:
            dim = v.type.tensor_type.shape.dim[self._rows_axis(v, v.type.tensor_type.shape.dim)]
            if dim.HasField("dim_value"):
                return dim.dim_value
        return None

    def build(self, last):
        self.b = Builder(self._precision(), last)
        self.values = dict(self.constants)
        for v in self.graph_inputs:
            self.values[v.name] = self._input(v)
        for node in self._needed():
            self._place(node)
        found = [self.values[name] for name in self.outputs]
        for name, t in zip(self.outputs, found):
            if not isinstance(t, Tensor):
                raise UnsupportedError(f"output {name!r} does not depend on the inputs")
        return self.b.network(found), self.b.n_permute

    def _input(self, v):
        if not v.type.HasField("tensor_type") or not v.type.tensor_type.HasField("shape"):
            raise UnsupportedError(f"input {v.name!r} has no shape; supported are tensors of known shape")
        if v.type.tensor_type.elem_type not in (self.onnx.TensorProto.FLOAT, self.onnx.TensorProto.DOUBLE):
            kind = self.onnx.TensorProto.DataType.Name(v.type.tensor_type.elem_type)
            raise UnsupportedError(f"input {v.name!r} has type {kind}; supported are FLOAT and DOUBLE")
        shape = [d.dim_value if d.HasField("dim_value") else 0 for d in v.type.tensor_type.shape.dim]
        if not shape:
            raise UnsupportedError(f"input {v.name!r} is a single number; expected rows")
        rows = self._rows_axis(v, shape)
        if any(n < 1 for a, n in enumerate(shape) if a != rows):
            raise UnsupportedError(
                f"input {v.name!r}: only the number of rows may be unknown, got shape "
                f"{[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]}"
            )
        shape[rows] = BATCH
        return self.b.input(shape)

    def _rows_axis(self, v, shape):
        """Axis of the rows: the first, but the second of a recurrent layer's input with time first."""
        for user in self.users.get(v.name, ()):
            if (
                user is not None
                and user.op in ("LSTM", "GRU")
                and user.inputs[0] == v.name
                and len(shape) == 3
            ):
                return 0 if user._attributes.get("layout", 0) else 1
        return 0

    def _needed(self):
        """Nodes that the outputs depend on, in order, patterns of several nodes replaced by one."""
        self.patterns = {}
        for node in self.nodes:
            for find in (self._gelu, self._swish, self._layer_norm):
                found = find(node)
                if found:
                    self.patterns[id(node)] = found
                    break
        wanted, stack = set(), list(self.outputs)
        while stack:
            node = self.made.get(stack.pop())
            if node is None or id(node) in wanted:
                continue
            wanted.add(id(node))
            stack.extend(
                [self.patterns[id(node)][1]] if id(node) in self.patterns else [n for n in node.inputs if n]
            )
        return [n for n in self.nodes if id(n) in wanted]

    # ------------------------------------------------------------------------------ patterns of several nodes

    def _number(self, name):
        """The single constant number of a name, None otherwise."""
        value = self.constants.get(name)
        if value is None and name in self.made and self.made[name].op == "Constant":
            value = self._constant(self.made[name])
        return float(value.ravel()[0]) if value is not None and np.size(value) == 1 else None

    def _factor(self, name, number):
        """x of a node x * number or x / (1 / number) that makes name, None otherwise."""
        node = self.made.get(name)
        if node is None or node.op not in ("Mul", "Div"):
            return None
        for x, c in (node.inputs, node.inputs[::-1]):
            value = self._number(c)
            if value is not None and (node.op == "Mul" or c == node.inputs[1]):
                value = value if node.op == "Mul" else 1 / value if value else 0
                if abs(value - number) <= _GELU_PARTS * number:
                    return x
        return None

    def _gelu(self, node):
        """x (1 + erf(x / sqrt 2)) / 2, as exporters write it before opset 20, in any order of the
        products."""
        if node.op != "Mul":
            return None

        def factors(name):
            inner = self.made.get(name)
            return (
                [f for n in inner.inputs for f in factors(n)]
                if inner is not None and inner.op == "Mul" and (len(self.users[name]) == 1)
                else [name]
            )

        parts = [f for n in node.inputs for f in factors(n)]
        numbers = [n for n in parts if self._number(n) is not None]
        others = [n for n in parts if self._number(n) is None]
        if len(others) != 2 or len(numbers) != 1 or abs(self._number(numbers[0]) - 0.5) > 1e-6:
            return None
        for x, one_plus in (others, others[::-1]):
            add = self.made.get(one_plus)
            if add is None or add.op != "Add":
                continue
            for e, c in (add.inputs, add.inputs[::-1]):
                erf = self.made.get(e)
                if (
                    erf is not None
                    and erf.op == "Erf"
                    and self._number(c) == 1
                    and (self._factor(erf.inputs[0], math.sqrt(0.5)) == x)
                ):
                    return "gelu", x
        return None

    def _swish(self, node):
        """x sigmoid(x)."""
        if node.op != "Mul" or len(node.inputs) != 2:
            return None
        for x, s in (node.inputs, node.inputs[::-1]):
            if s in self.made and self.made[s].op == "Sigmoid" and self.made[s].inputs[0] == x:
                return "swish", x
        return None

    def _layer_norm(self, node):
        """(x - mean) / sqrt(mean((x - mean)^2) + epsilon), as exporters write it before opset 17."""

        def maker(name, op):
            found = self.made.get(name)
            return found if found is not None and found.op == op else None

        root = maker(node.inputs[1], "Sqrt") if node.op == "Div" else None
        total = maker(root.inputs[0], "Add") if root else None
        if total is None:
            return None
        for variance, epsilon in (total.inputs, total.inputs[::-1]):
            mean = maker(variance, "ReduceMean")
            power = maker(mean.inputs[0], "Pow") if mean and self._number(epsilon) is not None else None
            if power is None or self._number(power.inputs[1]) != 2 or power.inputs[0] != node.inputs[0]:
                continue
            from_mean = maker(node.inputs[0], "Sub")
            first = maker(from_mean.inputs[1], "ReduceMean") if from_mean else None
            if first and first.inputs[0] == from_mean.inputs[0] and self._axes(first) == self._axes(mean):
                return "layer_norm", from_mean.inputs[0], self._number(epsilon), self._axes(first)
        return None

    def _axes(self, node):
        """Constant axes of a reduction."""
        if len(node.inputs) > 1:
            value = self.constants.get(node.inputs[1])
            if value is None and node.inputs[1] in self.made and self.made[node.inputs[1]].op == "Constant":
                value = self._constant(self.made[node.inputs[1]])
            return None if value is None else [int(a) for a in np.ravel(value)]
        return list(node._attributes.get("axes", []))

    # ----------------------------------------------------------------------------------------------- placing

    def _place(self, node):
        try:
            results = self._results(node)
        except UnsupportedError as error:
            if str(error).startswith("node "):
                raise
            raise UnsupportedError(f"node {node.name!r} ({node.op}): {error}") from None
        for name, value in zip(node.outputs, results):
            self.values[name] = value
        for name in node.outputs[len(results) :]:
            if name and name in self.users:
                raise UnsupportedError(
                    f"node {node.name!r} ({node.op}): its output {name!r} is not supported"
                )

    def _results(self, node):
        if id(node) in self.patterns:
            kind, x, *rest = self.patterns[id(node)]
            x = _value(self.values[x])
            if kind != "layer_norm":
                return [self.b.activation(x, kind)]
            axes = sorted(a % len(x.shape) for a in rest[1] or ())
            if axes != list(range(len(x.shape) - len(axes), len(x.shape))):
                raise UnsupportedError(
                    f"normalisation over axes {axes} of a value of shape {x.shown()}; supported are the last"
                )
            return [self.b.layer_norm(x, len(axes), None, None, rest[0])]
        for name in node.inputs:
            if name and name not in self.values:
                raise _core.FileFormatError(
                    f"node {node.name!r} ({node.op}): its input {name!r} is not made before it"
                )
        inputs = [self.values[name] if name else None for name in node.inputs]
        if node.op != "Constant" and not any(isinstance(x, Tensor) for x in inputs):
            return self._folded(node, inputs)
        function = OPERATORS.get(node.op)
        if function is None or not _available(function):
            raise UnsupportedError(
                "operator not supported; supported are " + ", ".join(supported_operators())
            )
        results = function(self, node, *inputs)
        node.check_all_seen()
        return results if isinstance(results, list) else [results]

    def _folded(self, node, inputs):
        """Result of a node whose inputs are constants."""
        if node.op in (
            "ConstantOfShape",
            "Expand",
        ):  # start values of recurrent layers, by the number of rows
            at = 0 if node.op == "ConstantOfShape" else 1
            inputs[at] = np.where(inputs[at] == BATCH, 1, inputs[at])
            if np.prod(inputs[at], dtype=np.float64) > 2**28:
                raise UnsupportedError(f"a constant of shape {inputs[at].tolist()}")
        from onnx.reference import ReferenceEvaluator

        named = {name: x for name, x in zip(node.inputs, inputs) if name}
        graph = self.onnx.helper.make_graph(
            [node.proto],
            "constant",
            [
                self.onnx.helper.make_tensor_value_info(
                    n, self.onnx.helper.np_dtype_to_tensor_dtype(x.dtype), list(x.shape)
                )
                for n, x in named.items()
            ],
            [self.onnx.ValueInfoProto(name=n) for n in node.outputs if n],
        )
        model = self.onnx.helper.make_model(
            graph, opset_imports=[self.onnx.helper.make_opsetid("", self.opset)]
        )
        try:
            return [np.asarray(v) for v in ReferenceEvaluator(model).run(None, named)]
        except Exception as error:
            raise UnsupportedError(f"its constants cannot be evaluated: {_first_line(error)}") from error

    def _constant(self, node):
        for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
            value = node.get(name)
            if value is None:
                continue
            if name == "value":
                return self._array(value)
            return np.asarray(value, dtype=np.float32 if "float" in name else np.int64)
        raise UnsupportedError("a constant that is neither a tensor nor numbers")


# -------------------------------------------------------------------------------------------------- operators

OPERATORS = {}


def _operator(*names, needs=(), activations=()):
    def register(function):
        function.needs, function.activations = tuple(needs), tuple(activations)
        for name in names:
            OPERATORS[name] = function
        return function

    return register


def _fixed(value, what):
    """A constant input."""
    if value is None or isinstance(value, Tensor):
        raise UnsupportedError(f"{what} is computed by the graph; it must be a constant")
    return np.asarray(value)


def _value(value, what="its first input"):
    if not isinstance(value, Tensor):
        raise UnsupportedError(f"{what} is a constant; it must depend on the inputs of the graph")
    return value


def _integers(value, what):
    return [int(v) for v in np.ravel(_fixed(value, what))]


@_operator("Gemm")
def _gemm(g, node, a, b, c=None):
    """A computed, B and C constant, transA = 0"""
    node.expect("transA", 0)
    weight = _fixed(b, "B")
    weight = weight.T if node.get("transB", 0) else weight
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    if c is not None:
        c = np.broadcast_to(_fixed(c, "C"), np.broadcast_shapes(np.shape(c), (1, weight.shape[1])))
        if c.shape[0] != 1:
            raise UnsupportedError(f"C of shape {c.shape} differs from row to row")
        c = c[0] * np.asarray(beta, c.dtype) if beta != 1 else c[0]
    return g.b.dense(_value(a, "A"), weight * np.asarray(alpha, weight.dtype) if alpha != 1 else weight, c)


@_operator("MatMul")
def _matmul(g, node, a, b):
    """one side computed, the other a constant matrix on its right"""
    weight = _fixed(b, "B")
    if weight.ndim != 2:
        raise UnsupportedError(f"B of shape {weight.shape}; expected a matrix")
    return g.b.dense(_value(a, "A"), weight)


@_operator("Add", "Sub")
def _add(g, node, a, b):
    """two computed values of equal shape, or a constant that is the same for all rows"""
    minus = node.op == "Sub"
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape:
            raise UnsupportedError(
                f"values of shapes {a.shown()} and {b.shown()}; computed values must have equal shapes"
            )
        return g.b.join([a, g.b.affine(b, scale=-1) if minus else b], "add", "the sum")
    if isinstance(a, Tensor):
        return g.b.affine(a, shift=-b if minus else b)
    return g.b.affine(b, scale=-1 if minus else None, shift=a)


@_operator("Mul", "Div")
def _mul(g, node, a, b):
    """Mul: two computed values of equal shape or one with a single channel; both: by a constant that is the
    same for all rows"""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if node.op == "Div":
            raise UnsupportedError("a quotient of two computed values")
        if "multiply" not in TABLE:
            raise UnsupportedError("a product of two computed values")
        return g.b.product(a, b)
    if node.op == "Div":
        if not isinstance(a, Tensor):
            raise UnsupportedError("a quotient with a computed divisor")
        return g.b.affine(a, scale=1 / b)
    t, c = (a, b) if isinstance(a, Tensor) else (b, a)
    return g.b.affine(t, scale=c)


@_operator("Neg")
def _neg(g, node, x):
    """any"""
    return g.b.affine(x, scale=-1)


@_operator("Sum")
def _sum(g, node, *inputs):
    """computed values of equal shape"""
    return (
        g.b.join([_value(x, "an input") for x in inputs], "add", "the sum") if len(inputs) > 1 else inputs[0]
    )


def _function(name, kind, doc="any", parameter=None):
    def place(g, node, x):
        value = None if parameter is None else node.get(*parameter)
        return g.b.activation(x, kind, value)

    place.__doc__ = doc
    _operator(name, activations=[kind])(place)


_function("Relu", "relu")
_function("LeakyRelu", "leaky_relu", "alpha >= 0", ("alpha", 0.01))
_function("Elu", "elu", "alpha >= 0", ("alpha", 1.0))
_function("Softsign", "softsign")
_function("Tanh", "tanh")
_function("Sigmoid", "sigmoid")
_function("Softplus", "softplus")
_function("HardSwish", "hard_swish")


@_operator("Exp", needs=["positive"])
def _exp(g, node, x):
    """any"""
    return g.b.exp(x)


@_operator("Swish")
def _swish(g, node, x):
    """alpha = 1"""
    node.expect("alpha", 1.0)
    return g.b.activation(x, "swish")


@_operator("Gelu")
def _gelu(g, node, x):
    """approximate = "none"; before opset 20 as the product x (1 + Erf(x / sqrt 2)) / 2"""
    node.expect("approximate", "none")
    return g.b.activation(x, "gelu")


@_operator("PRelu")
def _prelu(g, node, x, slope):
    """one constant slope >= 0 for all channels"""
    slope = np.unique(_fixed(slope, "slope"))
    if slope.size != 1:
        raise UnsupportedError("slopes that differ between channels")
    return g.b.activation(x, "leaky_relu", float(slope[0]))


@_operator("Identity", "Cast", "Dropout")
def _same(g, node, x, *rest):
    """passed through; Cast to FLOAT and DOUBLE only, Dropout as in inference"""
    if node.op == "Cast" and node.get("to") not in (g.onnx.TensorProto.FLOAT, g.onnx.TensorProto.DOUBLE):
        raise UnsupportedError("a cast of computed values to a type other than FLOAT and DOUBLE")
    for name in ("ratio", "seed", "saturate", "round_mode"):
        node.get(name)
    if len(rest) > 1 and rest[1] is not None and np.any(_fixed(rest[1], "training_mode")):
        raise UnsupportedError("training_mode is on")
    return x


@_operator("Constant")
def _constant(g, node):
    """tensors and numbers"""
    return g._constant(node)


@_operator("ConstantOfShape", "Expand", "Range")
def _only_constant(g, node, *inputs):
    """of constants; the number of rows counts as 1"""
    raise UnsupportedError("a computed value; supported are constants")


@_operator("Squeeze", "Unsqueeze")
def _squeeze(g, node, x, axes=None):
    """constant axes"""
    if axes is None:
        axes = node.get("axes")
        if axes is None:
            axes = [a for a, n in enumerate(x.shape) if n == 1]
    axes = _integers(axes, "axes")
    return g.b.squeeze(x, axes) if node.op == "Squeeze" else g.b.unsqueeze(x, axes)


@_operator("Shape")
def _shape(g, node, x):
    """to be used by Reshape and the like; the number of rows stays open"""
    shape = np.array(x.shape, np.int64)
    return shape[slice(node.get("start", 0), node.get("end", None))]


@_operator("Flatten")
def _flatten(g, node, x):
    """axis = 1"""
    axis = node.get("axis", 1)
    if axis % len(x.shape) != 1 or x.rows != 0:
        raise UnsupportedError(
            f"axis {axis} of a value of shape {x.shown()}; supported is axis 1, the rows being axis 0"
        )
    return g.b.flatten(x)


@_operator("Reshape")
def _reshape(g, node, x, shape=None):
    """constant shape, rows stay rows"""
    zero = not node.get("allowzero", 0)
    wanted = _integers(node.get("shape") if shape is None else shape, "shape")
    fixed = g.fixed_rows()
    wanted = [x.shape[i] if n == 0 and zero and i < len(x.shape) else n for i, n in enumerate(wanted)]
    if BATCH not in wanted and fixed is not None and fixed in wanted:
        known = math.prod(n for n in wanted if n not in (-1,))
        if -1 in wanted or known == fixed * x.size:
            wanted[wanted.index(fixed)] = BATCH
    return g.b.reshape(x, wanted)


@_operator("Transpose")
def _transpose(g, node, x):
    """any"""
    return g.b.transpose(x, node.get("perm") or list(range(len(x.shape)))[::-1])


@_operator("Concat")
def _concat(g, node, *inputs):
    """computed values, not along the rows"""
    return g.b.concatenate([_value(x, "an input") for x in inputs], node.get("axis"))


@_operator("Split")
def _split(g, node, x, parts=None):
    """constant sizes, not along the rows"""
    axis = node.get("axis", 0) % len(x.shape)
    parts = node.get("split") if parts is None else parts
    node.get("num_outputs")
    if parts is None:
        n, k = x.shape[axis], len(node.outputs)
        parts = [min(-(-n // k), n - i * -(-n // k)) for i in range(k)]
    ends = np.cumsum(_integers(parts, "split"))
    return [g.b.slice(x, axis, int(e - p), int(e)) for p, e in zip(np.diff([0, *ends]), ends)]


@_operator("Slice")
def _slice(g, node, x, starts=None, ends=None, axes=None, steps=None):
    """constant bounds, step 1, not along the rows"""
    starts = _integers(node.get("starts") if starts is None else starts, "starts")
    ends = _integers(node.get("ends") if ends is None else ends, "ends")
    axes = node.get("axes") if axes is None else axes
    axes = list(range(len(starts))) if axes is None else _integers(axes, "axes")
    if steps is not None and any(s != 1 for s in _integers(steps, "steps")):
        raise UnsupportedError("steps other than 1")
    for a, s, e in zip(axes, starts, ends):
        whole = a % len(x.shape) == x.rows and s == 0 and e >= 2**31 - 1
        x = x if whole else g.b.slice(x, a, s, e)
    return x


@_operator("Gather")
def _gather(g, node, x, indices):
    """one constant index, or neighbouring ones, not along the rows"""
    if not isinstance(x, Tensor):
        raise UnsupportedError("computed indices")
    axis, indices = node.get("axis", 0) % len(x.shape), _fixed(indices, "indices")
    flat = [int(i) % x.shape[axis] if x.shape[axis] != BATCH else int(i) for i in indices.ravel()]
    if not flat or flat != list(range(flat[0], flat[0] + len(flat))) or indices.ndim > 1:
        raise UnsupportedError(f"indices {flat[:8]}; supported are one index or neighbouring ones in order")
    x = g.b.slice(x, axis, flat[0], flat[-1] + 1)
    return g.b.squeeze(x, [axis]) if indices.ndim == 0 else x


# --------------------------------------------------------------------------------------------- fields of ONNX


def _pads(node, kernel, stride, dilation, sizes):
    """Positions added before and after each dimension."""
    auto, rank = node.expect("auto_pad", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"), len(kernel)
    pads = [int(p) for p in node.get("pads", [0] * 2 * rank)]
    if auto == "NOTSET":
        return pads[:rank], pads[rank:]
    if auto == "VALID":
        return [0] * rank, [0] * rank
    total = [
        max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        for n, k, s, d in zip(sizes, kernel, stride, dilation)
    ]
    low, high = [p // 2 for p in total], [p - p // 2 for p in total]
    return (low, high) if auto == "SAME_UPPER" else (high, low)


def _sizes(x, what):
    if len(x.shape) < 3 or x.rows != 0:
        raise UnsupportedError(f"{what} of a value of shape {x.shown()}; expected (N, channels, ...)")
    return x.shape[2:]


@_operator("Conv", needs=["conv"])
def _conv(g, node, x, weight, bias=None):
    """1 to 3 dimensions, constant weight; strides, dilations, groups, any padding with zeros"""
    sizes, weight = _sizes(_value(x, "X"), "a convolution"), _fixed(weight, "W")
    kernel = list(node.get("kernel_shape", weight.shape[2:]))
    stride, dilation = (list(node.get(k, [1] * len(kernel))) for k in ("strides", "dilations"))
    if list(weight.shape[2:]) != kernel or len(kernel) != len(sizes):
        raise UnsupportedError(
            f"W of shape {weight.shape} with a kernel of {kernel} for a value of shape {x.shown()}"
        )
    before, after = _pads(node, kernel, stride, dilation, sizes)
    weight = np.moveaxis(weight, (1, 0), (-2, -1))
    return g.b.conv(
        x,
        1,
        weight,
        None if bias is None else _fixed(bias, "B"),
        stride=stride,
        before=before,
        after=after,
        dilation=dilation,
        groups=node.get("group", 1),
    )


@_operator("MaxPool", "AveragePool", needs=["max_pool", "average_pool"])
def _pool(g, node, x):
    """1 to 3 dimensions, dilations = 1; uneven padding of AveragePool only with count_include_pad = 1"""
    sizes, kernel = _sizes(_value(x), "pooling"), list(node.get("kernel_shape"))
    stride = list(node.get("strides", [1] * len(kernel)))
    if any(d != 1 for d in node.get("dilations", [1])):
        raise UnsupportedError("dilations other than 1")
    node.expect("storage_order", 0)
    before, after = _pads(node, kernel, stride, [1] * len(kernel), sizes)
    return g.b.pool(
        x,
        1,
        "max" if node.op == "MaxPool" else "average",
        kernel,
        stride=stride,
        before=before,
        after=after,
        count_outside=bool(node.get("count_include_pad", 0)),
        whole=not node.get("ceil_mode", 0),
    )


@_operator("GlobalAveragePool", "GlobalMaxPool", needs=["global_pool"])
def _global_pool(g, node, x):
    """any"""
    _sizes(_value(x), "pooling")
    return g.b.global_pool(x, 1, "max" if node.op == "GlobalMaxPool" else "average")


@_operator("ReduceMean", "ReduceMax", needs=["global_pool"])
def _reduce(g, node, x, axes=None):
    """over all axes but the rows and one, the channels"""
    axes = node.get("axes") if axes is None else axes
    keep = node.get("keepdims", 1)
    node.get("noop_with_empty_axes")
    axes = sorted(a % len(x.shape) for a in _integers(axes, "axes")) if axes is not None else []
    left = [a for a in range(len(x.shape)) if a not in axes]
    if len(left) != 2 or left[0] != 0 or x.rows != 0 or not axes:
        raise UnsupportedError(
            f"over axes {axes} of a value of shape {x.shown()}; one axis beside the rows must be left"
        )
    kind = "max" if node.op == "ReduceMax" else "average"
    pooled = g.b.global_pool(x, left[1], kind)
    return pooled if keep else g.b.squeeze(pooled, axes)


@_operator("Pad", needs=["pad"])
def _pad(g, node, x, pads=None, value=None, axes=None):
    """constant zeros, reflect, edge, wrap; along any axes but that of the rows"""
    mode = {"constant": "zero", "reflect": "reflect", "edge": "replicate", "wrap": "periodic"}
    mode = mode[node.expect("mode", "constant", "reflect", "edge", "wrap")]
    pads = _integers(node.get("pads") if pads is None else pads, "pads")
    value = node.get("value", 0.0) if value is None else float(np.ravel(_fixed(value, "the value"))[0])
    if mode == "zero" and value != 0:
        raise UnsupportedError(f"padding with {value}; supported is 0")
    rank = len(x.shape)
    axes = list(range(rank)) if axes is None else [a % rank for a in _integers(axes, "axes")]
    before, after = [0] * rank, [0] * rank
    for i, a in enumerate(axes):
        before[a], after[a] = pads[i], pads[i + len(axes)]
    if not any(before) and not any(after):
        return x
    return g.b.pad_axes(x, before, after, mode)


@_operator("Upsample", "Resize", needs=["upsample"])
def _resize(g, node, x, *rest):
    """whole factors; nearest, or linear between the centres of cells (half_pixel)"""
    sizes = _sizes(x, "upsampling")
    rank = len(x.shape)
    if node.op == "Upsample" or g.opset < 11:
        scales, wanted = (rest[0] if rest else node.get("scales")), None
        transform = (
            "half_pixel" if node.op == "Resize" or node.get("mode", "nearest") == "nearest" else "asymmetric"
        )
        if node.get("mode", "nearest") != "nearest":
            raise UnsupportedError(f"mode {node.get('mode')} before opset 11; supported is nearest")
    else:
        rest = [*rest, None, None, None][:3]
        scales, wanted = rest[1], rest[2]
        transform = node.get("coordinate_transformation_mode", "half_pixel")
    mode = node.expect("mode", "nearest", "linear")
    node.expect("antialias", 0)
    node.expect("axes", None)
    for name in ("cubic_coeff_a", "exclude_outside", "extrapolation_value", "keep_aspect_ratio_policy"):
        node.get(name)
    if wanted is not None and np.size(wanted):
        wanted = _integers(wanted, "sizes")
        factors = [w / n for w, n in zip(wanted[2:], sizes)]
        if wanted[1] != x.shape[1]:
            raise UnsupportedError(f"sizes {wanted} of a value of shape {x.shown()}")
    else:
        factors = [float(s) for s in np.ravel(_fixed(scales, "scales"))]
        if len(factors) != rank or factors[:2] != [1, 1]:
            raise UnsupportedError(f"scales {factors} of a value of shape {x.shown()}")
        factors = factors[2:]
    if any(f < 1 or f != round(f) for f in factors):
        raise UnsupportedError(f"factors {factors}; supported are whole numbers")
    factors = [round(f) for f in factors]
    if mode == "nearest":
        rounding = node.get("nearest_mode", "round_prefer_floor")
        # copies of each position: the left edge of an output rounded down, or its centre rounded to the
        # nearest one
        fits = (
            (transform, rounding) == ("asymmetric", "floor")
            or transform in ("half_pixel", "pytorch_half_pixel")
            and (rounding in ("round_prefer_floor", "round_prefer_ceil"))
        )
        if node.op == "Resize" and g.opset >= 11 and not fits and any(f > 1 for f in factors):
            raise UnsupportedError(
                f"nearest with {transform} and {rounding}; supported are asymmetric with floor, half_pixel"
            )
    node.get("nearest_mode")
    if mode == "linear" and transform not in ("half_pixel", "pytorch_half_pixel"):
        raise UnsupportedError(f"linear with {transform}; supported is half_pixel")
    return g.b.upsample(x, 1, factors, mode)


# ---------------------------------------------------------------------------------- normalisation, recurrence


@_operator("BatchNormalization", needs=["batch_norm"])
def _batch_norm(g, node, x, scale, shift, mean, variance):
    """as in inference"""
    node.expect("training_mode", 0)
    node.expect("spatial", 1)
    momentum = 1 - node.get("momentum", 0.9)
    arrays = [_fixed(v, "a statistic") for v in (scale, shift, mean, variance)]
    return g.b.batch_norm(x, 1, *arrays, node.get("epsilon", 1e-5), min(1.0, max(1e-6, momentum)))


@_operator("LayerNormalization", needs=["layer_norm"])
def _layer_norm(g, node, x, scale, shift=None):
    """over the last axis, or over all axes but the rows"""
    node.get("stash_type")
    axis = node.get("axis", -1) % len(x.shape)
    return g.b.layer_norm(
        x,
        len(x.shape) - axis,
        _fixed(scale, "Scale"),
        None if shift is None else _fixed(shift, "B"),
        node.get("epsilon", 1e-5),
    )


@_operator("Softmax", needs=["softmax"])
def _softmax(g, node, x):
    """along any axis but that of the rows; before opset 13 along the last"""
    axis = node.get("axis", -1 if g.opset >= 13 else 1) % len(x.shape)
    if g.opset < 13 and axis != len(x.shape) - 1:
        raise UnsupportedError(f"axis {axis} of a value of shape {x.shown()} before opset 13")
    return g.b.softmax(x, axis)


@_operator("LSTM", "GRU", needs=["lstm", "gru"])
def _recurrent(
    g, node, x, weight, recurrent, bias=None, lengths=None, start=None, start_c=None, peephole=None
):
    """default activations, start values 0, all rows of one length; GRU: linear_before_reset = 1; outputs Y
    and Y_h"""
    weight, recurrent = _fixed(weight, "W"), _fixed(recurrent, "R")
    n, kinds = recurrent.shape[-1], {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    directions = kinds[node.expect("direction", *kinds)]
    standard = ["Sigmoid", "Tanh", "Tanh"] if node.op == "LSTM" else ["Sigmoid", "Tanh"]
    given = [
        a.decode() if isinstance(a, bytes) else a for a in node.get("activations", standard * len(directions))
    ]
    if given != standard * len(directions):
        raise UnsupportedError(f"activations {given}; supported are {standard}")
    node.get("hidden_size")
    if node.get("clip") is not None:
        raise UnsupportedError("attribute clip is not supported")
    node.expect("input_forget", 0)
    for name in ("activation_alpha", "activation_beta"):
        if node.get(name):
            raise UnsupportedError(f"attribute {name} is not supported")
    if node.op == "GRU":
        if node.get("linear_before_reset", 0) != 1:
            raise UnsupportedError("attribute linear_before_reset = 0; supported: 1")
    layout = node.get("layout", 0)
    for value, what in ((start, "initial_h"), (start_c, "initial_c"), (peephole, "P")):
        if value is not None and np.any(_fixed(value, what)):
            raise UnsupportedError(f"{what} other than 0")
    steps = 1 if layout else 0
    if lengths is not None and any(
        v not in (x.shape[steps], BATCH) for v in np.ravel(_fixed(lengths, "sequence_lens"))
    ):
        raise UnsupportedError("sequence_lens shorter than the input")
    bias = np.zeros((len(weight), 2 * weight.shape[1])) if bias is None else _fixed(bias, "B")
    # gates of ONNX: i, o, f, c and z, r, h; here: i, f, g, o and r, z, n
    order = [0, 2, 3, 1] if node.op == "LSTM" else [1, 0, 2]

    def parameters(d):
        w, r = (np.concatenate([m[d][k * n : (k + 1) * n] for k in order]).T for m in (weight, recurrent))
        b, c = (np.concatenate([h[k * n : (k + 1) * n] for k in order]) for h in np.split(bias[d], 2))
        if node.op == "LSTM":
            return {"weight": w, "recurrent_weight": r, "bias": b + c}
        return {"weight": w, "recurrent_weight": r, "bias": b, "recurrent_bias": c}

    x = g.b.settled(_value(x, "X"))
    t = x.shape[steps]
    used = [bool(name) and name in g.users for name in (*node.outputs, "", "", "")[:3]]
    if used[2]:
        raise UnsupportedError("its output Y_c is not supported")

    def run(output):
        nodes = [
            g.b.recurrent(x, node.op.lower(), steps, 2, parameters(d), output=output, reverse=r)
            for d, r in enumerate(directions)
        ]
        return nodes[0] if len(nodes) == 1 else Node("concatenate", nodes)

    d = len(directions)
    results = [None, None]
    if used[0]:
        whole = run("sequence")
        if d > 1:
            whole = g.b.reshaped(whole, t, d, n)
        shape, axes = [0] * 4, (
            (0, 1, 2, 3) if layout else (2, 0, 1, 3)
        )  # layout: (N, T, D, H), else (T, D, N, H)
        for a, size in zip(axes, (BATCH, t, d, n)):
            shape[a] = size
        results[0] = Tensor(whole, shape, axes if d > 1 else (axes[0], axes[1], axes[3]))
    if used[1]:
        last = run("last")
        if d > 1:
            last = g.b.reshaped(last, d, n)
        axes = (0, 1, 2) if layout else (1, 0, 2)
        shape = [0] * 3
        for a, size in zip(axes, (BATCH, d, n)):
            shape[a] = size
        results[1] = Tensor(last, shape, axes if d > 1 else (axes[0], axes[2]))
    return results
