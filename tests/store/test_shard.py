"""Shards: what is written comes back; damage, forgery, change and full disks are noticed."""

import os
import resource
import signal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simgraft as sg
from simgraft import _core

KIND = "simgraft dataset shard"


def make(
    path,
    n=100,
    n_in=3,
    n_out=5,
    dtype="float64",
    group=True,
    weight=True,
    chunk_rows=16,
    deflate=0,
    pieces=(40, 1, 59),
    seed=0,
):
    rng = np.random.default_rng(seed)
    rows = [rng.normal(size=(n, n_in)).astype(dtype), rng.normal(size=(n, n_out)).astype(dtype)]
    rows += [rng.integers(-9, 9, n) if group else None, rng.random(n) if weight else None]
    writer = _core.ShardWriter(
        os.fspath(path),
        '{"a": 1}',
        n_in,
        n_out,
        dtype,
        group=group,
        weight=weight,
        chunk_rows=chunk_rows,
        deflate=deflate,
    )
    start = 0
    for size in pieces:
        writer.append(*(None if r is None else r[start : start + size] for r in rows))
        start += size
    writer.commit()
    return rows


def empty_like(rows, n):
    return tuple(None if r is None else np.empty((n, *r.shape[1:]), r.dtype) for r in rows)


def read(shards, segments, like):
    segments = np.array(segments, np.int64).reshape(-1, 3)
    out = empty_like(like, int(segments[:, 2].sum()))
    shards.read(segments, out)
    return out


def equal(a, b):
    return all((x is None and y is None) or np.array_equal(x, y) for x, y in zip(a, b))


@pytest.mark.parametrize("deflate", [0, 4])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("group, weight", [(False, False), (True, False), (False, True), (True, True)])
def test_rows_come_back(tmp_path, deflate, dtype, group, weight):
    rows = make(tmp_path / "s.h5", dtype=dtype, group=group, weight=weight, deflate=deflate)
    shards = _core.Shards([tmp_path / "s.h5"])
    assert equal(read(shards, [[0, 0, 100]], rows), rows)
    info = shards.info()[0]
    assert (info["n_rows"], info["n_in"], info["n_out"], info["dtype"]) == (100, 3, 5, dtype)
    assert (info["group"], info["weight"], info["chunk_rows"], info["deflate"], info["provenance"]) == (
        group,
        weight,
        16,
        deflate,
        '{"a": 1}',
    )
    assert os.listdir(tmp_path) == ["s.h5"]


@given(
    segments=st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 100), st.integers(0, 100)).map(
            lambda s: (s[0], s[1], min(s[2], 100 - s[1]))
        ),
        max_size=12,
    ),
    ascending=st.booleans(),
)
def test_any_segments_are_read_right(tmp_path_factory, segments, ascending):
    folder = tmp_path_factory.mktemp("s")
    rows = [make(folder / f"{i}.h5", seed=i) for i in range(2)]
    if ascending:
        segments = sorted(segments)
    shards = _core.Shards([folder / "0.h5", folder / "1.h5"])
    truth = [np.concatenate([rows[s][c][a : a + n] for s, a, n in segments] + [rows[0][c][:0]]) for c in range(4)]
    assert equal(read(shards, segments, rows[0]), truth)


def test_single_columns_are_read_alone(tmp_path):
    rows = make(tmp_path / "s.h5")
    y = np.empty((3, 5))
    _core.Shards([tmp_path / "s.h5"]).read(np.array([[0, 1, 1], [0, 5, 2]]), (None, y, None, None))
    assert np.array_equal(y, rows[1][[1, 5, 6]])


def test_more_shards_than_open_files(tmp_path):
    rows = [make(tmp_path / f"{i}.h5", seed=i) for i in range(20)]
    shards = _core.Shards([tmp_path / f"{i}.h5" for i in range(20)])
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(20), 3))
    for i in order:
        assert equal(read(shards, [[i, 7, 80]], rows[i]), [r[7:87] for r in rows[i]])


