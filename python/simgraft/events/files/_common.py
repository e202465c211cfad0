"""What all formats share: faults, blocks of events, particles and their place in the columns of a layout."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simgraft import _core
from simgraft.events.columns import DILEPTON, TOP_PAIR, TWO_BODY
from simgraft.events.generator import check_dtype
from simgraft.events.pythia import _Objects
from simgraft.events.sample import Events

__all__ = ["EventFileError"]

BLOCK = 10_000  # events in memory at a time

_NEUTRINOS = (12, 14, 16)
_PARTONS = (1, 2, 3, 4, 5, 21)


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
    >>> from simgraft.events import DILEPTON, files
    >>> _ = Path("empty.lhe").write_text("")
    >>> try:
    ...     files.read("empty.lhe", DILEPTON)
    ... except files.EventFileError as error:
    ...     print(error.path, error.event)
    empty.lhe None
    """

    path = event = None


def broken(path, event, what):
    where = "" if event is None else f": event {event}"
    before = "" if event is None else f" ({event} events before it are sound)"
    error = EventFileError(f"{path}{where}: {what}{before}")
    error.path, error.event = str(path), event
    return error


def place_of(problem):
    return problem[0]


def first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def open_packed(path, mode, **options):
    """A file, unpacked where its content is of gzip."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return (gzip.open if packed else open)(path, mode, **options)


@dataclass
class Part:
    """Consecutive events of a file in the columns of a layout."""

    first: int  # number of the first
    values: np.ndarray  # (n_columns, n)
    present: np.ndarray | None  # (n_objects, n)
    weight: np.ndarray | None  # (n,)
    fits: np.ndarray  # (n,) bool: the event has what the layout holds
    why: object = None  # function of the place of an event that does not fit: what it has instead
    problem: tuple[int, str] | None = None  # place of the first event that is not sound, and its fault


def sound_blocks(path, layout, parts, source, others, dtype):
    """The events of parts, as far as they are sound."""
    if others not in ("raise", "drop"):
        raise ValueError(f'others: expected "raise" or "drop", got {others!r}')
    dtype = check_dtype(dtype)
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
            raise broken(path, part.first + problem[0], problem[1])
    if empty:
        yield Events(
            layout,
            np.zeros((len(layout), 0), dtype),
            provenance={**source, "first": 0, "read": 0, "dropped": 0},
        )


def iterate_parts(parts, path, layout, block, others, dtype, **options):
    """Blocks of events of a file; `parts` reads its format."""
    if isinstance(block, bool) or not isinstance(block, (int, np.integer)) or block < 1:
        raise ValueError(f"block: expected a number of events of at least 1, got {block!r}")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    source = {"file": path.name}
    return sound_blocks(
        path, layout, parts(path, layout, int(block), source, **options), source, others, dtype
    )


def gather(parts, path, layout, others, dtype, **options):
    """All events of a file."""
    return Events.concatenate(iterate_parts(parts, path, layout, BLOCK, others, dtype, **options))


@dataclass
class Record:
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
        return min(found, default=None, key=place_of)

    def head(self, n):
        m = int(self.count[:n].sum())
        return Record(
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
        problem = min((p for p in (self.problem(), problem) if p is not None), default=None, key=place_of)
        sound = self if problem is None else self.head(problem[0])
        choose = {TWO_BODY: sound._two_body, DILEPTON: sound._dilepton, TOP_PAIR: sound._top_pair}[layout]
        values, present, fits, expected = choose(daughters, leptons)

        def why(i):
            return f"final particles are {sound.final(i)}; expected {expected}"

        return Part(self.first, values, present, sound.weight, fits, why, problem)

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


def particle_options(layout, daughters, leptons):
    if layout not in (TWO_BODY, DILEPTON, TOP_PAIR):
        raise ValueError(f"layout: expected TWO_BODY, DILEPTON or TOP_PAIR, got {layout!r}")
    if daughters is not None:
        daughters = tuple(int(code) for code in daughters)
        if len(daughters) != 2:
            raise ValueError(f"daughters: expected two codes, got {daughters}")
        if layout is not TWO_BODY:
            raise ValueError(f"daughters: only for the layout TWO_BODY, not for {layout.name}")
    return daughters, tuple(abs(int(code)) for code in leptons)
