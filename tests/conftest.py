"""Shared fixtures. Real data are looked for in SIMGRAFT_TEST_DATA, then in ../shared/data beside the checkout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("ci")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_folder():
    """Folder of real data, or None."""
    wish = os.environ.get("SIMGRAFT_TEST_DATA")
    folder = Path(wish) if wish else ROOT.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def data_dir(data_folder):
    """Folder of real data; the test is skipped where there is none."""
    if data_folder is None:
        pytest.skip("no data folder: set SIMGRAFT_TEST_DATA or put it at ../shared/data")
    return data_folder


@pytest.fixture(scope="session")
def bits_by_isa():
    """Function of instruction sets and the arguments of Python: what such processes print as JSON, a dict."""

    def run(isas, *arguments):
        found = {}
        for isa in isas:
            environment = os.environ | {"SIMGRAFT_ISA": isa, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
            process = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)
            assert process.returncode == 0, process.stderr[-4000:]
            found[isa] = json.loads(process.stdout)
        return found

    return run
