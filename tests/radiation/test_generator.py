"""Made atmospheres: physical bounds, groups, reproducibility, and the perturbation recipe."""

import doctest

import numpy as np
import pytest

from simgraft.radiation import atmosphere_generator as generator
from simgraft.radiation import synthetic, tables
from simgraft.radiation.kernel import fluxes_lw, fluxes_sw, heating_rate


@pytest.fixture(scope="module")
def sky():
    return generator.generate(64, seed=5)


@pytest.fixture(scope="module")
def spread(sky):
    return generator.perturb(sky, 20, seed=6)


def test_docstrings_hold():
    assert doctest.testmod(generator).failed == 0


def test_columns_stay_inside_the_tables(sky, spread):
    for air in (sky, spread):
        assert air.pressure_level.min() > 1.00519 and air.pressure_level.max() < 109663
        assert air.temperature_level.min() >= 160 and air.temperature_level.max() <= 355
        assert (np.diff(air.pressure_level) > 0).all()
        assert ((air.pressure_layer > air.pressure_level[:, :-1]) & (air.pressure_layer < air.pressure_level[:, 1:])).all()


def test_columns_span_the_globe(sky):
    t = sky.temperature_surface
    assert t.max() > 297 and t.min() < 262
    assert 0.3 < (sky.mu0 > 0).mean() < 0.7
    cold = np.where(sky.pressure_layer > 3e3, sky.temperature_layer, 999.0)
    tropopause = sky.pressure_layer[np.arange(len(sky)), cold.argmin(1)]
    assert 8e3 < tropopause[t > 295].mean() < 15e3  # the tropics' lies at 100 hPa
    assert 185 < cold.min(1)[t > 295].mean() < 203 < cold.min(1)[t < 265].mean() < 225


def test_air_is_not_supersaturated(sky, spread):
    # Base columns hold at most 0.98 of saturation, perturbed ones 1.01 (the recipe's limit), where it is moist at all.
    for air, limit in ((sky, 0.9801), (spread, 1.0101)):
        q = generator.saturation_fraction(air.pressure_layer, air.temperature_layer)
        moist = air.gases["h2o"] > 1e-5
        assert (air.gases["h2o"] <= limit * q)[moist].all()


def test_saturation_is_that_of_the_equilibrium_columns():
    from simgraft import _core

    t = np.array([200.0, 250.0, 273.15, 300.0])
    e = np.array([_core.column_saturation(x) for x in t])
    assert np.allclose(generator.saturation_fraction(9e4, t), e / (9e4 - e), rtol=1e-14)


def test_the_same_seed_gives_the_same_columns_and_another_does_not(sky, spread):
    again = generator.perturb(generator.generate(64, seed=5), 20, seed=6)
    assert (again.temperature_layer == spread.temperature_layer).all()
    assert (again.gases["h2o"] == spread.gases["h2o"]).all()
    assert (generator.generate(64, seed=7).temperature_layer != sky.temperature_layer).any()


def test_copies_keep_the_site_of_their_column(sky, spread):
    assert (spread.site == np.tile(sky.site, 20)).all()
    assert (spread.mu0 == np.tile(sky.mu0, 20)).all()


def test_perturbations_have_the_widths_of_the_recipe(sky, spread):
    shape = (20, *sky.temperature_layer.shape)
    # Uniform on [-10, 10] K around the lowest level: standard deviation 5.77 K; of 1280 draws, known to 2 % (3 sigma 6 %).
    step = spread.temperature_surface - spread.temperature_level[:, -1]
    assert np.abs(step).max() <= 10 and step.std() == pytest.approx(10 / np.sqrt(3), rel=0.06)
    # Ozone times 1 + 0.75 U(-1, 1): mean 1, standard deviation 0.433, of 77000 draws.
    ratio = spread.gases["o3"].reshape(shape) / sky.gases["o3"]
    assert ratio.min() >= 0.25 and ratio.max() <= 1.75
    assert ratio.mean() == pytest.approx(1.0, abs=0.006) and ratio.std() == pytest.approx(0.433, abs=0.004)
    # Levels are drawn between their neighbours, on average at 0.05 + 0.95 / 2 = 0.525 of the way; sorting keeps the sum.
    # One draw scatters by 0.274 of two layers of up to a twentieth of the column: 1e-3 of the sum over 1280 columns.
    old, new = np.tile(sky.pressure_level, (20, 1)), spread.pressure_level
    expected = (old[:, :-2] + 0.525 * (old[:, 2:] - old[:, :-2])).sum()
    assert new[:, 1:-1].sum() == pytest.approx(expected, rel=1e-3)
    # Layer temperatures lie between those of their levels.
    low = np.minimum(spread.temperature_level[:, 1:], spread.temperature_level[:, :-1])
    high = np.maximum(spread.temperature_level[:, 1:], spread.temperature_level[:, :-1])
    assert ((spread.temperature_layer >= low) & (spread.temperature_layer <= high)).all()


def test_columns_from_the_surface_up_stay_that_way(sky):
    air = generator.perturb(sky.flipped(), 2, seed=1)
    assert (np.diff(air.pressure_level) < 0).all()
    assert np.abs(air.temperature_surface - air.temperature_level[:, 0]).max() <= 10


def test_gas_hypercube_has_one_point_in_every_stratum(sky):
    air = generator.gas_hypercube(sky, seed=3)
    for gas in ("co2", "ch4", "n2o", "cfc11"):
        low, high = generator.GAS_RANGES[gas]
        stratum = np.floor((air.gases[gas] - low) / (high - low) * 64).astype(int)
        assert sorted(stratum) == list(range(64))
    assert (air.gases["h2o"] == sky.gases["h2o"]).all()


def test_unknown_gas_is_named(sky):
    with pytest.raises(ValueError, match="ranges: the columns have no 'sf6'"):
        generator.gas_hypercube(sky, seed=1, ranges={"sf6": (0, 1e-9)})


def test_radiation_of_made_columns_is_that_of_the_globe(sky):
    lw = tables.from_variables(synthetic.longwave())
    sw = tables.from_variables(synthetic.shortwave())
    long, short = fluxes_lw(lw, sky), fluxes_sw(sw, sky)
    # Clear-sky means: 265 W m-2 at the top, 300 at the surface (CERES EBAF: 266, 314); the synthetic tables are good to 10.
    assert long.up[:, 0].mean() == pytest.approx(262, abs=12)
    assert long.down[:, -1].mean() == pytest.approx(308, abs=25)
    day = sky.mu0 > 0
    assert ((short.down[day, -1] < short.down[day, 0]) & (short.down[day, -1] > 0.4 * short.down[day, 0])).all()
    free = (sky.pressure_layer > 3e4) & (sky.pressure_layer < 8e4)
    assert -2.5 < heating_rate(sky.pressure_level, long)[free].mean() < -1.0


@pytest.mark.data
def test_rfmip_columns_can_be_perturbed(data_dir):
    from simgraft.radiation.atmosphere import rfmip

    base = rfmip(data_dir / "radiation/rfmip/inputs/multiple_input4MIPs_radiation_RFMIP_UColorado-RFMIP-1-2_none.nc", experiments=[0])
    air = generator.gas_hypercube(generator.perturb(base, 3, seed=1), seed=2)
    assert len(air) == 300 and (air.site == np.tile(np.arange(100), 3)).all()
    up = fluxes_lw(tables.load(data_dir / "radiation/rrtmgp/rrtmgp-gas-lw-g128.nc"), air).up
    assert np.isfinite(up).all() and 50 < up[:, 0].min() and up[:, 0].max() < 400
