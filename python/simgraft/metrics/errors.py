"""Statistics of data and measures of error.

Sums run in double precision, row after row, in C: the result does not depend on how the rows are cut into blocks. Where rows carry
weights (rare events, unequal shards), every mean is weighted by them, and a row of weight 0 takes no part.
"""

from __future__ import annotations

import numpy as np

from simgraft import _core

__all__ = [
    "Errors",
    "Moments",
    "bias",
    "binned_error",
    "mae",
    "max_error",
    "percentiles",
    "relative_error",
    "rmse",
    "squared_distance",
    "whitening",
]


def _rows(array, name):
    """`array` (n, ...) of float32 or float64 as (n, m), and its trailing shape."""
    array = np.asarray(array)
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name}: expected a float32 or float64 array, got {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"{name}: expected an array of shape (n, ...), got a single number")
    shape = array.shape[1:]
    return array.reshape(array.shape[0], int(np.prod(shape))), shape


def _pair(prediction, truth):
    prediction, shape = _rows(prediction, "prediction")
    truth, truth_shape = _rows(truth, "truth")
    if (prediction.shape[0], *shape) != (truth.shape[0], *truth_shape):
        raise ValueError(
            f"truth: expected shape {(prediction.shape[0], *shape)} of prediction, got {(truth.shape[0], *truth_shape)}"
        )
    if prediction.dtype != truth.dtype:  # float32 to float64 loses nothing
        prediction, truth = prediction.astype(np.float64), truth.astype(np.float64)
    return prediction, truth, shape


class Moments:
    """Running mean, variance, range and covariance of columns, without keeping the rows.

    Parameters
    ----------
    covariance : bool
        Also accumulate the covariance of all pairs of columns: cost and memory grow with their square.

    Attributes
    ----------
    count_ : int
        Rows that took part (weight above 0).
    weight_ : float
        Sum of their weights [1].
    mean_, variance_, std_, minimum_, maximum_ : (...) float64 array
        Of each column, in the columns' unit (variance: squared). Variance and covariance are divided by the sum of weights
        (population moments).
    covariance_ : (m, m) float64 array
        Covariance of the flattened columns.

    Notes
    -----
    West's weighted update (1979, doi:10.1145/359146.359153), merged after Chan, Golub & LeVeque
    (1983, doi:10.1080/00031305.1983.10483115). The same rows in the same order give the same bits for any cut into blocks and on
    any machine with IEEE arithmetic; `merge` differs from that in the last places.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> m = metrics.Moments()
    >>> for block in np.arange(6.0).reshape(3, 2, 1):
    ...     m = m.update(block)
    >>> m.mean_, m.minimum_, m.maximum_
    (array([2.5]), array([0.]), array([5.]))
    """

    def __init__(self, covariance=False):
        self.covariance = covariance
        self._state = None

    def _start(self, shape):
        m = int(np.prod(shape))
        product = np.zeros((m, m)) if self.covariance else None
        self._shape = shape
        self._state = (np.zeros(2), np.zeros(m), np.zeros(m), np.full(m, np.inf), np.full(m, -np.inf), product)

    def update(self, x, weight=None):
        """Add rows.

        Parameters
        ----------
        x : (n, ...) float32 or float64 array
            Rows, finite; the trailing shape must be that of the first call.
        weight : (n,) float64 array [1], optional
            Weight of each row, >= 0; default 1.

        Returns
        -------
        Moments
            self

        Raises
        ------
        NotFiniteError
            If x holds NaN or infinity; the message names the first row and column.
        ValueError
            If a shape does not fit or a weight is negative.
        """
        x, shape = _rows(x, "x")
        if self._state is None:
            self._start(shape)
        elif shape != self._shape:
            raise ValueError(f"x: expected rows of shape {self._shape} as before, got {shape}")
        _core.moments_update(x, weight, self._state)
        return self

    def merge(self, other):
        """Add the rows another Moments has seen (of another process or shard).

        Parameters
        ----------
        other : Moments
            With the same columns and the same `covariance`.

        Returns
        -------
        Moments
            self
        """
        if other._state is None:
            return self
        if self.covariance != other.covariance:
            raise ValueError("other: one of the two has a covariance, the other has not")
        if self._state is None:
            self._start(other._shape)
        elif self._shape != other._shape:
            raise ValueError(f"other: expected rows of shape {self._shape}, got {other._shape}")
        _core.moments_merge(self._state, other._state)
        return self

    def _get(self, k):
        if self._state is None or self._state[0][1] <= 0:
            raise ValueError("no row of positive weight has been seen: call update(x) first")
        return self._state[k]

    @property
    def count_(self):
        return int(self._get(0)[0])

    @property
    def weight_(self):
        return float(self._get(0)[1])

    @property
    def mean_(self):
        return self._get(1).reshape(self._shape).copy()

    @property
    def variance_(self):
        return (self._get(2) / self.weight_).reshape(self._shape)

    @property
    def std_(self):
        return np.sqrt(self.variance_)

    @property
    def minimum_(self):
        return self._get(3).reshape(self._shape).copy()

    @property
    def maximum_(self):
        return self._get(4).reshape(self._shape).copy()

    @property
    def covariance_(self):
        lower = self._get(5)
        if lower is None:
            raise ValueError("this Moments was made with covariance=False")
        return (np.tril(lower) + np.tril(lower, -1).T) / self.weight_


