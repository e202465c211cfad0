"""ecCKD definitions: against the NumPy oracle, against the RFMIP reference, bits, and errors. Files come from the data folder."""

import shutil

import ecckd_oracle
import netCDF4
import numpy as np
import oracle
import pytest

import simgraft
from simgraft.radiation import ecckd
from simgraft.radiation.atmosphere import rfmip
from simgraft.radiation.host import EquilibriumColumn
from simgraft.radiation.kernel import heating_rate

pytestmark = pytest.mark.data

LONGWAVE = "radiation/ecckd/ecckd-1.0_lw_climate_fsck-32b_ckd-definition.nc"
SHORTWAVE = "radiation/ecckd/ecckd-1.4_sw_climate_rgb-32b_ckd-definition.nc"
RFMIP = "radiation/rfmip/inputs/multiple_input4MIPs_radiation_RFMIP_UColorado-RFMIP-1-2_none.nc"


@pytest.fixture(scope="module")
def longwave(data_dir):
    return ecckd.load(data_dir / LONGWAVE)


@pytest.fixture(scope="module")
def shortwave(data_dir):
    return ecckd.load(data_dir / SHORTWAVE)


@pytest.fixture(scope="module")
def air(data_dir):
    return rfmip(data_dir / RFMIP, experiments=[0])


@pytest.fixture(scope="module")
def reference(data_dir):
    def read(name):
        with netCDF4.Dataset(data_dir / f"radiation/rfmip/reference/{name}_Efx_RTE-RRTMGP-181204_rad-irf_r1i1p1f1_gn.nc") as file:
            file.set_auto_mask(False)
            return np.asarray(file[name][0], np.float64)

    return {name: read(name) for name in ("rlu", "rld", "rsu", "rsd")}


def profiles(air):
    shape = air.pressure_layer.shape
    return {g: np.broadcast_to(np.asarray(x)[..., None] if np.ndim(x) == 1 else x, shape) for g, x in air.gases.items()}


def test_longwave_optics_are_those_of_the_oracle(data_dir, longwave, air):
    optics = longwave.optics(air)
    definition = ecckd_oracle.Definition(data_dir / LONGWAVE)
    tau, _ = ecckd_oracle.optical_depth(
        definition, air.pressure_layer, air.pressure_level, air.temperature_layer, profiles(air)
    )
    # Sums of 36 products with cancellation between relative-linear gases and the composite: 1e-12 of the sum.
    assert np.allclose(optics["tau"], tau, rtol=1e-12, atol=0)
    for name, t in [
        ("lay_source", air.temperature_layer), ("lev_source", air.temperature_level), ("sfc_source", air.temperature_surface),
    ]:  # fmt: skip
        assert np.allclose(optics[name], ecckd_oracle.planck(definition, t), rtol=1e-13, atol=0)


def test_shortwave_optics_are_those_of_the_oracle(data_dir, shortwave, air):
    optics = shortwave.optics(air)
    definition = ecckd_oracle.Definition(data_dir / SHORTWAVE)
    tau, rayleigh = ecckd_oracle.optical_depth(
        definition, air.pressure_layer, air.pressure_level, air.temperature_layer, profiles(air)
    )
    assert np.allclose(optics["tau_rayleigh"], rayleigh, rtol=1e-13, atol=0)
    assert np.allclose(optics["tau"], tau + rayleigh, rtol=1e-12, atol=0)
    assert np.allclose(optics["ssa"], oracle.single_scattering(tau, rayleigh)[1], rtol=1e-12, atol=0)


def test_present_day_longwave_is_within_a_watt_of_the_reference(longwave, air, reference):
    flux = ecckd.fluxes_lw(longwave, air)
    error = lambda a, b: np.abs(a - b).mean()
    assert error(flux.up[:, 0], reference["rlu"][:, 0]) < 1.0  # 0.47 W m-2 measured
    assert error(flux.down[:, -1], reference["rld"][:, -1]) < 1.0  # 0.75
    assert error(flux.up, reference["rlu"]) < 1.0 and error(flux.down, reference["rld"]) < 1.0


