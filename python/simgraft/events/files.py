"""Events from and to the files of the field: LHE, LHEH5, HepMC3, ROOT, and the csv tables of CMS open data.

Files are read by the libraries that the field uses (pylhe, h5py, pyhepmc, uproot), imported where they are
needed: ``pip install 'simgraft[events]'``. What is read is put into the columns of a layout:

=================== ===================================================================================
layout              taken from the final particles (status 1) of an event
=================== ===================================================================================
:data:`TWO_BODY`    two particles: those of the codes ``daughters``, or the only two there are
:data:`DILEPTON`    one pair e- e+ or mu- mu+; further particles (photons, partons) are passed over
:data:`TOP_PAIR`    partons: quarks and gluons as jets in order of pT (the first four), charged leptons in
                    order of pT (the first two), the neutrinos' transverse momentum as the missing one
=================== ===================================================================================

Energies and momenta are in GeV. Events are counted from 0 in the order of the file. A file that is not sound
raises :class:`EventFileError`, which names the file, the event and the field; :func:`iterate` has handed over
all events before it by then.
"""

import contextlib
import gzip
import io
import json
import math
import os
import re
import warnings
import zlib
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

import simgraft
from simgraft import _core
from simgraft.events.columns import DILEPTON, MUON_MASS, TOP_PAIR, TWO_BODY
from simgraft.events.pythia import _Objects
from simgraft.events.sample import Events, need

__all__ = [
    "EventFileError",
    "iterate",
    "read",
    "read_cms_dimuon_csv",
    "read_hepmc",
    "read_lhe",
    "read_lheh5",
    "read_root",
    "write",
    "write_hepmc",
    "write_lhe",
    "write_lheh5",
    "write_root",
]

BLOCK = 10_000  # events in memory at a time

_NEUTRINOS = (12, 14, 16)
_PARTONS = (1, 2, 3, 4, 5, 21)

# Codes of the Particle Data Group for files: objects of the layout, what goes in, beams. 81 to 100 are free for
# the use of a generator; columns of jets and leptons do not know their flavour.
_CODES = {
    TWO_BODY: ((82, 83), (81,), (81, 0)),
    DILEPTON: ((11, -11, 13, -13), (11, -11), (11, -11)),
    TOP_PAIR: ((21, 21, 21, 21, 11, 11), (21, 21), (2212, 2212)),
}


class EventFileError(_core.FileFormatError, ValueError):
    """A file of events that is damaged or holds what cannot be.

    Attributes
    ----------
    path : str
        The file.
    event : int or None
        Number of the event from 0, of which all before are sound; None where the fault is not in an event.

    Examples
    --------
    >>> from pathlib import Path
    >>> _ = Path("empty.lhe").write_text("")
    >>> try:
    ...     read_lhe("empty.lhe", DILEPTON)
    ... except EventFileError as error:
    ...     print(error.path, error.event)
    empty.lhe None
    """

    path = event = None


def _error(path, event, what):
    where = "" if event is None else f": event {event}"
    before = "" if event is None else f" ({event} events before it are sound)"
    error = EventFileError(f"{path}{where}: {what}{before}")
    error.path, error.event = str(path), event
    return error


def _place(problem):
    return problem[0]


def _first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


# ------------------------------------------------------------------------------------------- what a file yields


@dataclass
class _Part:
    """Consecutive events of a file in the columns of a layout."""

    first: int  # number of the first
    values: np.ndarray  # (n_columns, n)
    present: np.ndarray | None  # (n_objects, n)
    weight: np.ndarray | None  # (n,)
    fits: np.ndarray  # (n,) bool: the event has what the layout holds
    why: object = None  # function of the place of an event that does not fit: what it has instead
    problem: tuple[int, str] | None = None  # place of the first event that is not sound, and its fault


def _blocks(path, layout, parts, source, others, dtype):
    """The events of parts, as far as they are sound."""
    if others not in ("raise", "drop"):
        raise ValueError(f'others: expected "raise" or "drop", got {others!r}')
    if dtype not in ("float64", "float32", np.float64, np.float32):
        raise ValueError(f'dtype: expected "float64" or "float32", got {dtype!r}')
    empty = True
    for part in parts:
        problem = part.problem
        n = part.fits.size if problem is None else problem[0]
        odd = np.flatnonzero(~part.fits[:n])
        if others == "raise" and odd.size:
            n = int(odd[0])
            problem = n, f'{part.why(n)}; others="drop" leaves such events out'
        keep = np.flatnonzero(part.fits[:n])
        if n:
            weight = part.weight
            yield Events(
                layout,
                part.values[:, keep].astype(dtype, copy=False),
                weight=None if weight is None or np.all(weight[:n] == 1) else weight[keep],
                present=None if part.present is None else part.present[:, keep],
                provenance={**source, "first": part.first, "read": n, "dropped": n - keep.size},
            )
            empty = False
        if problem is not None:
            raise _error(path, part.first + problem[0], problem[1])
    if empty:
        yield Events(
            layout,
            np.zeros((len(layout), 0), dtype),
            provenance={**source, "first": 0, "read": 0, "dropped": 0},
        )


def _existing(path):
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return path


