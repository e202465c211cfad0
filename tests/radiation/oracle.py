"""RRTMGP gas optics and RTE solvers in plain NumPy float64: the oracle of the radiation kernels.

Written from the formulas of Pincus, Mlawer & Delamere 2019 (doi:10.1029/2019MS001621), Meador & Weaver 1980,
Zdunkowski et al. 1980 and Shonk & Hogan 2008, not from any C code, and kept simple: one array expression per
formula, no speed tricks. Columns run top-down (layer 0 is the top layer), level l is the upper edge of layer
l, g-points are the last axis everywhere. """

from dataclasses import dataclass

import netCDF4
import numpy as np

AVOGADRO = 6.02214076e23  # molecule mol-1
M_DRY, M_H2O = 0.028964, 0.018016  # kg mol-1
GRAVITY, HEAT_CAPACITY = 9.80665, 1004.64  # m s-2, J kg-1 K-1
TINY = np.finfo(np.float64).tiny
EPSILON = np.finfo(np.float64).eps

# Gauss-Jacobi-5 quadrature (Hogan 2023): cosines of the angles, weights
ANGLES = {
    1: ([0.6096748751], [1.0]),
    2: ([0.2509907356, 0.7908473988], [0.2300253764, 0.7699746236]),
    3: ([0.1024922169, 0.4417960320, 0.8633751621], [0.0437820218, 0.3875796738, 0.5686383044]),
    4: (
        [0.0454586727, 0.2322334416, 0.5740198775, 0.9030775973],
        [0.0092068785, 0.1285704278, 0.4323381850, 0.4298845087],
    ),
}

# RFMIP variable of each gas of the tables; all are one number per experiment except the first two
RFMIP_PROFILES = {"h2o": "water_vapor", "o3": "ozone"}
RFMIP_GASES = {
    "co2": "carbon_dioxide",
    "n2o": "nitrous_oxide",
    "co": "carbon_monoxide",
    "ch4": "methane",
    "o2": "oxygen",
    "n2": "nitrogen",
    "ccl4": "carbon_tetrachloride",
    "cfc11": "cfc11",
    "cfc12": "cfc12",
    "cfc22": "hcfc22",
    "hfc143a": "hfc143a",
    "hfc125": "hfc125",
    "hfc23": "hfc23",
    "hfc32": "hfc32",
    "hfc134a": "hfc134a",
    "cf4": "cf4",
}


@dataclass
class Columns:
    """Atmospheric columns, top-down."""

    p_lay: np.ndarray  # (n_col, n_lay) [Pa]
    p_lev: np.ndarray  # (n_col, n_lay + 1) [Pa]
    t_lay: np.ndarray  # (n_col, n_lay) [K]
    t_lev: np.ndarray  # (n_col, n_lay + 1) [K]
    t_sfc: np.ndarray  # (n_col,) [K]
    gases: dict  # name -> (n_col, n_lay) mole fraction relative to dry air [1]
    emissivity: np.ndarray  # (n_col,) [1]
    albedo: np.ndarray  # (n_col,) [1]
    mu0: np.ndarray  # (n_col,) cosine of the solar zenith angle, 0 at night [1]
    tsi: np.ndarray  # (n_col,) total solar irradiance [W m-2]
    site: np.ndarray  # (n_col,) RFMIP site
    experiment: np.ndarray  # (n_col,) RFMIP experiment
    p_lev_file: np.ndarray  # (n_col, n_lay + 1) levels of the heating rates [Pa]

    def take(self, rows):
        """The columns `rows` (index, slice or mask)."""
        values = {k: v[rows] for k, v in vars(self).items() if k != "gases"}
        return Columns(gases={k: v[rows] for k, v in self.gases.items()}, **values)


@dataclass
class Optics:
    """Gas optics of columns; tau_rayleigh is None in the longwave, planck_fraction in the shortwave."""

    tau_absorption: np.ndarray  # (n_col, n_lay, n_g) [1]
    tau_rayleigh: np.ndarray | None  # (n_col, n_lay, n_g) [1]
    planck_fraction: np.ndarray | None  # (n_col, n_lay, n_g) [1], fraction of the band's Planck function
    col_dry: np.ndarray  # (n_col, n_lay) dry air [molecule cm-2]


