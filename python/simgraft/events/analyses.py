"""What an experiment reads off its events: masses, widths, asymmetries, efficiencies, each with its statistical error.

The analyses count events, so their samples must be unweighted. They know nothing of where events come from: that is what makes
their answers comparable between a generator and a network in its place.
"""

from dataclasses import dataclass

import numpy as np

from simgraft.events.columns import DILEPTON, ELECTRON_MASS
from simgraft.events.dilepton import Dilepton, radiator
from simgraft.events.observables import composites, four_momentum
from simgraft.events.sample import Events

__all__ = [
    "Fit", "TopCandidates", "cos_theta_star", "cut_flow", "dimuon_mass", "fit_bins", "fit_dimuon_peak", "fit_lineshape",
    "fit_top_peak", "forward_backward", "lepton_pair", "reconstruct_top", "pull",
]  # fmt: skip

ALPHA = 1 / 137.035999  # of soft photons
LINESHAPE_BINS = np.concatenate([[0.0], np.geomspace(1e-5, 0.2, 44)])  # of the radiated share x = 1 - m_ll^2/s
Z_MASS, Z_WIDTH, W_MASS = 91.1876, 2.4952, 80.4  # GeV


def _unweighted(events):
    if events.weight is not None:
        raise ValueError("events: an analysis counts events; unweight the sample first (it carries weights)")


@dataclass(frozen=True)
class Fit:
    """Result of a fit.

    Attributes
    ----------
    names : tuple of str
    values, errors : (k,) float64 arrays
        Parameters and their standard errors.
    chi2, degrees : float, int
        Pearson's chi-squared of the bins at the best fit, and its degrees of freedom.
    expected : (n_bins,) float64 array
        Events expected in each bin.
    """

    names: tuple
    values: np.ndarray
    errors: np.ndarray
    chi2: float
    degrees: int
    expected: np.ndarray

    def __getitem__(self, name):
        """(value, error) of a parameter."""
        i = self.names.index(name)
        return float(self.values[i]), float(self.errors[i])


def fit_bins(counts, share, start, names, scale):
    """Fit the shares of events in bins by maximum likelihood.

    Parameters
    ----------
    counts : (n_bins,) array
        Events in each bin.
    share : callable
        ``share(parameters) -> (n_bins,)`` array > 0 of expected shares, normalised here.
    start, scale : (k,) sequence of float
        Where to begin, and how far a parameter reasonably moves.
    names : sequence of str
        Of the parameters.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        If there are no more filled bins than parameters, or the fit does not converge.

    Notes
    -----
    Errors from the expected information of a multinomial, I = N sum dp dp' / p.

    Examples
    --------
    >>> x = np.linspace(-2.9, 2.9, 30)
    >>> fit = fit_bins(np.round(1e4 * np.exp(-0.5 * (x - 0.3)**2)), lambda p: np.exp(-0.5 * (x - p[0])**2), [0.0], ["mean"], [1.0])
    >>> [round(v, 3) for v in fit["mean"]]
    [0.3, 0.003]
    """
    from scipy import optimize

    counts, start, scale = (np.asarray(v, np.float64) for v in (counts, start, scale))
    n = counts.sum()
    if np.count_nonzero(counts) <= len(start):
        raise ValueError(f"counts: {np.count_nonzero(counts)} filled bins cannot determine {len(start)} parameters")

    def shares(u):
        p = np.maximum(np.asarray(share(start + scale * u), np.float64), 1e-300)
        return np.maximum(p / p.sum(), 1e-12)

    def loss(u):
        p = shares(u)
        return 2 * np.sum(n * p - counts + counts * np.log(np.where(counts > 0, counts, 1) / (n * p)))

    best = optimize.minimize(loss, np.zeros(len(start)), method="Nelder-Mead", options={
        "xatol": 1e-5, "fatol": 1e-5, "maxfev": 4000, "adaptive": True,
        "initial_simplex": np.vstack([np.zeros(len(start)), 0.5 * np.eye(len(start))])})  # fmt: skip
    if not best.success or not np.isfinite(best.fun):
        raise ValueError(f"counts: the fit of {', '.join(names)} did not converge ({best.message})")
    u, p, h = best.x, shares(best.x), 1e-3
    slope = np.array([(shares(u + h * e) - shares(u - h * e)) / (2 * h) for e in np.eye(len(u))])
    covariance = np.linalg.pinv(n * (slope / p) @ slope.T)
    expected = n * p
    used = expected > 1
    chi2 = float(np.sum((counts - expected)[used] ** 2 / expected[used]))
    errors = scale * np.sqrt(np.diag(covariance))
    return Fit(tuple(names), start + scale * u, errors, chi2, int(used.sum()) - 1 - len(u), expected)


