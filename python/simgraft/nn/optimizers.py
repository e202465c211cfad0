"""Optimisers: what to do with a gradient. They only store; the work is done by the C core."""

from simgraft.nn._params import Params

_COMMON = """
    rate : float or schedule
        Learning rate, or a schedule of ``nn.schedule``.
    clip_norm : float or None
        Largest Euclidean norm of the gradient; a longer one is scaled back.
    clip_value : float or None
        Largest size of one element of the gradient.
    ema : float or None
        Decay of an exponential moving average of the weights, in (0, 1); validation, callbacks and the result then use the
        average instead of the last weights."""


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

    def __init__(self, rate=1e-2, momentum=0.0, nesterov=False, weight_decay=0.0, *, clip_norm=None, clip_value=None, ema=None):
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

    def __init__(self, rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, *, clip_norm=None, clip_value=None,
                 ema=None):
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

    def __init__(self, rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.01, *, clip_norm=None, clip_value=None,
                 ema=None):
        self.rate = rate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.ema = ema
