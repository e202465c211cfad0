"""The library for host codes, built and installed once, and a small surrogate file for it.

The build folder is kept (build/hosts), so that only the first run compiles everything."""

import shutil

import pytest
from programs import ROOT, Installed, need, run
from rates import make_data, make_kernel, make_surrogate

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


@pytest.fixture(scope="session")
def kernel():
    return make_kernel()


@pytest.fixture(scope="session")
def surrogate(kernel):
    return make_surrogate(kernel, make_data(kernel))


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
