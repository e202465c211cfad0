"""Programs run by the tests, and the library they are linked with."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

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


def as_text(rows):
    """Numbers that are read back with the same bits."""
    return "\n".join(" ".join(repr(float(v)) for v in row) for row in rows) + "\n"


def from_text(text, columns):
    return np.array(text.split(), dtype=np.float64).reshape(-1, columns)
