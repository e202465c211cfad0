"""Where the study takes its events from, and which models it tries: generators, recorded samples, recipes."""

import importlib.util
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from simgraft import sampling
from simgraft.events import chain, flows, host, models
from simgraft.events.analyses import LINESHAPE_BINS
from simgraft.events.columns import DILEPTON, TOP_PAIR, TWO_BODY
from simgraft.events.sample import Events
from simgraft.events.dilepton import Dilepton
from simgraft.events.laws import Gaussian, Uniform
from simgraft.events.ttbar import TopPair
from simgraft.events.two_body import TwoBody

__all__ = ["FULL", "QUICK", "Case", "Sizes", "Sources", "Truth", "cases"]

Z_ENERGY = 91.19  # GeV
TOP_FILE, Z_FILE = "ttbar_pythia8_13tev_26col_40k.npz", "z_pythia8_16col_50k.npz"


@dataclass(frozen=True)
class Sizes:
    """How many events and epochs a run of the study takes.

    Attributes
    ----------
    train, unseen : int
        Events to train the best model on, and of each of two unseen samples; of the tasks whose generator is fast.
    top_train, top_unseen : int
        The same for top pairs.
    judged : int
        Events by which models that know nothing of the process are judged.
    baseline_train, autoencoder, adversarial : int
        What these models are trained on, and their epochs (of the first stages; all epochs).
    shell : int
        Decays whose mass shells are looked at.
    timed : int
        Events by which a network is timed.
    """

    train: int
    unseen: int
    top_train: int
    top_unseen: int
    judged: int
    baseline_train: int
    autoencoder: int
    adversarial: int
    shell: int = 1_000_000
    timed: int = 20_000


QUICK = Sizes(100_000, 100_000, 30_000, 5_000, 10_000, 20_000, 6, 10)
FULL = Sizes(1_000_000, 200_000, 400_000, 60_000, 100_000, 100_000, 240, 200)


