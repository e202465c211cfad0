"""Data sets: sampling to shards, resuming, splitting, streaming."""

import concurrent.futures
import hashlib
import json
import logging
import os

import numpy as np
import pytest
import store_kernels
from hypothesis import given
from hypothesis import strategies as st
from store_kernels import draw, gas_kernel, line_kernel, line_states

import simgraft as sg
from simgraft import _core
from simgraft.dataset import _cut, _intervals_of, _rows_of, _slice, parse_bytes

N, SHARD = 1000, 300


def hashes(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def sample(out=None, **options):
    options = {"seed": 1, "shard_rows": SHARD, "block_rows": 64, "progress": False} | options
    return gas_kernel().sample(
        options.pop("sampler", sg.sampling.uniform(gas_kernel())), options.pop("n", N), out, **options
    )


@pytest.fixture(scope="module")
def pool():
    with concurrent.futures.ProcessPoolExecutor(4) as pool:
        yield pool


def test_files_hold_what_memory_holds(tmp_path):
    a, b = sample(), sample(tmp_path)
    assert len(a) == len(b) == N and len(os.listdir(tmp_path)) == 4
    assert np.array_equal(a.X, b.X) and np.array_equal(a.Y, b.Y)
    assert np.array_equal(a.Y, gas_kernel().evaluate(a.X))
    assert np.array_equal(b.outputs["stress"], gas_kernel()(b.inputs)["stress"])


@pytest.mark.parametrize("name", ["uniform", "sobol", "latin_hypercube", "function"])
@pytest.mark.parametrize("compression", [0, 3])
def test_bytes_do_not_depend_on_the_workers(tmp_path, pool, name, compression):
    if name in ("sobol", "latin_hypercube"):
        pytest.importorskip("scipy")
    sampler = sg.sampling.function(draw) if name == "function" else getattr(sg.sampling, name)(gas_kernel())
    options = {"sampler": sampler, "compression": compression, "groups": np.arange(N) // 10, "weights": np.ones(N)}
    sample(tmp_path / "1", **options)
    sample(tmp_path / "4", executor=pool, **options)
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        sample(tmp_path / "2", executor=threads, **options)
    assert hashes(tmp_path / "1") == hashes(tmp_path / "4") == hashes(tmp_path / "2")


def test_memory_does_not_depend_on_the_workers(pool):
    a, b = sample(), sample(executor=pool)
    assert np.array_equal(a.X, b.X) and np.array_equal(a.Y, b.Y)


def test_float32_files_hold_rounded_values(tmp_path):
    a, b = sample(), sample(tmp_path, dtype="float32")
    assert b.dtype == np.float32 and np.array_equal(b.Y, a.Y.astype(np.float32))


def test_function_of_this_moment_cannot_go_to_a_process(pool):
    kernel = line_kernel(lambda x: {"y": x["x"]})
    with pytest.raises(ValueError, match="executor: kernel '<lambda>'.*top level of a module"):
        kernel.sample(line_states(10), executor=pool)


def test_opened_data_set_knows_its_origin(tmp_path):
    sample(tmp_path)
    d = sg.Dataset.open(tmp_path)
    assert d.kernel.describe() == gas_kernel().describe() and d.kernel.function is None
    assert d.provenance["sampler"] == {"name": "uniform", "seed": None} and d.provenance["seed"] == 1
    assert d.provenance["simgraft"] == sg.__version__
    assert sg.Dataset.open(tmp_path, kernel=gas_kernel()).kernel.function is not None
    with pytest.raises(ValueError, match="another kernel"):
        sg.Dataset.open(tmp_path, kernel=gas_kernel(parameters={"R": 8}))


def test_provenance_is_json_in_every_shard(tmp_path):
    h5py = pytest.importorskip("h5py")
    sample(tmp_path)
    with h5py.File(tmp_path / "shard-00003-of-00004.h5") as f:
        assert json.loads(f["provenance"][()])["shard"] == {"index": 3, "count": 4, "first": 900, "rows": 100}
        assert f["x"].shape == (100, 5) and f["y"].shape == (100, 10)


# ---------------------------------------------------------------------------------------------------------- resuming


def test_repeated_call_makes_only_what_is_missing(tmp_path, caplog):
    sample(tmp_path)
    before, times = hashes(tmp_path), {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    (tmp_path / "shard-00001-of-00004.h5").unlink()
    damaged = tmp_path / "shard-00002-of-00004.h5"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with caplog.at_level(logging.INFO, "simgraft"):
        sample(tmp_path)
    assert "400 of 1000 rows are there already" in caplog.text and "it is made again" in caplog.text
    assert hashes(tmp_path) == before
    assert [n for n in sorted(times) if (tmp_path / n).stat().st_mtime_ns == times[n]] == [
        "shard-00000-of-00004.h5",
        "shard-00003-of-00004.h5",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"n": 999},
        {"shard_rows": 250},
        {"compression": 1},
        {"dtype": "float32"},
        {"groups": np.zeros(N, np.int64)},
        {"n": 2000},
    ],
    ids=str,
)
def test_folder_of_another_data_set_is_left_alone(tmp_path, change):
    sample(tmp_path)
    before = hashes(tmp_path)
    options = dict(change)
    with pytest.raises(FileExistsError, match="use another folder"):
        sample(tmp_path, **options)
    assert hashes(tmp_path) == before


def test_incomplete_data_set_is_not_opened(tmp_path):
    sample(tmp_path)
    (tmp_path / "shard-00001-of-00004.h5").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 4 shards are missing, the first is shard-00001-of-00004.h5"):
        sg.Dataset.open(tmp_path)
    with pytest.raises(FileNotFoundError):
        sg.Dataset.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no data set here"):
        sg.Dataset.open(tmp_path / "empty")


@pytest.mark.parametrize("how", ["swapped", "other seed", "two sets"])
def test_mixed_up_shards_are_refused(tmp_path, how):
    sample(tmp_path / "a")
    sample(tmp_path / "b", seed=2, shard_rows=SHARD if how != "two sets" else 500)
    name = "shard-0000{}-of-00004.h5".format
    if how == "swapped":
        os.rename(tmp_path / "a" / name(0), tmp_path / "t")
        os.rename(tmp_path / "a" / name(1), tmp_path / "a" / name(0))
        os.rename(tmp_path / "t", tmp_path / "a" / name(1))
    else:
        source = name(2) if how == "other seed" else "shard-00001-of-00002.h5"
        os.rename(tmp_path / "b" / source, tmp_path / "a" / source)
    with pytest.raises(sg.FileFormatError):
        sg.Dataset.open(tmp_path / "a")


def test_damaged_shard_is_refused_unless_not_verified(tmp_path):
    sample(tmp_path)
    path = tmp_path / "shard-00000-of-00004.h5"
    raw = bytearray(path.read_bytes())
    raw[raw.index(gas_kernel().sample(sg.sampling.uniform(gas_kernel()), 1, seed=1, progress=False).X.tobytes())] ^= 1
    path.write_bytes(raw)
    with pytest.raises(sg.ChecksumError, match="shard-00000"):
        sg.Dataset.open(tmp_path)
    sg.Dataset.open(tmp_path, verify=False)


@pytest.mark.parametrize("executor", [None, "threads", "processes"])
def test_error_in_the_kernel_leaves_no_half_shard(tmp_path, executor):
    kernel = sg.Kernel(store_kernels.slow, inputs={"x": sg.Var("1", 0, 2500)}, outputs={"y": sg.Var("1")})
    pools = {"threads": concurrent.futures.ThreadPoolExecutor, "processes": concurrent.futures.ProcessPoolExecutor}
    pool = pools[executor](2) if executor else None
    with pytest.raises(sg.DomainError, match=r"x\[2501\] = 2501 lies outside") as caught:
        kernel.sample(line_states(3000), out=tmp_path, shard_rows=1000, block_rows=500, executor=pool, progress=False)
    assert "rows 2500 to 2999 of kernel 'slow'" in caught.value.__notes__[0]
    assert not [n for n in os.listdir(tmp_path) if n.endswith(".tmp") or n.startswith("shard-00002")]
    if pool:
        pool.shutdown()


def test_ctrl_c_leaves_no_half_shard_and_the_rest_can_be_resumed(tmp_path):
    kernel = line_kernel(store_kernels.interrupting)
    with pytest.raises(KeyboardInterrupt):
        kernel.sample(line_states(4000), out=tmp_path, shard_rows=1500, block_rows=500, progress=False)
    assert os.listdir(tmp_path) == ["shard-00000-of-00003.h5"]


def test_leftover_of_a_killed_process_is_removed_later(tmp_path):
    old, new = tmp_path / ".shard-00000-of-00004.h5.1-0.tmp", tmp_path / ".shard-00001-of-00004.h5.1-1.tmp"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    sample(tmp_path)
    assert not old.exists() and new.exists()


def test_full_disk_during_sampling(small_disk):
    folder = small_disk(60)
    with pytest.raises(OSError, match="No space left"):
        sample(folder)
    assert all(n.endswith(".h5") for n in os.listdir(folder))


# -------------------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"n": 0}, ValueError, "n: expected"),
        ({"n": None}, ValueError, "n: expected"),
        ({"shard_rows": 0}, ValueError, "shard_rows"),
        ({"block_rows": 1.5}, ValueError, "block_rows"),
        ({"compression": 10}, ValueError, "compression"),
        ({"dtype": "float16"}, ValueError, "dtype"),
        ({"seed": None}, ValueError, "seed"),
        ({"groups": np.zeros(N)}, TypeError, "groups: expected int64"),
        ({"groups": np.zeros(5, np.int64)}, ValueError, r"groups: expected shape \(n=1000,\)"),
        ({"weights": np.full(N, -1.0)}, ValueError, r"weights\[0\] = -1.0"),
        ({"weights": np.full(N, np.nan)}, ValueError, r"weights\[0\] = nan"),
    ],
)
def test_wrong_options_are_named(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        sample(tmp_path, **options)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_states_give_all_their_rows_and_no_more():
    kernel = line_kernel(store_kernels.slow)
    assert kernel.sample(line_states(7), progress=False).X[:, 0].tolist() == list(range(7))
    with pytest.raises(ValueError, match="has 7 rows, asked for 8"):
        kernel.sample(line_states(7), 8)


def test_changed_kernel_source_is_another_data_set(tmp_path):
    states = line_states(10)
    sg.Kernel(store_kernels.slow, inputs={"x": sg.Var("1")}, outputs={"y": sg.Var("1")}, name="k").sample(
        states, out=tmp_path, progress=False
    )
    other = sg.Kernel(store_kernels.interrupting, inputs={"x": sg.Var("1")}, outputs={"y": sg.Var("1")}, name="k")
    with pytest.raises(FileExistsError):
        other.sample(states, out=tmp_path, progress=False)


@pytest.mark.parametrize("to_files", [False, True])
def test_from_arrays(tmp_path, to_files):
    a = sample()
    group, weight = np.arange(N) % 7, np.linspace(0, 1, N)
    d = sg.Dataset.from_arrays(
        gas_kernel(), a.inputs, a.Y, group, weight, out=tmp_path if to_files else None, provenance={"site": "x"}
    )
    if to_files:
        d = sg.Dataset.open(tmp_path)
    assert np.array_equal(d.X, a.X) and np.array_equal(d.Y, a.Y)
    assert np.array_equal(d.group, group) and np.array_equal(d.weight, weight)
    assert d.provenance["source"] == {"site": "x"}
    bad = a.Y.copy()
    bad[5, 0] = np.inf
    with pytest.raises(sg.NotFiniteError, match=r"volume\[5\]"):
        sg.Dataset.from_arrays(gas_kernel(), a.X, bad)


def test_html_tells_size_and_place(tmp_path):
    html = sample(tmp_path)._repr_html_()
    assert "1,000" in html and str(tmp_path) in html and "temperature" in html


# ------------------------------------------------------------------------------------------------------------ splits


@pytest.fixture(params=["memory", "files"])
def grouped(request, tmp_path):
    return sample(
        tmp_path if request.param == "files" else None, groups=np.arange(N) // 7 * 3, weights=np.arange(float(N))
    )


def test_split_keeps_groups_together(grouped):
    train, validation, test = grouped.split(fractions=(0.6, 0.2, 0.2), seed=4)
    sets = [set(d.group.tolist()) for d in (train, validation, test)]
    assert sum(map(len, sets)) == len(set.union(*sets)) == 143
    assert [len(s) for s in sets] == [86, 28, 29]  # rint of 143 times 0.6, 0.8, 1.0
    assert len(train) + len(validation) + len(test) == N
    rows = np.concatenate([d.weight for d in (train, validation, test)])
    assert np.array_equal(np.sort(rows), np.arange(N))
    assert np.array_equal(train.X, grouped.X[train.weight.astype(int)])


def test_split_by_row_is_refused_where_groups_exist(grouped):
    with pytest.raises(ValueError, match="the data set has groups"):
        grouped.split(by="row")


def test_split_without_groups_takes_every_row_as_its_own_group():
    d = sample()
    a, b = d.split(seed=1), d.split(by="row", seed=1)
    assert [len(x) for x in a] == [800, 200]
    assert np.array_equal(a[0].X, b[0].X)
    assert not np.array_equal(a[0].X, d.split(seed=2)[0].X)


def test_split_of_a_split(grouped):
    train, _ = grouped.split(seed=1)
    inner, outer = train.split(fractions=(0.5, 0.5), seed=2)
    assert np.array_equal(np.sort(np.concatenate([inner.weight, outer.weight])), np.sort(train.weight))


@pytest.mark.parametrize("fractions", [(), (0.8, 0.3), (1.0, 0.0), (-0.1, 0.5), (float("nan"),)])
def test_bad_fractions_are_refused(grouped, fractions):
    with pytest.raises(ValueError, match="fractions"):
        grouped.split(fractions=fractions)


def test_part_without_a_group_is_refused():
    with pytest.raises(ValueError, match="3 groups are too few"):
        sample(groups=np.arange(N) % 3).split(fractions=(0.9, 0.1))


# ----------------------------------------------------------------------------------------------------------- reading


@given(
    starts=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=8),
    cuts=st.sets(st.integers(1, 120)),
    a=st.integers(0, 60),
    b=st.integers(0, 60),
)
def test_interval_arithmetic(starts, cuts, a, b):
    intervals, at = [], 0
    for gap, size in starts:
        intervals.append([at + gap, at + gap + size])
        at += gap + size
    intervals = np.array(intervals, np.int64).reshape(-1, 2)
    rows = np.array([r for i, j in intervals for r in range(i, j)], np.int64)
    assert np.array_equal(_rows_of(intervals), rows)
    assert np.array_equal(_rows_of(_intervals_of(rows)), rows)
    pieces = _cut(intervals, np.array(sorted(cuts), np.int64))
    assert np.array_equal(_rows_of(pieces), rows) and (pieces[:, 0] < pieces[:, 1]).all()
    assert not any(i < c < j for i, j in pieces for c in cuts)
    stop = min(b, len(rows))
    assert np.array_equal(_rows_of(_slice(intervals, min(a, stop), stop)), rows[a:stop])


