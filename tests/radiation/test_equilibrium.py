"""Radiative-convective equilibrium with the package's radiation in the slot: known climates, and slots that must agree."""

import signal
import time

import numpy as np
import pytest

import simgraft
from simgraft import _core
from simgraft.radiation import atmosphere_generator as generator
from simgraft.radiation import kernel, synthetic, tables
from simgraft.radiation.host import EquilibriumColumn, EquilibriumHost, Radiation

LEVELS = generator.pressure_levels([101325.0], 40)[0]
OZONE = generator.ozone(0.5 * (LEVELS[1:] + LEVELS[:-1])[None])[0]
GASES = generator.PRESENT_DAY | {"o3": OZONE}


@pytest.fixture(scope="module")
def made():
    return tables.from_variables(synthetic.longwave()), tables.from_variables(synthetic.shortwave())


@pytest.fixture(scope="module")
def real(data_dir):
    folder = data_dir / "radiation/rrtmgp"
    return tables.load(folder / "rrtmgp-gas-lw-g128.nc"), tables.load(folder / "rrtmgp-gas-sw-g112.nc")


def equilibrium(pair, gases=GASES, **options):
    state = EquilibriumColumn(LEVELS, gases, **options).run(Radiation(*pair))
    assert state.converged.all()
    return state


class Climate:
    """Facts that hold for synthetic and real tables alike."""

    def test_surface_is_as_warm_as_the_earth_and_the_top_balances(self, pair):
        state = equilibrium(pair, albedo=np.array([0.2, 0.25]))
        # A quarter of 1361 W m-2: the clear-sky earth of Manabe & Wetherald lies between 285 and 300 K.
        assert 283 < state.temperature_surface[1] < state.temperature_surface[0] < 300
        assert (np.abs(state.imbalance) < 1e-3).all()
        # The net of the four fluxes at the top says the same as the host's own sum.
        net = state.lw_down[:, 0] - state.lw_up[:, 0] + state.sw_down[:, 0] - state.sw_up[:, 0]
        assert (np.abs(net) < 1e-3).all()
        assert np.allclose(state.sw_down[:, 0], 1361 / 4, rtol=1e-12)

    def test_stratosphere_is_in_radiative_balance_and_the_troposphere_convects(self, pair):
        state = equilibrium(pair)
        heating = (state.lw_heating + state.sw_heating)[0]
        p = state.pressure_layer[0]
        assert np.abs(heating[p < 5e3]).max() < 2e-3  # twice the tolerance
        assert heating[(p > 4e4) & (p < 8e4)].max() < -0.3  # radiation cools, convection heats
        cold = p[np.argmin(state.temperature_layer[0][p > 2e3]) + (p <= 2e3).sum()]
        assert 3e3 < cold < 2.5e4

    def test_doubled_carbon_dioxide_warms_the_surface_and_cools_the_stratosphere(self, pair):
        once = equilibrium(pair, albedo=0.25)
        twice = equilibrium(pair, GASES | {"co2": 2 * GASES["co2"]}, albedo=0.25)
        # Manabe & Wetherald 1967: 2.36 K (cloudy) and 2.92 K (clear); models since 1.5 to 3.5 K without cloud feedback.
        assert 1.5 < twice.temperature_surface[0] - once.temperature_surface[0] < 3.5
        high = once.pressure_layer[0] < 1000
        assert (twice.temperature_layer - once.temperature_layer)[0][high].mean() < -3

    def test_water_vapour_feedback_about_doubles_the_warming(self, pair):
        base = equilibrium(pair, albedo=0.25)
        warming = []
        for co2 in (1, 2):
            gases = GASES | {"co2": co2 * GASES["co2"], "h2o": base.h2o}
            warming.append(equilibrium(pair, gases, albedo=0.25, relative_humidity=None).temperature_surface[0])
        fixed = warming[1] - warming[0]
        free = equilibrium(pair, GASES | {"co2": 2 * GASES["co2"]}, albedo=0.25).temperature_surface[0] - base.temperature_surface[0]
        # Manabe & Wetherald 1967, table 5: 1.33 K with fixed absolute and 2.36 K with fixed relative humidity.
        assert 1.0 < fixed < 1.8
        assert 1.5 < free / fixed < 2.5

    def test_without_convection_the_surface_is_far_hotter(self, pair):
        base = equilibrium(pair, albedo=0.25)
        gases = GASES | {"h2o": base.h2o}
        free = equilibrium(pair, gases, albedo=0.25, relative_humidity=None, convection="none")
        # Manabe & Strickler 1964: 332 K against 300 K.
        assert 15 < free.temperature_surface[0] - base.temperature_surface[0] < 50


class TestSyntheticClimate(Climate):
    @pytest.fixture
    def pair(self, made):
        return made


@pytest.mark.data
class TestRealClimate(Climate):
    @pytest.fixture
    def pair(self, real):
        return real


def test_core_and_python_slots_reach_the_same_equilibrium(made):
    column = EquilibriumColumn(LEVELS, GASES)
    core = column.run(Radiation(*made))
    python = column.run(Radiation(*made).__call__)
    # The same kernels with the same inputs: the same bits.
    assert (core.temperature_layer == python.temperature_layer).all()
    assert (core.sw_up == python.sw_up).all() and core.steps[0] == python.steps[0]


def test_optics_kernel_in_the_slot_reaches_the_equilibrium_of_the_tables(made):
    host = EquilibriumHost(EquilibriumColumn(LEVELS, GASES), *made)
    inside = host(kernel.LongwaveOptics(made[0]).kernel)
    core = EquilibriumColumn(LEVELS, GASES).run(Radiation(*made))
    # Tolerances of 1e-3 W m-2 and 1e-3 K/day leave about 1e-3 K; optics by cell and by column differ in rounding.
    assert np.abs(inside["temperature_surface"] - core.temperature_surface).max() < 3e-3
    assert np.abs(inside["temperature_layer"] - core.temperature_layer).max() < 2e-2


