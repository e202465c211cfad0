"""The determinism contract for every operator of the table, on every path: an output row has the same bits whatever the batch size,
its place, the number of threads, and AVX2 or AVX-512; a training gives the same weights, whatever the threads."""

import re
from pathlib import Path

import pytest

from simgraft import _core

NAMES = ["dense chain", *(op["name"] for op in _core.nn_ops() if op["name"] != "input")]
pytestmark = pytest.mark.no_asan  # ten CPU seconds a process without it
SCRIPT = Path(__file__).parent / "determinism_paths.py"
ISAS = [isa for isa in ("v3", "v4") if isa <= _core.isa_best() and _core.isa_best().startswith("v")]


@pytest.fixture(scope="module")
def bits(bits_by_isa):
    """What determinism_paths.py prints in a process of its own for each instruction set."""
    found = bits_by_isa(ISAS or [_core.isa_best()], str(SCRIPT))
    for isa, printed in found.items():
        assert printed.pop("isa") == isa
    return found


def cases(found, name):
    """Those of an operator; keys are "NAME VARIANT DTYPE", "dense chain DTYPE"."""
    chosen = {key: value for key, value in found.items() if re.fullmatch(rf"{name}( \d)? float\d\d", key)}
    assert chosen
    return chosen


@pytest.mark.parametrize("name", NAMES)
def test_bits_depend_on_the_row_alone(name, bits):
    for isa, found in bits.items():
        broken = {case: value["broken"] for case, value in cases(found, name).items() if value["broken"]}
        assert broken == {}, isa


@pytest.mark.skipif(len(ISAS) < 2, reason="needs a CPU with AVX-512")
@pytest.mark.parametrize("name", NAMES)
def test_avx2_and_avx512_give_the_same_bits_on_every_path(name, bits):
    v3, v4 = (cases(bits[isa], name) for isa in ISAS)
    assert v3.keys() == v4.keys()
    for case in v3:
        assert v3[case]["hash"] == v4[case]["hash"], case
