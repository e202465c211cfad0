"""Events of Pythia 8: real showers and hadrons in the columns of our layouts.

Pythia (GPL-2) and FastJet (GPL-2) are used at run time, where they are installed: ``pip install
'simgraft[events]'``. Nothing here works without them except making the objects.

Numbers of events. Pythia's random numbers are one long sequence, so an event depends on those before it. To
make event i a pure function of (seed, i) nevertheless, events come in blocks of ``block`` kept events, and
each block begins with a seed of its own: event i is number ``i % block`` of those that pass the selection in
block ``i // block``. To make event i, its block is generated from its beginning; ask for whole blocks where
time matters. Detector smearing takes Philox numbers keyed by (seed, block, number of the event in the block
before selection).
"""

import os
import threading
from collections import OrderedDict

import numpy as np

import simgraft
from simgraft import _core
from simgraft.events.columns import DILEPTON, TOP_PAIR
from simgraft.events.generator import check_count, check_dtype, check_seed
from simgraft.events.kernel import event_kernel
from simgraft.events.sample import Events
from simgraft.nn._params import Params

__all__ = ["PythiaDilepton", "PythiaTopPair", "block_seed"]

SEEDS = 900_000_000  # Random:seed runs from 1 to this

# Streams of Philox: seeds of the blocks, then smearing of each object
_STREAM_SEED = 0x5059_0000
_STREAM_MET = 0x5059_0001  # and the next
_STREAM_LEPTON = 0x5059_1000  # + number of the lepton
_STREAM_JET = 0x5059_2000  # + number of the jet
_ATTEMPT_BITS = 20  # events before selection in a block: below 2**20

_NEUTRINOS = (12, 14, 16)
_PDF_SETS = {
    "GRV94L": "1",
    "CTEQ5L": "2",
    "MSTW2008LO": "5",
    "CTEQ6L1": "8",
    "NNPDF2.3LO": "13",  # alpha_s(MZ) = 0.130
    "NNPDF2.3LO_as0119": "14",
    "NNPDF3.1LO": "17",  # alpha_s(MZ) = 0.130
    "NNPDF3.1LO_as0118": "18",
}