class Table:
    """One k-distribution file, variables as attributes under their names in the file, indices from 1 as there."""

    def __init__(self, path):
        with netCDF4.Dataset(path) as file:
            for name, variable in file.variables.items():
                variable.set_auto_mask(False)
                value = np.asarray(variable[...])
                if value.dtype.kind == "S":
                    value = ["".join(c.decode() for c in row).strip() for row in value]
                elif value.dtype.kind == "f":
                    value = value.astype(np.float64)
                setattr(self, name, value)
        self.is_longwave = hasattr(self, "totplnk")
        self.planck_fraction_table = getattr(self, "plank_fraction", None)  # spelt so in the files
        self.n_band, self.n_g = len(self.bnd_limits_gpt), self.kmajor.shape[-1]
        self.band_of_g = np.repeat(np.arange(self.n_band), np.diff(self.bnd_limits_gpt, axis=1)[:, 0] + 1)

    def band(self, b):
        """Slice of the g-points of band b (from 0)."""
        first, last = self.bnd_limits_gpt[b]
        return slice(first - 1, last)

    def key_species_of(self, band, atmosphere):
        """Indices in gas_names, from 1; 0 is dry air. A band without key species uses the pair (2, 2)."""
        pair = tuple(int(i) for i in self.key_species[band, atmosphere])
        return (2, 2) if pair == (0, 0) else pair


def rfmip(path, experiments=range(18), press_min=1.005183574463):
    """Columns of the RFMIP atmosphere file, experiment-major: column = experiment * n_site + site."""
    with netCDF4.Dataset(path) as file:

        def read(name):
            file[name].set_auto_mask(False)
            return np.asarray(file[name][...], np.float64)

        experiments = list(experiments)
        p_lay, p_lev_file = read("pres_layer"), read("pres_level")
        n_site, n_lay = p_lay.shape
        p_lev = p_lev_file.copy()
        # the file's top level, 0.01 Pa, lies outside the tables; the reference puts it at their edge
        p_lev[:, 0] = press_min + np.spacing(np.float32(press_min))
        repeat = lambda site_field: np.concatenate([site_field] * len(experiments))
        stack = lambda field: np.concatenate([field[e] for e in experiments])
        gases = {gas: stack(read(name)) for gas, name in RFMIP_PROFILES.items()}
        for gas, name in RFMIP_GASES.items():
            value = read(name + "_GM") * float(file[name + "_GM"].units)
            gases[gas] = np.repeat(value[experiments], n_site)[:, None] * np.ones(n_lay)
        # day where sza < 90 - 2 spacing(90), as in the reference program
        angle = read("solar_zenith_angle")
        day = angle < 90.0 - 2.0 * np.spacing(90.0)
        return Columns(
            p_lay=repeat(p_lay),
            p_lev=repeat(p_lev),
            t_lay=stack(read("temp_layer")),
            t_lev=stack(read("temp_level")),
            t_sfc=stack(read("surface_temperature")),
            gases=gases,
            emissivity=repeat(read("surface_emissivity")),
            albedo=repeat(read("surface_albedo")),
            mu0=repeat(np.where(day, np.cos(np.deg2rad(angle)), 0.0)),
            tsi=repeat(read("total_solar_irradiance")),
            site=repeat(np.arange(n_site)),
            experiment=np.repeat(experiments, n_site),
            p_lev_file=repeat(p_lev_file),
        )


def dry_air_column(p_lev, h2o):
    """Molecules of dry air per layer [molecule cm-2]; h2o is its mole fraction relative to dry air [1]."""
    fraction = 1.0 / (1.0 + h2o)
    m_air = (M_DRY + M_H2O * h2o) * fraction
    return 10.0 * np.abs(np.diff(p_lev, axis=1)) * AVOGADRO * fraction / (1000.0 * m_air * 100.0 * GRAVITY)


