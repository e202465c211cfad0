"""The small kernel of tests/rates.py and a surrogate of it."""

import pytest
from rates import make_data, make_kernel, make_surrogate


@pytest.fixture(scope="session")
def kernel():
    return make_kernel()


@pytest.fixture(scope="session")
def data(kernel):
    return make_data(kernel)


@pytest.fixture(scope="session")
def surrogate(kernel, data):
    return make_surrogate(kernel, data)


@pytest.fixture
def rows(data):
    return data.X
