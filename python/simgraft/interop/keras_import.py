"""Networks from Keras files, read without Keras."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np

from simgraft import _core
from simgraft.interop._builder import BATCH, TABLE, Builder, Node, Tensor, UnsupportedError

LAYERS = {}  # class name of a layer -> function of (builder, values, config, arrays)


def _layer(*names, needs=(), n_inputs=1):
    def register(function):
        function.needs, function.n_inputs = tuple(needs), n_inputs
        LAYERS.update((name, function) for name in names)
        return function

    return register


def _available(function):
    return all(op in TABLE for op in function.needs)


def supported_layers():
    """Layers of Keras that :func:`from_keras` reads, with what is asked of them.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> "Dense" in supported_layers()
    True
    """
    return {
        name: " ".join(function.__doc__.split())
        for name, function in sorted(LAYERS.items())
        if _available(function)
    }


def from_keras(path):
    """Network of a Keras model file, ``.keras`` (Keras 3) or ``.h5``.

    Parameters
    ----------
    path : path-like
        Of a Sequential or Functional model; neither Keras nor TensorFlow is needed.

    Returns
    -------
    Network
        In the precision of the model's weights, with the numbers the model predicts. Rows are flattened as
        Keras has them, channels last.

    Raises
    ------
    ImportError
        Without the package h5py: ``pip install simgraft[interop]``.
    FileNotFoundError, simgraft.FileFormatError
        If the file is missing, damaged, or no Keras model.
    UnsupportedError
        A ValueError: a layer or option that has no counterpart here, by name; see :func:`supported_layers`.

    Examples
    --------
    >>> from simgraft import interop
    >>> interop.from_keras("model.keras")                                                 # doctest: +SKIP
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            "reading Keras files needs the package h5py: pip install simgraft[interop]"
        ) from error
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        if zipfile.is_zipfile(path):
            config, weights = _read_zip(path, h5py)
        else:
            config, weights = _read_h5(path, h5py)
        model = _Model(path, config, weights)
    except (UnsupportedError, _core.FileFormatError):
        raise
    except Exception as error:  # zip, JSON and HDF5 raise many kinds
        raise _core.FileFormatError(
            f"{path}: cannot be read as a Keras model: {_first_line(error)}"
        ) from error
    return model.network()


def _first_line(error):
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:200]}" if text else type(error).__name__


def _read_zip(path, h5py):
    """Config and arrays by layer of a .keras file."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r")
    with file:
        group = file.get("layers", file.get("_layer_checkpoint_dependencies"))
        used, weights = {}, {}
        for layer in config["config"]["layers"]:
            name = _snake_case(layer["class_name"])  # groups are named after classes, not after layers
            n = used[name] = used.get(name, -1) + 1
            inside = group.get(f"{name}_{n}" if n else name) if group is not None else None
            weights[layer["config"]["name"]] = {} if inside is None else _arrays(inside, h5py)
    return config, weights


def _snake_case(name):
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _arrays(group, h5py):
    """Arrays of the group and those inside it by path without "vars", in order."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            parts = [p for p in name.split("/")[:-1] if p != "vars"]
            found.setdefault("/".join(parts), []).append((int(name.rsplit("/", 1)[1]), item[()]))

    group.visititems(visit)
    return {key: [value for _, value in sorted(items, key=lambda i: i[0])] for key, items in found.items()}


def _read_h5(path, h5py):
    """Config and arrays by layer of an .h5 file."""
    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise _core.FileFormatError(
                f"{path}: has no model_config; weights alone do not say what the model is"
            )
        config, weights = json.loads(file.attrs["model_config"]), {}
        for name, group in file["model_weights"].items():
            names = [n.decode() if isinstance(n, bytes) else n for n in group.attrs.get("weight_names", [])]
            parts = {}
            for n in names:
                direction = next((d for d in ("forward", "backward") if re.search(rf"(^|/){d}_", n)), "")
                parts.setdefault(f"{direction}_layer/cell" if direction else "", []).append(group[n][()])
            weights[name] = parts
    return config, weights


