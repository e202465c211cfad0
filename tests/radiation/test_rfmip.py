"""The 1,800 RFMIP columns on the published tables: against the reference fluxes, and float against double."""

import numpy as np
import pytest

from simgraft.radiation import kernel

pytestmark = pytest.mark.data


def rmse(x):
    return np.sqrt(np.mean(x**2))


@pytest.fixture(scope="module")
def errors(table, rfmip, reference):
    """errors(name): deviation from the reference: top up, surface down [W m-2], heating at p > 4 hPa [K/day]."""

    def compare(name):
        if name.startswith("lw"):
            fluxes, wanted = kernel.fluxes_lw(table(name), rfmip), kernel.Fluxes(reference("rlu"), reference("rld"))
            rows = np.ones(len(rfmip), bool)
        else:
            fluxes, wanted = kernel.fluxes_sw(table(name), rfmip), kernel.Fluxes(reference("rsu"), reference("rsd"))
            rows = rfmip.mu0 > 0
        levels = rfmip.pressure_level_file
        heating = kernel.heating_rate(levels, fluxes) - kernel.heating_rate(levels, wanted)
        deep = rfmip.pressure_layer[rows] > 400.0
        return (fluxes.up - wanted.up)[rows, 0], (fluxes.down - wanted.down)[rows, -1], heating[rows][deep]

    return compare


# The reference is the g256 table, stored in float32: half an ulp of 500 W m-2 is 1.5e-5.
def test_longwave_of_256_g_points_is_the_reference(errors):
    up, down, heating = errors("lw-g256")
    assert len(up) == 1800
    assert np.abs(up).max() <= 1e-4
    assert np.abs(down).max() <= 1e-4
    assert rmse(heating) <= 1e-4


# The reference's solar constant was summed in other constants: 2e-7 of 1400 W m-2 is 3e-4.
def test_shortwave_of_224_g_points_is_the_reference(errors):
    up, down, heating = errors("sw-g224")
    assert len(up) == 18 * 51
    assert np.abs(up).max() <= 1e-3
    assert np.abs(down).max() <= 1e-3
    assert rmse(heating) <= 1e-4


# Bias and rmse that an independent transcription and the Fortran code have on these tables, to the digits printed.
@pytest.mark.parametrize(
    ("name", "up_bias", "up_rmse", "down_bias", "down_rmse", "heating_rmse"),
    [
        ("lw-g128", -0.212, 0.229, 0.183, 0.203, 0.038),
        ("sw-g112", -0.136, 0.180, -0.481, 0.606, 0.017),
    ],
)
def test_reduced_tables_have_their_known_errors(errors, name, up_bias, up_rmse, down_bias, down_rmse, heating_rmse):
    up, down, heating = errors(name)
    assert up.mean() == pytest.approx(up_bias, abs=2e-3)
    assert rmse(up) == pytest.approx(up_rmse, abs=2e-3)
    assert down.mean() == pytest.approx(down_bias, abs=2e-3)
    assert rmse(down) == pytest.approx(down_rmse, abs=2e-3)
    assert rmse(heating) == pytest.approx(heating_rmse, abs=2e-3)


def test_diffusivity_shifts_fluxes_by_its_known_amount(table, rfmip, reference):
    fluxes = kernel.fluxes_lw(table("lw-g256"), rfmip, diffusivity=1.66)
    assert (fluxes.up - reference("rlu"))[:, 0].mean() == pytest.approx(-0.292, abs=2e-3)
    assert (fluxes.down - reference("rld"))[:, -1].mean() == pytest.approx(0.427, abs=2e-3)


def test_the_dark_sites_get_no_light(table, rfmip):
    fluxes = kernel.fluxes_sw(table("sw-g112"), rfmip)
    assert not fluxes.up[rfmip.mu0 == 0].any()
    assert not fluxes.down[rfmip.mu0 == 0].any()


# Weights and amounts carry some ten roundings of 6e-8, amplified where ln k changes fast between table rows.
@pytest.mark.parametrize("name", ["lw-g128", "lw-g256", "sw-g112", "sw-g224"])
def test_optical_depths_in_float_follow_double(table, rfmip, name):
    few = rfmip.take(slice(0, None, 30))
    optics = kernel.gas_optics_lw if name.startswith("lw") else kernel.gas_optics_sw
    double, single = (optics(table(name), few.astype(d))["tau"] for d in ("float64", "float32"))
    seen = double > 1e-10  # thinner layers do nothing
    assert (np.abs(single - double)[seen] / double[seen]).max() <= 5e-6


# 5e-6 of a layer's optical depth moves at most about 5e-6 of 500 W m-2 from each of few layers.
@pytest.mark.parametrize("name", ["lw-g128", "lw-g256"])
def test_longwave_in_float_follows_double(table, rfmip, name):
    double, single = (kernel.fluxes_lw(table(name), rfmip.astype(d)) for d in ("float64", "float32"))
    assert np.abs(single.up - double.up).max() <= 1e-3
    assert np.abs(single.down - double.down).max() <= 1e-3


# In float the least absorption of two_stream, k = sqrt(1e4 eps) = 0.035, is felt by nearly conservative layers: 5e-5 of
# 1200 W m-2.
@pytest.mark.parametrize("name", ["sw-g112", "sw-g224"])
def test_shortwave_in_float_follows_double(table, rfmip, name):
    double, single = (kernel.fluxes_sw(table(name), rfmip.astype(d)) for d in ("float64", "float32"))
    assert np.abs(single.up - double.up).max() <= 0.06
    assert np.abs(single.down - double.down).max() <= 0.06