def test_block_sizes_of_appends_do_not_show_in_the_values(tmp_path):
    a = make(tmp_path / "a.h5", pieces=(100,))
    make(tmp_path / "b.h5", pieces=(33, 33, 34))
    assert equal(read(_core.Shards([tmp_path / "b.h5"]), [[0, 0, 100]], a), a)


@pytest.mark.parametrize("segment", [(0, 99, 2), (0, -1, 2), (1, 0, 1), (-1, 0, 1), (0, 2**62, 2**62), (0, 101, 0)])
def test_segment_outside_is_refused(tmp_path, segment):
    make(tmp_path / "s.h5")
    n = min(segment[2], 10)
    with pytest.raises(ValueError):
        _core.Shards([tmp_path / "s.h5"]).read(np.array([segment]), (np.empty((n, 3)), None, None, None))


def test_last_segment_of_a_group_outside_is_refused(tmp_path):
    make(tmp_path / "s.h5")
    with pytest.raises(ValueError, match="outside the data"):
        _core.Shards([tmp_path / "s.h5"]).read(
            np.array([[0, 95, 1], [0, 98, 3]]), (np.empty((4, 3)), None, None, None)
        )


@pytest.mark.parametrize(
    "out, error, message",
    [
        ((np.empty((5, 4)), None, None, None), ValueError, "x: expected shape"),
        ((np.empty((4, 3)), None, None, None), ValueError, "expected 5 rows, got 4"),
        ((np.empty((5, 3), np.float32), None, None, None), TypeError, "x: expected float64"),
        ((None, None, np.empty(5, np.int32), None), TypeError, "group: expected int64"),
        ((np.empty((5, 3)), None), TypeError, "tuple"),
    ],
)
def test_wrong_output_arrays_are_named(tmp_path, out, error, message):
    make(tmp_path / "s.h5")
    with pytest.raises(error, match=message):
        _core.Shards([tmp_path / "s.h5"]).read(np.array([[0, 0, 5]]), out)


def test_missing_groups_and_weights_are_named(tmp_path):
    make(tmp_path / "s.h5", group=False, weight=False)
    for i, name in ((2, "group"), (3, "weight")):
        out = [None] * 4
        out[i] = np.empty(5, np.int64 if i == 2 else np.float64)
        with pytest.raises(ValueError, match=f"{name}: the data set has none"):
            _core.Shards([tmp_path / "s.h5"]).read(np.array([[0, 0, 5]]), tuple(out))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_in": 0}, "n_in"),
        ({"n_out": 1 << 25}, "n_out"),
        ({"chunk_rows": 0}, "chunk_rows"),
        ({"chunk_rows": 1 << 40}, "chunk_rows"),
        ({"deflate": 10}, "deflate"),
        ({"dtype": "int8"}, "dtype"),
        ({"provenance": ""}, "provenance"),
    ],
)
def test_bad_layout_is_refused_and_leaves_nothing(tmp_path, options, message):
    arguments = {"path": tmp_path / "s.h5", "provenance": "{}", "n_in": 1, "n_out": 1, "dtype": "float64"} | options
    with pytest.raises(ValueError, match=message):
        _core.ShardWriter(**arguments)
    assert os.listdir(tmp_path) == []


def test_append_must_fit_the_layout(tmp_path):
    writer = _core.ShardWriter(tmp_path / "s.h5", "{}", 2, 1, "float64", group=True)
    x, y, group = np.zeros((4, 2)), np.zeros((4, 1)), np.zeros(4, np.int64)
    for arguments, error in [
        ((x, y), ValueError),
        ((x, y, group, np.ones(4)), ValueError),
        ((x.astype("f4"), y, group), TypeError),
        ((x, y[:3], group), ValueError),
        ((x[:, :1], y, group), ValueError),
    ]:
        with pytest.raises(error):
            writer.append(*arguments)
    writer.append(x, y, group)
    writer.commit()
    assert _core.Shards([tmp_path / "s.h5"]).info()[0]["n_rows"] == 4


