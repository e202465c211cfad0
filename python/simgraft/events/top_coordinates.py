"""Coordinates of top-pair events that are free of each other, and what the law of each may depend on."""

import numpy as np

from simgraft import _core
from simgraft.events.columns import TOP_PAIR
from simgraft.events.flows import refuse
from simgraft.events.models import Stored, uniform
from simgraft.events.sample import Events

__all__ = ["TopCoordinates"]

_LIGHT = (0x65766D00 << 32) + 7  # stream of random numbers
_ROUNDING = 1e-6  # of float32 columns


class TopCoordinates(Stored):
    """From 26 columns of a top-pair event to 23 numbers that nothing connects, and back.

    The presence of a second lepton comes first. Transverse momenta are logarithms of their ratio to the
    least one of the selection, from jet to jet as ratios below 1; the first jet is forward, azimuths are
    counted from it, and the second jet is on the left: side, hand and azimuth of the event are drawn, as no
    law depends on them. The missing momentum is ``mT = 2 sqrt(pT_l MET) |sin(d/2)|`` and
    ``tau = sqrt(2 MET) cos(d/2) sign(d)`` with the azimuth d between it and the lepton: the edge of mT at
    the mass of the W is then one of a single coordinate. Masses of jets are logarithms of m / pT.

    Back from these, objects are in order of pT, E follows from pT, eta and the mass, and leptons are
    massless, whatever the numbers are.

    Parameters
    ----------
    jet_pt, lepton_pt : float [GeV]
        Least pT of the selection.

    Attributes
    ----------
    names : tuple of str
        Of the coordinates, in the order in which a chain makes them.
    n_features : tuple of int
        How many of the features each coordinate may depend on: those made of the coordinates before it.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import TOP_PAIR, Events
    >>> from simgraft.events.top_coordinates import TopCoordinates
    >>> jets = [(p * np.cosh(eta) * 1.01, p, eta, phi)
    ...         for p, eta, phi in ((90, 1, 0), (70, -1, 2), (50, 0, 3), (30, 2, -1))]
    >>> event = np.concatenate([[40, 2.0], *jets, (25 * np.cosh(0.5), 25, 0.5, -3), np.zeros(4)])
    >>> events = Events(TOP_PAIR, event[:, None])
    >>> coordinates = TopCoordinates()
    >>> back = coordinates.decode(*coordinates.encode(events))
    >>> bool(np.abs(back.values / np.where(event, event, 1)[:, None] - (event != 0)[:, None]).max() < 1e-13)
    True
    """

    layout = TOP_PAIR
    names, n_features = zip(*_core.top_names())

    def __init__(self, jet_pt=20.0, lepton_pt=10.0):
        self.jet_pt = jet_pt
        self.lepton_pt = lepton_pt

    def encode(self, events):
        """Coordinates of events.

        Parameters
        ----------
        events : Events
            Of the layout TOP_PAIR; four jets and at least one lepton in each.

        Returns
        -------
        coordinates : (23, n) float64 array
        second : (n,) float64 array
            1 with a second lepton, 0 without; its coordinates are then 0.
        symmetries : (3, n) float64 array
            Side and hand (-1 or 1) and azimuth of the first jet [rad].

        Raises
        ------
        ValueError
            For an event that is none of the selection; the message names it.

        Notes
        -----
        A jet with m / pT below 0.002, which float32 columns do not resolve, gets a mass drawn below that.
        """
        if events.layout != TOP_PAIR:
            raise ValueError(f"events: expected {TOP_PAIR.name}, got {events.layout.name}")
        v = np.ascontiguousarray(events.values, np.float64)
        pt = v[3::4]
        refuse(~events.present[:5].all(axis=0), "has not four jets and a lepton")
        refuse((pt[:4] < self.jet_pt * (1 - _ROUNDING)).any(axis=0), f"has a jet with pT below {self.jet_pt:g} GeV")
        leptons = np.where(events.present[4:], pt[4:], self.lepton_pt)
        refuse(
            (leptons < self.lepton_pt * (1 - _ROUNDING)).any(axis=0),
            f"has a lepton with pT below {self.lepton_pt:g} GeV",
        )
        refuse((np.diff(pt[:4], axis=0) > 0).any(axis=0) | (pt[5] > pt[4]), "is not in order of pT")
        refuse(v[0] < 0, "has a negative MET")
        even = np.ascontiguousarray(uniform(0, _LIGHT, 0, len(events), 4).T)
        return _core.top_encode(v, even, self.jet_pt, self.lepton_pt)

    def features(self, coordinates, second):
        """What the laws of the coordinates may depend on: besides these the masses, distances and sums of
        jets and leptons made of them.

        Parameters
        ----------
        coordinates : (23, n) float32 array
        second : (n,) float32 array

        Returns
        -------
        (126, n) float32 array
            The law of coordinate k takes the first ``n_features[k]`` rows, which depend on ``second`` and on
            coordinates before k only.
        """
        return _core.top_features(coordinates, second, self.jet_pt, self.lepton_pt)

    def distances(self, coordinates):
        """Least Delta R between two jets, and between the first lepton and a jet, (2, n), of coordinates."""
        eta = coordinates[5:10]
        phi = np.concatenate([np.zeros((1, coordinates.shape[1])), coordinates[10:14]])
        least = np.full((2, coordinates.shape[1]), np.inf)
        for k in range(5):
            for j in range(k):
                d = np.abs(phi[k] - phi[j])
                here = np.hypot(eta[k] - eta[j], np.minimum(d, 2 * np.pi - d))
                least[int(k == 4)] = np.minimum(least[int(k == 4)], here)
        return least

    def decode(self, coordinates, second, symmetries):
        """Events from what :meth:`encode` returns."""
        values = _core.top_decode(coordinates, second, symmetries, self.jet_pt, self.lepton_pt)
        return Events(TOP_PAIR, values, present=present(second))


def present(second):
    """Which objects are there, (6, n) bool, from the flags (n,) of the second lepton."""
    there = np.ones((6, len(second)), bool)
    there[5] = np.asarray(second) > 0
    return there
