"""Chains of conditional one-dimensional laws: the density of many numbers as a product, each factor a
monotone spline that a network makes from features of the numbers before.

Where a flow of coupling layers has to find out by itself what matters, a chain is told: masses, distances,
sums of what is already there. Every factor is trained by itself, so that training is short, can be spread
over processes, and shows number by number what is hard to learn.
"""

from statistics import NormalDist

import numpy as np

from simgraft import _core
from simgraft.nn import schedule
from simgraft.nn._params import Params
from simgraft.nn.flow_matching import normal
from simgraft.nn.layers import LAYERS, Input
from simgraft.nn.loss import FlowNLL
from simgraft.nn.network import Network, _seed
from simgraft.nn.optimizers import AdamW
from simgraft.nn.training import fit

__all__ = ["SplineChain"]

_SAMPLE = 0x73706C63 << 32  # first stream of random numbers
_FEW = 20  # rows from which a law is learnt


def quantile_curve(x, knots, edge):
    """Values (knots,) float32 of x (n,) that belong to normal numbers at equal distances in [-edge, edge]:
    quantiles, the first and last being least and largest value."""
    levels = np.array([NormalDist().cdf(z) for z in np.linspace(-edge, edge, knots)])
    q = np.quantile(x, levels)
    q[0], q[-1] = x.min(), x.max()
    return np.maximum.accumulate(q).astype(np.float32)