def test_finished_writer_is_refused(tmp_path):
    writer = _core.ShardWriter(tmp_path / "s.h5", "{}", 1, 1, "float64")
    writer.commit()
    writer.abandon()
    for call in (writer.commit, lambda: writer.append(np.zeros((1, 1)), np.zeros((1, 1)))):
        with pytest.raises(ValueError, match="finished"):
            call()
    assert os.listdir(tmp_path) == ["s.h5"]


@pytest.mark.parametrize("end", ["abandon", "drop"])
def test_unfinished_writer_leaves_nothing(tmp_path, end):
    writer = _core.ShardWriter(tmp_path / "s.h5", "{}", 1, 1, "float64")
    writer.append(np.zeros((1000, 1)), np.zeros((1000, 1)))
    assert len(os.listdir(tmp_path)) == 1
    if end == "abandon":
        writer.abandon()
    else:
        del writer
    assert os.listdir(tmp_path) == []


def test_shards_of_different_layout_are_refused(tmp_path):
    make(tmp_path / "a.h5")
    make(tmp_path / "b.h5", weight=False)
    with pytest.raises(sg.FileFormatError, match="b.h5.*differ"):
        _core.Shards([tmp_path / "a.h5", tmp_path / "b.h5"])


# ------------------------------------------------------------------------------------------------------------ damage

SWEEP = """
    import sys, random, numpy as np, simgraft as sg
    from simgraft import _core
    source, mode = sys.argv[1:3]
    raw = open(source, "rb").read()
    def cases():
        if mode == "truncate":
            for n in range(0, len(raw), 7):
                yield raw[:n]
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
            _core.Shards([source + ".bad"])
            raise SystemExit("damaged file accepted")
        except sg.FileFormatError as error:
            assert "s.h5.bad" in str(error)
        n += 1
    print(n)
"""


@pytest.mark.parametrize("deflate", [0, 4])
@pytest.mark.parametrize("mode", ["truncate", "flip"])
def test_damaged_shard_is_refused_and_names_the_file(tmp_path, run_python, mode, deflate):
    make(tmp_path / "s.h5", deflate=deflate)
    assert int(run_python(SWEEP, tmp_path / "s.h5", mode)) >= 1400


def test_container_is_not_a_shard(tmp_path):
    _core.container_write(tmp_path / "s.h5", "simgraft surrogate", 1, {})
    with pytest.raises(
        sg.FileFormatError, match="expected a simgraft dataset shard file, got a 'simgraft surrogate' file"
    ):
        _core.Shards([tmp_path / "s.h5"])


def good(f, **change):
    parts = {"x": np.zeros((8, 2)), "y": np.zeros((8, 3)), "provenance": np.bytes_(b"{}")} | change
    h5py = pytest.importorskip("h5py")
    for name, value in parts.items():
        if value is None:
            continue
        if name == "provenance":
            f[name] = (
                np.array(value, dtype=h5py.string_dtype("utf-8", max(1, len(value))))
                if isinstance(value, bytes)
                else value
            )
        else:
            f.create_dataset(name, data=value, chunks=(4, *value.shape[1:]))


FORGERIES = {
    "no_x": lambda f: good(f, x=None),
    "no_y": lambda f: good(f, y=None),
    "no_provenance": lambda f: good(f, provenance=None),
    "provenance_number": lambda f: good(f, provenance=3.0),
    "provenance_variable": lambda f: good(f, provenance="text"),
    "rows_differ": lambda f: good(f, y=np.zeros((7, 3))),
    "dtypes_differ": lambda f: good(f, y=np.zeros((8, 3), np.float32)),
    "integers": lambda f: good(f, x=np.zeros((8, 2), np.int64), y=np.zeros((8, 2), np.int64)),
    "one_dimension": lambda f: good(f, x=np.zeros(8)),
    "group_float": lambda f: good(f, group=np.zeros(8)),
    "weight_short": lambda f: good(f, weight=np.zeros(7)),
    "contiguous": lambda f: (good(f, x=None), f.create_dataset("x", data=np.zeros((8, 2)))),
    "filter": lambda f: (
        good(f, x=None),
        f.create_dataset("x", data=np.zeros((8, 2)), chunks=(4, 2), fletcher32=True),
    ),
    "huge_chunk": lambda f: (
        good(f, x=None, y=None),
        f.create_dataset("x", (1 << 24, 2), "f8", chunks=(1 << 24, 2)),
        f.create_dataset("y", (1 << 24, 2), "f8", chunks=(1 << 24, 2)),
    ),
    "group_of_groups": lambda f: (good(f, x=None), f.create_group("x")),
    "external": lambda f: (
        good(f, x=None),
        f.__setitem__("x", pytest.importorskip("h5py").ExternalLink("/etc/hostname", "/x")),
    ),
}


