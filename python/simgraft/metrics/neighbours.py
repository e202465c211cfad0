"""Nearest neighbours: whether a sample covers the truth, and whether it is a copy of the training sample."""

from dataclasses import dataclass

import numpy as np

from simgraft import _core
from simgraft.metrics._rows import pair, scales, spread, threads

__all__ = ["Coverage", "Memorisation", "coverage", "memorisation", "nearest"]


def nearest(query, reference, k=1, *, same=False, num_threads=None):
    """Nearest rows, by exact Euclidean distances over all pairs.

    Parameters
    ----------
    query : (n, m) float32 or float64 array
        Rows whose neighbours are wanted.
    reference : (n_reference, m) array
        Rows to search in; columns of comparable size.
    k : int
        Neighbours of each row, >= 1.
    same : bool
        Query and reference are the same rows in the same order: a row is not its own neighbour.
    num_threads : int, optional
        Threads; default ``OMP_NUM_THREADS`` or all. The bits do not depend on it.

    Returns
    -------
    distance : (n, k) array of the dtype of the rows
        Nearest first.
    index : (n, k) int64 array
        Rows of the reference; of equal distances the first.

    Raises
    ------
    NotFiniteError, ValueError
        If a row holds NaN or infinity, columns do not fit, or the reference has fewer than k rows.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> metrics.nearest(np.array([[0.0], [5.0]]), np.array([[1.0], [3.0], [6.0]]))
    (array([[1.], [1.]]), array([[0], [2]]))
    """
    query, reference = pair(query, reference, ("query", "reference"))
    if same and query.shape != reference.shape:
        raise ValueError(f"reference: expected the rows of query {query.shape} with same=True, got {reference.shape}")
    square, index = _core.pairs_nearest(
        np.ascontiguousarray(query), np.ascontiguousarray(reference), k, bool(same), threads(num_threads)
    )
    return np.sqrt(square), index


def _standardised(reference, others, scale):
    """`reference` and `others` divided by `scale`, or the standard deviations of `reference`."""
    scale = scales(spread(reference) if scale is None else scale, reference.shape[1:])
    return [np.ascontiguousarray(x / scale.astype(x.dtype)) for x in (reference, *others)]


@dataclass(frozen=True)
class Memorisation:
    """Nearness of a generated sample to the training sample.

    Attributes
    ----------
    ratio : float [1]
        1: as far from the training rows as fresh truth is. Below 1: rows of the training sample are repeated, 0 for a copy.
        Above 1: rows lie off the truth.
    error : float [1]
        Standard error of the ratio.
    generated, truth : float [standard deviations of the training sample]
        Mean distances to the nearest training row.
    share_closer : float [1]
        Share of the generated rows that lie closer to a training row than 1 % of fresh truth does; 0.01 for a healthy model.
    """

    ratio: float
    error: float
    generated: float
    truth: float
    share_closer: float


def memorisation(generated, training, truth, *, scale=None, num_threads=None):
    """Mean distance of generated rows to their nearest training row, relative to that of fresh rows of the truth.

    A copy of the training sample passes every two-sample test; this one it does not.

    Parameters
    ----------
    generated : (n, m) float32 or float64 array
        Rows of the model.
    training : (n_training, m) array
        Rows the model was trained on.
    truth : (n_truth, m) array
        Fresh rows of the truth that the model has not seen, at least 2.
    scale : (m,) array, optional
        What columns are divided by; default the standard deviation of the training sample (1 for a constant column).
    num_threads : int, optional
        Threads; the bits do not depend on it.

    Returns
    -------
    Memorisation

    Raises
    ------
    NotFiniteError, ValueError
        If a row holds NaN or infinity or columns do not fit.

    Notes
    -----
    The ratio says nothing about the shape of the sample: smeared copies can have 1 by chance (copies pull it down, rows off the
    truth push it up), so read it together with a classifier test. In many dimensions it is governed by the noisy columns; a
    copy in a few columns only is not seen.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> training, truth, fresh = np.random.default_rng(1).normal(size=(3, 2000, 4))
    >>> metrics.memorisation(training, training, truth).ratio
    0.0
    >>> result = metrics.memorisation(fresh, training, truth)
    >>> abs(result.ratio - 1) < 4 * result.error
    True
    """
    training, generated = pair(training, generated, ("training", "generated"), 2)
    training, truth = pair(training, truth, ("training", "truth"), 2)
    generated = generated.astype(training.dtype, copy=False)
    training, generated, truth = _standardised(training, (generated, truth), scale)
    a = nearest(generated, training, num_threads=num_threads)[0][:, 0].astype(np.float64)
    b = nearest(truth, training, num_threads=num_threads)[0][:, 0].astype(np.float64)
    if b.mean() == 0:
        raise ValueError("truth: every row is a row of the training sample; expected fresh rows")
    ratio = a.mean() / b.mean()
    error = np.hypot(a.std(ddof=1) / np.sqrt(len(a)), ratio * b.std(ddof=1) / np.sqrt(len(b))) / b.mean()
    closer = float(np.mean(a < np.percentile(b, 1)))
    return Memorisation(float(ratio), float(error), float(a.mean()), float(b.mean()), closer)


