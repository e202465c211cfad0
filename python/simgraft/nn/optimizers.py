"""Optimisers: what to do with a gradient. They only store; the work is done by the C core."""

import numpy as np

from simgraft import _core
from simgraft.nn._params import Params

_COMMON = """
    rate : float or schedule
        Learning rate, or a schedule of ``nn.schedule``.
    clip_norm : float or None
        Largest Euclidean norm of the gradient; a longer one is scaled back.
    clip_value : float or None
        Largest size of one element of the gradient.
    ema : float or None
        Decay of an exponential moving average of the weights, in (0, 1); validation, callbacks and the result
        then use the average instead of the last weights."""


class _Optimizer(Params):
    _name = None
    _attributes = ()

    def __init_subclass__(cls):
        cls.__doc__ = cls.__doc__.replace("    {common}", _COMMON.lstrip("\n"))

    def _pair(self):
        return self._name, {name: getattr(self, name) for name in self._attributes}


class SGD(_Optimizer):
    """Stochastic gradient descent with momentum.

    Parameters
    ----------
    {common}
    momentum : float
        In [0, 1): share of the last step that is kept.
    nesterov : bool
        Look ahead along the momentum.
    weight_decay : float
        Adds ``weight_decay * parameter`` to the gradient.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.SGD(0.05, momentum=0.9, nesterov=True)
    SGD(rate=0.05, momentum=0.9, nesterov=True)
    """

    _name = "sgd"
    _attributes = ("momentum", "nesterov", "weight_decay")

    def __init__(
        self,
        rate=1e-2,
        momentum=0.0,
        nesterov=False,
        weight_decay=0.0,
        *,
        clip_norm=None,
        clip_value=None,
        ema=None,
    ):
        self.rate = rate
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.ema = ema


class Adam(_Optimizer):
    """Adam; Kingma & Ba 2015, arXiv:1412.6980.

    Parameters
    ----------
    {common}
    beta1, beta2 : float
        Memory of the mean of the gradient and of its square, in [0, 1).
    epsilon : float
        Added to the root of the mean square.
    weight_decay : float
        Adds ``weight_decay * parameter`` to the gradient; see :class:`AdamW` for the decoupled form.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.Adam(nn.schedule.Cosine(3e-3))
    Adam(rate=Cosine(rate=0.003))
    """

    _name = "adam"
    _attributes = ("beta1", "beta2", "epsilon", "weight_decay")

    def __init__(
        self,
        rate=1e-3,
        beta1=0.9,
        beta2=0.999,
        epsilon=1e-8,
        weight_decay=0.0,
        *,
        clip_norm=None,
        clip_value=None,
        ema=None,
    ):
        self.rate = rate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.ema = ema


class AdamW(_Optimizer):
    """Adam with decoupled weight decay; Loshchilov & Hutter 2019, arXiv:1711.05101.

    Parameters
    ----------
    {common}
    beta1, beta2 : float
        Memory of the mean of the gradient and of its square, in [0, 1).
    epsilon : float
        Added to the root of the mean square.
    weight_decay : float
        Parameters shrink by ``1 - rate * weight_decay`` in every step.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.AdamW(1e-3, weight_decay=0.02, clip_norm=1.0)
    AdamW(weight_decay=0.02, clip_norm=1.0)
    """

    _name = "adamw"
    _attributes = ("beta1", "beta2", "epsilon", "weight_decay")

    def __init__(
        self,
        rate=1e-3,
        beta1=0.9,
        beta2=0.999,
        epsilon=1e-8,
        weight_decay=0.01,
        *,
        clip_norm=None,
        clip_value=None,
        ema=None,
    ):
        self.rate = rate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.ema = ema


class LBFGS(_Optimizer):
    """L-BFGS on all rows at once, by SciPy (L-BFGS-B without bounds); for small networks and data that fit in
    memory.

    An epoch is one run of up to ``iterations`` iterations; the curvature is learnt anew in each, so that
    callbacks, early stopping and checkpoints work as with the other optimisers. Training ends when an epoch
    finds no better weights. The line search needs an accurate gradient: build the network with
    ``dtype="float64"``.

    Parameters
    ----------
    iterations : int
        Per epoch, >= 1.
    memory : int
        Pairs of steps and gradient changes kept, >= 1.
    tolerance : float
        An epoch ends early when the largest element of the gradient is below.

    References
    ----------
    Zhu, Byrd, Lu & Nocedal 1997, doi:10.1145/279232.279236.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import nn
    >>> x = np.linspace(-1, 1, 50)[:, None]
    >>> network = nn.MLP([10], "tanh").build(1, 1, seed=1, dtype="float64")
    >>> history = nn.fit(network, (x, np.sin(3 * x)), optimizer=nn.LBFGS(), epochs=4, progress=False)
    >>> bool(history.best < 1e-4)
    True
    """

    rate, clip_norm, clip_value, ema = 1.0, None, None, None

    def __init__(self, iterations=100, memory=20, tolerance=1e-10):
        self.iterations = iterations
        self.memory = memory
        self.tolerance = tolerance

    def _pair(self):
        return "sgd", {}  # what a trainer needs to be made; its update is not used

    def check(self, network, data):
        """What a full-batch optimiser needs."""
        for name in ("iterations", "memory"):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name}: expected an integer >= 1, got {value!r}")
        random = {entry["name"] for entry in _core.nn_ops() if entry["random"]}
        for node in network._graph.nodes():
            if node["op"] in random or "statistic" in node["kinds"]:
                raise ValueError(
                    "optimizer: LBFGS needs a loss that is a function of the weights alone; "
                    f"{node['op']} is not"
                )
        if not hasattr(data, "x"):
            raise ValueError("optimizer: LBFGS needs all rows at once; give arrays, not a stream")

    def run(self, run, progress):
        """One epoch for ``nn.fit``; returns the loss."""
        try:
            from scipy.optimize import minimize
        except ImportError as error:
            raise ImportError("nn.LBFGS needs SciPy: pip install simgraft[sampling]") from error
        data, parameters, done = run.data, run.trainer.parameters, 0

        def value(p):
            parameters[:] = p
            loss, gradient = run.gradient(data.x, data.y, data.weight)
            if run.comm is not None:
                loss, gradient, _, _ = run.reduce(loss, gradient, data.n)
            return loss, gradient.astype(np.float64)

        def after(_):
            nonlocal done
            done += 1
            progress(min(done, self.iterations), self.iterations)

        before = parameters.copy()
        result = minimize(
            value,
            before.astype(np.float64),
            jac=True,
            method="L-BFGS-B",
            callback=after,
            options={
                "maxiter": self.iterations,
                "maxcor": self.memory,
                "gtol": self.tolerance,
                "ftol": 0.0,
                "maxfun": 20 * self.iterations,
            },
        )
        parameters[:] = result.x
        run.converged = np.array_equal(parameters, before)
        run.trainer.step += done
        return float(result.fun)