def test_forger_can_make_a_good_shard(sealed_h5):
    assert _core.Shards([sealed_h5(good, KIND)]).info()[0]["n_rows"] == 8


@pytest.mark.parametrize("forgery", FORGERIES)
def test_sealed_shard_that_breaks_the_format_is_refused(sealed_h5, forgery):
    with pytest.raises(sg.FileFormatError, match="forged.sg"):
        _core.Shards([sealed_h5(FORGERIES[forgery], KIND)])


# ------------------------------------------------------------------------------------------------------------ change


def rewrite(path):
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(1, 1))


def replace(path):
    make(path.with_name("new.h5"))
    os.rename(path.with_name("new.h5"), path)


@pytest.mark.parametrize("already_read", [False, True])
@pytest.mark.parametrize(
    "change",
    [rewrite, replace, os.unlink, lambda p: os.truncate(p, 600)],
    ids=["rewrite", "replace", "remove", "cut"],
)
def test_shard_that_changes_under_the_reader_is_noticed(tmp_path, already_read, change):
    path = tmp_path / "s.h5"
    rows = make(path)
    shards = _core.Shards([path])
    if already_read:
        read(shards, [[0, 0, 10]], rows)
    change(path)
    with pytest.raises(sg.DatasetChangedError, match="s.h5"):
        read(shards, [[0, 0, 10]], rows)


# -------------------------------------------------------------------------------------------------- disk and memory


def fill(path):
    writer = _core.ShardWriter(path, "{}", 100, 100, "float64", chunk_rows=20)
    for _ in range(20):
        writer.append(np.ones((100, 100)), np.ones((100, 100)))
    writer.commit()


@pytest.mark.parametrize("kilobytes", [4, 100, 200, 1000, 3000])
def test_full_disk_is_an_error_and_leaves_nothing(small_disk, run_python, kilobytes):
    folder = small_disk(kilobytes)
    with pytest.raises(OSError, match="No space left"):
        fill(folder / "s.h5")
    assert os.listdir(folder) == []