class _Model:
    """Layers in order, each with the numbers of the layers before it."""

    def __init__(self, path, config, weights):
        self.path, self.weights = path, weights
        if config["class_name"] not in ("Sequential", "Functional", "Model"):
            raise UnsupportedError(
                f"{path}: a {config['class_name']} model; supported are Sequential and Functional"
            )
        config = config["config"]
        self.layers = [
            (entry["class_name"], entry["config"], entry.get("inbound_nodes", ()))
            for entry in config["layers"]
        ]
        names = [c["name"] for _, c, _ in self.layers]
        if "input_layers" in config:
            self.sources = {n: self._inbound(n, nodes) for n, (_, _, nodes) in zip(names, self.layers)}
            self.inputs, self.outputs = (self._ends(config[k]) for k in ("input_layers", "output_layers"))
        else:
            shape = config.get("build_input_shape")
            if self.layers[0][0] != "InputLayer":
                first = self.layers[0][1]
                shape = first.get("batch_input_shape") or first.get("batch_shape") or shape
                if shape is None:
                    raise UnsupportedError(f"{path}: the model was never built; its input has no shape")
                self.layers.insert(0, ("InputLayer", {"name": "<input>", "batch_shape": shape}, ()))
                names.insert(0, "<input>")
            self.sources = {n: [names[i - 1]] if i else [] for i, n in enumerate(names)}
            self.inputs, self.outputs = names[:1], names[-1:]

    @staticmethod
    def _ends(listed):
        listed = [listed] if listed and isinstance(listed[0], str) else listed
        if isinstance(listed, dict):
            listed = list(listed.values())
        return [entry[0] for entry in listed]

    def _inbound(self, name, nodes):
        """Names of the layers whose results a layer takes."""
        if not nodes:
            return []
        if len(nodes) > 1:
            raise UnsupportedError(f"layer {name!r}: is used {len(nodes)} times; supported is once")
        found = []

        def collect(entry):
            if isinstance(entry, dict) and entry.get("class_name") == "__keras_tensor__":
                found.append(entry["config"]["keras_history"][0])
            elif isinstance(entry, dict):
                for key, value in entry.items():
                    if key not in ("mask", "training"):
                        collect(value)
            elif isinstance(entry, list):
                if len(entry) in (3, 4) and isinstance(entry[0], str) and isinstance(entry[1], int):
                    found.append(entry[0])
                else:
                    for value in entry:
                        collect(value)

        collect(nodes[0]["args"] if isinstance(nodes[0], dict) else nodes[0])
        return found

    def network(self):
        kinds = {
            a.dtype
            for parts in self.weights.values()
            for arrays in parts.values()
            for a in arrays
            if a.dtype.kind == "f"
        }
        if not kinds <= {np.dtype("float32")} and kinds != {np.dtype("float64")}:
            raise UnsupportedError(
                f"{self.path}: weights of {', '.join(sorted(map(str, kinds)))}; supported are all float32 or "
                "float64"
            )
        b = Builder("float64" if kinds == {np.dtype("float64")} else "float32")
        values = {}
        config_of = {config["name"]: (kind, config) for kind, config, _ in self.layers}
        for name in [*self.inputs, *self._ordered()]:
            kind, config = config_of[name]
            try:
                values[name] = self._place(b, kind, config, [values[n] for n in self.sources[name]])
            except UnsupportedError as error:
                raise UnsupportedError(f"layer {name!r} ({kind}): {error}") from None
        return b.network([values[n] for n in self.outputs])

    def _ordered(self):
        """Names of the layers that the outputs depend on, sources first."""
        done, order, stack = set(self.inputs), [], [(n, False) for n in reversed(self.outputs)]
        while stack:
            name, ready = stack.pop()
            if name in done:
                continue
            if ready:
                done.add(name)
                order.append(name)
            else:
                if len(stack) > 100000 or name not in self.sources:
                    raise _core.FileFormatError(
                        f"{self.path}: the layers are not joined to a model at {name!r}"
                    )
                stack.append((name, True))
                stack.extend((n, False) for n in reversed(self.sources[name]))
        return order

    def _place(self, b, kind, config, inputs):
        if kind == "InputLayer":
            shape = config.get("batch_shape") or config.get("batch_input_shape")
            if shape is None or len(shape) < 2 or any(n is None for n in shape[1:]):
                raise UnsupportedError(f"shape {shape}; only the number of rows may be open")
            return b.input([BATCH, *map(int, shape[1:])])
        function = LAYERS.get(kind)
        if function is None or not _available(function):
            raise UnsupportedError("layer not supported; supported are " + ", ".join(supported_layers()))
        if config.get("data_format") not in (None, "channels_last"):
            raise UnsupportedError(f"data_format = {config['data_format']!r}; supported: 'channels_last'")
        if function.n_inputs == 1:
            if len(inputs) != 1:
                raise UnsupportedError(f"{len(inputs)} inputs; expected one")
            inputs = inputs[0]
        weights = _Weights(self.weights.get(config["name"], {}))
        return function(b, inputs, {**config, "<class>": kind}, weights)


