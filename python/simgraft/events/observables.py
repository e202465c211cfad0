"""Quantities built from the columns of events, and the composite ones by which samples are compared."""

from dataclasses import dataclass

import numpy as np

from simgraft import _core
from simgraft.events.columns import DILEPTON, ELECTRON_MASS, MUON_MASS, TOP_PAIR, TWO_BODY

__all__ = [
    "Residual",
    "asymmetry",
    "composites",
    "delta_phi",
    "delta_r",
    "four_momentum",
    "mass",
    "rapidity",
    "residuals",
    "transverse_momentum",
]

_KINDS = {TWO_BODY: "two_body", DILEPTON: "dilepton", TOP_PAIR: "top_pair"}
_LEPTON_MASS = {"em": ELECTRON_MASS, "ep": ELECTRON_MASS, "mum": MUON_MASS, "mup": MUON_MASS}


def _kind(layout):
    if layout not in _KINDS:
        raise ValueError(f"events: expected the layout of a two-body decay, lepton pair or top pair, got {layout.name}")
    return _KINDS[layout]


def _objects(events, names):
    """Columns (k, 4) of the four-momenta of objects, and whether they read E, pT, eta, phi."""
    layout, index = events.layout, []
    for name in (names,) if isinstance(names, str) else tuple(names):
        at = layout.of(name)
        if layout == TWO_BODY:
            at = [layout.index(f"{q}{name}") for q in ("E", "px", "py", "pz")]
        index.append(at)
    if not index:
        raise ValueError("objects: expected at least one name")
    return np.array(index, np.int64), layout == TOP_PAIR


def _system(events, objects, num_threads):
    index, detector = _objects(events, objects)
    return _core.event_system(
        np.ascontiguousarray(events.values), detector, index, 0 if num_threads is None else num_threads
    )


def four_momentum(events, objects, *, num_threads=None):
    """Four-momentum of a system of objects.

    Parameters
    ----------
    events : Events
        Of one of the layouts of this room.
    objects : str or sequence of str
        Names of objects, as ``events.layout.objects``; an absent one adds nothing.
    num_threads : int, optional
        Threads; default ``OMP_NUM_THREADS`` or all. The bits do not depend on it.

    Returns
    -------
    (4, n) array of the dtype of the events [GeV]
        E, px, py, pz.

    Raises
    ------
    KeyError
        If there is no such object; the message lists them.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import DILEPTON, Events, observables
    >>> values = np.zeros((16, 1))
    >>> values[:4, 0], values[4:8, 0] = (45, 0, 0, 45), (45, 0, 0, -45)
    >>> observables.four_momentum(Events(DILEPTON, values), ["em", "ep"])[:, 0]
    array([90.,  0.,  0.,  0.])
    """
    return _system(events, objects, num_threads)[:4]


def mass(events, objects, *, num_threads=None):
    """Invariant mass [GeV] of a system of objects, (n,); ``-sqrt(-m2)`` where its square is negative. Arguments as of `four_momentum`.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import DILEPTON, Events, observables
    >>> values = np.zeros((16, 1))
    >>> values[:4, 0], values[4:8, 0] = (45, 0, 0, 45), (45, 0, 0, -45)
    >>> observables.mass(Events(DILEPTON, values), ["em", "ep"])
    array([90.])
    """
    return _system(events, objects, num_threads)[4]


def transverse_momentum(events, objects, *, num_threads=None):
    """Transverse momentum [GeV] of a system of objects, (n,). Arguments as of `four_momentum`."""
    return _system(events, objects, num_threads)[5]


def rapidity(events, objects, *, num_threads=None):
    """Rapidity [1] of a system of objects, (n,): 1/2 ln((E + pz) / (E - pz)). Arguments as of `four_momentum`."""
    return _system(events, objects, num_threads)[6]


