"""The library for host codes, built and installed once, and a small surrogate file for it.

The build folder is kept (build/hosts), so that only the first run compiles everything."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import simgraft as sg

ROOT = Path(__file__).resolve().parents[2]


def need(*programs):
    """Skips the test unless all programs are there."""
    missing = [p for p in programs if shutil.which(p) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def need_flags(compiler, *options):
    """Skips the test where the compiler cannot link OpenMP programs or a sanitizer."""
    source = "int main(void) { return 0; }\n"
    done = subprocess.run([compiler, *options, "-xc", "-", "-o", os.devnull], input=source, text=True, capture_output=True)
    if done.returncode:
        pytest.skip(f"{compiler} {' '.join(options)} does not work here")


def environment(**more):
    """For programs linked with the library: no preloaded sanitizer, idle threads sleep, and mpirun runs with whatever user
    and slots there are."""
    keep = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" and not k.startswith("OMPI_")}
    return keep | {
        "OMP_WAIT_POLICY": "passive",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
        **more,
    }


def run(command, *, folder=None, status=0, timeout=600, **options):
    """Runs a command; the test fails with its output unless it ends with status (None: whatever)."""
    env = environment(**options.pop("env", {}))
    done = subprocess.run(
        [os.fspath(c) for c in command], cwd=folder, capture_output=True, text=True, timeout=timeout, env=env, **options
    )
    assert status is None or done.returncode == status, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


@dataclass(frozen=True)
class Installed:
    """An installed libsimgraft."""

    prefix: Path
    build: Path

    @property
    def libdir(self):
        (file,) = self.prefix.glob("lib*/**/libsimgraft.a")
        return file.parent

    @property
    def env(self):
        """For pkg-config."""
        return {"PKG_CONFIG_PATH": str(self.libdir / "pkgconfig")}

    def flags(self, *options):
        return run(["pkg-config", *options], env=self.env).stdout.split()

    def compile(self, compiler, sources, program, *options, package="simgraft"):
        """Compiles and links; the program finds the shared library where it was installed."""
        run(
            [compiler, *sources, "-o", program, "-fopenmp", *options, *self.flags("--cflags", "--libs", package),
             f"-Wl,-rpath,{self.libdir}"],
            folder=program.parent,
        )
        return program


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


def as_text(rows):
    """Numbers that are read back with the same bits."""
    return "\n".join(" ".join(repr(float(v)) for v in row) for row in rows) + "\n"


def from_text(text, columns):
    return np.array(text.split(), dtype=np.float64).reshape(-1, columns)
