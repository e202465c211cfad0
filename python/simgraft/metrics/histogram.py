"""Histograms of weighted events, filled block by block, and their comparison."""

from dataclasses import dataclass

import numpy as np

from simgraft.metrics._rows import rows, weights

__all__ = ["Histogram", "HistogramTest", "histogram_test"]


class Histogram:
    """Sums of weights and of their squares in bins, without keeping the events.

    Parameters
    ----------
    edges : (n_bins + 1,) array [unit of x]
        Edges of the bins, rising; the last bin includes its upper edge. Events outside are counted in `outside_`.

    Attributes
    ----------
    sum_, square_ : (n_bins,) float64 array [1]
        Sum of the weights, and of their squares: the variance of the sum.
    outside_ : float [1]
        Sum of the weights outside the edges.
    count_ : int
        Events seen.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> h = metrics.Histogram([0.0, 1.0, 2.0]).update(np.array([0.5, 0.6, 1.5, 7.0]))
    >>> h.sum_, h.outside_
    (array([2., 1.]), 1.0)
    """

    def __init__(self, edges):
        edges = np.asarray(edges, np.float64)
        if edges.ndim != 1 or len(edges) < 2 or not np.all(np.isfinite(edges)) or not np.all(np.diff(edges) > 0):
            raise ValueError(f"edges: expected at least two finite rising numbers, got {edges}")
        self.edges = edges
        self.sum_, self.square_ = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
        self.outside_, self.count_ = 0.0, 0

    def update(self, x, weight=None):
        """Add events.

        Parameters
        ----------
        x : (n,) float32 or float64 array
        weight : (n,) float64 array [1], optional
            Finite and >= 0; default 1.

        Returns
        -------
        Histogram
            self

        Raises
        ------
        NotFiniteError, ValueError
            If a value or weight is NaN, or a weight negative; the message names the event.
        """
        x = rows(x, "x", 0)
        if x.shape[1] != 1:
            raise ValueError(f"x: expected shape (n,), got {x.shape}")
        x = x[:, 0]
        weight = weights(weight, len(x), "weight")
        w = np.ones(len(x)) if weight is None else weight
        n = len(self.sum_)
        bin_of = np.searchsorted(self.edges, x.astype(np.float64, copy=False), side="right") - 1
        bin_of[x == self.edges[-1]] = n - 1
        inside = (bin_of >= 0) & (bin_of < n)
        self.sum_ += np.bincount(bin_of[inside], w[inside], n)
        self.square_ += np.bincount(bin_of[inside], w[inside] ** 2, n)
        self.outside_ += float(w[~inside].sum())
        self.count_ += len(x)
        return self

    @property
    def density_(self):
        """Share of all events (also those outside) per unit of x, (n_bins,) array [1 / unit of x]."""
        return self.sum_ / ((self.sum_.sum() + self.outside_) * np.diff(self.edges))

    @property
    def density_error_(self):
        """Its statistical error."""
        return np.sqrt(self.square_) / ((self.sum_.sum() + self.outside_) * np.diff(self.edges))


@dataclass(frozen=True)
class HistogramTest:
    """Two histograms compared bin by bin, each as shares of its own events.

    Attributes
    ----------
    discriminator : float [1]
        Triangular discriminator 1/2 sum (p - q)^2 / (p + q): 0 to 1.
    discriminator_floor : float [1]
        What two samples of one distribution give on average: (n_bins - 1) / 4 (1 / N_a + 1 / N_b) over filled bins.
    chi2 : float [1]
        Sum of the squared pulls.
    ndf : int
        Filled bins less one.
    pulls : (n_bins,) float64 array [1]
        (p - q) / error, standard normal for one distribution and enough events in the bin; 0 in empty bins.
    edges : (n_bins + 1,) float64 array
    """

    discriminator: float
    discriminator_floor: float
    chi2: float
    ndf: int
    pulls: np.ndarray
    edges: np.ndarray

    @property
    def chi2_per_ndf(self):
        """chi2 / ndf [1]; 1 +- sqrt(2 / ndf) for one distribution."""
        return self.chi2 / self.ndf if self.ndf else np.nan


def histogram_test(a, b, bins=50, *, weight_a=None, weight_b=None):
    """Triangular discriminator, chi squared and pulls of two samples of one number, in shared bins.

    Parameters
    ----------
    a, b : (n,) float32 or float64 array, or Histogram
        Values of the two samples; histograms must have the same edges.
    bins : int or (n_bins + 1,) array [unit of the values]
        Number of bins of equal count of both samples together (bins of one width leave few events in tails), or their edges.
        Not used with histograms.
    weight_a, weight_b : (n,) float64 array [1], optional
        Weights of the events, finite and >= 0; default 1.

    Returns
    -------
    HistogramTest

    Raises
    ------
    NotFiniteError, ValueError
        As of `Histogram.update`; or if edges differ or no event lies inside them.

    Notes
    -----
    With weights w the variance of a bin is the sum of w^2 (Barlow & Beeston 1993, doi:10.1016/0010-4655(93)90005-W, section 2).
    The shape only, of one number: blind to normalisation and correlations. Topsoe 2000, doi:10.1109/18.850703 (triangular
    discriminator).

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> a, b = np.random.default_rng(1).normal(size=(2, 10_000))
    >>> test = metrics.histogram_test(a, b, bins=20)
    >>> test.ndf, 0.3 < test.chi2_per_ndf < 2.0
    (19, True)
    """
    if isinstance(a, Histogram) != isinstance(b, Histogram):
        raise TypeError("b: expected two samples or two histograms")
    if not isinstance(a, Histogram):
        a, b = rows(a, "a"), rows(b, "b")
        if a.shape[1] != 1 or b.shape[1] != 1:
            raise ValueError(f"a: expected shapes (n,), got {a.shape} and {b.shape}")
        if isinstance(bins, (int, np.integer)):
            if bins < 2:
                raise ValueError(f"bins: expected at least 2, got {bins}")
            both = np.concatenate([a[:, 0], b[:, 0]]).astype(np.float64)
            bins = np.unique(np.quantile(both, np.linspace(0, 1, bins + 1)))
            if len(bins) < 2:
                raise ValueError("bins: all values of a and b are equal; pass edges")
        a = Histogram(bins).update(a, weight_a)
        b = Histogram(bins).update(b, weight_b)
    if not np.array_equal(a.edges, b.edges):
        raise ValueError("b: expected a histogram with the edges of a")
    total_a, total_b = a.sum_.sum(), b.sum_.sum()
    if not (total_a > 0 and total_b > 0):
        raise ValueError("bins: no event of one of the samples lies inside the edges")
    p, q = a.sum_ / total_a, b.sum_ / total_b
    filled = (p + q) > 0
    n_a, n_b = total_a**2 / a.square_.sum(), total_b**2 / b.square_.sum()
    variance = a.square_ / total_a**2 + b.square_ / total_b**2
    pulls = np.zeros(len(p))
    pulls[filled] = (p - q)[filled] / np.sqrt(variance[filled])
    discriminator = 0.5 * float(((p - q)[filled] ** 2 / (p + q)[filled]).sum())
    ndf = int(np.count_nonzero(filled)) - 1
    return HistogramTest(
        discriminator, ndf / 4 * (1 / n_a + 1 / n_b), float((pulls**2).sum()), ndf, pulls, a.edges
    )
