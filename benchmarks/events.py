"""Speed of the event generators beside a copy of their columns and beside what the field uses, one thread."""

import importlib.metadata
import logging
import os
import time
from statistics import median

import numpy as np

from benchmarks.runner import Row, measure
from simgraft import _core
from simgraft.events import PhaseSpace, PythiaTopPair, TopPair, TwoBody, Uniform, chain

logger = logging.getLogger("simgraft.benchmarks")

LEAST_OF_COPY = 0.85
LEAST_PHASESPACE_RATIO = 10.0
EVENTS = 1 << 21  # 168 MB of 10 columns: far more than any cache
PEER_ROUNDS = 9
PEER_EVENTS = 200_000
LEAST_PYTHIA_RATIO = 20.0
TOP_PAIRS, PYTHIA_PAIRS = 8192, 400  # events of a call
LEAST_SURROGATE_RATIO = 200.0
MODEL_PAIRS, CHAIN_PAIRS = 4096, 100  # events of a call

# The hard process at the settings of ours, and decays of resonances; without the spread of the tops' masses, which costs Pythia half
PYTHIA_DECAYS = ("ProcessLevel:resonanceDecays = on",)


def two_body():
    """Rows of two-body decays, written to memory, against a copy of as many bytes: both in columns written per second."""
    decays = {
        "two_body": TwoBody(mass=10.0, m1=1.0, m2=2.0),
        "two_body_uniform_masses": TwoBody(mass=10.0, m1=Uniform(0.5, 2.0), m2=Uniform(0.5, 2.0)),
    }
    columns, source = np.ones((10, EVENTS)), np.ones((10, EVENTS))
    calls = {
        name: (lambda laws=decay._laws(): _core.two_body(laws, 1, 0, None, columns, 1)) for name, decay in decays.items()
    }
    times, _ = measure(calls | {"copy": lambda: np.copyto(columns, source)}, samples=15)
    yield Row("copy", columns.nbytes / times["copy"] * 1e-9, "GB/s")
    for name in decays:
        limit = (">=", LEAST_OF_COPY) if name == "two_body" else ()
        share = times["copy"] / times[name]
        yield Row(f"{name}_of_copy_bandwidth", share, "copy", "np.copyto", np.__version__, 1.0, None, *limit)
        yield Row(name, times[name] / EVENTS * 1e9, "ns/event")


class Phasespace:
    """The package phasespace: weights and momenta of B -> 3 pi, compiled by TensorFlow, one thread."""

    name = "phasespace"

    def __init__(self, mass, masses):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import phasespace
        import tensorflow

        tensorflow.config.threading.set_intra_op_parallelism_threads(1)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
        self.version = importlib.metadata.version("phasespace")
        decay = phasespace.nbody_decay(mass, masses)
        self.graph = tensorflow.function(lambda: decay.generate(PEER_EVENTS), autograph=False)

    def __call__(self):
        weight, particles = self.graph()
        return weight.numpy(), [particle.numpy() for particle in particles.values()]


def process_time(call):
    """CPU time of one call in all threads of the process [s]: the peer computes in threads of its own."""
    start = time.process_time()
    call()
    return time.process_time() - start


def three_body():
    """Row of weighted three-body decays against the package phasespace; nothing to compare where it is not installed."""
    mass, masses = 5.27934, (0.13957039,) * 3
    decay = PhaseSpace(mass, masses)

    def ours():
        return decay.generate(PEER_EVENTS, seed=1, num_threads=1)

    try:
        theirs = Phasespace(mass, list(masses))
    except ImportError as error:
        logger.warning("three_body_vs_phasespace: skipped, %s (pip install phasespace)", error)
        yield Row("three_body", measure({"ours": ours})[0]["ours"] / PEER_EVENTS * 1e9, "ns/event")
        return
    # The same task: momenta on the shell of the parent, and the mean of the energies, weighted.
    weight, particles = theirs()
    events = ours()
    np.testing.assert_allclose(sum(particles)[:, 3], mass, rtol=1e-6)
    average = [np.average(energy, weights=w) for energy, w in ((particles[0][:, 3], weight), (events["p1_E"], events.weight))]
    np.testing.assert_allclose(*average, rtol=0.01)
    times = {"ours": [], "theirs": []}
    for _ in range(PEER_ROUNDS):
        times["theirs"].append(process_time(theirs) / PEER_EVENTS * 1e9)
        times["ours"] += [process_time(ours) / PEER_EVENTS * 1e9 for _ in range(5)]
    mine, other = median(times["ours"]), median(times["theirs"])
    yield Row(
        "three_body_vs_phasespace", mine, "ns/event", theirs.name, theirs.version, other, other / mine, ">=", LEAST_PHASESPACE_RATIO
    )


def top_pairs():
    """Rows of t tbar at leading order: unweighted events to 26 columns beside Pythia's hard process with decays, per second."""
    ours = TopPair()
    theirs = PythiaTopPair.leading_order(pdf="GRV94L", settings=PYTHIA_DECAYS).pythia(1, hard_process_only=True)

    def pythia():
        for _ in range(PYTHIA_PAIRS):
            theirs.next()

    times, _ = measure({"ours": lambda: ours.generate(TOP_PAIRS, seed=1, num_threads=1), "pythia": pythia})
    rate, peer = TOP_PAIRS / times["ours"] * 1e-6, PYTHIA_PAIRS / times["pythia"] * 1e-6
    yield Row(
        "ttbar_lo_vs_pythia_hard",
        rate,
        "Mev/s",
        "pythia8mc",
        importlib.metadata.version("pythia8mc"),
        peer,
        rate / peer,
        ">=",
        LEAST_PYTHIA_RATIO,
    )
    yield Row("ttbar_lo_accepted_points", ours.sampling["efficiency"], "1")


def top_pair_surrogate():
    """Row of the chain of conditional splines beside all of Pythia that it replaces: showers, hadrons, jets, selection, smearing, to 26
    columns of kept events. The speed of a network does not depend on how well it was trained: one epoch on few events."""
    theirs = PythiaTopPair(block=CHAIN_PAIRS)
    model = chain.full(epochs=1).fit(theirs.generate(5 * CHAIN_PAIRS, seed=1), seed=1, num_threads=1)
    times, _ = measure(
        {
            "ours": lambda: model.sample(MODEL_PAIRS, seed=2, num_threads=1),
            "pythia": lambda: theirs.generate(CHAIN_PAIRS, seed=2, num_threads=1),
        }
    )
    made = theirs.generate(CHAIN_PAIRS, seed=2).provenance["selected"]  # in whole batches, beyond what is asked for
    ours, peer = times["ours"] / MODEL_PAIRS * 1e6, times["pythia"] / made * 1e6
    yield Row(
        "ttbar_surrogate_vs_pythia_full",
        ours,
        "us/event",
        "pythia8mc",
        importlib.metadata.version("pythia8mc"),
        peer,
        peer / ours,
        ">=",
        LEAST_SURROGATE_RATIO,
    )


# Each yields rows; add a comparison by adding a function.
SECTIONS = (two_body, three_body, top_pairs, top_pair_surrogate)


def run():
    """All rows of this benchmark."""
    for section in SECTIONS:
        yield from section()
