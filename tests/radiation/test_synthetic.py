"""The synthetic tables: true to the file format, deterministic, and physically credible in the oracle's radiation."""

import doctest
import time

import netCDF4
import numpy as np
import oracle
import pytest

from simgraft.radiation import synthetic

P_SFC = 101325.0


class Table(oracle.Table):
    """The oracle's table from raw variables instead of a file."""

    def __init__(self, raw):
        for name, value in raw.items():
            if value.dtype.kind == "S":
                value = ["".join(c.decode() for c in row).strip() for row in value]
            elif value.dtype.kind == "f":
                value = value.astype(np.float64)
            setattr(self, name, value)
        self.is_longwave = "totplnk" in raw
        self.planck_fraction_table = raw.get("plank_fraction")
        self.n_band, self.n_g = len(self.bnd_limits_gpt), self.kmajor.shape[-1]
        self.band_of_g = np.repeat(np.arange(self.n_band), np.diff(self.bnd_limits_gpt, axis=1)[:, 0] + 1)


@pytest.fixture(scope="module")
def raw_lw():
    return synthetic.longwave()


@pytest.fixture(scope="module")
def raw_sw():
    return synthetic.shortwave()


@pytest.fixture(scope="module")
def longwave(raw_lw):
    return Table(raw_lw)


@pytest.fixture(scope="module")
def shortwave(raw_sw):
    return Table(raw_sw)


def columns(t_sfc=(300.0, 290.0, 260.0), co2=400e-6):
    """Tropical, midlatitude and polar columns of 60 layers: 6.5 K/km up to a tropopause, warmer above."""
    n_col, n_lay = len(t_sfc), 60
    t_sfc = np.array(t_sfc)
    z = np.linspace(0.0, 1.0, n_lay + 1)
    lev = 1.01 + (P_SFC - 1.01) * (np.sin(0.5 * np.pi * z) ** 4 + 0.0137 * z * (1 - z) ** 3)
    lay = 0.5 * (lev[1:] + lev[:-1])

    def temperature(p):
        cold = np.array([195.0, 212.0, 218.0])[:n_col, None]
        above = cold + (265 - cold) * np.clip(np.log(1e4 / p) / np.log(1e4 / 100), 0, 1) - 14 * np.clip(np.log(100 / p), 0, 4)
        return np.maximum(t_sfc[:, None] * (p / P_SFC) ** 0.19, above)

    t_lay, t_lev = temperature(lay[None]), temperature(lev[None])
    e = 0.77 * np.clip((lay / P_SFC - 0.02) / 0.98, 0, 1) * 611 * np.exp(17.6 * (t_lay - 273.15) / (t_lay - 30))
    one = np.ones((n_col, n_lay))
    gases = {"h2o": np.maximum(e / (lay - e), 4e-6), "o3": one * (7e-6 * np.exp(-((np.log(lay / 900) / 1.7) ** 2)) + 3e-8)}
    gases |= {"co2": co2 * one, "n2o": 330e-9 * one, "co": 1e-7 * one, "ch4": 1.85e-6 * one, "o2": 0.209 * one, "n2": 0.781 * one}
    col = np.ones(n_col)
    wide = lambda a: np.broadcast_to(a, (n_col, a.size)).copy()
    return oracle.Columns(
        wide(lay), wide(lev), t_lay, t_lev, t_sfc, gases, col, 0.2 * col, 0.5 * col, 1361.0 * col, None, None, wide(lev)
    )


def test_docstrings_hold():
    assert doctest.testmod(synthetic).failed == 0


@pytest.mark.data
@pytest.mark.parametrize(("kind", "file"), [("longwave", "lw-g128"), ("shortwave", "sw-g112")])
def test_variables_have_the_names_shapes_types_and_indices_of_the_real_file(data_dir, kind, file):
    raw = getattr(synthetic, kind)()
    with netCDF4.Dataset(data_dir / f"radiation/rrtmgp/rrtmgp-gas-{file}.nc") as real:
        real.set_auto_mask(False)
        coordinates = set(real.dimensions) & set(real.variables)
        assert set(raw) == set(real.variables) - coordinates
        for name, value in raw.items():
            assert (name, value.shape, value.dtype) == (name, real[name].shape, real[name].dtype)
            if value.dtype.kind == "i":
                assert (value == real[name][...]).all(), name
            if value.dtype.kind == "S":
                text = lambda rows: [b"".join(row).strip() for row in rows]
                assert text(value) == text(real[name][...]), name


