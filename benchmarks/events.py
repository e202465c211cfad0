"""Speed of the event generators beside what the field uses, one thread."""

import importlib.metadata

from benchmarks.runner import Row, measure
from simgraft.events import PythiaTopPair, TopPair

LEAST_PYTHIA_RATIO = 20.0
TOP_PAIRS, PYTHIA_PAIRS = 8192, 400  # events of a call

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


def run():
    yield from top_pairs()