def _need(module):
    """The module, or an ImportError that says how to get it."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"events of Pythia need the package {module} ({error}): pip install 'simgraft[events]'"
        ) from error


def block_seed(seed, block):
    """Seed of Pythia for a block of events.

    Parameters
    ----------
    seed : int
        Of the sample, 0 to 2**64 - 1.
    block : int
        Number of the block, below 900,000,000.

    Returns
    -------
    int
        1 to 900,000,000. Different for all blocks of one sample: a Philox number of `seed` plus the number of
        the block, modulo 900,000,000.

    Examples
    --------
    >>> block_seed(1, 8) - block_seed(1, 7)
    1
    """
    if not 0 <= block < SEEDS:
        raise ValueError(f"block: expected 0 to {SEEDS - 1}, got {block}")
    word = _core.philox_blocks(seed, _STREAM_SEED, 0, 1)[0]
    start = (int(word[0]) << 32 | int(word[1])) % SEEDS
    return 1 + (start + block) % SEEDS


class _PythiaGenerator(Params):
    """What both generators share: instances of Pythia, blocks of events, the kernel."""

    def _check(self):
        if isinstance(self.block, bool) or not isinstance(self.block, (int, np.integer)) or self.block < 1:
            raise ValueError(f"block: expected a number of events of at least 1, got {self.block!r}")
        if isinstance(self.settings, str) or not all(isinstance(s, str) for s in self.settings):
            raise TypeError(f'settings: expected texts such as "PartonLevel:MPI = on", got {self.settings!r}')
        self.settings = tuple(self.settings)
        if not np.isfinite(self.energy) or self.energy <= 0:
            raise ValueError(f"energy: expected a finite number > 0 GeV, got {self.energy!r}")

    # ------------------------------------------------------------------------------------------------- Pythia
    def pythia(self, seed, *, hard_process_only=False):
        """An instance of ``pythia8mc.Pythia`` with these parameters, for anything that is not offered here.

        Parameters
        ----------
        seed : int
            Random:seed, 1 to 900,000,000.
        hard_process_only : bool
            No decays of resonances, no showers, no hadrons: ``process`` holds the event.

        Returns
        -------
        pythia8mc.Pythia
            Initialised.

        Raises
        ------
        ImportError
            Without the package pythia8mc.
        ValueError
            If Pythia does not know a setting.
        RuntimeError
            If Pythia cannot be initialised with the settings.
        """
        pythia8 = _need("pythia8mc")

        class Pythia(pythia8.Pythia):
            """Keeps the hook alive, of which Pythia holds a bare pointer."""

            hook = None

        pythia = Pythia("", False)
        for text in (
            "Print:quiet = on",
            "Random:setSeed = on",
            f"Random:seed = {int(seed)}",
            *self._settings(),
            *(("ProcessLevel:resonanceDecays = off", *_PROCESS_ONLY) if hard_process_only else ()),
            *self.settings,
        ):
            if not pythia.readString(text):
                raise ValueError(f"settings: Pythia {_version()} does not accept {text!r}")
        if not hard_process_only:
            pythia.hook = self._hook(pythia8)
        if pythia.hook is not None:
            pythia.setUserHooksPtr(pythia.hook)
        if not pythia.init():
            raise RuntimeError(f"Pythia cannot be initialised as {self!r}; its messages say why")
        return pythia

    def _hook(self, pythia8):
        return None

    def _instance(self):
        """The instance of this thread, made once for the parameters."""
        cache = _local.__dict__.setdefault("instances", OrderedDict())
        key = (os.getpid(), repr(self))
        if key not in cache:
            cache[key] = self.pythia(_INIT_SEED)
            while len(cache) > _INSTANCES:
                cache.popitem(last=False)
        cache.move_to_end(key)
        return cache[key]

    # ------------------------------------------------------------------------------------------------- events
    def _block(self, seed, block, stop):
        """Columns (n_columns, n) of the first n >= `stop` events of a block, and how many were generated."""
        pythia = self._instance()
        pythia.rndm.init(block_seed(seed, block))
        parts, kept, made = [], 0, 0
        while kept < stop:
            batch = pythia.nextBatch(self._batch)
            if made + len(batch) > 1 << _ATTEMPT_BITS or len(batch) == 0:
                raise RuntimeError(
                    f"event {block * self.block + kept}: {made} events of block {block} were generated and "
                    f"only {kept} of {stop} pass the selection of {self!r}"
                )
            columns = self._columns(batch, seed, (block << _ATTEMPT_BITS) + made)
            made += len(batch)
            kept += columns.shape[1]
            parts.append(columns)
        return np.concatenate(parts, axis=1), made

    def _numbers(self, numbers, seed, dtype):
        """Columns of the events of the given numbers, in any order; how many were generated and how many passed."""
        values = np.empty((len(self.layout), len(numbers)), dtype)
        made = kept = 0
        blocks, places = np.divmod(numbers, self.block)
        for block in np.unique(blocks):
            where = np.flatnonzero(blocks == block)
            columns, attempts = self._block(seed, int(block), int(places[where].max()) + 1)
            values[:, where] = columns[:, places[where]]
            made, kept = made + attempts, kept + columns.shape[1]
        return values, made, kept

    def generate(self, n, seed, *, first=0, dtype="float64", num_threads=None):
        """Events first, first + 1, ... first + n - 1 of a seed.

        Parameters
        ----------
        n : int
        seed : int
            0 to 2**64 - 1.
        first : int
            Number of the first event. Whole blocks cost least.
        dtype : {"float64", "float32"}
        num_threads : int, optional
            For the sake of other generators: Pythia works in the calling thread. Take ``kernel(seed).sample``
            with an executor for several processes.

        Returns
        -------
        Events
            ``provenance["generated"]`` says how many events were made for it and ``"selected"`` how many of
            those passed the selection (some are made beyond those asked for): their ratio is the efficiency.

        Raises
        ------
        ImportError
            Without the packages of the extra ``events``.
        """
        n, seed, first = check_count("n", n), check_seed(seed), check_count("first", first)
        values, made, kept = self._numbers(np.arange(first, first + n), seed, check_dtype(dtype))
        return Events(
            self.layout,
            values,
            provenance={
                "generator": repr(self),
                "pythia": _version(),
                "seed": seed,
                "first": first,
                "generated": made,
                "selected": kept,
            },
        )

    def kernel(self, seed):
        """The generator as a :class:`simgraft.Kernel` from the number of an event to its columns.

        Parameters
        ----------
        seed : int

        Returns
        -------
        simgraft.Kernel
            Input "event"; one output per column. Blocks of rows that fit whole blocks of the generator cost
            least: ``kernel.sample(numbers, block_rows=generator.block, shard_rows=10 * generator.block)``.

        Examples
        --------
        >>> kernel = generator.kernel(seed=1)  # doctest: +SKIP
        >>> numbers = sg.sampling.from_states({"event": np.arange(100_000.0)})  # doctest: +SKIP
        >>> data = kernel.sample(numbers, out="top/", block_rows=1000, executor=pool)  # doctest: +SKIP
        """
        return event_kernel(
            _Numbers(self, check_seed(seed)),
            self.layout,
            type(self).__name__,
            version=f"{simgraft.__version__} with Pythia {_version()}",
            parameters={"seed": int(seed), "generator": repr(self)},
        )

    def _cross_section(self, n, seeds):
        """Mean and error [mb] of the hard process over seeds."""
        seeds = (seeds,) if isinstance(seeds, (int, np.integer)) else tuple(seeds)
        if n < 1 or not seeds:
            raise ValueError(f"n, seeds: expected at least one event and one seed, got {n} and {seeds!r}")
        values, errors = [], []
        for seed in seeds:
            pythia = self.pythia(seed, hard_process_only=True)
            for start in range(0, n, _HARD_BATCH):
                pythia.nextBatch(min(_HARD_BATCH, n - start))
            info = pythia.infoPython()
            values.append(info.sigmaGen())
            errors.append(info.sigmaErr())
        error = np.sqrt(np.sum(np.square(errors))) / len(seeds)
        if len(seeds) > 1:
            error = max(error, np.std(values, ddof=1) / np.sqrt(len(seeds)))
        return float(np.mean(values)), float(error)


_PROCESS_ONLY = ("PartonLevel:all = off", "HadronLevel:all = off")
_HARD_BATCH = 2000
_INIT_SEED = 1  # the search for maxima of the cross-section, the same for all blocks
_INSTANCES = 2  # kept per thread
_local = threading.local()


class _Numbers:
    """Columns by number of event; what the kernels call, in any process."""

    def __init__(self, generator, seed):
        self.generator, self.seed = generator, seed

    def __call__(self, inputs):
        numbers = inputs["event"]
        whole = numbers.astype(np.int64)
        if not np.array_equal(whole, numbers):
            bad = int(np.flatnonzero(whole != numbers)[0])
            raise ValueError(f"event[{bad}] = {numbers[bad]}: expected whole numbers")
        values, *_ = self.generator._numbers(whole, self.seed, np.float64)
        return dict(zip(self.generator.layout.names, values, strict=True))


def _version():
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pythia8mc")
    except PackageNotFoundError:
        _need("pythia8mc")
        return "of unknown version"


# ----------------------------------------------------------------------------------------------------- Z


class PythiaDilepton(_PythiaGenerator):
    """e+ e- -> gamma*/Z -> l+ l- by Pythia 8, in the 16 columns of :data:`DILEPTON`.

    Parameters
    ----------
    energy : float [GeV]
        Of both beams together, in their centre of mass; the electron flies along +z.
    flavours : tuple of {"e", "mu"}
        Which pairs; equally many of both. Electrons come from the s channel alone.
    isr : bool
        Photons from the beams: structure functions of the electron and the initial-state shower. Without it:
        Born.
    fsr : bool
        Photons from the final leptons; the leptons are those after it.
    settings : sequence of str
        More settings of Pythia, read last.
    block : int
        Events of one block, part of the definition of an event; see the module.

    Notes
    -----
    At 91.19 GeV and per flavour 1.999 nb without and 1.468 nb with radiation (alpha and sin2 theta_W as
    Pythia sets them).

    Examples
    --------
    >>> from simgraft.events import PythiaDilepton
    >>> events = PythiaDilepton(energy=91.19, isr=False).generate(1000, seed=1)  # doctest: +SKIP
    >>> events["mum_E"].max()  # doctest: +SKIP
    45.595
    """

    layout = DILEPTON
    _batch = 1000
    _CODES = {"e": 11, "mu": 13}

    def __init__(self, *, energy=91.19, flavours=("e", "mu"), isr=True, fsr=False, settings=(), block=10_000):
        self.energy, self.flavours, self.isr, self.fsr = energy, flavours, isr, fsr
        self.settings, self.block = settings, block
        self._check()
        if isinstance(flavours, str) or not flavours or not set(flavours) <= set(self._CODES):
            raise ValueError(f'flavours: expected some of "e", "mu", got {flavours!r}')
        self.flavours = tuple(flavours)

    def _settings(self):
        codes = " ".join(str(self._CODES[name]) for name in self.flavours)
        yield from ("Beams:idA = 11", "Beams:idB = -11", f"Beams:eCM = {self.energy!r}")
        yield from (
            "WeakSingleBoson:ffbar2gmZ = on",
            "23:onMode = off",
            f"23:onIfAny = {codes}",
            "HadronLevel:all = off",
        )
        if not self.isr:
            yield from ("PDF:lepton = off", "PartonLevel:ISR = off")
        # Pairs from radiated photons would be further leptons.
        yield from ("TimeShower:QEDshowerByGamma = off",) if self.fsr else ("PartonLevel:FSR = off",)

    def _columns(self, batch, seed, number):
        particles = _Particles(batch)
        kind = np.abs(particles.id)
        pair = (kind == 11) | (kind == 13)
        event, code = particles.event[pair], particles.id[pair]
        if not np.array_equal(np.bincount(event, minlength=particles.n), np.full(particles.n, 2)):
            block, place = number >> _ATTEMPT_BITS, number & (1 << _ATTEMPT_BITS) - 1  # all events are kept
            bad = int(np.flatnonzero(np.bincount(event, minlength=particles.n) != 2)[0])
            raise RuntimeError(
                f"event {block * self.block + place + bad} has not two leptons; do the settings of {self!r} "
                "change the process?"
            )
        values = np.zeros((16, particles.n))
        for place, wanted in enumerate((11, -11, 13, -13)):
            mine = code == wanted
            for k, name in enumerate(("e", "px", "py", "pz")):
                values[4 * place + k, event[mine]] = getattr(particles, name)[pair][mine]
        return values

    def cross_section(self, n=100_000, seeds=(1, 2, 3, 4)):
        """Total cross-section of all `flavours` together.

        Parameters
        ----------
        n : int
            Events per seed.
        seeds : int or sequence of int
            1 to 900,000,000; the mean over them is taken.

        Returns
        -------
        value, error : float [nb]
            The error is the larger of Pythia's and the scatter between seeds.
        """
        value, error = self._cross_section(n, seeds)
        return value * 1e6, error * 1e6


# ------------------------------------------------------------------------------------------------- t tbar


class PythiaTopPair(_PythiaGenerator):
    """p p -> t tbar by Pythia 8 with showers, hadrons, jets and a parametrised detector, in the 26 columns of
    :data:`TOP_PAIR`.

    Parameters
    ----------
    energy : float [GeV]
        Of both beams together.
    mass : float [GeV]
        Of the top quark.
    pdf : str
        "NNPDF2.3LO" (alpha_s(MZ) 0.130), "NNPDF3.1LO_as0118", "CTEQ6L1", "GRV94L" ... or what Pythia's
        PDF:pSet takes, as "LHAGrid1:/path/file.dat".
    decays : {"lepton", "semileptonic", "dilepton", "any"}
        At least one, exactly one, two W that decay to an electron or a muon; no condition.
    isr, fsr, mpi, hadronisation : bool
        Initial- and final-state showers, multiparton interactions, hadrons. Without all four: partons of the
        decays.
    tune : int
        Tune:pp; 14 is Monash 2013.
    scale : float or None [GeV]
        Renormalisation and factorisation scale of the hard process; None: Pythia's.
    alpha_s : float or None
        Of the hard process, not running; None: Pythia's.
    breit_wigner : bool
        Whether the masses of the tops are spread; False: `mass` exactly.
    smearing : bool
        Gaussian resolution: jets sigma_E/E = 0.8 / sqrt(E / GeV) (+) 0.05, leptons 0.02, both components of
        the missing momentum 5 GeV on top of what the selected jets and leptons have gained.
    jet_radius, jet_pT, jet_eta, min_jets
        Anti-kT jets of all visible particles but the selected leptons; after smearing pT > 20 GeV and
        abs(eta) < 5; at least 4.
    lepton_pT, lepton_eta, isolation, min_leptons
        Electrons and muons with pT > 10 GeV after smearing and abs(eta) < 2.5, where the pT of other visible
        particles within Delta R < 0.3 adds up to less than `isolation` times their own; at least 1. The two
        leading ones are taken.
    settings : sequence of str
        More settings of Pythia, read last.
    block : int
        Kept events of one block, part of the definition of an event; see the module.

    Notes
    -----
    The missing momentum is that of the neutrinos less what smearing added to the selected jets and leptons.
    Objects are ordered by pT after smearing; eta is pseudorapidity. Jets: Cacciari, Salam & Soyez, anti-kt,
    doi:10.1088/1126-6708/2008/04/063. Tune: Skands, Carrazza & Rojo, doi:10.1140/epjc/s10052-014-3024-y.
    Pythia: Bierlich et al., doi:10.21468/SciPostPhysCodeb.8.

    Examples
    --------
    >>> from simgraft.events import PythiaTopPair
    >>> generator = PythiaTopPair(mpi=True)
    >>> events = generator.generate(1000, seed=1)  # doctest: +SKIP
    >>> (events["j4_pT"] > 20).all()  # doctest: +SKIP
    True
    >>> PythiaTopPair.leading_order(pdf="GRV94L").cross_section()  # pb  # doctest: +SKIP
    (499.8, 0.6)
    """

    layout = TOP_PAIR
    _DECAYS = {"lepton": (1, 2), "semileptonic": (1,), "dilepton": (2,), "any": (0, 1, 2)}

    def __init__(
        self,
        *,
        energy=13_000.0,
        mass=172.5,
        pdf="NNPDF2.3LO",
        decays="lepton",
        isr=True,
        fsr=True,
        mpi=False,
        hadronisation=True,
        tune=14,
        scale=None,
        alpha_s=None,
        breit_wigner=True,
        smearing=True,
        jet_radius=0.4,
        jet_pT=20.0,
        jet_eta=5.0,
        min_jets=4,
        lepton_pT=10.0,
        lepton_eta=2.5,
        isolation=0.15,
        min_leptons=1,
        settings=(),
        block=1000,
    ):
        self.energy, self.mass, self.pdf, self.decays = energy, mass, pdf, decays
        self.isr, self.fsr, self.mpi, self.hadronisation, self.tune = isr, fsr, mpi, hadronisation, tune
        self.scale, self.alpha_s, self.breit_wigner, self.smearing = scale, alpha_s, breit_wigner, smearing
        self.jet_radius, self.jet_pT, self.jet_eta, self.min_jets = jet_radius, jet_pT, jet_eta, min_jets
        self.lepton_pT, self.lepton_eta, self.isolation, self.min_leptons = (
            lepton_pT,
            lepton_eta,
            isolation,
            min_leptons,
        )
        self.settings, self.block = settings, block
        self._check()
        if not mass > 0 or not energy > 2 * mass:
            raise ValueError(
                f"mass: expected more than 0 and less than half of energy = {energy} GeV, got {mass!r}"
            )
        if decays not in self._DECAYS:
            raise ValueError(f"decays: expected one of {', '.join(self._DECAYS)}, got {decays!r}")
        for name in ("scale", "alpha_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: expected a number > 0 or None, got {value!r}")
        for name, most in (("min_jets", 4), ("min_leptons", 2)):
            if getattr(self, name) not in range(most + 1):
                raise ValueError(f"{name}: expected 0 to {most}, got {getattr(self, name)!r}")
        for name in ("jet_radius", "jet_pT", "jet_eta", "lepton_pT", "lepton_eta", "isolation"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected a number > 0, got {getattr(self, name)!r}")

    @classmethod
    def leading_order(
        cls, *, energy=13_000.0, mass=172.5, alpha_s=0.108, scale=None, pdf="NNPDF2.3LO", **parameters
    ):
        """Settings under which Pythia's hard process is the plain leading order: fixed scale (default
        `mass`), fixed alpha_s, tops of exactly `mass`, no showers, no hadrons.

        Returns
        -------
        PythiaTopPair
        """
        off = dict(isr=False, fsr=False, mpi=False, hadronisation=False, breit_wigner=False)
        return cls(
            energy=energy,
            mass=mass,
            pdf=pdf,
            alpha_s=alpha_s,
            scale=mass if scale is None else scale,
            **(off | parameters),
        )

    @property
    def _batch(self):
        # What takes about a tenth of a second: between batches Ctrl-C is heard.
        if self.mpi:
            return 25
        return 100 if self.hadronisation or self.isr or self.fsr else 1000

    def _settings(self):
        yield from ("Beams:idA = 2212", "Beams:idB = 2212", f"Beams:eCM = {self.energy!r}")
        yield from (f"Tune:pp = {self.tune}", f"PDF:pSet = {_PDF_SETS.get(self.pdf, self.pdf)}")
        yield from ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", f"6:m0 = {self.mass!r}")
        if not self.breit_wigner:
            yield from ("6:doForceWidth = on", "6:mWidth = 0")
            yield from (f"6:mMin = {self.mass - 1e-4!r}", f"6:mMax = {self.mass + 1e-4!r}")
        if self.scale is not None:
            for name in ("renorm", "factor"):
                yield from (
                    f"SigmaProcess:{name}Scale2 = 5",
                    f"SigmaProcess:{name}FixScale = {self.scale**2!r}",
                )
        if self.alpha_s is not None:
            yield from ("SigmaProcess:alphaSorder = 0", f"SigmaProcess:alphaSvalue = {self.alpha_s!r}")
        for name, on in (("ISR", self.isr), ("FSR", self.fsr), ("MPI", self.mpi)):
            yield f"PartonLevel:{name} = {'on' if on else 'off'}"
        if not self.hadronisation:
            yield "HadronLevel:all = off"
        if not (self.isr or self.fsr or self.mpi or self.hadronisation):
            yield from ("PartonLevel:Remnants = off", "Check:event = off")

    def _hook(self, pythia8):
        wanted = self._DECAYS[self.decays]
        if self.decays == "any":
            return None

        class Leptons(pythia8.UserHooks):
            """Throws hard processes with other numbers of W -> e, mu away before they are showered."""

            def canVetoProcessLevel(self):
                return True

            def doVetoProcessLevel(self, process):
                n = 0
                for i in range(5, process.size()):  # after the system, the beams and the incoming partons
                    particle = process[i]
                    if particle.idAbs() in (11, 13) and process[particle.mother1()].idAbs() == 24:
                        n += 1
                return n not in wanted

        return Leptons()

    def _columns(self, batch, seed, number):
        ak, fastjet = _need("awkward"), _need("fastjet")
        particles = _Particles(batch)
        normal = _Normals(seed, number, particles.n)
        kind = np.abs(particles.id)
        neutrino = np.isin(kind, _NEUTRINOS)
        visible = particles.take(~neutrino)
        leptons, chosen = self._leptons(visible, normal)

        rest = visible.take(~chosen)
        constituents = ak.Array(
            ak.contents.ListOffsetArray(
                ak.index.Index64(rest.offsets),
                ak.contents.RecordArray(
                    [ak.contents.NumpyArray(column) for column in (rest.px, rest.py, rest.pz, rest.e)],
                    ["px", "py", "pz", "E"],
                ),
            )
        )
        definition = fastjet.JetDefinition(fastjet.antikt_algorithm, self.jet_radius)
        # Jets whose true pT is far below the cut cannot pass it: at a quarter that takes 6 sigma or more.
        found = fastjet.ClusterSequence(constituents, definition).inclusive_jets(min_pt=self.jet_pT / 4)
        jets = _Objects(
            np.repeat(np.arange(particles.n), ak.num(found).to_numpy()),
            *(ak.flatten(found[name]).to_numpy() for name in ("px", "py", "pz", "E")),
        )
        if self.smearing:
            jets.smear(normal, _STREAM_JET, np.hypot(0.8 / np.sqrt(np.maximum(jets.e, 1e-3)), 0.05))
        jets = jets.ordered((jets.pT > self.jet_pT) & (np.abs(jets.eta) < self.jet_eta))

        missing = [
            np.bincount(particles.event[neutrino], p[neutrino], particles.n)
            - jets.gain(axis, particles.n)
            - leptons.gain(axis, particles.n)
            + self.smearing * 5.0 * normal(_STREAM_MET + axis)
            for axis, p in enumerate((particles.px, particles.py))
        ]
        keep = np.flatnonzero(
            (jets.count(particles.n) >= self.min_jets) & (leptons.count(particles.n) >= self.min_leptons)
        )
        values = np.zeros((26, particles.n))
        values[0], values[1] = np.hypot(*missing), np.arctan2(missing[1], missing[0])
        jets.write(values[2:18], 4)
        leptons.write(values[18:], 2)
        return values[:, keep]

    def _leptons(self, visible, normal):
        """The two leading isolated leptons of each event, smeared; and which particles they are."""
        kind = np.abs(visible.id)
        pT = np.hypot(visible.px, visible.py)
        # With 2 % resolution a lepton of half the cut never passes it.
        where = np.flatnonzero(((kind == 11) | (kind == 13)) & (pT > self.lepton_pT / 2))
        found = _Objects(
            visible.event[where], *(p[where] for p in (visible.px, visible.py, visible.pz, visible.e))
        )
        near = np.abs(found.eta) < self.lepton_eta
        where, found = where[near], found.take(near)
        # Pairs of each lepton with all visible particles of its event
        start, stop = visible.offsets[found.event], visible.offsets[found.event + 1]
        lepton = np.repeat(np.arange(len(where)), stop - start)
        other = np.arange(len(lepton)) + np.repeat(
            start - np.concatenate([[0], np.cumsum(stop - start)[:-1]]), stop - start
        )
        lepton, other = lepton[other != where[lepton]], other[other != where[lepton]]
        with np.errstate(divide="ignore"):
            delta_eta = np.arcsinh(visible.pz[other] / pT[other]) - found.eta[lepton]
        delta_phi = np.arctan2(visible.py[other], visible.px[other]) - found.phi[lepton]
        delta_phi = np.minimum(np.abs(delta_phi), 2 * np.pi - np.abs(delta_phi))
        close = delta_eta**2 + delta_phi**2 < 0.3**2
        around = np.bincount(lepton[close], pT[other[close]], len(where))
        isolated = around < self.isolation * found.pT
        where, found = where[isolated], found.take(isolated)
        if self.smearing:
            found.smear(normal, _STREAM_LEPTON, np.full(len(where), 0.02))
        order = found.order(found.pT > self.lepton_pT)
        order = order[found.rank(order) < 2]
        chosen = np.zeros(len(visible.id), bool)
        chosen[where[order]] = True
        return found.take(order), chosen

    def cross_section(self, n=60_000, seeds=(1, 2, 3, 4, 5, 6)):
        """Total cross-section of the hard process, before decays and selection.

        Parameters
        ----------
        n : int
            Events per seed.
        seeds : int or sequence of int
            1 to 900,000,000. Pythia looks for maxima of the cross-section once per seed, and a single one can
            be off by more than its error says: take several.

        Returns
        -------
        value, error : float [pb]
            The error is the larger of Pythia's and the scatter between seeds.
        """
        value, error = self._cross_section(n, seeds)
        return value * 1e9, error * 1e9


class _Normals:
    """Standard normal numbers (n,) of the events of a batch, one stream for each quantity."""

    def __init__(self, seed, number, n):
        self.seed, self.number, self.n = seed, number, n

    def __call__(self, stream):
        return _core.random_fill("normal", self.seed, stream, self.number, np.empty(self.n))


class _Particles:
    """Final particles of a batch as flat arrays, event after event."""

    def __init__(self, batch=None, **arrays):
        if batch is not None:
            ak = _need("awkward")
            record = batch.prt
            final = ak.flatten(record.status).to_numpy() > 0
            self.n = len(batch)
            self.event = np.repeat(np.arange(self.n), ak.num(record.status).to_numpy())[final]
            self.id = ak.flatten(record.id).to_numpy()[final]
            for name in ("px", "py", "pz", "e"):
                setattr(self, name, ak.flatten(record.p[name]).to_numpy()[final])
        self.__dict__.update(arrays)
        self.offsets = np.concatenate([[0], np.cumsum(np.bincount(self.event, minlength=self.n))])

    def take(self, which):
        return _Particles(
            n=self.n, **{name: getattr(self, name)[which] for name in ("event", "id", "px", "py", "pz", "e")}
        )


class _Objects:
    """Reconstructed objects of a batch as flat arrays, event after event."""

    def __init__(self, event, px, py, pz, e):
        self.event, self.px, self.py, self.pz, self.e = event, px, py, pz, e
        self.pT = np.hypot(px, py)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.eta, self.phi = np.arcsinh(pz / self.pT), np.arctan2(py, px)

        self.gain_x, self.gain_y = np.zeros((2, len(px)))  # by smearing

    def gain(self, axis, n):
        """What smearing adds to the transverse momentum of all objects of each event, (n,)."""
        return np.bincount(self.event, (self.gain_x, self.gain_y)[axis], n)

    def take(self, which):
        new = object.__new__(_Objects)
        new.__dict__.update({name: column[which] for name, column in self.__dict__.items()})
        return new

    def count(self, n):
        return np.bincount(self.event, minlength=n)

    def rank(self, order):
        """Place within its event of each object of `order`, which goes event by event."""
        event = self.event[order]
        return np.arange(len(event)) - np.searchsorted(event, event)

    def order(self, good):
        """Positions of the good objects, event by event, those of high pT first."""
        where = np.flatnonzero(good)
        return where[np.lexsort((-self.pT[where], self.event[where]))]

    def ordered(self, good):
        return self.take(self.order(good))

    def smear(self, normal, stream, resolution):
        """Scale the four-momenta; the k-th object of an event in order of true pT takes stream + k."""
        order = self.order(np.ones(len(self.event), bool))
        rank = np.empty(len(order), int)
        rank[order] = self.rank(order)
        scale = np.ones(len(order))
        for k in range(int(rank.max(initial=-1)) + 1):
            mine = rank == k
            scale[mine] += resolution[mine] * normal(stream + k)[self.event[mine]]
        scale = np.maximum(scale, 0.05)
        self.gain_x, self.gain_y = (scale - 1) * self.px, (scale - 1) * self.py
        for name in ("px", "py", "pz", "e", "pT"):
            setattr(self, name, getattr(self, name) * scale)

    def write(self, rows, most):
        """E, pT, eta, phi of the first `most` objects of each event into rows (4 most, n)."""
        rank = self.rank(np.arange(len(self.event)))
        for k in range(most):
            mine = rank == k
            for q, column in enumerate((self.e, self.pT, self.eta, self.phi)):
                rows[4 * k + q, self.event[mine]] = column[mine]
