"""Decays of a particle at rest into n, evenly over phase space, and the map of phase space onto a cube."""

import math

import numpy as np

from simgraft import _core
from simgraft.events.columns import Column, Layout
from simgraft.events.generator import Generator, check_count, check_seed
from simgraft.nn._params import Params

__all__ = ["PhaseSpace", "RamboOnDiet"]

METHODS = {"raubold-lynch": 0, "rambo": 1}
_BLOCK = 65_536  # events of one call where only their weights are wanted


def _masses(mass, masses):
    try:
        total = float(mass)
    except (TypeError, ValueError):
        raise TypeError(f"mass: expected a number, got {mass!r}") from None
    try:
        return total, tuple(float(m) for m in masses)
    except (TypeError, ValueError):
        raise TypeError(f"masses: expected a sequence of numbers, got {masses!r}") from None


class PhaseSpace(Generator):
    r"""Decays of a particle at rest into 2 to 16, evenly over phase space.

    Parameters
    ----------
    mass : float [GeV]
        M of the parent.
    masses : sequence of float [GeV]
        Of the particles.
    method : {"raubold-lynch", "rambo"}
        How events are made. Both fill the same phase space. RAMBO gives all events without masses the same weight; Raubold-Lynch is
        faster, and its weights vary less where particles are slow.
    weighted : bool
        Weighted events, or events of weight 1 by rejection.
    names : sequence of str, optional
        Of the particles in the names of the columns; default: p1, p2, ...

    Attributes
    ----------
    layout : Layout
        ``p1_E, p1_px, p1_py, p1_pz, p2_E, ...``; :meth:`momenta` gives them as one array.
    unit : float [GeV^(2n-4)]
        Volume of phase space that stands behind a weight of 1: the mean of ``weight * unit`` is the volume.

    Raises
    ------
    TypeError, ValueError
        If a mass is negative or not finite, there are not 2 to 16 of them, or phase space is closed.

    Notes
    -----
    Volumes are :math:`V_n = \int \prod_i d^3p_i / 2E_i\, \delta^4(P - \sum p_i)`; times :math:`(2\pi)^{4-3n}` they are those of the
    Particle Data Group. Without masses :math:`V_n = (\pi/2)^{n-1} M^{2n-4} / ((n-1)!\,(n-2)!)`.

    Weights are at most 1. Raubold-Lynch: the product of the momenta of all two-body decays of the chain in units of a bound, as in
    GENBOD, TGenPhaseSpace and phasespace (F. James, Monte Carlo phase space, CERN 68-15). RAMBO: eq. 4.11 of Kleiss, Stirling &
    Ellis, doi:10.1016/0010-4655(86)90119-0, in units of a bound that follows from Minkowski's inequality for the sum of the momenta
    and from the concavity of log v in the energy for the speeds. :meth:`generate` raises ValueError, naming the event, if none of
    4,194,304 attempts at an unweighted event was accepted.

    Examples
    --------
    >>> from simgraft.events import PhaseSpace
    >>> decay = PhaseSpace(5.27934, (0.13957, 0.13957, 0.13957), names=("pi1", "pi2", "pi3"))  # B -> 3 pi
    >>> events = decay.generate(1000, seed=1)
    >>> decay.momenta(events).shape, bool((events.weight <= 1).all())
    ((3, 4, 1000), True)
    >>> decay.layout.names[:4]
    ('pi1_E', 'pi1_px', 'pi1_py', 'pi1_pz')
    >>> value, error = PhaseSpace(1.0, (0.0, 0.0, 0.0), method="rambo").volume(1000)
    >>> round(value, 6), error  # pi^2 / 8
    (1.233701, 0.0)
    """

    def __init__(self, mass, masses, *, method="raubold-lynch", weighted=True, names=None):
        self.mass, self.masses = _masses(mass, masses)
        if method not in METHODS:
            raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
        self.method, self.weighted = method, bool(weighted)
        self.names = None if names is None else tuple(names)
        self.unit, _ = _core.phase_space_units(self._space())
        shown = self.names or tuple(f"p{i}" for i in range(1, len(self.masses) + 1))
        if len(shown) != len(self.masses) or len(set(shown)) != len(shown):
            raise ValueError(f"names: expected {len(self.masses)} different names, got {names!r}")
        self.layout = Layout(
            f"{len(self.masses)}-body phase space",
            tuple(Column(f"{name}_{part}", "GeV", name) for name in shown for part in ("E", "px", "py", "pz")),
        )

    def _space(self, weighted=None):
        return self.mass, self.masses, METHODS[self.method], self.weighted if weighted is None else weighted

    def _provenance(self, seed, first):
        return super()._provenance(seed, first) | {"unit": self.unit}

    def _fill(self, seed, first, values, num_threads):
        weight = np.empty(values.shape[1], values.dtype) if self.weighted else None
        _core.phase_space(self._space(), seed, first, values, weight, num_threads)
        return weight

    def momenta(self, events):
        """Four-momenta of events as an array (n_particles, 4, n), E, px, py, pz [GeV]: a view of their columns."""
        if events.layout != self.layout:
            raise ValueError(f"events: expected those of {self.layout.name} with these names, got {events!r}")
        return events.values.reshape(len(self.masses), 4, len(events))

    def volume(self, n=1_000_000, seed=0, *, num_threads=None):
        """Volume of phase space.

        Parameters
        ----------
        n : int
            Events that it is estimated from, at least 2.
        seed : int
        num_threads : int, optional

        Returns
        -------
        value, error : float [GeV^(2n-4)]
            Mean of the weights and its standard deviation. The error is 0 where all weights are the same: two particles, or RAMBO
            without masses.

        Examples
        --------
        >>> value, error = PhaseSpace(500.0, (80.0,) * 4).volume(100_000)
        >>> abs(value - 1.673e9) < 4 * error + 0.002e9
        True
        """
        n, seed = check_count("n", n), check_seed(seed)
        if n < 2:
            raise ValueError(f"n: expected at least 2, got {n}")
        if len(self.masses) == 2 or (self.method == "rambo" and not any(self.masses)):
            return self.unit, 0.0
        total = squares = 0.0
        values, weight = np.empty((len(self.layout), _BLOCK)), np.empty(_BLOCK)
        for start in range(0, n, _BLOCK):
            m = min(_BLOCK, n - start)
            if m < _BLOCK:
                values, weight = np.empty((len(self.layout), m)), np.empty(m)
            _core.phase_space(self._space(weighted=True), seed, start, values, weight, num_threads or 0)
            total, squares = total + weight.sum(), squares + (weight**2).sum()
        mean = total / n
        return float(mean * self.unit), float(math.sqrt(max(squares / n - mean**2, 0.0) / (n - 1)) * self.unit)

    def kernel(self, seed):
        """The generator as a :class:`simgraft.Kernel` from the number of an event to its columns.

        Parameters
        ----------
        seed : int

        Returns
        -------
        simgraft.Kernel
            Of the input ``event`` and one output for each column. Only unweighted events: a column does not tell its weight.

        Raises
        ------
        ValueError
            If the events are weighted and their weights differ.
        """
        if self.weighted and len(self.masses) > 2 and (self.method != "rambo" or any(self.masses)):
            raise ValueError("weighted: expected False for a kernel, whose columns do not tell the weights")
        return super().kernel(seed)