@pytest.mark.parametrize("part", ["whole", "split"])
def test_read_and_blocks_give_rows_in_order(grouped, part):
    d = grouped if part == "whole" else grouped.split(seed=1)[0]
    x, y, weight = d.read(5, 700)
    assert np.array_equal(x, d.X[5:700]) and np.array_equal(y, d.Y[5:700]) and np.array_equal(weight, d.weight[5:700])
    for rows in (1, 13, 300, 5000):
        blocks = list(d.blocks(rows))
        assert [len(b[0]) for b in blocks[:-1]] == [rows] * (len(blocks) - 1)
        for column, truth in enumerate((d.X, d.Y, d.weight)):
            assert np.array_equal(np.concatenate([b[column] for b in blocks]), truth)


def streamed(dataset, batch_size=50):
    """A reader that must stream: its window is far smaller than the data."""
    reader = dataset.reader(batch_size, memory="100MB")
    reader._keep, reader.window_rows = False, 170
    return reader


@pytest.mark.parametrize("part", ["whole", "split"])
@pytest.mark.parametrize("make", [lambda d: d.reader(50), streamed], ids=["kept", "streamed"])
def test_epoch_gives_every_row_once_in_an_order_the_seed_decides(grouped, make, part):
    d = grouped if part == "whole" else grouped.split(seed=1)[0]
    if make is streamed and d.path is None:
        pytest.skip("data in memory are not streamed")
    reader = make(d)

    def epoch(seed):
        batches = list(reader.epoch(seed))
        assert len(batches) == len(reader)
        assert [len(b[0]) for b in batches[:-1]] == [50] * (len(batches) - 1)
        return [np.concatenate([b[i] for b in batches]) for i in range(3)]

    x, y, weight = epoch(3)
    assert np.array_equal(np.sort(weight), np.sort(d.weight))
    order = np.searchsorted(d.weight, weight)
    assert np.array_equal(x, d.X[order]) and np.array_equal(y, d.Y[order])
    assert np.array_equal(epoch(3)[2], weight)
    assert not np.array_equal(epoch(4)[2], weight)
    # rank correlation of a random order of n rows has standard deviation 1 / sqrt(n); streamed: of about 100 blocks
    assert abs(np.corrcoef(np.arange(len(order)), order)[0, 1]) < 0.4


