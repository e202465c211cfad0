"""Layers that hold numbers of the user (constraints, bounds), and blocks of several layers. Like layers they
are called on values."""

import numpy as np

from simgraft.nn._params import Params
from simgraft.nn.layers import LAYERS, Layer, Value

__all__ = ["Bound", "Conserve", "MixtureHead", "MultiheadPool", "SelfAttention"]


def _numbers(values, argument):
    """Finite float64 array."""
    try:
        values = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{argument}: expected numbers, got {values!r}") from None
    if not np.isfinite(values).all():
        raise ValueError(f"{argument}: expected finite numbers, got {values}")
    return values


def _vector(values, n, argument):
    """Finite float64 (n,) array from numbers or one number for all."""
    values = _numbers(values, argument)
    if values.shape not in ((), (n,)):
        raise ValueError(f"{argument}: expected one number or shape ({n},), got {values.shape}")
    return np.broadcast_to(values, (n,))


class Bound(Layer):
    """Keeps every channel between two bounds: ``low + (high - low) sigmoid(x)``.

    Parameters
    ----------
    low, high : float or (channels,) array
        Bounds, in the units of the network's output; low < high. The result may touch them by rounding but
        not pass them.

    Raises
    ------
    ValueError
        If a bound is not finite or ``low`` is not below ``high``.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import nn
    >>> x = nn.Input(2)
    >>> network = nn.Network.from_graph(x, nn.Bound(low=[0, -1], high=[1, 5])(x), seed=1)
    >>> network.predict(np.array([[0, 100]], np.float32))
    array([[0.5, 5. ]], dtype=float32)
    """

    _op, _shown = "bound", "nn.Bound(low, high)"

    def __init__(self, low=0.0, high=1.0):
        self.low = low
        self.high = high

    def __call__(self, x):
        self._check([x])
        low, high = (_vector(getattr(self, name), x.shape[-1], name) for name in ("low", "high"))
        if not (low < high).all():
            raise ValueError(f"high: expected more than low, got {self.high!r} and {self.low!r}")
        return Value(self._op, (x,), {}, {"low": low, "high": high})


class Conserve(Layer):
    """Makes the output obey linear constraints ``matrix @ y == constant + right @ z`` to rounding.

    The layer adds the smallest correction that satisfies the constraints: a projection, through which
    training sees the constraint too. Give it as the last layer.

    Parameters
    ----------
    matrix : (constraints, channels) array
        Coefficients of the outputs, in physical units.
    right : (constraints, channels of z) array, optional
        Coefficients of the second value the layer is called on, z.
    constant : float or (constraints,) array
    weight : float or (channels,) array
        How readily a channel is changed, relative to the others (the variance of its error); >= 0. A channel
        of weight 0 keeps its bits. With as many channels of weight 1 as constraints, and 0 elsewhere, these
        are the residuals of the others: the architecture of the paper.
    outputs, inputs : (shift, scale), optional
        Physical y is ``shift + scale * y`` of the network, and likewise z. Numbers, or arrays of the
        channels; what the encoders of a surrogate do is :meth:`simgraft.encode.Encoder.affine`.

    Raises
    ------
    ValueError
        If a shape does not fit, or if no correction of channels with weight > 0 satisfies the constraints.

    References
    ----------
    Beucler et al. 2021, Enforcing analytic constraints in neural networks emulating physical systems,
    doi:10.1103/PhysRevLett.126.098302.

    Examples
    --------
    Three tendencies that must add up to a fourth number, an input of the network:

    >>> import numpy as np
    >>> from simgraft import nn
    >>> x, total = nn.Input(5), nn.Input(1)
    >>> y = nn.Conserve([[1, 1, 1]], right=[[1]])(nn.Dense(3)(x), total)
    >>> network = nn.Network.from_graph([x, total], y, seed=1, dtype="float64")
    >>> float(network.predict(np.array([[1., 2, 3, 4, 5, 10]])).sum().round(12))
    10.0
    """

    _op, _shown = "conserve", "nn.Conserve(matrix, right)"

    def __init__(self, matrix, right=None, constant=0.0, weight=1.0, outputs=(0.0, 1.0), inputs=(0.0, 1.0)):
        self.matrix = matrix
        self.right = right
        self.constant = constant
        self.weight = weight
        self.outputs = outputs
        self.inputs = inputs

    def _coefficients(self, argument, n, n_constraints=None):
        matrix = _numbers(getattr(self, argument), argument)
        expected = "constraints" if n_constraints is None else n_constraints
        if matrix.ndim != 2 or matrix.shape[1] != n or n_constraints not in (None, len(matrix)):
            raise ValueError(f"{argument}: expected shape ({expected}, {n}), got {matrix.shape}")
        return matrix

    def _map(self, argument, n):
        """Shift and scale of n channels."""
        given = getattr(self, argument)
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise TypeError(f"{argument}: expected (shift, scale), got {given!r}")
        shift, scale = (_vector(v, n, argument) for v in given)
        if not scale.all():
            raise ValueError(f"{argument}: expected a scale that is not 0")
        return shift, scale

    def __call__(self, y, z=None):
        """The constrained values, for values ``y`` and, with ``right``, ``z``."""
        if (z is None) != (self.right is None):
            raise ValueError(
                "right: expected coefficients of the second value, and a second value, or neither"
            )
        values = (y,) if z is None else (y, z)
        self._check(values)
        n = y.shape[-1]
        matrix = self._coefficients("matrix", n)
        shift, scale = self._map("outputs", n)
        constant = _vector(self.constant, len(matrix), "constant") - matrix @ shift
        constants = {"matrix": matrix * scale}
        if z is not None:
            n_right = z.shape[-1]
            right = self._coefficients("right", n_right, len(matrix))
            shift_z, scale_z = self._map("inputs", n_right)
            constant = constant + right @ shift_z
            constants["right"] = right * scale_z
        constants["constant"] = constant
        weight = _vector(self.weight, n, "weight")
        if (weight < 0).any():
            raise ValueError("weight: expected >= 0")
        # Least correction in the norm sum(correction^2 / weight): correction = W C^T (C W C^T)^-1 defect.
        weighted = constants["matrix"] * weight
        norm = np.sqrt((weighted * constants["matrix"]).sum(axis=1))  # constraints may have different units
        if not (norm > 0).all():
            raise ValueError(f"weight: constraint {int(np.argmin(norm))} has no channel that may be changed")
        gram = weighted @ constants["matrix"].T / np.outer(norm, norm)
        if np.linalg.cond(gram) > 1e10:
            raise ValueError("matrix: the constraints depend on each other, or on channels of weight 0")
        constants["correction"] = np.linalg.solve(gram, weighted / norm[:, None]) / norm[:, None]
        return Value(self._op, values, {"constraints": len(matrix)}, constants)