class _Weights:
    """Arrays of a layer; a missing one is an error of the file."""

    def __init__(self, parts):
        self.parts = parts

    def of(self, *where):
        for key in where or ("",):
            if key in self.parts:
                return self.parts[key]
        return []

    def take(self, n, *where):
        found = self.of(*where)
        if len(found) != n:
            raise _core.FileFormatError(f"expected {n} arrays of a layer, the file has {len(found)}")
        return found


def _expect(config, **allowed):
    for name, values in allowed.items():
        if config.get(name, values[0]) not in values:
            raise UnsupportedError(f"{name} = {config[name]!r}; supported: {', '.join(map(repr, values))}")


# Activations of Keras by name: ours, and the parameter.
_ACTIVATIONS = {
    "linear": ("linear", None),
    "relu": ("relu", None),
    "leaky_relu": ("leaky_relu", 0.2),
    "elu": ("elu", 1.0),
    "softsign": ("softsign", None),
    "tanh": ("tanh", None),
    "sigmoid": ("sigmoid", None),
    "silu": ("swish", None),
    "swish": ("swish", None),
    "gelu": ("gelu", None),
    "softplus": ("softplus", None),
    "hard_silu": ("hard_swish", None),
    "hard_swish": ("hard_swish", None),
}


def _activate(b, t, activation):
    """The activation of a layer, as its configuration names it."""
    if isinstance(activation, dict):
        if activation.get("class_name") == "function":
            activation = activation["config"]
        else:
            function = LAYERS.get(activation.get("class_name"))
            if function is None or function.n_inputs != 1:
                raise UnsupportedError(f"activation {activation.get('class_name')}")
            return function(
                b, t, {**activation.get("config", {}), "<class>": activation["class_name"]}, _Weights({})
            )
    if activation in (None, "linear"):
        return t
    if activation == "softmax":
        return b.softmax(t, -1)
    if activation == "exponential":
        return b.exp(t)
    if activation not in _ACTIVATIONS:
        raise UnsupportedError(
            f"activation {activation!r}; supported are {', '.join(sorted(_ACTIVATIONS))}, exponential, "
            "softmax"
        )
    return b.activation(t, *_ACTIVATIONS[activation])


def _kind(c):
    """Class of the layer with this configuration."""
    return c["<class>"]


def _tuple(value, rank):
    value = tuple(value) if isinstance(value, (list, tuple)) else (value,) * rank
    if len(value) != rank:
        raise UnsupportedError(f"{value}; expected {rank} numbers")
    return tuple(int(v) for v in value)