@dataclass(frozen=True)
class Coverage:
    """How a generated sample and the truth cover each other, from the balls to their k-th neighbours.

    Attributes
    ----------
    precision : float [1]
        Share of generated rows within a ball of a real row.
    recall : float [1]
        Share of real rows within a ball of a generated row.
    density : float [1]
        Mean number of balls of real rows around a generated row, divided by k: about 1 for equal distributions.
    coverage : float [1]
        Share of balls of real rows that hold a generated row; `expected_coverage` for equal distributions.
    expected_coverage : float [1]
        1 - product over i = 1..k of (n_real - i) / (n_real + n_generated - i).
    """

    precision: float
    recall: float
    density: float
    coverage: float
    expected_coverage: float


def coverage(real, generated, *, k=5, scale=None, num_threads=None):
    """Precision, recall, density and coverage from k-nearest-neighbour balls.

    Parameters
    ----------
    real, generated : (n, m) float32 or float64 array
        Rows of the two samples, more than k each.
    k : int
        A row's ball reaches to its k-th neighbour in its own sample, >= 1.
    scale : (m,) array, optional
        What columns are divided by; default the standard deviation of the real sample (1 for a constant column).
    num_threads : int, optional
        Threads; the bits do not depend on it.

    Returns
    -------
    Coverage

    Raises
    ------
    NotFiniteError, ValueError
        If a row holds NaN or infinity, columns do not fit or a sample is too small.

    Notes
    -----
    Naeem et al. 2020, arXiv:2002.09797 (density, coverage, and the expectation in their section 3.3); Kynkaanniemi et al. 2019,
    arXiv:1904.06991 (precision, recall). Find missing modes and rows off the truth, not wrong densities within it, and take a
    copy of the training sample for perfect.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> real, generated = np.random.default_rng(1).normal(size=(2, 2000, 3))
    >>> result = metrics.coverage(real, generated)
    >>> abs(result.coverage - result.expected_coverage) < 0.03
    True
    """
    real, generated = pair(real, generated, ("real", "generated"))
    real, generated = _standardised(real, (generated,), scale)
    if not isinstance(k, (int, np.integer)) or not 1 <= k < min(len(real), len(generated)):
        raise ValueError(f"k: expected 1 to {min(len(real), len(generated)) - 1}, got {k!r}")
    n_threads = threads(num_threads)
    radius_real = np.ascontiguousarray(_core.pairs_nearest(real, real, k, True, n_threads)[0][:, -1])
    radius_generated = np.ascontiguousarray(_core.pairs_nearest(generated, generated, k, True, n_threads)[0][:, -1])
    around = _core.pairs_within(generated, real, radius_real, n_threads)
    around_real = _core.pairs_within(real, generated, radius_generated, n_threads)
    closest = _core.pairs_nearest(real, generated, 1, False, n_threads)[0][:, 0]
    n, m, i = len(real), len(generated), np.arange(1, k + 1)
    return Coverage(
        precision=float(np.mean(around > 0)),
        recall=float(np.mean(around_real > 0)),
        density=float(around.sum() / (k * m)),
        coverage=float(np.mean(closest < radius_real)),
        expected_coverage=float(1 - np.prod((n - i) / (n + m - i))),
    )