def test_both_tables_take_under_two_seconds_of_cpu():
    start = time.process_time()
    synthetic.longwave(), synthetic.shortwave()
    assert time.process_time() - start < 2.0


def test_the_same_seed_gives_the_same_table(raw_lw):
    again = synthetic.longwave()
    assert all((again[name] == raw_lw[name]).all() for name in raw_lw)


@pytest.mark.parametrize("kind", ["raw_lw", "raw_sw"])
def test_coefficients_are_finite_and_not_negative(kind, request):
    raw = request.getfixturevalue(kind)
    for name, value in raw.items():
        if value.dtype.kind == "f":
            assert np.isfinite(value).all() and (value >= 0).all(), name


def test_planck_fractions_sum_to_one_in_every_band(raw_lw):
    sums = np.add.reduceat(raw_lw["plank_fraction"], raw_lw["bnd_limits_gpt"][:, 0] - 1, axis=3)
    assert np.abs(sums - 1).max() < 1e-14  # rounding of 14 terms


def test_band_planck_functions_agree_with_quadrature(raw_lw):
    nodes, weights = np.polynomial.legendre.leggauss(60)
    h, c, k = synthetic.PLANCK, synthetic.LIGHT, synthetic.BOLTZMANN
    for band, (low, high) in enumerate(raw_lw["bnd_limits_wavenumber"]):
        nu = 100 * (0.5 * (high - low) * nodes + 0.5 * (high + low))
        for i in (0, 140, 195):
            radiance = 2 * h * c**2 * nu**3 / np.expm1(h * c * nu / (k * (160.0 + i)))
            exact = 100 * 0.5 * (high - low) * (weights @ radiance)
            # The difference of two integrals from 0: round-off of the whole, 1e-16 of sigma T^4 / pi, counts in far bands.
            assert raw_lw["totplnk"][band, i] == pytest.approx(exact, rel=1e-10, abs=1e-12)


def test_planck_function_of_all_wavenumbers_is_stefan_boltzmann():
    total = synthetic.planck_integral(1.0, 1e5, 300.0)
    assert float(total) == pytest.approx(5.670374419e-8 * 300**4 / np.pi, rel=1e-7)  # 1e-7 lies below 1 cm-1


def test_solar_source_sums_to_the_total_irradiance(raw_sw):
    assert raw_sw["solar_source_quiet"].sum() == pytest.approx(1360.857673, abs=1e-5)


def test_absorption_grows_over_orders_of_magnitude_from_wings_to_line_centres(raw_lw):
    # Where the spectrum was put in order (the table pressure next to 500 hPa, 250 K, eta 1): k(g) does not fall.
    k = raw_lw["kmajor"][6, 4, 8]
    for first, last in raw_lw["bnd_limits_gpt"][:11] - [1, 0]:
        assert (np.diff(k[first:last]) > -0.02 * k[first : last - 1]).all()
        assert k[last - 1] > 1e3 * k[first]


def test_pressure_fills_the_wings_and_lowers_the_centres(raw_lw):
    k = raw_lw["kmajor"][6, :13, 8, :12]  # h2o rotation band, 1097 hPa to 99 hPa
    assert (np.diff(k[:, 0]) < 0).all()  # pressure falls along the axis
    assert (np.diff(k[:, 11]) > 0).all()


def test_rayleigh_scattering_goes_with_the_fourth_power_of_wavenumber(raw_sw):
    sigma = raw_sw["rayl_lower"][6, 8]
    # Bucholtz 1995: 4.51e-27 cm2 at 550 nm (18182 cm-1); g-points of 16000-22650 cm-1 scatter like that within its width.
    assert sigma[89:96].mean() == pytest.approx(4.51e-27 * (19300 / 18182) ** 4, rel=0.1)
    # From 3625 to 7875 cm-1: (7875/3625)^4 = 22.3, band means a little off the middle.
    assert sigma[67:71].mean() / sigma[18:29].mean() == pytest.approx(22.3, rel=0.1)


