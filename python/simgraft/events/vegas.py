"""Adaptive importance sampling on a product grid: integrals over the unit cube."""

import numpy as np

from simgraft import _core
from simgraft.events.generator import check_seed
from simgraft.nn._params import Params

__all__ = ["Vegas"]


class Vegas(Params):
    """VEGAS: the grid of each dimension moves to where the function contributes most to the variance.

    Parameters
    ----------
    n_dim : int
        Dimensions, 1 to 32.
    n_bins : int
        Bins of each dimension, 1 to 4096.
    damping : float
        Speed at which the grid moves: 0 not at all, 1.5 is usual, less for noisy functions.

    Attributes
    ----------
    edges_ : (n_dim, n_bins + 1) float64 array
        The grid, after :meth:`fit`.

    Notes
    -----
    Lepage, J. Comput. Phys. 27 (1978) 192; the damping as in doi:10.1016/j.jcp.2021.110386. Points are Philox numbers of (seed,
    iteration, point): the same for any number of threads.

    Examples
    --------
    The volume of a quarter of the unit circle:

    >>> import numpy as np
    >>> from simgraft.events.vegas import Vegas
    >>> def inside(x):
    ...     return (x[0] ** 2 + x[1] ** 2 < 1).astype(float)
    >>> value, error = Vegas(2).fit(inside, seed=1).integrate(inside, seed=2)
    >>> bool(abs(value - np.pi / 4) < 4 * error), bool(error < 2e-3)
    (True, True)
    """

    def __init__(self, n_dim, n_bins=64, damping=1.5):
        self.n_dim, self.n_bins, self.damping = n_dim, n_bins, damping

    def fit(self, function, *, seed, n_points=10_000, n_iterations=8):
        """Adapts the grid to a function.

        Parameters
        ----------
        function : callable
            From points (n_dim, n) in [0, 1) to values (n,), both float64.
        seed : int
        n_points, n_iterations : int
            Points of each iteration, and how many.

        Returns
        -------
        Vegas
            Itself.

        Raises
        ------
        NotFiniteError
            If the function is NaN or infinite; the message names the point.
        """
        edges = np.tile(np.linspace(0, 1, self.n_bins + 1), (self.n_dim, 1))
        _core.vegas_run(function, edges, n_points, n_iterations, 0, float(self.damping), check_seed(seed))
        self.edges_ = edges
        return self

    def integrate(self, function, *, seed, n_points=10_000, n_iterations=8):
        """Integral over the unit cube on the grid as it is.

        Parameters
        ----------
        function, n_points, n_iterations
            As of :meth:`fit`.
        seed : int
            Another than that of the fit, for points of their own.

        Returns
        -------
        value, error : float
            Mean over the iterations and its standard error.
        """
        edges = self.edges_.copy()
        result = _core.vegas_run(function, edges, n_points, n_iterations, 0, 0.0, check_seed(seed))
        return combine(result)


def combine(result):
    """Mean and standard error of iterations of equal size, (n_iterations, 2) integrals and variances."""
    return float(result[:, 0].mean()), float(np.sqrt(result[:, 1].sum()) / len(result))
