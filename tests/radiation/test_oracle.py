"""The NumPy oracle reproduces the RFMIP reference fluxes, so the C kernels may be held against it."""

import netCDF4
import numpy as np
import oracle
import pytest


def reference(data_dir, name, experiments):
    folder = data_dir / "radiation" / "rfmip" / "reference"
    with netCDF4.Dataset(folder / f"{name}_Efx_RTE-RRTMGP-181204_rad-irf_r1i1p1f1_gn.nc") as file:
        file[name].set_auto_mask(False)
        return np.concatenate([np.asarray(file[name][e], np.float64) for e in experiments])


@pytest.fixture(scope="module")
def columns(data_dir):
    folder = data_dir / "radiation" / "rfmip" / "inputs"
    # present day and the last glacial maximum: the latter lacks CO and the halocarbons
    return oracle.rfmip(folder / "multiple_input4MIPs_radiation_RFMIP_UColorado-RFMIP-1-2_none.nc", (0, 17))


def table(data_dir, name):
    return oracle.Table(data_dir / "radiation" / "rrtmgp" / f"rrtmgp-gas-{name}.nc")


# The reference is stored in float32: half an ulp of 500 W m-2 is 1.5e-5, and it was computed with another
# compiler.
def test_longwave_reproduces_rfmip_reference(data_dir, columns):
    up, down = oracle.table_longwave(table(data_dir, "lw-g256"), columns)
    up_ref, down_ref = (reference(data_dir, name, (0, 17)) for name in ("rlu", "rld"))
    assert np.abs(up - up_ref)[:, 0].max() < 5e-5
    assert np.abs(down - down_ref)[:, -1].max() < 5e-5
    error = oracle.heating_rate(columns.p_lev_file, up - up_ref, down - down_ref)[columns.p_lay > 400.0]
    assert np.sqrt(np.mean(error**2)) < 1e-4


# The reference's solar constant carries single-precision constants: 2e-7 of 1400 W m-2 is 3e-4.
def test_shortwave_reproduces_rfmip_reference(data_dir, columns):
    up, down, direct = oracle.table_shortwave(table(data_dir, "sw-g224"), columns)
    up_ref, down_ref = (reference(data_dir, name, (0, 17)) for name in ("rsu", "rsd"))
    day = columns.mu0 > 0.0
    assert day.sum() == 2 * 51
    assert np.abs(up - up_ref)[day, 0].max() < 1e-3
    assert np.abs(down - down_ref)[day, -1].max() < 1e-3
    assert np.all(down[~day] == 0.0) and np.all(up[~day] == 0.0)
    assert np.all(direct <= down)


def test_isothermal_black_atmosphere_has_no_heating(data_dir, columns):
    lw = table(data_dir, "lw-g128")
    few = columns.take(slice(0, 4))
    few.t_lay[:], few.t_lev[:], few.t_sfc[:], few.emissivity[:] = 280.0, 280.0, 280.0, 1.0
    optics = oracle.gas_optics(lw, few)
    # one Planck fraction for the column and a black lid above it: nothing can exchange heat
    fraction = np.repeat(optics.planck_fraction[:, :1], few.p_lay.shape[1], axis=1)
    tau = optics.tau_absorption
    tau[:, 0] = 1e3
    up, down = oracle.longwave_fluxes(tau, *oracle.longwave_sources(lw, fraction, few), few.emissivity)
    # 128 g-points and 60 layers of 2e-16 relative on 350 W m-2
    assert np.abs(np.diff(up - down, axis=1))[:, 1:].max() < 1e-10


def test_white_surface_without_absorption_returns_all_sunlight():
    tau = np.full((1, 20, 3), 0.2)
    sun, white = np.full((1, 3), 100.0), [1.0]
    up, down, _ = oracle.shortwave_fluxes(tau, np.ones_like(tau), 0.0, [0.6], sun, white, white)
    # The two-stream eigenvalue is floored at k = sqrt(1e4 eps) = 1.5e-6, and the direct terms cancel to eps / k of the beam: 1.5e-10
    # in each of 20 layers.
    limit = 20 * 1.5e-10 * 3 * 100.0 * 0.6
    assert np.abs(up[:, 0] - 3 * 100.0 * 0.6).max() < limit
    assert np.abs(up - down).max() < limit