def test_longwave_fluxes_and_heating_are_those_of_the_earth(longwave):
    c = columns()
    up, down = oracle.table_longwave(longwave, c)
    assert (up[:, 0] > 190).all() and (up[:, 0] < 300).all()
    assert (np.diff(up[:, 0]) < 0).all() and (np.diff(down[:, -1]) < 0).all()  # warm to cold
    assert 380 < down[0, -1] < 440 and 310 < down[1, -1] < 370 and 160 < down[2, -1] < 230
    heating = oracle.heating_rate(c.p_lev, up, down)
    free = (c.p_lay > 3e4) & (c.p_lay < 8.5e4)
    for i in range(3):
        assert -3.0 < heating[i][free[i]].mean() < -0.5
    # The stratosphere cools the more the higher, by 8 to 20 K/day at the stratopause.
    mean = lambda low, high: heating[(c.p_lay > low) & (c.p_lay < high)].mean()
    assert mean(2e3, 5e3) > mean(5e2, 1e3) > mean(80, 200)
    assert -20 < mean(80, 200) < -8


def test_doubled_carbon_dioxide_traps_two_to_six_watts(longwave):
    once, twice = columns(), columns(co2=800e-6)
    level = np.argmin(np.abs(once.p_lev[0] - 2e4))
    net = [np.subtract(*oracle.table_longwave(longwave, c))[1] for c in (once, twice)]
    assert 1.0 < net[0][0] - net[1][0] < 6.0  # at the top, instantaneous
    assert 2.0 < net[0][level] - net[1][level] < 7.0  # at the tropopause


def test_window_between_8_and_12_micron_is_the_clearest_band_in_a_dry_atmosphere(longwave):
    tau = oracle.gas_optics(longwave, columns()).tau_absorption.sum(1)[2]
    clear = [np.exp(-1.64 * tau[longwave.band(b)]).mean() for b in range(16)]
    assert 5 in np.argsort(clear)[-3:]  # 820-980 cm-1
    assert max(clear[0], clear[1], clear[3]) < 0.2  # h2o rotation, co2 15 micron


def test_shortwave_fluxes_are_those_of_a_clear_sky(shortwave):
    c = columns()
    up, down, _ = oracle.table_shortwave(shortwave, c)
    absorbed = down[:, 0] - up[:, 0] - (down[:, -1] - up[:, -1])
    # Clear sky, sun at 60 degrees: 12 % (polar) to 28 % absorbed, most by water vapour; ultraviolet ozone heats the stratopause.
    assert (absorbed / down[:, 0] > 0.12).all() and (absorbed / down[:, 0] < 0.28).all()
    heating = oracle.heating_rate(c.p_lev, up, down)
    assert 8 < heating[0][np.argmin(np.abs(c.p_lay[0] - 100))] < 40
    no_ozone = columns()
    no_ozone.gases["o3"] = no_ozone.gases["o3"] * 0
    up_0, down_0, _ = oracle.table_shortwave(shortwave, no_ozone)
    assert 5 < (down_0[:, -1] - down[:, -1]).mean() < 25


@pytest.mark.data
def test_notice_is_true_fluxes_of_the_rfmip_columns_lie_within_some_ten_watts_of_the_real_tables(data_dir, longwave, shortwave):
    folder = data_dir / "radiation"
    c = oracle.rfmip(folder / "rfmip/inputs/multiple_input4MIPs_radiation_RFMIP_UColorado-RFMIP-1-2_none.nc", [0])
    c = c.take(slice(0, 100, 4))
    rmse = lambda a, b: np.sqrt(((a - b) ** 2).mean())
    real = oracle.Table(folder / "rrtmgp/rrtmgp-gas-lw-g128.nc")
    made, true = oracle.table_longwave(longwave, c), oracle.table_longwave(real, c)
    assert rmse(made[0][:, 0], true[0][:, 0]) < 6  # 3.7 W m-2 over all 100 sites
    assert rmse(made[1][:, -1], true[1][:, -1]) < 12  # 8.4
    heating = [oracle.heating_rate(c.p_lev, *flux) for flux in (made, true)]
    free = (c.p_lay > 1e4) & (c.p_lay < 8e4)
    assert rmse(heating[0][free], heating[1][free]) < 0.6
    day = c.take(c.mu0 > 0)
    real = oracle.Table(folder / "rrtmgp/rrtmgp-gas-sw-g112.nc")
    made, true = oracle.table_shortwave(shortwave, day), oracle.table_shortwave(real, day)
    assert rmse(made[0][:, 0], true[0][:, 0]) < 4  # 1.7
    assert rmse(made[1][:, -1], true[1][:, -1]) < 10  # 5.7
