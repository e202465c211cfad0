"""Networks from PyTorch modules, and from safetensors files with a list of layers."""

import json
import math
from pathlib import Path

import numpy as np

from simgraft import _core
from simgraft.interop._builder import ACTIVATIONS, BATCH, TABLE, Builder, Node, Tensor, UnsupportedError, best
from simgraft.nn.network import Network

# ---------------------------------------------------------------------------------------------------- modules

MODULES = {}  # name of the class in torch.nn -> function of (builder, value, settings)
_DEFAULTS = {}  # options that a layer of a list may leave out


def _module(*names, needs=(), activations=(), **defaults):
    def register(function):
        function.needs, function.activations = tuple(needs), tuple(activations)
        for name in names:
            MODULES[name], _DEFAULTS[name] = function, defaults
        return function

    return register


def _available(function):
    return all(op in TABLE for op in function.needs) and all(
        kind in ACTIVATIONS for kind in function.activations
    )


def supported_modules():
    """Layers of torch.nn that :func:`from_torch` and :func:`from_safetensors` read, with their conditions.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> "Linear" in supported_modules()
    True
    """
    return {
        name: " ".join(function.__doc__.split())
        for name, function in sorted(MODULES.items())
        if _available(function)
    }


def _expect(m, **allowed):
    """UnsupportedError unless the options have these values."""
    for name, values in allowed.items():
        values = values if isinstance(values, tuple) else (values,)
        value = getattr(m, name, values[0])
        if value not in values:
            raise UnsupportedError(f"{name} = {value!r}; supported: {', '.join(map(repr, values))}")


@_module("Linear", bias=None)
def _linear(b, x, m):
    """any"""
    return b.dense(x, m.weight.T, m.bias)


def _function(name, kind, doc="any", **defaults):
    def place(b, x, m):
        parameter = next((getattr(m, key) for key in ("negative_slope", "alpha") if key in defaults), None)
        return b.activation(x, kind, parameter)

    place.__doc__ = doc
    _module(name, activations=[kind], **defaults)(place)


_function("ReLU", "relu")
_function("LeakyReLU", "leaky_relu", "negative_slope >= 0", negative_slope=0.01)
_function("ELU", "elu", "alpha >= 0", alpha=1.0)
_function("Softsign", "softsign")
_function("Tanh", "tanh")
_function("Sigmoid", "sigmoid")
_function("SiLU", "swish")
_function("Hardswish", "hard_swish")


@_module("GELU", activations=["gelu"], approximate="none")
def _gelu(b, x, m):
    """approximate = "none\" """
    _expect(m, approximate="none")
    return b.activation(x, "gelu")


@_module("Softplus", activations=["softplus"], beta=1.0, threshold=20.0)
def _softplus(b, x, m):
    """beta = 1; the threshold from which PyTorch returns x makes no difference in float"""
    _expect(m, beta=1.0)
    return b.activation(x, "softplus")


@_module("PReLU")
def _prelu(b, x, m):
    """one slope >= 0 for all channels"""
    if m.weight.size != 1:
        raise UnsupportedError("slopes that differ between channels")
    return b.activation(x, "leaky_relu", float(m.weight.ravel()[0]))


@_module("Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", p=0.5)
def _same(b, x, m):
    """passed through, as in evaluation"""
    return x


@_module("Softmax", needs=["softmax"], dim=-1)
def _softmax(b, x, m):
    """along any axis but that of the rows"""
    return b.softmax(x, -1 if m.dim is None else m.dim)


@_module("Flatten", start_dim=1, end_dim=-1)
def _flatten(b, x, m):
    """rows stay rows"""
    return _flattened(b, x, m.start_dim, m.end_dim)


@_module("Unflatten", needs=["reshape"])
def _unflatten(b, x, m):
    """rows stay rows"""
    dim = m.dim % len(x.shape)
    return b.reshape(x, [*x.shape[:dim], *m.unflattened_size, *x.shape[dim + 1 :]])


def _flattened(b, x, start, end):
    start, end = start % len(x.shape), end % len(x.shape)
    if start <= x.rows <= end and start != end:
        raise UnsupportedError(f"axes {start} to {end} of a value of shape {x.shown()}: rows get mixed")
    return b.reshape(x, [*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]])


