"""Two-body decays and lepton pairs in independent coordinates: conservation, conditions, bits, files."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from simgraft.events import DILEPTON, TWO_BODY, Dilepton, Events, Layout, flows, models
from simgraft.events.small_coordinates import DileptonCoordinates, TwoBodyCoordinates, boost

MASSES = np.array([0.00051099895, 0.1056583755])


def two_body(n, seed, mass=91.2, parent=None):
    """Isotropic decays with uniform masses; `parent` is a momentum (3,) [GeV]."""
    rng = np.random.default_rng(seed)
    m1, m2 = rng.uniform(1, 20, n), rng.uniform(5, 30, n)
    c, phi = rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n)
    e1 = (mass**2 + m1**2 - m2**2) / (2 * mass)
    v = np.sqrt(e1**2 - m1**2) * np.stack(
        [np.sqrt(1 - c**2) * np.cos(phi), np.sqrt(1 - c**2) * np.sin(phi), c]
    )
    w, e2 = -v, mass - e1
    if parent is not None:
        p = np.repeat(np.asarray(parent, float)[:, None], n, axis=1)
        v, w = boost(v, e1, p, np.full(n, mass)), boost(w, e2, p, np.full(n, mass))
        e1, e2 = np.sqrt((v**2).sum(axis=0) + m1**2), np.sqrt((w**2).sum(axis=0) + m2**2)
    return Events(TWO_BODY, np.concatenate([e1[None], e2[None], v, w, m1[None], m2[None]]))


def asymmetry(energy):
    """A forward-backward asymmetry that changes with the energy as at the Z."""
    return 0.05 * (np.asarray(energy) - 91.0)


def pairs(n, seed, energy=91.19, power=None):
    """Lepton pairs with 3/8 (1 + c^2) + A c; with `power` radiation on both sides, P(1 - x < t) = (t / 0.7)^power."""
    rng = np.random.default_rng(seed)
    energy = np.broadcast_to(energy, (n,))
    muon = rng.random(n) < 0.5
    c = rng.uniform(-1, 1, (8, n))
    keep = rng.random((8, n)) * 1.2 < 3 / 8 * (1 + c**2) + asymmetry(energy) * c
    c = c[keep.argmax(axis=0), np.arange(n)]
    # Down to 1e-12, where power 0.3 leaves 3e-4 of the events.
    one, two = 0.7 * np.maximum(rng.random((2, n)) ** (1 / power), 1e-12) if power else np.ones((2, n))
    share = one + two - one * two
    x = np.stack([c, 0 * c, np.log(share), 0.5 * np.log(one / two), 0 * c, 0 * c, 0 * c], axis=1)
    coordinates = DileptonCoordinates()
    coordinates.constants = {"tau_min": 0.01}
    label = (1 if power else 0) + 3 * muon
    values, _ = coordinates.decode(label, x, rng.random((n, 1)), {"sqrt_s": energy})
    if power is None:  # 1 - 1e-300 is 1
        assert np.allclose(values.reshape(4, 4, n).sum(axis=0)[0], energy, rtol=1e-14)
    return Events(DILEPTON, values)


def small(coordinates, **options):
    return flows.FlowModel(
        coordinates, **({"layers": 4, "units": (24, 24), "epochs": 6, "batch_size": 256} | options)
    )


@pytest.fixture(scope="module")
def toy():
    return small(TwoBodyCoordinates()).fit(two_body(8000, 1), seed=1, num_threads=1)


@pytest.fixture(scope="module")
def radiating():
    return small(DileptonCoordinates()).fit(pairs(8000, 1, power=0.3), seed=1, num_threads=1)


def shell(e, p, m, scale):
    return np.abs(e**2 - (p**2).sum(axis=0) - m**2).max() / scale**2


def test_generated_decays_are_on_shell_and_at_rest_to_rounding(toy):
    v = toy.sample(20_000, 3).values
    # A sum of four squares below M^2: a few units of 2.2e-16.
    assert shell(v[0], v[2:5], v[8], 91.2) < 2e-15 and shell(v[1], v[5:8], v[9], 91.2) < 2e-15
    assert (v[2:5] == -v[5:8]).all()
    # M itself was read back from sums of the training events, each rounded.
    assert np.abs(v[0] + v[1] - 91.2).max() < 91.2 * 4e-16 * 4
    assert v[8].min() >= 1 and v[8].max() <= 20 and v[9].max() <= 30


def test_a_moving_parent_keeps_its_momentum():
    parent = (30.0, -20.0, 110.0)
    model = small(TwoBodyCoordinates(), epochs=1).fit(two_body(500, 1, parent=parent), seed=1)
    v = model.sample(2000, 3).values
    energy = np.sqrt(91.2**2 + np.dot(parent, parent))
    # Boosts round each momentum to a few units of the energy; M and p are medians of training events.
    np.testing.assert_allclose(
        v[2:5] + v[5:8], np.repeat(np.array(parent)[:, None], 2000, axis=1), atol=energy * 1e-13
    )
    np.testing.assert_allclose(v[0] + v[1], energy, rtol=1e-13)
    assert shell(v[0], v[2:5], v[8], energy) < 1e-14


def test_isotropy_and_marginals_of_the_toy_are_learnt(toy):
    truth, new = two_body(50_000, 9), toy.sample(50_000, 4)
    for name in ("pz1", "px1", "m1", "m2", "E1"):
        a, b = np.sort(truth[name]), np.sort(new[name])
        # W1 / sigma of two samples of 50,000 is 0.006; of 8000 training events 0.012 more at most (3 sigma).
        assert np.abs(a - b).mean() / a.std() < 0.03, name
    # A correlation of 50,000 events has sigma 0.0045; what 6 epochs leave is below 0.03.
    deviation = np.corrcoef(truth.values)[:2, 2:] - np.corrcoef(new.values)[:2, 2:]
    assert np.abs(deviation).max() < 0.03


def test_masses_given_as_conditions_come_back_exactly():
    model = small(TwoBodyCoordinates(), conditions=("m1", "m2"), epochs=2).fit(two_body(2000, 1), seed=1)
    m1 = np.linspace(2, 19, 300)
    new = model.sample(300, 2, condition={"m1": m1, "m2": 10.0})
    np.testing.assert_array_equal(new["m1"], m1)
    np.testing.assert_array_equal(new["m2"], 10.0)
    np.testing.assert_allclose(new["E1"], (91.2**2 + m1**2 - 100) / (2 * 91.2), rtol=1e-14)
    with pytest.raises(
        ValueError, match="condition: m1 = 25 GeV of event 1007 lies outside what .* trained for"
    ):
        m1[7] = 25
        model.sample(300, 2, first=1000, condition={"m1": m1, "m2": 10.0})


def test_generated_lepton_pairs_are_on_shell_and_one_flavour_each(radiating):
    new = radiating.sample(20_000, 3)
    v = new.values.reshape(4, 4, -1)
    assert (new.present.sum(axis=0) == 2).all() and (new.present[0] == new.present[1]).all()
    for k in range(4):
        mass = np.where(new.present[k], MASSES[k // 2], 0)
        assert shell(v[k, 0], v[k, 1:], mass, 91.19) < 1e-14
    total = v.sum(axis=0)
    # Radiation here is along the beams: no transverse momentum beyond rounding of the leptons' 45 GeV.
    assert np.abs(total[1:3]).max() < 1e-13 and (total[0] + np.abs(total[3])).max() < 91.19 * (1 + 1e-14)


def test_soft_radiation_follows_its_power_law_below_what_columns_tell(radiating):
    new = radiating.sample(40_000, 5)
    total = new.values.reshape(4, 4, -1).sum(axis=0)
    for x in (1 - (total[0] + total[3]) / 91.19, 1 - (total[0] - total[3]) / 91.19):
        for t in (1e-12, 1e-8, 1e-4, 1e-2):
            # P = (t / 0.7)^0.3 of 8000 training and 40,000 new events: 4 sigma, and 0.01 for the fit.
            expected = (t / 0.7) ** 0.3
            width = 4 * np.sqrt(expected * (1 / 8000 + 1 / 40_000))
            assert np.mean(x < 1.0001 * t) == pytest.approx(expected, abs=width + 0.01)


def test_radiation_as_soft_as_it_likes_is_learnt():
    """Our generator's shares reach far below 1e-30, where P(1 - x < t) of a beam is t^0.054."""
    events = Dilepton(energy=91.19, radiation="alpha2").generate(6000, seed=1)
    made = small(DileptonCoordinates(sqrt_s=91.19)).fit(events, seed=1).sample(6000, seed=2)
    told = [np.mean(1 - e.values[[0, 4, 8, 12]].sum(axis=0) / 91.19 > 1e-10) for e in (events, made)]
    assert abs(told[0] - told[1]) < 4 * np.sqrt(2 * 0.25 / 6000)


