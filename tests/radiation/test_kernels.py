"""Gas optics and solvers: against the plain NumPy oracle, and facts of physics and of the contract."""

import hashlib
import os
import signal
import threading
from dataclasses import replace

import numpy as np
import oracle
import pytest

from simgraft import _core
from simgraft.radiation import kernel, tables


def relative(got, wanted):
    """Largest relative deviation; equal zeros count as equal."""
    scale = np.where(wanted == 0, 1.0, np.abs(wanted))
    return (np.abs(got - wanted) / scale).max()


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


@pytest.fixture(scope="module")
def lw(synthetic_tables):
    return synthetic_tables["lw"]


@pytest.fixture(scope="module")
def sw(synthetic_tables):
    return synthetic_tables["sw"]


# ------------------------------------------------------------------------------------------------------ the oracle

# A sum of some 60 terms of one sign in another order: 60 roundings of 1e-16 are 7e-15; the logarithm of pressure adds
# 1e-16 * ln p / 0.2 * d ln k / d ln p. 1e-12 leaves room for steep tables.
ROUNDING = 1e-12


def check_longwave(table, reference, a, columns):
    got = kernel.gas_optics_lw(table, a, sources=True)
    wanted = oracle.gas_optics(reference, columns)
    assert relative(got["tau"], wanted.tau_absorption) <= ROUNDING
    assert relative(got["planck_fraction"], wanted.planck_fraction) <= ROUNDING
    lay, lev, sfc = oracle.longwave_sources(reference, wanted.planck_fraction, columns)[:3]
    assert relative(got["lay_source"], lay) <= ROUNDING
    assert relative(got["lev_source"], lev) <= ROUNDING
    assert relative(got["sfc_source"], sfc) <= ROUNDING


def check_shortwave(table, reference, a, columns):
    got = kernel.gas_optics_sw(table, a)
    wanted = oracle.gas_optics(reference, columns)
    total = wanted.tau_absorption + wanted.tau_rayleigh
    assert relative(got["tau"], total) <= ROUNDING
    assert relative(got["tau_rayleigh"], wanted.tau_rayleigh) <= ROUNDING
    assert relative(got["ssa"], wanted.tau_rayleigh / total) <= ROUNDING


def test_longwave_optics_are_those_of_the_oracle(lw, synthetic_oracles, air, as_oracle):
    check_longwave(lw, synthetic_oracles["lw"], air, as_oracle(air))


def test_shortwave_optics_are_those_of_the_oracle(sw, synthetic_oracles, air, as_oracle):
    check_shortwave(sw, synthetic_oracles["sw"], air, as_oracle(air))


@pytest.mark.data
@pytest.mark.parametrize("name", ["lw-g256", "lw-g128", "sw-g224", "sw-g112"])
def test_optics_on_published_tables_are_those_of_the_oracle(data_dir, table, rfmip, rfmip_path, name):
    # every 89th column: all 18 experiments, tropics to poles
    rows = np.arange(0, 1800, 89)
    reference = oracle.Table(data_dir / "radiation" / "rrtmgp" / f"rrtmgp-gas-{name}.nc")
    check = check_longwave if name.startswith("lw") else check_shortwave
    check(table(name), reference, rfmip.take(rows), oracle.rfmip(rfmip_path).take(rows))


@pytest.mark.parametrize("n_angles", [1, 2, 3, 4])
def test_longwave_fluxes_are_those_of_the_oracle(lw, synthetic_oracles, air, as_oracle, n_angles):
    fluxes = kernel.fluxes_lw(lw, air, n_angles=n_angles)
    up, down = oracle.table_longwave(synthetic_oracles["lw"], as_oracle(air), n_angles)
    # 128 g-points of 500 W m-2 in all, 1e-12 of each
    assert np.abs(fluxes.up - up).max() <= 1e-9
    assert np.abs(fluxes.down - down).max() <= 1e-9


# Nearly conservative layers divide by 1 - (k mu)^2 and by k: up to 1e8 roundings. Relative to the light that comes in.
def test_shortwave_fluxes_are_those_of_the_oracle(sw, synthetic_oracles, air, as_oracle):
    fluxes = kernel.fluxes_sw(sw, air, direct=True)
    for got, wanted in zip(
        (fluxes.up, fluxes.down, fluxes.direct),
        oracle.table_shortwave(synthetic_oracles["sw"], as_oracle(air)),
        strict=True,
    ):
        assert (np.abs(got - wanted)[:6] / fluxes.down[:6, :1]).max() <= 1e-8