def _tuple(value, rank):
    value = tuple(value) if isinstance(value, (list, tuple)) else (value,) * rank
    if len(value) != rank:
        raise UnsupportedError(f"{value}; expected {rank} numbers")
    return tuple(int(v) for v in value)


_PADDING_MODES = {"zeros": "zero", "circular": "periodic", "replicate": "replicate", "reflect": "reflect"}


@_module(
    "Conv1d",
    "Conv2d",
    "Conv3d",
    needs=["conv"],
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    padding_mode="zeros",
)
def _conv(b, x, m):
    """any padding, stride, dilation and groups"""
    rank = m.weight.ndim - 2
    kernel, stride, dilation = m.weight.shape[2:], _tuple(m.stride, rank), _tuple(m.dilation, rank)
    if m.padding == "valid":
        before = after = (0,) * rank
    elif m.padding == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilation)]
        before, after = [t // 2 for t in total], [t - t // 2 for t in total]
    else:
        before = after = _tuple(m.padding, rank)
    _expect(m, padding_mode=tuple(_PADDING_MODES))
    if len(x.shape) != rank + 2:
        raise UnsupportedError(f"a value of shape {x.shown()}; expected (N, channels) and {rank} dimensions")
    return b.conv(
        x,
        1,
        np.moveaxis(m.weight, (1, 0), (-2, -1)),
        m.bias,
        stride=stride,
        before=before,
        after=after,
        dilation=dilation,
        groups=m.groups,
        mode=_PADDING_MODES[m.padding_mode],
    )


def _pool(b, x, m, kind):
    rank = len(x.shape) - 2
    size = _tuple(m.kernel_size, rank)
    stride = size if m.stride in (None, ()) else _tuple(m.stride, rank)
    _expect(m, dilation=(1, (1,) * rank, [1] * rank), return_indices=False, divisor_override=None)
    pads = _tuple(m.padding, rank)
    return b.pool(
        x,
        1,
        kind,
        size,
        stride=stride,
        before=pads,
        after=pads,
        whole=not m.ceil_mode,
        count_outside=bool(getattr(m, "count_include_pad", True)),
    )


@_module(
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    needs=["max_pool"],
    stride=None,
    padding=0,
    dilation=1,
    return_indices=False,
    ceil_mode=False,
)
def _max_pool(b, x, m):
    """dilation = 1"""
    return _pool(b, x, m, "max")


@_module(
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    needs=["average_pool"],
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
)
def _average_pool(b, x, m):
    """without divisor_override"""
    return _pool(b, x, m, "average")


@_module(
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    needs=["global_pool", "max_pool", "average_pool"],
    return_indices=False,
)
def _adaptive(b, x, m):
    """output sizes that divide the input's"""
    kind = "max" if "Max" in m.kind else "average"
    _expect(m, return_indices=False)
    rank = len(x.shape) - 2
    wanted = m.output_size if isinstance(m.output_size, (list, tuple)) else (m.output_size,) * rank
    wanted = [n if w is None else int(w) for w, n in zip(wanted, x.shape[2:])]
    if all(w == 1 for w in wanted):
        return b.global_pool(x, 1, kind)
    if any(n % w for w, n in zip(wanted, x.shape[2:])):
        raise UnsupportedError(
            f"output_size = {wanted} of a value of shape {x.shown()}; supported are sizes that divide it"
        )
    size = [n // w for w, n in zip(wanted, x.shape[2:])]
    return b.pool(x, 1, kind, size, stride=size, before=[0] * rank, after=[0] * rank)


@_module(
    "Upsample",
    "UpsamplingNearest2d",
    needs=["upsample"],
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
)
def _upsample(b, x, m):
    """whole factors; nearest, or linear with align_corners = False"""
    _expect(
        m, mode=("nearest", "nearest-exact", "linear", "bilinear", "trilinear"), align_corners=(None, False)
    )
    rank = len(x.shape) - 2
    if m.size is not None:
        factors = [s / n for s, n in zip(_tuple(m.size, rank), x.shape[2:])]
    else:
        factors = m.scale_factor if isinstance(m.scale_factor, (list, tuple)) else (m.scale_factor,) * rank
    if len(factors) != rank or any(f < 1 or f != round(f) for f in factors):
        raise UnsupportedError(f"factors {factors}; supported are whole numbers")
    method = "nearest" if m.mode.startswith("nearest") else "linear"
    return b.upsample(x, 1, [round(f) for f in factors], method)


@_module(
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    needs=["pad"],
    value=0.0,
)
def _pad(b, x, m):
    """ConstantPad with 0"""
    mode = {"Z": "zero", "C": "zero", "Ref": "reflect", "Rep": "replicate", "Cir": "periodic"}
    mode = mode.get(m.kind[:3]) or mode[m.kind[0]]
    if m.kind.startswith("Constant"):
        _expect(m, value=(0, 0.0))
    rank = int(m.kind[-2])
    pads = _tuple(m.padding, 2 * rank)
    lead = [0] * (len(x.shape) - rank)
    return b.pad_axes(x, [*lead, *pads[::2][::-1]], [*lead, *pads[1::2][::-1]], mode)


@_module(
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    needs=["batch_norm"],
    weight=None,
    bias=None,
    eps=1e-5,
    momentum=0.1,
)
def _batch_norm(b, x, m):
    """with running statistics, as in evaluation"""
    if m.running_mean is None or m.running_var is None:
        raise UnsupportedError("track_running_stats = False; supported: True")
    momentum = 0.1 if m.momentum is None else m.momentum
    return b.batch_norm(x, 1, m.weight, m.bias, m.running_mean, m.running_var, m.eps, momentum)


@_module("LayerNorm", needs=["layer_norm"], weight=None, bias=None, eps=1e-5)
def _layer_norm(b, x, m):
    """over the last axis, or over all axes but the rows"""
    shape = m.normalized_shape
    n = len(shape) if isinstance(shape, (list, tuple)) else 1
    return b.layer_norm(x, n, m.weight, m.bias, m.eps)


@_module(
    "LSTM",
    "GRU",
    needs=["lstm", "gru"],
    num_layers=1,
    bias=True,
    batch_first=False,
    dropout=0.0,
    bidirectional=False,
    proj_size=0,
)
def _recurrent(b, x, m):
    """any number of layers, both directions; start values 0; of the states the last h only"""
    _expect(m, proj_size=0)
    steps = 1 if m.batch_first else 0
    kind, rows, n_directions = m.kind.lower(), x.rows, 2 if m.bidirectional else 1
    if len(x.shape) != 3 or rows != 1 - steps:
        raise UnsupportedError(f"a value of shape {x.shown()} with batch_first = {bool(m.batch_first)}")
    length = x.shape[steps]
    lasts = []
    for layer in range(m.num_layers):
        nodes = []
        for direction in range(n_directions):
            suffix = f"_l{layer}" + ("_reverse" if direction else "")
            w, r = getattr(m, "weight_ih" + suffix).T, getattr(m, "weight_hh" + suffix).T
            zero = np.zeros(w.shape[1], w.dtype)
            bias, rest = (getattr(m, f"bias_{k}{suffix}") if m.bias else zero for k in ("ih", "hh"))
            parameters = {"weight": w, "recurrent_weight": r, "bias": bias + rest if kind == "lstm" else bias}
            if kind == "gru":
                parameters["recurrent_bias"] = rest
            nodes.append(
                b.recurrent(x, kind, steps, 2, parameters, output="sequence", reverse=bool(direction))
            )
            lasts.append(b.recurrent(x, kind, steps, 2, parameters, output="last", reverse=bool(direction)))
        n = nodes[0].attributes["units"]
        node = nodes[0] if n_directions == 1 else Node("concatenate", nodes)
        shape = [0, 0, n_directions * n]
        shape[rows], shape[steps] = BATCH, length
        x = Tensor(node, shape, (rows, steps, 2))
    state = lasts[0] if len(lasts) == 1 else b.reshaped(Node("concatenate", lasts), len(lasts), n)
    axes = (1, 2) if len(lasts) == 1 else (1, 0, 2)
    return x, (
        (Tensor(state, (len(lasts), BATCH, n), axes), None)
        if kind == "lstm"
        else Tensor(state, (len(lasts), BATCH, n), axes)
    )


class _Settings:
    """Options and arrays of a layer by name."""

    def __init__(self, kind, values):
        self.kind = kind
        self.__dict__.update(values)


def _place(b, x, name, settings):
    """The layer ``settings`` on value x; errors name the layer."""
    function = MODULES.get(settings.kind)
    try:
        if function is None or not _available(function):
            raise UnsupportedError("layer not supported; supported are " + ", ".join(supported_modules()))
        return function(b, x, settings)
    except UnsupportedError as error:
        raise UnsupportedError(f"layer {name!r} ({settings.kind}): {error}") from None


# ------------------------------------------------------------------------------------------------- from_torch


def from_torch(module, shape, *, channels_last=None):
    """Network of a PyTorch module.

    Parameters
    ----------
    module : torch.nn.Module
        Of the layers in :func:`supported_modules`, joined in any way that ``torch.fx.symbolic_trace``
        follows: Sequential, sums, products, concatenation, slices, reshapes.
    shape : int, tuple of int or list of them
        Of one row of each input, as PyTorch has it without the batch axis: 7, (3, 32, 32) for channels first,
        (steps, channels) for sequences.
    channels_last : bool, optional
        Whether inputs and outputs (C, ...) of rank 2 and more become rows of shape (..., C). Default: where
        it saves permutations, which is wherever they belong to a convolution; the shapes of the input layers,
        in ``network.summary()``, tell.

    Returns
    -------
    Network
        In the precision of the module's parameters, with the numbers the module has in evaluation
        (``module.eval()``). Rows are flattened.

    Raises
    ------
    ImportError
        Without PyTorch.
    UnsupportedError
        A ValueError: a layer, function or option that has no counterpart here, by name.

    Examples
    --------
    >>> import torch                                                                      # doctest: +SKIP
    >>> module = torch.nn.Sequential(torch.nn.Linear(7, 64), torch.nn.SiLU())              # doctest: +SKIP
    >>> interop.from_torch(module, 7)                                                     # doctest: +SKIP
    <Network 7 -> 64, 512 parameters, float32>
    """
    try:
        import torch
        import torch.fx
    except ImportError as error:
        raise ImportError("from_torch needs PyTorch: pip install torch") from error
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module: expected a torch.nn.Module, got {type(module).__name__}")
    shapes = _shapes(shape)
    kinds = {p.dtype for p in module.parameters()} or {torch.get_default_dtype()}
    dtype = {torch.float32: "float32", torch.float64: "float64"}.get(
        next(iter(kinds)) if len(kinds) == 1 else None
    )
    if dtype is None:
        raise UnsupportedError(
            f"module: parameters of type {', '.join(sorted(map(str, kinds)))}; supported are all of "
            "torch.float32, or all of torch.float64"
        )
    if len(list(module.children())) == 0 and type(module).__module__.startswith("torch.nn."):
        module = torch.nn.Sequential(module)
    was = module.training
    module.eval()
    try:
        graph = torch.fx.symbolic_trace(module)
    except Exception as error:  # tracing runs the module's own code
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UnsupportedError(f"module: torch.fx cannot trace it: {first}") from error
    finally:
        module.train(was)
    tracer = _Tracer(torch, module, graph, shapes, dtype)
    return best(tracer.build, any(len(s) >= 2 for s in shapes), channels_last)


def _shapes(shape):
    listed = shape if isinstance(shape, list) else [shape]
    shapes = [(s,) if isinstance(s, (int, np.integer)) else tuple(s) for s in listed]
    for s in shapes:
        if not s or any(not isinstance(n, (int, np.integer)) or n < 1 for n in s):
            raise ValueError(f"shape: expected positive integers, got {shape!r}")
    return shapes


class _Rows:
    """The number of rows in the code of a module: x.shape[0], x.size(0)."""


class _Tracer:
    def __init__(self, torch, module, graph, shapes, dtype):
        self.torch, self.module, self.graph, self.shapes, self.dtype = torch, module, graph, shapes, dtype

    def build(self, last):
        self.b, self.values = Builder(self.dtype, last), {}
        given = list(self.shapes)
        for node in self.graph.graph.nodes:
            try:
                value = self.place(node, given)
            except UnsupportedError as error:
                if str(error).startswith(("layer ", "shape:")):
                    raise
                raise UnsupportedError(f"{node.op} {node.name!r} ({_called(node)}): {error}") from None
            if node.op == "output":
                outputs = value if isinstance(value, (list, tuple)) else [value]
                for t in outputs:
                    if not isinstance(t, Tensor):
                        raise UnsupportedError(
                            f"output of the module: expected tensors, got {type(t).__name__}"
                        )
                return self.b.network(outputs), self.b.n_permute
            self.values[node.name] = value
        raise UnsupportedError("module: returns nothing")

    def place(self, node, given):
        torch = self.torch
        args, kwargs = (
            torch.fx.node.map_arg(a, lambda n: self.values[n.name]) for a in (node.args, node.kwargs)
        )
        if node.op == "placeholder":
            if not given:
                if node.args:
                    return node.args[0]
                raise UnsupportedError(f"shape: the module takes another input, {node.target!r}")
            first = given.pop(0)
            rows = 1 if self._time_first(node) else 0
            return self.b.input([*first[:rows], BATCH, *first[rows:]])
        if node.op == "output":
            if given:
                raise UnsupportedError(f"shape: {len(given)} more than the module has inputs")
            return args[0]
        if node.op == "get_attr":
            value = self.module
            for part in node.target.split("."):
                value = getattr(value, part)
            return _numpy(value)
        if node.op == "call_module":
            layer = self.module.get_submodule(node.target)
            return _place(self.b, self._value(args[0]), node.target, _TorchSettings(layer))
        name = node.target if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))
        function = FUNCTIONS.get(_aliases(name))
        if function is None:
            raise UnsupportedError("not supported; supported are " + ", ".join(sorted(FUNCTIONS)))
        return function(self.b, *args, **kwargs)

    def _time_first(self, node):
        """Whether an input goes straight into a recurrent layer with time first."""
        for user in node.users:
            if user.op == "call_module":
                layer = self.module.get_submodule(user.target)
                if type(layer).__name__ in ("LSTM", "GRU") and not layer.batch_first:
                    return True
        return False

    def _value(self, x):
        if not isinstance(x, Tensor):
            raise UnsupportedError(
                f"a layer of {type(x).__name__}; expected a tensor that depends on the inputs"
            )
        return x


