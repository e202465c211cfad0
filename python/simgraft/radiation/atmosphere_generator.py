"""Atmospheres made by code: tropical to polar columns, perturbed columns, and concentrations of gases.

For quick tests, for training where no recorded atmospheres can be had, and to spread recorded ones (RFMIP) over more of the
input space. Columns run from the top down; every column knows its ``site``, the group by which data are split.
"""

from dataclasses import replace

import numpy as np

from simgraft.radiation.atmosphere import Atmosphere

__all__ = [
    "PRESENT_DAY", "GAS_RANGES", "gas_hypercube", "generate", "ozone", "perturb", "pressure_levels", "saturation_fraction",
]  # fmt: skip

#: Present-day (2014) mole fractions of the well-mixed gases relative to dry air [1]
PRESENT_DAY = {
    "co2": 397.5e-6, "n2o": 326.99e-9, "co": 1.2e-7, "ch4": 1831.5e-9, "o2": 0.209, "n2": 0.781, "ccl4": 83.1e-12,
    "cfc11": 233.1e-12, "cfc12": 520.6e-12, "cfc22": 229.5e-12, "hfc143a": 15.3e-12, "hfc125": 15.4e-12, "hfc23": 26.9e-12,
    "hfc32": 8.3e-12, "hfc134a": 80.5e-12, "cf4": 81.1e-12, "no2": 0.0,
}  # fmt: skip

#: Ranges of mole fractions from glacial to far future [1], after CKDMIP (Hogan & Matricardi 2020, doi:10.5194/gmd-13-6501-2020)
#: for co2, ch4, n2o, cfc11 and cfc12; twice the present day for the others
GAS_RANGES = {
    "co2": (180e-6, 2240e-6), "ch4": (350e-9, 3500e-9), "n2o": (190e-9, 540e-9), "cfc11": (0.0, 2000e-12), "cfc12": (0.0, 550e-12),
    "co": (0.0, 2.4e-7), "ccl4": (0.0, 166e-12), "cfc22": (0.0, 459e-12), "hfc143a": (0.0, 714e-12), "hfc125": (0.0, 966e-12),
    "hfc23": (0.0, 54e-12), "hfc32": (0.0, 166e-12), "hfc134a": (0.0, 421e-12), "cf4": (0.0, 126e-12),
}  # fmt: skip

TOP = 1.01  # Pa, a little inside the lowest pressure of the tables (1.005)
GRAVITY, R_DRY = 9.80665, 287.058  # m s-2, J kg-1 K-1


def pressure_levels(pressure_surface, n_lay=60, top=TOP):
    """Level pressures of ``n_lay`` layers, thin at both ends like those of the RFMIP columns.

    Parameters
    ----------
    pressure_surface : (n_col,) float64 array [Pa]
    n_lay : int
    top : float [Pa]

    Returns
    -------
    (n_col, n_lay + 1) float64 array [Pa]
        From ``top`` down to the surface.

    Examples
    --------
    >>> pressure_levels(np.array([1e5]), 4).round().astype(int)
    array([[     1,   2290,  25086,  72872, 100000]])
    """
    z = np.linspace(0.0, 1.0, n_lay + 1)
    shape = np.sin(0.5 * np.pi * z) ** 4 + 0.0137 * z * (1 - z) ** 3
    shape[-1] = 1.0
    surface = np.atleast_1d(np.asarray(pressure_surface, float))[:, None]
    return top + (surface - top) * shape


def saturation_fraction(pressure, temperature):
    """Mole fraction of water vapour at saturation relative to dry air [1], over water above freezing and over ice below.

    Magnus forms of Alduchov & Eskridge 1996, as in the equilibrium columns. At most 1, where air would boil.
    """
    c = np.asarray(temperature, float) - 273.15
    water = 610.94 * np.exp(17.625 * c / (243.04 + c))
    ice = 611.21 * np.exp(22.587 * c / (273.86 + c))
    e = np.where(c >= 0, water, ice)
    return e / np.maximum(pressure - e, e)


