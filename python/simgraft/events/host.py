"""Where a generator runs: analyses that ask a slot for events and return what an experiment would publish.

``host(slot) -> dict of arrays``, so that :meth:`simgraft.Trial.a_posteriori` runs them with the generator and with a network in the
slot as it runs any simulation. A field ``x_error`` is the statistical error of ``x``; spectra are shares of events in bins.
:func:`agreement` tells how far two answers lie apart in units of that error.
"""

from dataclasses import dataclass

import numpy as np

from simgraft.events import analyses, observables
from simgraft.events.columns import DILEPTON, TOP_PAIR, TWO_BODY
from simgraft.events.kernel import events_of

__all__ = ["DecayAnalysis", "DileptonAnalysis", "TopPairAnalysis", "agreement", "spectrum"]


def spectrum(values, edges):
    """Share of all values in each bin and its Poisson error, two (n_bins,) float64 arrays [1].

    Examples
    --------
    >>> spectrum(np.array([0.5, 0.6, 1.5, 9.0]), np.array([0.0, 1.0, 2.0]))[0]
    array([0.5 , 0.25])
    """
    counts = np.histogram(values, edges)[0].astype(np.float64)
    n = max(len(values), 1)
    return counts / n, np.sqrt(np.maximum(counts, 1.0)) / n


def _scalars(found):
    """Pairs (value, error) as two fields each."""
    fields = {}
    for name, (value, error) in found.items():
        fields[name], fields[f"{name}_error"] = np.array([value]), np.array([error])
    return fields


@dataclass(frozen=True)
class _Analysis:
    """Common part of the analyses.

    Parameters
    ----------
    n : int
        Events asked for.
    first : int
        Number of the first.
    """

    n: int
    first: int = 0

    def __call__(self, slot):
        """Ask the slot for events and analyse them."""
        return self.analyse(events_of(slot, self.layout, self.n, first=self.first))


@dataclass(frozen=True)
class DecayAnalysis(_Analysis):
    """Two-body decays: mean and spread of the masses, the momentum balance, and the isotropy of the axis.

    Examples
    --------
    >>> sorted(DecayAnalysis(1).units)[:2]
    ['cos_theta', 'mean_cos2']
    """

    layout = TWO_BODY
    units = {
        "parent_mass": "GeV", "parent_mass_spread": "GeV", "mean_cos2": "1", "cos_theta": "1", "momentum": "1",
    }  # fmt: skip

    def analyse(self, events):
        """Fields of a sample."""
        e1, e2 = (events[name].astype(np.float64) for name in ("E1", "E2"))
        p1, p2 = (np.stack([events[f"p{axis}{i}"] for axis in "xyz"]).astype(np.float64) for i in (1, 2))
        total = p1 + p2
        mass = np.sqrt(np.maximum((e1 + e2) ** 2 - (total**2).sum(axis=0), 0))
        size = np.sqrt((p1**2).sum(axis=0))
        cosine = p1[2] / np.maximum(size, 1e-300)
        n = len(events)
        fields = _scalars({
            "parent_mass": (mass.mean(), mass.std() / np.sqrt(n)),
            "parent_mass_spread": (mass.std(), _error_of_std(mass)),
            "mean_cos2": (np.mean(cosine**2), np.std(cosine**2) / np.sqrt(n)),
        })  # fmt: skip
        fields["cos_theta"], fields["cos_theta_error"] = spectrum(cosine, np.linspace(-1, 1, 21))
        momentum = size / np.maximum(mass, 1e-300)
        fields["momentum"], fields["momentum_error"] = spectrum(momentum, np.linspace(0, 0.5, 26))
        return fields


def _error_of_std(values):
    """Standard error of a standard deviation, from the fourth moment: masses have tails."""
    centred = values - values.mean()
    variance = np.mean(centred**2)
    if variance <= 1e-24 * max(values.mean() ** 2, 1e-300):
        return 0.0
    return float(np.sqrt(max(np.mean(centred**4) - variance**2, 0.0) / (4 * variance * len(values))))