def test_shortwave_solver_with_asymmetry_and_two_albedos_is_the_oracle():
    rng = np.random.default_rng(4)
    tau, ssa, asymmetry = (
        10.0 ** rng.uniform(-3, 1, (3, 9, 21)),
        rng.uniform(0, 0.99, (3, 9, 21)),
        rng.uniform(-0.3, 0.9, (3, 9, 21)),
    )
    mu0, sun = np.array([0.1, 0.5, 1.0]), rng.uniform(1, 2, (3, 21))
    beam, diffuse = np.array([0.1, 0.4, 0.9]), np.array([0.3, 0.2, 0.6])
    fluxes = kernel.solve_sw(tau, ssa, mu0, sun, diffuse, asymmetry=asymmetry, albedo_direct=beam)
    for got, wanted in zip(
        (fluxes.up, fluxes.down, fluxes.direct),
        oracle.shortwave_fluxes(tau, ssa, asymmetry, mu0, sun, beam, diffuse),
        strict=True,
    ):
        # far from conservative scattering; 1 - (k mu)^2 may still cost five digits of 21 g-points of 2 W m-2
        assert np.abs(got - wanted).max() <= 1e-9


def test_surface_jacobian_is_the_change_of_flux_per_kelvin(lw, air):
    fluxes = kernel.fluxes_lw(lw, air, n_angles=2, jacobian=True)
    warmer = kernel.fluxes_lw(lw, replace(air, temperature_surface=air.temperature_surface + 1.0), n_angles=2)
    # the tabulated Planck function is differenced over the same kelvin
    assert np.abs(warmer.up - fluxes.up - fluxes.up_jacobian).max() < 1e-10


def test_missing_level_temperatures_are_interpolated_in_pressure(lw, air):
    p, t, edge = air.pressure_layer, air.temperature_layer, air.pressure_level
    level = np.empty_like(edge)
    above, below, at = p[:, :-1], p[:, 1:], edge[:, 1:-1]
    level[:, 1:-1] = (above * t[:, :-1] * (at - below) + below * t[:, 1:] * (above - at)) / (at * (above - below))
    level[:, 0] = t[:, 0] + (edge[:, 0] - p[:, 0]) * (t[:, 1] - t[:, 0]) / (p[:, 1] - p[:, 0])
    level[:, -1] = t[:, -1] + (edge[:, -1] - p[:, -1]) * (t[:, -1] - t[:, -2]) / (p[:, -1] - p[:, -2])
    given = kernel.fluxes_lw(lw, replace(air, temperature_level=level))
    made = kernel.fluxes_lw(lw, replace(air, temperature_level=None))
    assert np.abs(given.up - made.up).max() < 1e-9
    assert np.abs(given.down - made.down).max() < 1e-9


# ------------------------------------------------------------------------------------------------------------ physics


def boxes(n_col=3, n_lay=12, n_g=21, seed=1, dtype=np.float64):
    """Optical properties of columns for the solvers, from transparent to black."""
    rng = np.random.default_rng(seed)
    tau = 10.0 ** rng.uniform(-7, 2, (n_col, n_lay, n_g))
    lay, lev = rng.uniform(1, 2, (n_col, n_lay, n_g)), rng.uniform(1, 2, (n_col, n_lay + 1, n_g))
    return [x.astype(dtype) for x in (tau, lay, lev, rng.uniform(1, 2, (n_col, n_g)), rng.uniform(0.5, 1, n_col))]


def test_isothermal_column_under_a_black_sky_has_no_longwave_heating():
    tau, lay, lev, surface, _ = boxes()
    sky = np.full_like(surface, np.pi)
    fluxes = kernel.solve_lw(tau, lay * 0 + 1, lev * 0 + 1, surface * 0 + 1, np.ones(3), down_toa=sky, n_angles=4)
    # radiance 1 everywhere; 12 layers, 4 angles, 21 g-points of roundings, and weights printed to ten digits (1e-10 of
    # the sum)
    assert np.abs(fluxes.up - 21 * np.pi).max() < 21 * np.pi * 3e-10
    assert np.abs(fluxes.net).max() < 21 * np.pi * 1e-14


