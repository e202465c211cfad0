"""Surrogate files: equal after a round trip, refused when damaged or foreign, nothing left behind."""

import os
from pathlib import Path

import numpy as np
import pytest

import simgraft as sg
from simgraft import _core
from simgraft.surrogate import KIND, VERSION


@pytest.fixture
def path(surrogate, tmp_path):
    surrogate.save(tmp_path / "rates.sg")
    return tmp_path / "rates.sg"


def test_loaded_surrogate_is_the_same_function(path, surrogate, rows):
    loaded = sg.load(path)
    assert np.array_equal(loaded.evaluate(rows), surrogate.evaluate(rows))
    assert np.array_equal(loaded.distance(rows), surrogate.distance(rows))
    assert loaded.describe() == surrogate.describe() and loaded.provenance == surrogate.provenance
    assert list(loaded.kernel.inputs.items()) == list(surrogate.kernel.inputs.items())
    assert list(loaded(loaded.kernel.unpack_inputs(rows[:3]))) == ["rate", "heat"]


def test_saving_what_was_loaded_gives_the_same_bytes(path, tmp_path):
    sg.load(path).save(tmp_path / "again.sg")
    assert (tmp_path / "again.sg").read_bytes() == path.read_bytes()


def test_kernel_of_another_signature_is_refused(path, kernel):
    other = sg.Kernel(
        kernel.function,
        inputs=kernel.inputs | {"temperature": sg.Var("degC", 0, 100)},
        outputs=kernel.outputs,
        name="other",
    )
    with pytest.raises(ValueError, match="kernel: 'other' does not have the inputs and outputs of 'rates'"):
        sg.load(path, kernel=other)
    assert sg.load(path, kernel=kernel).kernel is kernel


def test_truncated_files_are_refused_and_named(path, tmp_path):
    whole = path.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 97)):
        (tmp_path / "cut.sg").write_bytes(whole[:size])
        with pytest.raises(OSError, match="cut.sg"):
            sg.load(tmp_path / "cut.sg")


def test_flipped_bits_are_noticed(path, tmp_path):
    whole = path.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(whole), 60).tolist():
        damaged = bytearray(whole)
        damaged[at] ^= 1 << (at % 8)
        (tmp_path / "flipped.sg").write_bytes(damaged)
        with pytest.raises(OSError, match="flipped.sg"):
            sg.load(tmp_path / "flipped.sg")


def test_files_of_other_kinds_and_versions_are_refused(path, tmp_path):
    entries = _core.container_read(path, KIND, VERSION)
    _core.container_write(tmp_path / "other.sg", "simgraft checkpoint", VERSION, entries)
    with pytest.raises(sg.FileFormatError, match="other.sg"):
        sg.load(tmp_path / "other.sg")
    _core.container_write(tmp_path / "new.sg", KIND, VERSION + 1, entries)
    with pytest.raises(sg.FileVersionError, match="new.sg"):
        sg.load(tmp_path / "new.sg")
    with pytest.raises(FileNotFoundError, match="none.sg"):
        sg.load(tmp_path / "none.sg")


def spoil(entries, name, change):
    entries = dict(entries)
    if change is None:
        del entries[name]
    else:
        value = entries[name] if isinstance(entries[name], str) else entries[name].copy()
        entries[name] = change(value)
    return entries


def put(index, value):
    def change(array):
        array[index] = value
        return array

    return change


