"""Data sets: packed samples of one kernel, in memory or in HDF5 shards, with provenance."""

from __future__ import annotations

import atexit
import json
import logging
import re
from pathlib import Path

import numpy as np

from simgraft import _core, executors
from simgraft import variables as _variables
from simgraft.kernel import Kernel

_log = logging.getLogger("simgraft")

_SHARD_BYTES = 64 << 20  # of one shard, by default
_CHUNK_BYTES = 256 << 10  # of one HDF5 chunk
_BLOCK_BYTES = 16 << 20  # of one call of the kernel, by default
_BLOCK_ROWS = 4096
_SHARD_NAME = re.compile(r"shard-(\d{5,})-of-(\d{5,})\.h5")
_OPEN_FILES = 8  # MAX_OPEN_FILES of csrc/store/shard.c
_SHUFFLE, _SPLIT = 1 << 40, 2 << 40  # random number streams: windows and splits do not share numbers


# ---------------------------------------------------------------------------------------------------- sampling


def sample(
    kernel,
    sampler,
    n=None,
    out=None,
    *,
    seed=None,
    executor=None,
    shard_rows=None,
    block_rows=None,
    compression=0,
    dtype="float64",
    groups=None,
    weights=None,
    progress=True,
):
    """Does the work of `Kernel.sample`, which describes the arguments."""
    plan = _Plan(kernel, sampler, n, seed, shard_rows, block_rows, compression, dtype, groups, weights)
    executors.check_sendable(
        executor, (kernel, sampler.part(0, min(1, plan.n))), f"kernel {kernel.name!r} and its sampler"
    )
    if out is None:
        return _sample_in_memory(plan, executor, progress)
    return _sample_to_folder(plan, Path(out), executor, progress)