def test_isothermal_atmosphere_under_a_black_lid_has_no_longwave_heating(lw, air):
    same = {
        name: np.full_like(getattr(air, name), 280.0)
        for name in ("temperature_layer", "temperature_level", "temperature_surface")
    }
    black = replace(air, emissivity=np.ones(len(air)), **same)
    inside = kernel.gas_optics_lw(lw, black)

    def lidded(temperature, pressure, col_dry, vmr):
        rows = inside["tau"].swapaxes(0, 1).reshape(-1, lw.n_g).copy()
        fraction = np.tile(inside["planck_fraction"][:, 0], (air.n_layer, 1))
        rows[: len(air)] = 1e3  # the top layer
        return rows, fraction

    fluxes = kernel.fluxes_lw(lw, black, optics=lidded)
    # the net flux is the difference of two fluxes of 350 W m-2 from 128 g-points and 23 layers
    assert np.abs(np.diff(fluxes.net[:, 1:], axis=1)).max() < 1e-10


def test_optically_thick_layers_radiate_like_black_bodies():
    tau, lay, lev, surface, emissivity = boxes()
    fluxes = kernel.solve_lw(tau * 0 + 1e6, lay, lev, surface, emissivity, by_g=True)
    # a black layer's own radiance is that of its edge, but for 2 (B_lay - B_lev) / tau
    assert np.abs(fluxes.up_g[:, :-1] - np.pi * lev[:, :-1]).max() < 1e-5
    assert np.abs(fluxes.down_g[:, 1:] - np.pi * lev[:, 1:]).max() < 1e-5


def test_white_surface_without_absorption_returns_all_sunlight():
    tau = boxes()[0] / 100
    sun = np.full((3, 21), 10.0)
    mu0 = np.array([0.2, 0.6, 1.0])
    fluxes = kernel.solve_sw(tau, tau * 0 + 1, mu0, sun, np.ones(3))
    # absorption is floored at k = sqrt(1e4 eps) = 1.5e-6 per unit of optical depth, times the 12 layers of up to 1
    assert np.abs(fluxes.net / fluxes.down[:, :1]).max() < 1.5e-6 * 12 * 1.0


def test_direct_beam_follows_beers_law():
    tau, *_ = boxes()
    mu0 = np.array([0.1, 0.5, 1.0])
    fluxes = kernel.solve_sw(tau, tau * 0, mu0, np.ones((3, 21)), np.zeros(3))
    depth = np.concatenate((np.zeros((3, 1, 21)), np.cumsum(tau, axis=1)), axis=1)
    wanted = (mu0[:, None, None] * np.exp(-depth / mu0[:, None, None])).sum(-1)
    # a product of 12 exponentials in place of one: relative to light above 1e-300, 12 * (1e-16 * depth) < 1e-12
    assert np.abs(fluxes.direct - wanted).max() < 1e-12
    assert np.abs(fluxes.down - fluxes.direct).max() < 1e-12


def test_sunlight_is_absorbed_reflected_or_sent_back_but_never_made(sw, air):
    fluxes = kernel.fluxes_sw(sw, air)
    assert (np.diff(fluxes.net, axis=1) <= 1e-9).all()  # every layer absorbs
    assert (fluxes.net[:6] > 0).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_layer_scatters_no_more_light_than_the_beam_loses(dtype):
    # 40,000 layers on black ground, many near 1 = k mu0, where the two-stream solution divides by almost nothing
    rng = np.random.default_rng(9)
    shape = (40, 1, 1000)
    tau, ssa, asymmetry = (
        10.0 ** rng.uniform(-6, 2, shape),
        1 - 10.0 ** rng.uniform(-9, 0, shape),
        rng.uniform(-0.5, 0.95, shape),
    )
    mu0, sun = np.linspace(0.01, 1, 40), np.ones((40, 1000))
    arguments = [x.astype(dtype) for x in (tau, ssa, mu0, sun, np.zeros(40))]
    fluxes = kernel.solve_sw(*arguments, asymmetry=asymmetry.astype(dtype), by_g=True)
    leaves, enters = fluxes.up_g[:, 0] + fluxes.down_g[:, 1], fluxes.down_g[:, 0]
    # three roundings of the sum of what leaves
    assert (leaves / enters).max() <= 1 + 3 * np.finfo(dtype).eps
    assert (fluxes.up_g >= 0).all() and (fluxes.down_g >= 0).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_heating_times_mass_is_the_flux_that_stays_in_the_column(lw, sw, air, dtype):
    a = air.astype(dtype)
    for fluxes in (kernel.fluxes_lw(lw, a), kernel.fluxes_sw(sw, a)):
        mass = np.diff(a.pressure_level.astype(float), axis=1) / 9.80665
        stays = (kernel.heating_rate(a.pressure_level, fluxes) * mass * 1004.64 / 86400).sum(1)
        # 23 layers, each with 3 roundings of a flux of 1400 W m-2 and 2 of a pressure
        assert np.abs(stays - (fluxes.net[:, 0] - fluxes.net[:, -1])).max() < 23 * 5 * 1400 * np.finfo(dtype).eps


