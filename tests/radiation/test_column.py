"""Radiative-convective columns: adjustment, fixed points, restarts and errors, with a grey atmosphere in the slot."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simgraft
from simgraft import _core
from simgraft.radiation import host
from simgraft.radiation.host import EquilibriumColumn

SIGMA = 5.670374419e-8  # W m-2 K-4
CP_OVER_G = 1004.64 / 9.80665


def grey(state, depth=1.2):
    """A grey atmosphere without shortwave absorption: fluxes of the layers' black-body emission."""
    tau = depth * np.diff(state.pressure_level) / 1e5
    if "h2o" in state.gases:  # some water vapour feedback
        tau = tau * (1 + 30 * state.gases["h2o"])
    t = np.exp(-1.66 * tau)
    black = SIGMA * state.temperature_layer**4
    down, up = np.zeros_like(state.pressure_level), np.zeros_like(state.pressure_level)
    n = tau.shape[1]
    for i in range(n):
        down[:, i + 1] = down[:, i] * t[:, i] + black[:, i] * (1 - t[:, i])
    up[:, n] = SIGMA * state.temperature_surface**4
    for i in reversed(range(n)):
        up[:, i] = up[:, i + 1] * t[:, i] + black[:, i] * (1 - t[:, i])
    sun = np.ones_like(up) * (state.total_solar_irradiance * state.mu0)[:, None]
    return up, down, state.albedo[:, None] * sun, sun


LEVELS = np.linspace(1e3, 1e5, 31)


def test_docstrings_hold():
    assert doctest.testmod(host).failed == 0


@given(
    st.lists(st.floats(160, 350), min_size=1, max_size=40),
    st.floats(160, 350),
    st.floats(1e2, 1e8),
    st.floats(0, 0.3),
    st.integers(0, 2**32 - 1),
)
def test_adjustment_conserves_energy_and_is_neutral_or_stable(t_lay, t_sfc, slab, power, seed):
    t_lay = np.array(t_lay)
    n = t_lay.size
    rng = np.random.default_rng(seed)
    capacity = 10 ** rng.uniform(2, 6, n)
    p = np.sort(rng.uniform(1, 1e5, n))
    exner = (p / 1e5) ** power
    after, surface = _core.column_adjust(capacity, slab, exner, t_lay, t_sfc)
    before_heat = capacity @ t_lay + slab * t_sfc
    after_heat = capacity @ after + slab * surface
    # Two roundings per layer in the block sums and two in dividing and multiplying back: 4 n eps of the total.
    assert abs(after_heat - before_heat) <= 4 * (n + 1) * np.finfo(float).eps * before_heat
    theta = np.append(after / exner, surface)
    # Potential temperature nowhere falls upwards, up to the rounding of one multiplication and one division.
    assert (np.diff(theta) <= 2 * np.finfo(float).eps * theta[1:]).all()


@given(st.lists(st.floats(160, 350), min_size=1, max_size=40), st.floats(160, 350))
def test_adjusting_twice_changes_nothing(t_lay, t_sfc):
    capacity = np.ones(len(t_lay))
    exner = np.linspace(0.5, 1.0, len(t_lay))
    once, surface = _core.column_adjust(capacity, 3.0, exner, np.array(t_lay), t_sfc)
    twice, surface_2 = _core.column_adjust(capacity, 3.0, exner, once, surface)
    # Equal potential temperatures differ by rounding, so that merging again may move a temperature by an ulp or two per layer.
    assert np.allclose(once, twice, rtol=len(t_lay) * 4e-16, atol=0)
    assert surface == pytest.approx(surface_2, rel=len(t_lay) * 4e-16)


def test_stable_column_is_left_untouched_to_the_bit():
    t = np.array([300.0, 290.1, 280.3])
    after, surface = _core.column_adjust(np.ones(3), 2.0, np.array([0.9, 0.95, 1.0]), t, 270.7)
    assert (after == t).all() and surface == 270.7


def test_fixed_surface_keeps_its_temperature_and_imposes_the_lapse_rate():
    exner = np.array([0.8, 0.9, 0.95])
    after, surface = _core.column_adjust(np.ones(3), 0.0, exner, np.array([200.0, 200.0, 200.0]), 300.0)
    assert surface == 300.0
    assert np.allclose(after, 300.0 * exner, rtol=1e-15)