def pull(a, b):
    """How many standard errors two (value, error) pairs of independent samples lie apart.

    Examples
    --------
    >>> round(pull((1.0, 0.3), (2.0, 0.4)), 12)
    2.0
    """
    error = np.hypot(a[1], b[1])
    return float((b[0] - a[0]) / error) if error > 0 else float(np.sign(b[0] - a[0]) * np.inf if b[0] != a[0] else 0.0)


# ------------------------------------------------------------------------------------------------------ lepton pairs


def _double(events):
    """The same events with columns in float64."""
    if events.values.dtype == np.float64:
        return events
    return Events(events.layout, events.values.astype(np.float64), present=events.present)


def lepton_pair(events):
    """Four-momenta (4, n) [GeV] of the negative and of the positive lepton of each event, of either flavour.

    Raises
    ------
    ValueError
        If an event has not exactly one pair; it is named.
    """
    electron, muon = events.present[0] & events.present[1], events.present[2] & events.present[3]
    bad = np.flatnonzero((events.present.sum(axis=0) != 2) | (electron == muon))
    if bad.size:
        raise ValueError(f"events: event {bad[0]} has not exactly one lepton pair ({bad.size} such events)")
    events = _double(events)
    return four_momentum(events, ("em", "mum")), four_momentum(events, ("ep", "mup"))  # the absent flavour is 0


def _mass(p):
    """Invariant mass [GeV] of (4, n) momenta; 0 where rounding makes the square negative."""
    return np.sqrt(np.maximum(p[0] ** 2 - p[1] ** 2 - p[2] ** 2 - p[3] ** 2, 0.0))


def cos_theta_star(minus, plus):
    """Cosine of the angle of the negative lepton to the e- beam (+z) in the rest frame of the pair.

    Parameters
    ----------
    minus, plus : (4, n) float64 arrays [GeV]

    Returns
    -------
    (n,) float64 array [1]

    Notes
    -----
    Collins & Soper (1977, doi:10.1103/PhysRevD.16.2219): exact for radiation along the beams. One of the
    :func:`~simgraft.events.observables.composites` of a pair.
    """
    values, names = composites(Events(DILEPTON, np.concatenate([minus, plus, np.zeros((8, minus.shape[1]))])))
    return values[:, names.index("cos_theta_star")]


def forward_backward(cosine):
    """Forward-backward asymmetry by maximum likelihood, (value, error) [1].

    Parameters
    ----------
    cosine : (n,) float64 array [1]

    Notes
    -----
    Density 3/8 (1 + c^2) + A c, of which counting forward and backward events uses the sign alone.

    Examples
    --------
    >>> c = np.linspace(-1, 1, 20001)
    >>> c = np.interp((np.arange(9999) + 0.5) / 9999, (c + 1) / 2 + (c**3 - c) / 8 + 0.1 * (c**2 - 1) / 2, c)
    >>> [round(x, 2) for x in forward_backward(c)]
    [0.1, 0.01]
    """
    ratio = cosine / (0.375 * (1 + cosine**2))
    value = 0.0
    for _ in range(30):
        term = ratio / (1 + value * ratio)
        step = term.sum() / np.sum(term**2)
        value = float(np.clip(value + step, -0.7499, 0.7499))
        if abs(step) < 1e-10:
            break
    return value, float(1 / np.sqrt(np.sum((ratio / (1 + value * ratio)) ** 2)))


def _radiated_share(edges, energy, mass, width, nodes=12):
    """Cross section [nb] of e+ e- -> mu+ mu- with radiated share x of s in each bin of x: radiator times Born at s (1 - x)."""
    beta = 2 * ALPHA / np.pi * (2 * np.log(energy / ELECTRON_MASS) - 1)
    point, weight = np.polynomial.legendre.leggauss(nodes)
    # t = x^beta takes the soft singularity: beta x^(beta - 1) dx = dt.
    t = edges**beta
    middle, half = 0.5 * (t[1:] + t[:-1]), 0.5 * np.diff(t)
    x = (middle[:, None] + half[:, None] * point) ** (1 / beta)
    born, _ = Dilepton(energy, flavours=("mu",), mass=mass, width=width).cross_section(energy * np.sqrt(1 - x))
    return (radiator(x, energy) * x ** (1 - beta) / beta * born * weight).sum(axis=1) * half


