"""Quantities of events against their formulas written out in double, and against symmetries of nature."""

import numpy as np
import pytest

from simgraft import _core
from simgraft.events import DILEPTON, TOP_PAIR, TWO_BODY, Events, Layout, observables

ISAS = ["v3", "v4"] if _core.isa_best() == "v4" else ["v3"] if _core.isa_best() == "v3" else []


@pytest.fixture(scope="module")
def top():
    """Events like those of top pairs: massive jets, light leptons, every second event with one lepton only."""
    rng, n = np.random.default_rng(1), 1003  # no multiple of a vector
    values = np.zeros((26, n))
    values[0], values[1] = rng.exponential(50, n), rng.uniform(-np.pi, np.pi, n)
    for k in range(6):
        pt, eta, phi = rng.exponential(50, n) + 20, rng.normal(0, 1.5, n), rng.uniform(-np.pi, np.pi, n)
        m = rng.uniform(2, 15, n) if k < 4 else np.zeros(n)
        values[2 + 4 * k : 6 + 4 * k] = np.sqrt((pt * np.cosh(eta)) ** 2 + m**2), pt, eta, phi
    values[22:, ::2] = 0
    return Events(TOP_PAIR, values)


def momenta(events):
    """(6, 4, n) E, px, py, pz, by the definition."""
    v = events.values.astype(float)
    e, pt, eta, phi = (v[2 + q :: 4][:6] for q in range(4))
    return np.stack([e, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)


def invariant(p):
    m2 = p[0] ** 2 - (p[1:] ** 2).sum(axis=0)
    return np.sign(m2) * np.sqrt(np.abs(m2))


def named(events):
    values, names = observables.composites(events)
    assert values.shape == (len(events), len(names)) and len(set(names)) == len(names)
    return dict(zip(names, values.T))


def test_masses_of_all_systems_agree_with_their_definition(top):
    p, found = momenta(top), named(top)
    systems = {"m_j1": [0], "m_j2j4": [1, 3], "m_j1j3j4": [0, 2, 3], "m_4j": [0, 1, 2, 3], "m_4j1l": [0, 1, 2, 3, 4],
               "m_4j2l": [0, 1, 2, 3, 4, 5], "m_l1j3": [4, 2]}  # fmt: skip
    for name, which in systems.items():
        total = p[which].sum(axis=0)
        # E^2 - p^2 in double loses E^2 / m^2 of its digits; E / m of a jet reaches 1e3 at pT 20 and eta 4: 1e6 * 2e-16 * 10
        np.testing.assert_allclose(found[name], invariant(total), rtol=2e-9, err_msg=name)
    both = top.present[5]
    np.testing.assert_allclose(found["m_l1l2"][both], invariant(p[4] + p[5])[both], rtol=2e-9)
    assert not found["m_l1l2"][~both].any()


def test_transverse_quantities_agree_with_their_definition(top):
    p, found, v = momenta(top), named(top), top.values
    met = np.stack([v[0] * np.cos(v[1]), v[0] * np.sin(v[1])])
    # sums of 7 terms of 1e3 GeV with roundings of 1e-13 each, relative to some GeV of what is left
    np.testing.assert_allclose(found["pT_system"], np.hypot(*(p[:, 1:3].sum(axis=0) + met)), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found["pT_4j"], np.hypot(*p[:4, 1:3].sum(axis=0)), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found["pT_W"], np.hypot(*(p[4, 1:3] + met)), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found["H_T"], v[[3, 7, 11, 15]].sum(axis=0), rtol=1e-15)
    pt, phi = top["l1_pT"], top["l1_phi"]
    # 1 - cos loses digits for small angles: (mT / pT)^2 against 1e-16
    np.testing.assert_allclose(found["mT_W"] ** 2, 2 * pt * v[0] * (1 - np.cos(phi - v[1])), rtol=0, atol=1e-11 * 1e4)
    one = p[:5].sum(axis=0)
    np.testing.assert_allclose(found["y_4j1l"], 0.5 * np.log((one[0] + one[3]) / (one[0] - one[3])), atol=1e-11)


def test_angles_wrap_around(top):
    found = named(top)
    for a, b in (("j1", "j4"), ("j2", "j3"), ("l1", "j2")):
        phi = np.abs(np.angle(np.exp(1j * (top[f"{a}_phi"] - top[f"{b}_phi"]))))
        expected = np.hypot(top[f"{a}_eta"] - top[f"{b}_eta"], phi)
        # angles of pi with a rounding of 4e-16 in the reduction
        np.testing.assert_allclose(found[f"dR_{a}{b}"], expected, rtol=0, atol=1e-14)
        np.testing.assert_allclose(observables.delta_r(top, a, b), expected, rtol=0, atol=1e-14)
        np.testing.assert_allclose(observables.delta_phi(top, a, b), phi, rtol=0, atol=1e-14)
    assert (found["dphi_l1MET"] >= 0).all() and (found["dphi_l1MET"] <= np.pi).all()


def test_hadronic_w_and_top_are_found_in_events_made_of_them():
    """A top of pT 300 GeV in a b jet and two light jets, with a fourth jet elsewhere: all masses are known."""
    rng, n, w, t, push = np.random.default_rng(2), 200, 80.4, 172.5, 300.0

    def direction():
        z, phi = rng.uniform(-0.9, 0.9, n), rng.uniform(-np.pi, np.pi, n)
        return np.stack([np.sqrt(1 - z * z) * np.cos(phi), np.sqrt(1 - z * z) * np.sin(phi), z])

    k = (t * t - w * w) / (2 * t)
    axis, light = direction(), direction() * w / 2
    energy = np.hypot(k, w)
    gamma, boost = energy / w, k / w
    along = (axis * light).sum(axis=0)
    jets = [k * axis]
    for sign in (1, -1):  # boosted along -axis
        jets.append(sign * light + axis * ((gamma - 1) * sign * along - boost * w / 2))
    gamma = np.hypot(t, push) / t
    for p in jets:
        p[0] = gamma * p[0] + push / t * np.sqrt((p**2).sum(axis=0))
    jets.append(np.stack([np.full(n, 1.0), np.zeros(n), np.full(n, 500.0)]))
    values = np.zeros((26, n))
    for i, p in enumerate(jets + [direction() * 30]):
        pt = np.hypot(p[0], p[1])
        values[2 + 4 * i : 6 + 4 * i] = np.sqrt((p**2).sum(axis=0)), pt, np.arcsinh(p[2] / pt), np.arctan2(p[1], p[0])
    found = named(Events(TOP_PAIR, values))
    # the pair is one of six: another may come nearer to 80.4 GeV by chance, but not than 1e-9 GeV
    np.testing.assert_allclose(found["m_W"], w, rtol=1e-9)
    # The W alone has the larger pT where the b jet flies against the top: cos < -beta = -0.867 in its rest frame, a share of
    # 0.067; 3 sigma of 200 events are 0.053.
    right = np.abs(found["m_top"] - t) < 1e-6
    assert right.mean() > 1 - 0.067 - 0.053
    np.testing.assert_allclose(found["m_j1j2j3"], t, rtol=1e-9)


@pytest.fixture(scope="module")
def pairs():
    """Lepton pairs of 91.19 GeV, boosted along the beam, at a known angle in their rest frame."""
    rng, n, m = np.random.default_rng(3), 1001, 91.19
    cosine, phi, y = rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n), rng.normal(0, 0.5, n)
    sine, values = np.sqrt(1 - cosine**2), np.zeros((16, n))
    muon = rng.random(n) < 0.5
    for k, sign in enumerate((1, -1)):
        e, z = m / 2, sign * m / 2 * cosine
        p = np.stack([e * np.cosh(y) + z * np.sinh(y), sign * m / 2 * sine * np.cos(phi),
                      sign * m / 2 * sine * np.sin(phi), z * np.cosh(y) + e * np.sinh(y)])  # fmt: skip
        values[4 * k : 4 * k + 4, ~muon] = p[:, ~muon]
        values[8 + 4 * k : 12 + 4 * k, muon] = p[:, muon]
    return Events(DILEPTON, values), cosine, y, m


