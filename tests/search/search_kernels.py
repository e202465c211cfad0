"""A kernel, data and templates for the tests, importable by the workers of a process pool."""

import os
import time

import numpy as np

import simgraft as sg
from simgraft.search import Choice, Integer, Real, Repeat


def heat(inputs):
    """Temperature at the middle of a rod of length 1 whose ends are held at 0, a time after it was one sine
    wave: exact."""
    wave, t = inputs["wave"], inputs["time"]
    return {"temperature": np.exp(-((np.pi * wave) ** 2) * t) * np.sin(0.5 * np.pi * wave)}


KERNEL = sg.Kernel(
    heat,
    inputs={"wave": sg.Var("1", 0.2, 1.8), "time": sg.Var("1", 1e-3, 0.5)},
    outputs={"temperature": sg.Var("1")},
)


def data():
    return KERNEL.sample(sg.sampling.uniform(KERNEL, seed=1), 800, seed=1, progress=False).split(
        fractions=(0.7, 0.3), seed=2
    )


NETWORK = sg.nn.MLP(Repeat(Integer(3, 16, log=True), Integer(1, 2)), activation=Choice(["tanh", "softsign"]))
ENCODER = {
    "time": Choice({"log": [sg.encode.Log(), sg.encode.Standardise()], "plain": [sg.encode.Standardise()]})
}
FIT = {
    "epochs": 10,
    "batch_size": Choice({"32": 32, "64": 64}),
    "optimizer": sg.nn.Adam(Real(1e-3, 5e-2, log=True)),
}


def search(**options):
    """A search that is the same everywhere."""
    return sg.search.Search(
        sg.Surrogate(KERNEL, NETWORK, encoder=ENCODER), fit=FIT, **{"cost": "flops"} | options
    )


def run(folder, n=12, **options):
    train, validation = data()
    return search().run(
        train, validation, folder=folder, **{"n": n, "batch": 4, "seed": 5, "progress": False} | options
    )


def slow_error(surrogate, validation):
    """Time for the test to kill the search; says that a candidate got so far by a file of its own."""
    open(os.environ["SEARCH_TEST_MARKS"] + f"/{time.monotonic_ns()}", "w").close()
    time.sleep(0.3)
    return sg.search.scaled_rmse(surrogate, validation)


if __name__ == "__main__":
    import sys

    search(error=slow_error).run(*data(), n=12, batch=4, seed=5, progress=False, folder=sys.argv[1])
