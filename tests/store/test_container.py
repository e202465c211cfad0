"""Containers: what is written comes back; what is damaged, foreign or forged is refused."""

import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from store_seal import seal

import simgraft as sg
from simgraft import _core

KIND = "simgraft test"


@pytest.fixture
def items(rng):
    return {
        "network/weight": rng.normal(size=(3, 4)),
        "network/bias": rng.normal(size=4).astype(np.float32),
        "provenance": '{"kernel": "f", "unit": "µm"}',
        "step": np.array(7, dtype=np.int64),
        "empty": np.zeros((0, 2), dtype=np.int32),
        "nothing": "",
    }


@pytest.fixture
def path(tmp_path, items):
    path = tmp_path / "c.sg"
    _core.container_write(path, KIND, 1, items)
    return path


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        if isinstance(a[name], str):
            assert a[name] == b[name]
        else:
            assert a[name].dtype == b[name].dtype and a[name].shape == b[name].shape
            assert a[name].tobytes() == b[name].tobytes()
    return True


def test_contents_come_back(path, items):
    assert same(_core.container_read(path, KIND, 1), items)


@given(
    arrays=st.dictionaries(
        st.text(
            st.characters(min_codepoint=32, exclude_characters="/.\x7f", exclude_categories=("Cs",)),
            min_size=1,
            max_size=20,
        ),
        st.sampled_from(["float32", "float64", "int32", "int64", "uint8", "uint32", "uint64"]).flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
        ),
        max_size=5,
    ),
    text=st.text(st.characters(min_codepoint=1, exclude_categories=("Cs",))),
)
def test_any_arrays_and_text_come_back(tmp_path_factory, arrays, text):
    path = tmp_path_factory.mktemp("c") / "c.sg"
    items = {f"arrays/{name}": array for name, array in arrays.items()} | {"text": text}
    _core.container_write(path, KIND, 3, items)
    assert same(_core.container_read(path, KIND, 3), items)


def test_strided_array_is_read_right(tmp_path):
    a = np.arange(24.0).reshape(4, 6)
    _core.container_write(tmp_path / "c.sg", KIND, 1, {"a": a[::2, ::-3]})
    assert np.array_equal(_core.container_read(tmp_path / "c.sg", KIND, 1)["a"], a[::2, ::-3])


def test_equal_contents_give_equal_bytes_in_any_order(tmp_path, path, items):
    _core.container_write(tmp_path / "d.sg", KIND, 1, dict(reversed(items.items())))
    assert (tmp_path / "d.sg").read_bytes() == path.read_bytes()


def test_header_is_as_documented(path):
    raw = path.read_bytes()
    assert raw == seal(raw[512:], KIND, 1)


def test_h5py_reads_the_file(path, items):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path) as f:
        assert f.userblock_size == 512
        assert np.array_equal(f["network/weight"], items["network/weight"])
        assert f["provenance"][()].decode() == items["provenance"]


def test_reads_beside_a_reader_in_h5py(path, items):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "r"):
        assert same(_core.container_read(path, KIND, 1), items)


def test_file_open_for_writing_in_h5py_says_close_it(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "r+"), pytest.raises(OSError, match="close it in h5py first"):
        _core.container_read(path, KIND, 1)


def test_edited_file_is_refused(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "r+") as f:
        f["step"][()] = 8
    with pytest.raises(sg.ChecksumError, match="c.sg"):
        _core.container_read(path, KIND, 1)


# ------------------------------------------------------------------------------------------------------------ damage

SWEEP = """
    import sys, random, simgraft as sg
    from simgraft import _core
    source, mode = sys.argv[1:3]
    raw = open(source, "rb").read()
    truth = repr(_core.container_read(source, None, 9))
    def cases():
        if mode == "truncate":
            for n in range(0, len(raw), 7):
                yield raw[:n]
        elif mode == "header":
            for i in range(128 * 8):
                b = bytearray(raw); b[i // 8] ^= 1 << i % 8
                yield bytes(b)
        else:
            draw = random.Random(5)
            for _ in range(1500):
                b = bytearray(raw)
                for _ in range(3):
                    b[draw.randrange(len(b))] ^= 1 << draw.randrange(8)
                if b != raw:
                    yield bytes(b)
    n = 0
    for data in cases():
        with open(source + ".bad", "wb") as f:
            f.write(data)
        try:
            _core.container_read(source + ".bad", None, 9)
            raise SystemExit("damaged file accepted")
        except sg.FileFormatError as error:
            assert "c.sg.bad" in str(error)
        n += 1
    print(n)
"""


