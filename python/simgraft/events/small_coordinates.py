"""Independent coordinates of two-body decays and of lepton pairs from e+ e-."""

import numpy as np

from simgraft.events.columns import DILEPTON, ELECTRON_MASS, MUON_MASS, TWO_BODY
from simgraft.events.flows import Condition, Coordinates, refuse
from simgraft.events.models import uniform

__all__ = ["DileptonCoordinates", "TwoBodyCoordinates"]

_SOFT = (0x65766D00 << 32) + 6  # stream of random numbers
_SOFTEST = 1e-300  # least 1 - x whose logarithm is taken
_NO_RECOIL = 1e-5  # 1 - pT^2 / pT_max^2 below this is one massless photon, within float32 columns


def breakup(mass, m1, m2):
    """Momentum [GeV] of the daughters of a decay at rest, in the form that does not cancel near threshold
    (Kallen; PDG review of kinematics, eq. 49.16); 0 where it is closed."""
    square = (mass - m1 - m2) * (mass + m1 + m2) * (mass - m1 + m2) * (mass + m1 - m2)
    return np.sqrt(np.maximum(square, 0)) / (2 * mass)


def boost(p, energy, parent, mass):
    """Momenta p (3, n) with energies (n,) in the rest frame of a parent of momentum `parent` (3, n) and mass
    (n,), as seen where the parent has that momentum [GeV]."""
    total = np.sqrt(mass**2 + (parent**2).sum(axis=0))
    return p + parent * (((parent * p).sum(axis=0) / (mass * (total + mass))) + energy / mass)


def _direction(cosine, azimuth):
    sine = np.sqrt(np.maximum((1 - cosine) * (1 + cosine), 0))
    return np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine])


def _angles(p):
    size = np.sqrt((p**2).sum(axis=0))
    cosine = np.divide(p[2], size, out=np.ones_like(size), where=size > 0)
    return np.clip(cosine, -1, 1), np.arctan2(p[1], p[0])


class TwoBodyCoordinates(Coordinates):
    """Mass and momentum of the parent, masses of the daughters, and the direction of the first in the
    parent's frame.

    A coordinate that is the same in all events (fixed masses, a parent at rest) is a constant. With the
    direction isotropic and masses drawn one by one, the coordinates are independent numbers: what remains to
    be learnt are their one-dimensional laws.

    Conditions: ``m1``, ``m2``, ``mass`` (of the parent) [GeV], which the columns tell.

    Examples
    --------
    >>> from simgraft.events import small_coordinates
    >>> small_coordinates.TwoBodyCoordinates().names[-2:]
    ('cos_theta', 'phi')
    """

    layout = TWO_BODY
    names = ("mass", "p", "p_cos_theta", "p_phi", "m1", "m2", "cos_theta", "phi")
    recipes = {"quick": {"epochs": 8}, "full": {"epochs": 40}}

    def __init__(self):
        pass

    def conditions(self):
        return {name: Condition("GeV") for name in ("mass", "m1", "m2")}

    @staticmethod
    def _parent(events):
        v = events.values.astype(np.float64)
        energy, p = v[0] + v[1], v[2:5] + v[5:8]
        square = energy**2 - (p**2).sum(axis=0)
        refuse(~(square > 0) | (energy <= 0), "has a parent of no real mass")
        mass = np.sqrt(square)
        p[:, (p**2).sum(axis=0) <= (1e-6 * energy) ** 2] = 0  # at rest, up to the rounding of float32 columns
        return v, energy, p, mass

    def derive(self, name, events):
        return self._parent(events)[3] if name == "mass" else events[name].astype(np.float64)

    def encode(self, events, condition):
        v, energy, p, mass = self._parent(events)
        refuse((v[8] < 0) | (v[9] < 0), "has a negative mass")
        parent_cosine, parent_phi = _angles(p)
        first = boost(v[2:5], v[0], -p, mass)
        cosine, phi = _angles(first)
        x = np.stack(
            [mass, np.sqrt((p**2).sum(axis=0)), parent_cosine, parent_phi, v[8], v[9], cosine, phi], axis=1
        )
        for k, name in enumerate(self.names):
            if name in condition:
                x[:, k] = 0  # given, not learnt
        return np.zeros(len(x), np.int64), x

    def decode(self, label, x, u, condition):
        mass, size, parent_cosine, parent_phi, m1, m2, cosine, phi = (
            condition.get(name, column) for name, column in zip(self.names, x.T)
        )
        total = m1 + m2
        over = np.maximum(total / mass, 1)  # beyond threshold (both masses learnt apart): reflected there
        shrink = np.where(over > 1, np.maximum(2 / over - 1, 0), 1)
        m1, m2 = m1 * shrink, m2 * shrink
        p = breakup(mass, m1, m2) * _direction(cosine, phi)
        e1 = (mass**2 + (m1 - m2) * (m1 + m2)) / (2 * mass)
        e2 = mass - e1
        second = -p
        moving = size > 0
        if moving.any():
            parent = size * _direction(parent_cosine, parent_phi)
            p = np.where(moving, boost(p, e1, parent, mass), p)
            second = np.where(moving, parent - p, second)
            e1 = np.where(moving, np.sqrt((p**2).sum(axis=0) + m1**2), e1)
            e2 = np.where(moving, np.sqrt((second**2).sum(axis=0) + m2**2), e2)
        return np.concatenate([e1[None], e2[None], p, second, m1[None], m2[None]]), None