@dataclass
class _Record:
    """Particles of consecutive events of a file as flat arrays, event after event."""

    first: int
    count: np.ndarray  # (n,) particles of each event
    id: np.ndarray  # (m,)
    status: np.ndarray  # (m,)
    p: np.ndarray  # (4, m): E, px, py, pz [GeV]
    mass: np.ndarray  # (m,) [GeV]
    weight: np.ndarray  # (n,)

    def __post_init__(self):
        self.n = len(self.count)
        self.event = np.repeat(np.arange(self.n), self.count)

    def final(self, event):
        """Codes of the final particles of an event as text."""
        codes = self.id[(self.event == event) & (self.status == 1)]
        shown = " ".join(str(code) for code in codes[:12]) + (" ..." if codes.size > 12 else "")
        return shown or "none"

    def problem(self):
        """(place, fault) of the first event that cannot be, or None."""
        found = []
        bad = np.flatnonzero(~np.isfinite(self.weight))
        if bad.size:
            found.append((int(bad[0]), f"weight is {self.weight[bad[0]]}"))
        final = np.flatnonzero(self.status == 1)
        e, mass = self.p[0, final], self.mass[final]
        columns = np.concatenate([self.p[:, final], mass[None]])
        with np.errstate(all="ignore"):
            momentum = np.sqrt((self.p[1:, final] ** 2).sum(axis=0))
            # Rounding to 7 digits leaves 5e-4 E in sqrt(E^2 - p^2); smaller negative masses are rounded zeros.
            cases = (
                (~np.isfinite(columns).all(axis=0), None),
                (mass < -1e-3 * np.abs(e), "mass m = {m:g} GeV is negative"),
                (e < 0, "energy E = {e:g} GeV is negative"),
                (e < (1 - 1e-6) * momentum, "energy E = {e:g} GeV is below the momentum, {p:g} GeV"),
                (e < (1 - 1e-6) * mass, "energy E = {e:g} GeV is below the mass, {m:g} GeV"),
            )
        for bad, text in cases:
            if bad.any():
                i = int(np.flatnonzero(bad)[0])
                event = int(self.event[final[i]])
                if text is None:
                    k = int(np.flatnonzero(~np.isfinite(columns[:, i]))[0])
                    text = f"{('E', 'px', 'py', 'pz', 'm')[k]} is {columns[k, i]}"
                else:
                    text = text.format(m=mass[i], e=e[i], p=momentum[i])
                place = final[i] - np.flatnonzero(self.event == event)[0]
                found.append((event, f"particle {place} (code {self.id[final[i]]}): {text}"))
        return min(found, default=None, key=_place)

    def head(self, n):
        m = int(self.count[:n].sum())
        return _Record(
            self.first,
            self.count[:n],
            self.id[:m],
            self.status[:m],
            self.p[:, :m],
            self.mass[:m],
            self.weight[:n],
        )

    def part(self, layout, daughters, leptons, problem):
        """In the columns of a layout."""
        problem = min((p for p in (self.problem(), problem) if p is not None), default=None, key=_place)
        sound = self if problem is None else self.head(problem[0])
        choose = {TWO_BODY: sound._two_body, DILEPTON: sound._dilepton, TOP_PAIR: sound._top_pair}[layout]
        values, present, fits, expected = choose(daughters, leptons)

        def why(i):
            return f"final particles are {sound.final(i)}; expected {expected}"

        return _Part(self.first, values, present, sound.weight, fits, why, problem)

    def _two_body(self, daughters, leptons):
        wanted = self.status == 1
        if daughters is not None:
            wanted &= np.isin(self.id, daughters)
        where = np.flatnonzero(wanted)
        fits = np.bincount(self.event[where], minlength=self.n) == 2
        if daughters is not None and daughters[0] != daughters[1]:
            for code in daughters:
                fits &= np.bincount(self.event[where[self.id[where] == code]], minlength=self.n) == 1
        where = where[fits[self.event[where]]].reshape(-1, 2)
        if daughters is not None:
            swap = self.id[where[:, 0]] != daughters[0]
            where[swap] = where[swap, ::-1]
        values = np.zeros((10, self.n))
        to = self.event[where[:, 0]]
        for k in (0, 1):
            values[k, to] = self.p[0, where[:, k]]
            values[2 + 3 * k : 5 + 3 * k, to] = self.p[1:, where[:, k]]
            values[8 + k, to] = np.maximum(self.mass[where[:, k]], 0)
        expected = "two" if daughters is None else f"one {daughters[0]} and one {daughters[1]}"
        return values, np.repeat(fits[None], 2, axis=0), fits, expected

    def _dilepton(self, daughters, leptons):
        values, count = np.zeros((16, self.n)), np.zeros((4, self.n), int)
        for k, code in enumerate((11, -11, 13, -13)):
            where = np.flatnonzero((self.status == 1) & (self.id == code))
            count[k] = np.bincount(self.event[where], minlength=self.n)
            values[4 * k : 4 * k + 4, self.event[where]] = self.p[:, where]
        pair = (count.reshape(2, 2, -1) == 1).all(axis=1)
        fits = (count.sum(axis=0) == 2) & pair.any(axis=0)
        return values, np.repeat(pair, 2, axis=0), fits, "one pair, 11 and -11 or 13 and -13, among them"

    def _top_pair(self, daughters, leptons):
        final, kind = self.status == 1, np.abs(self.id)
        is_jet, is_lepton = np.isin(kind, _PARTONS), np.isin(kind, leptons)
        is_neutrino = np.isin(kind, _NEUTRINOS)
        along = (is_jet | is_lepton) & (self.p[1] == 0) & (self.p[2] == 0)
        odd = final & (along | ~(is_jet | is_lepton | is_neutrino))
        fits = np.bincount(self.event[odd], minlength=self.n) == 0
        values, present = np.zeros((26, self.n)), np.zeros((6, self.n), bool)
        where = np.flatnonzero(final & is_neutrino)
        x, y = (np.bincount(self.event[where], self.p[k, where], self.n) for k in (1, 2))
        values[0], values[1] = np.hypot(x, y), np.arctan2(y, x)
        for mine, rows, first, most in ((is_jet, values[2:18], 0, 4), (is_lepton, values[18:], 4, 2)):
            where = np.flatnonzero(final & mine & fits[self.event])
            e, px, py, pz = self.p[:, where]
            found = _Objects(self.event[where], px, py, pz, e)
            found.ordered(np.ones(len(where), bool)).write(rows, most)
            present[first : first + most] = found.count(self.n) > np.arange(most)[:, None]
        codes = " ".join(str(code) for code in leptons)
        expected = f"partons (1 to 5, 21), leptons ({codes}) and neutrinos alone, none along the beam"
        return values, present, fits, expected


def _particle_options(layout, daughters, leptons):
    if layout not in _CODES:
        raise ValueError(f"layout: expected TWO_BODY, DILEPTON or TOP_PAIR, got {layout!r}")
    if daughters is not None:
        daughters = tuple(int(code) for code in daughters)
        if len(daughters) != 2:
            raise ValueError(f"daughters: expected two codes, got {daughters}")
        if layout is not TWO_BODY:
            raise ValueError(f"daughters: only for the layout TWO_BODY, not for {layout.name}")
    return daughters, tuple(abs(int(code)) for code in leptons)


# ------------------------------------------------------------------------------------------------------- LHE

_INFO = ("NUP", "IDPRUP", "XWGTUP", "SCALUP", "AQEDUP", "AQCDUP")
_PARTICLE = ("IDUP", "ISTUP", "MOTHUP(1)", "MOTHUP(2)", "ICOLUP(1)", "ICOLUP(2)") + (
    ("px", "py", "pz", "E", "m", "VTIMUP", "SPINUP")
)


class _Fault(Exception):
    """What is wrong with the event at hand."""


def _open(path, mode, **options):
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return (gzip.open if packed else open)(path, mode, **options)


class _TagsInTurn:
    """The bytes of an LHE file, up to an event that is not closed before the next one.

    XML would take the next one for a part of it, and the error would come at the end of the file.
    """

    _TAG = re.compile(rb"<(/?)(event|init)(?=[\s>])")

    def __init__(self, file):
        self.file, self.inside, self.fault = file, None, None  # inside: not before <init> is closed

    def read(self, size):
        if self.fault is not None:
            raise self.fault
        lines, length = [], 0
        while length < size and (line := self.file.readline()):
            for tag in self._TAG.finditer(line) if b"event" in line or b"init" in line else ():
                closing, what = tag[1] == b"/", tag[2]
                if what == b"init":
                    self.inside = False if closing else self.inside
                elif self.inside is not None and self.inside != closing:
                    self.fault = _Fault(
                        "no closing tag </event>" if self.inside else "a tag </event> closes nothing"
                    )
                    return b"".join([*lines, line[: tag.start()]]) or self.read(size)
                elif self.inside is not None:
                    self.inside = not closing
            lines.append(line)
            length += len(line)
        return b"".join(lines)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def _lhe_fault(path, number, error):
    """What is wrong with an event, from its text."""
    seen, lines, closed, tail = -1, [], False, ""
    with contextlib.suppress(OSError, EOFError, zlib.error), _open(path, "rt", errors="replace") as file:
        for line in file:
            tail = line.strip() or tail
            if seen == number:
                if line.lstrip().startswith("<"):
                    closed = re.match(r"\s*<(/event|/?\w+)", line) is not None and not re.match(
                        r"\s*<(event[\s>]|/LesHouchesEvents)", line
                    )
                    break
                lines.append(line)
            elif re.match(r"\s*<event[\s>]", line):
                seen += 1
    rows = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    for k, words in enumerate(rows):
        names, whole = (_INFO, 2) if k == 0 else (_PARTICLE, 6)
        row = "first line" if k == 0 else f"particle {k - 1}"
        for name, word in zip(names, words):
            try:
                int(float(word)) if names.index(name) < whole else float(word)
            except (ValueError, OverflowError):
                return f"{row}: {name} is {word!r}, not a number"
        if len(words) < len(names):
            return f"{row}: expected {len(names)} numbers, got {len(words)}" + (
                "" if closed else "; the file ends here"
            )
    if seen == number and not closed:
        return "no closing tag </event>; is the file cut off?"
    if seen < number and tail != "</LesHouchesEvents>":
        return "the file ends without </LesHouchesEvents>; is it cut off?"
    return _first_line(error)