def _called(node):
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def _numpy(value):
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


class _TorchSettings:
    """Options and parameters of a torch layer, tensors as arrays."""

    def __init__(self, layer):
        self._layer, self.kind = layer, type(layer).__name__
        if not type(layer).__module__.startswith("torch.nn."):
            self.kind = f"{type(layer).__module__}.{self.kind}"

    def __getattr__(self, name):
        return _numpy(getattr(self._layer, name))


# -------------------------------------------------------------------------------------------------- functions


def _aliases(name):
    return {
        "__add__": "add",
        "iadd": "add",
        "add_": "add",
        "mul_": "mul",
        "concat": "cat",
        "concatenate": "cat",
        "truediv": "div",
        "true_divide": "div",
        "subtract": "sub",
        "multiply": "mul",
        "divide": "div",
        "relu_": "relu",
        "negative": "neg",
        "swapaxes": "transpose",
        "swapdims": "transpose",
        "view": "reshape",
        "isub": "sub",
        "imul": "mul",
        "itruediv": "div",
    }.get(name, name)


def _arithmetic(b, x, y, name):
    if name in ("add", "sub"):
        minus = name == "sub"
        if isinstance(x, Tensor) and isinstance(y, Tensor):
            return b.join([x, b.affine(y, scale=-1) if minus else y], "add", "the sum")
        if isinstance(x, Tensor):
            return b.affine(x, shift=-y if minus else y)
        return b.affine(y, scale=-1 if minus else None, shift=x)
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        if name == "div" or "multiply" not in TABLE:
            raise UnsupportedError(f"{name} of two computed values")
        return b.product(x, y)
    if name == "div":
        if not isinstance(x, Tensor):
            raise UnsupportedError("a quotient with a computed divisor")
        return b.affine(x, scale=1 / np.asarray(y, np.float64))
    t, c = (x, y) if isinstance(x, Tensor) else (y, x)
    return b.affine(t, scale=c)