def fit_lineshape(mass_ll, energy):
    """Mass and width of the Z from the masses of lepton pairs with radiation at one beam energy.

    Parameters
    ----------
    mass_ll : (n,) float64 array [GeV]
        Of pairs after radiation of the beams.
    energy : float [GeV]
        Of the collision.

    Returns
    -------
    Fit
        Of ``mass`` and ``width`` [GeV].

    Notes
    -----
    The Born cross-section of :class:`Dilepton` (fixed width, with photon and interference) times its :func:`radiator` of second order in
    x = 1 - m^2/s. Radiation scans the lineshape below the energy of the beams: the spectrum falls off as the resonance does.
    """
    edges = LINESHAPE_BINS
    counts = np.histogram(np.clip(1 - (mass_ll / energy) ** 2, 0, None), edges)[0]
    return fit_bins(
        counts, lambda p: _radiated_share(edges, energy, p[0], abs(p[1])), [Z_MASS, Z_WIDTH], ["mass", "width"], [0.1, 0.2]
    )


def dimuon_mass(pt, eta, phi):
    """Invariant mass [GeV] of pairs of light particles from (2, n) transverse momenta [GeV], pseudorapidities and angles [rad].

    Examples
    --------
    >>> dimuon_mass(np.array([[45.0], [45.0]]), np.zeros((2, 1)), np.array([[0.0], [np.pi]]))
    array([90.])
    """
    return np.sqrt(2 * pt[0] * pt[1] * (np.cosh(eta[0] - eta[1]) - np.cos(phi[0] - phi[1])))


def fit_dimuon_peak(mass, window=(76.0, 106.0), bins=60):
    """Z peak in masses of muon pairs of a hadron collider.

    Parameters
    ----------
    mass : (n,) float64 array [GeV]
    window : (low, high) [GeV]
    bins : int

    Returns
    -------
    Fit
        Of ``mass``, ``resolution`` [GeV], ``background`` [1] (its share) and ``slope`` [GeV-1].

    Notes
    -----
    A Breit-Wigner of the known width, blurred by a Gaussian (Voigt profile), on a falling exponential.
    """
    from scipy.special import voigt_profile

    edges = np.linspace(*window, bins + 1)
    centre = 0.5 * (edges[1:] + edges[:-1])
    counts = np.histogram(mass, edges)[0]

    def share(p):
        peak = voigt_profile(centre - p[0], abs(p[1]) + 1e-3, Z_WIDTH / 2)
        rest = np.exp(-p[3] * (centre - window[0]))
        b = np.clip(p[2], 0.0, 1.0)
        return (1 - b) * peak / peak.sum() + b * rest / rest.sum()

    names = ("mass", "resolution", "background", "slope")
    return fit_bins(counts, share, [91.0, 1.5, 0.1, 0.05], names, [0.3, 0.5, 0.1, 0.05])


# --------------------------------------------------------------------------------------------------------- top pairs


@dataclass(frozen=True)
class TopCandidates:
    """Reconstructed semileptonic top pairs.

    Attributes
    ----------
    chosen : (n,) bool array
        Events that have a lepton and four jets.
    mass_hadronic, mass_leptonic, mass_w : (n,) float64 arrays [GeV]
        Three jets, the other jet with lepton and neutrino, and the two jets of the W; 0 where not chosen.
    chi2 : (n,) float64 array
        Of the best assignment; infinity where not chosen.
    """

    chosen: np.ndarray
    mass_hadronic: np.ndarray
    mass_leptonic: np.ndarray
    mass_w: np.ndarray
    chi2: np.ndarray


def _neutrinos(lepton, px, py):
    """Both solutions (2, 4, n) of a massless neutrino with these transverse momenta that make a W with the lepton."""
    pt2 = px**2 + py**2
    a = 0.5 * W_MASS**2 + lepton[1] * px + lepton[2] * py
    lepton_pt2 = np.maximum(lepton[1] ** 2 + lepton[2] ** 2, 1e-12)
    root = np.sqrt(np.maximum(a**2 - lepton_pt2 * pt2, 0.0))  # no real solution: the nearest, with a real part only
    pz = np.stack([(a * lepton[3] + sign * lepton[0] * root) / lepton_pt2 for sign in (-1, 1)])
    return np.stack([np.stack([np.sqrt(pt2 + z * z), px, py, z]) for z in pz])