# ----------------------------------------------------------------------------------------------------- layers


@_layer("Dense")
def _dense(b, t, c, w):
    """any activation listed below"""
    weight, *bias = w.take(2 if c.get("use_bias", True) else 1)
    return _activate(b, b.dense(t, weight, *bias), c.get("activation"))


@_layer("Activation")
def _activation(b, t, c, w):
    """linear, relu, leaky_relu, elu, softsign, tanh, sigmoid, silu, gelu, softplus, exponential, softmax"""
    return _activate(b, t, c["activation"])


@_layer("ReLU")
def _relu(b, t, c, w):
    """without max_value and threshold"""
    _expect(c, max_value=(None,), threshold=(0, 0.0))
    slope = float(np.ravel(c.get("negative_slope", 0.0))[0])
    return b.activation(t, "leaky_relu", slope) if slope else b.activation(t, "relu")


@_layer("LeakyReLU")
def _leaky_relu(b, t, c, w):
    """negative_slope >= 0"""
    return b.activation(t, "leaky_relu", float(np.ravel(c.get("negative_slope", c.get("alpha", 0.3)))[0]))


@_layer("ELU")
def _elu(b, t, c, w):
    """alpha >= 0"""
    return b.activation(t, "elu", float(np.ravel(c.get("alpha", 1.0))[0]))


@_layer("Softmax", needs=["softmax"])
def _softmax(b, t, c, w):
    """along any one axis but that of the rows"""
    axis = c.get("axis", -1)
    axis = axis if isinstance(axis, int) else axis[0] if len(axis) == 1 else None
    if axis is None:
        raise UnsupportedError(f"axis = {c['axis']}; supported is one axis")
    return b.softmax(t, axis)


@_layer(
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
)
def _same(b, t, c, w):
    """passed through, as in prediction"""
    return t


@_layer("Flatten")
def _flatten(b, t, c, w):
    """any"""
    return b.flatten(t)


@_layer("Reshape", needs=["reshape"])
def _reshape(b, t, c, w):
    """any"""
    return b.reshape(t, [BATCH, *c["target_shape"]])


@_layer("Permute")
def _permute(b, t, c, w):
    """any"""
    return b.transpose(t, [0, *c["dims"]])