def test_present_day_shortwave_is_within_a_watt_of_the_reference(shortwave, air, reference):
    day = air.mu0 > 0
    flux = ecckd.fluxes_sw(shortwave, air)
    error = lambda a, b: np.abs(a - b)[day].mean()
    assert error(flux.up[:, 0], reference["rsu"][:, 0]) < 1.0  # 0.22 W m-2 measured
    assert error(flux.down[:, -1], reference["rsd"][:, -1]) < 1.0  # 0.73
    assert error(flux.up, reference["rsu"]) < 1.0 and error(flux.down, reference["rsd"]) < 1.0
    assert (flux.down[~day] == 0).all()
    assert np.allclose(flux.down[day, 0], (air.total_solar_irradiance * air.mu0)[day], rtol=1e-12)


def test_heating_rates_are_those_of_the_reference(longwave, air, reference):
    ours = heating_rate(air.pressure_level, ecckd.fluxes_lw(longwave, air))
    theirs = oracle.heating_rate(air.pressure_level_file, reference["rlu"], reference["rld"])
    # 32 g-points: 0.1 to 0.2 K/day below 4 hPa (Hogan & Matricardi 2022, figure 6). The two lowest layers, 30 m thick above a
    # surface up to 20 K warmer or colder, see the error of the surface flux itself, 0.6 and 1.8 K/day.
    inner = np.broadcast_to(np.arange(60) < 58, ours.shape) & (air.pressure_layer > 400)
    assert np.sqrt(((ours - theirs)[inner] ** 2).mean()) < 0.1  # 0.08 measured


def test_single_precision_agrees_with_double(longwave, shortwave, air):
    for definition in (longwave, shortwave):
        double, single = definition.optics(air), definition.optics(air.astype("float32"))
        assert single["tau"].dtype == np.float32
        # 36 products, each with its own rounding of weights, amounts and temperatures: the position on the temperature
        # axis (20 K steps) carries the 3e-5 K rounding of T, which changes strongly temperature-dependent terms by 1e-5.
        assert np.abs(single["tau"] / double["tau"] - 1).max() < 3e-5


def test_bits_do_not_depend_on_threads_companions_or_instruction_set(longwave, air):
    whole = longwave.optics(air, num_threads=2)
    part = longwave.optics(air.take(slice(7, 8)), num_threads=1)
    assert all((whole[name][7:8] == part[name]).all() for name in ("tau", "lay_source", "lev_source", "sfc_source"))
    if simgraft._core.isa_best() == "v4":
        try:
            simgraft._core.isa_set("v3")
            narrow = longwave.optics(air)
        finally:
            simgraft._core.isa_set("auto")
        assert all((whole[name] == narrow[name]).all() for name in ("tau", "lay_source", "lev_source", "sfc_source"))


def test_columns_may_run_from_the_surface_up(longwave, shortwave, air):
    for fluxes, definition in ((ecckd.fluxes_lw, longwave), (ecckd.fluxes_sw, shortwave)):
        down, up = fluxes(definition, air), fluxes(definition, air.flipped())
        assert np.allclose(up.up[:, ::-1], down.up, rtol=1e-13) and np.allclose(up.down[:, ::-1], down.down, rtol=1e-13)


def test_equilibrium_column_runs_on_ecckd(longwave, shortwave):
    from simgraft.radiation import atmosphere_generator as generator
    from simgraft.radiation.atmosphere import Atmosphere

    def slot(state):
        fields = vars(state) | {}
        fields.pop("column")
        lw = ecckd.fluxes_lw(longwave, Atmosphere(**fields), out_of_range="clip")
        sw = ecckd.fluxes_sw(shortwave, Atmosphere(**fields), out_of_range="clip")
        return lw.up, lw.down, sw.up, sw.down

    level = generator.pressure_levels([101325.0], 40)[0]
    o3 = generator.ozone(0.5 * (level[1:] + level[:-1])[None])[0]
    gases = generator.PRESENT_DAY | {"o3": o3}
    t = [EquilibriumColumn(level, gases | {"co2": co2}, albedo=0.25).run(slot).temperature_surface[0] for co2 in (4e-4, 8e-4)]
    assert 284 < t[0] < 290  # RRTMGP tables: 286.7 K
    assert 1.5 < t[1] - t[0] < 3.5