class Errors:
    """Running errors of a prediction against the truth, per column, without keeping the rows.

    Blocks of unequal length are weighted by their rows, so the result is that of one pass over all of them.

    Attributes
    ----------
    count_ : int
        Rows that took part (weight above 0).
    bias_, mae_, rmse_, max_error_ : (...) float64 array
        Mean, mean absolute, root mean square and largest absolute error of each column [unit of the column]. NaN where an error
        was NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> e = metrics.Errors().update(np.array([1.0, 2.0]), np.array([0.0, 0.0])).update(np.array([3.0]), np.array([0.0]))
    >>> float(e.bias_), float(e.max_error_)
    (2.0, 3.0)
    """

    def __init__(self):
        self._state = None

    def update(self, prediction, truth, weight=None):
        """Add rows.

        Parameters
        ----------
        prediction, truth : (n, ...) float32 or float64 array
            Rows of the same shape; compared in float64.
        weight : (n,) float64 array [1], optional
            Weight of each row, >= 0; default 1.

        Returns
        -------
        Errors
            self

        Raises
        ------
        TypeError
            If an array is not float32 or float64.
        ValueError
            If shapes differ or a weight is negative.
        """
        prediction, truth, shape = _pair(prediction, truth)
        if self._state is None:
            self._shape = shape
            self._state = (np.zeros(2), *(np.zeros(prediction.shape[1]) for _ in range(4)))
        elif shape != self._shape:
            raise ValueError(f"prediction: expected rows of shape {self._shape} as before, got {shape}")
        _core.errors_update(prediction, truth, weight, self._state)
        return self

    def _mean(self, k):
        if self._state is None or self._state[0][1] <= 0:
            raise ValueError("no row of positive weight has been seen: call update(prediction, truth) first")
        return (self._state[k] / self._state[0][1]).reshape(self._shape)

    @property
    def count_(self):
        return 0 if self._state is None else int(self._state[0][0])

    @property
    def bias_(self):
        return self._mean(1)

    @property
    def mae_(self):
        return self._mean(2)

    @property
    def rmse_(self):
        return np.sqrt(self._mean(3))

    @property
    def max_error_(self):
        self._mean(4)
        return self._state[4].reshape(self._shape).copy()


def bias(prediction, truth, *, weight=None, columns=False):
    """Mean error, mean(prediction - truth).

    Parameters
    ----------
    prediction, truth : (n, ...) float32 or float64 array
        Rows of the same shape and unit.
    weight : (n,) float64 array [1], optional
        Weight of each row, >= 0; default 1.
    columns : bool
        One number per column (the trailing shape) instead of one over all.

    Returns
    -------
    float or (...) float64 array [unit of the truth]

    Raises
    ------
    TypeError
        If an array is not float32 or float64.
    ValueError
        If shapes differ, or no row has a positive weight.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> metrics.bias(np.array([1.0, 4.0]), np.array([1.0, 2.0]))
    1.0
    """
    value = Errors().update(prediction, truth, weight).bias_
    return value if columns else float(np.mean(value))


def mae(prediction, truth, *, weight=None, columns=False):
    """Mean absolute error. Parameters, errors and unit as for `bias`.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> metrics.mae(np.array([1.0, 4.0]), np.array([2.0, 2.0]))
    1.5
    """
    value = Errors().update(prediction, truth, weight).mae_
    return value if columns else float(np.mean(value))


def rmse(prediction, truth, *, weight=None, columns=False):
    """Root mean square error. Parameters, errors and unit as for `bias`.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> metrics.rmse(np.array([3.0, 4.0]), np.array([0.0, 0.0]), weight=np.array([1.0, 0.0]))
    3.0
    """
    value = Errors().update(prediction, truth, weight).rmse_
    return value if columns else float(np.sqrt(np.mean(value**2)))


def max_error(prediction, truth, *, weight=None, columns=False):
    """Largest absolute error among rows of positive weight. Parameters, errors and unit as for `bias`.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> metrics.max_error(np.array([[1.0, 4.0], [2.0, 2.0]]), np.ones((2, 2)), columns=True)
    array([1., 3.])
    """
    value = Errors().update(prediction, truth, weight).max_error_
    return value if columns else float(np.max(value))


