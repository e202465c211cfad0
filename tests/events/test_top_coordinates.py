"""Coordinates of top-pair events: there and back, symmetries, mass shell, order, what features are made of."""

import numpy as np
import pytest

from simgraft.events import TOP_PAIR, Events, observables
from simgraft.events.top_coordinates import TopCoordinates

EPS = np.finfo(np.float64).eps
JETS = ("j1", "j2", "j3", "j4")


def drawn(n, seed, light=False):
    """Coordinates as wild as they may be, flags of a second lepton, symmetries."""
    rng = np.random.default_rng(seed)
    x = rng.random((23, n))
    x[0] = rng.exponential(1.0, n) + 0.05
    x[1:4] = 0.05 + 0.95 * x[1:4]  # pT / least pT above 1 + 1e-6, from which on it is resolved
    x[4] = rng.exponential(1.0, n) + 0.05
    x[5] *= 4
    x[6:10] = rng.uniform(-4, 4, (4, n))
    x[10] *= np.pi
    x[11:14] *= 2 * np.pi
    x[15] = rng.uniform(-2.5, 2.5, n)
    x[16] *= 2 * np.pi
    x[17] *= 150
    x[18] = rng.normal(0, 8, n)
    x[19:] = -14 if light else rng.uniform(-5, 0.5, (4, n))
    second = (rng.random(n) < 0.3).astype(float)
    x[14:17] *= second
    symmetries = np.stack([*rng.choice([-1.0, 1.0], (2, n)), rng.uniform(-np.pi, np.pi, n)])
    return x, second, symmetries


@pytest.fixture(scope="module")
def events():
    return TopCoordinates().decode(*drawn(4000, 1))


def test_events_come_back_from_their_coordinates(events):
    coordinates = TopCoordinates()
    back = coordinates.decode(*coordinates.encode(events))
    np.testing.assert_array_equal(back.present, events.present)
    for column, a, b in zip(TOP_PAIR.names, events.values, back.values):
        if "phi" in column:
            # MET = 1e-2 GeV out of mT and tau has an azimuth to 1e-10 or so.
            assert np.abs((a - b + np.pi) % (2 * np.pi) - np.pi).max() < 1e-9, column
        else:
            # exp(log) of up to ln(1e5) loses 12 ulp; the mass is that of (E - p)(E + p), m / E down to 1e-4 of E.
            assert np.abs(a / np.where(b != 0, b, 1) - (b != 0)).max() < 1e-12, column


def test_coordinates_come_back_from_their_events():
    x, second, symmetries = drawn(4000, 2)
    coordinates = TopCoordinates()
    y, there, found = coordinates.encode(coordinates.decode(x, second, symmetries))
    np.testing.assert_array_equal(there, second)
    # Side and hand are those of eta1 and phi2, which the drawn ones fix as forward and left.
    np.testing.assert_array_equal(found[:2], symmetries[:2])
    # Azimuths near 0 may come back as 2 pi. ln(m / pT) down to -5 at eta 4: E - p is (m / E)^2 / 2 = 3e-8 of E.
    error = np.abs(y - x)
    error[10:17] = np.minimum(error[10:17], np.abs(error[10:17] - 2 * np.pi))
    assert error[:19].max() < 1e-9 and error[19:].max() < 200 * EPS / 3e-8


@pytest.mark.parametrize("what", ["mirror", "reflection", "rotation"])
def test_symmetries_leave_the_coordinates_alone(events, what):
    moved = events.values.copy()
    eta, phi = [i for i, c in enumerate(TOP_PAIR.names) if c.endswith("eta")], [i for i, c in enumerate(TOP_PAIR.names) if "phi" in c]
    if what == "mirror":
        moved[eta] *= -1
    elif what == "reflection":
        moved[phi] *= -1
    else:
        moved[phi] = (moved[phi] + 1.234 + np.pi) % (2 * np.pi) - np.pi
        moved[24:] *= events.present[5]
        moved[25] *= events.present[5]
    a = TopCoordinates().encode(events)[0]
    b = TopCoordinates().encode(Events(TOP_PAIR, moved, present=events.present))[0]
    d = np.abs(a - b)
    d[10:17] = np.minimum(d[10:17], np.abs(d[10:17] - 2 * np.pi))
    assert d.max() < 1e-7  # tau of MET near 0 and angles near 0


def test_whatever_the_coordinates_are_events_are_on_shell_and_in_order():
    rng = np.random.default_rng(3)
    x, second, symmetries = drawn(20_000, 4)
    x[5:14] += rng.normal(0, 3, (9, 20_000))  # outside the ranges that encode gives
    events = TopCoordinates().decode(x, second, symmetries)
    pt = events.values[3::4]
    assert (np.diff(pt[:4], axis=0) <= 0).all() and (pt[5] <= pt[4]).all() and pt[:4].min() >= 20 and pt[4].min() >= 10
    # E of a massless lepton: one rounding each of the exponential, the product and its numpy twin.
    assert max(r.maximum for r in observables.residuals(events)) < 8 * EPS
    assert (events.values[22:, second == 0] == 0).all() and (events.present[5] == (second == 1)).all()
    phi = events.values[[i for i, c in enumerate(TOP_PAIR.names) if "phi" in c]]
    assert np.abs(phi).max() <= np.pi


def test_transverse_mass_and_jet_masses_are_those_of_the_observables(events):
    x = TopCoordinates().encode(events)[0]
    values, names = observables.composites(events)
    found = dict(zip(names, values.T))
    assert np.abs(x[17] / found["mT_W"] - 1).max() < 1e-6  # mT^2 is a difference of the two pT MET there
    for k, jet in enumerate(JETS):
        # m^2 is a difference of E^2 and p^2, 3e-8 of them for m / pT = e^-5 at eta 4.
        assert np.abs(np.exp(x[19 + k]) * events[f"{jet}_pT"] / found[f"m_{jet}"] - 1).max() < 1e-6


