"""Les Houches events in HDF5."""

import numpy as np

import simgraft
from simgraft.events.files._common import EventFileError, Record, broken, first_line, gather, particle_options
from simgraft.events.files._writing import Writing, replacing
from simgraft.events.sample import need

__all__ = ["read_lheh5", "write_lheh5"]

_H5_EVENT = ("pid", "nparticles", "start", "trials", "scale", "fscale", "rscale", "aqed", "aqcd", "NOMINAL")
_H5_PARTICLE = (
    "id",
    "status",
    "mother1",
    "mother2",
    "color1",
    "color2",
    "px",
    "py",
    "pz",
    "e",
    "m",
    "lifetime",
    "spin",
)
_H5_INIT = ("beamA", "beamB", "energyA", "energyB", "PDFgroupA", "PDFgroupB", "PDFsetA", "PDFsetB") + (
    ("weightingStrategy", "numProcesses")
)
_H5_PROCESS = ("procId", "npLO", "npNLO", "xSection", "error", "unitWeight")
_H5_VERSION = (2, 0, 0)


def _h5_table(path, file, name, columns, dimensions):
    """A dataset, checked, and the names of its columns."""
    data = file.get(name)
    if data is None or not hasattr(data, "shape"):
        raise broken(path, None, f"no dataset {name!r}; there are {', '.join(file) or 'none'}")
    names = [n.decode() if isinstance(n, bytes) else str(n) for n in data.attrs.get("properties", columns)]
    if data.dtype.kind not in "fiu":
        raise broken(path, None, f"dataset {name!r}: expected numbers, got {data.dtype}")
    if len(data.shape) != dimensions or data.shape[-1] < len(columns):
        wish = f"({'n, ' if dimensions == 2 else ''}{len(columns)})"
        raise broken(path, None, f"dataset {name!r}: expected shape {wish}, got {data.shape}")
    missing = [n for n in columns if n not in names]
    if missing or len(names) != data.shape[-1]:
        raise broken(path, None, f"dataset {name!r}: its properties {names} are not {list(columns)}")
    return data, names


def lheh5_parts(path, layout, block, source, *, weight=None, daughters=None, leptons=(11, 13, 15)):
    h5py = need("h5py", "LHEH5 files")
    daughters, leptons = particle_options(layout, daughters, leptons)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise broken(path, None, f"cannot be opened as HDF5 file: {first_line(error)}") from error
    with file:
        try:
            events, names, particles, particle_names = _h5_open(path, file, source)
        except EventFileError:
            raise
        except Exception as error:  # HDF5 raises many kinds
            raise broken(path, None, f"cannot be read as LHEH5 file: {first_line(error)}") from error
        if weight is not None and weight not in names:
            extra = [name for name in names if name not in _H5_EVENT[:-1]]
            raise broken(path, None, f"no weight {weight!r}; expected one of {', '.join(extra)}")
        for first in range(0, len(events), block):
            try:
                table = dict(zip(names, np.asarray(events[first : first + block], np.float64).T))
                record, problem = _h5_record(first, table, particles, particle_names, weight or "NOMINAL")
            except Exception as error:  # HDF5 raises many kinds
                last = min(first + block, len(events)) - 1
                raise broken(
                    path, first, f"this one to {last} cannot be read: {first_line(error)}"
                ) from error
            yield record.part(layout, daughters, leptons, problem)


def _h5_open(path, file, source):
    """The datasets of events and of particles and the names of their columns; what is known goes into `source`."""
    version, _ = _h5_table(path, file, "version", ("major", "minor", "patch"), 1)
    version = [int(v) for v in version[:]]
    if version[0] != 2:
        raise broken(path, None, f"LHEH5 of version {'.'.join(map(str, version))}: expected 2")
    init, init_names = _h5_table(path, file, "init", _H5_INIT, 1)
    processes, process_names = _h5_table(path, file, "procInfo", _H5_PROCESS, 2)
    about = dict(zip(init_names, init[:].tolist()))
    generator = " ".join(str(init.attrs.get(f"generator{k}", "")) for k in ("Name", "Version")).strip()
    description = str(init.attrs.get("generatorDescription", "")).strip()
    source.update(
        format=f"LHEH5 {'.'.join(map(str, version))}",
        generator=": ".join(filter(None, [generator, description])) or None,
        beams=[int(about["beamA"]), int(about["beamB"])],
        beam_energies_GeV=[about["energyA"], about["energyB"]],
        weighting=int(about["weightingStrategy"]),
        processes=[
            {"id": int(p["procId"]), "cross_section_pb": p["xSection"], "error_pb": p["error"]}
            for p in (dict(zip(process_names, row)) for row in processes[:].tolist())
        ],
    )
    return *_h5_table(path, file, "events", _H5_EVENT, 2), *_h5_table(
        path, file, "particles", _H5_PARTICLE, 2
    )


