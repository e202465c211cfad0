"""Tables of muon pairs of CMS open data."""

from itertools import count, islice

import numpy as np

from simgraft.events.columns import DILEPTON, MUON_MASS
from simgraft.events.files._common import Part, broken, gather, open_packed, place_of

__all__ = ["read_cms_dimuon_csv"]

_CARTESIAN = tuple(f"{q}{k}" for k in (1, 2) for q in ("E", "px", "py", "pz"))
_CYLINDER = tuple(f"{q}{k}" for k in (1, 2) for q in ("pt", "eta", "phi"))


def cms_parts(path, layout, block, source):
    if layout is not DILEPTON:
        raise ValueError(f"layout: a table of muon pairs gives DILEPTON, not {layout.name}")
    with open_packed(path, "rt", newline="", errors="replace") as file:
        header = [name.strip() for name in file.readline().strip().lstrip("\ufeff").split(",")]
        wanted = _CARTESIAN if set(_CARTESIAN) <= set(header) else _CYLINDER
        missing = [name for name in (*wanted, "Q1", "Q2") if name not in header]
        if missing:
            raise broken(path, None, f"no column {', '.join(missing)}; there are {', '.join(header)}")
        names = (*wanted, "Q1", "Q2")
        columns = [header.index(name) for name in names]
        source.update(format="csv", generator="CMS open data", beams=[2212, 2212])
        lines = (line for line in file if line.strip())
        for first in count(0, block):
            part = list(islice(lines, block))
            if not part:
                return
            rows, problem = _csv_numbers(part, names, columns, len(header))
            with np.errstate(all="ignore"):
                values, found = _dimuon(dict(zip(names, rows)), wanted)
            problem = min((p for p in (problem, found) if p is not None), default=None, key=place_of)
            q = rows[-2:]
            n = rows.shape[1]
            opposite = q[0] * q[1] == -1
            present = np.zeros((4, n), bool)
            present[2:] = opposite

            def why(i, q=q):
                return f"charges Q1 = {q[0, i]:g} and Q2 = {q[1, i]:g} are not opposite"

            yield Part(first, values, present, None, opposite, why, problem)
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
    return values, min(found, default=None, key=place_of)


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
    return gather(cms_parts, path, DILEPTON, others, dtype)
