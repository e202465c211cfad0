"""Losses. Each is a mean over rows and columns, weighted by ``weight`` per row (given with the data) and ``column_weight``.

Weights are not normalised: give them a mean of 1 to keep the size of the loss.
"""

import numpy as np

from simgraft.nn._params import Params


class _Loss(Params):
    _name = None
    _attributes = ()
    rows_per_group = 1

    def _pair(self):
        return self._name, {name: getattr(self, name) for name in self._attributes}

    def _column_weight(self, dtype):
        return None if self.column_weight is None else np.ascontiguousarray(self.column_weight, dtype)


class MSE(_Loss):
    """Mean squared error.

    Parameters
    ----------
    column_weight : (n_out,) array or None
        Weight of each output column, >= 0.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.MSE(column_weight=[1.0, 0.1]).get_params()["column_weight"]
    [1.0, 0.1]
    """

    _name = "mse"

    def __init__(self, column_weight=None):
        self.column_weight = column_weight


class MAE(_Loss):
    """Mean absolute error.

    Parameters
    ----------
    column_weight : (n_out,) array or None
        Weight of each output column, >= 0.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.MAE(column_weight=[1.0, 0.1]).get_params()["column_weight"]
    [1.0, 0.1]
    """

    _name = "mae"

    def __init__(self, column_weight=None):
        self.column_weight = column_weight


class Huber(_Loss):
    """Half the squared error up to ``delta``, ``delta * (|error| - delta / 2)`` beyond.

    Parameters
    ----------
    delta : float
        > 0, in units of the network's outputs.
    column_weight : (n_out,) array or None
        Weight of each output column, >= 0.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.Huber(delta=0.1).get_params()["delta"]
    0.1
    """

    _name = "huber"
    _attributes = ("delta",)

    def __init__(self, delta=1.0, column_weight=None):
        self.delta = delta
        self.column_weight = column_weight


class Hybrid(_Loss):
    """Squared error, and absolute error of differences between samples that belong together.

    ``alpha * MAE(differences of neighbouring rows in a group) + (1 - alpha) * MSE``. Rows ``k * group .. k * group + group - 1``
    of the data are a group, for instance the same profile with and without a perturbed gas; groups are shuffled as a whole and
    batches must hold whole groups.

    Parameters
    ----------
    alpha : float
        Share of the differences, in [0, 1].
    group : int
        Rows per group, >= 2.
    column_weight : (n_out,) array or None
        Weight of each output column, >= 0.

    References
    ----------
    Ukkonen & Hogan 2023, doi:10.5194/gmd-16-3241-2023.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.Hybrid(alpha=0.6, group=2).get_params()["alpha"]
    0.6
    """

    _name = "hybrid"
    _attributes = ("alpha", "group")

    def __init__(self, alpha=0.5, group=2, column_weight=None):
        self.alpha = alpha
        self.group = group
        self.column_weight = column_weight

    @property
    def rows_per_group(self):
        """Rows that must stay together."""
        return self.group
