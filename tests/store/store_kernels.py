"""Kernels for the tests, importable by the workers of a process pool."""

import os
import signal
import time

import numpy as np

import simgraft as sg

INPUTS = {
    "temperature": sg.Var("K", 200, 400),
    "pressure": sg.Var("Pa", 1e3, 1e5, scale="log"),
    "wind": sg.Var("m s-1", -50, 50, shape=(3,)),
}
OUTPUTS = {"volume": sg.Var("m3 mol-1", scale="log"), "stress": sg.Var("Pa", shape=(3, 3))}


def gas(inputs):
    volume = 8.314462618 * inputs["temperature"] / inputs["pressure"]
    return {"volume": volume, "stress": 1.2 * inputs["wind"][:, :, None] * inputs["wind"][:, None, :]}


def gas_kernel(**options):
    return sg.Kernel(gas, inputs=INPUTS, outputs=OUTPUTS, version="1", **options)


def slow(inputs):
    time.sleep(0.05)
    return {"y": inputs["x"]}


def interrupting(inputs):
    """Ctrl-C arrives while the third thousand of rows is made."""
    if inputs["x"][0] >= 2000:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    return {"y": inputs["x"]}


def line_kernel(function):
    return sg.Kernel(function, inputs={"x": sg.Var("1")}, outputs={"y": sg.Var("1")})


def line_states(n):
    return sg.sampling.from_states({"x": np.arange(float(n))})


def draw(rng, n):
    return {
        "temperature": rng.uniform(200, 400, n),
        "pressure": rng.uniform(1e3, 1e5, n),
        "wind": rng.uniform(-1, 1, (n, 3)),
    }