def _direction(events, objects):
    """Pseudorapidity and azimuth of a system."""
    if isinstance(objects, str) and events.layout == TOP_PAIR:
        return events[f"{objects}_eta"], events[f"{objects}_phi"]
    _, x, y, z = four_momentum(events, objects)
    pt = np.hypot(x, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.arcsinh(z / pt), np.arctan2(y, x)


def _separation(events, a, b):
    directions = [np.ascontiguousarray(x) for objects in (a, b) for x in _direction(events, objects)]
    return _core.event_separation(*directions)


def delta_phi(events, a, b):
    """Azimuth [rad] between two systems of objects, (n,), 0 to pi.

    Parameters
    ----------
    events : Events
    a, b : str or sequence of str
        Names of the objects of each system, present in the event.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import TOP_PAIR, Events, observables
    >>> values = np.zeros((26, 1))
    >>> values[2:6, 0], values[6:10, 0] = (50, 50, 0, 3.0), (50, 50, 0, -3.0)
    >>> observables.delta_phi(Events(TOP_PAIR, values), "j1", "j2").round(6)
    array([0.283185])
    """
    return _separation(events, a, b)[0]


def delta_r(events, a, b):
    """Distance sqrt(delta eta^2 + delta phi^2) [1] of two systems of objects, (n,). Arguments as of `delta_phi`."""
    return _separation(events, a, b)[1]


def composites(events, *, num_threads=None):
    """Composite quantities of events: what a classifier of raw columns finds hard to build.

    Parameters
    ----------
    events : Events
        Two-body decays, lepton pairs or top pairs.
    num_threads : int, optional
        Threads; the bits do not depend on it.

    Returns
    -------
    values : (n, k) array of the dtype of the events
        A view of columns (k, n).
    names : tuple of str
        Two-body: mass, energy and momentum of the sum, momenta, cosine, defects of the mass shells
        (E^2 - p^2 - m^2) / M^2. Lepton pairs: mass, energy, pT, rapidity of the pair, cosine of the Collins-Soper angle and of
        the opening angle, pT of each, m^2 / m_ll^2 of each. Top pairs: masses of all systems of jets, of the lepton with each
        jet, of all with one and two leptons; Delta R of all pairs; angles to the missing momentum; transverse mass of the W;
        H_T; pT of the jets, of all with the missing momentum, of lepton and missing momentum; rapidity; mass of the jet pair
        nearest the W and of the triple around it with the largest pT.

    Notes
    -----
    Defects below 64 roundings are set to 0, so that two samples do not differ by the order of operations of their generators.
    In float32 the last digits of a mass are still those of the columns: compare samples of one dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import TWO_BODY, Events, observables
    >>> event = np.array([[5.0, 5.0, 0, 0, 3, 0, 0, -3, 4, 4]]).T
    >>> values, names = observables.composites(Events(TWO_BODY, event))
    >>> dict(zip(names, values[0].tolist()))["M"]
    10.0
    """
    kind = _kind(events.layout)
    values = np.ascontiguousarray(events.values)
    out = _core.event_composites(kind, values, 0 if num_threads is None else num_threads)
    return out.T, tuple(text.split()[0] for text in _core.event_composite_names(kind))


@dataclass(frozen=True)
class Residual:
    """By how much a law is broken.

    Attributes
    ----------
    name : str
    median, p99, maximum : float [1]
        Of the relative residuals of all events.
    """

    name: str
    median: float
    p99: float
    maximum: float


def residuals(events, *, energy=None, momentum=None):
    """Residuals of the mass shell and of the conservation of energy and momentum, in double precision.

    Parameters
    ----------
    events : Events
    energy : float or (n,) array, optional [GeV]
        What the energies add up to; without it the conservation of energy and momentum is not tested.
    momentum : (3,) or (3, n) array, optional [GeV]
        What the momenta add up to; default 0.

    Returns
    -------
    tuple of Residual
        Two-body and lepton pairs: \\|E^2 - p^2 - m^2\\| / M^2 of each particle, with the masses of the columns or of the leptons and
        the mass M of the sum; \\|sum E - energy\\| / energy, \\|sum p - momentum\\| / energy. Top pairs: \\|E - pT cosh eta\\| / E of
        the leptons, and of jets where E is the smaller. Absent objects take no part.

    Notes
    -----
    Float32 columns cannot do better than 1e-7, and 1 - x below 1e-7 is lost there.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import TWO_BODY, Events, observables
    >>> event = np.array([[5.0, 5.0, 0, 0, 3, 0, 0, -3, 4, 4]]).T
    >>> [r.maximum for r in observables.residuals(Events(TWO_BODY, event), energy=10.0)]
    [0.0, 0.0, 0.0, 0.0]
    """
    _kind(events.layout)
    layout, found = events.layout, []
    if layout == TOP_PAIR:
        if energy is not None:
            raise ValueError("energy: the columns of a top pair do not hold all particles; expected None")
        for k, name in enumerate(layout.objects):
            e, pt, eta = (events[f"{name}_{q}"].astype(np.float64)[events.present[k]] for q in ("E", "pT", "eta"))
            defect = (e - pt * np.cosh(eta)) / np.where(e > 0, e, 1.0)
            found.append((f"{name} mass shell", np.maximum(-defect, 0.0) if name.startswith("j") else np.abs(defect)))
        return _summary(found)
    total = 0.0
    vectors = {}
    for name in layout.objects:
        index, _ = _objects(events, name)
        vectors[name] = events.values[index[0]].astype(np.float64)
        total = total + vectors[name]
    size = np.abs(total[0] ** 2 - (total[1:] ** 2).sum(axis=0))
    size = np.where(size > 0, size, 1.0)
    for k, name in enumerate(layout.objects):
        p = vectors[name]
        m = events[f"m{name}"].astype(np.float64) if layout == TWO_BODY else _LEPTON_MASS[name]
        length = np.sqrt((p[1:] ** 2).sum(axis=0))
        shell = np.abs((p[0] - length) * (p[0] + length) - m**2) / size
        found.append((f"{name} mass shell", shell[events.present[k]]))
    if energy is not None:
        momentum = np.zeros(3) if momentum is None else np.asarray(momentum, np.float64)
        momentum = momentum[:, None] if momentum.ndim == 1 else momentum
        found.append(("energy", np.abs(total[0] - energy) / energy))
        found.append(("momentum", np.sqrt(((total[1:] - momentum) ** 2).sum(axis=0)) / energy))
    return _summary(found)


def _summary(found):
    def one(name, x):
        return Residual(name, *(map(float, (np.median(x), np.percentile(x, 99), x.max())) if len(x) else (0.0,) * 3))

    return tuple(one(name, x) for name, x in found)


def asymmetry(cosine, weight=None):
    """Forward-backward asymmetry by counting, (F - B) / (F + B), and its standard error.

    Parameters
    ----------
    cosine : (n,) array [1]
        Forward where above 0; events at exactly 0 take no part.
    weight : (n,) float64 array [1], optional
        Weights of the events.

    Returns
    -------
    value, error : float [1]
        Error sqrt((1 - A^2) / N) with the effective number of events, (sum w)^2 / sum w^2.

    Raises
    ------
    ValueError
        If no event is left.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import observables
    >>> observables.asymmetry(np.array([0.5, 0.1, -0.2, 0.9]))[0]
    0.5
    """
    cosine = np.asarray(cosine)
    w = (np.ones(cosine.shape) if weight is None else np.asarray(weight, np.float64)) * (cosine != 0)
    total = w.sum()
    if not total > 0:
        raise ValueError("cosine: no event with a positive weight and an angle that is not 0")
    value = float((w * np.sign(cosine)).sum() / total)
    return value, float(np.sqrt(max(1 - value**2, 0.0) * (w**2).sum()) / total)