def percentiles(x, percent):
    """Percentiles by exact selection, linear between neighbours.

    Parameters
    ----------
    x : float32 or float64 array
        Values of any shape, taken together; at least one. NaN anywhere gives NaN.
    percent : float or (k,) array [%]
        0 to 100.

    Returns
    -------
    float or (k,) float64 array [unit of x]

    Raises
    ------
    ValueError
        If x is empty or a percent lies outside 0 to 100.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> metrics.percentiles(np.arange(5.0), [0, 50, 90])
    array([0. , 2. , 3.6])
    """
    x, _ = _rows(np.atleast_1d(x), "x")
    wanted = np.asarray(percent, np.float64)
    result = _core.percentiles(x.astype(np.float64, copy=False).ravel(), np.atleast_1d(wanted))
    return result if wanted.ndim else float(result[0])


def relative_error(prediction, truth, *, floor, percent=(50, 95, 99)):
    """Percentiles of the relative error |prediction - truth| / max(|truth|, floor).

    Parameters
    ----------
    prediction, truth : (n, ...) float32 or float64 array
        Of the same shape and unit.
    floor : float or array that broadcasts to one row [unit of the truth]
        Size below which an error is judged against the floor instead of the truth, > 0.
    percent : float or (k,) array [%]
        0 to 100.

    Returns
    -------
    float or (k,) float64 array [1]

    Raises
    ------
    ValueError
        If shapes differ, an array is empty or a floor is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> metrics.relative_error(np.array([1.1, 0.2]), np.array([1.0, 0.0]), floor=1.0, percent=100)
    0.2
    """
    floor = np.asarray(floor, np.float64)
    if not np.all(floor > 0):
        raise ValueError(f"floor: expected numbers above 0, got {floor}")
    prediction, truth, shape = _pair(prediction, truth)
    floor = np.broadcast_to(floor, shape).reshape(-1)
    truth = truth.astype(np.float64, copy=False)
    return percentiles(np.abs(prediction - truth) / np.maximum(np.abs(truth), floor), percent)


def whitening(covariance, ridge=0.0):
    """Linear map that makes correlated columns uncorrelated with variance 1.

    Parameters
    ----------
    covariance : (m, m) float64 array
        Covariance of the columns, as `Moments.covariance_`; the lower triangle is read.
    ridge : float [1]
        Adds this share of each column's variance to it, so that columns that depend on each other can be used; >= 0.

    Returns
    -------
    (m, m) float64 array
        Lower triangular W, with W C W^T = 1 for C = covariance + ridge diag(covariance): the inverse of its Cholesky factor
        (LAPACK dpotrf, dtrtri).

    Raises
    ------
    ValueError
        If a column is constant or a combination of columns before it; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> metrics.whitening(np.array([[4.0, 2.0], [2.0, 2.0]]))
    array([[ 0.5,  0. ],
           [-0.5,  1. ]])
    """
    return _core.whitening(covariance, ridge)


def squared_distance(x, mean, whitening, num_threads=None):
    """Squared Mahalanobis distance of rows from the mean, |W (x - mean)|^2.

    Parameters
    ----------
    x : (n, m) float32 or float64 array
        Rows.
    mean : (m,) array of the same dtype [unit of x]
        Centre.
    whitening : (m, m) array of the same dtype [1 / unit of x]
        Lower triangular map of `whitening`.
    num_threads : int, optional
        Threads; default ``OMP_NUM_THREADS`` or all.

    Returns
    -------
    (n,) array of the same dtype [1]
        Of normally distributed rows: chi square with m degrees of freedom. The same bits for any number of rows and threads.

    Raises
    ------
    TypeError, ValueError
        If a dtype or shape does not fit; the message names the argument.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> metrics.squared_distance(np.array([[3.0, 4.0]]), np.zeros(2), np.eye(2))
    array([25.])
    """
    return _core.squared_distance(x, mean, whitening, num_threads or 0)


def binned_error(x, error, bins=20, log=False):
    """Error against a coordinate: mean and central 95 % band in bins of equal count.

    Parameters
    ----------
    x : (n,) array
        Coordinate, for example pressure.
    error : (n,) array
        Signed errors.
    bins : int
        Number of bins.
    log : bool
        Take the bin centres as geometric means.

    Returns
    -------
    centre, mean, low, high : (bins,) arrays
        ``low`` and ``high`` are the 2.5 and 97.5 percentiles.
    """
    x = np.asarray(x, dtype=np.float64).ravel()
    error = np.asarray(error, dtype=np.float64).ravel()
    order = np.argsort(x, kind="stable")
    rows = []
    for part in np.array_split(order, min(bins, x.size)):
        centre = np.exp(np.mean(np.log(x[part]))) if log else x[part].mean()
        low, high = np.percentile(error[part], (2.5, 97.5))
        rows.append((centre, error[part].mean(), low, high))
    return tuple(np.array(rows).T)
