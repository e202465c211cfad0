"""Amplification: how many events of the truth a generated sample is worth."""

from dataclasses import dataclass

import numpy as np

from simgraft.metrics._rows import pair, rows, weights
from simgraft.metrics.samples import effective_sample_size

__all__ = ["Amplification", "Cells", "amplification"]


class Cells:
    """Cells of equal probability: the truth is halved again and again at the median of one column after another.

    Parameters
    ----------
    depth : int
        Halvings; 2 ** depth cells, 1 to 20.

    Attributes
    ----------
    n_cells : int
    threshold_ : (2 ** depth - 1,) float64 array
        Median that splits each node; the children of node i are 2 i + 1 (at or below) and 2 i + 2.
    share_ : (n_cells,) float64 array [1]
        Share of the truth in each cell: equal but for rounding and equal values.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> cells = metrics.Cells(depth=2).fit(np.arange(8.0)[:, None])
    >>> cells.assign(np.array([[0.0], [2.5], [9.0]])).tolist(), cells.share_.tolist()
    ([0, 1, 3], [0.25, 0.25, 0.25, 0.25])
    """

    def __init__(self, depth=7):
        self.depth = depth

    @property
    def n_cells(self):
        return 2**self.depth

    def fit(self, truth):
        """Halve the rows of the truth (n, m), at least one for each cell, better 100. Returns self."""
        if not isinstance(self.depth, (int, np.integer)) or not 1 <= self.depth <= 20:
            raise ValueError(f"depth: expected 1 to 20, got {self.depth!r}")
        truth = rows(truth, "truth", 2**self.depth)
        self._m = truth.shape[1]
        self.threshold_ = np.empty(2**self.depth - 1)
        parts = [np.arange(len(truth))]
        for level in range(self.depth):
            column, halves = truth[:, level % self._m], []
            for i, part in enumerate(parts):
                values = column[part]
                middle = np.partition(values, max((len(part) - 1) // 2, 0))[(len(part) - 1) // 2] if len(part) else 0.0
                self.threshold_[2**level - 1 + i] = middle
                halves += [part[values <= middle], part[values > middle]]
            parts = halves
        self.share_ = np.array([len(part) for part in parts]) / len(truth)
        return self

    def assign(self, x):
        """Number of the cell, 0 to n_cells - 1, of each row (n, m): (n,) int64."""
        if not hasattr(self, "threshold_"):
            raise ValueError("these Cells have not been fitted: call fit(truth) first")
        x = rows(x, "x", 0)
        if x.shape[1] != self._m:
            raise ValueError(f"x: expected {self._m} columns as in truth, got {x.shape[1]}")
        node = np.zeros(len(x), np.int64)
        for level in range(self.depth):
            node = 2 * node + 1 + (x[:, level % self._m] > self.threshold_[node])
        return node - (2**self.depth - 1)

    def shares(self, x, weight=None):
        """Share of the rows (n, m) in each cell, (n_cells,) float64."""
        weight = weights(weight, len(x), "weight")
        count = np.bincount(self.assign(x), weight, self.n_cells)
        return count / count.sum()


@dataclass(frozen=True)
class Amplification:
    """What a generated sample is worth.

    Attributes
    ----------
    mse : float [1]
        Sum over the cells of the squared difference of the shares, the noise of the truth taken off.
    equivalent : float
        Independent events of the truth with the same `mse`: (1 - sum p^2) / mse; infinite where nothing is left of it.
    equivalent_error : float
        Its statistical error.
    factor : float [1]
        equivalent / training events: above 1 the sample is worth more than the training sample was.
    limit_factor : float [1]
        The same for an infinite generated sample: its own noise taken off as well. Infinite where nothing significant is left.
    n_cells : int
    """

    mse: float
    equivalent: float
    equivalent_error: float
    factor: float
    limit_factor: float
    n_cells: int


def amplification(generated, truth, n_training, *, depth=7, weight=None):
    """How many independent events of the truth a generated sample is worth, in cells of equal probability.

    Parameters
    ----------
    generated : (n, m) float32 or float64 array
        Rows of the model; many more than training events, or their own noise limits the result.
    truth : (n_truth, m) array
        Rows of the truth that the model has not seen, at least one for each cell; their noise is taken off, but with fewer than
        about 100 n_training of them the result is uncertain.
    n_training : int
        Events that the model was trained on.
    depth : int
        2 ** depth cells, cut through one column after another: few columns (order them by importance), or the cells differ in
        the first `depth` columns only.
    weight : (n,) float64 array [1], optional
        Weights of the generated rows, finite and >= 0.

    Returns
    -------
    Amplification

    Raises
    ------
    NotFiniteError, ValueError
        If a row or weight is NaN (the message names it), columns do not fit or there are too few rows.

    Notes
    -----
    Butter et al. 2021, doi:10.21468/SciPostPhys.10.6.139. A statement about these cells: finer cells give smaller factors, and a
    model can amplify in the bulk and not in the tails (Bahl et al. 2025, arXiv:2509.08048).

    Examples
    --------
    A sample of the truth is worth itself:

    >>> import numpy as np
    >>> from simgraft import metrics
    >>> rng = np.random.default_rng(1)
    >>> a = metrics.amplification(rng.normal(size=(2000, 2)), rng.normal(size=(200_000, 2)), 2000)
    >>> 0.6 < a.factor < 1.6
    True
    """
    generated, truth = pair(generated, truth, ("generated", "truth"))
    if not isinstance(n_training, (int, np.integer)) or n_training < 1:
        raise ValueError(f"n_training: expected an integer >= 1, got {n_training!r}")
    weight = weights(weight, len(generated), "weight")
    cells = Cells(depth).fit(truth)
    p = cells.share_
    spread = 1 - (p**2).sum()
    n = len(generated) if weight is None else effective_sample_size(weight)
    # The truth's sample cannot be told from the truth in its own cells, but its cells differ from the true ones by its noise.
    mse = float(((cells.shares(generated, weight) - p) ** 2).sum()) - spread / len(truth)
    # a sum of about n_cells - 1 squares of one variance
    relative = np.sqrt(2 / (cells.n_cells - 1))
    noise = spread / n
    equivalent = spread / mse if mse > 0 else np.inf
    left = mse - noise
    limit = spread / left if left > relative * noise else np.inf
    return Amplification(
        mse,
        float(equivalent),
        float(equivalent * relative),
        float(equivalent / n_training),
        float(limit / n_training),
        cells.n_cells,
    )