class SplineChain(Params):
    """Numbers one after another: each a normal number through a spline given features, then through the curve
    of its quantiles.

    Parameters
    ----------
    units : tuple of int or list of tuple of int
        Hidden layers of the networks: of all steps, or one tuple for each.
    bins : int
        Of each spline, 2 to 32.
    bound : float
        Splines act within [-bound, bound] of the normal number.
    activation : str
        One of ``nn.ACTIVATIONS``.
    knots : int
        Of the curves of quantiles.
    epochs, batch_size : int
    rate : float
        At the start; falls along half a cosine.
    weight_decay : float
        Of AdamW: what keeps many features from being learnt by heart.
    hold_out : float
        Share of the rows that choose the best epoch.

    Attributes
    ----------
    networks_ : list of Network
        Row ``[normal number, features]`` to its spline and the logarithm of the slope; None where a number
        is constant.
    curves_ : (n_steps, knots) float32 array
    edges_ : (n_steps,) float64 array
        Normal numbers of the last knots.
    mean_, scale_ : (n_features,) float64 array
        By which the networks see the features.
    losses_ : (n_steps,) float64 array
        Best mean of ``-log p`` of the held-out normal numbers; that of a number that depends on nothing is
        1.419.

    References
    ----------
    Durkan et al. 2019, arXiv:1906.04032 (splines); Papamakarios et al. 2017, arXiv:1705.07057 (masked
    autoregressive flows).

    Examples
    --------
    A point in a circle: the second number is bounded by the first.

    >>> import numpy as np
    >>> from simgraft import nn
    >>> x = np.random.default_rng(1).uniform(-1, 1, (2, 20_000))
    >>> x = x[:, (x**2).sum(axis=0) < 1]
    >>> def features(values):
    ...     first = values[0].astype(np.float32)
    ...     return np.stack([np.ones_like(first), first, np.sqrt(np.maximum(1 - first**2, 0))])
    >>> chain = nn.SplineChain(units=(16,), bins=8, epochs=4).fit(x, features(x), (1, 3), seed=1)
    >>> new = chain.sample(5000, lambda step, values: features(values), seed=2)
    >>> bool(np.mean((new**2).sum(axis=0) < 1.02) > 0.97)
    True
    """

    def __init__(
        self,
        units=(64, 64),
        bins=16,
        bound=5.0,
        activation="swish",
        knots=1024,
        epochs=12,
        batch_size=1024,
        rate=2e-3,
        weight_decay=0.5,
        hold_out=0.03,
    ):
        self.units = units
        self.bins = bins
        self.bound = bound
        self.activation = activation
        self.knots = knots
        self.epochs = epochs
        self.batch_size = batch_size
        self.rate = rate
        self.weight_decay = weight_decay
        self.hold_out = hold_out

    # ----------------------------------------------------------------------------------------------- training
    def _units(self, step, n_steps):
        units = list(self.units)
        if units and not np.isscalar(units[0]):
            if len(units) != n_steps:
                raise ValueError(f"units: expected one tuple for each of {n_steps} numbers, got {len(units)}")
            units = units[step]
        return tuple(units)

    def _network(self, n_features, units, seed):
        x, given = Input(1), Input(n_features)
        value = given
        for n in units:
            value = LAYERS["Dense"](n, self.activation)(value)
        head = LAYERS["Dense"](3 * self.bins - 1)(value)
        spline = LAYERS["SplineCoupling"](bins=self.bins, bound=self.bound)(x, head)
        network = Network.from_graph([x, given], spline, seed=seed)
        for array in _layers(network)[-1]:
            array *= 0.01  # a head of zero is the identity
        return network

    def fit(self, values, features, n_features, *, present=None, seed, progress=False, num_threads=None):
        """Learn the law of each number.

        Parameters
        ----------
        values : (n_steps, n) float array
            The numbers, in the order in which they are to be made.
        features : (n_features, n) float32 array
            What the laws may depend on.
        n_features : sequence of int
            How many of the features, from the first on, each law takes, >= 1; they must follow from the
            numbers before.
        present : (n_steps, n) bool array, optional
            Where a number exists: the others are not learnt from. A number that is present in fewer than 20 rows
        becomes a constant.
        seed : int
        progress : bool
            Show a bar.
        num_threads : int, optional

        Returns
        -------
        SplineChain
            self
        """
        values, seed = np.asarray(values), _seed(seed)
        n_steps, n = values.shape
        if features.dtype != np.float32 or features.ndim != 2 or features.shape[1] != n:
            raise ValueError(
                f"features: expected a float32 array (n_features, {n}), got {features.dtype} {features.shape}"
            )
        counts = [int(k) for k in n_features]
        if len(counts) != n_steps or min(counts) < 1 or max(counts) > len(features):
            raise ValueError(f"n_features: expected {n_steps} numbers from 1 to {len(features)}, got {n_features}")
        if not 0 < self.hold_out < 0.5:
            raise ValueError(f"hold_out: expected a share between 0 and 0.5, got {self.hold_out!r}")
        self.mean_ = features.mean(axis=1, dtype=np.float64)
        spread = features.std(axis=1, dtype=np.float64)
        self.scale_ = np.where(spread > 1e-6 * np.maximum(np.abs(self.mean_), 1), spread, 1.0)
        scaled = (features - self.mean_[:, None].astype(np.float32)) / self.scale_[:, None].astype(np.float32)
        self.n_features_, self.networks_ = tuple(counts), []
        self.curves_, self.edges_ = np.empty((n_steps, self.knots), np.float32), np.empty(n_steps)
        self.losses_ = np.full(n_steps, np.nan)
        for step in range(n_steps):
            here = np.arange(n) if present is None else np.flatnonzero(present[step])
            if len(here) < _FEW:  # hardly there: a constant
                here = np.arange(1)
            x = values[step, here]
            edge = self.edges_[step] = -NormalDist().inv_cdf(0.5 / max(len(here), _FEW))
            curve = self.curves_[step] = quantile_curve(x, self.knots, edge)
            z = np.interp(x, curve, np.linspace(-edge, edge, self.knots)).astype(np.float32)
            rows = np.empty((len(here), 1 + counts[step]), np.float32)
            rows[:, 0] = z
            rows[:, 1:] = scaled[: counts[step], here].T
            network = self._network(counts[step], self._units(step, n_steps), seed + step)
            if curve[-1] > curve[0]:
                order = _core.shuffle(seed, int(_SAMPLE + step), len(here))
                apart = max(int(self.hold_out * len(here)), 1)
                few = len(here) < 16 * self.batch_size  # smaller batches, or there would be hardly a step
                history = fit(
                    network,
                    (rows[order[apart:]], None, None),
                    validation=(rows[order[:apart]], None),
                    loss=FlowNLL(),
                    optimizer=AdamW(schedule.Cosine(self.rate), weight_decay=self.weight_decay),
                    epochs=self.epochs,
                    batch_size=max(min(self.batch_size, len(here) // 64), 32) if few else self.batch_size,
                    seed=seed + step,
                    progress=progress,
                    num_threads=num_threads,
                )
                self.losses_[step] = min(row["validation_loss"] for row in history.rows)
            self.networks_.append(network)
        return self

    # ----------------------------------------------------------------------------------------------- sampling
    def layers(self):
        """Weights and biases of the dense layers of each step, as the core takes them: the scaling of the
        features is part of the first ones. A list of lists of (weight, bias), float32."""
        found = []
        for network, k in zip(self.networks_, self.n_features_):
            layers = [[array.copy() for array in layer] for layer in _layers(network)]
            w, b = (array.astype(np.float64) for array in layers[0])
            w = w / self.scale_[:k, None]
            layers[0] = [w.astype(np.float32), (b - self.mean_[:k] @ w).astype(np.float32)]
            found.append(layers)
        return found

    def core(self, layers=None):
        """The chain as an object of the core, made of :meth:`layers`."""
        steps = []
        for step, some in enumerate(self.layers() if layers is None else layers):
            weights, biases = zip(*some)
            rest = float(self.bound), self.curves_[step], float(self.edges_[step])
            steps.append((weights, biases, self.activation, self.bins, *rest))
        return _core.SplineChain(steps)

    def sample(self, n, features, *, seed, first=0):
        """New numbers.

        Parameters
        ----------
        n : int
        features : callable
            ``features(step, values)`` with the numbers (n_steps, n) made so far, those from `step` on being
            0, returns at least the features (k, n) float32 of that step.
        seed : int
        first : int
            Number of the first row; a row has the same bits whatever ``n`` and ``first``.

        Returns
        -------
        (n_steps, n) float32 array
        """
        core, seed = self.core(), _seed(seed)
        values = np.zeros((len(self.networks_), n), np.float32)
        for step, k in enumerate(self.n_features_):
            z = normal(seed, _SAMPLE + step, first, (n,), np.float32)
            values[step] = core.run(step, np.ascontiguousarray(features(step, values)[:k]), z)
        return values


def _layers(network):
    """Weights and biases of the dense layers of a network in order, as views of its parameters."""
    return [
        [
            network.parameters[first : first + int(np.prod(shape))].reshape(shape)
            for _, first, shape in node["parameters"]
        ]
        for node in network._graph.nodes()
        if node["op"] == "dense"
    ]