def test_distances_of_coordinates_are_those_of_the_observables(events):
    coordinates = TopCoordinates()
    found = coordinates.distances(coordinates.encode(events)[0])
    jets = np.min([observables.delta_r(events, a, b) for k, a in enumerate(JETS) for b in JETS[:k]], axis=0)
    lepton = np.min([observables.delta_r(events, "l1", jet) for jet in JETS], axis=0)
    np.testing.assert_allclose(found, [jets, lepton], atol=1e-7)  # of angles that were turned


def test_feature_depends_on_coordinates_before_its_step_only():
    x, second, _ = drawn(300, 5)
    x, second = x.astype(np.float32), second.astype(np.float32)
    coordinates = TopCoordinates()
    whole = coordinates.features(x, second)
    assert np.isfinite(whole).all() and whole.shape == (coordinates.n_features[-1], 300)
    for step, known in enumerate(coordinates.n_features):
        other = x.copy()
        other[step:] = drawn(300, 6)[0][step:]
        np.testing.assert_array_equal(coordinates.features(other, second)[:known], whole[:known])
        if step + 1 < 23 and step not in (14, 15, 16):  # and does depend on those: the coordinate enters the next ones
            after = slice(known, coordinates.n_features[step + 1])
            other = x.copy()
            other[step] += 0.25
            assert (coordinates.features(other, second)[after] != whole[after]).any()


def test_masses_among_the_features_are_those_of_massless_jets():
    x, second, symmetries = drawn(2000, 7, light=True)
    coordinates = TopCoordinates()
    events = coordinates.decode(x, second, symmetries)
    f = coordinates.features(x.astype(np.float32), second.astype(np.float32)).astype(np.float64)
    first = dict(zip(coordinates.names, (0, *coordinates.n_features)))

    def agree(row, objects):
        exact = np.maximum(observables.mass(events, objects), 1)
        # log m of float32 momenta: m^2 is a difference of E^2 and p^2, with rounding 1e-7 of E^2.
        energy = observables.four_momentum(events, objects)[0]
        sure = exact > 0.03 * energy
        assert sure.mean() > 0.2 and np.abs(100 * np.exp(f[row]) / exact - 1)[sure].max() < 2e-3

    agree(first["phi3"] + 3, ("j1", "j2"))
    agree(first["phi4"] + 3, ("j1", "j3"))
    agree(first["phi4"] + 5, ("j2", "j3"))
    agree(first["phi4"] + 7, ("j1", "j2", "j3"))
    agree(first["phi_l"] + 12, JETS)
    agree(first["ratio_l2"] + 3, ("j1", "l1"))
    distance = observables.delta_r(events, "j1", "l1")
    np.testing.assert_allclose(np.exp(f[first["ratio_l2"] + 4]) - 0.05, distance, atol=3e-6 * 10)
    # Azimuth at which lepton and jet would have the edge mass of t -> b l nu.
    cosine, angle = f[first["phi2"] + 23], f[first["phi2"] + 24]
    np.testing.assert_allclose(angle, np.arccos(np.clip(cosine, -1, 1)), atol=1e-3)


@pytest.mark.parametrize(
    "column, value, message",
    [
        ("j2_pT", 900.0, "event 3 is not in order of pT"),
        ("j4_pT", 12.0, "event 3 has a jet with pT below 20 GeV"),
        ("MET", -1.0, "event 3 has a negative MET"),
        ("l1", 0.0, "event 3 has not four jets and a lepton"),
    ],
)
def test_event_that_is_none_of_the_selection_is_named(events, column, value, message):
    values = events.take(slice(0, 10)).values.copy()
    where = list(TOP_PAIR.of(column)) if column == "l1" else TOP_PAIR.index(column)
    values[where, 3] = value
    with pytest.raises(ValueError, match=message):
        TopCoordinates().encode(Events(TOP_PAIR, values))


def test_events_of_another_layout_are_refused():
    from simgraft.events import TWO_BODY

    with pytest.raises(ValueError, match="events: expected p p -> t tbar, got two-body decay"):
        TopCoordinates().encode(Events(TWO_BODY, np.ones((10, 3))))


@pytest.mark.data
def test_sample_of_pythia_comes_back(data_dir):
    path = data_dir / "events" / "ttbar_pythia8_13tev_26col_40k.npz"
    if not path.is_file():
        pytest.skip(f"needs {path.name}")
    with np.load(path) as file:
        events = Events.from_rows(TOP_PAIR, file["X"][:5000].astype(np.float64))
    coordinates = TopCoordinates()
    x, second, symmetries = coordinates.encode(events)
    back = coordinates.decode(x, second, symmetries)
    for name in ("MET", "j1_pT", "j4_pT", "j3_eta", "l1_E", "l1_pT", "l2_pT"):
        # pT of the least one comes back as 1 + 1e-6 times that. Muons have a mass: (m / E)^2 / 2 = 6e-5 at 10 GeV.
        np.testing.assert_allclose(back[name], events[name], rtol=6e-5 if name.endswith("_E") else 2e-6, err_msg=name)
    heavy = (x[19:] > np.log(2e-3)).all(axis=0)
    assert heavy.mean() > 0.9
    for jet in JETS:
        np.testing.assert_allclose(back[f"{jet}_E"][heavy], events[f"{jet}_E"][heavy], rtol=1e-10)
