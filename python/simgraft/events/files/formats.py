"""All formats, by the ending of the name of a file."""

from pathlib import Path

from simgraft.events.files._common import BLOCK, gather, iterate_parts
from simgraft.events.files.cms import cms_parts
from simgraft.events.files.hepmc import hepmc_parts, write_hepmc
from simgraft.events.files.lhe import lhe_parts, write_lhe
from simgraft.events.files.lheh5 import lheh5_parts, write_lheh5
from simgraft.events.files.root import root_parts, write_root

__all__ = ["iterate", "read", "write"]

_READERS = {
    "lhe": lhe_parts,
    "lheh5": lheh5_parts,
    "hepmc": hepmc_parts,
    "root": root_parts,
    "csv": cms_parts,
}
_SUFFIXES = {
    ".lhe": "lhe",
    ".h5": "lheh5",
    ".hdf5": "lheh5",
    ".lheh5": "lheh5",
    ".hepmc": "hepmc",
    ".hepmc3": "hepmc",
    ".root": "root",
    ".csv": "csv",
}


def _format(path):
    suffixes = [s for s in Path(path).suffixes if s not in (".gz", ".gzip")]
    kind = _SUFFIXES.get(suffixes[-1].lower() if suffixes else "")
    if kind is None:
        raise ValueError(f"{path}: expected a name with one of {', '.join(_SUFFIXES)}, or .gz after it")
    return kind


def read(path, layout, **options):
    """Events of a file, by the ending of its name.

    Parameters
    ----------
    path : path-like
        .lhe, .lhe.gz: :func:`read_lhe`; .h5, .hdf5, .lheh5: :func:`read_lheh5`; .hepmc, .hepmc3, also with .gz:
        :func:`read_hepmc`; .root: :func:`read_root`; .csv: :func:`read_cms_dimuon_csv`.
    layout : Layout
    **options
        Of that function.

    Returns
    -------
    Events
        Units as of the layout [GeV, rad].

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import TWO_BODY, Events, files
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> files.write("decay.lhe.gz", pair)
    >>> files.read("decay.lhe.gz", TWO_BODY)
    <Events two-body decay: 1 of 10 columns>
    """
    others, dtype = options.pop("others", "raise"), options.pop("dtype", "float64")
    return gather(_READERS[_format(path)], path, layout, others, dtype, **options)


def iterate(path, layout, *, block=BLOCK, **options):
    """Events of a file block by block, for files larger than memory.

    Parameters
    ----------
    path : path-like
        As of :func:`read`.
    layout : Layout
    block : int
        Events that are read at a time.
    **options
        Of the reader of the format.

    Yields
    ------
    Events
        Of at most `block` events each [GeV, rad]; ``provenance["first"]`` is the number in the file of the first
        one that was read for it. Events before a fault are handed over before the error is raised.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import TWO_BODY, Events, files
    >>> pairs = Events(TWO_BODY, np.repeat([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]], 5, axis=0).T.copy())
    >>> files.write("decays.lhe", pairs)
    >>> [len(events) for events in files.iterate("decays.lhe", TWO_BODY, block=2)]
    [2, 2, 1]
    """
    others, dtype = options.pop("others", "raise"), options.pop("dtype", "float64")
    return iterate_parts(_READERS[_format(path)], path, layout, block, others, dtype, **options)


_WRITERS = {"lhe": write_lhe, "lheh5": write_lheh5, "hepmc": write_hepmc, "root": write_root}


def write(path, events, **options):
    """Write events to a file, by the ending of its name.

    Parameters
    ----------
    path : path-like
        .lhe, .lhe.gz: :func:`write_lhe`; .h5, .hdf5, .lheh5: :func:`write_lheh5`; .hepmc, .hepmc3, also with .gz:
        :func:`write_hepmc`; .root: :func:`write_root`.
    events : Events, or iterable of Events
        Units as of the layout [GeV, rad].
    **options
        Of that function.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import TWO_BODY, Events, files
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> files.write("decay.hepmc.gz", pair)
    """
    kind = _format(path)
    if kind not in _WRITERS:
        raise ValueError(
            f"{path}: tables of CMS are only read; expected one of {', '.join(s for s in _SUFFIXES if s != '.csv')}"
        )
    _WRITERS[kind](path, events, **options)
