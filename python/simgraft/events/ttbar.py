"""p p -> t tbar at leading order with decays and a parametrised detector, in C."""

import os
from collections import OrderedDict

import numpy as np

from simgraft import _core
from simgraft.events.columns import TOP_PAIR
from simgraft.events.generator import Generator, check_count, check_dtype, check_seed
from simgraft.events.pdf import Grv94Lo, PdfTable, open_pdf, tabulate
from simgraft.events.sample import Events
from simgraft.events.vegas import combine

__all__ = ["TopPair"]

DECAYS = ("semileptonic", "dileptonic", "hadronic", "inclusive")
CHANNELS = {"gg": 1, "qq": 2, "all": 3}
KNOTS = 2048

# Adaptation of the grid and the search for the largest weight: part of what an event is.
_SEED = 0x746F70
_BINS, _POINTS, _ITERATIONS, _DAMPING = 64, 1 << 15, 8, 0.8
_SEARCH = 1 << 18

_READY = OrderedDict()  # what was adapted in this process, for generators that come again with the tasks of an executor
_KEPT = 16


class TopPair(Generator):
    """Top quark pairs at leading order: q qbar and g g -> t tbar, t -> b W, W -> l nu or q qbar'.

    Parameters
    ----------
    energy : float [GeV]
        Of both protons together.
    pdf : None, str, path or object with xfxQ
        Parton distributions, see :func:`simgraft.events.pdf.open_pdf`. None: GRV94 LO from formulas, a demonstration that needs no
        file (its partons hold 1.084 of the momentum); take a grid for physics.
    mass : float [GeV]
        Of the top quark, in the cross-section and as the centre of its Breit-Wigner law.
    scale : float or None [GeV]
        At which the parton distributions are taken; None: `mass`.
    alpha_s : float
        Strong coupling, fixed.
    channels : {"all", "gg", "qq"}
        Initial states.
    decays : {"semileptonic", "dileptonic", "hadronic", "inclusive"}
        One, both or none of the W bosons decay to a lepton (e, mu or tau, alike and stable here); any, by `leptonic`.
    leptonic : float
        Probability of W -> l nu, three flavours; for `decays` "inclusive" and :attr:`branching`.
    width, w_mass, w_width, b_mass : float [GeV]
        Width of the top, mass and width of the W, mass of the b quark. Other quarks and leptons have none.
    cut : float
        Masses of tops and W bosons lie within so many widths.
    smear : bool
        Whether momenta are smeared. The scale of each has a normal spread sigma / E: jets a / sqrt(E / GeV) and b in quadrature,
        leptons a constant; the missing momentum loses what the rest gained and each component gets a normal number more.
    jet_resolution : (float [sqrt(GeV)], float)
        a and b.
    lepton_resolution : float
    met_resolution : float [GeV]
    overweight : float
        Share of the cross-section that may come from weights above the one that is always accepted. Those events keep the rest as
        their weight: 0 makes nearly all weights 1 at a lower rate.

    Notes
    -----
    Four jets and a lepton are the semileptonic mode. Dileptonic events have two jets, j3 and j4 are absent; of the six jets of a
    hadronic event the four of highest pT are kept. Leading order has no radiation: the pair has no transverse momentum. Tops carry
    neither polarisation nor spin correlation; the W has its helicity (see ``csrc/events/top_pair.h`` for formulas and papers).

    Event i of a seed has the same bits for any n, first and number of threads, with AVX2 and with AVX-512.

    Examples
    --------
    >>> from simgraft.events import TopPair
    >>> generator = TopPair(energy=13_000.0)
    >>> events = generator.generate(1000, seed=1)
    >>> events
    <Events p p -> t tbar: 1000 of 26 columns, weighted>
    >>> value, error = generator.cross_section()
    >>> bool(abs(value - 499.8) < 1.5)
    True
    """

    layout = TOP_PAIR

    def __init__(
        self,
        *,
        energy=13_000.0,
        pdf=None,
        mass=172.5,
        scale=None,
        alpha_s=0.108,
        channels="all",
        decays="semileptonic",
        leptonic=0.3258,
        width=1.32,
        w_mass=80.369,
        w_width=2.085,
        b_mass=4.78,
        cut=10.0,
        smear=True,
        jet_resolution=(0.8, 0.05),
        lepton_resolution=0.02,
        met_resolution=5.0,
        overweight=1e-3,
    ):
        self.energy, self.pdf, self.mass, self.scale, self.alpha_s = energy, pdf, mass, scale, alpha_s
        self.channels, self.decays, self.leptonic = channels, decays, leptonic
        self.width, self.w_mass, self.w_width, self.b_mass, self.cut = width, w_mass, w_width, b_mass, cut
        self.smear, self.jet_resolution, self.lepton_resolution = smear, jet_resolution, lepton_resolution
        self.met_resolution, self.overweight = met_resolution, overweight
        self._process()

    def __getstate__(self):
        return {name: getattr(self, name) for name in self._names()}

    # ------------------------------------------------------------------------------------------------ what C needs
    def _process(self):
        """The numbers of the process, checked, for the core."""
        for name, value, known in (("channels", self.channels, CHANNELS), ("decays", self.decays, DECAYS)):
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
        if self.scale is not None and not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale: expected a finite number > 0 GeV or None, got {self.scale!r}")
        if not 0 <= self.overweight < 1:
            raise ValueError(f"overweight: expected a share of 0 to below 1, got {self.overweight!r}")
        if np.shape(self.jet_resolution) != (2,):
            raise ValueError(f"jet_resolution: expected two numbers (a [sqrt(GeV)], b), got {self.jet_resolution!r}")
        try:
            numbers = tuple(
                float(value)
                for value in (
                    self.energy,
                    self.mass,
                    self.width,
                    self.w_mass,
                    self.w_width,
                    self.b_mass,
                    self.cut,
                    self.alpha_s,
                    self.leptonic,
                    *self.jet_resolution,
                    self.lepton_resolution,
                    self.met_resolution,
                )
            )
        except (TypeError, ValueError) as error:
            raise TypeError(f"{self!r}: expected numbers ({error})") from None
        process = (*numbers, DECAYS.index(self.decays), CHANNELS[self.channels], int(bool(self.smear)))
        _core.top_pair_check(process)
        return process

    def _key(self):
        """What stands for the parameters of now among other generators of this process; None where a set is an object or a name."""
        if self.pdf is None:
            return repr(self)
        if isinstance(self.pdf, (str, os.PathLike)) and os.path.isfile(self.pdf):
            status = os.stat(self.pdf)
            return repr(self), status.st_mtime_ns, status.st_size
        return None

    def _ready(self):
        """Process, table, grid and sampling for the parameters of now; made once."""
        mine = (repr(self), id(self.pdf))
        if getattr(self, "_cache", (None,))[0] != mine:
            key = self._key()
            ready = _READY.get(key) or self._adapt()
            if key is not None:
                _READY[key] = ready
                while len(_READY) > _KEPT:
                    _READY.popitem(last=False)
            self._cache = (mine, ready)
        return self._cache[1]

    def _adapt(self):
        process = self._process()
        pdf = Grv94Lo() if self.pdf is None else open_pdf(self.pdf)
        scale = float(self.mass if self.scale is None else self.scale)
        table = tabulate(pdf, scale, (2 * self.mass / self.energy) ** 2, KNOTS)
        edges = np.tile(np.linspace(0, 1, _BINS + 1), (3, 1))
        _core.top_pair_integrate(process, table.values, edges, _POINTS, _ITERATIONS, 0, _DAMPING, _SEED, 1)
        edges = np.round(edges * 2**24) / 2**24  # the last digits of the logarithms of the adaptation do not matter
        number = np.arange(_SEARCH, dtype=np.uint64)
        weight, _ = _core.top_pair_events(process, table.values, edges, 0.0, _SEED, number, None, 1)
        size = np.sort(np.abs(weight))[::-1]
        # Largest share above w: sum over the k largest of (w_i - w_k), a growing function of k.
        beyond = np.cumsum(size) - size * np.arange(1, len(size) + 1)
        k = max(int(np.searchsorted(beyond, self.overweight * size.sum(), side="right")) - 1, 0)
        w_max = float(np.float32(size[k]))
        if not w_max > 0:
            raise ValueError(f"pdf: {table.name} gives no cross-section at {self.energy:g} GeV in the channels {self.channels!r}")
        accepted = np.minimum(size / w_max, 1)
        kept = np.maximum(size / w_max, 1)
        sampling = {
            "w_max": w_max,
            "efficiency": float(accepted.mean()),
            "ess_weighted": float(weight.sum() ** 2 / (len(weight) * np.square(weight).sum())),
            "ess_unweighted": float(np.average(kept, weights=accepted) ** 2 / np.average(kept**2, weights=accepted)),
        }
        return process, table, edges, sampling

    @property
    def table(self) -> PdfTable:
        """Parton distributions at the scale, as the core reads them."""
        return self._ready()[1]

    @property
    def sampling(self):
        """How points are drawn, a dict: "w_max" [pb], the weight from which on points are always accepted; "efficiency", the share of
        points that are accepted; "ess_weighted" and "ess_unweighted", effective sizes (sum w)^2 / (n sum w^2) of weighted and of
        unweighted events. From 262,144 points of their own."""
        return dict(self._ready()[3])

    @property
    def branching(self):
        """Share of all pairs that decays into the mode `decays`."""
        p = self.leptonic
        return {"semileptonic": 2 * p * (1 - p), "dileptonic": p**2, "hadronic": (1 - p) ** 2, "inclusive": 1.0}[self.decays]

    # ---------------------------------------------------------------------------------------------------- results
    def cross_section(self, n=1 << 20, seed=0, *, num_threads=None):
        """Total cross-section of the pair, before decays.

        Parameters
        ----------
        n : int
            Points, at least 16.
        seed : int
            0 to 2**64 - 1.
        num_threads : int, optional
            Default: all.

        Returns
        -------
        value, error : float [pb]
            The error is statistical.
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 16:
            raise ValueError(f"n: expected at least 16 points, got {n!r}")
        process, table, edges, _ = self._ready()
        result = _core.top_pair_integrate(
            process, table.values, edges.copy(), int(n) // 8, 8, 1 << 20, 0.0, check_seed(seed), num_threads or 0
        )
        return combine(result[:, 0])

    def generate(self, n, seed, *, first=0, dtype="float64", num_threads=None, weighted=False):
        """Events first, first + 1, ... first + n - 1 of a seed.

        Parameters
        ----------
        n : int
        seed : int
            0 to 2**64 - 1.
        first : int
            Number of the first event.
        dtype : {"float64", "float32"}
            float32 columns are those of float64, rounded.
        num_threads : int, optional
            Default: all.
        weighted : bool
            Whether every point becomes an event, with its weight [pb]: the mean weight is the cross-section. Otherwise points are
            accepted in proportion to their weight, and the weight of an event is 1, or what a point had above the largest.

        Returns
        -------
        Events
            With ``weight``; absent objects are 0. ``provenance["attempts"]`` says how many points were drawn.

        Raises
        ------
        ValueError
            If an argument does not fit.
        """
        n, seed, first = check_count("n", n), check_seed(seed), check_count("first", first)
        values = np.empty((len(self.layout), n), check_dtype(dtype))
        weight, attempts = self._events(seed, first, values, num_threads or 0, weighted)
        _, table, _, sampling = self._ready()
        provenance = {"pdf": table.name, "weighted": bool(weighted), "attempts": attempts, **sampling}
        return Events(self.layout, values, weight=weight, provenance=self._provenance(seed, first) | provenance)

    def _events(self, seed, first, values, num_threads, weighted):
        """Columns into values (26, n); weights (n,) and the number of points that were drawn."""
        process, table, edges, sampling = self._ready()
        number = np.arange(first, first + values.shape[1], dtype=np.uint64)
        w_max = 0.0 if weighted else sampling["w_max"]
        return _core.top_pair_events(process, table.values, edges, w_max, seed, number, values, num_threads)

    def _fill(self, seed, first, values, num_threads):
        return self._events(seed, first, values, num_threads, False)[0]

    def kernel(self, seed):
        """The generator as a :class:`simgraft.Kernel` from the number of an event to its columns.

        Parameters
        ----------
        seed : int

        Returns
        -------
        simgraft.Kernel
            Input "event", one output for each column. Weights, of which one in a thousand of the cross-section is above 1 by default,
            are left out: take ``overweight=0`` where that matters.

        Examples
        --------
        >>> import numpy as np
        >>> from simgraft.events import TopPair
        >>> kernel = TopPair().kernel(seed=1)
        >>> columns = kernel({"event": np.array([5.0, 3.0])})
        >>> bool(columns["j1_pT"][1] == TopPair().generate(1, seed=1, first=3)["j1_pT"][0])
        True
        """
        return super().kernel(seed)
