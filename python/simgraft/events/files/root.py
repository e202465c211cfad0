"""Trees in ROOT files."""

import json
from itertools import chain

import numpy as np

from simgraft.events.columns import TOP_PAIR
from simgraft.events.files._common import EventFileError, Part, broken, first_line, gather, place_of
from simgraft.events.files._writing import blocks_of, replacing
from simgraft.events.sample import need

__all__ = ["read_root", "write_root"]


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


def root_parts(path, layout, block, source, *, tree=None, names=None, collections=None, weight=None):
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
            raise broken(path, None, f"{which}; there are {', '.join(dict.fromkeys(trees)) or 'none'}")
        table = file[tree]
        keys, length = list(table.keys()), int(table.num_entries)
        written = json.loads(str(file["provenance"])) if "provenance" in file else {}
    except EventFileError:
        raise
    except Exception as error:  # uproot raises many kinds
        raise broken(path, None, f"cannot be read as ROOT file: {first_line(error)}") from error
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
            raise broken(
                path, None, f"tree {tree!r} has no branch {', '.join(missing)}; there are {', '.join(keys)}"
            )
        masks = [f"{name}_present" for name in layout.objects]
        masks = masks if all(mask in keys for mask in masks) and not jagged else []
        if weight is not None and weight not in keys:
            raise broken(path, None, f"tree {tree!r} has no branch {weight}; there are {', '.join(keys)}")
        weigh = "weight" if weight is None and "weight" in keys else weight
        branches = [*wanted.values(), *masks, *([weigh] if weigh else [])]
        for first in range(0, length, block):
            stop = min(first + block, length)
            try:
                data = table.arrays(branches, entry_start=first, entry_stop=stop, library="ak")
            except Exception as error:  # uproot raises many kinds
                raise broken(
                    path, first, f"this one to {stop - 1} cannot be read: {first_line(error)}"
                ) from error
            values, present, problem = np.zeros((len(layout), stop - first)), None, None
            try:
                if jagged:
                    present, problem = _from_jagged(awkward, data, wanted, values)
                else:
                    for row, branch in zip(values, wanted.values()):
                        row[:] = awkward.to_numpy(data[branch])
                    if masks:
                        present = np.stack([awkward.to_numpy(data[mask]) for mask in masks]).astype(bool)
                w = None if not weigh else np.asarray(awkward.to_numpy(data[weigh]), np.float64)
            except (TypeError, ValueError) as error:
                raise broken(
                    path,
                    None,
                    f"tree {tree!r}: a branch does not hold one number per event: {first_line(error)}",
                ) from error
            found = [problem, _column_problem(layout, values)]
            if w is not None and not np.isfinite(w).all():
                bad = int(np.flatnonzero(~np.isfinite(w))[0])
                found.append((bad, f"{weigh} is {w[bad]}"))
            problem = min((f for f in found if f is not None), default=None, key=place_of)
            yield Part(first, values, present, w, np.ones(stop - first, bool), None, problem)


def _from_jagged(awkward, data, wanted, values):
    """Leading jets and leptons of lists into the columns of TOP_PAIR; which are there, and (place, fault).

    Events from that place on are left as they are.
    """
    branches = {kind: [wanted[kind, q] for q in ("pT", "E", "eta", "phi")] for kind in "jl"}
    number = {
        name: awkward.to_numpy(awkward.num(data[name], axis=1))
        for names in branches.values()
        for name in names
    }
    found = []
    for first, *rest in branches.values():
        for name in rest:
            bad = np.flatnonzero(number[name] != number[first])
            if bad.size:
                what = f"{name} has {number[name][bad[0]]} entries, {first} {number[first][bad[0]]}"
                found.append((int(bad[0]), what))
    problem = min(found, default=None, key=place_of)
    n = len(data) if problem is None else problem[0]
    data, present = data[:n], np.zeros((6, len(data)), bool)
    for row, name in zip(values, ("MET", "phi_MET")):
        row[:n] = awkward.to_numpy(data[wanted[name]])
    for kind, first, most in (("j", 0, 4), ("l", 4, 2)):
        pt = branches[kind][0]
        present[first : first + most, :n] = number[pt][:n] > np.arange(most)[:, None]
        order = awkward.argsort(data[pt], axis=1, ascending=False, stable=True)
        for q, name in zip((1, 0, 2, 3), branches[kind]):
            lists = awkward.pad_none(data[name][order], most, axis=1, clip=True)
            table = awkward.to_numpy(awkward.fill_none(lists, 0.0)).T
            values[2 + 4 * first + q : 2 + 4 * (first + most) : 4, :n] = table
    return present, problem


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
    return gather(
        root_parts,
        path,
        layout,
        "raise",
        dtype,
        tree=tree,
        names=names,
        collections=collections,
        weight=weight,
    )


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
    blocks = iter(blocks_of(events))
    head = next(blocks)
    if jagged and head.layout is not TOP_PAIR:
        raise ValueError(f"jagged: only top pairs have lists of jets and leptons, not {head.layout.name}")
    weighted = head.weight is not None
    with replacing(path) as part, uproot.recreate(str(part)) as file:
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
