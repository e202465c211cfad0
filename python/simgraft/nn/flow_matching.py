"""Flow matching: a generative model that learns the velocity which carries noise to data along straight
lines.

With noise ``x0 ~ N(0, 1)`` and data ``x1``, a network is trained to predict ``x1 - x0`` from ``x_t = (1 - t)
x0 + t x1`` and the time ``t``. Samples are solutions of ``dx/dt = network(x, t)`` from ``t = 0`` to ``t =
1``. Lipman et al. 2023, arXiv:2210.02747.

The network's input row is ``[x_t, t, condition]`` and its output row the velocity; :class:`Pairs` makes the
training rows, so that :func:`simgraft.nn.fit` and all it offers do the training, and :func:`sample` solves
the equation.
"""

import numpy as np

from simgraft import _core
from simgraft.nn.network import _seed

_NOISE, _TIME, _SAMPLE = (0x666C6F77 << 32) + np.arange(3)  # streams of random numbers


def normal(seed, stream, first, shape, dtype):
    """Standard normal rows; row i has the same numbers whatever the first row and the number of rows."""
    out = np.empty(int(np.prod(shape)), dtype)
    _core.random_fill("normal", seed, int(stream), first * (out.size // max(shape[0], 1)), out)
    return out.reshape(shape)


class Pairs:
    """Training rows of flow matching, a source for :func:`simgraft.nn.fit`.

    Parameters
    ----------
    samples : (n, d) array
        The data, of the network's dtype; scale them to about unit variance.
    condition : (n, n_condition) array or None
        What each sample belongs to.
    weight : (n,) array or None
    batch_size : int
        >= 1.
    seed : int
        Of the fixed pairs that are used when this is the validation set.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import nn
    >>> data = 3 + 0.5 * np.random.default_rng(1).normal(size=(2000, 1))
    >>> network = nn.MLP([32, 32], "swish").build(2, 1, seed=1, dtype="float64")
    >>> pairs = nn.flow_matching.Pairs(data)
    >>> history = nn.fit(network, pairs, optimizer=nn.Adam(1e-2), epochs=30, seed=1, progress=False)
    >>> samples = nn.flow_matching.sample(network, 1000, seed=2)
    >>> bool(abs(samples.mean() - 3) < 0.1 and abs(samples.std() - 0.5) < 0.1)
    True
    """

    def __init__(self, samples, condition=None, *, weight=None, batch_size=256, seed=0):
        self.samples = np.asarray(samples)
        if (
            self.samples.ndim != 2
            or self.samples.dtype not in (np.float32, np.float64)
            or not np.isfinite(self.samples).all()
        ):
            raise ValueError(
                "samples: expected a finite float array (n, d), "
                f"got {self.samples.dtype} {self.samples.shape}"
            )
        for value, name in ((condition, "condition"), (weight, "weight")):
            if value is not None and (len(value) != len(samples) or value.dtype != self.samples.dtype):
                raise ValueError(
                    f"{name}: expected {len(samples)} rows of {self.samples.dtype}, "
                    f"got {len(value)} of {value.dtype}"
                )
        if batch_size < 1:
            raise ValueError(f"batch_size: expected an integer >= 1, got {batch_size!r}")
        self.condition, self.weight, self.batch_size, self.seed = condition, weight, batch_size, _seed(seed)
        self.n_target = self.samples.shape[1]

    def __len__(self):
        return -(-len(self.samples) // self.batch_size)

    def _rows(self, rows, first, seed):
        x1, (n, d) = self.samples[rows], (len(rows), self.n_target)
        x0 = normal(seed, _NOISE, first, (n, d), x1.dtype)
        t = np.empty(n, x1.dtype)
        _core.random_fill("uniform", seed, int(_TIME), first, t)
        t = t[:, None]
        parts = [(1 - t) * x0 + t * x1, t] + ([] if self.condition is None else [self.condition[rows]])
        return np.hstack(parts), x1 - x0, None if self.weight is None else self.weight[rows]

    def epoch(self, seed):
        """Batches of new pairs: every sample once, with new noise and a new time."""
        order = _core.shuffle(seed, int(_SAMPLE), len(self.samples))
        for first in range(0, len(order), self.batch_size):
            yield self._rows(order[first : first + self.batch_size], first, seed)

    def blocks(self):
        """The same pairs each time, for validation."""
        for first in range(0, len(self.samples), self.batch_size):
            yield self._rows(
                np.arange(first, min(first + self.batch_size, len(self.samples))), first, self.seed
            )


def solve(network, x, condition=None, *, steps=50, method="rk4", num_threads=None):
    """Carry noise to data: the solution at ``t = 1`` of ``dx/dt = network(x, t)``.

    Parameters
    ----------
    network : Network
        Input row ``[x, t, condition]``, output row the velocity.
    x : (n, d) array
        Noise, the rows at ``t = 0``, of the network's dtype.
    condition : (n, n_condition) or (n_condition,) array, optional
    steps : int
        Of equal size in time, >= 1.
    method : {"euler", "heun", "rk4"}
        Runge-Kutta method of order 1, 2 or 4 with as many evaluations of the network per step.
    num_threads : int, optional

    Returns
    -------
    (n, d) array

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import nn
    >>> network = nn.MLP([8]).build(3, 2, seed=1)
    >>> nn.flow_matching.solve(network, np.zeros((5, 2), np.float32), steps=4).shape
    (5, 2)
    """
    d, dtype = network.n_out, network.dtype
    n_condition = network.n_in - d - 1
    if n_condition < 0 or (n_condition > 0) != (condition is not None):
        raise ValueError(
            f"condition: a network {network.n_in} -> {d} takes {max(n_condition, 0)} columns of condition"
        )
    if not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"steps: expected an integer >= 1, got {steps!r}")
    row = np.empty((len(x), network.n_in), dtype)
    if n_condition:
        row[:, d + 1 :] = condition

    def velocity(x, t):
        row[:, :d], row[:, d] = x, t
        return network.predict(row, num_threads=num_threads)

    h = dtype.type(1 / steps)
    for i in range(steps):
        t = i / steps
        k1 = velocity(x, t)
        if method == "euler":
            x = x + h * k1
        elif method == "heun":
            x = x + h / 2 * (k1 + velocity(x + h * k1, t + h))
        elif method == "rk4":
            k2 = velocity(x + h / 2 * k1, t + h / 2)
            k3 = velocity(x + h / 2 * k2, t + h / 2)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + velocity(x + h * k3, t + h))
        else:
            raise ValueError(f"method: expected euler, heun or rk4, got {method!r}")
    return x


def sample(network, n, condition=None, *, seed, steps=50, method="rk4", num_threads=None):
    """New samples from a trained velocity network.

    Parameters
    ----------
    network : Network
        Input row ``[x, t, condition]``, output row the velocity.
    n : int
        Number of samples.
    condition, steps, method, num_threads
        As of :func:`solve`.
    seed : int
        Sample i has the same bits whatever ``n`` and ``num_threads``.

    Returns
    -------
    (n, d) array

    Examples
    --------
    >>> from simgraft import nn
    >>> network = nn.MLP([8]).build(3, 2, seed=1)
    >>> nn.flow_matching.sample(network, 5, seed=1, steps=4).shape
    (5, 2)
    """
    x = normal(_seed(seed), _SAMPLE, 0, (n, network.n_out), network.dtype)
    return solve(network, x, condition, steps=steps, method=method, num_threads=num_threads)