def _lhe_parts(path, layout, block, source, *, weight=None, daughters=None, leptons=(11, 13, 15)):
    pylhe = need("pylhe", "LHE files")
    daughters, leptons = _particle_options(layout, daughters, leptons)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            file = pylhe.LHEFile.frombuffer(
                _TagsInTurn(_open(path, "rb")), with_attributes=weight is not None
            )
    except Exception as error:  # of XML, gzip and conversion to numbers
        raise _error(path, None, f"cannot be read as LHE file: {_first_line(error)}") from error
    source.update(format=f"LHE {file.version}", **_lhe_source(file))
    events = iter(file.events)
    for first in _count(0, block):
        part, fault = [], None
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message="Parse Error", category=RuntimeWarning)
                for event in islice(events, block):
                    if event.eventinfo.nparticles != len(event.particles):
                        raise _Fault(
                            f"NUP says {event.eventinfo.nparticles} particles, there are {len(event.particles)}"
                        )
                    if weight is not None and weight not in event.weights:
                        raise _Fault(
                            f"has no weight {weight!r}; expected one of {', '.join(event.weights) or 'none'}"
                        )
                    part.append(event)
        except _Fault as error:
            fault = len(part), str(error)
        except Exception as error:  # of XML, gzip and conversion to numbers
            fault = len(part), _lhe_fault(path, first + len(part), error)
        if part or fault:
            rows = [(p.id, p.status, p.e, p.px, p.py, p.pz, p.m) for event in part for p in event.particles]
            table = np.array(rows, np.float64).reshape(-1, 7).T
            record = _Record(
                first,
                np.array([len(event.particles) for event in part], int),
                table[0].astype(int),
                table[1].astype(int),
                table[2:6],
                table[6],
                np.array(
                    [event.eventinfo.weight if weight is None else event.weights[weight] for event in part],
                    float,
                ),
            )
            yield record.part(layout, daughters, leptons, fault)
        if len(part) < block:
            return


def _count(start, step):
    while True:
        yield start
        start += step


def _lhe_source(file):
    info = file.init.initInfo
    named = [
        f"{g.name} {g.version}".strip() + (f": {g.description.strip()}" if g.description else "")
        for g in file.init.generators
    ]
    generator = "; ".join(named) or (file.comment or "").strip()
    return {
        "generator": generator or None,
        "beams": [info.beamA, info.beamB],
        "beam_energies_GeV": [info.energyA, info.energyB],
        "weighting": info.weightingStrategy,
        "processes": [
            {"id": p.procId, "cross_section_pb": p.xSection, "error_pb": p.error} for p in file.init.procInfo
        ],
    }


def read_lhe(
    path, layout, *, weight=None, others="raise", daughters=None, leptons=(11, 13, 15), dtype="float64"
):
    """Events of a Les Houches event file, .lhe or .lhe.gz, of version 1.0 or 3.0.

    Parameters
    ----------
    path : path-like
    layout : Layout
        TWO_BODY, DILEPTON or TOP_PAIR; the module says what each takes.
    weight : str, optional
        Name of one of the weights of a file of version 3.0 (``<rwgt>`` or ``<weights>``); default: XWGTUP, as it
        stands in the file.
    others : {"raise", "drop"}
        What to do with events that do not have what the layout holds: an error that names the first, or leave them
        out (``provenance["dropped"]`` counts them).
    daughters : (2,) sequence of int, optional
        Codes of the two particles of TWO_BODY, in their order; other particles are passed over then.
    leptons : sequence of int
        Which codes, of either sign, are leptons of TOP_PAIR.
    dtype : {"float64", "float32"}

    Returns
    -------
    Events
        Energies, momenta, masses [GeV]. ``weight`` is None where all are 1. ``provenance`` has the file, its format,
        the generator, beams, their energies [GeV] and the processes with their cross-sections [pb].

    Raises
    ------
    ImportError
        Without pylhe: ``pip install 'simgraft[events]'``.
    EventFileError
        A ValueError: the file is cut off or damaged, or has particles that cannot be.

    Notes
    -----
    Format: Alwall et al. 2006, doi:10.1016/j.cpc.2006.11.010; version 3: Butterworth et al., arXiv:1405.1067,
    section I.2. For files larger than memory: :func:`iterate`.

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> write_lhe("decay.lhe", pair, ids=(211, -211))
    >>> events = read_lhe("decay.lhe", TWO_BODY)
    >>> events["pz1"], events.provenance["format"]
    (array([4.]), 'LHE 3.0')
    """
    return _gather("lhe", path, layout, others, dtype, weight=weight, daughters=daughters, leptons=leptons)


# ----------------------------------------------------------------------------------------------------- LHEH5

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
        raise _error(path, None, f"no dataset {name!r}; there are {', '.join(file) or 'none'}")
    names = [n.decode() if isinstance(n, bytes) else str(n) for n in data.attrs.get("properties", columns)]
    if data.dtype.kind not in "fiu":
        raise _error(path, None, f"dataset {name!r}: expected numbers, got {data.dtype}")
    if len(data.shape) != dimensions or data.shape[-1] < len(columns):
        wish = f"({'n, ' if dimensions == 2 else ''}{len(columns)})"
        raise _error(path, None, f"dataset {name!r}: expected shape {wish}, got {data.shape}")
    missing = [n for n in columns if n not in names]
    if missing or len(names) != data.shape[-1]:
        raise _error(path, None, f"dataset {name!r}: its properties {names} are not {list(columns)}")
    return data, names


def _lheh5_parts(path, layout, block, source, *, weight=None, daughters=None, leptons=(11, 13, 15)):
    h5py = need("h5py", "LHEH5 files")
    daughters, leptons = _particle_options(layout, daughters, leptons)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise _error(path, None, f"cannot be opened as HDF5 file: {_first_line(error)}") from error
    with file:
        version, _ = _h5_table(path, file, "version", ("major", "minor", "patch"), 1)
        version = [int(v) for v in version[:]]
        if version[0] != 2:
            raise _error(path, None, f"LHEH5 of version {'.'.join(map(str, version))}: expected 2")
        init, init_names = _h5_table(path, file, "init", _H5_INIT, 1)
        processes, process_names = _h5_table(path, file, "procInfo", _H5_PROCESS, 2)
        events, names = _h5_table(path, file, "events", _H5_EVENT, 2)
        particles, particle_names = _h5_table(path, file, "particles", _H5_PARTICLE, 2)
        if weight is not None and weight not in names:
            extra = [name for name in names if name not in _H5_EVENT[:-1]]
            raise _error(path, None, f"no weight {weight!r}; expected one of {', '.join(extra)}")
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
        for first in range(0, len(events), block):
            try:
                table = dict(zip(names, np.asarray(events[first : first + block], np.float64).T))
                yield _h5_record(first, table, particles, particle_names, weight).part_of(
                    layout, daughters, leptons
                )
            except OSError as error:
                last = min(first + block, len(events)) - 1
                raise _error(
                    path, first, f"this one to {last} cannot be read: {_first_line(error)}"
                ) from error