def test_moist_adiabat_at_the_surface_follows_the_textbook_lapse_rate():
    # Saturated lapse rate at 1000 hPa and 26.85 C: 3.7 K/km (glossary formula: r_s = 22.9 g/kg); the dry one is 9.76 K/km.
    p = np.array([99000.0])
    ratio = _core.column_moist_exner(1e5, 300.0, p)[0]
    height = 287.058 * 300.0 / 9.80665 * np.log(1e5 / 99000.0)
    assert 300.0 * (1 - ratio) / height * 1000 == pytest.approx(3.7, abs=0.15)


def test_saturation_pressure_at_the_triple_point_and_at_30_degrees():
    # 611.2 Pa and 4246 Pa (Smithsonian tables); the Magnus forms are good to 0.4 %.
    assert _core.column_saturation(273.16) == pytest.approx(611.7, rel=4e-3)
    assert _core.column_saturation(303.15) == pytest.approx(4246.0, rel=4e-3)
    assert _core.column_saturation(233.15) == pytest.approx(12.84, rel=1e-2)  # over ice


def test_grey_radiative_equilibrium_has_the_analytic_skin_and_surface_temperature():
    # Equilibrium of n isothermal grey layers: the net upward flux F = S/4 (1 - albedo) is the same at every level. For
    # thin layers sigma T^4 = F (1 + tau) / 2 and sigma T_surface^4 = F (2 + tau*) / 2 (Eddington); layer error O(tau^2 / n^2).
    column = EquilibriumColumn(np.linspace(1e2, 1e5, 201), {"h2o": 0.0}, relative_humidity=None, convection="none", max_steps=3000)
    state = column.run(grey)
    assert state.converged.all()
    flux = 1361 / 4 * 0.8
    tau = 1.66 * 1.2 * (state.pressure_layer[0] - 1e2) / 1e5
    # 0.2 %: half a layer of optical depth 0.01 is 0.5 % in flux at most, a quarter of that in temperature.
    assert np.allclose(state.temperature_layer[0], (flux * (1 + tau) / (2 * SIGMA)) ** 0.25, rtol=2e-3)
    total = 1.66 * 1.2 * (1e5 - 1e2) / 1e5
    assert state.temperature_surface[0] == pytest.approx((flux * (2 + total) / (2 * SIGMA)) ** 0.25, rel=2e-3)


@pytest.mark.parametrize("convection", ["none", "lapse", "moist"])
def test_equilibrium_balances_at_the_top_and_everywhere_where_nothing_convects(convection):
    state = EquilibriumColumn(LEVELS, {}, convection=convection, max_steps=3000).run(grey)
    assert state.converged.all()
    assert abs(state.imbalance[0]) < 1e-3
    heating = state.lw_heating + state.sw_heating
    stable = slice(0, 3)  # top three layers, far above convection
    assert np.abs(heating[0, stable]).max() < 1e-3


def test_convection_cools_the_surface_and_holds_the_critical_lapse_rate():
    free = EquilibriumColumn(LEVELS, {"h2o": 0.0}, relative_humidity=None, convection="none", max_steps=3000).run(grey)
    mixed = EquilibriumColumn(LEVELS, {"h2o": 0.0}, relative_humidity=None).run(grey)
    assert free.temperature_surface[0] > mixed.temperature_surface[0] + 5
    t, p = mixed.temperature_layer[0], mixed.pressure_layer[0]
    exponent = np.log(t[-1] / t[-5]) / np.log(p[-1] / p[-5])
    assert exponent == pytest.approx(287.058 * 6.5e-3 / 9.80665, rel=1e-3)


def test_acceleration_finds_the_equilibrium_of_plain_time_stepping():
    plain = EquilibriumColumn(LEVELS, {}, memory=0, step=43200.0, max_steps=20000, flux_tolerance=1e-4).run(grey)
    fast = EquilibriumColumn(LEVELS, {}, flux_tolerance=1e-4).run(grey)
    assert plain.converged.all() and fast.converged.all()
    # 1e-4 W m-2 over a feedback of about 0.3 W m-2 K-1 (this grey air moistens strongly) is 3e-4 K each.
    assert fast.temperature_surface[0] == pytest.approx(plain.temperature_surface[0], abs=7e-4)
    assert fast.steps[0] * 5 < plain.steps[0]