@dataclass(frozen=True)
class DileptonAnalysis(_Analysis):
    """Lepton pairs of e+ e- collisions: forward-backward asymmetry and, with radiation, mass and width of the Z.

    Parameters
    ----------
    energy : float [GeV]
        Of the collision.
    radiation : bool
        Whether the beams radiate: without, the mass of the pair is the energy of the beams, and there is no lineshape to fit.

    Examples
    --------
    >>> DileptonAnalysis(10_000, energy=91.19, radiation=True).units["Z_mass"]
    'GeV'
    """

    energy: float = 91.19
    radiation: bool = False

    layout = DILEPTON
    units = {
        "A_FB": "1", "A_FB_counted": "1", "share_of_muons": "1", "Z_mass": "GeV", "Z_width": "GeV", "radiative_share": "1",
        "cos_theta": "1", "radiated": "1",
    }  # fmt: skip

    def analyse(self, events):
        """Fields of a sample."""
        analyses._unweighted(events)
        minus, plus = analyses.lepton_pair(events)
        cosine = analyses.cos_theta_star(minus, plus)
        mass, n = analyses._mass(minus + plus), len(events)
        muons = np.mean(events.present[2])
        found = {
            "A_FB": analyses.forward_backward(cosine),
            "A_FB_counted": observables.asymmetry(cosine),
            "share_of_muons": (muons, np.sqrt(muons * (1 - muons) / n)),
        }
        fields = {}
        if self.radiation:
            fit = analyses.fit_lineshape(mass, self.energy)
            hard = np.mean(mass < 0.99 * self.energy)
            found |= {"Z_mass": fit["mass"], "Z_width": fit["width"]}
            found["radiative_share"] = (hard, np.sqrt(hard * (1 - hard) / n))
            edges = analyses.LINESHAPE_BINS
            radiated = np.clip(1 - (mass / self.energy) ** 2, 0, None)
            fields["radiated"], fields["radiated_error"] = spectrum(radiated, edges)
        fields = _scalars(found) | fields
        fields["cos_theta"], fields["cos_theta_error"] = spectrum(cosine, np.linspace(-1, 1, 21))
        return fields


@dataclass(frozen=True)
class TopPairAnalysis(_Analysis):
    """Semileptonic top pairs: reconstructed mass of the top, efficiencies of cuts, spectra.

    Examples
    --------
    >>> TopPairAnalysis(1).units["top_mass"]
    'GeV'
    """

    layout = TOP_PAIR
    units = {
        "top_mass": "GeV", "top_width": "GeV", "signal_share": "1", "m_jjj": "1", "m_jj": "1", "sum_pT": "1",
    } | {f"efficiency: {name}": "1" for name, _ in analyses.CUTS}  # fmt: skip

    def analyse(self, events):
        """Fields of a sample."""
        analyses._unweighted(events)
        candidates = analyses.reconstruct_top(events)
        flow, passed = analyses.cut_flow(events, candidates)
        fit = analyses.fit_top_peak(candidates.mass_hadronic[passed])
        found = {"top_mass": fit["mass"], "top_width": fit["width"], "signal_share": fit["signal"]}
        fields = _scalars(found | {f"efficiency: {name}": pair for name, pair in flow.items()})
        sum_pt = sum(events[f"{name}_pT"].astype(np.float64) for name in events.layout.objects) + events["MET"]
        for name, values, edges in (
            ("m_jjj", candidates.mass_hadronic[passed], np.linspace(80, 380, 31)),
            ("m_jj", candidates.mass_w[passed], np.linspace(40, 120, 21)),
            ("sum_pT", sum_pt, np.geomspace(150, 2000, 26)),
        ):
            fields[name], fields[f"{name}_error"] = spectrum(values, edges)
        return fields


def agreement(truth, other):
    """How far two answers of one analysis lie apart.

    Parameters
    ----------
    truth, other : dict of arrays
        What an analysis returned for two independent samples.

    Returns
    -------
    list of (name, value, error, other value, other error, sigma)
        For single numbers sigma is the signed distance in combined standard errors. For spectra the values are None, and sigma is
        that of a normal deviate as improbable as their chi-squared.

    Examples
    --------
    >>> row, = agreement({"x": np.array([1.0]), "x_error": np.array([0.3])}, {"x": np.array([1.5]), "x_error": np.array([0.4])})
    >>> row[0], round(row[-1], 12)
    ('x', 1.0)
    """
    rows = []
    for name in truth:
        if name.endswith("_error") or f"{name}_error" not in truth:
            continue
        a, ea = np.asarray(truth[name]), np.asarray(truth[f"{name}_error"])
        b, eb = np.asarray(other[name]), np.asarray(other[f"{name}_error"])
        if a.size == 1:
            distance = analyses.pull((a.item(), ea.item()), (b.item(), eb.item()))
            rows.append((name, a.item(), ea.item(), b.item(), eb.item(), distance))
        else:
            filled = (a > 0) | (b > 0)
            chi2 = float(np.sum((a - b)[filled] ** 2 / (ea**2 + eb**2)[filled]))
            rows.append((name, None, None, None, None, _as_sigma(chi2, int(filled.sum()))))
    return rows


def _as_sigma(chi2, degrees):
    """The normal deviate exceeded (one-sided) as rarely as this chi-squared (Wilson & Hilferty 1931)."""
    if degrees == 0:
        return 0.0
    spread = 2 / (9 * degrees)
    return float(((chi2 / degrees) ** (1 / 3) - (1 - spread)) / np.sqrt(spread))
