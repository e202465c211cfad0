"""Pictures of events show what they were given."""

import numpy as np
import pytest
from simgraft.events import DILEPTON, TOP_PAIR, TWO_BODY, Events, plots

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


def sample(layout, seed, n=400):
    return Events(layout, np.random.default_rng(seed).gamma(3.0, 20.0, (len(layout), n)))


def visible(figure):
    return [axis for axis in figure.axes if axis.get_visible()]


def test_each_distribution_has_a_panel_of_ratios_with_the_unit_below():
    figure = plots.distributions(sample(TOP_PAIR, 1), {"model": sample(TOP_PAIR, 2)}, ["MET", "j1_pT", "j1_eta"], columns=2)
    assert len(visible(figure)) == 6
    labels = {axis.get_xlabel() for axis in visible(figure)} - {""}
    assert labels == {"MET [GeV]", "j1_pT [GeV]", "j1_eta"}


def test_distributions_of_an_absent_object_leave_its_zeros_out():
    events = sample(DILEPTON, 3)
    values = events.values.copy()
    values[:8, 200:] = 0
    values[8:, :200] = 0
    half = Events(DILEPTON, values)
    _, column = plots._columns(half, ["mum_pz"])["mum_pz"]
    assert len(column(half)) == 200 and (column(half) != 0).all()


def test_ratio_of_a_sample_to_itself_is_one():
    events = sample(TWO_BODY, 4)
    figure = plots.distributions(events, {"itself": events}, ["E1"])
    ratio = figure.axes[1]
    points = np.concatenate([line.get_ydata() for line in ratio.lines if line.get_marker() == "."])
    assert len(points) > 10
    np.testing.assert_allclose(points, 1.0)


def test_models_beyond_the_ratio_panel_leave_a_mark():
    truth = Events(TWO_BODY, np.random.default_rng(5).uniform(1, 2, (10, 2000)))
    model = Events(TWO_BODY, np.random.default_rng(6).uniform(1, 1.2, (10, 2000)))
    ratio = plots.distributions(truth, {"narrow": model}, ["E1"]).axes[1]
    marks = {line.get_marker(): len(line.get_ydata()) for line in ratio.lines}
    assert marks["^"] > 0 and marks["v"] > 0


def test_constant_columns_are_drawn_too():
    values = np.random.default_rng(7).uniform(1, 2, (10, 100))
    values[8] = 0.105
    assert visible(plots.distributions(Events(TWO_BODY, values), {}, ["m1"]))


def test_correlations_leave_out_columns_without_spread():
    a, b = sample(TWO_BODY, 8), sample(TWO_BODY, 9)
    values = a.values.copy()
    values[9] = 1.0
    figure = plots.correlations(Events(TWO_BODY, values), b, "VAE")
    assert len(figure.axes[0].get_xticks()) == 9
    assert {axis.get_title() for axis in figure.axes} >= {"truth", "VAE", "VAE - truth"}


def test_area_in_the_legend_of_a_roc_curve_is_that_of_the_ranks():
    rng = np.random.default_rng(10)
    a, b = rng.normal(0.7, 1, 3000), rng.normal(0, 1, 3000)
    area = (a[:, None] > b).mean()
    label = plots.roc({"model": (a, b)}).axes[0].lines[1].get_label()
    assert float(label.split()[-1]) == pytest.approx(area, abs=2e-3)  # 401 cuts


def test_recorded_masses_are_compared_at_equal_counts():
    rng = np.random.default_rng(11)
    figure = plots.dimuon_overlay(rng.normal(91, 3, 500), {"model": rng.normal(91, 3, 50_000)})
    assert figure.axes[1].get_xlabel() == "mass of the muon pair [GeV]"


def test_planes_and_noise_have_a_panel_for_each_sample():
    a = sample(TWO_BODY, 12)
    assert len(plots.plane({"truth": a, "model": a}, "px1", "py1").axes) == 3  # and the colour bar
    x = a.rows / a.rows.max()
    assert len(plots.noise_reconstruction(x, x, x, x**2, a.layout.names).axes) == 3
