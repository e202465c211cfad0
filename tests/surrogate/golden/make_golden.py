"""Writes the golden files of the surrogate format in use: ``python tests/surrogate/golden/make_golden.py``.

A golden file is never written again: it stands for all files of its time that users have. What is made here goes into new names
when the format changes (v2_..., v3_...); the test reads every file that is there. Beside each FILE.sg lies FILE.npz with inputs
``x`` (n, n_in) float64 and the exact outputs of that time for float64 and float32 hosts, ``y`` and ``y32``.
"""

from pathlib import Path

import numpy as np

import simgraft as sg
from simgraft import encode
from simgraft.surrogate import VERSION

FOLDER = Path(__file__).parent
MISSING = -99.0


def weather(inputs):
    """A smooth law of a logarithmic, a masked, a cyclic and a categorical input, with an angle among its outputs."""
    p, t, hour, soil = (inputs[name] for name in ("pressure", "temperature", "hour", "soil"))
    t = np.where(t == MISSING, 280.0, t)
    wave = np.sin(hour * np.pi / 12)
    return {
        "rate": np.sqrt(p) * np.exp(-t / 100) * (1 + soil),
        "heat": wave + t / 300,
        "wind": np.mod(2 + wave + 0.3 * soil, 2 * np.pi),
    }


def weather_surrogate():
    """Float network, density guard; nothing of the decoder can be folded."""
    kernel = sg.Kernel(
        weather,
        name="weather",
        version="1",
        inputs={
            "pressure": sg.Var("Pa", 1e2, 1e5, scale="log"),
            "temperature": sg.Var("K", MISSING, 400),
            "hour": sg.Var("h", 0, 24),
            "soil": sg.Var("1", 0, 2),
        },
        outputs={"rate": sg.Var("s-1", scale="log"), "heat": sg.Var("W m-3"), "wind": sg.Var("rad")},
    )
    rng = np.random.default_rng(1)
    x = kernel.sample(sg.sampling.sobol(kernel, seed=1), 512, seed=1, progress=False).X
    x[:, 3] = rng.integers(0, 3, len(x))
    x[:, 1] = rng.uniform(200, 400, len(x))
    x[rng.random(len(x)) < 0.1, 1] = MISSING
    data = sg.Dataset.from_arrays(kernel, x, kernel.evaluate(x))
    return sg.Surrogate(
        kernel,
        sg.nn.MLP([16, 24], activation="swish"),
        encoder={
            "temperature": [encode.Mask(missing=MISSING), encode.Standardise()],
            "hour": [encode.Angle(period=24.0)],
            "soil": [encode.OneHot(3)],
        },
        decoder={"wind": [encode.Angle()]},
    ).fit(data, seed=3, epochs=3, batch_size=64, progress=False), x


def line_surrogate():
    """Double network from given arrays, its output scaling folded into the last layer."""
    kernel = sg.Kernel(
        None,
        name="line",
        version="2",
        inputs={"state": sg.Var("1", -3, 3, shape=(5,))},
        outputs={"slope": sg.Var("W m-2", shape=(3,))},
    )
    rng = np.random.default_rng(2)
    sizes = (5, 17, 9, 3)
    surrogate = sg.Surrogate.from_network(
        kernel,
        [rng.standard_normal(pair) / 2 for pair in zip(sizes, sizes[1:])],
        [rng.standard_normal(n) / 4 for n in sizes[1:]],
        ["tanh", ("elu", 0.7), "linear"],
        encoder={"state": [encode.Standardise(mean=np.linspace(-1, 1, 5), std=np.linspace(1, 2, 5))]},
        decoder={"slope": [encode.Standardise(mean=np.array([1.0, -2, 3]), std=np.array([2.0, 4, 1]))]},
    )
    return surrogate, rng.uniform(-3, 3, (64, 5))


def gas_surrogate():
    """A graph that is no chain, float, with attributes of all kinds."""

    def branches(x, n_out):
        h = sg.nn.Dense(17, "leaky_relu", parameter=0.2)(x)
        h = sg.nn.Concatenate()(sg.nn.Affine()(sg.nn.Slice(start=2, stop=9)(h)), sg.nn.Activation("tanh")(h))
        return sg.nn.Add()(sg.nn.Dense(n_out)(h), sg.nn.Dense(n_out, "softplus")(x))

    kernel = sg.Kernel(
        None,
        name="gas",
        version="3",
        inputs={"pressure": sg.Var("Pa", 1e2, 1e5, scale="log"), "mix": sg.Var("1", 0, 1, shape=(4,))},
        outputs={"tau": sg.Var("1", shape=(6,))},
    )
    surrogate = sg.Surrogate.from_network(
        kernel,
        sg.nn.Model(branches).build(5, 6, seed=7),
        encoder={"pressure": [encode.Log(), encode.Standardise(mean=8.0, std=2.0)]},
        decoder={"tau": [encode.Root(4)]},
    )
    rng = np.random.default_rng(8)
    return surrogate, np.column_stack([10 ** rng.uniform(2, 5, 64), rng.random((64, 4))])


def write(name, surrogate, x):
    """FILE.sg and FILE.npz."""
    path = FOLDER / f"v{VERSION}_{name}.sg"
    if path.exists():
        raise FileExistsError(f"{path}: golden files are never written again")
    surrogate.save(path)
    x = x[:64]
    y, y32 = (surrogate.evaluate(x.astype(dtype), guard="off") for dtype in (np.float64, np.float32))
    np.savez(path.with_suffix(".npz"), x=x, y=y, y32=y32)


if __name__ == "__main__":
    write("weather", *weather_surrogate())
    write("line", *line_surrogate())
    write("gas", *gas_surrogate())