def ozone(pressure, latitude=0.0):
    """Ozone mole fraction by pressure: a peak in ln p that sinks and broadens from the tropics to the poles.

    Parameters
    ----------
    pressure : (n_col, n_lay) float64 array [Pa]
    latitude : float or (n_col, 1) array [degree]

    Returns
    -------
    (n_col, n_lay) float64 array [1]

    Notes
    -----
    Fitted by eye to the zonal means of the RFMIP columns: 9.3e-6 at 9 hPa in the tropics, 5.2e-6 at 5 hPa at the poles, where
    it reaches down to 200 hPa; 3.5e-8 in the troposphere.

    Examples
    --------
    >>> ozone(np.array([[900.0, 5e4]])).round(9)
    array([[9.335e-06, 3.500e-08]])
    """
    pole = np.sin(np.deg2rad(latitude)) ** 2
    peak = 9.3e-6 - 4.1e-6 * pole
    x = np.log(np.asarray(pressure, float) / (900.0 - 400.0 * pole))
    width = np.where(x < 0, 1.45, 0.82 + 0.9 * pole)
    return peak * np.exp(-0.5 * (x / width) ** 2) + 3.5e-8


def _temperature(pressure, level, surface, tropopause, stratopause, wave, inversion, power):
    """Troposphere of constant lapse rate, rounded tropopause, warm stratopause near 1 hPa, colder mesosphere, inversion."""
    sigma = pressure / level[:, -1:]
    below = surface * sigma**power - inversion * np.exp(-((1 - sigma) / 0.05)) * (1 - np.exp(-40 * (1 - sigma)))
    below = below + inversion * np.clip((1 - sigma) / 0.1, 0, 1) * sigma**2 * 0.8
    rise = np.clip(np.log(1e4 / pressure) / np.log(1e4 / 100.0), 0, 1)
    above = tropopause + (stratopause - tropopause) * rise - 15.0 * np.clip(np.log(100.0 / pressure), 0, None)
    above = above + wave * np.sin(np.pi * rise)
    return np.maximum(0.5 * (below + above) + np.sqrt(0.25 * (below - above) ** 2 + 6.0), 165.0)


