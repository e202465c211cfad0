"""Layers as functions of symbolic values. The classes are made from the operator table of the C core."""

import functools
import inspect
import math

import numpy as np

from simgraft import _core

_TABLE = {entry["name"]: entry for entry in _core.nn_ops()}


class Value:
    """A symbolic result of a layer; layers are called on values to make new ones.

    Attributes
    ----------
    shape : tuple of int
        Of one row, channels last.
    """

    def __init__(self, op, inputs, attributes, constants=None):
        self.op, self.inputs, self.attributes = op, tuple(inputs), dict(attributes)
        self.constants = dict(constants or {})  # parameters that are given, not trained, by name

    @functools.cached_property
    def shape(self):
        if self.op == "input":
            return self.attributes["shape"]
        inputs = [("input", (), {"shape": value.shape}) for value in self.inputs]
        return _core.Graph([*inputs, (self.op, tuple(range(len(inputs))), self.attributes)]).nodes()[-1]["shape"]

    def __repr__(self):
        return f"<{self.op} {self.attributes}>"


def Input(shape):
    """Start of a network: a part of its input row.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of one row, channels last.

    Returns
    -------
    Value

    Examples
    --------
    >>> from simgraft import nn
    >>> x = nn.Input(3)
    >>> h = nn.Dense(8, "tanh")(x)
    >>> y = nn.Dense(1)(nn.Concatenate()(h, x))
    >>> nn.Network.from_graph(x, y, seed=1).n_parameters
    44
    """
    given = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in given):
        raise TypeError(f"shape: expected an integer or a tuple of integers, got {shape!r}")
    nodes = _core.Graph([("input", (), {"shape": given}), ("activation", (0,), {})]).nodes()
    return Value("input", (), {"shape": nodes[0]["shape"]})


def values_of(inputs, output):
    """Values in an order in which inputs come first and the output is the last, and the numbers of the
    inputs of each."""
    number, values = {}, []
    if not isinstance(output, Value):
        raise TypeError(f"output: expected a value made by a layer, got {type(output).__name__}")
    for value in inputs:
        if not isinstance(value, Value) or value.op != "input":
            raise TypeError(f"inputs: expected values made by nn.Input, got {value!r}")
        if id(value) in number:
            raise ValueError("inputs: the same Input is in the list twice")
        number[id(value)] = len(values)
        values.append((value, ()))
    stack = [(output, False)]
    while stack:
        value, ready = stack.pop()
        if id(value) in number:
            continue
        if ready:
            number[id(value)] = len(values)
            values.append((value, tuple(number[id(v)] for v in value.inputs)))
            continue
        if value.op == "input":
            raise ValueError("inputs: the output depends on an Input that is not in the list")
        stack.append((value, True))
        stack.extend((v, False) for v in reversed(value.inputs))
    used = {i for _, numbers in values for i in numbers}
    for i in range(len(inputs)):
        if i not in used:
            raise ValueError(f"inputs: the output does not depend on inputs[{i}]")
    return values


class Layer:
    """A layer that has not been placed in a network yet; call it on one or more values."""

    _op = None

    def _check(self, values):
        title, least, most = type(self).__name__, _TABLE[self._op]["min_inputs"], _TABLE[self._op]["max_inputs"]
        for value in values:
            if not isinstance(value, Value):
                raise TypeError(
                    f"{title}: expected values made by nn.Input or layers, got {type(value).__name__}"
                )
        if not least <= len(values) <= most:
            expected = f"{least}" if least == most else f"{least} to {most}"
            raise TypeError(f"{title}: expected {expected} value{'s' * (most > 1)}, got {len(values)}")

    def __call__(self, *values):
        """The layer's result for one or more values, as a new value."""
        self._check(values)
        return Value(self._op, values, {k: v for k, v in vars(self).items() if v is not None})

    def __repr__(self):
        shown = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if v is not None)
        return f"{type(self).__name__}({shown})"


def _describe(attribute):
    kind = {"int": "int", "float": "float", "ints": "int or tuple of int"}.get(attribute["type"])
    if kind is None:
        kind = "{" + ", ".join(f'"{c}"' for c in attribute["choices"]) + "}"
    default = "" if attribute["default"] is None else f", default {attribute['default']!r}"
    return f"{attribute['name']} : {kind}{default}\n    {attribute['doc'][0].upper()}{attribute['doc'][1:]}."


_ACRONYMS = {"lstm": "LSTM", "gru": "GRU"}


def _title(name):
    return _ACRONYMS.get(name) or "".join(part.capitalize() for part in name.split("_"))


def _example(entry, title, required):
    """A call that works, from the table's own example if it has one."""
    if entry["has_example"]:
        shapes, attributes = _core.nn_op_example(entry["name"], 1)
        attributes = {k: v for k, v in attributes.items() if v is not None}
    else:
        shapes, attributes = [(3,)] * entry["min_inputs"], dict.fromkeys(required, 2)
    names = [f"x{i}" for i in range(len(shapes))] if len(shapes) > 1 else ["x"]
    lines = [f">>> {name} = nn.Input({shape!r})" for name, shape in zip(names, shapes)]
    arguments = ", ".join(f"{k}={v!r}" for k, v in attributes.items())
    lines += [f">>> y = nn.{title}({arguments})({', '.join(names)})",
              f">>> nn.Network.from_graph([{', '.join(names)}], y, seed=1).n_in", str(sum(math.prod(shape) for shape in shapes))]
    return "\n".join(["Examples", "--------", ">>> from simgraft import nn", *lines, ""])


def _is_required(attribute):
    return attribute["default"] is None and attribute["type"] != "float"


def _layer_class(entry):
    """A class whose constructor takes the attributes of the operator in the order of the table, where required
    ones come first."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [
            inspect.Parameter(a["name"], kind, **({} if _is_required(a) else {"default": a["default"]}))
            for a in entry["attributes"]
        ]
    )
    title, names = _title(entry["name"]), list(signature.parameters)

    def __init__(self, *args, **kwargs):
        if len(args) > len(names):
            takes = f" ({', '.join(names)})" if names else ""
            raise TypeError(f"{title}: expected at most {len(names)} arguments{takes}, got {len(args)}")
        given = dict(zip(names, args))
        for key, value in kwargs.items():
            if key in given:
                raise TypeError(f"{title}: argument '{key}' is given twice")
            if key not in names:
                raise TypeError(f"{title}: unexpected argument '{key}'; it takes {', '.join(names) or 'none'}")
            given[key] = value
        for key, parameter in signature.parameters.items():
            if key not in given and parameter.default is parameter.empty:
                raise TypeError(f"{title}: missing argument '{key}'")
            setattr(self, key, given.get(key, parameter.default))

    text = entry["doc"]
    if names:
        text += "\n\nParameters\n----------\n" + "\n".join(map(_describe, entry["attributes"]))
    text += "\n\n" + _example(entry, title, [a["name"] for a in entry["attributes"] if _is_required(a)])
    body = {"__init__": __init__, "__doc__": text, "__signature__": signature, "_op": entry["name"]}
    return type(title, (Layer,), {**body, "__module__": "simgraft.nn"})


LAYERS = {cls.__name__: cls for cls in (_layer_class(e) for name, e in _TABLE.items() if name != "input")}
ACTIVATIONS = tuple(next(a for a in _TABLE["activation"]["attributes"] if a["name"] == "activation")["choices"])