def _conv(b, t, c, weight, bias, groups):
    rank = weight.ndim - 2
    stride, dilation = _tuple(c.get("strides", 1), rank), _tuple(c.get("dilation_rate", 1), rank)
    _expect(c, padding=("valid", "same", "causal"))
    before, after = [0] * rank, [0] * rank
    for i in range(rank):
        reach = (weight.shape[i] - 1) * dilation[i]
        if c.get("padding", "valid") == "same":
            n = t.shape[1 + i]
            total = max(0, (-(-n // stride[i]) - 1) * stride[i] + reach + 1 - n)
            before[i], after[i] = total // 2, total - total // 2
        elif c.get("padding") == "causal":
            before[i] = reach
    t = b.conv(
        t, -1, weight, bias, stride=stride, before=before, after=after, dilation=dilation, groups=groups
    )
    return _activate(b, t, c.get("activation"))


@_layer("Conv1D", "Conv2D", "Conv3D", needs=["conv"])
def _convolution(b, t, c, w):
    """any padding, strides, dilation_rate and groups"""
    weight, *bias = w.take(2 if c.get("use_bias", True) else 1)
    return _conv(b, t, c, weight, bias[0] if bias else None, int(c.get("groups", 1)))


@_layer("DepthwiseConv1D", "DepthwiseConv2D", needs=["conv"])
def _depthwise(b, t, c, w):
    """any padding, strides and dilation_rate"""
    weight, *bias = w.take(2 if c.get("use_bias", True) else 1)
    channels = weight.shape[-2]
    return _conv(b, t, c, weight.reshape(*weight.shape[:-2], 1, -1), bias[0] if bias else None, channels)


@_layer(
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    needs=["max_pool", "average_pool"],
)
def _pool(b, t, c, w):
    """any padding"""
    rank = len(t.shape) - 2
    size = _tuple(c["pool_size"], rank)
    stride = size if c.get("strides") is None else _tuple(c["strides"], rank)
    _expect(c, padding=("valid", "same"))
    before, after = [0] * rank, [0] * rank
    if c.get("padding") == "same":
        for i in range(rank):
            n = t.shape[1 + i]
            total = max(0, (-(-n // stride[i]) - 1) * stride[i] + size[i] - n)
            before[i], after[i] = total // 2, total - total // 2
    kind = "max" if "Max" in _kind(c) else "average"
    return b.pool(t, -1, kind, size, stride=stride, before=before, after=after)


@_layer(
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    needs=["global_pool"],
)
def _global_pool(b, t, c, w):
    """any"""
    pooled = b.global_pool(t, -1, "max" if "Max" in _kind(c) else "average")
    return pooled if c.get("keepdims") else b.squeeze(pooled, range(1, len(t.shape) - 1))


@_layer("UpSampling1D", "UpSampling2D", "UpSampling3D", needs=["upsample"])
def _upsample(b, t, c, w):
    """interpolation nearest or bilinear"""
    _expect(c, interpolation=("nearest", "bilinear"))
    factor = _tuple(c["size"], len(t.shape) - 2)
    return b.upsample(
        t, -1, factor, "nearest" if c.get("interpolation", "nearest") == "nearest" else "linear"
    )


@_layer("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", needs=["pad"])
def _zero_padding(b, t, c, w):
    """any"""
    rank = len(t.shape) - 2
    pads = c["padding"]
    pads = (
        [pads] * rank if isinstance(pads, int) else [pads] if rank == 1 and isinstance(pads[0], int) else pads
    )
    pads = [(p, p) if isinstance(p, int) else tuple(p) for p in pads]
    return b.padded(b.field(t, -1, "padding"), [p[0] for p in pads], [p[1] for p in pads])


@_layer("BatchNormalization", needs=["batch_norm"])
def _batch_norm(b, t, c, w):
    """any one axis but that of the rows, as in prediction"""
    center, scaled = c.get("center", True), c.get("scale", True)
    arrays = list(w.take(2 + bool(center) + bool(scaled)))
    scale = arrays.pop(0) if scaled else None
    shift = arrays.pop(0) if center else None
    axis = c.get("axis", -1)
    axis = axis if isinstance(axis, int) else axis[0]
    momentum = min(1.0, max(1e-6, 1 - c.get("momentum", 0.99)))
    return b.batch_norm(t, axis, scale, shift, *arrays, c.get("epsilon", 1e-3), momentum)


@_layer("LayerNormalization", needs=["layer_norm"])
def _layer_norm(b, t, c, w):
    """over the last axis"""
    axis = c.get("axis", -1)
    axis = [axis] if isinstance(axis, int) else list(axis)
    if [a % len(t.shape) for a in axis] != [len(t.shape) - 1]:
        raise UnsupportedError(f"axis = {axis}; supported is the last one")
    _expect(c, rms_scaling=(False,))
    center, scaled = c.get("center", True), c.get("scale", True)
    arrays = list(w.take(bool(center) + bool(scaled)))
    scale = arrays.pop(0) if scaled else None
    return b.layer_norm(t, 1, scale, arrays.pop(0) if center else None, c.get("epsilon", 1e-3))


@_layer("Rescaling")
def _rescaling(b, t, c, w):
    """numbers or lists along the last axis"""
    return b.affine(t, scale=np.asarray(c.get("scale", 1.0)), shift=np.asarray(c.get("offset", 0.0)))


def _direction(b, t, kind, c, arrays, output, reverse):
    """Node of a recurrent layer in one direction."""
    _expect(
        c, activation=("tanh",), recurrent_activation=("sigmoid",), return_state=(False,), stateful=(False,)
    )
    if kind == "GRU":
        _expect(c, reset_after=(True,))
    weight, recurrent, *bias = arrays
    n = recurrent.shape[0]
    order = (
        [0, 1, 2, 3] if kind == "LSTM" else [1, 0, 2]
    )  # of Keras: i, f, c, o and z, r, h; here i, f, g, o and r, z, n

    def ordered(v):
        return np.concatenate([v[..., k * n : (k + 1) * n] for k in order], axis=-1)

    parameters = {"weight": ordered(weight), "recurrent_weight": ordered(recurrent)}
    zero = np.zeros(weight.shape[1], weight.dtype)
    if kind == "LSTM":
        parameters["bias"] = ordered(bias[0] if bias else zero)
    else:
        both = bias[0] if bias else np.stack([zero, zero])
        parameters["bias"], parameters["recurrent_bias"] = ordered(both[0]), ordered(both[1])
    return b.recurrent(t, kind.lower(), 1, 2, parameters, output=output, reverse=reverse)


@_layer("LSTM", "GRU", needs=["lstm", "gru"])
def _recurrent(b, t, c, w):
    """standard activations, reset_after = True; go_backwards for the last state only"""
    arrays = w.take(3 if c.get("use_bias", True) else 2, "cell", "")
    sequence, back = c.get("return_sequences", False), c.get("go_backwards", False)
    if sequence and back:
        raise UnsupportedError("go_backwards with return_sequences, whose steps come out in reverse order")
    node = _direction(b, t, _kind(c), c, arrays, "sequence" if sequence else "last", back)
    n = node.attributes["units"]
    return Tensor(node, (BATCH, t.shape[1], n), (0, 1, 2)) if sequence else Tensor(node, (BATCH, n), (0, 1))


@_layer("Bidirectional", needs=["lstm", "gru"])
def _bidirectional(b, t, c, w):
    """of LSTM and GRU; merge_mode "concat" or "sum\" """
    inner = c["layer"]
    kind, config = inner["class_name"], inner["config"]
    if kind not in ("LSTM", "GRU"):
        raise UnsupportedError(f"Bidirectional of {kind}; supported are LSTM and GRU")
    _expect(c, merge_mode=("concat", "sum"))
    back = (c.get("backward_layer") or {}).get("config", config)
    sequence = config.get("return_sequences", False)
    n_arrays = 3 if config.get("use_bias", True) else 2
    nodes = []
    for name, settings, reverse in (("forward", config, False), ("backward", back, True)):
        arrays = w.take(n_arrays, f"{name}_layer/cell")
        nodes.append(_direction(b, t, kind, settings, arrays, "sequence" if sequence else "last", reverse))
    n = nodes[0].attributes["units"]
    joined = c.get("merge_mode", "concat") == "concat"
    node = Node("concatenate" if joined else "add", nodes)
    n = 2 * n if joined else n
    return Tensor(node, (BATCH, t.shape[1], n), (0, 1, 2)) if sequence else Tensor(node, (BATCH, n), (0, 1))


@_layer("Add", n_inputs=None)
def _add(b, inputs, c, w):
    """values of equal shape"""
    return b.join(inputs, "add", "the sum")


@_layer("Subtract", n_inputs=None)
def _subtract(b, inputs, c, w):
    """values of equal shape"""
    return b.join([inputs[0], b.affine(inputs[1], scale=-1)], "add", "the difference")


@_layer("Multiply", needs=["multiply"], n_inputs=None)
def _multiply(b, inputs, c, w):
    """values of equal shape"""
    product = inputs[0]
    for t in inputs[1:]:
        product = b.product(product, t)
    return product


@_layer("Concatenate", n_inputs=None)
def _concatenate(b, inputs, c, w):
    """along any axis but that of the rows"""
    return b.concatenate(inputs, c.get("axis", -1))