def test_fluxes_by_g_point_and_by_band_sum_to_the_broadband(lw, sw, air):
    for compute, table in ((kernel.fluxes_lw, lw), (kernel.fluxes_sw, sw)):
        total, by_g, by_band = (compute(table, air, by=by) for by in (None, "g", "band"))
        assert by_g.up_g.shape == (7, 24, table.n_g) and by_band.up_band.shape == (7, 24, table.n_band)
        assert np.allclose(by_g.up_g.sum(-1), total.up, rtol=1e-13, atol=1e-13)
        assert np.allclose(by_g.down_g.sum(-1), total.down, rtol=1e-13, atol=1e-13)
        assert np.allclose(by_band.down_band.sum(-1), total.down, rtol=1e-13, atol=1e-13)
        first, end = table.band_limits_g[3]
        assert np.allclose(by_band.up_band[..., 3], by_g.up_g[..., first:end].sum(-1), rtol=1e-13, atol=1e-13)


def test_more_angles_converge(lw, air):
    up = [kernel.fluxes_lw(lw, air, n_angles=n).up[:, 0] for n in (1, 2, 3, 4)]
    steps = [np.abs(up[i + 1] - up[i]).max() for i in range(3)]
    assert steps[2] < 0.02 < 2.0 and steps[2] < steps[0]


# ----------------------------------------------------------------------------------------------------------- contract


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_columns_upside_down_give_the_same_bits_upside_down(lw, sw, air, dtype):
    a = air.astype(dtype)
    for compute, table in ((kernel.fluxes_lw, lw), (kernel.fluxes_sw, sw)):
        down, up = compute(table, a), compute(table, a.flipped())
        assert np.array_equal(down.up, up.up[:, ::-1])
        assert np.array_equal(down.down, up.down[:, ::-1])


def test_optics_and_sources_upside_down_are_the_same(lw, sw, air):
    for compute, table, keywords in ((kernel.gas_optics_lw, lw, {"sources": True}), (kernel.gas_optics_sw, sw, {})):
        down, up = compute(table, air, **keywords), compute(table, air.flipped(), **keywords)
        for name, values in down.items():
            if name == "clipped":
                continue
            assert np.array_equal(values, up[name] if name.startswith("sfc") else up[name][:, ::-1]), name


def test_fused_fluxes_are_those_of_optics_and_solver_apart(lw, sw, air):
    optics = kernel.gas_optics_lw(lw, air, sources=True)
    apart = kernel.solve_lw(
        optics["tau"], optics["lay_source"], optics["lev_source"], optics["sfc_source"], air.emissivity,
        sfc_jacobian=optics["sfc_jacobian"], n_angles=2,
    )  # fmt: skip
    fused = kernel.fluxes_lw(lw, air, n_angles=2, jacobian=True)
    assert digest(apart.up, apart.down, apart.up_jacobian) == digest(fused.up, fused.down, fused.up_jacobian)

    optics = kernel.gas_optics_sw(sw, air)
    source = air.total_solar_irradiance[:, None] * np.ones((7, sw.n_g))
    night = kernel.fluxes_sw(sw, air, by="g")
    source *= (night.down_g[0, 0] / night.down[0, 0])[None]
    apart = kernel.solve_sw(optics["tau"], optics["ssa"], air.mu0, source, air.albedo)
    # the share of each g-point in the solar source went through a quotient of sums
    assert np.allclose(apart.up, kernel.fluxes_sw(sw, air).up, rtol=1e-12)