def test_shortwave_optics_can_sit_in_the_slot(made):
    host = EquilibriumHost(EquilibriumColumn(LEVELS, GASES), *made, replaces="shortwave")
    inside = host(kernel.ShortwaveOptics(made[1]).kernel)
    core = EquilibriumColumn(LEVELS, GASES).run(Radiation(*made))
    # The kernel view has no o2 CIA, no2 and halocarbons of its own but fixed o2 and n2, which are those of the columns.
    assert np.abs(inside["temperature_surface"] - core.temperature_surface).max() < 0.05


def test_wrong_optics_show_in_the_equilibrium(made):
    column = EquilibriumColumn(LEVELS, GASES)
    optics = kernel.LongwaveOptics(made[0]).kernel

    def thinner(inputs):
        out = optics(inputs)
        return {"absorption": 0.9 * out["absorption"], "planck_fraction": out["planck_fraction"]}

    t = [column.run(Radiation(*made, longwave_optics=slot)).temperature_surface[0] for slot in (optics, thinner)]
    assert t[0] - t[1] > 0.5


def test_columns_have_the_same_bits_alone_and_in_company_for_any_thread_count(made):
    albedo = np.linspace(0.1, 0.35, 5)
    one = EquilibriumColumn(LEVELS, GASES, albedo=albedo).run(Radiation(*made, num_threads=1))
    two = EquilibriumColumn(LEVELS, GASES, albedo=albedo).run(Radiation(*made, num_threads=2))
    alone = EquilibriumColumn(LEVELS, GASES, albedo=albedo[3]).run(Radiation(*made))
    assert (one.temperature_layer == two.temperature_layer).all()
    assert (one.temperature_layer[3] == alone.temperature_layer[0]).all()


def test_every_column_keeps_its_own_gases_while_others_come_to_rest(made):
    co2 = np.array([2e-4, 4e-4, 16e-4])
    first = EquilibriumColumn(LEVELS, GASES | {"co2": co2[0]}).run(Radiation(*made))
    # The first column starts in equilibrium and rests at once, so that the others move up in the packed arrays.
    t_sfc = np.array([first.temperature_surface[0], 282.0, 305.0])
    t_lay = np.maximum(t_sfc[:, None] * (first.pressure_layer / LEVELS[-1]) ** 0.19, 205.0)
    t_lay[0] = first.temperature_layer[0]
    gases = GASES | {"co2": co2[:, None]}
    together = EquilibriumColumn(LEVELS, gases).run(Radiation(*made), temperature_layer=t_lay, temperature_surface=t_sfc)
    assert together.steps[0] < 3
    for i in (1, 2):
        alone = EquilibriumColumn(LEVELS, GASES | {"co2": co2[i]}).run(
            Radiation(*made), temperature_layer=t_lay[i], temperature_surface=t_sfc[i]
        )
        assert (together.temperature_layer[i] == alone.temperature_layer[0]).all()


def test_equilibrium_does_not_depend_on_the_start(made):
    column = EquilibriumColumn(LEVELS, GASES)
    cold = column.run(Radiation(*made), temperature_surface=260.0)
    warm = column.run(Radiation(*made), temperature_surface=305.0)
    # 1e-3 W m-2 over a feedback of about 1.2 W m-2 K-1 each.
    assert cold.temperature_surface[0] == pytest.approx(warm.temperature_surface[0], abs=3e-3)


def test_swapped_tables_are_named(made):
    with pytest.raises(ValueError, match="longwave: expected a longwave table"):
        EquilibriumColumn(LEVELS, GASES).run(Radiation(made[1], made[0]))


def test_pressure_above_the_table_is_an_error_that_names_it(made):
    with pytest.raises(simgraft.DomainError, match="pressure"):
        EquilibriumColumn(np.linspace(0.1, 1e5, 21), {"co2": 4e-4}, pressure_layer=np.linspace(0.5, 9.9e4, 20)).run(Radiation(*made))


def test_day_fraction_outside_zero_to_one_is_named(made):
    with pytest.raises(ValueError, match="day_fraction: expected 0 to 1"):
        EquilibriumColumn(LEVELS, GASES, day_fraction=2.0).run(Radiation(*made))


def test_interrupt_stops_within_a_long_step_and_the_run_can_go_on(made):
    run = EquilibriumColumn(LEVELS, GASES, albedo=np.linspace(0.1, 0.3, 2500)).start()
    radiation = Radiation(*made, num_threads=1)
    start = time.monotonic()
    run.run(radiation, 1)
    step = time.monotonic() - start  # about 1 s

    def handler(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1 * step)
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            run.run(radiation, 1000)
        # The radiation asks between its blocks, every 50 ms, so that the step does not have to end first.
        assert time.monotonic() - start < 0.6 * step
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert np.isfinite(run.run(radiation, 1).temperature_layer).all()


def test_every_failing_allocation_is_a_memory_error(made):
    column = EquilibriumColumn(LEVELS, GASES)
    radiation = Radiation(*made, num_threads=1)

    def prepare():
        run = column.start()
        return run, radiation.bind_columns(run)

    _core.memory_fail_after(-1)
    prepare()
    asked = _core.memory_fail_after(-1)
    assert asked > 40
    for n in range(asked):
        _core.memory_fail_after(n)
        try:
            with pytest.raises(MemoryError):
                prepare()
        finally:
            _core.memory_fail_after(-1)
    prepare()