@pytest.mark.parametrize("mode, n", [("truncate", 500), ("header", 1024), ("flip", 1500)])
def test_damaged_file_is_refused_and_names_the_file(path, run_python, mode, n):
    assert int(run_python(SWEEP, path, mode)) >= n


def test_trailing_bytes_are_refused(path):
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(sg.FileFormatError):
        _core.container_read(path, KIND, 1)


def test_other_kind_is_refused_and_named(path):
    with pytest.raises(sg.FileFormatError, match="expected a simgraft surrogate file, got a 'simgraft test' file"):
        _core.container_read(path, "simgraft surrogate", 1)


def test_newer_version_is_refused(tmp_path):
    _core.container_write(tmp_path / "c.sg", KIND, 2, {})
    with pytest.raises(sg.FileVersionError, match="version 2 is newer than 1"):
        _core.container_read(tmp_path / "c.sg", KIND, 1)


@pytest.mark.parametrize("foreign", ["text", "empty", "hdf5", "netcdf3", "netcdf4"])
def test_foreign_file_is_refused(tmp_path, foreign):
    path = tmp_path / "foreign"
    if foreign in ("text", "empty"):
        path.write_text("a,b,c\n1,2,3\n" * 100 if foreign == "text" else "")
    elif foreign == "hdf5":
        pytest.importorskip("h5py").File(path, "w").close()
    else:
        pytest.importorskip("netCDF4").Dataset(
            path, "w", format="NETCDF3_CLASSIC" if foreign == "netcdf3" else "NETCDF4"
        ).close()
    with pytest.raises(sg.FileFormatError, match="not a simgraft file"):
        _core.container_read(path, KIND, 1)


def test_missing_file_folder_and_pipe(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.sg"):
        _core.container_read(tmp_path / "nowhere.sg", KIND, 1)
    with pytest.raises(OSError, match="got a folder"):
        _core.container_read(tmp_path, KIND, 1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="special file"):
        _core.container_read(tmp_path / "pipe", KIND, 1)


def test_path_that_is_not_utf8(tmp_path, items):
    path = os.fsencode(tmp_path) + b"/caf\xe9.sg"
    _core.container_write(path, KIND, 1, items)
    assert same(_core.container_read(path, KIND, 1), items)
    with pytest.raises(sg.FileFormatError):
        _core.container_read(path, "other", 1)


# ------------------------------------------------------------------------------------------------------------ forgery


def forge_links(f):
    f["a"] = np.zeros(3)
    f["b"] = pytest.importorskip("h5py").SoftLink("/a")


def forge_external(f):
    f["b"] = pytest.importorskip("h5py").ExternalLink("/etc/hostname", "/")


def forge_external_storage(f):
    f.create_dataset("a", (4,), "u1", external=[("/etc/hostname", 0, 4)])


def forge_huge(f):
    f.create_dataset("a", (1 << 40,), "f8")


def forge_overflow(f):
    f.create_dataset("a", (1 << 31, 1 << 31, 1 << 31), "f8")


def forge_chunks(f):
    f.create_dataset("a", (1 << 20,), "f8", chunks=(1024,))


def forge_dtype(f):
    f.create_dataset("a", (4,), ">f8")


def forge_ndim(f):
    f.create_dataset("a", (1,) * 9, "f8")


def forge_varlen_text(f):
    f["a"] = "text"


def forge_name(f):
    f["a\x01"] = np.zeros(3)


def forge_long_name(f):
    f["a" * 300] = np.zeros(3)


def forge_depth(f):
    f["a/" * 9 + "b"] = np.zeros(3)


def forge_cycle(f):
    f.create_group("a")
    f["a/a"] = f["a"]


def forge_garbled_root(f):
    f["a"] = np.zeros(3)
    f.flush()
    with open(f.filename, "r+b") as raw:  # the root group's B-tree loses its signature
        data = raw.read()
        raw.seek(data.index(b"TREE"))
        raw.write(b"EERT")


def forge_type_object(f):
    f["a"] = np.dtype("f8")


FORGERIES = [v for k, v in list(globals().items()) if k.startswith("forge_")]


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda f: f.__name__)
def test_sealed_file_that_breaks_the_format_is_refused(sealed_h5, forgery):
    path = sealed_h5(forgery)
    with pytest.raises(sg.FileFormatError, match="forged.sg"):
        _core.container_read(path, KIND, 1)


def test_sealed_garbage_is_refused(tmp_path):
    (tmp_path / "c.sg").write_bytes(seal(b"no HDF5 at all" * 100, KIND, 1))
    with pytest.raises(sg.FileFormatError, match="c.sg"):
        _core.container_read(tmp_path / "c.sg", KIND, 1)