def test_solvers_take_both_directions(air):
    tau, lay, lev, surface, emissivity = boxes()
    top = kernel.solve_lw(tau, lay, lev, surface, emissivity, by_g=True)
    bottom = kernel.solve_lw(
        tau[:, ::-1].copy(), lay[:, ::-1].copy(), lev[:, ::-1].copy(), surface, emissivity, top_first=False, by_g=True
    )
    assert digest(top.up, top.down_g) == digest(bottom.up[:, ::-1], bottom.down_g[:, ::-1])
    light = kernel.solve_sw(tau, tau / (1 + tau), np.full(3, 0.5), surface, emissivity, by_g=True)
    turned = tau[:, ::-1].copy()
    below = kernel.solve_sw(
        turned, turned / (1 + turned), np.full(3, 0.5), surface, emissivity, top_first=False, by_g=True
    )
    assert digest(light.up, light.direct, light.up_g) == digest(
        below.up[:, ::-1], below.direct[:, ::-1], below.up_g[:, ::-1]
    )


@pytest.fixture(scope="module")
def many(air):
    """150 columns: the seven repeated, each with its own surface."""
    rows = np.arange(150) % 7
    a = air.take(rows)
    return replace(
        a, temperature_surface=a.temperature_surface + np.linspace(-5, 5, 150), albedo=np.linspace(0, 0.9, 150)
    )


def run_all(lw, sw, a, **keywords):
    long = kernel.fluxes_lw(lw, a, jacobian=True, **keywords)
    short = kernel.fluxes_sw(sw, a, direct=True, **keywords)
    return [long.up, long.down, long.up_jacobian, short.up, short.down, short.direct]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("split", [1, 2, 3, 7, 16, 100])
def test_bits_do_not_depend_on_the_split_into_calls(lw, sw, many, dtype, split):
    a = many.astype(dtype)
    parts = [run_all(lw, sw, a.take(slice(i, i + split))) for i in range(0, 150, split)]
    assert digest(*run_all(lw, sw, a)) == digest(*[np.concatenate(x) for x in zip(*parts, strict=True)])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_bits_do_not_depend_on_threads(lw, sw, many, dtype):
    a = many.astype(dtype)
    assert digest(*run_all(lw, sw, a, num_threads=1)) == digest(*run_all(lw, sw, a, num_threads=2))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_bits_do_not_depend_on_avx2_or_avx512(lw, sw, many, dtype, isa):
    a = many.astype(dtype)
    digests = set()
    for name in ("v3", "v4"):
        isa(name)
        digests.add(digest(*run_all(lw, sw, a)))
    assert len(digests) == 1


@pytest.mark.parametrize("name", ["portable", "v2"])
@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1400 * 1e-8), ("float32", 0.06)])
def test_other_instruction_sets_agree_to_rounding(lw, sw, many, isa, name, dtype, limit):
    a = many.astype(dtype)
    best = run_all(lw, sw, a)
    isa(name)
    # without FMA every product rounds once more: within the limits against the oracle, and of float against double
    assert all(np.abs(x - y).max() < limit for x, y in zip(best, run_all(lw, sw, a), strict=True))


def test_order_of_columns_does_not_matter(lw, sw, many):
    order = np.random.default_rng(3).permutation(150)
    straight, mixed = run_all(lw, sw, many), run_all(lw, sw, many.take(order))
    assert digest(*[x[order] for x in straight]) == digest(*mixed)


def test_python_optics_in_the_slot_give_the_fluxes_of_the_tables(lw, sw, many):
    for compute, table, second, scale in (
        (kernel.fluxes_lw, lw, "planck_fraction", False),
        (kernel.fluxes_sw, sw, "rayleigh", True),
    ):

        def optics(temperature, pressure, col_dry, vmr, table=table, second=second, scale=scale):
            k = _core.radiation_cross_sections(table.core, temperature, pressure, list(vmr))
            dry = col_dry[:, None]
            return k["absorption"] * dry, k[second] * dry if scale else k[second]

        fluxes, through = compute(table, many), compute(table, many, optics=optics)
        # the column of air enters as a factor at the end, which moves a rounding; near-conservative layers amplify it
        assert np.abs(fluxes.up - through.up).max() < 1e-7
        assert np.abs(fluxes.down - through.down).max() < 1e-7