def test_born_pairs_have_all_the_energy_and_the_generator_asymmetry():
    model = small(DileptonCoordinates(sqrt_s=93.0), epochs=3).fit(pairs(20_000, 1, 93.0), seed=1)
    v = model.sample(40_000, 2).values.reshape(4, 4, -1)
    # Momenta are opposite up to their own rounding.
    assert np.abs(v[:, 1:].sum(axis=0)).max() < 1e-13 and np.abs(v[:, 0].sum(axis=0) - 93).max() < 93 * 1e-14
    forward = np.mean(v[0, 3] + v[2, 3] > 0)
    # Half and A / 2 of 20,000 training and 40,000 new events: 4 sigma.
    assert 2 * forward - 1 == pytest.approx(asymmetry(93.0), abs=4 * np.sqrt(1 / 20_000 + 1 / 40_000))


def test_slices_of_a_flow_given_the_beam_energy_agree_with_the_generator():
    energy = np.random.default_rng(3).uniform(85, 97, 12_000)
    events = pairs(12_000, 1, energy)
    model = small(DileptonCoordinates(), conditions=("sqrt_s",)).fit(events, seed=1)
    for slice_energy in (86.0, 91.0, 96.0):
        new = model.sample(20_000, 2, condition={"sqrt_s": slice_energy, "flavour": "mu"})
        v = new.values.reshape(4, 4, -1)
        np.testing.assert_allclose(v[:, 0].sum(axis=0), slice_energy, rtol=1e-14)
        assert new.present[2].all() and not new.present[0].any()
        # 4 sigma of 20,000 new events and of the 2000 training events within 1 GeV.
        found = 2 * np.mean(v[2, 3] > 0) - 1
        assert found == pytest.approx(asymmetry(slice_energy), abs=4 * np.sqrt(1 / 20_000 + 1 / 2000))


