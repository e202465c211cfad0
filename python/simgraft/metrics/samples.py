"""How far two samples of rows are apart, in numbers that need no classifier."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from simgraft import _core
from simgraft.metrics._rows import columns, pair, rows, scales, spread, threads, weights
from simgraft.metrics.errors import Moments

__all__ = [
    "Floor",
    "KSTest",
    "correlation_difference",
    "effective_sample_size",
    "energy_distance",
    "floor",
    "frechet_distance",
    "kernel_distance",
    "ks_test",
    "sliced_wasserstein",
    "wasserstein",
]

_DIRECTIONS = 0x6D657472_00000001  # stream of random numbers


def _checked(a, b, weight_a, weight_b):
    a, b = pair(a, b, ("a", "b"))
    return a, b, weights(weight_a, len(a), "weight_a"), weights(weight_b, len(b), "weight_b")


def _distances(a, b, weight_a, weight_b, directions, num_threads):
    return _core.sample_distances(columns(a), weight_a, columns(b), weight_b, directions, threads(num_threads))


def wasserstein(a, b, *, weight_a=None, weight_b=None, scale=None, num_threads=None):
    """Wasserstein-1 distance of each column, the integral of |F_a - F_b|.

    Parameters
    ----------
    a, b : (n, m) or (n,) float32 or float64 array
        Rows of the two samples, at least one each; columns of one unit each.
    weight_a, weight_b : (n,) float64 array [1], optional
        Weights of the rows, finite and >= 0; default 1.
    scale : float or (m,) array, optional [unit of the column]
        Each distance is divided by it, usually the standard deviation of the truth.
    num_threads : int, optional
        Threads; default ``OMP_NUM_THREADS`` or all. The bits do not depend on it.

    Returns
    -------
    (m,) float64 array [unit of the column, or 1 with `scale`]

    Raises
    ------
    NotFiniteError
        If a row holds NaN or infinity; the message names argument, row and column.
    ValueError
        If shapes do not fit or a weight is negative or NaN (the message names the event).

    Notes
    -----
    Each column alone: blind to correlations, to the mass shell and to copies of the training sample.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> metrics.wasserstein(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    array([1.])
    """
    w = _distances(*_checked(a, b, weight_a, weight_b), None, num_threads)[:, 0].copy()
    return w if scale is None else w / np.broadcast_to(np.asarray(scale, np.float64), w.shape)


def sliced_wasserstein(a, b, directions=128, *, weight_a=None, weight_b=None, scale=None, seed=0, num_threads=None):
    """Mean Wasserstein-1 distance of the projections on random directions.

    Parameters
    ----------
    a, b : (n, m) float32 or float64 array
        Rows of the two samples.
    directions : int
        Random directions on the unit sphere, >= 1.
    weight_a, weight_b : (n,) float64 array [1], optional
        Weights of the rows, finite and >= 0; default 1.
    scale : (m,) array, optional
        Columns are divided by it; default the standard deviation of `a` (1 for a constant column). Columns of different units
        have no common direction without it.
    seed : int
        Of the directions.
    num_threads : int, optional
        Threads; the bits do not depend on it.

    Returns
    -------
    value, error : float [1]
        Mean over the directions, and its standard error from their spread.

    Raises
    ------
    NotFiniteError, ValueError
        As of `wasserstein`.

    Notes
    -----
    Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3; Grossi, Letizia & Torre 2024, arXiv:2409.16336, find its power comparable
    with costlier tests. Sees correlations between columns, but weakly those of many; blind to copies of the training sample.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> x = np.random.default_rng(1).normal(size=(1000, 3))
    >>> value, error = metrics.sliced_wasserstein(x, x + 1.0, scale=np.ones(3))
    >>> 0 < value < 3**0.5
    True
    """
    if not isinstance(directions, (int, np.integer)) or directions < 1:
        raise ValueError(f"directions: expected an integer >= 1, got {directions!r}")
    a, b, weight_a, weight_b = _checked(a, b, weight_a, weight_b)
    m = a.shape[1]
    scale = scales(spread(a, weight_a) if scale is None else scale, (m,))
    direction = _core.random_fill("normal", seed, _DIRECTIONS, 0, np.empty(directions * m)).reshape(directions, m)
    direction /= np.sqrt((direction**2).sum(axis=1, keepdims=True))
    w = _distances(a, b, weight_a, weight_b, direction / scale, num_threads)[:, 0]
    return float(w.mean()), float(w.std(ddof=1) / np.sqrt(directions)) if directions > 1 else np.nan


@dataclass(frozen=True)
class KSTest:
    """Kolmogorov-Smirnov test of each column.

    Attributes
    ----------
    statistic : (m,) float64 array [1]
        Largest distance of the two distribution functions.
    p_value : (m,) float64 array [1]
        Probability of at least this distance between samples of one distribution.
    """

    statistic: np.ndarray
    p_value: np.ndarray


def ks_test(a, b, *, weight_a=None, weight_b=None, method="auto", num_threads=None):
    """Two-sample Kolmogorov-Smirnov test of each column.

    Parameters
    ----------
    a, b : (n, m) or (n,) float32 or float64 array
        Rows of the two samples.
    weight_a, weight_b : (n,) float64 array [1], optional
        Weights of the rows; the p-value is then that of the limit with the effective sample sizes.
    method : {"auto", "exact", "limit"}
        Exact probability of the lattice paths, or the limit of large samples after Stephens (off by a few per cent of p for 50
        rows, below 1 % for 1000). "auto": exact where it costs less than 1e8 steps.
    num_threads : int, optional
        Threads; the bits do not depend on it.

    Returns
    -------
    KSTest

    Raises
    ------
    NotFiniteError, ValueError
        As of `wasserstein`.

    Notes
    -----
    Hodges 1958, doi:10.1007/BF02589501. Each column alone, and least sensitive in the tails. With columns that hold many equal
    values (zeros of absent objects) p-values are too large.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> test = metrics.ks_test(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    >>> float(test.statistic[0]), round(float(test.p_value[0]), 9)  # 2 of the 20 orders
    (1.0, 0.1)
    """
    if method not in ("auto", "exact", "limit"):
        raise ValueError(f"method: expected auto, exact or limit, got {method!r}")
    a, b, weight_a, weight_b = _checked(a, b, weight_a, weight_b)
    weighted = weight_a is not None or weight_b is not None
    if weighted and method == "exact":
        raise ValueError("method: there is no exact probability for weighted rows; pass auto or limit")
    statistic = _distances(a, b, weight_a, weight_b, None, num_threads)[:, 2:].max(axis=1)
    n_a = len(a) if weight_a is None else max(1, round(effective_sample_size(weight_a)))
    n_b = len(b) if weight_b is None else max(1, round(effective_sample_size(weight_b)))
    method = "limit" if weighted else method
    p = [_core.ks_probability(n_a, n_b, min(float(d), 1.0), method) for d in statistic]
    return KSTest(statistic, np.array(p))


def energy_distance(a, b, *, weight_a=None, weight_b=None, num_threads=None):
    """Energy distance of two samples of rows, sqrt(2 E|A - B| - E|A - A'| - E|B - B'|).

    Parameters
    ----------
    a, b : (n, m) or (n,) float32 or float64 array
        Rows of the two samples, in columns of comparable size: standardise them first.
    weight_a, weight_b : (n,) float64 array [1], optional
        Weights of the rows, finite and >= 0; default 1.
    num_threads : int, optional
        Threads; the bits do not depend on it.

    Returns
    -------
    float [unit of the distance]^(1/2)
        For one column sqrt(2 integral (F_a - F_b)^2), by sorting; otherwise over all pairs of rows: (n_a + n_b)^2 m operations.

    Raises
    ------
    NotFiniteError, ValueError
        As of `wasserstein`.

    Notes
    -----
    Szekely & Rizzo 2013, doi:10.1016/j.jspi.2013.03.018. Sees every difference of two distributions in the limit, but is
    governed by the bulk: a wrong tail or a thin surface (mass shell) hardly changes it. Blind to copies of the training sample.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> metrics.energy_distance(np.zeros((2, 2)), np.full((2, 2), 1.0)) ** 2 / 2  # the distance of the two points
    1.4142135...
    """
    a, b, weight_a, weight_b = _checked(a, b, weight_a, weight_b)
    if a.shape[1] == 1:
        return float(np.sqrt(2 * _distances(a, b, weight_a, weight_b, None, num_threads)[0, 1]))
    samples = []
    for x, w in ((a, weight_a), (b, weight_b)):
        w = np.full(len(x), 1 / len(x)) if w is None else w / w.sum()
        # sums over a block keep their digits in float32 when the weights are near 1
        samples.append((np.ascontiguousarray(x), w, (w * len(w)).astype(x.dtype)))

    def mean(i, j):
        (x, w, _), (y, _, near_one) = samples[i], samples[j]
        return w @ _core.pairs_distance_sum(x, y, near_one, threads(num_threads)) / len(y)

    square = 2 * mean(0, 1) - mean(0, 0) - mean(1, 1)
    return float(np.sqrt(max(square, 0.0)))


def _scaled(real, generated, scale):
    """Both samples divided by the largest |real| of each column, in double."""
    real, generated = pair(real, generated, ("real", "generated"), 2)
    real, generated = real.astype(np.float64), generated.astype(np.float64)
    if scale == "max":
        scale = np.abs(real).max(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
    scale = scales(1.0 if scale is None else scale, real.shape[1:])
    return real / scale, generated / scale


def _frechet(a, b):
    parts = []
    for x in (a, b):
        moments = Moments(covariance=True).update(x)
        parts += [moments.mean_, moments.covariance_ * (len(x) / (len(x) - 1))]
    return _core.frechet(*parts)


def frechet_distance(real, generated, *, scale="max", extrapolate=True, sizes=None, draws=20, seed=0):
    """Frechet distance between normal distributions with the means and covariances of two samples (FPD of particle physics).

    Parameters
    ----------
    real, generated : (n, m) float32 or float64 array
        Rows of the two samples.
    scale : {"max"} or array or None
        What columns are divided by; "max": the largest \\|real\\|.
    extrapolate : bool
        Finite samples give a positive value for one and the same distribution, in proportion to 1/n: take the intercept of a
        line through the values of batches of several sizes. False: the value of the whole samples.
    sizes : (k,) array of int, optional
        Sizes of the batches, >= 2 different ones; default ten, equally spaced in 1/n, from 20,000 to 50,000, or from 2/5 of the
        smaller sample to all of it.
    draws : int
        Batches of each size, rows drawn with replacement, >= 1.
    seed : int
        Of the draws.

    Returns
    -------
    value, error : float [1]
        Error of the intercept from the fit; NaN without extrapolation.

    Raises
    ------
    NotFiniteError, ValueError
        As of `wasserstein`.

    Notes
    -----
    Kansal et al. 2023, doi:10.1103/PhysRevD.107.076017. Sees means and covariances, nothing else: models that a classifier
    separates perfectly are found at its floor. Blind to copies of the training sample. Never report it alone.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> x = np.random.default_rng(1).normal(size=(1000, 2))
    >>> value, _ = metrics.frechet_distance(x, x + 1.0, scale=None, extrapolate=False)
    >>> round(value, 9)
    2.0
    """
    real, generated = _scaled(real, generated, scale)
    if not extrapolate:
        return _frechet(real, generated), np.nan
    if sizes is None:
        high = min(50_000, len(real), len(generated))
        sizes = np.round(1 / np.linspace(1 / (0.4 * high), 1 / high, 10)).astype(int)
    sizes = np.unique(np.asarray(sizes, int))
    if len(sizes) < 2 or sizes[0] <= real.shape[1]:
        raise ValueError(f"sizes: expected at least two sizes above the {real.shape[1]} columns, got {sizes.tolist()}")
    rng = np.random.default_rng(seed)
    values = []
    for size in sizes:
        part = [
            _frechet(real[rng.integers(0, len(real), size)], generated[rng.integers(0, len(generated), size)])
            for _ in range(draws)
        ]
        values.append(np.mean(part))
    # a line through (1/n, value) by least squares, and the error of its intercept from the residuals
    x, y = 1 / sizes, np.array(values)
    spread = ((x - x.mean()) ** 2).sum()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / spread
    value = y.mean() - slope * x.mean()
    if len(sizes) == 2:
        return float(value), np.nan
    residual = ((y - value - slope * x) ** 2).sum() / (len(x) - 2)
    return float(value), float(np.sqrt(residual * (1 / len(x) + x.mean() ** 2 / spread)))


def kernel_distance(real, generated, *, scale="max", degree=4, batches=10, batch_size=5000, seed=0, num_threads=None):
    """Squared maximum mean discrepancy with a polynomial kernel, unbiased (KPD of particle physics).

    Parameters
    ----------
    real, generated : (n, m) float32 or float64 array
        Rows of the two samples.
    scale : {"max"} or array or None
        What columns are divided by; "max": the largest \\|real\\|.
    degree : int
        Of the kernel (x . y / m + 1)^degree, >= 1.
    batches : int
        Random batches, >= 1; the result is their median.
    batch_size : int
        Rows of a batch, drawn without replacement; not more than there are.
    seed : int
        Of the batches.
    num_threads : int, optional
        Threads; the bits do not depend on it.

    Returns
    -------
    value, error : float [1]
        Median over the batches, and half the distance of their 16th and 84th percentiles. Below 0 at times: the estimate has no
        bias.

    Raises
    ------
    NotFiniteError, ValueError
        As of `wasserstein`.

    Notes
    -----
    Gretton et al. 2012, JMLR 13, 723, eq. 3; Kansal et al. 2023, doi:10.1103/PhysRevD.107.076017. Sees joint moments up to the
    degree, with little power: most poor models lie at its floor. Blind to copies of the training sample. Never report it alone.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> x = np.random.default_rng(1).normal(size=(2, 4000, 2))
    >>> value, error = metrics.kernel_distance(x[0], x[1] + 1.0, scale=None, batch_size=1000)
    >>> value > 5 * error
    True
    """
    if not isinstance(degree, (int, np.integer)) or degree < 1:
        raise ValueError(f"degree: expected an integer >= 1, got {degree!r}")
    if not isinstance(batches, (int, np.integer)) or batches < 1:
        raise ValueError(f"batches: expected an integer >= 1, got {batches!r}")
    real, generated = _scaled(real, generated, scale)
    n = min(batch_size, len(real), len(generated))
    if n < 2:
        raise ValueError(f"batch_size: expected at least 2 rows, got {n}")
    rng, m, ones = np.random.default_rng(seed), real.shape[1], np.ones(n)

    def mean(x, y, same):
        total = _core.pairs_polynomial_sum(x, y, ones, 1 / m, 1.0, degree, threads(num_threads)).sum()
        if same:
            total -= (((x**2).sum(axis=1) / m + 1) ** degree).sum()
        return total / (n * (n - 1) if same else n * n)

    values = []
    for _ in range(batches):
        x = real[rng.choice(len(real), n, replace=False)]
        y = generated[rng.choice(len(generated), n, replace=False)]
        values.append(mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False))
    low, value, high = np.percentile(values, (16, 50, 84))
    return float(value), float((high - low) / 2)


def correlation_difference(a, b, *, weight_a=None, weight_b=None):
    """Differences of the correlation coefficients of all pairs of columns.

    Parameters
    ----------
    a, b : (n, m) float32 or float64 array
        Rows of the two samples, at least 2 each.
    weight_a, weight_b : (n,) float64 array [1], optional
        Weights of the rows, finite and >= 0; default 1.

    Returns
    -------
    (m, m) float64 array [1]
        Correlation of `a` minus that of `b`; 0 where a column is constant in both, NaN where in one of them. A summary is
        ``np.nanmax(np.abs(d))``; its floor is about 2 / sqrt(n) times a factor that grows slowly with the pairs.

    Notes
    -----
    Linear correlations only: blind to angles that wrap and to any dependence without a linear part.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> x = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> metrics.correlation_difference(x, x * [1, -1])
    array([[0., 2.],
           [2., 0.]])
    """
    a, b = pair(a, b, ("a", "b"), 2)
    found = []
    for x, w, name in ((a, weight_a, "weight_a"), (b, weight_b, "weight_b")):
        covariance = Moments(covariance=True).update(np.ascontiguousarray(x), weights(w, len(x), name)).covariance_
        std = np.sqrt(np.diag(covariance))
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(covariance / np.outer(std, std))
    constant = np.isnan(np.diag(found[0])) & np.isnan(np.diag(found[1]))
    difference = found[0] - found[1]
    difference[constant[:, None] | constant[None]] = 0.0
    return difference


def effective_sample_size(weight):
    """Number of unweighted events with the same statistical power, (sum w)^2 / sum w^2 (Kish 1965).

    Parameters
    ----------
    weight : (n,) float64 array [1]
        Weights >= 0, finite, not all 0.

    Returns
    -------
    float [1]
        1 to n.

    Raises
    ------
    ValueError
        If a weight is negative or NaN; the message names the event.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> metrics.effective_sample_size(np.array([1.0, 1.0, 0.0]))
    2.0
    """
    weight = weights(weight, np.size(weight), "weight")
    return float(weight.sum() ** 2 / (weight**2).sum())


@dataclass(frozen=True)
class Floor:
    """What a metric reads between two independent samples of the truth.

    Attributes
    ----------
    values : (repeats, ...) float64 array
        The metric of each pair of samples.
    mean, std : float or array
        Of one reading; a result is above the floor when it lies several `std` above `mean`.
    """

    values: np.ndarray = field(repr=False)
    mean: np.ndarray
    std: np.ndarray


def floor(metric: Callable, truth, n, repeats=10, seed=0):
    """A metric between independent samples of the truth: what a perfect model would get.

    Parameters
    ----------
    metric : callable
        ``metric(a, b)`` of two samples of rows, giving a number, an array, or a tuple whose first entry is one of them.
    truth : (N, m) array or callable
        Rows of the truth, at least 2 n of them: each repeat takes 2 n different rows (between repeats rows can come back, so
        take N well above 2 n for an honest spread). Or ``truth(n, seed)``, which generates n fresh rows.
    n : int
        Rows of each sample, as many as the model's sample has.
    repeats : int
        Pairs of samples, >= 2.
    seed : int
        Of the draws; passed on, with the number of the draw, to a callable truth.

    Returns
    -------
    Floor

    Raises
    ------
    ValueError
        If there are fewer than 2 n rows.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> truth = np.random.default_rng(1).normal(size=(20_000, 1))
    >>> floor = metrics.floor(lambda a, b: metrics.wasserstein(a, b)[0], truth, 1000, repeats=20)
    >>> 0.02 < floor.mean < 0.08  # of the order 1 / sqrt(n)
    True
    """
    if not isinstance(repeats, (int, np.integer)) or repeats < 2:
        raise ValueError(f"repeats: expected an integer >= 2, got {repeats!r}")
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n: expected an integer >= 1, got {n!r}")
    if not callable(truth):
        truth = rows(truth, "truth")
        if len(truth) < 2 * n:
            raise ValueError(f"truth: expected at least 2 n = {2 * n} rows, got {len(truth)}")
    values = []
    for repeat in range(repeats):
        if callable(truth):
            draw = np.random.SeedSequence((seed, repeat)).generate_state(2, np.uint64) >> np.uint64(1)
            a, b = (truth(n, int(s)) for s in draw)
        else:
            which = np.random.default_rng((seed, repeat)).permutation(len(truth))[: 2 * n]
            a, b = truth[which[:n]], truth[which[n:]]
        value = metric(a, b)
        values.append(np.asarray(value[0] if isinstance(value, tuple) else value, np.float64))
    values = np.array(values)
    mean, std = values.mean(axis=0), values.std(axis=0, ddof=1)
    return Floor(values, *((mean, std) if values.ndim > 1 else (float(mean), float(std))))