def test_coefficients_that_float_cannot_hold_as_normal_numbers_are_zero(synthetic_variables, air):
    tiny = {
        name: value * 0 for name, value in synthetic_variables["lw"].items() if name in ("kminor_lower", "kminor_upper")
    }
    tiny["kmajor"] = np.full_like(synthetic_variables["lw"]["kmajor"], 1e-42)
    faint = tables.from_variables({**synthetic_variables["lw"], **tiny})
    assert not kernel.gas_optics_lw(faint, air.astype("float32"))["tau"].any()
    assert kernel.gas_optics_lw(faint, air)["tau"].all()


def test_absent_gases_may_leave_the_table(synthetic_variables, lw, air):
    few = [g for g in lw.gases if g not in ("no2", "cf4", "cfc22")]
    less = tables.from_variables(synthetic_variables["lw"], gases=few)
    none = replace(air, gases={**air.gases, "no2": 0.0, "cf4": 0.0, "cfc22": 0.0})
    assert set(less.gases) == set(few)
    assert np.allclose(kernel.fluxes_lw(less, air).up, kernel.fluxes_lw(lw, none).up, rtol=1e-13)


def test_concentrations_may_be_numbers_columns_or_profiles(lw, air):
    n2o = np.linspace(3e-7, 4e-7, 7)
    wide = replace(
        air,
        gases={**air.gases, "n2o": np.repeat(n2o[:, None], air.n_layer, 1), "co2": np.full((7, air.n_layer), 420e-6)},
    )
    narrow = replace(air, gases={**air.gases, "n2o": n2o, "co2": 420e-6})
    assert digest(kernel.fluxes_lw(lw, wide).up) == digest(kernel.fluxes_lw(lw, narrow).up)


def test_strided_arrays_are_read_as_they_are(lw, air):
    doubled = np.repeat(np.repeat(air.temperature_layer, 2, 0), 2, 1)
    strided = replace(air, temperature_layer=doubled[::2, ::2])
    assert digest(kernel.fluxes_lw(lw, strided).up) == digest(kernel.fluxes_lw(lw, air).up)


def test_no_columns_are_no_error(lw, sw, air):
    none = air.take(slice(0, 0))
    assert kernel.fluxes_lw(lw, none).up.shape == (0, 24)
    assert kernel.fluxes_sw(sw, none).up.shape == (0, 24)
    assert kernel.gas_optics_lw(lw, none)["tau"].shape == (0, 23, 128)


def test_one_layer_is_enough(lw, sw, air):
    gases = {g: x[:, -1:] if isinstance(x, np.ndarray) and x.ndim == 2 else x for g, x in air.gases.items()}
    one = replace(
        air,
        pressure_layer=air.pressure_layer[:, -1:].copy(),
        pressure_level=air.pressure_level[:, -2:].copy(),
        temperature_layer=air.temperature_layer[:, -1:].copy(),
        temperature_level=None,
        gases=gases,
    )
    assert (kernel.fluxes_lw(lw, one).down[:, 1] > 10).all()
    assert (kernel.fluxes_sw(sw, one).down[:6, 1] > 0).all()


# ---------------------------------------------------------------------------------------------------------- bad input


def changed(a, name, value, at=(2, 5)):
    array = getattr(a, name).copy()
    array[at if array.ndim == 2 else at[0]] = value
    return replace(a, **{name: array})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("temperature_layer", 120.0, r"temperature_layer\[2, 5\] = 120 K lies outside the table \(160 to 355 K\)"),
        ("temperature_level", 400.0, r"temperature_level\[2, 5\] = 400 K lies outside the table \(160 to 355 K\)"),
        ("temperature_surface", 400.0, r"temperature_surface\[2\] = 400 K lies outside the table"),
        (
            "pressure_layer",
            1.2e6,
            r"pressure_layer\[2, 5\] = 1200000 Pa lies outside the table \(1.005\d* to 109663 Pa\)",
        ),
    ],
)
def test_out_of_range_names_variable_column_layer_and_limit(lw, air, name, value, message):
    with pytest.raises(_core.DomainError, match=message + '.*; pass out_of_range="clip" to clip and count instead'):
        kernel.fluxes_lw(lw, changed(air, name, value))