def test_the_process_chooses_between_born_and_radiation():
    born, isr = pairs(3000, 1), pairs(3000, 2, power=0.3)
    events = Events(DILEPTON, np.hstack([born.values, isr.values]))
    process = np.repeat(["born", "isr"], 3000)
    model = small(DileptonCoordinates(), conditions=("process",), epochs=2)
    model.fit(events, seed=1, condition={"process": process})
    for name, lost in (("born", 0), ("isr", 1)):
        total = model.sample(1000, 2, condition={"process": name}).values.reshape(4, 4, -1).sum(axis=0)
        # With power 0.3 on both sides 99.9 % lose more than 1e-10 of their energy.
        assert np.mean(total[0] < 91.19 * (1 - 1e-12)) == pytest.approx(lost, abs=0.01)
    both = model.sample(
        6, 1, condition={"process": np.array(["born", "isr"] * 3), "flavour": np.array(["e", "mu"] * 3)}
    )
    assert (both.present[2] == [False, True] * 3).all()


@pytest.mark.parametrize("method", ("flow", "matching"))
def test_events_of_a_flow_have_the_same_bits_whatever_is_asked_for_with_them(method, tmp_path):
    model = small(DileptonCoordinates(), method=method, epochs=1, steps=3, conditions=("sqrt_s",))
    energy = np.random.default_rng(3).uniform(85, 97, 1000)
    model.fit(pairs(1000, 1, energy, power=0.3), seed=1, condition={"sqrt_s": energy})
    whole = model.sample(1000, 5, condition={"sqrt_s": energy}, num_threads=1)
    cuts = ((0, 7), (7, 700), (700, 1000))
    parts = [
        model.sample(b - a, 5, first=a, condition={"sqrt_s": energy[a:b]}, num_threads=3).values
        for a, b in cuts
    ]
    np.testing.assert_array_equal(whole.values, np.hstack(parts))
    model.save(tmp_path / "flow.sg")
    found = models.load(tmp_path / "flow.sg")
    assert found == model
    np.testing.assert_array_equal(
        found.sample(50, 5, condition={"sqrt_s": 90.0}).values,
        model.sample(50, 5, condition={"sqrt_s": 90.0}).values,
    )
    seen = []
    model.stream(1000, 5, seen.append, block=333, condition={"sqrt_s": energy})
    np.testing.assert_array_equal(whole.values, np.hstack([part.values for part in seen]))


def test_the_same_seed_and_events_give_the_same_model(toy):
    again = small(TwoBodyCoordinates()).fit(two_body(8000, 1), seed=1, num_threads=2)
    np.testing.assert_array_equal(again.sample(100, 1).values, toy.sample(100, 1).values)


def test_columns_of_float32_lose_nothing_a_flow_could_tell():
    """Coordinates of rounded pairs decode to the pairs within their rounding."""
    events = Events(DILEPTON, pairs(5000, 1, power=0.1).values.astype(np.float32))
    coordinates = DileptonCoordinates().fit(events)
    label, x = coordinates.encode(events, {})
    values, present = coordinates.decode(label, x, np.zeros((5000, 1)), {})
    assert (present == events.present).all()
    old, new = (v.astype(np.float64).reshape(4, 4, -1) for v in (events.values, values))
    # Five units in the last place of 45 GeV (3.8e-6): two energies and two momenta, and the drawn soft part.
    np.testing.assert_allclose(new[:, 0], old[:, 0], atol=2e-5)
    np.testing.assert_allclose(new[:, 3], old[:, 3], atol=2e-5)


