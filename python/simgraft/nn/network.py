"""Networks: what is computed (a graph of layers) together with its parameters."""

import functools
import html

import numpy as np

from simgraft import _core
from simgraft.nn._params import Params
from simgraft.nn.layers import ACTIVATIONS, LAYERS, Input, values_of

_KINKED = {"relu", "leaky_relu", "elu", "swish", "gelu", "softplus"}


def _real(dtype):
    try:
        dtype = np.dtype(dtype)
    except TypeError:
        raise ValueError(f"dtype: expected float32 or float64, got {dtype!r}") from None
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype: expected float32 or float64, got {dtype}")
    return dtype


def _seed(seed):
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise ValueError(f"seed: expected an integer in [0, 2**64), got {seed!r}")
    return int(seed)


class Network:
    """A graph of layers with its parameters.

    Made by :meth:`MLP.build`, :meth:`from_graph` or :meth:`from_spec`.

    Parameters
    ----------
    nodes : list of (str, tuple of int, dict)
        Operator, numbers of the input nodes, attributes. The last node is the output.
    parameters : (n_parameters,) float32 or float64 array
        Flat parameter vector; kept, not copied.

    Attributes
    ----------
    n_in, n_out : int
        Elements of one input and output row.
    n_parameters : int
    parameters : (n_parameters,) array
        Writable; changes take effect at once.
    flops : float
        Floating-point operations of one row (a multiply-add counts two).

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import nn
    >>> network = nn.MLP([16, 16], "tanh").build(3, 2, seed=1)
    >>> network.predict(np.zeros((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(self, nodes, parameters):
        self._graph = _core.Graph(nodes)
        self.parameters = np.asarray(parameters)
        _real(self.parameters.dtype)
        if self.parameters.shape != (self._graph.n_parameters,):
            raise ValueError(f"parameters: expected shape ({self._graph.n_parameters},), got {self.parameters.shape}")
        self._net = self._packed = None

    @classmethod
    def from_graph(cls, inputs, output, *, seed, dtype="float32", initializer=None):
        """Network from symbolic values.

        Parameters
        ----------
        inputs : Value or list of Value
            From :func:`Input`; they lie side by side in the input row.
        output : Value
        seed : int
            Of the start values.
        dtype : {"float32", "float64"}
        initializer : str or None
            One of ``nn.INITIALIZERS``; None takes "he_uniform" if relu-like activations are used, else "glorot_uniform".

        Returns
        -------
        Network
        """
        values = values_of(inputs if isinstance(inputs, (list, tuple)) else [inputs], output)
        nodes = [(value.op, numbers, value.attributes) for value, numbers in values]
        network = cls(nodes, np.zeros(_core.Graph(nodes).n_parameters, _real(dtype)))
        if initializer is None:
            kinked = any(node["attributes"].get("activation") in _KINKED for node in network._graph.nodes())
            initializer = "he_uniform" if kinked else "glorot_uniform"
        network._graph.initialise(network.parameters, initializer, _seed(seed))
        for (value, _), node in zip(values, network._graph.nodes()):
            views = dict(network._views(node))
            for name, constant in value.constants.items():
                if name not in views:
                    raise ValueError(f"{value.op}: no parameter is called '{name}'; it has {', '.join(views) or 'none'}")
                try:
                    views[name][...] = constant
                except ValueError:
                    raise ValueError(f"{value.op}: expected {name} of shape {views[name].shape}, got {np.shape(constant)}") from None
        return network

    @property
    def spec(self):
        """What is computed, as lists and dicts for JSON; see :meth:`from_spec`."""
        return {"dtype": self.dtype.name, "nodes": [
            {"op": n["op"], "inputs": list(n["inputs"]),
             "attributes": {k: list(v) if isinstance(v, tuple) else v for k, v in n["attributes"].items() if v is not None}}
            for n in self._graph.nodes()]}

    @classmethod
    def from_spec(cls, spec, parameters):
        """Network from :attr:`spec` and a parameter vector of the same dtype."""
        missing = [key for key in ("dtype", "nodes") if key not in spec]
        if missing:
            raise ValueError(f"spec: expected 'dtype' and 'nodes' as in Network.spec, {missing[0]!r} is missing")
        parameters = np.asarray(parameters)
        if parameters.dtype != spec["dtype"]:
            raise TypeError(f"parameters: expected {spec['dtype']}, got {parameters.dtype}")
        return cls([(n["op"], tuple(n["inputs"]), n["attributes"]) for n in spec["nodes"]], parameters)

    def __reduce__(self):
        return Network.from_spec, (self.spec, self.parameters)

    n_in = property(lambda self: self._graph.n_in)
    n_out = property(lambda self: self._graph.n_out)
    n_parameters = property(lambda self: self._graph.n_parameters)
    flops = property(lambda self: self._graph.flops)
    dtype = property(lambda self: self.parameters.dtype)

    def copy(self, dtype=None):
        """A network with its own parameters, converted to ``dtype`` if given."""
        spec = self.spec
        spec["dtype"] = _real(dtype or self.dtype).name
        return Network.from_spec(spec, self.parameters.astype(spec["dtype"]))

    def _views(self, node):
        for name, offset, shape in node["parameters"]:
            size = int(np.prod(shape))
            yield name, self.parameters[offset:offset + size].reshape(shape)

    @functools.cached_property
    def is_chain(self):
        """True if the network is a chain of dense layers on one row of inputs."""
        nodes = self._graph.nodes()
        return (nodes[0]["op"] == "input" and len(nodes[0]["shape"]) == 1
                and all(n["op"] == "dense" and n["inputs"] == (i,) for i, n in enumerate(nodes[1:])))

    @property
    def layers(self):
        """Dense layers as (weight (n_in, n_out), bias (n_out,), activation), views of the parameters.

        The activation is a name, or (name, parameter) for leaky_relu and elu.
        """
        if not self.is_chain:
            raise ValueError("layers: this network is not a chain of dense layers; see .spec")
        found = []
        for node in self._graph.nodes()[1:]:
            views, attributes = dict(self._views(node)), node["attributes"]
            activation = attributes["activation"]
            if activation in ("leaky_relu", "elu"):
                activation = (activation, attributes["parameter"])
            found.append((views["weight"], views["bias"], activation))
        return found

    def predict(self, x, out=None, *, num_threads=None):
        """Output rows for input rows.

        Parameters
        ----------
        x : (n, n_in) array
            Of the network's dtype.
        out : (n, n_out) array, optional
            Where to put the result.
        num_threads : int, optional
            Default: ``OMP_NUM_THREADS`` or all CPUs. The result has the same bits for any number.

        Returns
        -------
        (n, n_out) array

        Raises
        ------
        TypeError, ValueError
            If dtype or shape of ``x`` or ``out`` differ from the above.
        """
        return self.net().eval(x, out, num_threads or 0)

    def net(self):
        """The network packed for the instruction set in use (``_core.Net``); it does not follow later changes of the parameters.

        Made at the first call and whenever parameters have changed since; :meth:`predict`, :meth:`jvp` and :meth:`vjp` use it.
        """
        # Compared as bits, because the parameters are the caller's to change (and NaN differs from itself).
        bits = self.parameters.view(np.int32)
        if self._net is None or self._net.isa != _core.isa() or not np.array_equal(bits, self._packed):
            self._net = _core.Net(self._graph, self.parameters)
            self._packed = bits.copy()
        return self._net

    def jvp(self, x, d_x, out=None, *, num_threads=None):
        """Jacobian-vector product: derivative of ``predict(x)`` along a direction of the inputs.

        Parameters
        ----------
        x, d_x : (n, n_in) array
            Of the network's dtype.
        out : (n, n_out) array, optional
        num_threads : int, optional
            As in :meth:`predict`.

        Returns
        -------
        (n, n_out) array
        """
        return self.net().jvp(x, d_x, out, num_threads or 0)

    def vjp(self, x, d_y, *, parameters=True, num_threads=None):
        """Vector-Jacobian product: gradients of ``sum(d_y * predict(x))``.

        Parameters
        ----------
        x : (n, n_in) array
        d_y : (n, n_out) array
        parameters : bool, optional
            Whether the gradient with respect to the parameters is wanted; it runs on one thread.
        num_threads : int, optional
            As in :meth:`predict`, without parameters.

        Returns
        -------
        d_x : (n, n_in) array
        d_parameters : (n_parameters,) array or None
        """
        if not parameters:
            return self.net().vjp(x, d_y, None, num_threads or 0), None
        d_parameters, d_x = self._graph.backward(self.parameters, x, d_y)
        return d_x, d_parameters

    def _rows(self):
        for i, node in enumerate(self._graph.nodes()):
            attributes = ", ".join(f"{k}={v}" for k, v in node["attributes"].items()
                                   if k != "shape" and not (k == "parameter" and v == 0))
            size = sum(int(np.prod(shape)) for _, _, shape in node["parameters"])
            yield (str(i), node["op"], ", ".join(map(str, node["inputs"])), attributes, " x ".join(map(str, node["shape"])),
                   f"{size:,}", f"{node['flops']:,.0f}")

    _HEADER = ("node", "layer", "inputs", "attributes", "output", "parameters", "flops/row")

    def summary(self):
        """Table of layers with shapes, parameters and operations, as text."""
        rows = [self._HEADER, *self._rows()]
        width = [max(len(row[i]) for row in rows) for i in range(len(self._HEADER))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, width)).rstrip() for row in rows]
        lines.append(f"{self.n_in} -> {self.n_out}, {self.n_parameters:,} parameters ({self.dtype}), {self.flops:,.0f} flops/row")
        return "\n".join(lines)

    def __repr__(self):
        return f"<Network {self.n_in} -> {self.n_out}, {self.n_parameters:,} parameters, {self.dtype}>"

    def _repr_html_(self):
        head = "".join(f"<th>{h}</th>" for h in self._HEADER)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in self._rows())
        return f"<p>{html.escape(repr(self)[1:-1])}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class MLP(Params):
    """Multi-layer perceptron: what to build, without sizes of input and output.

    Parameters
    ----------
    hidden : list of int
        Neurons of the hidden layers; [] for a linear model.
    activation : str
        Of the hidden layers, one of ``nn.ACTIVATIONS``.
    output_activation : str
    initializer : str or None
        One of ``nn.INITIALIZERS``; None takes "he_uniform" for relu-like activations, else "glorot_uniform".

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.MLP([64, 64], activation="softsign").build(7, 256, seed=1)
    <Network 7 -> 256, 21,312 parameters, float32>
    """

    def __init__(self, hidden, activation="softsign", output_activation="linear", initializer=None):
        self.hidden = hidden
        self.activation = activation
        self.output_activation = output_activation
        self.initializer = initializer

    def build(self, n_in, n_out, seed, dtype="float32"):
        """Network with random start values.

        Parameters
        ----------
        n_in, n_out : int
            Elements of one input and output row, >= 1.
        seed : int
        dtype : {"float32", "float64"}

        Returns
        -------
        Network
        """
        if isinstance(self.hidden, (str, bytes)) or not np.iterable(self.hidden):
            raise TypeError(f"hidden: expected a list of integers such as [64, 64], got {self.hidden!r}")
        value = x = Input(n_in)
        for units in self.hidden:
            value = LAYERS["Dense"](units, self.activation)(value)
        value = LAYERS["Dense"](n_out, self.output_activation)(value)
        return Network.from_graph(x, value, seed=seed, dtype=dtype, initializer=self.initializer)


class Model(Params):
    """A network of any shape, given as a function of its input; builds for any sizes of input and output like :class:`MLP`.

    Parameters
    ----------
    function : callable
        ``function(x, n_out) -> Value``, where ``x`` is an :func:`Input` of the network's row.
    initializer : str or None
        As in :class:`MLP`.

    Examples
    --------
    >>> from simgraft import nn
    >>> def residual(x, n_out):
    ...     h = nn.Dense(32, "swish")(x)
    ...     h = nn.Add()(h, nn.Dense(32, "swish")(h))
    ...     return nn.Dense(n_out)(h)
    >>> nn.Model(residual).build(5, 2, seed=1)
    <Network 5 -> 2, 1,314 parameters, float32>
    """

    def __init__(self, function, initializer=None):
        self.function = function
        self.initializer = initializer

    def build(self, n_in, n_out, seed, dtype="float32"):
        """Network with random start values; arguments as in :meth:`MLP.build`."""
        x = Input(n_in)
        network = Network.from_graph(x, self.function(x, n_out), seed=seed, dtype=dtype, initializer=self.initializer)
        if network.n_out != n_out:
            raise ValueError(f"function: expected a network with {n_out} outputs, got {network.n_out}")
        return network