def test_collins_soper_angle_does_not_see_a_boost_along_the_beam(pairs):
    events, cosine, y, m = pairs
    found = named(events)
    # boosts up to e^(4 * 0.5) lose that many roundings
    np.testing.assert_allclose(found["cos_theta_star"], cosine, rtol=0, atol=1e-13)
    np.testing.assert_allclose(found["m_ll"], m, rtol=1e-13)
    np.testing.assert_allclose(found["y_ll"], y, rtol=0, atol=1e-13)
    assert not found["shell_minus"].any() and not found["shell_plus"].any()  # massless: rounding is cut to 0


def test_systems_of_any_objects(pairs, top):
    events, _, y, m = pairs
    all_four = ["em", "ep", "mum", "mup"]
    np.testing.assert_allclose(observables.mass(events, all_four), m, rtol=1e-13)
    np.testing.assert_allclose(observables.rapidity(events, all_four), y, rtol=0, atol=1e-13)
    p = momenta(top)
    np.testing.assert_allclose(observables.four_momentum(top, ["j2", "l1"]), p[1] + p[4], rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(observables.transverse_momentum(top, "j3"), top["j3_pT"], rtol=1e-14)
    np.testing.assert_allclose(observables.mass(top, ["j1", "j2"]), named(top)["m_j1j2"], rtol=0)
    with pytest.raises(KeyError, match="j5: expected one of j1"):
        observables.mass(top, ["j1", "j5"])


def two_body(n=500):
    rng = np.random.default_rng(4)
    m1, m2, total = rng.uniform(0, 3, n), rng.uniform(0, 3, n), 10.0
    k = np.sqrt((total**2 - (m1 + m2) ** 2) * (total**2 - (m1 - m2) ** 2)) / (2 * total)
    z, phi = rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n)
    p = k * np.stack([np.sqrt(1 - z * z) * np.cos(phi), np.sqrt(1 - z * z) * np.sin(phi), z])
    return np.stack([np.hypot(k, m1), np.hypot(k, m2), *p, *-p, m1, m2]), z