def test_heat_capacity_of_the_slab_does_not_matter_in_equilibrium():
    t = [EquilibriumColumn(LEVELS, {}, surface_heat_capacity=c).run(grey).temperature_surface[0] for c in (1e6, 4e7)]
    assert t[0] == pytest.approx(t[1], abs=2e-3)  # 1e-3 W m-2 / (1 W m-2 K-1), each


def test_energy_of_a_physical_run_grows_by_what_enters():
    column = EquilibriumColumn(LEVELS, {}, memory=0, step=21600.0)
    run = column.start()
    first = run.run(grey, 1)
    start = run.run(grey, 0)
    last = run.run(grey, 40)
    capacity = CP_OVER_G * np.diff(LEVELS)
    heat = lambda s: capacity @ s.temperature_layer[0] + 4.2e6 * s.temperature_surface[0]
    entered = 21600.0 * last.history["imbalance"][1:, 0].sum()
    assert first.steps[0] == 1
    # Heat is 2e9 J m-2 at 40 steps of 31 additions: round-off below 1e-3 J m-2; the adjustment adds 4 n eps per step.
    assert heat(last) - heat(start) == pytest.approx(entered, abs=1e-12 * heat(start))


def test_two_short_runs_give_the_bits_of_one_long_run():
    column = EquilibriumColumn(LEVELS, {}, albedo=np.array([0.1, 0.3]))
    once = column.start().run(grey, 24)
    run = column.start()
    run.run(grey, 11)
    twice = run.run(grey, 13)
    assert (once.temperature_layer == twice.temperature_layer).all()
    assert np.array_equal(once.history["rate"], twice.history["rate"], equal_nan=True)


def test_a_column_has_the_same_bits_alone_and_among_others():
    albedo = np.array([0.05, 0.2, 0.35])
    together = EquilibriumColumn(LEVELS, {}, albedo=albedo).run(grey)
    for i, a in enumerate(albedo):
        alone = EquilibriumColumn(LEVELS, {}, albedo=a).run(grey)
        assert (alone.temperature_layer[0] == together.temperature_layer[i]).all()
        assert alone.steps[0] == together.steps[i]


def test_run_from_the_equilibrium_stays_there():
    column = EquilibriumColumn(LEVELS, {})
    first = column.run(grey)
    again = column.run(grey, temperature_layer=first.temperature_layer, temperature_surface=first.temperature_surface)
    assert again.steps[0] <= 2
    assert again.temperature_surface[0] == pytest.approx(first.temperature_surface[0], abs=1e-3)


def test_fixed_surface_temperature_is_kept_and_the_column_settles():
    state = EquilibriumColumn(LEVELS, {}, surface_heat_capacity=0.0).run(grey, temperature_surface=300.0)
    assert state.converged.all()
    assert state.temperature_surface[0] == 300.0
    assert abs(state.imbalance[0]) > 1  # nothing asks for balance at the top


def test_column_without_equilibrium_in_the_range_is_given_up_and_says_so():
    # 80 % of 2 x 1361 / 4 W m-2 need a surface above 330 K even without an atmosphere; the other column needs 255 K at least.
    sun = np.array([1361.0, 2 * 1361.0])
    state = EquilibriumColumn(LEVELS, {}, total_solar_irradiance=sun, temperature_range=(150.0, 310.0)).run(grey)
    assert state.converged.tolist() == [True, False]
    assert state.limited.tolist() == [False, True]
    assert state.steps[1] < 600 and state.temperature_surface[1] == 310.0


def test_fixed_relative_humidity_follows_temperature_with_a_dry_stratosphere():
    state = EquilibriumColumn(LEVELS, {}, h2o_floor=3e-6).run(grey)
    p, t, q = state.pressure_layer[0], state.temperature_layer[0], state.h2o[0]
    rh = host.manabe_wetherald_humidity(p, 1e5)
    e = rh[-1] * _core.column_saturation(t[-1])
    assert q[-1] == pytest.approx(e / (p[-1] - e), rel=1e-14)
    assert q.min() >= 3e-6
    assert (np.diff(q) >= 0).all()  # no more water above than below