class _Interpolation:
    """Indices (from 0) and weights of the flat cells (n,) in the table's temperature and pressure."""

    def __init__(self, table, p, t):
        d_t = (table.temp_ref[-1] - table.temp_ref[0]) / (len(table.temp_ref) - 1)
        position = (t - (table.temp_ref[0] - d_t)) / d_t
        self.jtemp = np.clip(position.astype(int), 1, len(table.temp_ref) - 1) - 1
        self.ftemp = (t - table.temp_ref[self.jtemp]) / d_t
        n_p = len(table.press_ref)
        d_lnp = (np.log(table.press_ref.min()) - np.log(table.press_ref.max())) / (n_p - 1)
        position = 1.0 + (np.log(p) - np.log(table.press_ref[0])) / d_lnp
        jpress = np.clip(position.astype(int), 1, n_p - 1)
        self.fpress = position - jpress
        self.jpress = jpress - 1
        self.atmosphere = np.where(p > table.press_ref_trop, 0, 1)  # 0 lower, 1 upper

    def eta(self, table, pair, atmosphere, col_gas, rows):
        """Per reference temperature: (col_mix, jeta, feta) of the key species `pair` in `rows`."""
        g1, g2 = pair
        result = []
        for i_t in (0, 1):
            j = self.jtemp[rows] + i_t
            ratio = table.vmr_ref[j, g1, atmosphere] / table.vmr_ref[j, g2, atmosphere]
            mix = col_gas[g1][rows] + ratio * col_gas[g2][rows]
            n_eta = table.kmajor.shape[2]
            fraction = np.where(
                mix > 2.0 * TINY, col_gas[g1][rows] / np.where(mix > 2.0 * TINY, mix, 1.0), 0.5
            )
            position = fraction * (n_eta - 1)
            jeta = np.minimum(position.astype(int) + 1, n_eta - 1) - 1
            result.append((mix, jeta, np.fmod(position, 1.0)))
        return result


def gas_optics(table, columns):
    """Optics of `columns` in all g-points of `table`.

    A gas the columns do not have counts as absent: zero column, its minor absorption left out.
    """
    shape = columns.p_lay.shape
    col_dry = dry_air_column(columns.p_lev, columns.gases["h2o"])
    flat_dry = col_dry.ravel()
    zero = np.zeros(flat_dry.size)
    col_gas = [flat_dry] + [
        columns.gases[name].ravel() * flat_dry if name in columns.gases else zero for name in table.gas_names
    ]
    col_of = dict(zip(table.gas_names, col_gas[1:]))
    p, t = columns.p_lay.ravel(), columns.t_lay.ravel()
    cell = _Interpolation(table, p, t)
    tau = np.zeros((p.size, table.n_g))
    rayleigh = None if table.is_longwave else np.zeros_like(tau)
    fraction = np.zeros_like(tau) if table.is_longwave else None

    for atmosphere, side in enumerate(("lower", "upper")):
        rows = np.flatnonzero(cell.atmosphere == atmosphere)
        get = lambda name: getattr(table, f"{name}_{side}")
        starts = get("kminor_start") - 1
        gas_of_identifier = dict(zip(table.identifier_minor, table.gas_minor))
        for b in range(table.n_band):
            g = table.band(b)
            eta = cell.eta(table, table.key_species_of(b, atmosphere), atmosphere, col_gas, rows)

            tau_b = np.zeros((rows.size, g.stop - g.start))
            rayleigh_b, fraction_b = np.zeros_like(tau_b), np.zeros_like(tau_b)
            minor = [i for i, (first, _) in enumerate(get("minor_limits_gpt")) if g.start < first <= g.stop]
            minor = [i for i in minor if gas_of_identifier[get("minor_gases")[i]] in columns.gases]
            scale = {
                i: _minor_scale(table, side, i, gas_of_identifier, col_of, flat_dry, p, t)[rows]
                for i in minor
            }
            for i_t, (mix, jeta, feta) in enumerate(eta):
                j_t = cell.jtemp[rows] + i_t
                w_t = cell.ftemp[rows] if i_t else 1.0 - cell.ftemp[rows]
                for i_eta in (0, 1):
                    w_eta = w_t * (feta if i_eta else 1.0 - feta)
                    for i_p in (0, 1):
                        w = w_eta * (cell.fpress[rows] if i_p else 1.0 - cell.fpress[rows])
                        # the upper atmosphere starts one row later: the tropopause pressure is in the table
                        # twice
                        j_p = cell.jpress[rows] + i_p + atmosphere
                        tau_b += (mix * w)[:, None] * table.kmajor[j_t, j_p, jeta + i_eta, g]
                        if table.is_longwave:
                            fraction_b += w[:, None] * table.planck_fraction_table[j_t, j_p, jeta + i_eta, g]
                    for i in minor:
                        k = get("kminor")[j_t, jeta + i_eta, starts[i] : starts[i] + g.stop - g.start]
                        tau_b += (scale[i] * w_eta)[:, None] * k
                    if not table.is_longwave:
                        rayleigh_b += w_eta[:, None] * get("rayl")[j_t, jeta + i_eta, g]
            tau[rows, g] = tau_b
            if table.is_longwave:
                fraction[rows, g] = fraction_b
            else:
                rayleigh[rows, g] = (flat_dry + col_of["h2o"])[rows, None] * rayleigh_b

    restore = lambda x: None if x is None else x.reshape(*shape, table.n_g)
    return Optics(restore(tau), restore(rayleigh), restore(fraction), col_dry)


