"""Lepton pairs of electron-positron collisions around the Z."""

import math
from functools import lru_cache

import numpy as np

import simgraft
from simgraft import _core
from simgraft.events.columns import DILEPTON, ELECTRON_MASS, MUON_MASS
from simgraft.events.generator import Generator, Numbered, check_count, check_seed
from simgraft.events.kernel import event_kernel
from simgraft.variables import Var

__all__ = ["Dilepton", "radiator"]

FERMI = 1.1663788e-5  # GeV-2, Particle Data Group 2024
_RANGE = 6.0  # standard deviations of the energy that are made
_ABOVE = 1.1  # least energy with radiation, in units of the least mass of the pair
_FLAVOURS = {"e": (1, ELECTRON_MASS), "mu": (2, MUON_MASS)}
_ORDERS = {None: 0, "alpha": 1, "alpha2": 2}
_SCHEMES = {"effective": 0.2315, "Gmu": 0.2230, "improved": 0.2315}  # and their sin2


def radiator(x, energy, order="alpha2"):
    r"""Density of the share of :math:`s` that both beams together radiate.

    Parameters
    ----------
    x : float or array [1]
        Share, :math:`0 < x < 1`: the pair has the mass :math:`\sqrt{s (1 - x)}`.
    energy : float [GeV]
        Of the collision, :math:`\sqrt s`.
    order : {"alpha", "alpha2"}
        Order in :math:`\alpha` of what stands beside the exponentiated soft photons.

    Returns
    -------
    float64 array of the shape of `x` [1]

    Notes
    -----
    With :math:`\beta = \frac{2\alpha}{\pi} (L - 1)`, :math:`L = \ln(s / m_e^2)`, :math:`\alpha = 1/137.036`,

    .. math:: H = \beta x^{\beta-1} (1 + \delta_1 + \delta_2) - \beta (1 - \tfrac{x}{2}) + \tfrac{\beta^2}{8}
        \left[(2 - x) (3 \ln(1-x) - 4 \ln x) - \tfrac{4}{x} \ln(1-x) - 6 + x\right],

    :math:`\delta_1 = \frac{\alpha}{\pi} (\frac32 L + \frac{\pi^2}{3} - 2)`; :math:`\delta_2` and the last term belong to the second order.
    Photons only, no pairs. Kuraev & Fadin 1985, Sov. J. Nucl. Phys. 41, 466; Nicrosini & Trentadue 1987,
    doi:10.1016/0370-2693(87)90819-7; Berends, van Neerven & Burgers 1988, doi:10.1016/0550-3213(88)90313-6.

    Examples
    --------
    Soft radiation is a power law of small exponent:

    >>> h = radiator([1e-12, 1e-10, 1e-3], 91.1876)
    >>> [round(float(x), 3) for x in (math.log(h[1] / h[0]) / math.log(100), h[2])]
    [-0.892, 55.331]
    """
    if order not in ("alpha", "alpha2"):
        raise ValueError(f'order: expected "alpha" or "alpha2", got {order!r}')
    energy, x = _number("energy", energy, above=2 * ELECTRON_MASS, unit="GeV"), np.asarray(x, np.float64)
    bad = np.flatnonzero(~((x > 0) & (x < 1)).ravel())
    if bad.size:
        raise ValueError(f"x: expected numbers between 0 and 1, got {x.ravel()[bad[0]]} at place {bad[0]}")
    return _core.dilepton_radiator(_ORDERS[order], energy**2, np.ascontiguousarray(x.ravel())).reshape(x.shape)


