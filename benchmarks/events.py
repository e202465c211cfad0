"""Speed of the event generators beside what the field uses, one thread."""

import importlib.metadata

from benchmarks.runner import Row, measure
from simgraft.events import PythiaTopPair, TopPair, chain

LEAST_PYTHIA_RATIO = 20.0
TOP_PAIRS, PYTHIA_PAIRS = 8192, 400  # events of a call
LEAST_SURROGATE_RATIO = 200.0
MODEL_PAIRS, CHAIN_PAIRS = 4096, 100  # events of a call

# The hard process at the settings of ours, and decays of resonances; without the spread of the tops' masses, which costs Pythia half
PYTHIA_DECAYS = ("ProcessLevel:resonanceDecays = on",)


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
    ours, peer = times["ours"] / MODEL_PAIRS * 1e6, times["pythia"] / CHAIN_PAIRS * 1e6
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


def run():
    yield from top_pairs()
    yield from top_pair_surrogate()
