"""Generative models of events side by side: each number beside its floor, the trivial rows and what the training cost.

    python examples/event_models.py isr                          # lepton pairs with radiation (needs Pythia 8)
    python examples/event_models.py toy --models flow,bvae --keep models/
    python examples/event_models.py ttbar --data pairs.npz --models bvae,lsgan,wgan

Tasks: "toy", two-body decays at rest, m1 flat in 1 ... 20 and m2 in 5 ... 30 GeV, isotropic; "born" and "isr", lepton pairs of
Pythia 8 at 91.19 GeV without and with radiation; "ttbar", an array X (n, 26) of a file.

A classifier, gradient-boosted trees of scikit-learn or with --network our own network, is trained to tell model from truth on the
columns ("raw") and on columns, composites and residuals ("all"). Columns are compared to 1e-8 of their largest value: a hundredth of
what float32 holds, and far above the rounding of float64, by which any two programs can be told apart.
"""

import argparse
import copy
import time
from pathlib import Path

import numpy as np

from simgraft import metrics
from simgraft.events import DILEPTON, TOP_PAIR, TWO_BODY, Events, TwoBody, Uniform, flows, models, observables

LATENT = {TWO_BODY: 5, DILEPTON: 20, TOP_PAIR: 20}


def truth(task, n, data):
    if task == "toy":
        return TwoBody(mass=91.2, m1=Uniform(1.0, 20.0), m2=Uniform(5.0, 30.0)).generate(n, seed=1)
    if task == "ttbar":
        with np.load(data) as file:
            return Events.from_rows(TOP_PAIR, file["X"][:n].astype(np.float64))
    from simgraft.events import PythiaDilepton

    return PythiaDilepton(isr=task == "isr").generate(n, seed=1)


def columns(events, everything):
    rows = np.asarray(events.rows, np.float64)
    if everything:
        rows = np.hstack([rows, observables.composites(events)[0]])
    return rows


def digits(a, b):
    step = 1e-8 * np.maximum(np.maximum(np.abs(a).max(axis=0), np.abs(b).max(axis=0)), 1e-290)
    return [np.floor(x / step + 0.4321) * step for x in (a, b)]


def judge(real, made, train, network, seed):
    n = min(len(real), len(made))
    row = []
    for everything in (False, True):
        a, b = digits(columns(real, everything)[:n], columns(made, everything)[:n])
        if network:
            row.append(metrics.classifier_test(a, b, seed=seed).auc)
        else:
            from sklearn.ensemble import HistGradientBoostingClassifier

            trees = HistGradientBoostingClassifier(max_iter=200, early_stopping=True, random_state=seed)
            row.append(metrics.classifier_test(a, b, classifier=trees, seed=seed).auc)
    a, b, known = (np.ascontiguousarray(columns(e, False)) for e in (real, made, train))
    spread = known.std(axis=0)
    moves = spread > 1e-9 * np.abs(known).max(axis=0)
    a, b, known = (np.ascontiguousarray(x[:, moves] / spread[moves]) for x in (a, b, known))
    row.append(np.mean(metrics.wasserstein(a[:n], b[:n])))
    row.append(metrics.frechet_distance(a[:n], b[:n], draws=5)[0])
    near = min(n, 10_000)
    memory = metrics.memorisation(b[:near], known, a[-near:], scale=np.ones(moves.sum()))
    return [*row, memory.ratio]


def widths(autoencoder):
    """The rows of one trained autoencoder: codes from N(0, 1), and around those of the training events."""
    plain = models.VAE(latent=autoencoder.latent)
    still = copy.copy(autoencoder)
    still.gamma = 0.0
    for model in (plain, still):
        vars(model).update({key: value for key, value in vars(autoencoder).items() if key.endswith("_")})
    return {"VAE, codes N(0, 1)": plain, "B-VAE, gamma 0": still, f"B-VAE, gamma {autoencoder.gamma:g}": autoencoder}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("toy", "born", "isr", "ttbar"))
    parser.add_argument("--models", default="floor,copy,smear,flow,bvae,lsgan,wgan", help="which, separated by commas")
    parser.add_argument("--recipe", default="full", choices=("quick", "full"), help="of the flow")
    parser.add_argument("--train", type=int, default=100_000, help="events to learn from")
    parser.add_argument("--unseen", type=int, default=100_000, help="events of the truth to judge by, twice")
    parser.add_argument("--epochs", type=int, default=240, help="of each of the first four stages of the autoencoder (published: 240)")
    parser.add_argument("--gan-epochs", type=int, default=40)
    parser.add_argument("--seeds", default="1", help="of the training of the flow, separated by commas")
    parser.add_argument("--network", action="store_true", help="judge by our own network")
    parser.add_argument("--keep", help="folder of trained models: read where they are there, else written")
    parser.add_argument("--data", help="file of the top pairs")
    options = parser.parse_args()

    events = truth(options.task, options.train + 2 * options.unseen, options.data)
    edges = np.cumsum([0, options.train, options.unseen])
    train, real, other = (events.take(slice(a, b)) for a, b in zip(edges, (*edges[1:], None)))

    def trained(key, model, seed=1):
        path = None if options.keep is None else Path(options.keep) / f"{options.task}-{key}.sg"
        if path is not None and path.is_file():
            return models.load(path)
        model.fit(train, seed=seed, num_threads=1)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            model.save(path)
        return model

    print(f"{'sample':32}{'AUC raw':>9}{'AUC all':>9}{'W1/sigma':>10}{'FPD':>10}{'NN ratio':>10}{'CPU [s]':>9}{'us/event':>10}")
    print(f"(standard error of an AUC: {0.41 / np.sqrt(0.2 * options.unseen):.4f})", flush=True)

    def show(name, made, cpu="", each=""):
        raw, everything, w1, fpd, near = judge(real, made, train, options.network, 1)
        print(f"{name:32}{raw:9.4f}{everything:9.4f}{w1:10.4f}{fpd:10.1e}{near:10.3f}{cpu:>9}{each:>10}", flush=True)

    def show_model(name, model):
        start = time.process_time()
        made = model.sample(options.unseen, seed=5, num_threads=1)
        each = (time.process_time() - start) / options.unseen
        show(name, made, f"{model.cpu_seconds_:.0f}", f"{1e6 * each:.2f}")

    for kind in options.models.split(","):
        if kind == "floor":
            show("truth (floor)", other)
        elif kind in ("copy", "smear"):
            model = (models.Copy() if kind == "copy" else models.Smear()).fit(train, seed=1)
            show_model(model.name, model)
        elif kind == "flow":
            for seed in map(int, options.seeds.split(",")):
                model = flows.FlowModel.for_layout(train.layout, options.recipe)
                show_model(f"{model.name}, seed {seed}", trained(f"flow-{options.recipe}-{seed}", model, seed))
        elif kind == "bvae":
            model = models.BVAE(latent=LATENT[train.layout], epochs=options.epochs)
            for name, found in widths(trained(f"bvae-{options.epochs}", model)).items():
                show_model(name, found)
        elif kind in ("lsgan", "wgan"):
            model = (models.LSGAN if kind == "lsgan" else models.WGAN)(epochs=options.gan_epochs)
            show_model(model.name, trained(f"{kind}-{options.gan_epochs}", model))
        else:
            parser.error(f"--models: expected some of floor, copy, smear, flow, bvae, lsgan, wgan, got {kind!r}")


if __name__ == "__main__":
    main()