class _Plan:
    """What one call of sample makes, and how it is cut into shards."""

    def __init__(self, kernel, sampler, n, seed, shard_rows, block_rows, compression, dtype, groups, weights):
        length = sampler.length()
        if n is None:
            if length is None:
                raise ValueError("n: expected the number of samples")
            n = length
        self.n = _count(n, "n")
        if length is not None and self.n > length:
            raise ValueError(f"n: the sampler has {length} rows, asked for {self.n}")
        if dtype not in ("float64", "float32"):
            raise ValueError(f'dtype: expected "float64" or "float32", got {dtype!r}')
        if not isinstance(compression, (int, np.integer)) or not 0 <= compression <= 9:
            raise ValueError(f"compression: expected 0 to 9, got {compression!r}")
        self.kernel, self.sampler, self.seed, self.dtype, self.compression = (
            kernel,
            sampler,
            seed,
            dtype,
            int(compression),
        )
        row_bytes = 8 * (kernel.n_in + kernel.n_out)
        self.shard_rows = _count(
            shard_rows if shard_rows is not None else max(1, _SHARD_BYTES // row_bytes), "shard_rows"
        )
        self.block_rows = _count(
            block_rows if block_rows is not None else max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // row_bytes)),
            "block_rows",
        )
        self.groups = _per_row(groups, self.n, np.int64, "groups")
        self.weights = check_weights(_per_row(weights, self.n, np.float64, "weights"))
        self.n_shards = -(-self.n // self.shard_rows)

    def common(self):
        """Provenance that all shards share. No times or places: equal calls give equal bytes."""
        return {
            "simgraft": _core.__version__,
            "kernel": self.kernel.describe(),
            "kernel_source_sha256": self.kernel.fingerprint(),
            "sampler": self.sampler.describe(),
            "seed": self.seed,
            "n": self.n,
            "shard_rows": self.shard_rows,
            "block_rows": self.block_rows,
            "groups_sha256": None if self.groups is None else _core.sha256(self.groups),
            "weights_sha256": None if self.weights is None else _core.sha256(self.weights),
        }

    def task(self, index):
        start, stop = index * self.shard_rows, min((index + 1) * self.shard_rows, self.n)
        return {
            "kernel": self.kernel,
            "sampler": self.sampler.part(start, stop),
            "start": start,
            "stop": stop,
            "n": self.n,
            "seed": self.seed,
            "block_rows": self.block_rows,
            "dtype": self.dtype,
        }


def _count(value, name):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
    return int(value)


def _per_row(values, n, dtype, name):
    if values is None:
        return None
    if not isinstance(values, np.ndarray) or values.dtype != dtype:
        got = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise TypeError(
            f"{name}: expected {np.dtype(dtype)} array of shape (n={n},), got {got}; "
            f"convert with np.asarray(..., dtype=np.{np.dtype(dtype)})"
        )
    if values.shape != (n,):
        raise ValueError(f"{name}: expected shape (n={n},), got {values.shape}")
    return np.ascontiguousarray(values)


def check_weights(weights):
    """The weights, all finite and >= 0."""
    if weights is not None and not (np.isfinite(weights) & (weights >= 0)).all():
        bad = int(np.argmin(np.isfinite(weights) & (weights >= 0)))
        raise ValueError(f"weights[{bad}] = {weights[bad]}: expected finite numbers >= 0")
    return weights


def _blocks(task):
    """(x, y) block by block for the rows of a task."""
    kernel = task["kernel"]
    for start in range(task["start"], task["stop"], task["block_rows"]):
        stop = min(start + task["block_rows"], task["stop"])
        try:
            x = np.ascontiguousarray(task["sampler"].draw(kernel, start, stop, task["n"], task["seed"]))
            y = kernel.evaluate(x, first_row=start)
        except Exception as error:
            error.add_note(f"while sampling rows {start} to {stop - 1} of kernel {kernel.name!r}")
            raise
        yield x.astype(task["dtype"], copy=False), y.astype(task["dtype"], copy=False)


def _make_arrays(task):
    parts = list(_blocks(task))
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def _make_shard(task):
    """Writes one shard; returns its number of rows. An exception, Ctrl-C included, leaves no file."""
    kernel, group, weight = task["kernel"], task["group"], task["weight"]
    writer = _core.ShardWriter(
        task["path"],
        task["provenance"],
        kernel.n_in,
        kernel.n_out,
        task["dtype"],
        group=group is not None,
        weight=weight is not None,
        chunk_rows=task["chunk_rows"],
        deflate=task["compression"],
    )
    done = 0
    try:
        for x, y in _blocks(task):
            rows = slice(done, done + len(x))
            writer.append(x, y, None if group is None else group[rows], None if weight is None else weight[rows])
            done += len(x)
        writer.commit()
    finally:
        writer.abandon()
    return done


def _sample_in_memory(plan, executor, progress):
    kernel = plan.kernel
    x, y = np.empty((plan.n, kernel.n_in), plan.dtype), np.empty((plan.n, kernel.n_out), plan.dtype)
    tasks = [plan.task(i) for i in range(plan.n_shards)]
    sizes = [task["stop"] - task["start"] for task in tasks]
    for i, (part_x, part_y) in executors.run(
        _make_arrays, tasks, executor, sizes=sizes, unit="rows", progress=progress, label=kernel.name
    ):
        rows = slice(tasks[i]["start"], tasks[i]["stop"])
        x[rows], y[rows] = part_x, part_y
    return Dataset(kernel, _Memory(x, y, plan.groups, plan.weights, plan.common()))


def _json(value):
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)


def _chunk_rows(kernel, shard_rows):
    return max(1, min(shard_rows, _CHUNK_BYTES // (8 * max(kernel.n_in, kernel.n_out))))


def _shard_path(folder, index, count):
    return folder / f"shard-{index:05d}-of-{count:05d}.h5"


def _sample_to_folder(plan, folder, executor, progress):
    folder.mkdir(parents=True, exist_ok=True)
    common = plan.common()
    _check_folder(folder, plan.n_shards)
    tasks, kept = [], 0
    for i in range(plan.n_shards):
        task = plan.task(i)
        rows = slice(task["start"], task["stop"])
        provenance = common | {
            "shard": {"index": i, "count": plan.n_shards, "first": rows.start, "rows": rows.stop - rows.start}
        }
        task |= {
            "path": str(_shard_path(folder, i, plan.n_shards)),
            "provenance": _json(provenance),
            "chunk_rows": _chunk_rows(plan.kernel, plan.shard_rows),
            "compression": plan.compression,
            "group": None if plan.groups is None else plan.groups[rows],
            "weight": None if plan.weights is None else plan.weights[rows],
        }
        if _is_done(task):
            kept += rows.stop - rows.start
        else:
            tasks.append(task)
    if kept:
        _log.info("%s: %d of %d rows are there already", folder, kept, plan.n)
    sizes = [task["stop"] - task["start"] for task in tasks]
    for _ in executors.run(
        _make_shard, tasks, executor, sizes=sizes, done=kept, unit="rows", progress=progress, label=plan.kernel.name
    ):
        pass
    # Every shard was verified or written a moment ago.
    return Dataset.open(folder, verify=False, kernel=plan.kernel)


def _check_folder(folder, n_shards):
    """FileExistsError if the folder holds shards of another data set; leftovers of killed processes are removed."""
    for path in sorted(folder.iterdir()):
        match = _SHARD_NAME.fullmatch(path.name)
        if match and int(match[2]) != n_shards:
            raise FileExistsError(
                f"out: {folder} holds another data set ({path.name}); remove it or use another folder"
            )
        if re.fullmatch(r"\.shard-\d+-of-\d+\.h5\.\d+-\d+\.tmp", path.name) and _is_abandoned(path):
            path.unlink(missing_ok=True)


def _is_abandoned(path):
    """Whether nobody writes a temporary file: its writer held a lock on it, and touched it lately."""
    import fcntl
    import time

    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return time.time() - path.stat().st_mtime > 60
    except OSError:
        return False


def _is_done(task):
    """Whether the shard of a task exists, undamaged, from the very same call."""
    path = task["path"]
    if not Path(path).exists():
        return False
    try:
        info = _core.Shards([path]).info()[0]
    except _core.FileFormatError as error:
        _log.warning("%s; it is made again", error)
        return False
    same = (
        info["provenance"] == task["provenance"]
        and info["n_rows"] == task["stop"] - task["start"]
        and info["dtype"] == task["dtype"]
        and info["chunk_rows"] == task["chunk_rows"]
        and info["deflate"] == task["compression"]
    )
    if not same:
        raise FileExistsError(
            f"out: {path} was made by another call (kernel, sampler, seed or options differ); "
            "remove it or use another folder"
        )
    return True


# ------------------------------------------------------------------------------------------------------ sources


class _Memory:
    """Rows in arrays."""

    path = None

    def __init__(self, x, y, group, weight, provenance):
        self.x, self.y, self.group, self.weight, self.provenance = x, y, group, weight, provenance
        self.n = len(x)
        self.dtype = x.dtype
        self.starts = np.array([0, self.n])
        self.chunk_rows = 1

    def read(self, intervals, columns):
        """The wanted columns ("x", "y", "group", "weight"; None where there are none) of intervals (k, 2) of rows."""
        if len(intervals) == 1:
            return [
                None if (a := getattr(self, c)) is None else a[intervals[0, 0] : intervals[0, 1]] for c in columns
            ]
        rows = _rows_of(intervals)
        return [None if (a := getattr(self, c)) is None else a[rows] for c in columns]


class _Shards:
    """Rows in shards of one folder."""

    def __init__(self, folder, shards, info, provenance):
        self.path, self.shards, self.info, self.provenance = folder, shards, info, provenance
        self.starts = np.concatenate([[0], np.cumsum([i["n_rows"] for i in info])]).astype(np.int64)
        self.n = int(self.starts[-1])
        self.dtype = np.dtype(info[0]["dtype"])
        self.chunk_rows = info[0]["chunk_rows"]
        self.has = {"x": True, "y": True, "group": info[0]["group"], "weight": info[0]["weight"]}
        self.shape = {"x": (info[0]["n_in"],), "y": (info[0]["n_out"],), "group": (), "weight": ()}
        self.types = {"x": self.dtype, "y": self.dtype, "group": np.dtype(np.int64), "weight": np.dtype(np.float64)}

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "shards"}

    def __setstate__(self, state):
        """Opens the files again, in another process or machine that sees them."""
        self.__dict__.update(state)
        self.shards = _core.Shards([str(_shard_path(self.path, i, len(self.info))) for i in range(len(self.info))], False)
        if self.shards.info() != self.info:
            raise _core.DatasetChangedError(f"{self.path}: the shards have changed since the data set was opened")

    def buffers(self, n, columns):
        return {c: np.empty((n, *self.shape[c]), self.types[c]) for c in columns if self.has[c]}

    def segments(self, intervals):
        """(shard, first, n) for intervals that do not cross a shard boundary."""
        shard = np.searchsorted(self.starts, intervals[:, 0], "right") - 1
        return np.stack(
            [shard, intervals[:, 0] - self.starts[shard], intervals[:, 1] - intervals[:, 0]], axis=1
        ).astype(np.int64)

    def read(self, intervals, columns):
        rows = self.buffers(int((intervals[:, 1] - intervals[:, 0]).sum()), columns)
        self.shards.read(
            self.segments(_cut(intervals, self.starts[1:-1])),
            tuple(rows.get(c) for c in ("x", "y", "group", "weight")),
        )
        return [rows.get(c) for c in columns]


def _rows_of(intervals):
    """Row numbers of intervals (k, 2)."""
    sizes = intervals[:, 1] - intervals[:, 0]
    return np.repeat(intervals[:, 0] - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())


def _intervals_of(rows):
    """Intervals (k, 2) of ascending row numbers."""
    if len(rows) == 0:
        return np.empty((0, 2), np.int64)
    gaps = np.flatnonzero(np.diff(rows) != 1)
    return np.stack(
        [rows[np.concatenate([[0], gaps + 1])], rows[np.concatenate([gaps, [len(rows) - 1]])] + 1], axis=1
    )


def _cut(intervals, boundaries):
    """Intervals (k, 2), not empty, cut at ascending boundaries."""
    low = np.searchsorted(boundaries, intervals[:, 0], "right")
    pieces = np.searchsorted(boundaries, intervals[:, 1], "left") - low + 1
    which = np.repeat(np.arange(len(intervals)), pieces)
    number = np.arange(len(which)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    out = intervals[which]
    first, last = number > 0, number < pieces[which] - 1
    out[first, 0] = boundaries[(low[which] + number - 1)[first]]
    out[last, 1] = boundaries[(low[which] + number)[last]]
    return out


def _slice(intervals, start, stop):
    """Intervals of the rows number start .. stop - 1 within intervals."""
    ends = np.cumsum(intervals[:, 1] - intervals[:, 0])
    a, b = np.searchsorted(ends, start, "right"), np.searchsorted(ends, stop, "left")
    out = intervals[a : b + 1].copy()
    if start >= stop or len(out) == 0:
        return np.empty((0, 2), np.int64)
    before = ends[a] - (intervals[a, 1] - intervals[a, 0])
    out[0, 0] += start - before
    out[-1, 1] -= max(0, ends[b] - stop) if b < len(ends) else 0
    return out


# ------------------------------------------------------------------------------------------------------ dataset


class Dataset:
    """Samples of one kernel: made by ``kernel.sample``, `Dataset.open` or `Dataset.from_arrays`.

    Attributes
    ----------
    kernel : Kernel
        The kernel; without a function where the data set was opened from files.
    provenance : dict
        How the data came about.
    path : pathlib.Path or None
        Folder of the shards; None in memory.
    """

    def __init__(self, kernel, source, intervals=None):
        self.kernel = kernel
        self._source = source
        self._intervals = np.array([[0, source.n]], np.int64)[: source.n > 0] if intervals is None else intervals
        self._n = int((self._intervals[:, 1] - self._intervals[:, 0]).sum())

    @classmethod
    def open(cls, path, *, verify=True, kernel=None):
        """Open the shards in a folder.

        Parameters
        ----------
        path : path-like
            The folder.
        verify : bool
            Compare all checksums first, which reads every file once. Without it damage may go unnoticed.
        kernel : Kernel, optional
            The kernel the data come from, to have its function; it must agree with the description in the files.

        Raises
        ------
        FileNotFoundError
            If there are no shards, or some are missing.
        FileFormatError, ChecksumError, FileVersionError
            If a file is not a shard of this data set, or damaged.
        """
        folder = Path(path)
        names = sorted((int(m[1]), int(m[2])) for p in folder.iterdir() if (m := _SHARD_NAME.fullmatch(p.name)))
        if not names:
            raise FileNotFoundError(f"{folder}: no data set here (no files shard-*-of-*.h5)")
        count = names[0][1]
        if any(c != count for _, c in names):
            raise _core.FileFormatError(f"{folder}: holds shards of more than one data set")
        missing = sorted(set(range(count)) - {i for i, _ in names})
        if missing:
            raise FileNotFoundError(
                f"{folder}: {len(missing)} of {count} shards are missing, "
                f"the first is {_shard_path(folder, missing[0], count).name}; "
                "repeat the call of kernel.sample to make them"
            )
        paths = [str(_shard_path(folder, i, count)) for i in range(count)]
        shards = _core.Shards(paths, verify)
        info = shards.info()
        provenance = [_parse(p, i) for p, i in zip(paths, info)]
        first = 0
        for path_i, p, i in zip(paths, provenance, info):
            place = p.pop("shard", None)
            if p != provenance[0] or place != {
                "index": paths.index(path_i),
                "count": count,
                "first": first,
                "rows": i["n_rows"],
            }:
                raise _core.FileFormatError(
                    f"'{path_i}': the shard belongs to another data set, or elsewhere in this one"
                )
            first += i["n_rows"]
        described = Kernel.from_description(provenance[0]["kernel"])
        if (described.n_in, described.n_out) != (info[0]["n_in"], info[0]["n_out"]):
            raise _core.FileFormatError(
                f"{folder}: the columns do not fit the variables of kernel {described.name!r}"
            )
        if kernel is not None and kernel.describe() != described.describe():
            raise ValueError(
                f"kernel: the data come from another kernel ({described!r}, version {described.version!r})"
            )
        return cls(kernel or described, _Shards(folder, shards, info, provenance[0]))

    @classmethod
    def from_arrays(
        cls,
        kernel,
        inputs,
        outputs,
        group=None,
        weight=None,
        out=None,
        *,
        compression=0,
        dtype="float64",
        provenance=None,
    ):
        """A data set of samples that exist already.

        Parameters
        ----------
        kernel : Kernel
            Describes the variables; its function is not called.
        inputs, outputs : dict of arrays (n, \\*shape), or packed float64 matrices
            The samples. Inputs must lie in the valid ranges, outputs be finite.
        group : (n,) int64 array, optional
            Samples of one group belong together.
        weight : (n,) float64 array, optional
            Weights, >= 0.
        out : path-like, optional
            Folder for shards; without it the data set stays in memory.
        compression, dtype
            As for `sample`.
        provenance : dict, optional
            Where the samples come from (JSON values).
        """
        x = (
            kernel.pack_inputs(inputs)
            if isinstance(inputs, dict)
            else _variables.as_matrix(inputs, kernel.n_in, "inputs")
        )
        y = (
            kernel.pack_outputs(outputs)
            if isinstance(outputs, dict)
            else _variables.as_matrix(outputs, kernel.n_out, "outputs")
        )
        if len(x) != len(y):
            raise ValueError(f"inputs, outputs: expected the same number of samples, got {len(x)} and {len(y)}")
        _variables.check_range(x, kernel.inputs)
        _variables.check_finite(y, kernel.outputs, kernel.name)
        given = _Given(kernel, x, y)
        plan = _Plan(given, given, len(x), None, None, None, compression, dtype, group, weight)
        plan.common = lambda: {
            "simgraft": _core.__version__,
            "kernel": kernel.describe(),
            "from_arrays": {"inputs_sha256": _core.sha256(x), "outputs_sha256": _core.sha256(y)},
            "source": provenance,
            "groups_sha256": None if plan.groups is None else _core.sha256(plan.groups),
            "weights_sha256": None if plan.weights is None else _core.sha256(plan.weights),
        }
        if out is None:
            return cls(
                kernel,
                _Memory(
                    x.astype(dtype, copy=False), y.astype(dtype, copy=False), plan.groups, plan.weights, plan.common()
                ),
            )
        dataset = _sample_to_folder(plan, Path(out), None, False)
        dataset.kernel = kernel
        return dataset

    # ------------------------------------------------------------------------------------------------------- contents

    def __len__(self):
        return self._n

    @property
    def path(self):
        return self._source.path

    @property
    def provenance(self):
        return self._source.provenance

    @property
    def dtype(self):
        """Of the stored inputs and outputs."""
        return self._source.dtype

    @property
    def X(self):
        """Packed inputs (n, n_in), all of them in memory."""
        return self._source.read(self._intervals, ["x"])[0]

    @property
    def Y(self):
        """Packed outputs (n, n_out), all of them in memory."""
        return self._source.read(self._intervals, ["y"])[0]

    @property
    def group(self):
        """Group numbers (n,) int64; None without groups."""
        return self._source.read(self._intervals, ["group"])[0] if self._has("group") else None

    @property
    def weight(self):
        """Weights (n,) float64; None without weights."""
        return self._source.read(self._intervals, ["weight"])[0] if self._has("weight") else None

    @property
    def inputs(self):
        """Inputs by name, arrays (n, \\*shape), all of them in memory."""
        return self.kernel.unpack_inputs(self.X)

    @property
    def outputs(self):
        """Outputs by name, arrays (n, \\*shape), all of them in memory."""
        return self.kernel.unpack_outputs(self.Y)

    def _has(self, column):
        return (
            self._source.has[column]
            if isinstance(self._source, _Shards)
            else getattr(self._source, column) is not None
        )

    def read(self, start, stop):
        """Rows start .. stop - 1: (x, y, weight), weight None without weights."""
        start, stop, _ = slice(start, stop).indices(self._n)
        return tuple(self._source.read(_slice(self._intervals, start, stop), ["x", "y", "weight"]))

    def blocks(self, rows=65536):
        """All rows in order, block by block: yields (x, y, weight) of at most ``rows`` rows."""
        return Reader(self, _count(rows, "rows"), None).blocks()

    def reader(self, batch_size, memory="256MB"):
        """Batches for training.

        Parameters
        ----------
        batch_size : int
            Rows of one batch.
        memory : int or str
            Bytes the reader may use ("256MB", "2GB", 10**9). A data set that fits is held in memory and shuffled as a
            whole; a larger one is streamed: blocks of rows in random order, shuffled within windows of nearly half
            the memory while the next window is read in the background.

        Returns
        -------
        Reader
        """
        return Reader(self, _count(batch_size, "batch_size"), memory)

    def split(self, *, by="group", fractions=(0.8, 0.2), seed=0):
        """Disjoint random parts, views of the same files.

        Parameters
        ----------
        by : {"group", "row"}
            "group" keeps the samples of a group together; without groups every sample is its own. "row" is for data
            without groups only.
        fractions : sequence of float
            Share of each part in groups, > 0, at most 1 together.
        seed : int
            The same seed gives the same parts.

        Returns
        -------
        list of Dataset

        Raises
        ------
        ValueError
            If by="row" and there are groups: rows of one group would get into more than one part, and a test set must
            not hold near copies of training samples. Also if a part would be empty.
        """
        if by not in ("group", "row"):
            raise ValueError(f'by: expected "group" or "row", got {by!r}')
        group = self.group
        if by == "row" and group is not None:
            raise ValueError(
                "by: the data set has groups, and rows of one group in training and test data would make the test "
                'worthless; use by="group"'
            )
        fractions = [float(f) for f in fractions]
        if not fractions or any(not 0 < f <= 1 for f in fractions) or sum(fractions) > 1 + 1e-9:
            raise ValueError(f"fractions: expected numbers > 0 with a sum of at most 1, got {fractions}")
        # Part of each unit (a group, or a row) by its place in a random order.
        if group is None:
            members, unit = None, self._n
        else:
            numbers, members = np.unique(group, return_inverse=True)
            unit = len(numbers)
        ends = np.rint(np.cumsum(fractions) * unit).astype(np.int64)
        if (np.diff(ends, prepend=0) < 1).any():
            raise ValueError(
                f"fractions: {unit} {'rows' if group is None else 'groups'} are too few for parts of {fractions}"
            )
        place = np.empty(unit, np.int64)
        place[_core.shuffle(seed, _SPLIT, unit)] = np.arange(unit)
        part = np.searchsorted(ends, place, "right")
        if members is not None:
            part = part[members]
        rows = _rows_of(self._intervals)
        return [Dataset(self.kernel, self._source, _intervals_of(rows[part == i])) for i in range(len(fractions))]

    def __repr__(self):
        where = "in memory" if self.path is None else str(self.path)
        return f"Dataset({self._n} rows of {self.kernel!r}, {where})"

    def _repr_html_(self):
        from html import escape

        size = self._n * self.dtype.itemsize * (self.kernel.n_in + self.kernel.n_out)
        facts = {
            "rows": f"{self._n:,}" + ("" if self._n == self._source.n else f" of {self._source.n:,}"),
            "size": f"{size / 1e6:,.1f} MB as {self.dtype}",
            "groups": "yes" if self._has("group") else "no",
            "weights": "yes" if self._has("weight") else "no",
            "where": "in memory" if self.path is None else str(self.path),
        }
        rows = "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in facts.items())
        return f"<table><caption>Data set</caption>{rows}</table>{self.kernel._repr_html_()}"


def _parse(path, info):
    try:
        provenance = json.loads(info["provenance"])
        Kernel.from_description(provenance["kernel"])
        return provenance
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _core.FileFormatError(f"'{path}': the provenance is not of the format ({error})") from None


class _Given(Kernel):
    """Samples that exist already, as kernel and sampler in one: the code that writes new samples writes them."""

    def __init__(self, kernel, x, y):
        self.__dict__.update(kernel.__dict__)
        self._x, self._y = x, y

    def length(self):
        return len(self._x)

    def part(self, start, stop):
        return self

    def draw(self, kernel, start, stop, n, seed):
        return self._x[start:stop]

    def evaluate(self, x, *, first_row=0):
        return self._y[first_row : first_row + len(x)]


# ------------------------------------------------------------------------------------------------------- reader


_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "TIB": 1 << 40,
}


def parse_bytes(size, name="memory"):
    """Bytes of a size such as 1000, "256MB" or "2 GiB"."""
    if isinstance(size, (int, float, np.integer)) and not isinstance(size, bool) and size > 0:
        return int(size)
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([A-Za-z]*)\s*", size) if isinstance(size, str) else None
    if not match or match[2].upper() not in _UNITS or float(match[1]) <= 0:
        raise ValueError(f'{name}: expected a size such as 10**9, "256MB" or "2GB", got {size!r}')
    return int(float(match[1]) * _UNITS[match[2].upper()])


_open_streams = set()


@atexit.register
def _close_streams():
    """HDF5 must not be shut down under a thread that reads."""
    for stream in list(_open_streams):
        stream.close()


class Reader:
    """Batches of a data set; made by `Dataset.reader`.

    Attributes
    ----------
    batch_size : int
        Rows of one batch.
    window_rows : int
        Rows that are shuffled together; the length of the data set where it fits into memory.
    """

    def __init__(self, dataset, batch_size, memory):
        self.dataset = dataset
        self.batch_size = batch_size
        source, n = dataset._source, len(dataset)
        row = source.dtype.itemsize * (dataset.kernel.n_in + dataset.kernel.n_out) + 8 * dataset._has("weight")
        self._streams = isinstance(source, _Shards)
        if not self._streams:
            self.window_rows = n
            return
        if memory is None:  # a plain pass: two windows of one block
            self.window_rows = batch_size
            return
        memory = parse_bytes(memory)
        # Beside the rows: an open file caches two chunks of each array, and reading needs one more.
        chunks = (2 * min(_OPEN_FILES, len(source.info)) + 1) * source.chunk_rows * row
        room = memory - chunks - 2 * batch_size * row
        self._keep = n * (row + 8) <= room  # 8: the order of the rows
        self._kept = None
        self.window_rows = n if self._keep else room // (2 * row + 8)
        if not self._keep and self.window_rows < batch_size:
            least = chunks + 2 * batch_size * row + batch_size * (2 * row + 8)
            raise ValueError(
                f"memory: {memory} bytes are too few for batches of {batch_size} rows of {row} bytes; "
                f"at least {least} are needed"
            )

    def __len__(self):
        """Number of batches of an epoch."""
        return -(-len(self.dataset) // self.batch_size)

    def epoch(self, seed):
        """All rows once in random order: yields (x, y, weight) of ``batch_size`` rows, the last of what is left.

        Parameters
        ----------
        seed : int
            The order depends on nothing else but the shape of the files, ``batch_size`` and ``memory``.
        """
        return self._whole_epoch(seed) if not self._streams or self._keep else self._streamed_epoch(seed)

    def blocks(self):
        """All rows in order: yields (x, y, weight) of ``batch_size`` rows, the last of what is left."""
        if not self._streams:
            for start in range(0, len(self.dataset), self.batch_size):
                yield self.dataset.read(start, start + self.batch_size)
            return
        pieces = _cut(self.dataset._intervals, self.dataset._source.starts[1:-1])
        yield from _batches(self._windows(pieces, self.batch_size), self.batch_size)

    def _whole_epoch(self, seed):
        dataset = self.dataset
        order = _core.shuffle(seed, _SHUFFLE, len(dataset))
        if not self._streams:
            source = dataset._source
            x, y, weight = source.x, source.y, source.weight
            order = _rows_of(dataset._intervals)[order]
        else:
            if self._kept is None:
                self._kept = dataset.read(0, len(dataset))
            x, y, weight = self._kept
        for start in range(0, len(dataset), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield x[rows], y[rows], None if weight is None else weight[rows]

    def _streamed_epoch(self, seed):
        source = self.dataset._source
        # Sixteen blocks or more meet in a window; a block is a number of chunks if they are small enough.
        block = max(1, self.window_rows // 16)
        if block > source.chunk_rows:
            block -= block % source.chunk_rows
        boundaries = np.unique(
            np.concatenate([np.arange(a, b, block) for a, b in zip(source.starts[:-1], source.starts[1:])])
        )
        pieces = _cut(self.dataset._intervals, boundaries[1:])
        number = np.searchsorted(boundaries, pieces[:, 0], "right") - 1
        place = np.empty(len(boundaries), np.int64)
        place[_core.shuffle(seed, _SHUFFLE, len(boundaries))] = np.arange(len(boundaries))
        pieces = pieces[np.argsort(place[number], kind="stable")]
        windows = self._windows(pieces, self.window_rows)
        yield from _batches(_shuffled(windows, seed), self.batch_size)

    def _windows(self, pieces, rows):
        """Windows (x, y, weight) of at most ``rows`` rows from pieces (k, 2), read ahead in the background. The arrays
        are overwritten when the next window is asked for."""
        source = self.dataset._source
        sizes = pieces[:, 1] - pieces[:, 0]
        if (sizes > rows).any() or sizes.sum() > rows:
            # Cut where windows end, so that every window but the last is full.
            ends = np.cumsum(sizes)
            whole = np.stack([ends - sizes, ends], axis=1)
            cut = _cut(whole, np.arange(rows, int(ends[-1]), rows))
            which = np.searchsorted(ends, cut[:, 0], "right")
            pieces = cut - whole[which, :1] + pieces[which, :1]
            window = cut[:, 0] // rows
        else:
            window = np.zeros(len(pieces), np.int64)
        order = np.lexsort([pieces[:, 0], window])  # files are read forwards
        pieces, window = pieces[order], window[order]
        ends = np.searchsorted(window, np.arange(1, window[-1] + 2 if len(window) else 1)).astype(np.int64)
        columns = ["x", "y", "weight"]
        largest = min(rows, int(sizes.sum()))
        slots = [source.buffers(largest, columns) for _ in range(2)]
        tuples = [tuple(slot.get(c) for c in ("x", "y", "group", "weight")) for slot in slots]
        stream = _core.Stream(source.shards, ends, source.segments(pieces), tuples)
        _open_streams.add(stream)
        try:
            while True:
                slot, n = stream.next()
                if n == 0:
                    return
                yield tuple(None if slots[slot].get(c) is None else slots[slot][c][:n] for c in columns)
        finally:
            _open_streams.discard(stream)
            stream.close()


def _shuffled(windows, seed):
    """(arrays, order of their rows) for each window."""
    for i, arrays in enumerate(windows):
        yield arrays, _core.shuffle(seed, _SHUFFLE + 1 + i, len(arrays[0]))


def _batches(windows, batch_size):
    """Cuts windows into batches of their own memory; what is left of a window goes with the beginning of the next."""
    rest = None
    for item in windows:
        arrays, order = item if isinstance(item[0], tuple) else (item, None)
        n, start = len(arrays[0]), 0

        def take(a, b):
            return tuple(None if v is None else (v[a:b].copy() if order is None else v[order[a:b]]) for v in arrays)

        if rest is not None:
            start = min(n, batch_size - len(rest[0]))
            rest = tuple(None if v is None else np.concatenate([v, w]) for v, w in zip(rest, take(0, start)))
            if len(rest[0]) < batch_size:
                continue
            yield rest
            rest = None
        while n - start >= batch_size:
            yield take(start, start + batch_size)
            start += batch_size
        if start < n:
            rest = take(start, n)
    if rest is not None:
        yield rest