def test_leptons_have_the_masses_that_the_generator_gave_them():
    events = pairs(4000, 1)
    v = events.values.reshape(4, 4, -1)
    for k in range(4):  # masses of another generator, a percent off
        there = events.present[k]
        v[k, 0, there] = np.sqrt((v[k, 1:, there] ** 2).sum(axis=1) + (1.01 * MASSES[k // 2]) ** 2)
    coordinates = DileptonCoordinates(sqrt_s=91.2).fit(Events(DILEPTON, events.values))
    # m^2 of one electron is off by 2 x 45.6 GeV x (7e-15 GeV, one unit of E) / 2.7e-7 GeV^2 = 2e-6, and roundings of E are even.
    assert coordinates.constants["mass_e"] == pytest.approx(1.01 * MASSES[0], rel=3e-6)
    assert coordinates.constants["mass_mu"] == pytest.approx(1.01 * MASSES[1], rel=1e-9)
    single = DileptonCoordinates().fit(Events(DILEPTON, events.values.astype(np.float32)))
    assert single.constants == {}


def test_a_layout_finds_its_coordinates_and_recipe():
    model = flows.FlowModel.for_layout(DILEPTON, "quick", coordinates={"sqrt_s": 93.0}, epochs=3)
    assert model.coordinates == DileptonCoordinates(sqrt_s=93.0) and model.epochs == 3
    full = flows.FlowModel.for_layout(TWO_BODY)
    assert full.get_params(deep=False).items() >= TwoBodyCoordinates.recipes["full"].items()
    with pytest.raises(ValueError, match="recipe: expected one of quick, full, got 'best'"):
        flows.FlowModel.for_layout(TWO_BODY, "best")
    with pytest.raises(ValueError, match="layout: no coordinates of nothing"):
        flows.FlowModel.for_layout(Layout("nothing", ()))


def test_the_example_of_conditional_events_agrees_with_its_formula(capsys):
    path = Path(__file__).parents[2] / "examples" / "conditional_events.py"
    spec = importlib.util.spec_from_file_location("conditional_events", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    for energy, value, error, expected in example.main(n=12_000, recipe="quick"):
        # 4 sigma of the new events and of the 1200 training events within half a GeV; A_FB runs from -0.4 to 0.35.
        assert abs(value - expected) < 4 * np.hypot(error, 1 / np.sqrt(1200)), energy
    assert "trained on 12000 events" in capsys.readouterr().out


def test_wrong_conditions_and_events_are_refused_by_name(toy, radiating):
    with pytest.raises(ValueError, match="condition: 'sqrt_s' not among the conditions of this model"):
        radiating.sample(5, 1, condition={"sqrt_s": 91.0})
    with pytest.raises(ValueError, match="condition: flavour of event 0: expected one of e, mu, got 'tau'"):
        radiating.sample(5, 1, condition={"flavour": "tau"})
    with pytest.raises(ValueError, match=r"condition: expected flavour of shape \(5,\), got \(3,\)"):
        radiating.sample(5, 1, condition={"flavour": np.array(["e", "mu", "e"])})
    with pytest.raises(ValueError, match="conditions: expected some of mass, m1, m2, got 'energy'"):
        small(TwoBodyCoordinates(), conditions=("energy",)).fit(two_body(500, 1), seed=1)
    with pytest.raises(
        ValueError, match="condition: expected 'sqrt_s', which the columns of the events do not tell"
    ):
        small(DileptonCoordinates(), conditions=("sqrt_s",)).fit(pairs(500, 1, power=0.3), seed=1)
    with pytest.raises(ValueError, match="events: expected two-body decay, got e"):
        small(TwoBodyCoordinates()).fit(pairs(500, 1), seed=1)
    values = two_body(500, 1).values
    values[:2, 17] = 0
    with pytest.raises(ValueError, match="events: event 17 has a parent of no real mass"):
        small(TwoBodyCoordinates()).fit(Events(TWO_BODY, values), seed=1)
    values = pairs(500, 1).values
    values[:, 17] *= 1.1
    with pytest.raises(ValueError, match="events: event 17 has more energy than the collision"):
        small(DileptonCoordinates()).fit(Events(DILEPTON, values), seed=1)
    values = pairs(500, 1).values
    values[:, 3] = 1
    with pytest.raises(ValueError, match="events: event 3 is no lepton pair"):
        small(DileptonCoordinates()).fit(Events(DILEPTON, values), seed=1)
    model = small(TwoBodyCoordinates(), conditions=("m1",), epochs=1).fit(two_body(500, 1), seed=1)
    with pytest.raises(ValueError, match="condition: expected 'm1', for which this model was trained"):
        model.sample(5, 1)
    with pytest.raises(TypeError, match=r"condition: expected numbers \[GeV\] for m1"):
        model.sample(5, 1, condition={"m1": "heavy"})
    with pytest.raises(ValueError, match="condition: m1 of event 0 is nan"):
        model.sample(5, 1, condition={"m1": np.nan})
