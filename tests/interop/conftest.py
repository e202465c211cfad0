"""Surrogates that all tests of interop share, and the file of measured differences."""

import json
import os

import pytest
from interop_cases import DEVIATIONS, make_graph_surrogate, make_surrogate


@pytest.fixture(scope="session")
def surrogate():
    return make_surrogate()


@pytest.fixture(scope="session")
def surrogate_f64():
    return make_surrogate("float64")


@pytest.fixture(scope="session")
def surrogate_graph():
    return make_graph_surrogate()


def pytest_sessionfinish(session):
    path = os.environ.get("SIMGRAFT_INTEROP_DEVIATIONS")
    if path:
        with open(path, "w") as file:
            json.dump(DEVIATIONS, file)