def test_a_warm_stratosphere_holds_no_more_water_than_the_cold_point():
    level = np.geomspace(10.0, 1e5, 31)
    p = 0.5 * (level[1:] + level[:-1])
    t = np.where(p > 1e4, 290 * (p / 1e5) ** 0.16, 200 + 12 * np.log(1e4 / p))
    run = EquilibriumColumn(level, {}, relative_humidity=np.full(30, 0.5), h2o_floor=1e-9).start(temperature_layer=t)
    q = run.run(grey, 0).h2o[0]
    cold = np.argmin(t)
    assert q[:cold].max() <= q[cold] and q[cold] == pytest.approx(q.min())
    e = 0.5 * _core.column_saturation(t[cold])
    assert q[cold] == pytest.approx(e / (p[cold] - e), rel=1e-14)


def test_nan_from_the_slot_is_an_error_that_names_the_column():
    def broken(state):
        fluxes = [f.copy() for f in grey(state)]
        fluxes[1][state.column == 1, 2] = np.nan
        return tuple(fluxes)

    with pytest.raises(simgraft.DivergedError, match="column 1 at level 2"):
        EquilibriumColumn(LEVELS, {}, albedo=np.array([0.1, 0.2])).run(broken)


def test_exception_of_the_slot_comes_through_and_the_run_can_go_on():
    run = EquilibriumColumn(LEVELS, {}).start()
    run.run(grey, 3)

    def broken(state):
        raise KeyError("no table")

    with pytest.raises(KeyError, match="no table"):
        run.run(broken, 5)
    assert run.run(grey, 1000).converged.all()


def test_wrong_shape_from_the_slot_names_the_flux():
    def narrow(state):
        up, down, sw_up, sw_down = grey(state)
        return up, down[:, 1:], sw_up, sw_down

    with pytest.raises(ValueError, match="lw_down: expected shape"):
        EquilibriumColumn(LEVELS, {}).run(narrow)


def test_interrupt_from_progress_ends_the_run_with_its_state():
    def stop(done, total):
        raise KeyboardInterrupt

    run = EquilibriumColumn(LEVELS, {}).start()
    with pytest.raises(KeyboardInterrupt):
        run.run(grey, 1000, progress=stop)
    assert run.run(grey, 1000).converged.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(pressure_level=LEVELS[::-1]), "pressure_level: column 0"),
        (dict(pressure_level=LEVELS[None, None]), "pressure_level: expected shape"),
        (dict(pressure_layer=np.full(30, 5e4)), "pressure_layer: column 0, layer"),
        (dict(albedo=1.5), "albedo: expected 0 to 1, got 1.5"),
        (dict(convection="deep"), "convection: expected one of"),
        (dict(gases={"h2o": 1e-3}), "gases: h2o follows relative_humidity"),
        (dict(relative_humidity=None), "gases: h2o is missing"),
        (dict(relative_humidity=np.full(30, 1.2)), r"relative_humidity\[0, 0\]: expected 0 to 1"),
        (dict(relative_humidity=np.full(7, 0.5)), "relative_humidity: expected shape"),
        (dict(step=0.0), "step: expected 1 to"),
        (dict(memory=17), "memory: expected at most 16"),
        (dict(lapse_rate=np.nan), "lapse_rate: expected"),
        (dict(gases={"co2": np.ones(3)}), r"gases\['co2'\]: expected shape"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = dict(pressure_level=LEVELS, gases={}) | change
    with pytest.raises(ValueError, match=message):
        EquilibriumColumn(**arguments).run(grey)


def test_start_outside_the_temperature_range_names_the_layer():
    with pytest.raises(simgraft.DomainError, match=r"temperature_layer\[0, 4\]: expected 160 to 355 K, got 120"):
        t = np.full(30, 250.0)
        t[4] = 120.0
        EquilibriumColumn(LEVELS, {}).run(grey, temperature_layer=t)


def test_slot_of_the_wrong_kind_is_a_type_error():
    with pytest.raises(TypeError, match="slot: expected a Radiation or a callable, got int"):
        EquilibriumColumn(LEVELS, {}).run(3)