def _number(name, value, *, above=-math.inf, below=math.inf, least=-math.inf, unit="1"):
    """`value` as a float; TypeError or ValueError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value}")
    if not above < value < below or value < least:
        wish = [f"more than {above:.10g}"] * (above > -math.inf) + [f"less than {below:.10g}"] * (below < math.inf)
        wish += [f"at least {least:.10g}"] * (least > -math.inf)
        suffix = "" if unit == "1" else f" {unit}"
        raise ValueError(f"{name}: expected {' and '.join(wish)}{suffix}, got {value}")
    return float(value)


@lru_cache(maxsize=4)
def _rows(process, first, count, step, dtype):
    """Tables of radiation at energies (first + j) step, or at `first` alone where step is 0."""
    energies = np.array([first]) if step == 0 else np.maximum((first + np.arange(count)) * step, 1.05 * process[9])
    return _core.dilepton_rows(process, energies).astype(dtype)


class Dilepton(Generator):
    r"""e+ e- -> gamma*/Z -> l+ l- at leading order with interference, in the 16 columns of :data:`DILEPTON`.

    Parameters
    ----------
    energy : float [GeV]
        Of the collision, :math:`\sqrt s`. The electron flies along +z.
    flavours : tuple of {"e", "mu"}
        Which pairs, equally many of each. Electrons come from the s channel alone: real e+ e- -> e+ e- is dominated by the exchange of a
        photon in the t channel (Bhabha), which is not made here.
    scheme : {"effective", "Gmu", "improved"}
        What the couplings are where they are not given:

        ============= =============================================== ========= =====================================================
        scheme        alpha                                           sin2      z_coupling
        ============= =============================================== ========= =====================================================
        "effective"   :math:`1/128.9`, at the scale of the Z          0.2315    :math:`1 / (4 \sin^2 \cos^2)`
        "Gmu"         :math:`\sqrt2 G_F M_Z^2 \sin^2\cos^2 / \pi`      0.2230    :math:`1 / (4 \sin^2 \cos^2)`, on-shell mixing angle
        "improved"    :math:`1/128.9`                                 0.2315    :math:`\sqrt2 G_F M_Z^2 / (4 \pi \alpha)`
        ============= =============================================== ========= =====================================================

        The asymmetry at the peak depends on little else than sin2: 0.016 for 0.2315 and 0.034 for 0.2230.
    alpha_inverse : float, optional
        :math:`1/\alpha` of the Born cross-section.
    sin2 : float, optional
        :math:`\sin^2\theta_W` of the vector coupling :math:`v = -1/2 + 2 \sin^2\theta_W`.
    z_coupling : float, optional
        Strength :math:`\kappa` of the exchange of a Z relative to that of a photon.
    mass, width : float [GeV]
        Of the Z.
    width_scheme : {"fixed", "running"}
        :math:`i M \Gamma` or :math:`i s \Gamma / M` in the propagator. A running width moves the peak down by
        :math:`\Gamma^2 / 2M` = 34 MeV; masses of tables (91.1876 GeV) belong to it.
    radiation : {None, "alpha", "alpha2"}
        Photons of the beams: none, to first or second order with soft photons exponentiated (see :func:`radiator`).
    energy_spread : float [GeV]
        Standard deviation of the energy of the collision, :math:`\sqrt2` times that of a beam, made to 6 of them.
    pair_mass_min : float [GeV]
        With radiation: least mass of the pair. The photon pole makes the cross-section depend on it: 1.458 nb from 1 GeV and 1.454 nb
        from 10 GeV, at the Z.

    Raises
    ------
    TypeError, ValueError
        If a number is impossible (NaN, a negative mass, `sin2` outside (0, 1), an energy below threshold); the message names it.

    Notes
    -----
    .. math:: \frac{d\sigma}{d\cos\theta} = \frac{\pi \alpha^2}{2 s} \left[G_1 (1 + \cos^2\theta) + 2 G_3 \cos\theta\right], \quad
        \sigma = \frac{4 \pi \alpha^2}{3 s} G_1, \quad A_{FB} = \frac{3 G_3}{4 G_1},

    with :math:`a = -1/2`, :math:`\chi = \kappa s / (s - M^2 + i M \Gamma)`,
    :math:`G_1 = 1 + 2 v^2 \mathrm{Re}\chi + (v^2 + a^2)^2 |\chi|^2`, :math:`G_3 = 2 a^2 \mathrm{Re}\chi + 4 v^2 a^2 |\chi|^2`, for the angle
    of the negative lepton to the electron (Particle Data Group, Review of Particle Physics, "Electroweak model"; LEP collaborations,
    doi:10.1016/j.physrep.2005.12.006, hep-ex/0509008, section 1.4). Masses of leptons are neglected in it, by
    :math:`\frac38 (2m/\sqrt s)^4` at most, and exact in the momenta; those of the beams are neglected.

    Nothing is rejected. :math:`|\cos\theta|` is flat with probability 3/4 and else the largest of three uniform numbers, its sign follows
    :math:`G_3/G_1` at the mass of the pair. The share that is radiated is drawn from the inverse of the cumulative of
    :math:`\sigma(s (1 - x)) H(x)` in :math:`\ln x`, in which the soft singularity is an exponential; below 1e-30 it goes on as the power
    law that it is. Photons fly along the beams and are not among the columns. A collision radiates from both beams:
    :math:`1 - x = z_1 z_2`, of whose logarithm one beam takes a share r of density :math:`(r (1 - r))^{\beta/2-1}`, as two soft
    radiators of :math:`\beta/2` make it. In most events one beam radiates nearly all.

    A spread of the energy weights it with the cross-section, and gives the pair the motion of beams that vary independently: a rapidity
    of standard deviation `energy_spread` / `energy`. Where the energy varies, tables of radiation stand at distances of
    `width` / 128, of which an event takes one of the two neighbours: the density is interpolated linearly between them, to 1e-4.

    An event depends on the seed, its number and its energy alone; its bits, with radiation, also on the mathematical functions of the
    system by which tables are made.

    Examples
    --------
    >>> from simgraft.events import Dilepton
    >>> peak = Dilepton(energy=91.1876, flavours=("mu",))
    >>> [round(x, 3) for x in peak.cross_section()]  # nb
    [1.979, 0.0]
    >>> round(peak.asymmetry()[0], 4)
    0.0162
    >>> events = peak.generate(1000, seed=1)
    >>> bool(events["mum_E"].min() == 91.1876 / 2)
    True
    >>> radiating = Dilepton(energy=91.1876, flavours=("mu",), radiation="alpha2")
    >>> round(radiating.cross_section()[0], 3)
    1.458
    """

    layout = DILEPTON

    def __init__(
        self, energy=91.1876, *, flavours=("e", "mu"), scheme="effective", alpha_inverse=None, sin2=None, z_coupling=None, mass=91.1876,
        width=2.4952, width_scheme="fixed", radiation=None, energy_spread=0.0, pair_mass_min=1.0,
    ):  # fmt: skip
        if isinstance(flavours, str) or not flavours or not set(flavours) <= set(_FLAVOURS) or len(set(flavours)) < len(flavours):
            raise ValueError(f'flavours: expected some of "e", "mu", each once, got {flavours!r}')
        for name, value, known in (("scheme", scheme, _SCHEMES), ("width_scheme", width_scheme, ("fixed", "running")),
                                   ("radiation", radiation, _ORDERS)):  # fmt: skip
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(map(repr, known))}, got {value!r}")
        self.flavours = tuple(flavours)
        least = 2 * max(_FLAVOURS[name][1] for name in self.flavours)
        self.pair_mass_min = _number("pair_mass_min", pair_mass_min, above=least, unit="GeV")
        self.scheme, self.width_scheme, self.radiation = scheme, width_scheme, radiation
        self.mass, self.width = (_number(k, v, above=0, unit="GeV") for k, v in (("mass", mass), ("width", width)))
        self.alpha_inverse = alpha_inverse if alpha_inverse is None else _number("alpha_inverse", alpha_inverse, above=0)
        self.sin2 = sin2 if sin2 is None else _number("sin2", sin2, above=0, below=1)
        self.z_coupling = z_coupling if z_coupling is None else _number("z_coupling", z_coupling, least=0)
        self.energy = _number("energy", energy, above=self._threshold, unit="GeV")
        self.energy_spread = _number("energy_spread", energy_spread, least=0, unit="GeV")
        if self.energy - _RANGE * self.energy_spread <= self._threshold:
            raise ValueError(
                f"energy_spread: energies down to {_RANGE:g} of it, {self.energy - _RANGE * self.energy_spread:.6g} GeV, expected more "
                f"than {self._threshold:.6g} GeV, got {energy_spread}"
            )
        if self.energy_spread and self.radiation:
            self._window(*self._extremes())

    @property
    def _threshold(self):
        """What an energy must exceed [GeV]."""
        return _ABOVE * self.pair_mass_min if self.radiation else 2 * max(_FLAVOURS[name][1] for name in self.flavours)

    @property
    def couplings(self):
        """Numbers that the scheme and the arguments come to: dict of ``alpha``, ``sin2``, ``z_coupling``."""
        sin2 = _SCHEMES[self.scheme] if self.sin2 is None else self.sin2
        product = sin2 * (1 - sin2)
        if self.alpha_inverse is not None:
            alpha = 1 / self.alpha_inverse
        else:
            alpha = math.sqrt(2) * FERMI * self.mass**2 * product / math.pi if self.scheme == "Gmu" else 1 / 128.9
        kappa = self.z_coupling
        if kappa is None:
            kappa = math.sqrt(2) * FERMI * self.mass**2 / (4 * math.pi * alpha) if self.scheme == "improved" else 0.25 / product
        return {"alpha": alpha, "sin2": sin2, "z_coupling": kappa}

    def _process(self):
        flavours = sum(_FLAVOURS[name][0] for name in self.flavours)
        return (
            self.energy, self.energy_spread, self.mass, self.width, self.width_scheme == "running", *self.couplings.values(),
            _ORDERS[self.radiation], self.pair_mass_min, ELECTRON_MASS, MUON_MASS, flavours,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------------- integrals
    def _totals(self, energy):
        """Cross-section of one flavour, its error [nb] and the asymmetry, (3, n)."""
        return _core.dilepton_total(self._process(), np.ascontiguousarray(energy, np.float64)).T

    def _mean(self):
        """Cross-section of one flavour, its error and the asymmetry: over the energies of the collisions."""
        if not self.energy_spread:
            return self._totals(np.array([self.energy]))[:, 0]
        # Gauss-Legendre in panels of half a standard deviation
        place, weight = np.polynomial.legendre.leggauss(6)
        panels = np.arange(-_RANGE, _RANGE, 0.5)
        t = (panels[:, None] + 0.25 + 0.25 * place).ravel()
        weight = np.tile(weight, len(panels)) * np.exp(-0.5 * t**2)
        value, error, asymmetry = self._totals(self.energy + self.energy_spread * t)
        weight /= weight.sum()
        total = weight @ value
        return np.array([total, weight @ error, (weight * value) @ asymmetry / total])

    def _given(self, energy):
        energies = np.asarray(energy, np.float64)
        bad = np.flatnonzero(~(np.isfinite(energies) & (energies > self._threshold)).ravel())
        if bad.size:
            raise ValueError(
                f"energy: expected finite numbers of more than {self._threshold:.10g} GeV, got {energies.ravel()[bad[0]]:.10g} at place "
                f"{bad[0]}"
            )
        return energies

    def cross_section(self, energy=None):
        """Total cross-section of all `flavours` together.

        Parameters
        ----------
        energy : float or array [GeV], optional
            Of the collision, without spread; default that of the generator with its spread.

        Returns
        -------
        value, error : float or arrays of the shape of `energy` [nb]
            The error is that of the numerical integration; without radiation and spread the cross-section is a formula.

        Examples
        --------
        >>> import numpy as np
        >>> energies = np.linspace(88, 94, 601)
        >>> line = Dilepton(flavours=("mu",), radiation="alpha2").cross_section(energies)[0]
        >>> round(float(energies[line.argmax()]), 2)  # radiation moves the peak up by 0.1 GeV
        91.31
        """
        if energy is None:
            value, error, _ = self._mean()
            return float(len(self.flavours) * value), float(len(self.flavours) * error)
        energies = self._given(energy)
        value, error, _ = self._totals(energies.ravel()) * len(self.flavours)
        return value.reshape(energies.shape)[()], error.reshape(energies.shape)[()]

    def asymmetry(self, energy=None):
        """Forward-backward asymmetry of the negative lepton, in the frame of the pair.

        Parameters
        ----------
        energy : float or array [GeV], optional
            As of :meth:`cross_section`.

        Returns
        -------
        value, error : float or arrays of the shape of `energy` [1]

        Examples
        --------
        >>> [round(float(a), 3) for a in Dilepton().asymmetry([88.1876, 93.1876])[0]]
        [-0.265, 0.192]
        """
        if energy is None:
            value, error, asymmetry = self._mean()
            return float(asymmetry), float(error / value)
        energies = self._given(energy)
        value, error, asymmetry = self._totals(energies.ravel())
        return asymmetry.reshape(energies.shape)[()], (error / value).reshape(energies.shape)[()]

    # ---------------------------------------------------------------------------------------------------- events
    def _extremes(self):
        return self.energy - _RANGE * self.energy_spread, self.energy + _RANGE * self.energy_spread

    def _window(self, low, high):
        """Number of the first table and how many cover the energies, and their distance [GeV]."""
        step = self.width / 128
        first = math.floor(low / step) - 1
        count = math.ceil(high / step) + 2 - first
        if count > _core.DILEPTON_ROWS:
            raise ValueError(
                f"energy: {low:.6g} to {high:.6g} GeV need {count} tables of radiation at distances of width / 128; "
                f"at most {_core.DILEPTON_ROWS} are made, for {(_core.DILEPTON_ROWS - 4) * step:.4g} GeV"
            )
        return first, count, step

    def _tables(self, dtype, window=None):
        """Tables of the energy and of radiation, and where the latter stand: those of the core."""
        process = self._process()
        if self.radiation is None:
            first, count, step, rows = 0, 0, 0.0, None
        else:
            if window is None:
                window = self._window(*self._extremes()) if self.energy_spread else (self.energy, 1, 0.0)
            first, count, step = window
            rows = _rows(process, first, count, step, np.dtype(np.float64))
        spread = _core.dilepton_spread(process, rows, first, step).astype(dtype) if self.energy_spread else None
        if rows is not None and dtype != rows.dtype:
            rows = _rows(process, first, count, step, dtype)
        return spread, rows, float(first), step

    def _fill(self, seed, first, values, num_threads, energy=None, window=None):
        if energy is None:
            spread, *rows = self._tables(values.dtype)
        else:
            if window is None and self.radiation and energy.size:
                window = self._window(energy.min(), energy.max())
            spread, *rows = None, *self._tables(values.dtype, window)[1:]
            energy = energy.astype(values.dtype)
        _core.dilepton(self._process(), seed, first, energy, spread, *rows, values, num_threads)

    def _energies(self, energy, n, first):
        """Energies of events as (n,) float64; ValueError that names the event."""
        if self.energy_spread:
            raise ValueError(f"energy: expected none with energy_spread = {self.energy_spread} GeV")
        energies = np.asarray(energy, np.float64)
        if energies.shape != (n,):
            raise ValueError(f"energy: expected an array of shape ({n},), got {energies.shape}")
        bad = np.flatnonzero(~(np.isfinite(energies) & (energies > self._threshold)))
        if bad.size:
            raise ValueError(
                f"energy: event {first + bad[0]} has {energies[bad[0]]:.10g} GeV, expected a finite number of more than "
                f"{self._threshold:.10g}"
            )
        return energies

    def generate(self, n, seed, *, first=0, energy=None, dtype="float64", num_threads=None):
        """Events first, first + 1, ... first + n - 1 of a seed.

        Parameters
        ----------
        n : int
        seed : int
            0 to 2**64 - 1.
        first : int
            Number of the first event. An event depends on the seed and its number (and `energy`) alone.
        energy : (n,) array [GeV], optional
            Energy of the collision of each event in the place of that of the generator.
        dtype : {"float64", "float32"}
            float32 keeps 1 - m^2/s of a pair to 1e-7.
        num_threads : int, optional
            Default: OMP_NUM_THREADS, or all CPUs.

        Returns
        -------
        Events
            Unweighted. The flavour that is absent from an event has zeros, and its flags in ``present`` are False.

        Raises
        ------
        ValueError
            If an energy lies below threshold, naming the event.

        Examples
        --------
        >>> import numpy as np
        >>> scan = Dilepton(flavours=("mu",)).generate(3, seed=1, energy=np.array([88.0, 91.0, 94.0]))
        >>> scan["mup_E"]
        array([44. , 45.5, 47. ])
        """
        if energy is not None:
            energy = self._energies(energy, check_count("n", n), check_count("first", first))
        return self._make(n, seed, first, dtype, num_threads, energy)

    def kernel(self, seed, *, energy=None):
        """The generator as a :class:`simgraft.Kernel` from the number of an event to its columns.

        Parameters
        ----------
        seed : int
        energy : (low, high) [GeV], optional
            Makes the energy of the collision a second input with these limits.

        Returns
        -------
        simgraft.Kernel
            Of the input ``event`` (and ``energy``) and one output for each column.

        Examples
        --------
        >>> import numpy as np
        >>> kernel = Dilepton(flavours=("mu",)).kernel(seed=1, energy=(88.0, 95.0))
        >>> kernel({"event": np.array([5.0, 2.0]), "energy": np.array([90.0, 92.0])})["mum_E"]
        array([45., 46.])
        """
        if energy is None:
            return super().kernel(seed)
        low, high = self._given(energy)
        if not low < high:
            raise ValueError(f"energy: expected low < high, got {low:g} and {high:g} GeV")
        if self.energy_spread:
            raise ValueError(f"energy: expected none with energy_spread = {self.energy_spread} GeV")
        window = self._window(low, high) if self.radiation else None
        return event_kernel(
            Numbered(self, check_seed(seed), ("energy",), (window,)),
            self.layout,
            type(self).__name__,
            conditions={"energy": Var("GeV", low, high, doc="energy of the collision")},
            version=simgraft.__version__,
            parameters={"seed": int(seed), "generator": repr(self)},
        )