def test_batches_are_the_callers_own(tmp_path):
    batches = list(streamed(sample(tmp_path)).epoch(1))
    copies = [x.copy() for x, _, _ in batches]
    batches[0][0][:] = 0
    assert all(np.array_equal(a, b) for (a, _, _), b in zip(batches[1:], copies[1:]))


def test_epoch_can_be_left_early(tmp_path):
    d = sample(tmp_path)
    for _ in range(30):
        next(iter(streamed(d).epoch(1)))


def test_data_set_changed_under_the_reader(tmp_path):
    d = sample(tmp_path)
    batches = streamed(d).epoch(1)
    next(batches)
    for p in tmp_path.iterdir():
        os.utime(p, ns=(1, 1))
    with pytest.raises(sg.DatasetChangedError, match="shard-0000"):
        list(batches)
    with pytest.raises(sg.DatasetChangedError):
        d.X


def test_too_little_memory_says_how_much_is_needed(tmp_path):
    d = sample(tmp_path)
    with pytest.raises(ValueError, match="memory: 10000 bytes are too few.* at least") as caught:
        d.reader(50, memory=10_000)
    least = int(str(caught.value).split("at least ")[1].split()[0])
    d.reader(50, memory=least)
    with pytest.raises(ValueError):
        d.reader(50, memory=least - 50)