class _h5_record:
    """Rows of the dataset events with their particles."""

    def __init__(self, first, table, particles, names, weight):
        self.problem = None
        start, count = table["start"], table["nparticles"]
        total = len(particles)
        with np.errstate(invalid="ignore"):
            good = (start >= 0) & (count >= 0) & (start == np.floor(start)) & (count == np.floor(count))
            good &= start + count <= total
        n = len(start)
        if not good.all():
            n = int(np.flatnonzero(~good)[0])
            self.problem = (
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
        self.record = _Record(
            first,
            count,
            _codes(column["id"]),
            _codes(column["status"]),
            np.stack([column[k] for k in ("e", "px", "py", "pz")]),
            column["m"],
            table["NOMINAL" if weight is None else weight][:n],
        )
        bad = np.flatnonzero(~np.isfinite(column["id"] + column["status"]))
        if bad.size:
            event = int(self.record.event[bad[0]])
            self.problem = event, f"particle {bad[0] - offset[event]}: id or status is not a number"

    def part_of(self, layout, daughters, leptons):
        return self.record.part(layout, daughters, leptons, self.problem)


def _codes(x):
    return np.where(np.isfinite(x), x, 0).astype(int)


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
    return _gather("lheh5", path, layout, others, dtype, weight=weight, daughters=daughters, leptons=leptons)


# ---------------------------------------------------------------------------------------------------- HepMC3

_HEPMC_START, _HEPMC_END = "HepMC::Asciiv3-START_EVENT_LISTING", "HepMC::Asciiv3-END_EVENT_LISTING"


def _hepmc_check(lines):
    """What is wrong with the text of an event, which the library may pass over in silence; or None."""
    words = lines[0].split()
    if len(words) < 4 or not all(word.lstrip("-").isdigit() for word in words[1:4]):
        return f"the line {lines[0].strip()!r} does not begin an event"
    particles = 0
    for line in lines[1:]:
        if line.startswith("P "):
            words = line.split()
            if len(words) != 10:
                return f"particle {particles}: expected 9 numbers, got {len(words) - 1}"
            for name, word in zip(("id", "px", "py", "pz", "E", "m", "status"), words[3:]):
                if not _is_number(word):
                    return f"particle {particles}: {name} is {word!r}, not a finite number"
            particles += 1
        elif line.startswith("W "):
            for k, word in enumerate(line.split()[1:]):
                if not _is_number(word):
                    return f"weight {k} is {word!r}, not a finite number"
        elif line.startswith("U "):
            if line.split()[1:2] not in (["GEV"], ["MEV"]):
                return f"unknown unit of momentum in {line.strip()!r}"
    expected = int(lines[0].split()[3])
    return (
        None
        if particles == expected
        else f"{particles} of {expected} particles are there; is the file cut off?"
    )


def _is_number(word):
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _hepmc_parts(path, layout, block, source, *, weight=None, daughters=None, leptons=(11, 13, 15)):
    pyhepmc = need("pyhepmc", "HepMC files")
    daughters, leptons = _particle_options(layout, daughters, leptons)
    with _open(path, "rt", errors="replace") as file:
        header = []
        for line in file:
            header.append(line)
            if line.startswith(_HEPMC_START) or len(header) > 10:
                break
        if not header or not header[-1].startswith(_HEPMC_START):
            raise _error(path, None, f"cannot be read as HepMC3 file: there is no line {_HEPMC_START}")
        source.update(format="HepMC3", generator=None)
        first, lines, fault = 0, [], None
        texts = []

        def part():
            """The events of the texts so far."""
            found = []
            stream = io.BytesIO("".join([*header, *chain.from_iterable(texts), _HEPMC_END, "\n\n"]).encode())
            with pyhepmc.open(stream, format="HepMC3") as reader:
                for k in range(len(texts)):
                    event = reader.read()
                    if event is None:
                        return found, (k, "the library HepMC3 cannot read it")
                    found.append(_hepmc_event(event, weight, source))
            return found, fault

        def parts():
            found, problem = part()
            if found or problem:
                yield _hepmc_record(first, found).part(layout, daughters, leptons, problem)

        for line in chain(file, [None]):
            opens = line is not None and line.startswith("E ")
            ends = line is None or line.startswith(_HEPMC_END)
            if opens or ends:
                if lines:
                    what = _hepmc_check(lines)
                    if what is not None:
                        fault = len(texts), what
                    else:
                        texts.append(lines)
                if line is None and fault is None:
                    fault = len(texts), f"the file ends without {_HEPMC_END}; is it cut off?"
                if ends or fault or len(texts) == block:
                    yield from parts()
                    first, texts = first + len(texts), []
                if ends or fault:
                    return
                lines = [line]
            elif lines:
                lines.append(line)
            else:
                header.append(line)


def _hepmc_event(event, weight, source):
    run = event.run_info
    if run is not None and run.tools and source.get("generator") is None:
        source["generator"] = "; ".join(
            f"{t.name} {t.version}".strip() + (f": {t.description}" if t.description else "")
            for t in run.tools
        )
    if event.cross_section is not None:
        # An estimate from the events so far: the last is the best.
        source["processes"] = [
            {"cross_section_pb": event.cross_section.xsec(), "error_pb": event.cross_section.xsec_err()}
        ]
    names = list(event.weight_names) if run is not None else []
    if weight is None:
        value = event.weights[0] if len(event.weights) else 1.0
    elif weight in names:
        value = event.weights[names.index(weight)]
    else:
        raise ValueError(f"weight: expected one of {', '.join(names) or 'none'}, got {weight!r}")
    p = event.numpy.particles
    scale = 1e-3 if event.momentum_unit.name == "MEV" else 1.0
    # Copies: the arrays are views of the event.
    momenta = np.stack(
        [np.asarray(column, np.float64) for column in (p.e, p.px, p.py, p.pz, p.generated_mass)]
    )
    return value, np.array(p.pid), np.array(p.status), scale * momenta if scale != 1 else momenta


def _hepmc_record(first, found):
    empty = [np.zeros(0, int)]
    table = np.concatenate([f[3] for f in found] or [np.zeros((5, 0))], axis=1)
    return _Record(
        first,
        np.array([len(f[1]) for f in found], int),
        np.concatenate([f[1] for f in found] or empty),
        np.concatenate([f[2] for f in found] or empty),
        table[:4],
        table[4],
        np.array([f[0] for f in found], float),
    )


def read_hepmc(
    path, layout, *, weight=None, others="raise", daughters=None, leptons=(11, 13, 15), dtype="float64"
):
    """Events of a HepMC3 file in ASCII, also compressed (.gz).

    Parameters
    ----------
    path : path-like
    layout : Layout
        TOP_PAIR takes partons: a file with hadrons needs jets first.
    weight : str, optional
        Name of a weight; default: the first.
    others, daughters, leptons, dtype
        As of :func:`read_lhe`.

    Returns
    -------
    Events
        As of :func:`read_lhe` [GeV]; files in MeV are converted.

    Raises
    ------
    ImportError
        Without pyhepmc: ``pip install 'simgraft[events]'``.
    EventFileError
        A ValueError: the file is cut off or damaged, or has particles that cannot be.

    Notes
    -----
    Buckley et al. 2021, doi:10.1016/j.cpc.2020.107310. The library takes "4.x9" for 4 and skips what it cannot
    read, so that each line of numbers is looked at first.

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> write_hepmc("decay.hepmc", pair)
    >>> read_hepmc("decay.hepmc", TWO_BODY)["m2"]
    array([3.])
    """
    return _gather("hepmc", path, layout, others, dtype, weight=weight, daughters=daughters, leptons=leptons)


# ------------------------------------------------------------------------------------------------------ ROOT


def _column_problem(layout, values):
    """(place, fault) of the first event of columns that cannot be, or None."""
    bad, texts = np.zeros(values.shape, bool), {}
    for k, name in enumerate(layout.names):
        bad[k] = ~np.isfinite(values[k])
        texts[k] = "{name} is {x}"
        if name in ("m1", "m2", "MET") or name.endswith(("_pT", "_E")) or name in ("E1", "E2"):
            with np.errstate(invalid="ignore"):
                bad[k] |= values[k] < 0
    if not bad.any():
        return None
    event = int(np.flatnonzero(bad.any(axis=0))[0])
    k = int(np.flatnonzero(bad[:, event])[0])
    x = values[k, event]
    what = f"{layout.names[k]} is {x:g}"
    return event, what if not np.isfinite(x) else f"{what} {layout.columns[k].unit}: expected a number >= 0"


def _root_parts(path, layout, block, source, *, tree=None, names=None, collections=None, weight=None):
    uproot = need("uproot", "ROOT files")
    awkward = need("awkward", "ROOT files")
    try:
        file = uproot.open(path)
        trees = [
            key.partition(";")[0]
            for key, kind in file.classnames().items()
            if "Tree" in kind or "RNTuple" in kind
        ]
        if tree is None and len(set(trees)) == 1:
            tree = trees[0]
        if tree not in trees:
            which = "a tree is to be named" if tree is None else f"no tree {tree!r}"
            raise _error(path, None, f"{which}; there are {', '.join(dict.fromkeys(trees)) or 'none'}")
        table = file[tree]
        keys, length = list(table.keys()), int(table.num_entries)
        written = json.loads(str(file["provenance"])) if "provenance" in file else {}
    except EventFileError:
        raise
    except Exception as error:  # uproot raises many kinds
        raise _error(path, None, f"cannot be read as ROOT file: {_first_line(error)}") from error
    with file:
        source.update({"generator": None, **written}, format="ROOT", tree=tree)
        wanted = {name: (names or {}).get(name, name) for name in layout.names}
        kinds = {"j": "jet", "l": "lepton", **(collections or {})}
        jagged = layout is TOP_PAIR and f"{kinds['j']}_pT" in keys
        if jagged:
            quantities = ("E", "pT", "eta", "phi")
            wanted = {name: wanted[name] for name in ("MET", "phi_MET")}
            wanted.update({(kind, q): f"{kinds[kind]}_{q}" for kind in "jl" for q in quantities})
        missing = [branch for branch in wanted.values() if branch not in keys]
        if missing:
            raise _error(
                path, None, f"tree {tree!r} has no branch {', '.join(missing)}; there are {', '.join(keys)}"
            )
        masks = [f"{name}_present" for name in layout.objects]
        masks = masks if all(mask in keys for mask in masks) and not jagged else []
        if weight is not None and weight not in keys:
            raise _error(path, None, f"tree {tree!r} has no branch {weight}; there are {', '.join(keys)}")
        weigh = "weight" if weight is None and "weight" in keys else weight
        branches = [*wanted.values(), *masks, *([weigh] if weigh else [])]
        for first in range(0, length, block):
            stop = min(first + block, length)
            try:
                data = table.arrays(branches, entry_start=first, entry_stop=stop, library="ak")
            except Exception as error:  # uproot raises many kinds
                raise _error(
                    path, first, f"this one to {stop - 1} cannot be read: {_first_line(error)}"
                ) from error
            values, present, problem = np.zeros((len(layout), stop - first)), None, None
            try:
                if jagged:
                    present = _from_jagged(awkward, data, wanted, values)
                else:
                    for row, branch in zip(values, wanted.values()):
                        row[:] = awkward.to_numpy(data[branch])
                    if masks:
                        present = np.stack([awkward.to_numpy(data[mask]) for mask in masks]).astype(bool)
                w = None if not weigh else np.asarray(awkward.to_numpy(data[weigh]), np.float64)
            except (TypeError, ValueError) as error:
                raise _error(
                    path,
                    None,
                    f"tree {tree!r}: a branch does not hold one number per event: {_first_line(error)}",
                ) from error
            found = [_column_problem(layout, values)]
            if w is not None and not np.isfinite(w).all():
                bad = int(np.flatnonzero(~np.isfinite(w))[0])
                found.append((bad, f"{weigh} is {w[bad]}"))
            problem = min((f for f in found if f is not None), default=None, key=_place)
            yield _Part(first, values, present, w, np.ones(stop - first, bool), None, problem)


def _from_jagged(awkward, data, wanted, values):
    """Leading jets and leptons of lists into the columns of TOP_PAIR; which are there."""
    for row, name in zip(values, ("MET", "phi_MET")):
        row[:] = awkward.to_numpy(data[wanted[name]])
    present = np.zeros((6, values.shape[1]), bool)
    for kind, first, most in (("j", 0, 4), ("l", 4, 2)):
        order = awkward.argsort(data[wanted[kind, "pT"]], axis=1, ascending=False, stable=True)
        for q, quantity in enumerate(("E", "pT", "eta", "phi")):
            lists = awkward.pad_none(data[wanted[kind, quantity]][order], most, axis=1, clip=True)
            table = awkward.to_numpy(awkward.fill_none(lists, 0.0)).T
            values[2 + 4 * first + q : 2 + 4 * (first + most) : 4] = table
        number = awkward.to_numpy(awkward.num(data[wanted[kind, "pT"]], axis=1))
        present[first : first + most] = number > np.arange(most)[:, None]
    return present


def read_root(path, layout, *, tree=None, names=None, collections=None, weight=None, dtype="float64"):
    """Events of a tree in a ROOT file.

    Parameters
    ----------
    path : path-like
    layout : Layout
    tree : str, optional
        Name of the tree; default: the only one.
    names : dict, optional
        Branch of a column where it has another name than the column: ``{"MET": "met_et"}``.
    collections : dict, optional
        For TOP_PAIR with lists of jets and leptons, the prefixes of their branches: default ``{"j": "jet", "l":
        "lepton"}`` for jet_E, jet_pT, jet_eta, jet_phi, lepton_E and so on. They are put in order of pT, and the
        first four jets and two leptons taken.
    weight : str, optional
        Branch of the weights; default: "weight", where it is there.
    dtype : {"float64", "float32"}

    Returns
    -------
    Events
        Units as of the layout [GeV, rad]. Objects are present as the branches ``em_present`` and so on say, where
        they are there; else those with a number other than 0.

    Raises
    ------
    ImportError
        Without uproot and awkward: ``pip install 'simgraft[events]'``.
    EventFileError
        A ValueError: the file is damaged, a branch is missing, or an event has a NaN or a negative mass.

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> write_root("decay.root", pair)
    >>> read_root("decay.root", TWO_BODY)["E1"]
    array([5.])
    """
    return _gather(
        "root", path, layout, "raise", dtype, tree=tree, names=names, collections=collections, weight=weight
    )


# ------------------------------------------------------------------------------------------------------- csv

_CARTESIAN = tuple(f"{q}{k}" for k in (1, 2) for q in ("E", "px", "py", "pz"))
_CYLINDER = tuple(f"{q}{k}" for k in (1, 2) for q in ("pt", "eta", "phi"))


def _csv_parts(path, layout, block, source):
    if layout is not DILEPTON:
        raise ValueError(f"layout: a table of muon pairs gives DILEPTON, not {layout.name}")
    with open(path, newline="", errors="replace") as file:
        header = [name.strip() for name in file.readline().strip().lstrip("\ufeff").split(",")]
        wanted = _CARTESIAN if set(_CARTESIAN) <= set(header) else _CYLINDER
        missing = [name for name in (*wanted, "Q1", "Q2") if name not in header]
        if missing:
            raise _error(path, None, f"no column {', '.join(missing)}; there are {', '.join(header)}")
        names = (*wanted, "Q1", "Q2")
        columns = [header.index(name) for name in names]
        source.update(format="csv", generator="CMS open data", beams=[2212, 2212])
        lines = (line for line in file if line.strip())
        for first in _count(0, block):
            part = list(islice(lines, block))
            if not part:
                return
            rows, problem = _csv_numbers(part, names, columns, len(header))
            with np.errstate(all="ignore"):
                values, found = _dimuon(dict(zip(names, rows)), wanted)
            problem = min((p for p in (problem, found) if p is not None), default=None, key=_place)
            q = rows[-2:]
            n = rows.shape[1]
            opposite = q[0] * q[1] == -1
            present = np.zeros((4, n), bool)
            present[2:] = opposite

            def why(i, q=q):
                return f"charges Q1 = {q[0, i]:g} and Q2 = {q[1, i]:g} are not opposite"

            yield _Part(first, values, present, None, opposite, why, problem)
            if len(part) < block:
                return


def _csv_numbers(lines, names, columns, width):
    """Numbers (n_columns, n) of lines, as far as they go, and (place, fault) of the first that does not."""
    try:
        table = np.loadtxt(lines, delimiter=",", usecols=columns, ndmin=2, comments=None).T
        if all(line.count(",") == width - 1 for line in lines):
            return table, None
    except ValueError:
        pass
    rows = []
    for place, line in enumerate(lines):
        words = line.strip().split(",")
        if len(words) != width:
            problem = place, f"expected {width} columns, got {len(words)}"
            break
        try:
            rows.append([float(words[column]) for column in columns])
        except ValueError:
            bad = next(k for k in range(len(names)) if not _is_float(words[columns[k]]))
            problem = place, f"{names[bad]} is {words[columns[bad]]!r}, not a number"
            break
    else:
        problem = None
    return np.array(rows).reshape(-1, len(columns)).T, problem


def _is_float(word):
    try:
        float(word)
    except ValueError:
        return False
    return True


def _dimuon(column, wanted):
    """Columns (16, n) of the muons, and (place, fault) of the first event that cannot be."""
    table = np.stack(list(column.values()))
    n = table.shape[1]
    found = []
    if not np.isfinite(table).all():
        place = int(np.flatnonzero(~np.isfinite(table).all(axis=0))[0])
        k = int(np.flatnonzero(~np.isfinite(table[:, place]))[0])
        found.append((place, f"{list(column)[k]} is {table[k, place]}"))
    momenta = []
    for k in "12":
        if wanted is _CARTESIAN:
            momenta.append(np.stack([column[f"{q}{k}"] for q in ("E", "px", "py", "pz")]))
            name, positive = f"E{k}", column[f"E{k}"]
        else:
            pt, eta, phi = (column[f"{q}{k}"] for q in ("pt", "eta", "phi"))
            x, y, z = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
            momenta.append(np.stack([np.sqrt(x * x + y * y + z * z + MUON_MASS**2), x, y, z]))
            name, positive = f"pt{k}", pt
        for which, bad, text in (
            (name, ~(positive > 0), "expected a number > 0"),
            (f"Q{k}", np.abs(column[f"Q{k}"]) != 1, "expected -1 or 1"),
        ):
            if bad.any():
                place = int(np.flatnonzero(bad)[0])
                found.append((place, f"{which} is {column[which][place]:g}: {text}"))
    values = np.zeros((16, n))
    first_is_minus = column["Q1"] < 0
    values[8:12] = np.where(first_is_minus, *momenta)
    values[12:] = np.where(first_is_minus, *momenta[::-1])
    return values, min(found, default=None, key=_place)


def read_cms_dimuon_csv(path, *, others="raise", dtype="float64"):
    """Muon pairs of a csv table of CMS open data.

    Parameters
    ----------
    path : path-like
        With the columns E1, px1, py1, pz1, Q1, E2 ... Q2 [GeV], or pt1 [GeV], eta1, phi1 [rad], Q1 ... Q2; further
        ones are passed over.
    others : {"raise", "drop"}
        What to do with pairs of equal charges.
    dtype : {"float64", "float32"}

    Returns
    -------
    Events
        Of the layout DILEPTON [GeV]: mu- and mu+, electrons absent. From pt, eta and phi the energies are those of
        muons of 105.658 MeV.

    Raises
    ------
    EventFileError
        A ValueError: a column is missing, a number is none, an event has fewer columns or a charge other than +-1.

    Notes
    -----
    CMS open data records 545 and 700 (CC0), http://opendata.cern.ch.

    Examples
    --------
    >>> from pathlib import Path
    >>> table = "pt1,eta1,phi1,Q1,pt2,eta2,phi2,Q2\\n45,0,0,1,40,0,3.14159265,-1\\n"
    >>> _ = Path("pairs.csv").write_text(table)
    >>> read_cms_dimuon_csv("pairs.csv")["mum_px"]
    array([-40.])
    """
    return _gather("csv", path, DILEPTON, others, dtype)


# ---------------------------------------------------------------------------------------------- all formats

_READERS = {
    "lhe": _lhe_parts,
    "lheh5": _lheh5_parts,
    "hepmc": _hepmc_parts,
    "root": _root_parts,
    "csv": _csv_parts,
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


def _iterate(kind, path, layout, block, others, dtype, **options):
    if isinstance(block, bool) or not isinstance(block, (int, np.integer)) or block < 1:
        raise ValueError(f"block: expected a number of events of at least 1, got {block!r}")
    path = _existing(path)
    source = {"file": path.name}
    return _blocks(
        path, layout, _READERS[kind](path, layout, int(block), source, **options), source, others, dtype
    )


def _gather(kind, path, layout, others, dtype, **options):
    return Events.concatenate(_iterate(kind, path, layout, BLOCK, others, dtype, **options))


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
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> write("decay.lhe.gz", pair)
    >>> read("decay.lhe.gz", TWO_BODY)
    <Events two-body decay: 1 of 10 columns>
    """
    others, dtype = options.pop("others", "raise"), options.pop("dtype", "float64")
    return _gather(_format(path), path, layout, others, dtype, **options)


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
    >>> from simgraft.events import TWO_BODY, Events
    >>> pairs = Events(TWO_BODY, np.repeat([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]], 5, axis=0).T.copy())
    >>> write("decays.lhe", pairs)
    >>> [len(events) for events in iterate("decays.lhe", TWO_BODY, block=2)]
    [2, 2, 1]
    """
    others, dtype = options.pop("others", "raise"), options.pop("dtype", "float64")
    return _iterate(_format(path), path, layout, block, others, dtype, **options)


# --------------------------------------------------------------------------------------------------- writing


def _blocks_of(events):
    """Blocks of events to write, all of one layout."""
    if isinstance(events, Events):
        if len(events) == 0:
            yield events
        for start in range(0, len(events), BLOCK):
            yield events.take(slice(start, start + BLOCK))
        return
    layout = None
    for part in events:
        if not isinstance(part, Events):
            raise TypeError(f"events: expected Events or an iterable of them, got {type(part).__name__}")
        if layout is not None and part.layout != layout:
            raise ValueError(f"events: blocks of {layout.name} and of {part.layout.name}")
        layout = part.layout
        yield part
    if layout is None:
        raise ValueError("events: there is no block")


class _Writing:
    """What the particle formats write: blocks of events with codes, momenta, and what goes in."""

    def __init__(self, events, ids, beams, energy, cross_section):
        blocks = iter(_blocks_of(events))
        head = next(blocks)
        if head.layout not in _CODES:
            raise ValueError(
                f"events: expected the layout of a two-body decay, lepton pair or top pair, got {head.layout.name}"
            )
        self.layout, self.blocks = head.layout, chain([head], blocks)
        objects, self.incoming, usual = _CODES[head.layout]
        self.ids = objects if ids is None else tuple(int(code) for code in ids)
        if len(self.ids) != len(objects):
            raise ValueError(
                f"ids: expected {len(objects)} codes for {head.layout.name}, got {len(self.ids)}"
            )
        self.beams = usual if beams is None else tuple(int(code) for code in beams)
        if len(self.beams) != 2:
            raise ValueError(f"beams: expected two codes, got {self.beams}")
        self.energy = float(energy)
        self.weighted = head.weight is not None
        if cross_section is None and isinstance(events, Events) and self.weighted and len(events):
            w = events.weight
            cross_section = w.mean(), w.std() / np.sqrt(len(w))
        self.cross_section = (0.0, 0.0) if cross_section is None else tuple(float(x) for x in cross_section)
        told = head.provenance.get("generator")
        self.description = "" if told is None else str(told)

    def __iter__(self):
        """(counts (n,), table of particles (m, 8): id, status, mother, E, px, py, pz, m, weight (n,)) of each block."""
        first = 0
        for events in self.blocks:
            n = len(events)
            present, p, mass = self._outgoing(events)
            ids = self.ids + ((12,) if self.layout is TOP_PAIR else ())
            total = np.where(present[:, None], p, 0.0).sum(axis=0)
            incoming = self._incoming(total)
            k = len(incoming)
            table = np.zeros((k + len(ids), 8, n))
            for i, (code, q) in enumerate(zip(self.incoming, incoming)):
                table[i, 0], table[i, 1], table[i, 3:7] = code, -1, q
                if k == 1:
                    table[i, 7] = np.sqrt(np.maximum(q[0] ** 2 - (q[1:] ** 2).sum(axis=0), 0))
            for i, code in enumerate(ids):
                row = table[k + i]
                row[0], row[1], row[2], row[3:7], row[7] = code, 1, 1, p[i], mass[i]
            there = np.concatenate([np.ones((k, n), bool), present]).T
            weight = np.ones(n) if events.weight is None else events.weight
            scale = np.sqrt(np.maximum(total[0] ** 2 - (total[1:] ** 2).sum(axis=0), 0))
            counts, table = there.sum(axis=1), table.transpose(2, 0, 1)[there]
            codes = table[:, :2].astype(int)
            what = _Record(
                0, counts, codes[:, 0], codes[:, 1], table[:, 3:7].T, table[:, 7], weight
            ).problem()
            if what is not None:
                raise ValueError(f"events: event {first + what[0]}: {what[1]}; no reader would take it")
            first += n
            yield counts, table, weight, scale

    def _outgoing(self, events):
        """Which particles are there (k, n), momenta (k, 4, n) and masses (k, n) [GeV]."""
        v = np.asarray(events.values, np.float64)
        if self.layout is TWO_BODY:
            p = np.stack([v[[k, 2 + 3 * k, 3 + 3 * k, 4 + 3 * k]] for k in (0, 1)])
            return np.ones((2, len(events)), bool), p, v[8:]
        if self.layout is DILEPTON:
            p, present = v.reshape(4, 4, -1), events.present
        else:
            e, pt, eta, phi = v[2:].reshape(6, 4, -1).transpose(1, 0, 2)
            p = np.stack([e, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
            lost = np.stack([v[0], v[0] * np.cos(v[1]), v[0] * np.sin(v[1]), np.zeros_like(v[0])])
            p = np.concatenate([p, lost[None]])
            present = np.concatenate([events.present, v[:1] > 0])
        return present, p, np.sqrt(np.maximum(p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1), 0))

    def _incoming(self, total):
        if len(self.incoming) == 1:
            return total[None]
        zero = np.zeros_like(total[0])
        plus, minus = 0.5 * (total[0] + total[3]), 0.5 * (total[0] - total[3])
        return np.stack([[plus, zero, zero, plus], [minus, zero, zero, -minus]])

    @property
    def mothers(self):
        return (1, len(self.incoming)) if len(self.incoming) == 2 else (1, 1)


@contextlib.contextmanager
def _replacing(path):
    """A name beside `path` that takes its place once all is written."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_lhe(path, events, *, ids=None, beams=None, energy=0.0, cross_section=None, version="3.0"):
    """Write a Les Houches event file.

    Parameters
    ----------
    path : path-like
        Compressed where it ends in .gz.
    events : Events, or iterable of Events
        Blocks of one layout are written as they come, so that a generator of them need not fit into memory.
    ids : sequence of int, optional
        Code of each object of the layout. Default: 82, 83 (free for generators) of a two-body decay; 11, -11, 13,
        -13 of a lepton pair; gluons (21) for jets and 11 for leptons of a top pair, whose columns do not know the
        flavour. Missing momentum becomes a neutrino (12) without longitudinal momentum.
    beams : (2,) sequence of int, optional
        Codes of the beams; default: 11, -11 for a lepton pair, 2212, 2212 for a top pair.
    energy : float [GeV]
        Of both beams together; 0: not known.
    cross_section : (value, error) [pb], optional
        Default: mean of the weights of weighted Events and its error, otherwise 0, for not known.
    version : {"1.0", "3.0"}

    Raises
    ------
    ImportError
        Without pylhe: ``pip install 'simgraft[events]'``.

    Notes
    -----
    Numbers have 17 digits, so that what is read again has the same bits in float64 (top pairs: but for the rounding
    of polar to Cartesian coordinates and back). Absent objects are left out. The decaying particle of a two-body
    decay goes in (status -1); otherwise two massless particles along the beams do, with the energy and longitudinal
    momentum of what comes out: transverse momentum is not balanced. Weights are those of the events (IDWTUP -4),
    or 1 (IDWTUP 3).

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> write_lhe("decay.lhe", pair, version="1.0")
    """
    pylhe = need("pylhe", "LHE files")
    versions = {v.value: v for v in pylhe.LHEVersion}
    if version not in versions:
        raise ValueError(f"version: expected one of {', '.join(versions)}, got {version!r}")
    writing = _Writing(events, ids, beams, energy, cross_section)
    init = pylhe.LHEInit(
        initInfo=pylhe.LHEInitInfo(
            *writing.beams, *(0.5 * writing.energy,) * 2, 0, 0, 0, 0, -4 if writing.weighted else 3, 1
        ),
        procInfo=[pylhe.LHEProcInfo(*writing.cross_section, 1.0, 1)],
        generators=[],
    )
    comment = None
    if version == "3.0":
        init.generators.append(
            pylhe.LHEGenerator(
                name="simgraft", version=simgraft.__version__, description=escape(writing.description)
            )
        )
    else:
        comment = re.sub("--+", "-", f"simgraft {simgraft.__version__}: {writing.description}".rstrip(": "))
    number = "{%s: .16e}"
    form = pylhe.LHEXMLFormat(
        version=versions[version],
        compress=str(path).endswith((".gz", ".gzip")),
        compresslevel=6,
        weights=pylhe.LHEWeightFormat.NONE,
        eventinfo="{nparticles:3d} {pid:6d} "
        + " ".join(number % k for k in ("weight", "scale", "aqed", "aqcd")),
        particle="{id:5d} {status:3d} {mother1:3d} {mother2:3d} {color1:3d} {color2:3d} "
        + " ".join(number % k for k in ("px", "py", "pz", "e", "m"))
        + " {lifetime:.1f} {spin:.1f}",
        procinfo="{xSection: .16e} {error: .16e} {unitWeight: .16e} {procId:5d}",
        initinfo="{beamA:6d} {beamB:6d} {energyA: .16e} {energyB: .16e} {PDFgroupA:2d} {PDFgroupB:2d} {PDFsetA:2d} "
        "{PDFsetB:2d} {weightingStrategy:2d} {numProcesses:2d}",
    )

    def stream():
        for counts, table, weights, scales in writing:
            ends = np.cumsum(counts)
            for start, end, weight, scale in zip((ends - counts).tolist(), ends.tolist(), weights, scales):
                particles = [
                    pylhe.LHEParticle(
                        int(i), int(s), *(writing.mothers if up else (0, 0)), 0, 0, px, py, pz, e, m, 0.0, 9.0
                    )
                    for i, s, up, e, px, py, pz, m in table[start:end].tolist()
                ]
                info = pylhe.LHEEventInfo(len(particles), 1, weight, scale, -1.0, -1.0)
                yield pylhe.LHEEvent(info, particles)

    with _replacing(path) as part:
        pylhe.LHEFile(init=init, events=stream(), comment=comment, version=version).tofile(part, form)


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
    writing = _Writing(events, ids, beams, energy, cross_section)
    with _replacing(path) as part, h5py.File(part, "w") as file:

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


def write_hepmc(path, events, *, ids=None, cross_section=None):
    """Write a HepMC3 file in ASCII.

    Parameters
    ----------
    path : path-like
        Compressed where it ends in .gz.
    events, ids, cross_section [pb]
        As of :func:`write_lhe`.

    Raises
    ------
    ImportError
        Without pyhepmc: ``pip install 'simgraft[events]'``.

    Notes
    -----
    Momenta in GeV with 17 digits: what is read again has the same bits in float64 (top pairs: but for the rounding
    of polar to Cartesian coordinates and back). One vertex per event; what goes in has status 4.

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> write_hepmc("decay.hepmc", pair)
    """
    pyhepmc = need("pyhepmc", "HepMC files")
    writing = _Writing(events, ids, None, 0.0, cross_section)
    run = pyhepmc.GenRunInfo()
    run.tools = [("simgraft", simgraft.__version__, writing.description.replace("\n", " "))]
    run.weight_names = ["Default"]
    number = 0
    with _replacing(path) as part:
        opener = gzip.open if str(path).endswith(".gz") else open
        with opener(part, "wb") as raw, pyhepmc.open(raw, "w", precision=16) as file:
            for counts, table, weights, _ in writing:
                ends = np.cumsum(counts)
                for start, end, weight in zip((ends - counts).tolist(), ends.tolist(), weights.tolist()):
                    event = pyhepmc.GenEvent(run, pyhepmc.Units.GEV, pyhepmc.Units.MM)
                    event.event_number = number
                    vertex = pyhepmc.GenVertex()
                    for i, _, mother, e, px, py, pz, m in table[start:end].tolist():
                        particle = pyhepmc.GenParticle((px, py, pz, e), int(i), 1 if mother else 4)
                        particle.generated_mass = m
                        (vertex.add_particle_out if mother else vertex.add_particle_in)(particle)
                    event.add_vertex(vertex)
                    event.weights = [weight]
                    if cross_section is not None:
                        event.cross_section = pyhepmc.GenCrossSection()
                        event.cross_section.set_cross_section(*writing.cross_section)
                    file.write(event)
                    number += 1
            if number == 0:
                raw.write(f"HepMC::Version 3.02.05\n{_HEPMC_START}\n{_HEPMC_END}\n\n".encode())


def write_root(path, events, *, tree="events", jagged=False):
    """Write a tree of a ROOT file, one branch per column.

    Parameters
    ----------
    path : path-like
    events : Events, or iterable of Events
        As of :func:`write_lhe`.
    tree : str
        Name of the tree.
    jagged : bool
        For top pairs: lists jet_E, jet_pT, jet_eta, jet_phi and lepton_E ... of those that are there, in place of a
        branch for each column.

    Raises
    ------
    ImportError
        Without uproot and awkward: ``pip install 'simgraft[events]'``.

    Notes
    -----
    Branches have the dtype and the unit of the columns [GeV, rad]: what is read again has the same bits. Masks are
    branches ``em_present`` and so on, weights the branch ``weight``; the provenance is a text of its own.

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> write_root("decay.root", pair)
    """
    uproot = need("uproot", "ROOT files")
    need("awkward", "ROOT files")
    blocks = iter(_blocks_of(events))
    head = next(blocks)
    if jagged and head.layout is not TOP_PAIR:
        raise ValueError(f"jagged: only top pairs have lists of jets and leptons, not {head.layout.name}")
    weighted = head.weight is not None
    with _replacing(path) as part, uproot.recreate(str(part)) as file:
        for block in chain([head], blocks):
            data = _jagged_branches(block) if jagged else _flat_branches(block)
            if weighted:
                data["weight"] = np.ones(len(block)) if block.weight is None else block.weight
            elif block.weight is not None:
                raise ValueError("events: the first block has no weights, a later one has")
            if block is head:
                kinds = {name: _branch_type(column) for name, column in data.items()}
                file.mktree(tree, kinds)
            if len(block):
                file[tree].extend(data)
        file["provenance"] = json.dumps(head.provenance, default=str)


def _branch_type(column):
    return column.dtype if isinstance(column, np.ndarray) else str(column.type).partition(" * ")[2]


def _flat_branches(events):
    data = dict(zip(events.layout.names, events.values))
    data.update({f"{name}_present": row for name, row in zip(events.layout.objects, events.present)})
    return data


def _jagged_branches(events):
    lists = events.to_awkward(jagged=True)
    data = {"MET": events["MET"], "phi_MET": events["phi_MET"]}
    for ours, theirs in (("jets", "jet"), ("leptons", "lepton")):
        for name, field in (("E", "E"), ("pT", "pt"), ("eta", "eta"), ("phi", "phi")):
            data[f"{theirs}_{name}"] = lists[ours, field]
    return data


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
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> write("decay.hepmc.gz", pair)
    """
    kind = _format(path)
    if kind not in _WRITERS:
        raise ValueError(
            f"{path}: tables of CMS are only read; expected one of {', '.join(s for s in _SUFFIXES if s != '.csv')}"
        )
    _WRITERS[kind](path, events, **options)