def _minor_scale(table, side, i, gas_of_identifier, col_of, col_dry, p, t):
    """Column amount that multiplies the coefficients of minor interval i, with its density and gas scaling."""
    get = lambda name: getattr(table, f"{name}_{side}")[i]
    scale = col_of[gas_of_identifier[get("minor_gases")]].copy()
    if get("minor_scales_with_density"):
        scale *= 0.01 * p / t
        if get("scaling_gas"):
            other = (col_of[get("scaling_gas")] / col_dry) / (1.0 + col_of["h2o"] / col_dry)
            scale *= (1.0 - other) if get("scale_by_complement") else other
    return scale


def band_planck(table, t):
    """Planck function integrated over each band, (*t.shape, n_band) [W m-2 sr-1], linear in the table."""
    t0 = table.temp_ref[0]
    step = (table.temp_ref[-1] - t0) / (table.totplnk.shape[1] - 1)
    position = (t - t0) / step
    j = np.clip(position.astype(int), 0, table.totplnk.shape[1] - 2)
    f = (position - j)[..., None]
    planck = table.totplnk.T
    return (1.0 - f) * planck[j] + f * planck[j + 1]


def longwave_sources(table, fraction, columns, levels="mean"):
    """Planck sources per g-point [W m-2 sr-1]: layers, levels and surface.

    levels : "mean", geometric mean of the two adjacent fractions, or "below", that of the layer below the level
    """
    g_band = table.band_of_g
    layer = fraction * band_planck(table, columns.t_lay)[..., g_band]
    below = np.concatenate([fraction, fraction[:, -1:]], axis=1)
    above = np.concatenate([fraction[:, :1], fraction], axis=1)
    at_level = np.sqrt(above * below) if levels == "mean" else below
    level = at_level * band_planck(table, columns.t_lev)[..., g_band]
    surface = fraction[:, -1] * band_planck(table, columns.t_sfc)[..., g_band]
    return layer, level, surface