def generate(n_col, seed, *, n_lay=60):
    """Columns from the tropics to the poles, one per site.

    Parameters
    ----------
    n_col : int
        Number of columns; column i is site i.
    seed : int or np.random.Generator
    n_lay : int

    Returns
    -------
    Atmosphere
        Latitudes even in area, seasonal and synoptic scatter of all parameters; water vapour from relative humidity profiles,
        ozone by :func:`ozone`, well-mixed gases at :data:`PRESENT_DAY`; day and night.

    Examples
    --------
    >>> sky = generate(100, seed=1)
    >>> sky.temperature_layer.shape, sorted(sky.gases)[:3]
    ((100, 60), ['ccl4', 'cf4', 'cfc11'])
    """
    rng = np.random.default_rng(seed)
    column = lambda low, high: rng.uniform(low, high, (n_col, 1))
    # Latitudes even in sin(latitude), stratified so that even few columns span the globe.
    sine = (rng.permutation(n_col) + rng.random(n_col)) / n_col
    latitude = np.rad2deg(np.arcsin(sine))[:, None]
    pole = np.sin(np.deg2rad(latitude)) ** 2
    season = column(-1, 1)
    surface = 300.0 - 42.0 * pole + 14.0 * season * np.sqrt(pole) + rng.normal(0, 2.5, (n_col, 1))
    level = pressure_levels(column(85000.0, 103500.0)[:, 0] - 8000.0 * pole[:, 0] * rng.random(n_col), n_lay)
    layer = 0.5 * (level[:, 1:] + level[:, :-1])
    shape = dict(
        surface=surface,
        tropopause=195.0 + 24.0 * pole + rng.normal(0, 3.0, (n_col, 1)),
        stratopause=265.0 + rng.normal(0, 4.0, (n_col, 1)) * (1 + 2 * pole),
        wave=rng.normal(0, 2.0, (n_col, 1)) * (1 + 5 * pole),
        inversion=np.maximum(rng.normal(-3, 4, (n_col, 1)) + 12 * pole * (season < 0), 0),
        power=R_DRY * (6.3e-3 + column(-0.8e-3, 0.8e-3)) / GRAVITY,
    )
    t_layer, t_level = _temperature(layer, level, **shape), _temperature(level, level, **shape)
    sigma = layer / level[:, -1:]
    humidity = column(0.55, 0.95) * np.clip((sigma - 0.02) / 0.98, 0, 1) ** column(0.6, 1.6)
    humidity = humidity * (1 - column(0, 0.7) * np.exp(-(((sigma - column(0.3, 0.8)) / 0.12) ** 2)))  # a dry layer
    stratosphere = column(3.0e-6, 4.5e-6) + 2e-6 * np.clip(np.log(1e4 / layer) / np.log(1e4), 0, 1)
    moist = np.minimum(humidity, 0.98) * saturation_fraction(layer, t_layer)
    # Above 300 hPa no more water than below, fading out to the stratosphere's between 200 and 100 hPa.
    high = np.minimum.accumulate(np.where(layer > 3e4, 1.0, moist)[:, ::-1], axis=1)[:, ::-1]
    fade = np.clip(np.log(layer / 1e4) / np.log(2.0), 0, 1)
    h2o = np.maximum(np.where(layer > 3e4, moist, high * fade), np.where(layer > 3e4, 3e-6, stratosphere))
    sun = np.sin(np.deg2rad(column(-90, 90)[:, 0])) * np.cos(np.deg2rad(latitude[:, 0])) * 1.2
    gases = {"h2o": h2o, "o3": ozone(layer, latitude) * np.exp(rng.normal(0, 0.15, (n_col, 1)))}
    gases |= {name: np.full(n_col, value) for name, value in PRESENT_DAY.items()}
    return Atmosphere(
        pressure_layer=layer,
        pressure_level=level,
        temperature_layer=t_layer,
        temperature_level=t_level,
        temperature_surface=t_level[:, -1] + rng.normal(0, 2.0, n_col),
        gases=gases,
        emissivity=rng.uniform(0.94, 1.0, n_col),
        albedo=np.where(rng.random(n_col) < pole[:, 0] * 0.6, rng.uniform(0.4, 0.85, n_col), rng.uniform(0.04, 0.35, n_col)),
        mu0=np.clip(sun, 0.0, 1.0),
        total_solar_irradiance=np.full(n_col, 1361.0),
        site=np.arange(n_col),
    )


