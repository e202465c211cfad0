"""Train the generative model of top pairs on events of the full chain of Pythia 8, and judge it on a sample it has not seen.

    python examples/top_pairs.py --make 200000 --train pairs.npz --keep top.sg      # an hour of one core for the events
    python examples/top_pairs.py --train pairs.npz --truth unseen.npz --keep top.sg

Files hold an array X (n, 26) float32. Classifiers (gradient-boosted trees of scikit-learn, and our own network) are trained to tell
the model from the truth on the columns ("raw") and on columns with composite masses, angles and sums ("all"). The floor is the same
for events of the generator instead of the model's.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from simgraft import metrics
from simgraft.events import TOP_PAIR, Events, chain, models, observables

TAKE = slice(0, 22)  # columns without the second lepton, which most events lack


def read(path):
    with np.load(path) as file:
        return Events.from_rows(TOP_PAIR, file["X"])


def make(path, n, seed):
    """Events of Pythia, written every 10,000."""
    from simgraft.events import PythiaTopPair

    parts, generator = [], PythiaTopPair()
    for first in range(0, n, 10_000):
        events = generator.generate(min(10_000, n - first), seed, first=first, dtype="float32")
        parts.append(np.ascontiguousarray(events.rows))
        np.savez(path, X=np.concatenate(parts))


def areas(real, other, seed):
    """Area under the curve of both classifiers, raw and all."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    row = []
    for everything in (False, True):
        a, b = (e.rows.astype(np.float64) for e in (real, other))
        if everything:
            a, b = (np.hstack([x, observables.composites(e)[0]]) for x, e in ((a, real), (b, other)))
        a, b = (np.ascontiguousarray(x[: min(len(real), len(other))]) for x in (a, b))
        trees = HistGradientBoostingClassifier(max_iter=300, learning_rate=0.06, early_stopping=True, random_state=seed)
        row.append(metrics.classifier_test(a, b, classifier=trees, seed=seed).auc)
        row.append(metrics.classifier_test(a, b, seed=seed).auc)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="file of the training events")
    parser.add_argument("--make", type=int, help="make so many training events first")
    parser.add_argument("--truth", help="file of events that the model is compared with")
    parser.add_argument("--floor", help="file of more events of the generator; default: those of the training")
    parser.add_argument("--recipe", default="full", choices=("quick", "full"))
    parser.add_argument("--events", type=int, help="train on so many")
    parser.add_argument("--keep", help="file of the model: read if it is there, else written")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    if options.make:
        make(options.train, options.make, options.seed)
    train = read(options.train)
    if options.events:
        train = train.take(np.random.default_rng(options.seed).permutation(len(train))[: options.events])
    if options.keep and Path(options.keep).is_file():
        model = models.load(options.keep)
    else:
        model = getattr(chain, options.recipe)().fit(train, seed=options.seed, progress=True)
        if options.keep:
            model.save(options.keep)
    print(f"trained on {model.n_train_} events in {model.cpu_seconds_:.0f} s of CPU")
    if not options.truth:
        return
    truth = read(options.truth)
    start = time.process_time()
    new = model.sample(len(truth), seed=options.seed + 1, num_threads=1, dtype="float32")
    print(f"{(time.process_time() - start) / len(truth) * 1e6:.1f} us per event")
    floor = read(options.floor) if options.floor else train
    print(f"{'':12}{'raw':>16}{'all':>16}\n{'':12}{'trees':>8}{'network':>8}{'trees':>8}{'network':>8}")
    for name, events in (("model", new), ("floor", floor)):
        a, b, c, d = areas(truth, events.take(slice(0, len(truth))), options.seed)
        print(f"{name:12}{a:8.4f}{b:8.4f}{c:8.4f}{d:8.4f}", flush=True)
    rows = [np.ascontiguousarray(e.rows[:, TAKE]) for e in (new.take(slice(0, 10_000)), train, truth.take(slice(0, 10_000)))]
    memory = metrics.memorisation(*rows)
    print(f"distance to the nearest training event / that of fresh events: {memory.ratio:.4f} +- {memory.error:.4f}")


if __name__ == "__main__":
    main()