def longwave_fluxes(tau, layer, level, surface, emissivity, n_angles=1, surface_derivative=None):
    """Upward and downward flux without scattering, (n_col, n_lay + 1) [W m-2], summed over g.

    With surface_derivative = d surface / d T_sfc (n_col, n_g) the derivative of the upward flux comes third.
    """
    n_col, n_lay, n_g = tau.shape
    e = np.broadcast_to(np.asarray(emissivity)[:, None], (n_col, n_g))
    up, down, jacobian = (np.zeros((n_col, n_lay + 1)) for _ in range(3))
    for cosine, weight in zip(*ANGLES[n_angles]):
        t = tau / cosine
        trans = np.exp(-t)
        thick = t > EPSILON**0.25
        series = t * (0.5 + t * (-1.0 / 3.0 + t / 8.0))
        f = np.where(thick, (1.0 - trans) / np.where(thick, t, 1.0) - trans, series)
        edge = lambda b: (1.0 - trans) * b + 2.0 * f * (layer - b)
        source_up, source_down = edge(level[:, :-1]), edge(level[:, 1:])
        i_down = np.zeros((n_col, n_g))
        for l in range(n_lay):
            i_down = trans[:, l] * i_down + source_down[:, l]
            down[:, l + 1] += np.pi * weight * i_down.sum(axis=1)
        i_up = (1.0 - e) * i_down + e * surface
        d_up = None if surface_derivative is None else e * surface_derivative
        up[:, n_lay] += np.pi * weight * i_up.sum(axis=1)
        if d_up is not None:
            jacobian[:, n_lay] += np.pi * weight * d_up.sum(axis=1)
        for l in range(n_lay - 1, -1, -1):
            i_up = trans[:, l] * i_up + source_up[:, l]
            up[:, l] += np.pi * weight * i_up.sum(axis=1)
            if d_up is not None:
                d_up = trans[:, l] * d_up
                jacobian[:, l] += np.pi * weight * d_up.sum(axis=1)
    return (up, down) if surface_derivative is None else (up, down, jacobian)


def solar_source(table, tsi):
    """Incoming solar flux per g-point, (n_col, n_g) [W m-2], at the table's default indices, scaled to tsi (n_col,)."""
    source = (
        table.solar_source_quiet
        + (table.mg_default - 0.1495954) * table.solar_source_facular
        + (table.sb_default - 0.00066696) * table.solar_source_sunspot
    )
    return np.asarray(tsi)[:, None] * source / source.sum()


def two_stream(tau, ssa, g, mu0):
    """Reflectances and transmittances of layers, PIFM: (R_dif, T_dif, R_dir, T_dir, T_noscat), shapes of tau.

    mu0 : (n_col,) cosine of the solar zenith angle [1]
    """
    mu0 = np.asarray(mu0)[:, None, None]
    gamma1 = (8.0 - ssa * (5.0 + 3.0 * g)) * 0.25
    gamma2 = 3.0 * (ssa * (1.0 - g)) * 0.25
    gamma3 = (2.0 - 3.0 * mu0 * g) * 0.25
    gamma4 = 1.0 - gamma3
    alpha1 = gamma1 * gamma4 + gamma2 * gamma3
    alpha2 = gamma1 * gamma3 + gamma2 * gamma4
    k = np.sqrt(np.maximum((gamma1 - gamma2) * (gamma1 + gamma2), 1e4 * EPSILON))
    e1 = np.exp(-tau * k)
    e2 = e1 * e1
    rt = 1.0 / (k * (1.0 + e2) + gamma1 * (1.0 - e2))
    r_dif = rt * gamma2 * (1.0 - e2)
    t_dif = rt * 2.0 * k * e1

    mu = np.maximum(mu0, np.sqrt(EPSILON))
    t_noscat = np.exp(-tau / mu)
    k_mu, k_g3, k_g4 = k * mu, k * gamma3, k * gamma4
    denominator = 1.0 - k_mu * k_mu
    rt = ssa * rt / np.where(np.abs(denominator) >= EPSILON, denominator, EPSILON)
    r_dir = rt * (
        (1.0 - k_mu) * (alpha2 + k_g3)
        - (1.0 + k_mu) * (alpha2 - k_g3) * e2
        - 2.0 * (k_g3 - alpha2 * k_mu) * e1 * t_noscat
    )
    t_dir = -rt * (
        (1.0 + k_mu) * (alpha1 + k_g4) * t_noscat
        - (1.0 - k_mu) * (alpha1 - k_g4) * e2 * t_noscat
        - 2.0 * (k_g4 + alpha1 * k_mu) * e1
    )
    r_dir = np.maximum(0.0, np.minimum(r_dir, 1.0 - t_noscat))
    t_dir = np.maximum(0.0, np.minimum(t_dir, 1.0 - t_noscat - r_dir))
    return r_dif, t_dif, r_dir, t_dir, t_noscat