@dataclass
class Truth:
    """Events that a model learns from and is held against.

    Attributes
    ----------
    name : str
        Of the generator.
    describe : str
        Where they come from.
    generator : object or None
        What made them, if it can make more here.
    sample : Events or None
        Recorded events; None where the generator makes what is asked for.
    """

    name: str
    describe: str
    generator: object = None
    sample: Events | None = None
    seconds: float = field(default=0.0, init=False)  #: CPU time of what was generated so far [s]

    def split(self, n_train, n_test, seed, folder):
        """Events to train on and two unseen samples of `n_test`; in proportion fewer where the sample ends."""
        wanted = n_train + 2 * n_test
        if self.sample is not None:
            events = self.sample
            if len(events) < wanted:
                n_test = int(len(events) * n_test / wanted)
                n_train = len(events) - 2 * n_test
        else:
            start = all_cpu()
            events = _generate(self.generator, wanted, seed, folder)
            self.seconds += all_cpu() - start
        edges = np.cumsum([0, n_train, n_test, n_test])
        return [events.take(slice(a, b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]

    def seconds_per_event(self, seed):
        """CPU time of one event on one thread [s], or None where the generator is not here."""
        return None if self.generator is None else seconds_per_event(self.generator, seed)


def seconds_per_event(generator, seed):
    """CPU time of one event of a generator on one thread [s]: the median of three calls.

    Pythia makes events in batches, beyond what is asked for: all that passed its selection count.
    """
    n, times = 400, []
    generator.generate(n, seed, num_threads=1)  # sets up what there is to set up
    start = time.thread_time()
    generator.generate(n, seed + 1, num_threads=1)
    n = int(np.clip(0.1 * n / max(time.thread_time() - start, 1e-7), n, 400_000))  # as many as take a tenth of a second
    for turn in range(3):
        start = time.thread_time()
        events = generator.generate(n, seed + 2 + turn, num_threads=1)
        times.append((time.thread_time() - start) / events.provenance.get("selected", n))
    return float(np.median(times))


def all_cpu():
    """CPU time of this process and of its workers that have ended [s]."""
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system


def _generate(generator, n, seed, folder):
    """Events 0 to n; those of full collisions by all CPUs, into a data set that a repeated run finds again."""
    if generator.layout != TOP_PAIR or not hasattr(generator, "block"):
        return generator.generate(n, seed)
    from concurrent.futures import ProcessPoolExecutor

    numbers = sampling.from_states({"event": np.arange(n, dtype=np.float64)})
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        data = generator.kernel(seed).sample(
            numbers, n, out=folder, executor=pool, block_rows=generator.block, shard_rows=10 * generator.block, dtype="float32"
        )
    return Events.from_rows(generator.layout, np.asarray(data.Y), provenance={"generator": repr(generator), "seed": seed})


@dataclass
class Case:
    """One task of the study.

    Attributes
    ----------
    name, short : str
        For the report, and for files.
    truth : Truth
    analysis : callable
        ``analysis(n) -> host``.
    best : callable
        ``best() -> EventModel``, the model that knows the process, not fitted.
    n_train, n_test : int
        Events asked for.
    features : tuple of str
        Columns and composites to draw.
    spectra : dict
        Spectra of the analysis to draw: field -> (edges, label, logarithmic).
    why : str
        What makes the task easy or hard, for the report.
    own : object or None
        Our generator for the same process, where the truth is another's.
    baselines : bool
        Whether models that know nothing of the process are tried as well.
    plane : tuple of str
        Two angles to draw against each other.
    limit : float or None
        Of the gate on the AUC; None where the truth is not what the limit was set for.
    """

    name: str
    short: str
    truth: Truth
    analysis: object
    best: object
    n_train: int
    n_test: int
    features: tuple
    spectra: dict
    why: str
    own: object = None
    baselines: bool = True
    plane: tuple = ()
    limit: float | None = None


class Sources:
    """Finds Pythia and recorded samples.

    Parameters
    ----------
    data : path-like or None
        Folder that holds ``events``, or that folder itself.

    Attributes
    ----------
    folder : Path or None
    pythia : bool
        Whether Pythia 8 and FastJet can be imported.
    missing : list of str
        What could not be found and what that means, for the report.
    """

    def __init__(self, data=None):
        self.folder = None
        if data is not None:
            data = Path(data)
            self.folder = data / "events" if (data / "events").is_dir() else data
        self.pythia = all(importlib.util.find_spec(name) is not None for name in ("pythia8mc", "fastjet", "awkward"))
        self.missing = []

    def recorded(self, name, array, layout):
        """Events of a recorded sample, or None."""
        path = None if self.folder is None else self.folder / name
        if path is None or not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as file:
            return Events.from_rows(layout, file[array], provenance={"file": path.name})

    def top_pairs(self, quick):
        """Truth of the top task: Pythia's events, recorded or made here, else None."""
        generator = None
        if self.pythia:
            from simgraft.events.pythia import PythiaTopPair

            generator = PythiaTopPair()
        sample = self.recorded(TOP_FILE, "X", TOP_PAIR) if quick or generator is None else None
        if sample is not None:
            if generator is None:
                self.missing.append(
                    "Pythia is not installed (pip install 'simgraft[events]'): its recorded top pairs are used, and what the "
                    "network gains over it was not measured."
                )
            return Truth("Pythia 8", f"{len(sample)} recorded events of Pythia 8 with showers, hadrons and jets", generator, sample)
        if generator is not None:
            return Truth("Pythia 8", "Pythia 8 with showers, hadrons and jets", generator)
        self.missing.append(
            "Neither Pythia (pip install 'simgraft[events]') nor its recorded top pairs (--data) were found: top pairs are those of "
            "our own leading-order generator, four smeared partons for four jets. Their figures say nothing of full events, and "
            "ttbar_best_auc and ttbar_memorisation_ratio were not held against their limits."
        )
        return Truth("our leading-order generator", "our leading-order generator, smeared partons", SelectedTopPair())

    def radiating_pairs(self):
        """Truth of lepton pairs with radiation: Pythia's, made here or recorded, else our own."""
        if self.pythia:
            from simgraft.events.pythia import PythiaDilepton

            return Truth("Pythia 8", "Pythia 8 with radiation of the beams", PythiaDilepton(energy=Z_ENERGY, isr=True))
        sample = self.recorded(Z_FILE, "isr", DILEPTON)
        if sample is not None:
            return Truth("Pythia 8", f"{len(sample)} recorded events of Pythia 8 with radiation of the beams", None, sample)
        self.missing.append(
            "Without Pythia and its recorded events, lepton pairs with radiation are our own: photons along the beams, none with "
            "transverse momentum."
        )
        return Truth("our generator", "our generator with radiation of the beams", Dilepton(energy=Z_ENERGY, radiation="alpha2"))


class SelectedTopPair:
    """Leading-order top pairs that pass the selection of the full ones: jets above 20 GeV, a lepton above 10 GeV."""

    layout = TOP_PAIR

    def __init__(self):
        self.generator = TopPair(overweight=0.0)

    def generate(self, n, seed, *, num_threads=None):
        """`n` events; the few weights above 1 are left out."""
        kept, first, block = [], 0, 2 * n + 1000
        while sum(map(len, kept)) < n:
            events = self.generator.generate(block, seed, first=first, num_threads=num_threads)
            good = (events["l1_pT"] > 10) & (np.abs(events["l1_eta"]) < 2.5)
            for jet in ("j1", "j2", "j3", "j4"):
                good &= (events[f"{jet}_pT"] > 20) & (np.abs(events[f"{jet}_eta"]) < 5)
            kept.append(events.rows[good])
            first += block
        return Events.from_rows(TOP_PAIR, np.concatenate(kept)[:n], provenance={"generator": repr(self.generator), "seed": seed})


def decays():
    """Generator of the toy: a parent at rest whose mass has a normal spread, daughters of any masses in a range."""
    return TwoBody(mass=Gaussian(91.1876, 2.5), m1=Uniform(5.0, 30.0), m2=Uniform(5.0, 30.0))


def autoencoder_options(layout, sizes):
    """The published autoencoder; in a quick run with fewer epochs."""
    return {"latent": 5 if layout == TWO_BODY else 20, "epochs": sizes.autoencoder}


def adversarial(sizes):
    """Both adversarial networks, not fitted."""
    return [models.LSGAN(epochs=sizes.adversarial), models.WGAN(epochs=sizes.adversarial)]


def cross_sections():
    """Cross-sections of our generators that have an independent anchor.

    Yields
    ------
    gate, process, unit : str
    anchor, limit, value, error : float
        ``limit`` is that of the relative difference.
    """
    pairs = {"energy": 91.1876, "flavours": ("mu",)}
    value, error = Dilepton(**pairs).cross_section()
    yield "z_born_peak_relative_error", "e+ e- to mu+ mu- at 91.1876 GeV, Born, 1/alpha = 128.9, sin2 = 0.2315", "nb", 1.979, 0.002, value, error
    value, error = Dilepton(**pairs, radiation="alpha2").cross_section()
    yield "z_isr_peak_relative_error", "the same with radiation to O(alpha^2), exponentiated", "nb", 1.461, 0.005, value, error
    value, error = TopPair().cross_section()
    yield "ttbar_lo_13tev_relative_error", "p p to t tbar, 13 TeV, GRV94 LO, m_t = mu = 172.5 GeV, alpha_s = 0.108", "pb", 499.8, 0.003, value, error


def cases(found, sizes, quick):
    """The tasks.

    Parameters
    ----------
    found : Sources
    sizes : Sizes
    quick : bool
        Whether limits of quick runs apply.

    Returns
    -------
    list of Case
    """
    recipe = "quick" if quick else "full"
    angle = {"cos_theta": (np.linspace(-1, 1, 21), "cos theta* of the negative lepton", False)}
    radiated = {"radiated": (LINESHAPE_BINS, "radiated share 1 - m_ll^2 / s", True)}
    found_cases = [
        Case(
            "two-body decay", "toy", Truth("our generator", "our generator", decays()), host.DecayAnalysis,
            lambda: flows.FlowModel.for_layout(TWO_BODY, recipe), sizes.train, sizes.unseen,
            ("E1", "px1", "pz2", "m1", "m2", "p1", "cos_theta1", "p_sum"),
            {"cos_theta": (np.linspace(-1, 1, 21), "cos theta", False), "momentum": (np.linspace(0, 0.5, 26), "p / M", False)},
            "The decay is solved by its coordinates: masses and direction are independent numbers, and energies and momenta follow.",
            limit=0.51,
        ),
    ]  # fmt: skip
    radiative, top = found.radiating_pairs(), found.top_pairs(quick)
    real, ours = top.name == "Pythia 8", radiative.name != "Pythia 8"
    softest = 0.0 if ours else 1e-10
    found_cases += [
        Case(
            "e+ e- to lepton pairs, Born", "z_born", Truth("our generator", "our generator", Dilepton(energy=Z_ENERGY)), lambda n: host.DileptonAnalysis(n, energy=Z_ENERGY),
            lambda: flows.FlowModel.for_layout(DILEPTON, recipe, coordinates={"sqrt_s": Z_ENERGY}),
            sizes.train, sizes.unseen, ("mum_px", "mum_pz", "cos_theta_star", "pT_minus"), angle,
            "One distribution of one angle, a flavour and an azimuth.",
            baselines=not quick, limit=0.51,
        ),
        Case(
            "e+ e- to lepton pairs with radiation", "z", radiative,
            lambda n: host.DileptonAnalysis(n, energy=Z_ENERGY, radiation=True),
            lambda: flows.FlowModel.for_layout(DILEPTON, recipe, coordinates={"sqrt_s": Z_ENERGY, "softest": softest}),
            sizes.train, sizes.unseen,
            ("mum_E", "mum_px", "mum_pz", "cos_theta_star", "m_ll", "pT_ll", "y_ll", "cos_opening"), angle | radiated,
            "Most pairs carry the energy of the beams to a per mille, few much less: a spike and a tail of five decades.",
            own=None if ours else Dilepton(energy=Z_ENERGY, radiation="alpha2"), limit=0.54,
        ),
        Case(
            "p p to top pairs", "ttbar", top, host.TopPairAnalysis, chain.quick if quick else chain.full, sizes.top_train, sizes.top_unseen,
            ("MET", "j1_pT", "j1_eta", "j4_pT", "l1_pT", "l1_eta", "l2_pT", "m_j1", "m_j1j2", "dR_j1j2", "m_4j", "pT_system"),
            {"m_jjj": (np.linspace(80, 380, 31), "mass of three jets [GeV]", False),
             "m_jj": (np.linspace(40, 120, 21), "mass of two jets [GeV]", False),
             "sum_pT": (np.geomspace(150, 2000, 26), "sum of pT [GeV]", True)},
            "Jets, leptons and missing momentum in 26 columns, tied to each other by masses that no column shows.",
            own=TopPair() if real else None, plane=("j1_phi", "j2_phi"), limit=(0.75 if quick else 0.62) if real else None,
        ),
    ]  # fmt: skip
    return found_cases