class RamboOnDiet(Params):
    r"""The map of the unit cube of 3 n - 4 numbers onto the phase space of n particles, and its inverse.

    Parameters
    ----------
    mass : float [GeV]
        M of the parent, at rest.
    masses : sequence of float [GeV]
        Of 2 to 16 particles.

    Raises
    ------
    TypeError, ValueError
        As of :class:`PhaseSpace`.

    Notes
    -----
    S. Plaetzer, RAMBO on diet, arXiv:1308.2922: the numbers are n - 2 masses of the systems of particles i ... n, and
    :math:`\cos\theta, \phi` of particle i in the rest frame of its system for i = 1 ... n - 1. Mass i - 1 is
    :math:`M_i = K_i + \sum_{j \ge i} m_j`, :math:`K_i = K_{i-1} u`, where :math:`u` solves
    :math:`r = (n+1-i) u^{2(n-i)} - (n-i) u^{2(n+1-i)}`; the weight is the volume of phase space per volume of the cube, constant
    without masses.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import RamboOnDiet
    >>> diet = RamboOnDiet(173.0, (4.8, 0.0, 0.0))  # t -> b l nu
    >>> u = np.random.default_rng(1).uniform(size=(1000, diet.dimension))
    >>> momenta, weight = diet.forward(u)
    >>> momenta.shape, bool(abs(diet.inverse(momenta) - u).max() < 1e-12)
    ((1000, 3, 4), True)
    """

    def __init__(self, mass, masses):
        self.mass, self.masses = _masses(mass, masses)
        _, self._volume = _core.phase_space_units(self._space())

    def _space(self):
        return self.mass, self.masses, METHODS["raubold-lynch"], True

    @property
    def dimension(self):
        """3 n - 4, numbers of the cube."""
        return 3 * len(self.masses) - 4

    def forward(self, u, *, num_threads=None):
        """From the cube to phase space.

        Parameters
        ----------
        u : (n, 3 n_particles - 4) float64 array
            From 0 to 1.
        num_threads : int, optional

        Returns
        -------
        momenta : (n, n_particles, 4) float64 array [GeV]
            E, px, py, pz.
        weight : (n,) float64 array [GeV^(2 n_particles - 4)]
            Its mean over the cube is the volume of phase space.

        Raises
        ------
        TypeError, ValueError
            If `u` is not such an array, or a number lies outside of the cube; the message names it.
        """
        columns = self._columns("u", u, (self.dimension,))
        bad = np.flatnonzero(~((columns >= 0) & (columns <= 1)).all(axis=0))
        if bad.size:
            raise ValueError(f"u: expected numbers from 0 to 1, got {u[bad[0]]} in row {bad[0]}")
        momenta, weight = _core.rambo_diet(self._space(), columns, num_threads or 0)
        weight *= self._volume
        return np.ascontiguousarray(momenta.T).reshape(-1, len(self.masses), 4), weight

    def inverse(self, momenta, *, num_threads=None):
        """From phase space to the cube.

        Parameters
        ----------
        momenta : (n, n_particles, 4) float64 array [GeV]
            E, px, py, pz of particles on their shells that add up to (M, 0, 0, 0).
        num_threads : int, optional

        Returns
        -------
        (n, 3 n_particles - 4) float64 array

        Raises
        ------
        TypeError, ValueError
            If `momenta` is not such an array, or an event has another sum or mass (to 1e-6 of M); the message names the event.
        """
        columns = self._columns("momenta", momenta, (len(self.masses), 4))
        four = columns.reshape(len(self.masses), 4, -1)
        wrong = np.abs(four.sum(axis=0) - np.array([self.mass, 0, 0, 0])[:, None]).max(axis=0)
        bad = np.flatnonzero(~(wrong <= 1e-6 * self.mass))
        if bad.size:
            raise ValueError(
                f"momenta: event {bad[0]} adds up to {four[:, :, bad[0]].sum(axis=0)}, expected ({self.mass}, 0, 0, 0) GeV"
            )
        shell = four[:, 0] ** 2 - (four[:, 1:] ** 2).sum(axis=1) - np.square(self.masses)[:, None]
        bad = np.flatnonzero(~(np.abs(shell) <= 1e-6 * self.mass**2).all(axis=0))
        if bad.size:
            raise ValueError(f"momenta: event {bad[0]} has particles of other masses than {self.masses} GeV")
        return np.ascontiguousarray(_core.rambo_diet_inverse(self._space(), columns, num_threads or 0).T)

    @staticmethod
    def _columns(name, rows, shape):
        if not isinstance(rows, np.ndarray) or rows.dtype != np.float64:
            raise TypeError(f"{name}: expected a float64 array, got {getattr(rows, 'dtype', type(rows).__name__)}")
        if rows.ndim != len(shape) + 1 or rows.shape[1:] != shape:
            raise ValueError(f"{name}: expected shape (n, {', '.join(map(str, shape))}), got {rows.shape}")
        return np.ascontiguousarray(rows.reshape(len(rows), -1).T)