class DileptonCoordinates(Coordinates):
    """Flavour, whether and how anything was radiated, and the direction of the lepton of negative charge in
    the frame of the pair.

    The class of an event is its flavour together with its radiation: none, along the beams, or with
    transverse momentum. With ``x+- = (E +- pz) / sqrt(s)`` of the pair the coordinates of radiation are the
    logarithm of the radiated share ``1 - m^2 / s``, in which the line shape of a resonance stands undiluted;
    the rapidity of what recoils, ``ln((1 - x+) / (1 - x-)) / 2``; and with transverse momentum the logit of
    ``pT^2 / pT_max^2``, where ``pT_max^2 = (1 - x+) (1 - x-) s`` is that of one photon. Angles are those of
    Collins and Soper, the azimuth counted from the transverse momentum; the azimuth of the whole event is
    drawn.

    Columns tell ``1 - x`` down to their rounding only, while a third of the radiation may be softer: what
    lies below is drawn from the power law ``P(1 - x < t) ~ t^b`` of soft radiation, ``b`` being learnt just
    above. A spike at no radiation is the limit of small ``b``.

    Conditions: ``sqrt_s`` [GeV] and ``process`` ("born" or "isr"), which are given with the events (Born
    events tell their energy); ``flavour`` ("e" or "mu") can always be chosen in sampling.

    Parameters
    ----------
    sqrt_s : float
        Energy of the collision [GeV], where it is no condition.
    masses : tuple of float, optional
        Of electron and muon [GeV]. Default: those of the events, where float64 columns tell them, else of the
        Particle Data Group. Generators differ in the fifth digit, which a comparison of samples would see.
    softest : float
        Least ``1 - x`` of radiation that the generator makes; Pythia's lepton distributions end at 1e-10.

    References
    ----------
    Collins & Soper 1977, doi:10.1103/PhysRevD.16.2219.

    Examples
    --------
    >>> from simgraft.events import small_coordinates
    >>> small_coordinates.DileptonCoordinates().classes[:3]
    ('e', 'e collinear', 'e pT')
    """

    layout = DILEPTON
    names = ("cos_theta", "phi", "log_share", "recoil_rapidity", "log_share_pT", "recoil_rapidity_pT", "logit_pT2")
    classes = tuple(f"{flavour}{where}" for flavour in ("e", "mu") for where in ("", " collinear", " pT"))
    n_uniform = 1
    restrictions = {"flavour": {"e": (0, 1, 2), "mu": (3, 4, 5)}}
    recipes = {"quick": {"epochs": 12}, "full": {"layers": 8, "epochs": 40}}

    def __init__(self, sqrt_s=91.19, masses=None, softest=0.0):
        self.sqrt_s = sqrt_s
        self.masses = masses
        self.softest = softest

    @property
    def features(self):
        """Flavour, radiation, transverse momentum, as -1 and 1."""
        where = np.array([[-1, -1], [1, -1], [1, 1]], np.float32)
        return np.hstack([np.repeat(np.array([-1, 1], np.float32), 3)[:, None], np.tile(where, (2, 1))])

    @property
    def alive(self):
        return np.array([[1, 0, 0, 0, 0, 0, 0], [1, 0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 1, 1, 1]] * 2, bool)

    def conditions(self):
        return {"sqrt_s": Condition("GeV"), "process": Condition("1", ("born", "isr"))}

    def derive(self, name, events):
        """The energy of events without radiation: that of the pair, if it is at rest."""
        if name != "sqrt_s":
            return None
        total = events.values.astype(np.float64).reshape(4, 4, -1).sum(axis=0)
        at_rest = (total[1:] ** 2).sum(axis=0) <= (1e-6 * total[0]) ** 2
        return total[0] if at_rest.all() else None

    def fit(self, events):
        super().fit(events)
        if self.masses is None and events.values.dtype == np.float64:
            for k, name in enumerate(("e", "mu")):
                e, *p = events.values.reshape(2, 2, 4, -1)[k].swapaxes(0, 1)[..., events.present[2 * k]]
                size = np.sqrt(np.square(p).sum(axis=0))
                # Each loses some 1e-6 of an electron's m^2 to rounding at 45 GeV; the median of many does not.
                square = np.median((e - size) * (e + size)) if size.size else 0.0
                if square > 0:
                    self.constants[f"mass_{name}"] = float(np.sqrt(square))
        return self

    def _lepton(self, muon):
        """Mass [GeV] of the leptons of each event."""
        known = ELECTRON_MASS, MUON_MASS
        learnt = [self.constants.get(f"mass_{name}", mass) for name, mass in zip(("e", "mu"), known)]
        return np.asarray(learnt if self.masses is None else self.masses)[muon.astype(int)]

    def _beams(self, n, condition):
        return condition["sqrt_s"] if "sqrt_s" in condition else np.full(n, float(self.sqrt_s))

    def encode(self, events, condition):
        v = events.values.astype(np.float64).reshape(4, 4, -1)
        there, n = events.present, len(events)
        muon = there[2] & there[3]
        refuse(
            ~((there[0] & there[1]) ^ muon) | (there[:2].any(axis=0) & there[2:].any(axis=0)),
            "is no lepton pair",
        )
        minus, plus = np.where(muon, v[2], v[0]), np.where(muon, v[3], v[1])
        lepton = self._lepton(muon)
        roots = self._beams(n, condition)
        # Rounding of E + pz of two leptons: a few units in the last place of sqrt(s).
        nothing = 1e-7 if events.values.dtype == np.float32 else 2e-14
        pair = minus + plus
        one, two = 1 - (pair[0] + pair[3]) / roots, 1 - (pair[0] - pair[3]) / roots
        refuse((one < -10 * nothing) | (two < -10 * nothing), "has more energy than the collision")
        pt = np.hypot(pair[1], pair[2])
        hard = pt > nothing * roots
        radiated = np.full(n, ((one > nothing) | (two > nothing)).any())
        if "process" in condition:
            radiated = condition["process"] == 1
            refuse(~radiated & ((one > nothing) | (two > nothing)), "radiates, but its process is born")
        even = uniform(0, _SOFT, 0, n, 3).T
        soft = [self._soft(x[radiated & ~hard], nothing) for x in (one, two)]
        least = min(self.softest, nothing) / nothing
        x1, x2 = (
            np.where(x > nothing, x, nothing * (least**b + even[k] * (1 - least**b)) ** (1 / b))
            for k, (x, b) in enumerate(zip((one, two), soft))
        )
        # One photon at least takes this on the other side: rounding has no say where that is more.
        least = np.minimum((pt / roots) ** 2 / np.maximum(np.maximum(one, two), nothing), 1)
        x1 = np.where(hard, np.maximum(one, np.where(one < two, least, nothing)), x1)
        x2 = np.where(hard, np.maximum(two, np.where(one < two, nothing, least)), x2)
        a, b = np.log(np.maximum(x1, _SOFTEST)), np.log(np.maximum(x2, _SOFTEST))
        ratio = np.clip((pt / roots) ** 2 * np.exp(np.where(hard, -a - b, 0)), 1e-12, 1) * hard
        # Below _NO_RECOIL columns do not tell the rest from rounding: spread evenly.
        rest = np.where(1 - ratio < _NO_RECOIL, _NO_RECOIL * even[2], 1 - ratio)
        share = np.exp(a) + np.exp(b) - rest * np.exp(a + b)
        energy, momentum = minus[0], minus[1:]
        # Rounding can take a pair near threshold below it.
        square = np.maximum(pair[0] ** 2 - (pair[1:] ** 2).sum(axis=0), (2 * lepton) ** 2)
        self.constants["tau_min"] = float((square / roots**2).min())
        # First to the frame in which the pair has no pz, then along its transverse momentum to rest.
        momentum, energy = _along_z(momentum, energy, -pair[3], np.sqrt(square + pt**2))
        flat = np.stack([pair[1], pair[2], np.zeros(n)])
        cosine, phi = _angles(boost(momentum, energy, -flat, np.sqrt(square)))
        phi = np.where(hard, np.mod(phi - np.arctan2(pair[2], pair[1]) + np.pi, 2 * np.pi) - np.pi, 0)
        label = np.where(radiated, 1 + hard, 0) + 3 * muon
        radiation = np.log(share), 0.5 * (a - b)
        x = [cosine, phi, *radiation, *radiation, np.log(np.where(hard, ratio / rest, 1))]
        return label.astype(np.int64), np.stack(x, axis=1)

    @staticmethod
    def _soft(x, nothing):
        """Exponent of the power law of soft radiation, from the events just above what can be told."""
        below, above = np.count_nonzero(x <= nothing), np.count_nonzero(x <= 8 * nothing)
        return max(np.log(above / below) / np.log(8), 1e-3) if below else 1.0

    def decode(self, label, x, u, condition):
        n = len(label)
        roots = self._beams(n, condition)
        muon, where = label >= 3, label % 3
        lepton = self._lepton(muon)
        cosine, phi, *along, share_pt, rapidity_pt, logit = x.T
        hard = where == 2
        log_share, rapidity = np.where(hard, [share_pt, rapidity_pt], along)
        # 1 - x+- = g exp(+-rapidity), pT^2 = ratio g^2 s; 1 - m^2 / s = 2 g cosh(rapidity) - rest g^2,
        # which is held below what the training events had.
        ratio, rest = np.where(hard, [1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(logit))], [[0.0], [1.0]])
        cosh, share = np.cosh(rapidity), np.minimum(np.exp(log_share), 1 - self.constants["tau_min"])
        g = np.where(where > 0, share / (cosh + np.sqrt(cosh**2 - rest * share)), 0)
        one, two = g * np.exp(rapidity), g * np.exp(-rapidity)
        pt = roots * np.sqrt(ratio) * g
        azimuth = 2 * np.pi * u[:, 0]
        pz = 0.5 * roots * (two - one)
        square = (
            roots**2 * np.maximum((1 - one) * (1 - two), self.constants["tau_min"] + (pt / roots) ** 2)
            - pt**2
        )
        mass = np.sqrt(np.maximum(square, (2 * lepton) ** 2))  # muons where the least mass is that of electrons
        pair = np.stack([pt * np.cos(azimuth), pt * np.sin(azimuth), np.zeros(n)])
        p = breakup(mass, lepton, lepton) * _direction(cosine, phi + azimuth)
        p = boost(p, mass / 2, pair, mass)
        p, _ = _along_z(p, np.sqrt((p**2).sum(axis=0) + lepton**2), pz, np.sqrt(mass**2 + pt**2))
        pair[2] = pz
        out = np.zeros((4, 4, n))
        for k, q in enumerate((p, pair - p)):
            row = np.concatenate([np.sqrt((q**2).sum(axis=0) + lepton**2)[None], q])
            out[k], out[k + 2] = np.where(muon, 0, row), np.where(muon, row, 0)
        return out.reshape(16, n), np.stack([~muon, ~muon, muon, muon])


def _along_z(p, energy, pz, mass):
    """Momenta (3, n) and energies (n,) boosted along z by the velocity of (sqrt(mass^2 + pz^2), pz)."""
    total = np.sqrt(mass**2 + pz**2)
    q = p.copy()
    q[2] = (p[2] * total + energy * pz) / mass
    return q, (energy * total + p[2] * pz) / mass