def test_decay_at_rest_keeps_energy_momentum_and_mass_shells():
    values, z = two_body()
    events = Events(TWO_BODY, values)
    found = named(events)
    np.testing.assert_allclose(found["M"], 10.0, rtol=1e-14)
    np.testing.assert_allclose(found["cos_theta1"], z, rtol=0, atol=1e-14)
    for name in ("p_sum", "shell1", "shell2"):
        assert not found[name].any()
    # squares of 25 GeV^2 with a few roundings, over M^2 = 100 GeV^2
    assert all(r.maximum < 1e-15 for r in observables.residuals(events, energy=10.0))


def test_residuals_measure_a_known_break():
    values, _ = two_body()
    values[0] += 0.01
    shell1, shell2, energy, momentum = observables.residuals(Events(TWO_BODY, values), energy=10.0)
    assert shell1.name == "1 mass shell" and shell2.maximum < 1e-15 and momentum.maximum < 1e-15
    for value in (energy.median, energy.p99, energy.maximum):
        assert value == pytest.approx(1e-3, rel=1e-12)
    expected = np.abs((values[0] ** 2 - (values[0] - 0.01) ** 2)) / 10.01**2
    assert shell1.maximum == pytest.approx(expected.max(), rel=1e-12)
    assert shell1.median == pytest.approx(np.median(expected), rel=1e-12)


def test_residuals_of_detector_events_ask_leptons_to_be_light(top):
    found = {r.name: r for r in observables.residuals(top)}
    assert found["j1 mass shell"].maximum == 0 and found["l1 mass shell"].maximum < 1e-14
    assert found["l2 mass shell"].maximum < 1e-14  # of those that are there
    broken = top.values.copy()
    broken[18] *= 1.1
    # E - pT cosh eta = E (1 - 1 / 1.1)
    assert {r.name: r for r in observables.residuals(Events(TOP_PAIR, broken))}["l1 mass shell"].median == pytest.approx(1 / 11)
    with pytest.raises(ValueError, match="energy: the columns of a top pair"):
        observables.residuals(top, energy=1.0)


def test_asymmetry_and_its_error():
    rng = np.random.default_rng(5)
    cosine = np.where(rng.random(40_000) < 0.55, 1, -1) * rng.uniform(0.01, 1, 40_000)
    value, error = observables.asymmetry(cosine)
    assert error == pytest.approx(np.sqrt((1 - value**2) / 40_000), rel=1e-12)
    assert abs(value - 0.1) < 4 * error
    doubled = observables.asymmetry(cosine, np.full(40_000, 2.0))
    assert doubled == pytest.approx((value, error), rel=1e-12)
    with pytest.raises(ValueError, match="cosine: no event"):
        observables.asymmetry(np.zeros(3))


def test_float_columns_give_float_composites(top):
    single, double = named(Events(TOP_PAIR, top.values.astype(np.float32))), named(top)
    assert single["m_4j"].dtype == np.float32
    # E - |p| loses (E / m)^2 of the digits; each jet comes with about 10 roundings of 6e-8
    lost = (momenta(top)[:4, 0].sum(axis=0) / double["m_4j"]) ** 2
    assert (np.abs(single["m_4j"] / double["m_4j"] - 1) < 40 * 6e-8 * lost).all()
    np.testing.assert_allclose(single["dR_j1j2"], double["dR_j1j2"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_event_has_the_same_bits_anywhere(top, pairs, dtype):
    for values, kind in ((top.values, "top_pair"), (pairs[0].values, "dilepton"), (two_body()[0], "two_body")):
        values = np.ascontiguousarray(values.astype(dtype))
        whole = _core.event_composites(kind, values, 1)
        np.testing.assert_array_equal(_core.event_composites(kind, values, 3), whole)
        part = _core.event_composites(kind, np.ascontiguousarray(values[:, 5:18]), 1)
        np.testing.assert_array_equal(part, whole[:, 5:18])


@pytest.mark.skipif(len(ISAS) < 2, reason="needs two instruction sets")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_instruction_sets_give_the_same_bits(top, dtype):
    values, results = np.ascontiguousarray(top.values.astype(dtype)), []
    try:
        for isa in ISAS:
            _core.isa_set(isa)
            results.append(_core.event_composites("top_pair", values, 1))
    finally:
        _core.isa_set("auto")
    np.testing.assert_array_equal(*results)


def test_layouts_without_composites_are_refused():
    layout = Layout("other", TWO_BODY.columns[:2])
    with pytest.raises(ValueError, match="expected the layout of a two-body decay"):
        observables.composites(Events(layout, np.ones((2, 3))))
