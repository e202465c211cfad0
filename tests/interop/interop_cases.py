"""Surrogates with every transform an encoder knows, compiled C files, and what else the tests share."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

import simgraft as sg
from simgraft import encode

MISSING = -999.0


def _everything(inputs):
    """Outputs that go through all kinds of decoders."""
    x = inputs["pressure"] / 1e5
    direction = np.mod(inputs["direction"] + 0.3, 2 * np.pi)
    missing = inputs["depth"] == MISSING
    depth = np.where(missing, 1.0, inputs["depth"])
    return {
        "rate": x * np.exp(inputs["temperature"] / 500),
        "heat": np.sinh(inputs["current"]) * 3,
        "turned": direction,
        "share": np.clip(inputs["fraction"] * depth / 2, 0, 1),
        "kind": np.minimum(inputs["kind"] + 1, 3),
        "gap": np.where(missing, MISSING, depth * 2),
        "flux": np.abs(inputs["profile"] + 2) ** 4,
        "cube": (inputs["fraction"] + 0.5) ** 3,
    }


INPUTS = {
    "temperature": sg.Var("K", 200, 2000),
    "pressure": sg.Var("Pa", 1e3, 1e7, scale="log"),
    "current": sg.Var("A", -5, 5),
    "direction": sg.Var("rad", 0, 6.28),
    "fraction": sg.Var("1", 0, 1),
    "kind": sg.Var("1", 0, 3),
    "depth": sg.Var("m"),
    "profile": sg.Var('"kg"/m\\3', -1, 1, shape=17),
}
OUTPUTS = {
    "rate": sg.Var("mol m-3 s-1", scale="log"),
    "heat": sg.Var("W m-3"),
    "turned": sg.Var("rad"),
    "share": sg.Var("1", 0, 1),
    "kind": sg.Var("1"),
    "gap": sg.Var("m"),
    "flux": sg.Var("W m-2", shape=17),
    "cube": sg.Var("1"),
}
ENCODER = {
    "temperature": [encode.Clip(low=250.0, high=1900.0), encode.Standardise()],
    "pressure": [encode.Log(), encode.MinMax()],
    "current": [encode.SignedLog(), encode.Standardise()],
    "direction": [encode.Angle()],
    "fraction": [encode.Root(2)],
    "kind": [encode.OneHot(4)],
    "depth": [encode.Mask(missing=MISSING), encode.Root(3), encode.Standardise()],
    "profile": [encode.Standardise()],
}
DECODER = {
    "rate": [encode.Log(), encode.Standardise()],
    "heat": [encode.SignedLog(), encode.Standardise()],
    "turned": [encode.Angle()],
    "share": [encode.Clip(low=0.0, high=1.0), encode.MinMax()],
    "kind": [encode.OneHot(4)],
    "gap": [encode.Mask(missing=MISSING), encode.Standardise()],
    "flux": [encode.Root(4), encode.Standardise()],
    "cube": [encode.Root(3), encode.MinMax()],
}


def random_inputs(n, seed):
    rng = np.random.default_rng(seed)
    columns = {
        name: rng.uniform(v.low, v.high, (n, *v.shape)) for name, v in INPUTS.items() if v.low is not None
    }
    columns["pressure"] = np.exp(rng.uniform(np.log(1e3), np.log(1e7), n))
    columns["kind"] = rng.integers(0, 4, n).astype(float)
    columns["depth"] = np.where(rng.random(n) < 0.25, MISSING, rng.uniform(0, 4, n))
    return columns


def make_surrogate(dtype="float32", network=None):
    kernel = sg.Kernel(
        _everything, inputs=INPUTS, outputs=OUTPUTS, name="every thing", version="2.1", check=False
    )
    inputs = random_inputs(2000, seed=1)
    data = sg.Dataset.from_arrays(kernel, {name: inputs[name] for name in INPUTS}, _everything(inputs))
    surrogate = sg.Surrogate(
        kernel, network or sg.nn.MLP([33, 17], "tanh"), encoder=ENCODER, decoder=DECODER, guard="count"
    )
    return surrogate.fit(data, seed=2, epochs=3, dtype=dtype, progress=False)


def make_graph_surrogate():
    """Of a network that is no chain: convolution, LSTM, normalisation, a skip, and bounds on the result."""

    def network(x, n_out):
        nn = sg.nn
        field = nn.Conv(5, 3, activation="tanh", padding="periodic")(nn.Reshape((29, 1))(x))
        state = nn.LSTM(7, output="last")(nn.MaxPool(2)(field))
        h = nn.LayerNorm()(nn.Concatenate()(state, nn.GlobalPool("average")(field), nn.Dense(17, "swish")(x)))
        return nn.Dense(n_out)(nn.Dropout(0.1)(h))

    return make_surrogate(network=sg.nn.Model(network))


# -------------------------------------------------------------------------------------------------- C sources

STRICT = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"]


class Compiled:
    """A C file of interop.to_c as a shared library."""

    def __init__(self, source, folder, name="unit", compiler="cc"):
        self.name, self.path = name, folder / f"{name}.c"
        self.path.write_text(source)
        if shutil.which(compiler) is None:
            pytest.skip(f"no {compiler} here")
        self.compiler = compiler
        library = folder / f"{name}-{compiler}.so"
        self.build("-fPIC", "-shared", "-o", library)
        self.library = ctypes.CDLL(str(library))

    def build(self, *arguments):
        subprocess.run([self.compiler, *STRICT, *map(str, arguments), str(self.path), "-lm"], check=True)

    def self_test(self):
        """Exit status and output of the self-test."""
        program = self.path.with_suffix("")
        self.build(f"-D{self.name.upper()}_SELF_TEST", "-o", program)
        done = subprocess.run([str(program)], capture_output=True, text=True)
        return done.returncode, done.stdout

    def evaluate(self, x, n_out, workspace=None):
        """Outputs of rows and what the function returned for each."""
        x = np.ascontiguousarray(x)
        y, flags = np.empty((len(x), n_out), x.dtype), np.empty(len(x), int)
        function = getattr(
            self.library, f"{self.name}_eval" if workspace is None else f"{self.name}_eval_with"
        )
        for i, row in enumerate(x):
            given = [row.ctypes.data_as(ctypes.c_void_p), y[i].ctypes.data_as(ctypes.c_void_p)]
            flags[i] = function(
                *given, *([] if workspace is None else [workspace.ctypes.data_as(ctypes.c_void_p)])
            )
        return y, flags


def largest(y, truth):
    """Largest difference over the largest value."""
    return float(np.max(np.abs(np.asarray(y, np.float64) - truth)) / np.max(np.abs(truth)))


DEVIATIONS = {}
"""Largest difference by table of docs/interop.md and name; tools/interop_page.py writes the page from it."""


def record(table, names, value):
    """Keeps a difference for all names that took part in it; returns it."""
    found = DEVIATIONS.setdefault(table, {})
    for name in names:
        found[name] = max(found.get(name, 0.0), value)
    return value


def randomised(network, seed):
    """The network with all parameters drawn anew, biases too."""
    rng = np.random.default_rng(seed)
    network.parameters[:] = network.parameters + rng.normal(0, 0.05, network.n_parameters)
    return network
