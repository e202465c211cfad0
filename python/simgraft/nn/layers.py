"""Layers as functions of symbolic values. The classes are made from the operator table of the C core."""

import functools
import math

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
            given = self.attributes["shape"]
            return tuple(given) if isinstance(given, (tuple, list)) else (given,)
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
    return Value("input", (), {"shape": shape})


def values_of(inputs, output):
    """Values in an order in which inputs come first and the output is the last, and the numbers of the inputs of each."""
    number, values = {}, []
    for value in inputs:
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
    return values


class Layer:
    """A layer that has not been placed in a network yet; call it on one or more values."""

    _op = None

    def _check(self, values):
        for value in values:
            if not isinstance(value, Value):
                raise TypeError(f"{type(self).__name__}: expected values made by nn.Input or layers, got {type(value).__name__}")

    def __call__(self, *values):
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


def _layer_class(entry):
    """A class whose constructor takes the attributes of the operator, required ones first."""
    attributes = sorted(entry["attributes"], key=lambda a: a["default"] is not None or a["type"] == "float")
    names = [a["name"] for a in attributes]
    defaults = {a["name"]: a["default"] for a in attributes}
    required = {a["name"] for a in attributes if a["default"] is None and a["type"] != "float"}
    title = _title(entry["name"])

    def __init__(self, *args, **kwargs):
        if len(args) > len(names):
            raise TypeError(f"{title}: expected at most {len(names)} arguments ({', '.join(names)}), got {len(args)}")
        given = dict(zip(names, args))
        for key, value in kwargs.items():
            if key not in names or key in given:
                raise TypeError(f"{title}: unexpected argument '{key}'; it takes {', '.join(names) or 'none'}")
            given[key] = value
        for key in names:
            if key in required and key not in given:
                raise TypeError(f"{title}: missing argument '{key}'")
            setattr(self, key, given.get(key, defaults[key]))

    text = entry["doc"]
    if attributes:
        text += "\n\nParameters\n----------\n" + "\n".join(_describe(a) for a in attributes)
    text += "\n\n" + _example(entry, title, sorted(required))
    return type(title, (Layer,), {"__init__": __init__, "__doc__": text, "_op": entry["name"], "__module__": "simgraft.nn"})


LAYERS = {cls.__name__: cls for cls in (_layer_class(e) for name, e in _TABLE.items() if name != "input")}
ACTIVATIONS = tuple(next(a for a in _TABLE["activation"]["attributes"] if a["name"] == "activation")["choices"])