class SelfAttention(Params):
    """Items of a set that look at each other: attention, then a small network for each item, both added to
    what was there.

    Called on items (n_items, channels) and, if wanted, a mask (n_items), present where > 0.5. The result has
    the shape of the items; present ones do not depend on those that are not, and move with their order. Pool
    it with a mask (``SetPool``, :class:`MultiheadPool`).

    Parameters
    ----------
    heads : int
        Divisor of the channels.
    units : int or None
        Neurons of the small network; None: twice the channels.
    activation : str
        One of ``nn.ACTIVATIONS``.

    References
    ----------
    Vaswani et al. 2017, arXiv:1706.03762, with normalisation before each part (Xiong et al. 2020,
    arXiv:2002.04745); Lee et al. 2019, arXiv:1810.00825.

    Examples
    --------
    >>> from simgraft import nn
    >>> items, mask = nn.Input((20, 4)), nn.Input(20)
    >>> h = nn.SelfAttention(heads=2)(nn.Dense(16)(items), mask)
    >>> y = nn.Dense(3)(nn.SetPool("mean")(h, mask))
    >>> nn.Network.from_graph([items, mask], y, seed=1)
    <Network 100 -> 3, 2,355 parameters, float32>
    """

    def __init__(self, heads=4, units=None, activation="swish"):
        self.heads = heads
        self.units = units
        self.activation = activation

    def __call__(self, items, mask=None):
        n, dense, add, norm = items.shape[-1], LAYERS["Dense"], LAYERS["Add"], LAYERS["LayerNorm"]
        h = norm()(items)
        h = LAYERS["Attention"](self.heads)(
            dense(n)(h), dense(n)(h), dense(n)(h), *([] if mask is None else [mask])
        )
        items = add()(items, dense(n)(h))
        h = dense(2 * n if self.units is None else self.units, self.activation)(norm()(items))
        return add()(items, dense(n)(h))


class MultiheadPool(Params):
    """One vector from a set: learned queries take means of the items, weighted by attention.

    Called on items (n_items, channels) and, if wanted, a mask (n_items), present where > 0.5. The result
    (queries * units) does not depend on the order of the items nor on those that are not present; a set
    without items gives 0.

    Parameters
    ----------
    units : int
        Channels of keys and values.
    heads : int
        Divisor of ``units``.
    queries : int

    References
    ----------
    Lee et al. 2019, Set transformer, arXiv:1810.00825.

    Examples
    --------
    >>> from simgraft import nn
    >>> items, mask = nn.Input((20, 4)), nn.Input(20)
    >>> y = nn.Dense(3)(nn.MultiheadPool(16, heads=4)(items, mask))
    >>> nn.Network.from_graph([items, mask], y, seed=1)
    <Network 100 -> 3, 227 parameters, float32>
    """

    def __init__(self, units, heads=1, queries=1):
        self.units = units
        self.heads = heads
        self.queries = queries

    def __call__(self, items, mask=None):
        key, value = (LAYERS["Dense"](self.units)(items) for _ in range(2))
        pooled = LAYERS["AttentionPool"](heads=self.heads, queries=self.queries)(
            key, value, *([] if mask is None else [mask])
        )
        return LAYERS["Reshape"](self.queries * self.units)(pooled)


class MixtureHead(Params):
    """Last layers of a network that gives a distribution: a mixture of Gaussians of ``n`` variables, for
    :class:`MixtureNLL`.

    The result is, side by side, logarithms of the weights (components), means (components, n) and
    log-variances (components, n).

    Parameters
    ----------
    n : int
        Variables.
    components : int
    low, high : float
        Bounds of the log-variances.

    References
    ----------
    Bishop 1994, Mixture density networks.

    Examples
    --------
    >>> from simgraft import nn
    >>> x = nn.Input(3)
    >>> y = nn.MixtureHead(2, components=4)(nn.Dense(16, "tanh")(x))
    >>> nn.Network.from_graph(x, y, seed=1)
    <Network 3 -> 20, 404 parameters, float32>
    """

    def __init__(self, n, components=3, low=-10.0, high=10.0):
        self.n = n
        self.components = components
        self.low = low
        self.high = high

    def __call__(self, h):
        raw = LAYERS["Dense"](self.components * (1 + 2 * self.n))(h)
        return LAYERS["MixtureDensity"](self.components, low=self.low, high=self.high)(raw)


LAYERS.update(Bound=Bound, Conserve=Conserve)