OLD = Path(__file__).parent / "golden" / "v1_weather.sg"
NETWORK = ("op", "n_inputs", "input", "attribute", "attribute_at", "attribute_value", "n_parameters", "parameters")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("input/name", None),
        *[(f"network/{name}", None) for name in NETWORK],
        ("encoder/column", None),
        ("decoder/value", None),
        ("domain/mean", None),
        ("domain/missing", None),
        ("input/low", None),
        ("kernel/name", None),
        ("description", None),
        ("input/name", lambda t: t + "more\n"),
        ("input/unit", lambda t: "K\n"),
        ("output/name", lambda t: ""),
        ("output/unit", lambda t: t[:-1]),
        ("network/op", lambda t: t.replace("dense", "dance", 1)),
        ("network/op", lambda t: t + "dense\n"),
        ("network/op", lambda t: t.replace("dense", "add", 1)),
        ("network/op", lambda t: ""),
        ("network/op", lambda t: "dense\n" * 5000),
        ("network/n_inputs", put(1, 2)),
        ("network/n_inputs", put(1, -1)),
        ("network/n_inputs", put(1, 2**31 - 1)),
        ("network/n_inputs", put(3, 0)),
        ("network/n_inputs", lambda a: a[:-1]),
        ("network/input", put(0, 1)),
        ("network/input", put(0, -1)),
        ("network/input", lambda a: np.append(a, a)),
        ("network/attribute", lambda t: t.replace("units", "unities", 1)),
        ("network/attribute", lambda t: t.replace("softsign", "wavy", 1)),
        ("network/attribute", lambda t: t.replace("activation=softsign", "activation", 1)),
        ("network/attribute", lambda t: t.replace("units", "units=16", 1)),
        ("network/attribute", lambda t: t + "units\n"),
        ("network/attribute_at", put((0, 0), 4)),
        ("network/attribute_at", put((0, 0), -1)),
        ("network/attribute_at", put((0, 1), -1)),
        ("network/attribute_at", put((0, 1), 2**31 - 1)),
        ("network/attribute_value", lambda a: a[:-1]),
        ("network/attribute_value", put(1, np.nan)),
        ("network/attribute_value", put(1, 1e300)),
        ("network/attribute_value", put(1, 17.5)),
        ("network/attribute_value", put(1, 2.0**28)),
        ("network/n_parameters", put(1, 0)),
        ("network/n_parameters", lambda a: a[:-1]),
        ("network/parameters", lambda a: a[:-1]),
        ("network/parameters", lambda a: a.reshape(1, -1)),
        ("encoder/column", put((0, 1), 99)),
        ("encoder/column", put((0, 1), -1)),
        ("encoder/column", put((0, 0), 3)),
        ("encoder/column", put((0, 2), 2)),
        ("encoder/column", put((0, 3), 1000)),
        ("encoder/column", put((0, 4), -1)),
        ("encoder/column", put((0, 3), 2**31 - 1)),
        ("encoder/column", lambda a: a[:-1]),
        ("encoder/op", put(0, 77)),
        ("encoder/op", put(0, -1)),
        ("encoder/op", put(0, 4)),
        ("encoder/op", put(0, 5)),
        ("encoder/op", put(0, 6)),
        ("encoder/op", lambda a: a[:-1]),
        ("encoder/value", lambda a: a[:, :1]),
        ("encoder/value", put((1, 1), np.nan)),
        ("decoder/column", put((1, 1), 2)),
        ("domain/flags", lambda a: a[:-1]),
        ("domain/max_distance", lambda a: np.array(-1.0)),
        ("domain/max_distance", lambda a: np.array(np.nan)),
        ("domain/whitening", lambda a: a[:, :0]),
        ("domain/whitening", lambda a: np.hstack([a, a])),
        ("input/low", put(0, np.nan)),
        ("input/high", put(0, -1e9)),
        ("input/low", lambda a: a[:-1]),
        ("output/high", lambda a: a.astype(np.float32)),
        ("description", lambda t: "{"),
        ("description", lambda t: "[]"),
        ("description", lambda t: t.replace('"MinMax"', '"Magic"').replace('"Log"', '"Magic"')),
        ("description", lambda t: t.replace('"kernel"', '"colonel"', 1)),
    ],
)
def test_contents_that_do_not_fit_are_refused(path, tmp_path, name, change):
    """A sealed file with a right checksum and wrong contents: an error of the file, no crash, nothing
    half-read."""
    _core.container_write(
        tmp_path / "odd.sg", KIND, VERSION, spoil(_core.container_read(path, KIND, VERSION), name, change)
    )
    with pytest.raises(sg.FileFormatError):
        sg.load(tmp_path / "odd.sg")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("network/weight_0", None),
        ("network/bias_1", None),
        ("network/activation", lambda t: t.replace("linear", "wavy")),
        ("network/activation", lambda t: t + "linear\n"),
        ("network/activation", lambda t: ""),
        ("network/activation", lambda t: "linear\n" * 65),
        ("network/weight_0", lambda a: a[:, :-1]),
        ("network/weight_0", lambda a: a[:-1]),
        ("network/weight_0", lambda a: a.astype(np.float64)),
        ("network/weight_1", lambda a: a.T.copy()),
        ("network/bias_0", lambda a: a[:-1]),
        ("network/parameter", lambda a: a[:-1]),
    ],
)
def test_contents_of_version_1_that_do_not_fit_are_refused(tmp_path, name, change):
    entries = _core.container_read(OLD, KIND, 1)
    _core.container_write(tmp_path / "odd.sg", KIND, 1, spoil(entries, name, change))
    with pytest.raises(sg.FileFormatError):
        sg.load(tmp_path / "odd.sg")


def test_every_failing_allocation_of_opening_is_a_memory_error(path):
    entries = _core.container_read(path, KIND, VERSION)
    _core.memory_fail_after(-1)
    _core.Surrogate(entries)
    calls = _core.memory_fail_after(-1)
    assert calls > 30
    for n in range(calls):
        _core.memory_fail_after(n)
        try:
            with pytest.raises(MemoryError):
                _core.Surrogate(entries)
        finally:
            _core.memory_fail_after(-1)


def test_saving_makes_the_folder(surrogate, rows, tmp_path):
    surrogate.save(tmp_path / "new" / "folder" / "rates.sg")
    assert np.array_equal(sg.load(tmp_path / "new" / "folder" / "rates.sg").evaluate(rows), surrogate.evaluate(rows))


def test_a_failed_save_keeps_the_old_file_and_leaves_nothing(path, surrogate, tmp_path):
    before = path.read_bytes()
    with pytest.raises(OSError, match="rates.sg"):
        surrogate.save(path / "below a file.sg")
    (tmp_path / "taken.sg").mkdir()
    with pytest.raises(OSError, match="taken.sg"):
        surrogate.save(tmp_path / "taken.sg")
    assert path.read_bytes() == before and sorted(os.listdir(tmp_path)) == ["rates.sg", "taken.sg"]


def test_a_graph_that_wants_gigabytes_of_scratch_is_refused():
    """64 numbers as a field, and taps 4096 apart: the gradient of the padded field has 64 x 4097 x 4097 = 2^30
    elements, which no count of parameters or outputs shows."""
    conv = {"units": 1, "kernel": (1, 2, 2), "dilation": (1, 4096, 4096), "padding": "replicate"}
    nodes = [("input", (), {"shape": 64}), ("reshape", (0,), {"shape": (64, 1, 1, 1)}), ("conv", (1,), conv)]
    network = sg.nn.Network([*nodes, ("reshape", (2,), {"shape": 64})], np.ones(5, np.float32))
    column = {"x": sg.Var("1", -1, 1, shape=64)}
    kernel = sg.Kernel(None, inputs=column, outputs={"y": sg.Var("1", shape=64)}, name="wide")
    with pytest.raises(sg.FileFormatError, match="the values of one row are too large"):
        sg.Surrogate.from_network(kernel, network)
