"""Tools for damaging files."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from store_seal import seal

from simgraft import _core


@pytest.fixture
def sealed_h5(tmp_path):
    """Makes a correctly sealed file whose HDF5 part is filled by ``fill(h5py file)``: what only a forger can do."""
    h5py = pytest.importorskip("h5py")

    def make(fill, kind="simgraft test", version=1, name="forged.sg"):
        path = tmp_path / name
        with h5py.File(path, "w", userblock_size=512) as f:
            fill(f)
        path.write_bytes(seal(path.read_bytes()[512:], kind, version))
        return path

    return make


@pytest.fixture
def run_python():
    """Runs a script in a fresh interpreter, so that a crash is a test failure and not the end of the test run."""

    def run(script, *arguments, timeout=120, expect=0):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == expect, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.fixture
def count_allocations():
    """Calls a function with the n-th allocation failing, n = 0, 1, ...; every failure must be a MemoryError."""

    def sweep(call):
        _core.memory_fail_after(-1)
        call()
        total = _core.memory_fail_after(-1)
        assert total > 0
        for n in range(total):
            _core.memory_fail_after(n)
            try:
                with pytest.raises(MemoryError):
                    call()
            finally:
                _core.memory_fail_after(-1)
        call()
        return total

    return sweep


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a file system of so many kB."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(kilobytes):
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder], capture_output=True
        ).returncode:
            pytest.skip("mount is not allowed here")
        return folder

    yield mount
    subprocess.run(["umount", folder], capture_output=True)


@pytest.fixture
def rng():
    return np.random.default_rng(7)