def test_concentration_out_of_range_names_the_gas(lw, air):
    ozone = air.gases["o3"].copy()
    ozone[1, 3] = -1e-9
    bad = replace(air, gases={**air.gases, "o3": ozone})
    with pytest.raises(
        _core.DomainError, match=r'gases\["o3"\]\[1, 3\] = -1e-09 lies outside the range of mole fractions \(0 to 1\)'
    ):
        kernel.fluxes_lw(lw, bad)


def test_clipping_moves_to_the_limit_and_counts(lw, air):
    wild = changed(changed(air, "temperature_layer", 120.0), "temperature_layer", 500.0, at=(3, 7))
    tame = changed(changed(air, "temperature_layer", 160.0), "temperature_layer", 355.0, at=(3, 7))
    got, wanted = kernel.fluxes_lw(lw, wild, out_of_range="clip"), kernel.fluxes_lw(lw, tame)
    assert got.clipped == {"temperature": 2, "pressure": 0, "gases": 0}
    assert wanted.clipped == {"temperature": 0, "pressure": 0, "gases": 0}
    assert digest(got.up, got.down) == digest(wanted.up, wanted.down)


@pytest.mark.parametrize("name", ["temperature_layer", "pressure_layer", "temperature_surface"])
def test_nan_is_refused_even_when_clipping(lw, air, name):
    with pytest.raises(_core.NotFiniteError, match=name + r"\[2.*is NaN"):
        kernel.fluxes_lw(lw, changed(air, name, np.nan), out_of_range="clip")


def test_pressures_must_be_monotonic(lw, air):
    level = air.pressure_level.copy()
    level[4, 9] = level[4, 8]
    with pytest.raises(ValueError, match=r"pressure_level: elements \[4, 8\] and \[4, 9\].*strictly increasing"):
        kernel.fluxes_lw(lw, replace(air, pressure_level=level))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"temperature_layer": "float32"},
            TypeError,
            r"temperature_layer: expected float64 array .* got float32 \(7, 23\)",
        ),
        (
            {"pressure_level": (7, 23)},
            ValueError,
            r"pressure_level: expected shape \(n_col=7, n_lay\+1=24\), got \(7, 23\)",
        ),
        ({"emissivity": 1.5}, _core.DomainError, r"emissivity: element 0 is 1.5, expected 0 to 1"),
        ({"emissivity": None}, ValueError, r"atmosphere.emissivity: is needed here"),
    ],
)
def test_wrong_arrays_are_named(lw, air, change, error, message):
    ((name, what),) = change.items()
    array = getattr(air, name)
    if what is None:
        array = None
    elif isinstance(what, str):
        array = array.astype(what)
    elif isinstance(what, tuple):
        array = array[:, : what[1]].copy()
    else:
        array = np.full_like(array, what)
    with pytest.raises(error, match=message):
        kernel.fluxes_lw(lw, replace(air, **{name: array}))


def test_gases_must_be_known_and_complete(lw, air):
    with pytest.raises(ValueError, match="the table does not know water; it has h2o"):
        kernel.fluxes_lw(lw, replace(air, gases={**air.gases, "water": 0.1}))
    with pytest.raises(ValueError, match=r"gases: o3 missing; give 0\.0 for none"):
        kernel.fluxes_lw(lw, replace(air, gases={g: x for g, x in air.gases.items() if g != "o3"}))


def test_tables_of_the_other_kind_are_refused(lw, sw, air):
    with pytest.raises(ValueError, match="kdist: is a shortwave table, expected a longwave one"):
        kernel.fluxes_lw(sw, air)
    with pytest.raises(ValueError, match="kdist: is a longwave table, expected a shortwave one"):
        kernel.fluxes_sw(lw, air)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"n_angles": 5}, "n_angles: expected 1 to 4, got 5"),
        ({"diffusivity": -1.0}, "diffusivity: expected a positive number"),
        ({"out_of_range": "ignore"}, 'out_of_range: expected "raise" or "clip"'),
        ({"num_threads": 0}, "num_threads: expected an integer of at least 1"),
        ({"by": "colour"}, 'by: expected None, "g" or "band"'),
    ],
)
def test_wrong_options_are_refused(lw, air, keywords, message):
    with pytest.raises(ValueError, match=message):
        kernel.fluxes_lw(lw, air, **keywords)