def _h5_record(first, table, particles, names, weight):
    """Rows of the dataset events with their particles, and (place, fault) of the first that has none."""
    problem = None
    start, count = table["start"], table["nparticles"]
    total = len(particles)
    with np.errstate(invalid="ignore"):
        good = (start >= 0) & (count >= 0) & (start == np.floor(start)) & (count == np.floor(count))
        good &= start + count <= total
    n = len(start)
    if not good.all():
        n = int(np.flatnonzero(~good)[0])
        problem = (
            n,
            (
                f"start = {start[n]:g} and nparticles = {count[n]:g} do not lie within the {total} rows of particles"
            ),
        )
    start, count = start[:n].astype(int), count[:n].astype(int)
    low, high = (int(start.min()), int((start + count).max())) if n else (0, 0)
    rows = np.asarray(particles[low:high], np.float64)
    offset = np.cumsum(count) - count
    where = np.arange(int(count.sum())) + np.repeat(start - low - offset, count)
    column = {name: rows[where, k] for k, name in enumerate(names)}
    record = Record(
        first,
        count,
        _codes(column["id"]),
        _codes(column["status"]),
        np.stack([column[k] for k in ("e", "px", "py", "pz")]),
        column["m"],
        table[weight][:n],
    )
    bad = np.flatnonzero(~np.isfinite(column["id"] + column["status"]))
    if bad.size:
        event = int(record.event[bad[0]])
        problem = event, f"particle {bad[0] - offset[event]}: id or status is not a number"
    return record, problem


def _codes(x):
    return np.where(np.abs(x) < 2**31, x, 0).astype(int)


def read_lheh5(
    path, layout, *, weight=None, others="raise", daughters=None, leptons=(11, 13, 15), dtype="float64"
):
    """Events of an LHEH5 file, Les Houches events in HDF5, of version 2.

    Parameters
    ----------
    path : path-like
    layout : Layout
    weight : str, optional
        Name of a column of weights; default: NOMINAL.
    others, daughters, leptons, dtype
        As of :func:`read_lhe`.

    Returns
    -------
    Events
        As of :func:`read_lhe` [GeV].

    Raises
    ------
    ImportError
        Without h5py: ``pip install 'simgraft[events]'``.
    EventFileError
        A ValueError: the file is cut off, a dataset is missing or of another shape, an event points beyond the
        particles, or has particles that cannot be.

    Notes
    -----
    Datasets ``version`` (3,), ``init`` (10,), ``procInfo`` (n, 6), ``events`` (n, 10 or more), ``particles``
    (m, 13). Hoeche, Prestel & Schulz 2019, arXiv:1905.05120; Bothmann et al. 2023, arXiv:2309.13154.

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T, weight=[0.5])
    >>> write_lheh5("decay.h5", pair)
    >>> read_lheh5("decay.h5", TWO_BODY).weight
    array([0.5])
    """
    return gather(
        lheh5_parts, path, layout, others, dtype, weight=weight, daughters=daughters, leptons=leptons
    )


def write_lheh5(path, events, *, ids=None, beams=None, energy=0.0, cross_section=None, compression="gzip"):
    """Write an LHEH5 file, Les Houches events in HDF5, of version 2.

    Parameters
    ----------
    path : path-like
    events, ids, beams, energy [GeV], cross_section [pb]
        As of :func:`write_lhe`.
    compression : {"gzip", "lzf", None}
        Filter of h5py for the particles and events.

    Raises
    ------
    ImportError
        Without h5py: ``pip install 'simgraft[events]'``.

    Notes
    -----
    All numbers are float64: what is read again has the same bits (top pairs: but for the rounding of polar to
    Cartesian coordinates and back).

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> write_lheh5("decay.h5", pair, energy=10.0)
    """
    h5py = need("h5py", "LHEH5 files")
    writing = Writing(events, ids, beams, energy, cross_section)
    with replacing(path) as part, h5py.File(part, "w") as file:

        def put(name, data, columns, **options):
            dataset = file.create_dataset(name, data=data, dtype="f8", **options)
            dataset.attrs["properties"] = list(columns)
            return dataset

        file.create_dataset("version", data=_H5_VERSION, dtype="i4")
        strategy = -4 if writing.weighted else 3
        init = put("init", [*writing.beams, *(0.5 * writing.energy,) * 2, 0, 0, 0, 0, strategy, 1], _H5_INIT)
        init.attrs["generatorName"] = "simgraft"
        init.attrs["generatorVersion"] = simgraft.__version__
        init.attrs["generatorDescription"] = writing.description
        put("procInfo", [[1, len(writing.ids), -1, *writing.cross_section, 1]], _H5_PROCESS)
        options = {"compression": compression, "shuffle": compression is not None}
        table_e, table_p = (
            put(
                name,
                np.zeros((0, len(columns))),
                columns,
                maxshape=(None, len(columns)),
                chunks=(rows, len(columns)),
                **options,
            )
            for name, columns, rows in (("events", _H5_EVENT, 2048), ("particles", _H5_PARTICLE, 8192))
        )
        n = m = 0
        for counts, table, weight, scale in writing:
            rows = np.zeros((len(counts), 10))
            rows[:, 0], rows[:, 1], rows[:, 3] = 1, counts, 1
            rows[:, 2] = m + np.cumsum(counts) - counts
            rows[:, 4:7], rows[:, 7:9], rows[:, 9] = scale[:, None], -1, weight
            particles = np.zeros((len(table), 13))
            particles[:, :2] = table[:, :2]
            particles[:, 2:4] = table[:, 2:3] * writing.mothers
            particles[:, 6:9], particles[:, 9], particles[:, 10] = table[:, 4:7], table[:, 3], table[:, 7]
            particles[:, 12] = 9  # spin not known
            for dataset, data, at in ((table_e, rows, n), (table_p, particles, m)):
                dataset.resize(at + len(data), axis=0)
                dataset[at:] = data
            n, m = n + len(rows), m + len(particles)