def shortwave_fluxes(tau, ssa, g, mu0, toa_source, albedo_direct, albedo_diffuse):
    """Upward, total downward and direct downward flux, (n_col, n_lay + 1) [W m-2]; columns with mu0 <= 0 are dark.

    toa_source : (n_col, n_g) flux on a surface facing the sun [W m-2]
    albedo_direct, albedo_diffuse : (n_col,) [1]
    """
    n_col, n_lay, n_g = tau.shape
    mu0 = np.asarray(mu0)
    r_dif, t_dif, r_dir, t_dir, t_noscat = two_stream(tau, ssa, g, mu0)
    day = (mu0 > 0.0)[:, None]
    direct = np.zeros((n_col, n_lay + 1, n_g))
    direct[:, 0] = np.where(day, toa_source * mu0[:, None], 0.0)
    for l in range(n_lay):
        direct[:, l + 1] = t_noscat[:, l] * direct[:, l]
    source_up = r_dir * direct[:, :-1]
    source_down = t_dir * direct[:, :-1]

    # adding: albedo and upward emission of everything below each level, then the fluxes downwards
    albedo, source = np.zeros((n_col, n_lay + 1, n_g)), np.zeros((n_col, n_lay + 1, n_g))
    albedo[:, n_lay] = np.asarray(albedo_diffuse)[:, None]
    source[:, n_lay] = np.asarray(albedo_direct)[:, None] * direct[:, n_lay]
    bounce = np.zeros((n_col, n_lay, n_g))
    for l in range(n_lay - 1, -1, -1):
        bounce[:, l] = 1.0 / (1.0 - r_dif[:, l] * albedo[:, l + 1])
        albedo[:, l] = r_dif[:, l] + t_dif[:, l] ** 2 * albedo[:, l + 1] * bounce[:, l]
        source[:, l] = source_up[:, l] + t_dif[:, l] * bounce[:, l] * (
            source[:, l + 1] + albedo[:, l + 1] * source_down[:, l]
        )
    diffuse = np.zeros((n_col, n_lay + 1, n_g))
    up = np.zeros((n_col, n_lay + 1, n_g))
    up[:, 0] = diffuse[:, 0] * albedo[:, 0] + source[:, 0]
    for l in range(n_lay):
        diffuse[:, l + 1] = (
            t_dif[:, l] * diffuse[:, l] + r_dif[:, l] * source[:, l + 1] + source_down[:, l]
        ) * bounce[:, l]
        up[:, l + 1] = diffuse[:, l + 1] * albedo[:, l + 1] + source[:, l + 1]
    return up.sum(axis=2), (diffuse + direct).sum(axis=2), direct.sum(axis=2)


def heating_rate(p_lev, up, down):
    """Heating rate of the layers, (n_col, n_lay) [K day-1], from level pressures [Pa] and fluxes [W m-2]."""
    return 86400.0 * GRAVITY / HEAT_CAPACITY * np.diff(up - down, axis=1) / np.diff(p_lev, axis=1)


def table_longwave(table, columns, n_angles=1):
    """Longwave fluxes (up, down) of `columns` with the gas optics of `table`."""
    optics = gas_optics(table, columns)
    sources = longwave_sources(table, optics.planck_fraction, columns)
    return longwave_fluxes(optics.tau_absorption, *sources, columns.emissivity, n_angles)


def single_scattering(absorption, rayleigh):
    """Optical depth and single-scattering albedo of absorbing and Rayleigh-scattering gas."""
    tau = absorption + rayleigh
    return tau, np.where(tau > 2.0 * TINY, rayleigh / np.where(tau > 2.0 * TINY, tau, 1.0), 0.0)


def table_shortwave(table, columns):
    """Shortwave fluxes (up, down, direct) of `columns` with the gas optics of `table` and the columns' own TSI."""
    optics = gas_optics(table, columns)
    tau, ssa = single_scattering(optics.tau_absorption, optics.tau_rayleigh)
    source = solar_source(table, columns.tsi)
    return shortwave_fluxes(tau, ssa, 0.0, columns.mu0, source, columns.albedo, columns.albedo)