def test_size_limit_is_an_error_and_leaves_nothing(tmp_path):
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, old[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            fill(tmp_path / "s.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(tmp_path) == []


def test_failed_allocations_are_memory_errors(tmp_path, count_allocations):
    rows = make(tmp_path / "s.h5")
    count_allocations(lambda: make(tmp_path / "s.h5"))
    paths = [tmp_path / "s.h5"] * 2
    count_allocations(lambda: _core.Shards(paths))
    shards = _core.Shards(paths)
    buffers = (empty_like(rows, 100), empty_like(rows, 100))

    def stream():
        s = _core.Stream(shards, np.array([1, 2]), np.array([[0, 0, 100], [1, 0, 100]]), buffers)
        while s.next()[1]:
            pass
        s.close()

    count_allocations(stream)
    assert os.listdir(tmp_path) == ["s.h5"]


# ---------------------------------------------------------------------------------------------------------- streams


def test_stream_gives_the_windows_in_order(tmp_path):
    rows = make(tmp_path / "s.h5")
    shards = _core.Shards([tmp_path / "s.h5"])
    segments = np.array([[0, 50, 20], [0, 0, 5], [0, 7, 9], [0, 99, 1]])
    buffers = (empty_like(rows, 25), empty_like(rows, 25))
    stream = _core.Stream(shards, np.array([2, 2, 3, 4]), segments, buffers)
    windows = []
    for _ in range(4):
        slot, n = stream.next()
        windows.append(buffers[slot][0][:n].copy())
    assert stream.next() == (0, 0)
    x = rows[0]
    truth = [np.concatenate([x[50:70], x[:5]]), x[:0], x[7:16], x[99:]]
    assert all(np.array_equal(a, b) for a, b in zip(windows, truth))


def test_stream_keeps_its_shards_and_buffers_alive(tmp_path):
    rows = make(tmp_path / "s.h5")
    buffers = (empty_like(rows, 100), empty_like(rows, 100))
    stream = _core.Stream(_core.Shards([tmp_path / "s.h5"]), np.array([1]), np.array([[0, 0, 100]]), buffers)
    slot, n = stream.next()
    assert np.array_equal(buffers[slot][1][:n], rows[1])


@pytest.mark.parametrize("short", [0, 1])
def test_stream_refuses_buffers_that_are_too_small(tmp_path, short):
    rows = make(tmp_path / "s.h5")
    buffers = [empty_like(rows, 100), empty_like(rows, 100)]
    buffers[short] = empty_like(rows, 99)
    with pytest.raises(ValueError, match="too small"):
        _core.Stream(_core.Shards([tmp_path / "s.h5"]), np.array([1]), np.array([[0, 0, 100]]), tuple(buffers))


def test_stream_reports_a_change(tmp_path):
    rows = make(tmp_path / "s.h5")
    shards = _core.Shards([tmp_path / "s.h5"])
    rewrite(tmp_path / "s.h5")
    stream = _core.Stream(
        shards, np.array([1]), np.array([[0, 0, 100]]), (empty_like(rows, 100), empty_like(rows, 100))
    )
    with pytest.raises(sg.DatasetChangedError):
        stream.next()


def test_streams_and_reads_share_a_set(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    rows = [make(tmp_path / f"{i}.h5", seed=i) for i in range(12)]
    shards = _core.Shards([tmp_path / f"{i}.h5" for i in range(12)])

    def work(k):
        if k % 2:
            i = k % 12
            return equal(
                read(shards, [[i, 3, 4], [i, 9, 2]], rows[i]), [np.concatenate([r[3:7], r[9:11]]) for r in rows[i]]
            )
        buffers = (empty_like(rows[0], 100), empty_like(rows[0], 100))
        segments = np.array([[i, 0, 100] for i in range(12)])
        stream = _core.Stream(shards, np.arange(1, 13), segments, buffers)
        good = True
        for i in range(12):
            slot, n = stream.next()
            good = good and equal([b[:n] for b in buffers[slot]], rows[i])
        return good

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(60)))


def test_child_of_fork_reads_by_itself_but_not_from_the_parents_stream(tmp_path, run_python):
    make(tmp_path / "s.h5", n=100)
    script = """
        import os, sys, numpy as np
        from simgraft import _core
        shards = _core.Shards([sys.argv[1]])
        segments, x = np.array([[0, 0, 100]]), np.empty((100, 3))
        shards.read(segments, (x, None, None, None))
        buffers = tuple((np.empty((100, 3)), None, None, None) for _ in range(2))
        stream = _core.Stream(shards, np.array([1]), segments, buffers)
        for _ in range(20):
            child = os.fork()
            if child == 0:
                again = np.empty((100, 3))
                shards.read(segments, (again, None, None, None))
                try:
                    stream.next()
                    os._exit(2)
                except NotImplementedError:
                    stream.close()
                    os._exit(0 if np.array_equal(again, x) else 1)
            assert os.waitpid(child, 0)[1] == 0
        slot, n = stream.next()
        assert np.array_equal(buffers[slot][0], x)
    """
    run_python(script, tmp_path / "s.h5")
