"""The library for host codes, built and installed once, and a small surrogate file for it.

The build folder is kept (build/hosts), so that only the first run compiles everything."""

import shutil

import numpy as np
import pytest
from programs import ROOT, Installed, need, run

import simgraft as sg


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    need("cmake", "cc", "pkg-config")
    build = ROOT / "build" / "hosts"
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run(["cmake", "-S", ROOT, "-B", build, *(generator if not (build / "CMakeCache.txt").exists() else []),
         "-DSG_PYTHON=OFF"])
    run(["cmake", "--build", build], timeout=3000)
    prefix = tmp_path_factory.mktemp("prefix")
    run(["cmake", "--install", build, "--prefix", prefix])
    return Installed(prefix, build)


def rates(inputs):
    """Positive over four decades, and of either sign."""
    p, t, q = inputs["pressure"], inputs["temperature"], inputs["mix"]
    return {"rate": np.sqrt(p) * np.exp(-t / 100), "heat": np.sin(t / 50) + q[:, 1] - q[:, 0]}


@pytest.fixture(scope="session")
def kernel():
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


@pytest.fixture(scope="session")
def surrogate(kernel):
    data = kernel.sample(sg.sampling.sobol(kernel, seed=1), 2048, seed=1, progress=False)
    return sg.Surrogate(kernel, sg.nn.MLP([16, 24], activation="softsign")).fit(
        data, seed=3, epochs=8, batch_size=64, progress=False
    )


@pytest.fixture(scope="session")
def file(surrogate, tmp_path_factory):
    path = tmp_path_factory.mktemp("surrogate") / "rates.sg"
    surrogate.save(path)
    return path


@pytest.fixture(scope="session")
def rows(kernel):
    """(1000, 5) inputs; row 290 is outside, too hot."""
    x = kernel.sample(sg.sampling.sobol(kernel, seed=5), 1000, seed=5, progress=False).X.copy()
    x[290, 1] = 1000.0
    return x
