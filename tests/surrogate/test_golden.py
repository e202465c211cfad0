"""Files of every format that was ever written still load and give the bits they gave then."""

from pathlib import Path

import numpy as np
import pytest

import simgraft as sg
from simgraft import _core

FILES = sorted((Path(__file__).parent / "golden").glob("*.sg"))
# Instruction sets without fused multiply-add round differently.
fused = pytest.mark.skipif(_core.isa() not in ("v3", "v4"), reason="golden bits are those of fused multiply-adds")


def test_every_format_has_golden_files():
    written = {int(path.name[1 : path.name.index("_")]) for path in FILES}
    assert written == set(range(1, sg.surrogate.VERSION + 1))


@fused
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file_gives_the_bits_of_its_time(path):
    golden = np.load(path.with_suffix(".npz"))
    surrogate = sg.Surrogate.load(path)
    assert np.array_equal(surrogate.evaluate(golden["x"], guard="off"), golden["y"])
    assert np.array_equal(surrogate.evaluate(golden["x"].astype(np.float32), guard="off"), golden["y32"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file_saved_anew_gives_the_same_bits(path, tmp_path):
    surrogate = sg.Surrogate.load(path)
    surrogate.save(tmp_path / "again.sg")
    x = np.load(path.with_suffix(".npz"))["x"]
    again = sg.Surrogate.load(tmp_path / "again.sg")
    assert np.array_equal(surrogate.evaluate(x, guard="off"), again.evaluate(x, guard="off"))