def test_temperature_outside_the_table_is_named_or_clipped_and_counted(longwave, air):
    hot = air.take(slice(0, 3))
    hot.temperature_layer[1, 20] = 340.0
    with pytest.raises(simgraft.DomainError, match=r"temperature_layer\[1, 20\] = 340 K lies outside the table"):
        longwave.optics(hot)
    assert longwave.optics(hot, out_of_range="clip")["clipped"] == {"temperature": 1, "pressure": 0}


def test_nan_is_named_even_when_clipping(longwave, air):
    bad = air.take(slice(0, 2))
    bad.temperature_layer[1, 2] = np.nan
    with pytest.raises(simgraft.NotFiniteError, match=r"temperature_layer\[1, 2\] is NaN"):
        longwave.optics(bad, out_of_range="clip")


def test_missing_gas_is_named(longwave, air):
    from dataclasses import replace

    less = replace(air, gases={gas: x for gas, x in air.gases.items() if gas != "cfc12"})
    with pytest.raises(ValueError, match="gases: cfc12 missing; give 0.0 for none"):
        longwave.optics(less)


def test_mixed_precision_is_a_type_error(longwave, air):
    from dataclasses import replace

    mixed = replace(air, temperature_layer=air.temperature_layer.astype(np.float32))
    with pytest.raises(TypeError, match="temperature_layer: expected float64"):
        longwave.optics(mixed)


def test_swapped_definitions_are_named(longwave, shortwave, air):
    with pytest.raises(ValueError, match="ecckd: expected a longwave definition"):
        ecckd.fluxes_lw(shortwave, air)
    with pytest.raises(ValueError, match="ecckd: expected a shortwave definition"):
        ecckd.fluxes_sw(longwave, air)


def test_a_foreign_file_is_refused_and_named(data_dir):
    with pytest.raises(simgraft.FileFormatError, match="rrtmgp-gas-lw-g128.nc.*not an ecCKD definition"):
        ecckd.load(data_dir / "radiation/rrtmgp/rrtmgp-gas-lw-g128.nc")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.99])
def test_a_truncated_file_is_refused_and_named(data_dir, tmp_path, share):
    path = tmp_path / "cut.nc"
    whole = (data_dir / SHORTWAVE).read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(simgraft.FileFormatError, match="cut.nc"):
        ecckd.load(path)


def test_an_uneven_pressure_axis_is_refused(data_dir, tmp_path):
    path = tmp_path / "uneven.nc"
    shutil.copy(data_dir / LONGWAVE, path)
    with netCDF4.Dataset(path, "a") as file:
        file["pressure"][10] *= 1.01
    with pytest.raises(simgraft.FileFormatError, match="uneven.nc.*pressure: expected even steps of the logarithm"):
        ecckd.load(path)


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.nc"):
        ecckd.load(tmp_path / "nothing.nc")


def test_every_failing_allocation_is_a_memory_error(data_dir, air):
    def prepare():
        return ecckd.load(data_dir / LONGWAVE).optics(air.take(slice(0, 1)), num_threads=1)

    simgraft._core.memory_fail_after(-1)
    prepare()
    asked = simgraft._core.memory_fail_after(-1)
    assert asked >= 7
    for n in range(asked):
        simgraft._core.memory_fail_after(n)
        try:
            with pytest.raises(MemoryError):
                prepare()
        finally:
            simgraft._core.memory_fail_after(-1)
