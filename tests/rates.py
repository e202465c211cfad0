"""A small kernel with a logarithmic input, an angle-free field and two outputs of different character, and a surrogate of it:
what the tests of surrogates and of hosts use."""

import numpy as np

import simgraft as sg


def rates(inputs):
    """Smooth, positive over four decades, and one output of either sign."""
    p, t, q = inputs["pressure"], inputs["temperature"], inputs["mix"]
    return {"rate": np.sqrt(p) * np.exp(-t / 100), "heat": np.sin(t / 50) + q[:, 1] - q[:, 0]}


def make_kernel():
    return sg.Kernel(
        rates,
        name="rates",
        version="3",
        inputs={
            "pressure": sg.Var("Pa", 1e2, 1e5, scale="log"),
            "temperature": sg.Var("K", 200, 400),
            "mix": sg.Var("1", 0, 1, shape=3),
        },
        outputs={"rate": sg.Var("s-1", scale="log"), "heat": sg.Var("W m-3")},
    )


def make_data(kernel):
    return kernel.sample(sg.sampling.sobol(kernel, seed=1), 2048, seed=1, progress=False)


def make_surrogate(kernel, data):
    return sg.Surrogate(kernel, sg.nn.MLP([16, 24], activation="softsign")).fit(
        data, seed=3, epochs=8, batch_size=64, progress=False
    )