def perturb(atmosphere, n, seed, *, temperature=5.0, surface=10.0, gas=0.75):
    """``n`` perturbed copies of every column.

    Parameters
    ----------
    atmosphere : Atmosphere
        Base states, from :func:`generate` or recorded.
    n : int
        Copies; the result has ``n * n_col`` columns, copy by copy, each keeping its ``site``.
    seed : int or np.random.Generator
    temperature : float [K]
        Half width of the uniform perturbation of every level.
    surface : float [K]
        The same of the step between the air at the surface and the surface.
    gas : float [1]
        Half width of the uniform relative perturbation of h2o and o3 in every layer; h2o is drawn again where it exceeds 1.01
        of saturation.

    Returns
    -------
    Atmosphere

    Notes
    -----
    The recipe of Veerman et al. 2021, doi:10.1098/rsta.2020.0095: inner level pressures are drawn anew between their neighbours,
    sorted and kept at least 1 Pa apart; layers lie in the middle of their levels, their temperature anywhere between those of
    the levels. Temperatures stay within the 160 to 355 K of the tables.

    Examples
    --------
    >>> sky = perturb(generate(10, seed=1), 3, seed=2)
    >>> sky.temperature_layer.shape, sky.site[:12].tolist()
    ((30, 60), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])
    """
    if atmosphere.temperature_level is None or atmosphere.temperature_surface is None:
        raise ValueError("atmosphere: expected columns with level and surface temperatures")
    rng = np.random.default_rng(seed)
    base = atmosphere.astype("float64").take(np.tile(np.arange(len(atmosphere)), n))
    upward = len(base) > 0 and base.pressure_level[0, 0] > base.pressure_level[0, -1]
    if upward:
        base = base.flipped()
    uniform = lambda a: rng.uniform(-1.0, 1.0, a.shape)

    level = base.pressure_level
    share = 0.05 + 0.95 * rng.random((level.shape[0], level.shape[1] - 2))
    drawn = level.copy()
    drawn[:, 1:-1] = np.sort(level[:, :-2] + share * (level[:, 2:] - level[:, :-2]), axis=1)
    # At least 1 Pa between levels, or a hundredth of the old layer in thin air: pushed down, then up from the surface.
    least = np.minimum(1.0, 0.01 * np.diff(level, axis=1))
    for i in range(1, drawn.shape[1] - 1):
        drawn[:, i] = np.maximum(drawn[:, i], drawn[:, i - 1] + least[:, i - 1])
    for i in range(drawn.shape[1] - 2, 0, -1):
        drawn[:, i] = np.minimum(drawn[:, i], drawn[:, i + 1] - least[:, i])

    # The profile at the new pressures, then the perturbation.
    t_level = np.stack(
        [np.interp(np.log(p), np.log(q), t) for p, q, t in zip(drawn, level, base.temperature_level, strict=True)]
    )
    t_level = np.clip(t_level + temperature * uniform(t_level), 160.0, 355.0)
    t_layer = t_level[:, :-1] + rng.random(base.pressure_layer.shape) * np.diff(t_level, axis=1)
    layer = 0.5 * (drawn[:, :-1] + drawn[:, 1:])
    t_surface = np.clip(t_level[:, -1] + surface * uniform(base.temperature_surface), 160.0, 355.0)

    gases = dict(base.gases)
    for name in ("h2o", "o3"):
        if name in gases:
            gases[name] = _by_layer(gases[name], layer.shape)
    if "h2o" in gases:
        limit = 1.01 * saturation_fraction(layer, t_layer)
        h2o = gases["h2o"] * (1 + gas * uniform(layer))
        for _ in range(20):
            wet = h2o > limit
            if not wet.any():
                break
            h2o[wet] = gases["h2o"][wet] * (1 + gas * rng.uniform(-1.0, 1.0, int(wet.sum())))
        gases["h2o"] = np.minimum(h2o, limit)  # where even the driest draw is supersaturated
    if "o3" in gases:
        gases["o3"] = gases["o3"] * (1 + gas * uniform(layer))
    result = replace(
        base,
        pressure_layer=layer,
        pressure_level=drawn,
        temperature_layer=t_layer,
        temperature_level=t_level,
        temperature_surface=t_surface,
        gases=gases,
        pressure_level_file=None,
    )
    return result.flipped() if upward else result


def _by_layer(value, shape):
    """(n_col, n_lay) array of a gas given by number, by column or by layer."""
    value = np.asarray(value, float)
    return np.broadcast_to(value[:, None] if value.ndim == 1 else value, shape).copy()


def gas_hypercube(atmosphere, seed, *, ranges=None):
    """The same columns with well-mixed gases drawn from a Latin hypercube, one point per column.

    Parameters
    ----------
    atmosphere : Atmosphere
    seed : int or np.random.Generator
    ranges : dict of str to (float, float), optional [1]
        Lowest and highest mole fraction. Default :data:`GAS_RANGES` of the gases the columns have.

    Returns
    -------
    Atmosphere

    Examples
    --------
    >>> sky = gas_hypercube(generate(50, seed=1), seed=2)
    >>> bool((sky.gases["co2"] >= 180e-6).all() and (sky.gases["co2"] <= 2240e-6).all())
    True
    """
    rng = np.random.default_rng(seed)
    ranges = {name: r for name, r in GAS_RANGES.items() if name in atmosphere.gases} if ranges is None else ranges
    gases = dict(atmosphere.gases)
    n_col = len(atmosphere)
    for name, (low, high) in ranges.items():
        if name not in gases:
            raise ValueError(f"ranges: the columns have no {name!r}, only {', '.join(sorted(gases))}")
        gases[name] = low + (high - low) * (rng.permutation(n_col) + rng.random(n_col)) / n_col
    return replace(atmosphere, gases=gases)