def test_memory_cap_is_honoured_by_a_data_set_larger_than_it(tmp_path, run_python):
    kernel = sg.Kernel(None, inputs={"x": sg.Var("1", shape=64)}, outputs={"y": sg.Var("1", shape=64)})
    for i in range(3):
        writer = _core.ShardWriter(
            tmp_path / f"shard-{i:05d}-of-00003.h5",
            json.dumps(
                {"kernel": kernel.describe(), "shard": {"index": i, "count": 3, "first": 40_000 * i, "rows": 40_000}}
            ),
            n_in=64,
            n_out=64,
            dtype="float64",
            chunk_rows=256,
        )
        for k in range(20):
            rows = np.full((2000, 64), 20.0 * i + k)
            writer.append(rows, rows)
        writer.commit()
    script = """
        import sys, resource, numpy as np, simgraft as sg
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        data = sg.Dataset.open(sys.argv[1])
        next(data.blocks(10))
        before, total, n = peak(), 0.0, 0
        reader = data.reader(256, memory="32MB")
        assert reader.window_rows < len(data)
        for x, y, weight in reader.epoch(1):
            total, n = total + x[:, 0].sum(), n + len(x)
        assert n == 120_000 and total == 2000 * sum(range(60))
        print(peak() - before)
    """
    grown = int(run_python(script, tmp_path))
    # 123 MB of data, 32 MB allowed; 8 MB for the allocator and the interpreter
    assert grown < 40e6


@pytest.mark.parametrize(
    "text, n", [("256MB", 256_000_000), ("1 GiB", 1 << 30), ("1.5kb", 1500), (1000, 1000), ("7", 7)]
)
def test_sizes(text, n):
    assert parse_bytes(text) == n


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1 parsec", 0, -5, None, True])
def test_bad_sizes(text):
    with pytest.raises(ValueError, match="memory"):
        parse_bytes(text)