def test_what_python_optics_raise_comes_through(lw, air):
    def broken(*cells):
        raise ZeroDivisionError("no optics today")

    with pytest.raises(ZeroDivisionError, match="no optics today"):
        kernel.fluxes_lw(lw, air, optics=broken)


def test_python_optics_of_the_wrong_shape_are_named(lw, air):
    with pytest.raises(ValueError, match=r"optics\(\)\[1\]: expected shape \(n_row=161, n_g=128\), got \(161, 4\)"):
        kernel.fluxes_lw(lw, air, optics=lambda t, p, dry, vmr: (np.zeros((len(t), 128)), np.zeros((len(t), 4))))


def test_interrupt_stops_a_long_call_cleanly(lw, many):
    long = many.take(np.arange(40_000) % 150)  # a few seconds
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            kernel.fluxes_lw(lw, long, n_angles=4, num_threads=1)
    finally:
        timer.cancel()
    assert np.isfinite(kernel.fluxes_lw(lw, many).up).all()


def test_every_failing_allocation_is_reported_and_leaks_nothing(synthetic_variables, lw, air):
    _core.memory_fail_after(-1)
    kernel.fluxes_lw(lw, air)
    asked = _core.memory_fail_after(-1)
    assert asked == 1
    try:
        _core.memory_fail_after(0)
        with pytest.raises(MemoryError):
            kernel.fluxes_lw(lw, air)
    finally:
        _core.memory_fail_after(-1)
    tables.from_variables(synthetic_variables["lw"])
    asked = _core.memory_fail_after(-1)
    for n in range(asked):
        _core.memory_fail_after(n)
        try:
            with pytest.raises(MemoryError):
                tables.from_variables(synthetic_variables["lw"])
        finally:
            _core.memory_fail_after(-1)


# -------------------------------------------------------------------------------------------------- the kernel view


def test_cross_sections_times_air_are_the_optical_depths(lw, sw, air):
    layer = 17
    for table, optics, second in (
        (lw, kernel.LongwaveOptics, "planck_fraction"),
        (sw, kernel.ShortwaveOptics, "rayleigh"),
    ):
        view = optics(table, fixed_gases={**air.gases, "no2": 0.0} | {"h2o": 0, "o3": 0})
        named = {g: x[:, layer] if np.ndim(x) == 2 else np.full(7, x) for g, x in air.gases.items() if g != "no2"}
        named |= {
            "temperature": air.temperature_layer[:, layer].copy(),
            "pressure": air.pressure_layer[:, layer].copy(),
        }
        got = view.kernel({name: np.ascontiguousarray(named[name]) for name in view.input_names})
        whole = (kernel.gas_optics_sw if table.shortwave else kernel.gas_optics_lw)(
            table, replace(air, gases={**air.gases, "no2": 0.0})
        )
        dry = oracle.dry_air_column(air.pressure_level, air.gases["h2o"])[:, layer, None]
        tau = whole["tau"][:, layer] - (whole["tau_rayleigh"][:, layer] if table.shortwave else 0)
        assert np.allclose(got["absorption"] * dry, tau, rtol=1e-9, atol=1e-13 * dry.max() * 1e-25)
        if second == "rayleigh":
            assert np.allclose(got["rayleigh"] * dry, whole["tau_rayleigh"][:, layer], rtol=1e-12)
        else:
            assert np.allclose(got["planck_fraction"], whole["planck_fraction"][:, layer], rtol=1e-12)


def test_kernel_views_have_the_inputs_of_published_networks(lw, sw):
    longwave, shortwave = kernel.LongwaveOptics(lw).kernel, kernel.ShortwaveOptics(sw).kernel
    assert (longwave.n_in, longwave.n_out) == (18, 256)
    assert (shortwave.n_in, shortwave.n_out) == (7, 224)
    assert list(shortwave.inputs) == ["temperature", "pressure", "h2o", "o3", "co2", "n2o", "ch4"]


def test_kernel_view_refuses_the_other_table(lw):
    with pytest.raises(ValueError, match="expected a shortwave table"):
        kernel.ShortwaveOptics(lw)