# ------------------------------------------------------------------------------------------------ bad arguments


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", ".", "a/..", "a\nb", "x" * 256, "/".join("abcdefghi")])
def test_bad_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="not a good name"):
        _core.container_write(tmp_path / "c.sg", KIND, 1, {name: "x"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a")])
def test_name_that_is_array_and_group_is_refused(tmp_path, names):
    with pytest.raises(ValueError, match="exists already"):
        _core.container_write(tmp_path / "c.sg", KIND, 1, dict.fromkeys(names, "x"))


@pytest.mark.parametrize(
    "value", [1.0, None, [1, 2], np.zeros(2, bool), np.zeros(2, ">f8"), np.zeros(2, "c16"), np.zeros(2, object)]
)
def test_value_of_another_type_is_a_type_error_that_names_it(tmp_path, value):
    with pytest.raises(TypeError, match=r"items\['a'\]"):
        _core.container_write(tmp_path / "c.sg", KIND, 1, {"a": value})


@pytest.mark.parametrize("kind", ["", "x" * 64, "µ"])
def test_bad_kind_is_refused(tmp_path, kind):
    with pytest.raises(ValueError, match="kind"):
        _core.container_write(tmp_path / "c.sg", kind, 1, {})
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------------------- disk and memory


def test_existing_file_is_replaced(path):
    _core.container_write(path, KIND, 1, {"new": "x"})
    assert _core.container_read(path, KIND, 1) == {"new": "x"}
    assert os.listdir(path.parent) == [path.name]


def test_long_file_name(tmp_path):
    path = tmp_path / ("x" * 255)
    _core.container_write(path, KIND, 1, {})
    assert os.listdir(tmp_path) == ["x" * 255]


def test_folder_that_cannot_hold_files(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        _core.container_write(tmp_path / "file" / "c.sg", KIND, 1, {})
    with pytest.raises(FileNotFoundError):
        _core.container_write(tmp_path / "nowhere" / "c.sg", KIND, 1, {})
    with pytest.raises(ValueError, match="name of a file"):
        _core.container_write(str(tmp_path) + "/", KIND, 1, {})


def test_read_only_folder(path, items):
    folder = path.parent
    if os.geteuid() != 0:
        folder.chmod(0o555)
        undo = lambda: folder.chmod(0o755)  # noqa: E731
    else:  # permissions do not bind root: a read-only mount does
        if subprocess.run(["mount", "--bind", folder, folder], capture_output=True).returncode:
            pytest.skip("mount is not allowed here")
        undo = lambda: subprocess.run(["umount", folder], check=True)  # noqa: E731
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
    try:
        with pytest.raises(OSError, match="cannot create a file"):
            _core.container_write(path, KIND, 1, {"a": "x"})
        assert same(_core.container_read(path, KIND, 1), items)
    finally:
        undo()
    assert os.listdir(folder) == [path.name]


def test_full_disk_keeps_the_old_file_and_leaves_nothing(small_disk):
    folder = small_disk(256)
    _core.container_write(folder / "c.sg", KIND, 1, {"a": "old"})
    with pytest.raises(OSError, match="No space left"):
        _core.container_write(folder / "c.sg", KIND, 1, {"a": np.zeros(100_000)})
    assert _core.container_read(folder / "c.sg", KIND, 1) == {"a": "old"}
    assert os.listdir(folder) == ["c.sg"]


@pytest.mark.parametrize("limit", [100, 512, 1000, 20_000])
def test_file_size_limit_leaves_nothing(tmp_path, limit):
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            _core.container_write(tmp_path / "c.sg", KIND, 1, {"a": np.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []


def test_failed_allocations_are_memory_errors(path, items, count_allocations):
    assert count_allocations(lambda: _core.container_write(path, KIND, 1, items)) > len(items)
    assert count_allocations(lambda: _core.container_read(path, KIND, 1)) > len(items)
    assert os.listdir(path.parent) == [path.name]


def test_threads_share_the_library(path, items):
    from concurrent.futures import ThreadPoolExecutor

    def work(i):
        mine = path.with_name(f"{i}.sg")
        _core.container_write(mine, KIND, 1, items)
        return same(_core.container_read(mine, KIND, 1), _core.container_read(path, KIND, 1))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))


def test_hdf5_prints_nothing(sealed_h5):
    script = "import sys; from simgraft import _core; _core.container_read(sys.argv[1], None, 1)"
    done = subprocess.run(
        [sys.executable, "-c", script, sealed_h5(forge_garbled_root)], capture_output=True, text=True
    )
    assert done.stderr.count("FileFormatError") == 1
    assert "HDF5-DIAG" not in done.stderr