def reconstruct_top(events, resolution_w=12.0, resolution_top=20.0):
    """Reconstruct semileptonic top pairs by the best assignment of four jets.

    Parameters
    ----------
    events : Events
        Of the layout TOP_PAIR.
    resolution_w, resolution_top : float [GeV]
        Of the mass of two jets, and of the difference between the two top masses.

    Returns
    -------
    TopCandidates

    Notes
    -----
    chi2 = ((m_jj - m_W)/resolution_w)^2 + ((m_jjj - m_jlv)/resolution_top)^2, smallest of 12 assignments and two neutrinos whose
    transverse momentum is the missing one. The top mass itself does not enter, so that it can be measured.
    """
    events = _double(events)
    jets = np.stack([four_momentum(events, f"j{i}") for i in range(1, 5)])
    lepton = four_momentum(events, "l1")
    index = {name: i for i, name in enumerate(events.layout.objects)}
    chosen = np.logical_and.reduce([events.present[index[name]] for name in ("j1", "j2", "j3", "j4", "l1")])
    met, angle = events["MET"], events["phi_MET"]
    neutrinos = _neutrinos(lepton, met * np.cos(angle), met * np.sin(angle))
    n = len(events)
    best = [np.zeros(n) for _ in range(3)] + [np.full(n, np.inf)]
    total = jets.sum(axis=0)
    for other in range(4):
        leptonic = [_mass(jets[other] + lepton + nu) for nu in neutrinos]
        hadronic = _mass(total - jets[other])
        rest = [i for i in range(4) if i != other]
        for b in rest:
            w = _mass(sum(jets[i] for i in rest if i != b))
            for mass in leptonic:
                chi2 = ((w - W_MASS) / resolution_w) ** 2 + ((hadronic - mass) / resolution_top) ** 2
                better = chosen & (chi2 < best[3])
                for kept, value in zip(best, (hadronic, mass, w, chi2), strict=True):
                    kept[better] = value[better]
    return TopCandidates(chosen, *best)


TOP_EDGES = np.linspace(110.0, 260.0, 51)  # GeV


def fit_top_peak(mass):
    """Peak of the reconstructed mass of hadronic tops.

    Parameters
    ----------
    mass : (n,) float64 array [GeV]

    Returns
    -------
    Fit
        Of ``mass`` and ``width`` [GeV] of a Gaussian, ``signal`` [1] (its share), and of the logarithm's ``centre`` and ``spread``
        of a log-normal of wrong assignments.
    """
    centre = 0.5 * (TOP_EDGES[1:] + TOP_EDGES[:-1])
    counts = np.histogram(mass, TOP_EDGES)[0]

    def share(p):
        peak = np.exp(-0.5 * ((centre - p[0]) / max(abs(p[1]), 1.0)) ** 2)
        rest = np.exp(-0.5 * ((np.log(centre) - p[3]) / max(abs(p[4]), 0.02)) ** 2) / centre
        signal = np.clip(p[2], 0.0, 1.0)
        return signal * peak / peak.sum() + (1 - signal) * rest / rest.sum()

    names = ("mass", "width", "signal", "centre", "spread")
    return fit_bins(counts, share, [170.0, 15.0, 0.5, np.log(175.0), 0.3], names, [5.0, 4.0, 0.15, 0.1, 0.1])


CUTS = (
    ("lepton pT > 25 GeV, |eta| < 2.5", lambda e, c: (e["l1_pT"] > 25) & (np.abs(e["l1_eta"]) < 2.5)),
    ("missing pT > 30 GeV", lambda e, c: e["MET"] > 30),
    ("four jets pT > 25 GeV, |eta| < 2.5", lambda e, c: np.logical_and.reduce(
        [(e[f"j{i}_pT"] > 25) & (np.abs(e[f"j{i}_eta"]) < 2.5) for i in range(1, 5)])),
    ("first jet pT > 60 GeV", lambda e, c: e["j1_pT"] > 60),
    ("no second lepton", lambda e, c: ~e.present[-1]),
    ("chi2 < 6", lambda e, c: c.chi2 < 6),
)  # fmt: skip


def cut_flow(events, candidates):
    """Share of events that pass each cut after those before it.

    Parameters
    ----------
    events : Events
    candidates : TopCandidates

    Returns
    -------
    dict of str to (value, error) [1]
        Share of all events, binomial error.
    passed : (n,) bool array
        Events that pass all.
    """
    passed, flow, n = np.ones(len(events), bool), {}, len(events)
    for name, cut in CUTS:
        passed = passed & cut(events, candidates)
        share = passed.mean()
        flow[name] = (float(share), float(np.sqrt(max(share * (1 - share), 1 / n) / n)))
    return flow, passed