def _getitem(b, x, index):
    if not isinstance(x, Tensor):
        return x[index]
    index = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in index:
        at = index.index(Ellipsis)
        index[at : at + 1] = [slice(None)] * (
            len(x.shape) - len([i for i in index if i not in (Ellipsis, None)])
        )
    axis = 0
    for i in index:
        if i is None:
            x = b.unsqueeze(x, [axis])
            axis += 1
        elif isinstance(i, slice):
            if i.step not in (None, 1):
                raise UnsupportedError("a slice with steps")
            if i.start is not None or i.stop is not None:
                x = b.slice(x, axis, i.start or 0, x.shape[axis] if i.stop is None else i.stop)
            axis += 1
        elif isinstance(i, (int, np.integer)):
            n = x.shape[axis]
            x = b.squeeze(b.slice(x, axis, int(i) % n, int(i) % n + 1), [axis])
        else:
            raise UnsupportedError(f"an index of type {type(i).__name__}")
    return x


def _reshape(b, x, *shape):
    shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (list, tuple)) else shape
    return b.reshape(x, list(shape))


def _permute(b, x, *order):
    order = order[0] if len(order) == 1 and isinstance(order[0], (list, tuple)) else order
    return b.transpose(x, [a % len(x.shape) for a in order])


def _transpose(b, x, first, second):
    order = list(range(len(x.shape)))
    order[first], order[second] = order[second], order[first]
    return b.transpose(x, order)


def _squeeze(b, x, dim=None):
    if dim is None:
        dim = [a for a, n in enumerate(x.shape) if n == 1]
    return b.squeeze(x, [a for a in ([dim] if isinstance(dim, int) else dim) if x.shape[a] == 1])


def _reduced(kind):
    def reduce(b, x, dim=None, keepdim=False):
        axes = sorted(
            a % len(x.shape) for a in ([dim] if isinstance(dim, int) else dim or range(len(x.shape)))
        )
        left = [a for a in range(len(x.shape)) if a not in axes]
        if len(left) != 2 or left[0] != 0 or x.rows != 0:
            raise UnsupportedError(
                f"over axes {axes} of a value of shape {x.shown()}; one axis beside the rows must be left"
            )
        pooled = b.global_pool(x, left[1], kind)
        return pooled if keepdim else b.squeeze(pooled, axes)

    return reduce


def _chunk(b, x, chunks, dim=0):
    dim %= len(x.shape)
    n = -(-x.shape[dim] // chunks)
    return [b.slice(x, dim, i, min(i + n, x.shape[dim])) for i in range(0, x.shape[dim], n)]


def _split(b, x, sizes, dim=0):
    dim %= len(x.shape)
    n = x.shape[dim]
    sizes = (
        sizes
        if isinstance(sizes, (list, tuple))
        else [sizes] * (n // sizes) + ([n % sizes] if n % sizes else [])
    )
    ends = np.cumsum(sizes)
    return [b.slice(x, dim, int(e - s), int(e)) for s, e in zip(sizes, ends)]


def _shape_of(b, x, dim=None):
    return tuple(x.shape) if dim is None else x.shape[dim]


def _attribute(b, x, name):
    if name == "shape":
        return tuple(x.shape)
    if name == "ndim":
        return len(x.shape)
    raise UnsupportedError(f"attribute {name} of a tensor")


def _of_module(kind, **renamed):
    """A function like the layer of the same name."""

    def place(b, x, *args, **kwargs):
        options = dict(_DEFAULTS[kind])
        options.update(zip([n for n in options if n not in ("return_indices",)], args))
        for key, value in kwargs.items():
            if key not in ("inplace", "training", "_stacklevel", "dtype"):
                options[renamed.get(key, key)] = value
        return MODULES[kind](b, x, _Settings(kind, options))

    return place


FUNCTIONS = {
    **{
        name: (lambda b, x, y, name=name, **_: _arithmetic(b, x, y, name))
        for name in ("add", "sub", "mul", "div")
    },
    "neg": lambda b, x: b.affine(x, scale=-1),
    "exp": lambda b, x: b.exp(x),
    "relu": _of_module("ReLU"),
    "leaky_relu": _of_module("LeakyReLU"),
    "elu": _of_module("ELU"),
    "softsign": _of_module("Softsign"),
    "tanh": _of_module("Tanh"),
    "sigmoid": _of_module("Sigmoid"),
    "silu": _of_module("SiLU"),
    "hardswish": _of_module("Hardswish"),
    "gelu": _of_module("GELU"),
    "softplus": _of_module("Softplus"),
    "softmax": _of_module("Softmax"),
    "dropout": lambda b, x, *_, **__: x,
    "contiguous": lambda b, x: x,
    "cat": lambda b, tensors, dim=0: b.concatenate(list(tensors), dim),
    "flatten": lambda b, x, start_dim=0, end_dim=-1: _flattened(b, x, start_dim, end_dim),
    "reshape": _reshape,
    "permute": _permute,
    "transpose": _transpose,
    "squeeze": _squeeze,
    "unsqueeze": lambda b, x, dim: b.unsqueeze(x, [dim]),
    "getitem": _getitem,
    "getattr": _attribute,
    "size": _shape_of,
    "chunk": _chunk,
    "split": _split,
    "mean": _reduced("average"),
    "amax": _reduced("max"),
}
"""Functions and methods of tensors that from_torch reads beside layers."""


# ------------------------------------------------------------------------------------------------ safetensors


def from_safetensors(path, layers=None, shape=None):
    """Network of a safetensors file.

    Parameters
    ----------
    path : path-like
    layers : list, optional
        What the arrays belong to, in order: a layer of torch.nn by its name, with its options and the name of
        its arrays in the file, as in ``("Linear", {"name": "net.0"})`` for "net.0.weight" and "net.0.bias",
        or just ``"Tanh"``. Options are those of torch.nn (``{"name": "conv1", "stride": 2}``); sizes come
        from the arrays. Lists, as JSON has them, will do. Not needed for files of :func:`to_safetensors`.
    shape : int or tuple of int, optional
        Of one row, without batch axis, as in :func:`from_torch`; needed where ``layers`` is given and its
        first layer with arrays is no Linear.

    Returns
    -------
    Network

    Raises
    ------
    ImportError
        Without the package safetensors: ``pip install simgraft[interop]``.
    FileNotFoundError, simgraft.FileFormatError
        If the file is missing or damaged, or an array is missing in it.
    UnsupportedError
        A ValueError: a layer or option that has no counterpart here, by name.

    Examples
    --------
    >>> layers = [("Linear", {"name": "net.0"}), "Tanh", ("Linear", {"name": "net.2"})]
    >>> interop.from_safetensors("net.safetensors", layers)                               # doctest: +SKIP
    """
    arrays, metadata = _read_safetensors(path)
    if layers is None:
        if "simgraft.spec" not in metadata:
            raise ValueError(
                f"layers: {path} does not say what its arrays belong to; expected a list of layers"
            )
        try:
            return _own(json.loads(metadata["simgraft.spec"]), arrays)
        except (ValueError, KeyError, TypeError) as error:
            raise _core.FileFormatError(f"{path}: the network in it cannot be read: {error}") from error
    listed = [_listed(entry, i) for i, entry in enumerate(layers)]
    if shape is None:
        shape = _first_width(path, listed, arrays)
    (shape,) = _shapes(shape if not isinstance(shape, list) else tuple(shape))
    kinds = {a.dtype for a in arrays.values() if a.dtype.kind == "f"}
    dtype = "float64" if kinds == {np.dtype("float64")} else "float32"
    if not kinds <= {np.dtype(dtype)}:
        raise UnsupportedError(
            f"{path}: arrays of {', '.join(sorted(map(str, kinds)))}; supported are all float32 or float64"
        )

    def build(last):
        b = Builder(dtype, last)
        t = b.input([BATCH, *shape])
        for i, (kind, options) in enumerate(listed):
            name = options.get("name", f"#{i}")
            settings = _Settings(
                kind, {**_DEFAULTS.get(kind, {}), **options, **_arrays_of(path, arrays, kind, options)}
            )
            t = _place(b, t, name, settings)
            t = t[0] if isinstance(t, tuple) else t
        return b.network([t]), b.n_permute

    return best(build, len(shape) >= 2)


def _own(spec, arrays):
    """Network of a file of to_safetensors."""
    nodes = [(n["op"], tuple(n["inputs"]), n["attributes"]) for n in spec["nodes"]]
    network = Network(nodes, np.zeros(_core.Graph(nodes).n_parameters, spec["dtype"]))
    for key, place in _own_views(network):
        value = arrays[key]
        if value.shape != place.shape or value.dtype != place.dtype:
            raise ValueError(
                f"array {key} is {value.dtype} {value.shape}, expected {place.dtype} {place.shape}"
            )
        place[...] = value
    return network


def _own_views(network):
    """(name in the file, view of the parameters) of every array."""
    for i, node in enumerate(network._graph.nodes()):
        for name, value in network._views(node):
            yield f"{i}.{node['op']}.{name}", value


def _listed(entry, i):
    kind, options = (entry, {}) if isinstance(entry, str) else (entry[0], entry[1] if len(entry) > 1 else {})
    if not isinstance(kind, str) or not isinstance(options, dict):
        raise TypeError(f"layers[{i}]: expected a name or (name, options), got {entry!r}")
    if kind in _DEFAULTS:
        known = set(_DEFAULTS[kind]) | {
            "name",
            "output_size",
            "kernel_size",
            "normalized_shape",
            "dim",
            "unflattened_size",
            "padding",
        }
        for key in options:
            if key not in known:
                raise UnsupportedError(
                    f"layer {options.get('name', f'#{i}')!r} ({kind}): option {key!r} is not known; "
                    "known are " + ", ".join(sorted(known))
                )
    return kind, dict(options)


_ARRAYS = ("weight", "bias", "running_mean", "running_var")


def _arrays_of(path, arrays, kind, options):
    """Arrays "name.weight" ... of a layer."""
    name = options.get("name")
    if name is None:
        return {}
    prefix = f"{name}."
    found = {
        key[len(prefix) :]: value
        for key, value in arrays.items()
        if key.startswith(prefix) and "." not in key[len(prefix) :]
    }
    if not found:
        raise _core.FileFormatError(
            f"{path}: no array of layer {name!r} ({kind}); it has {', '.join(sorted(arrays)[:12])}"
        )
    if kind in ("Linear", "Conv1d", "Conv2d", "Conv3d", "PReLU") and "weight" not in found:
        raise _core.FileFormatError(f"{path}: array {prefix}weight is missing")
    if kind in ("LSTM", "GRU"):
        found["num_layers"] = sum(key.startswith("weight_ih_l") and "reverse" not in key for key in found)
        found["bidirectional"] = any("reverse" in key for key in found)
        found["bias"] = any(key.startswith("bias_ih") for key in found)
    if kind.startswith("BatchNorm"):
        found = {**{k: None for k in ("running_mean", "running_var")}, **found}
    if kind == "LayerNorm":
        found.setdefault("normalized_shape", np.shape(found.get("weight")) or options.get("normalized_shape"))
    return found


def _first_width(path, listed, arrays):
    for kind, options in listed:
        found = _arrays_of(path, arrays, kind, options)
        if found:
            if kind != "Linear":
                break
            return int(found["weight"].shape[1])
    raise ValueError("shape: expected the shape of one row, because no Linear layer comes first")


def _read_safetensors(path):
    try:
        import safetensors
    except ImportError as error:
        raise ImportError(
            "reading safetensors needs the package safetensors: pip install simgraft[interop]"
        ) from error
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}
    except Exception as error:  # safetensors and numpy raise many kinds
        raise _core.FileFormatError(
            f"{path}: cannot be read as safetensors: {str(error).splitlines()[0]}"
        ) from error


def to_safetensors(network, path):
    """Write a network as a safetensors file.

    Parameters
    ----------
    network : Network
    path : path-like
        Its folder is made where it does not exist. Each parameter of a node is an array "NODE.LAYER.NAME", as
        in "1.dense.weight"; the graph is in the metadata "simgraft.spec".

    Examples
    --------
    >>> import os, tempfile
    >>> from simgraft import interop, nn
    >>> path = os.path.join(tempfile.mkdtemp(), "net.safetensors")
    >>> interop.to_safetensors(nn.MLP([8]).build(3, 2, seed=1), path)                     # doctest: +SKIP
    """
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise ImportError(
            "writing safetensors needs the package safetensors: pip install simgraft[interop]"
        ) from error
    if not isinstance(network, Network):
        raise TypeError(f"network: expected an nn.Network, got {type(network).__name__}")
    arrays = {key: np.ascontiguousarray(value) for key, value in _own_views(network)}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(
            save(arrays, {"simgraft.spec": json.dumps(network.spec), "simgraft": _core.__version__})
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
