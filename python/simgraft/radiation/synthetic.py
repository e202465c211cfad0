"""A synthetic k-distribution of RRTMGP shape, made by code.

The embedded default: where no real table can be had, and in quick tests, :func:`longwave` and :func:`shortwave` give the
same raw variables as the files ``rrtmgp-gas-lw-g128.nc`` and ``rrtmgp-gas-sw-g112.nc`` (same names, shapes, dtypes, bands,
g-points, T-p-eta grids, key species, minor gases, density and complement scaling), filled with coefficients from a small
band model instead of a line-by-line calculation.

The band model
--------------
* Each band is cut into sub-intervals. In each, a gas has a mean absorption coefficient from its vibration-rotation bands
  with exponential envelopes (Edwards & Menard 1964, doi:10.1364/AO.3.000621), whose width grows as sqrt(T), and whose
  intensity follows the Boltzmann factor of the lower state (hot bands).
* Around the mean, k is distributed as in the Malkmus random band model: an inverse Gaussian law whose shape parameter is
  half of pi times the line width over the line spacing (Malkmus 1967, doi:10.1364/JOSA.57.000323; Domoto 1974,
  doi:10.1016/0022-4073(74)90020-9). Collision broadening fills the wings and lowers the centres as pressure
  rises, until the Doppler width takes over from below.
* Two key species of a band overlap at random. Their joint spectrum is sorted at a reference pressure (one for the
  troposphere, one above) for each mixing fraction eta, and the ordering is kept at the other pressures and temperatures
  (the correlated-k assumption, exact here by construction).
* Water vapour continuum, halocarbons, ultraviolet ozone and Rayleigh scattering are smooth in a sub-interval.

What it cannot show is listed in :data:`NOTICE`.
"""

import math

import numpy as np

__all__ = ["NOTICE", "longwave", "shortwave"]

NOTICE = (
    "synthetic k-distribution: shapes, units and dependences of an RRTMGP table, coefficients from a band model. "
    "Fluxes are plausible to some 10 W/m2, not predictions: it cannot show errors against line-by-line references or RFMIP, "
    "the difficulty of real spectra for a network (real tables are rougher in T, p and eta), exact forcings of single gases, "
    "or anything about cloud and aerosol. Use real tables for results."
)

PLANCK = 6.62607015e-34  # J s
LIGHT = 299792458.0  # m s-1
BOLTZMANN = 1.380649e-23  # J K-1
T_REF = 296.0  # K, reference temperature of the intensities below
P_REF = 101325.0  # Pa, reference pressure of the line widths below
T_SUN = 5772.0  # K
TSI = 1360.85767381726  # W m-2, default total solar irradiance of the real table

GASES = (
    "h2o co2 o3 n2o co ch4 o2 n2 ccl4 cfc11 cfc12 cfc22 hfc143a hfc125 hfc23 hfc32 hfc134a cf4 no2".split()
)  # fmt: skip
TEMPERATURE = 160.0 + 15.0 * np.arange(14)  # K
PRESSURE = 109663.31577 * np.exp(-0.2 * np.arange(59))  # Pa, descending
TROPOPAUSE = 12  # index of the pressure that parts lower from upper atmosphere
ETA = np.linspace(0.0, 1.0, 9)

LW_LIMITS = np.array([10, 250, 500, 630, 700, 820, 980, 1080, 1180, 1390, 1480, 1800, 2080, 2250, 2390, 2680, 3250.0])
LW_LAST_G = np.array([12, 26, 38, 50, 63, 68, 75, 81, 92, 99, 107, 114, 119, 122, 124, 128])
SW_LIMITS = np.array(
    [820, 2680, 3250, 4000, 4650, 5150, 6150, 7700, 8050, 12850, 16000, 22650, 29000, 38000, 50000.0]
)
SW_LAST_G = np.array([10, 18, 29, 37, 46, 56, 67, 71, 80, 89, 96, 102, 109, 112])

# Key species of each band, lower / upper atmosphere. "-" is dry air, "0" no key species at all.
LW_KEYS = """h2o,-/h2o,-  h2o,-/h2o,-  h2o,co2/h2o,co2  h2o,co2/o3,co2  h2o,co2/o3,co2  h2o,-/0  h2o,o3/o3,-  h2o,-/o3,-
    h2o,ch4/ch4,-  h2o,-/h2o,-  h2o,-/h2o,-  h2o,co2/0  h2o,n2o/0  co2,-/co2,-  h2o,co2/0  h2o,ch4/ch4,-"""
SW_KEYS = """h2o,co2/h2o,co2  h2o,ch4/ch4,-  h2o,co2/h2o,co2  h2o,ch4/ch4,-  h2o,co2/co2,-  h2o,-/h2o,-  h2o,-/h2o,co2
    h2o,o2/h2o,o2  h2o,-/h2o,-  h2o,o2/h2o,o2  h2o,-/o3,-  0/0  o3,-/o3,-  o3,o2/o3,o2"""

# Minor absorbers of each band: F = h2o_frgn, S = h2o_self. n2* is scaled by the n2 mixing ratio.
LW_MINOR_LOWER = """n2*,F,S  n2*,F,S  n2o,F,S  F,S  o3,F,S,ccl4,cfc22  co2,F,S,cfc11,cfc12,hfc143a  co2,F,S
    co2,o3,n2o,F,S,cfc12,cfc22,hfc125,hfc23,hfc32,hfc134a  n2o,F,S,hfc143a,hfc125,hfc134a,cf4  F,S  o2,F,S  F,S
    co2,co,F,S  -  n2o,n2,F,S  F,S"""
LW_MINOR_UPPER = """n2*,F,S  n2*,F,S  n2o,F,S  -  ccl4,cfc22  cfc11,cfc12,hfc143a  co2
    co2,n2o,cfc12,cfc22,hfc125,hfc23,hfc32,hfc134a  n2o,hfc143a,hfc125,hfc134a,cf4  F,S  o2,F,S  -  o3  -  -  -"""
SW_MINOR_LOWER = """n2o,ch4,n2,F,S  F,S  F,S  F,S  F,S  ch4,F,S  co2,F,S  F,S  co2,o2,F,S  o3,F,S  o3,o2,F,S,no2  no2  -  -"""
SW_MINOR_UPPER = """o3,n2o,ch4,F,S  -  F,S  -  -  ch4,F,S  F,S  F,S  co2,o3,F,S  o3,F,S  o2,no2  no2  -  -"""

# Vibration-rotation bands: centre [cm-1], intensity at 296 K [cm molecule-1], e-folding width [cm-1], lower state [cm-1].
# Intensities are rounded sums over HITRAN-like line lists; widths are set so that windows are as clear as observed.
BANDS = {
    "h2o": [
        (150, 4.2e-17, 45, 0), (330, 6.0e-18, 55, 500), (1480, 4.5e-18, 44, 0), (1740, 5.5e-18, 52, 0), (3150, 2.5e-19, 60, 0),
        (3700, 7.5e-18, 75, 0), (3700, 2e-19, 130, 300), (5330, 8.0e-19, 70, 0), (5330, 2e-20, 130, 300), (7250, 7.0e-19, 75, 0),
        (7250, 2e-20, 130, 300), (8800, 5.0e-20, 80, 0), (10600, 2.2e-20, 90, 0), (12100, 1.6e-21, 90, 0), (13830, 1.5e-21, 90, 0),
        (15000, 1.0e-22, 100, 0), (16900, 8.0e-23, 110, 0), (18500, 4e-23, 700, 0),
    ],
    "co2": [
        (667, 7.6e-18, 10.5, 0), (667, 4.0e-19, 13, 667), (618, 1.0e-19, 10, 667), (721, 1.3e-19, 10, 667), (597, 2e-21, 12, 1285),
        (741, 5e-21, 12, 1285), (791, 5e-22, 15, 1388), (961, 7.5e-22, 15, 1388), (1064, 9e-22, 15, 1285), (1933, 5e-22, 20, 0),
        (2077, 6e-21, 20, 0), (2338, 9.3e-17, 9, 0), (2330, 8e-18, 12, 667), (3613, 1.0e-18, 16, 0), (3715, 1.5e-18, 16, 0),
        (4853, 8e-21, 18, 0), (4978, 3.6e-20, 18, 0), (5100, 1.2e-20, 18, 0), (6228, 4.3e-22, 18, 0), (6348, 4.3e-22, 18, 0),
        (6973, 1.5e-21, 18, 0), (8290, 8e-24, 20, 0),
    ],
    "o3": [
        (701, 6.3e-19, 22, 0), (1042, 1.38e-17, 13, 0), (1103, 3.5e-19, 13, 0), (2110, 1.1e-18, 13, 0), (2785, 3e-20, 15, 0),
    ],
    "n2o": [
        (589, 1.1e-18, 13, 0), (1168, 3.5e-19, 16, 0), (1285, 8.6e-18, 14, 0), (1880, 3e-20, 16, 0), (2224, 5.0e-17, 14, 0),
        (2462, 3.2e-19, 16, 0), (2563, 1.2e-18, 16, 0),
    ],
    "ch4": [
        (1306, 5.0e-18, 27, 0), (1533, 1.0e-19, 40, 0), (2830, 5e-19, 40, 0), (3019, 1.05e-17, 32, 0), (4220, 4e-19, 60, 0),
        (4500, 8e-20, 60, 0), (5860, 3e-20, 60, 0), (6005, 4e-20, 40, 0),
    ],
    "co": [(2143, 9.8e-18, 22, 0), (4260, 7.5e-20, 22, 0)],
    "o2": [
        (1556, 1.8e-23, 40, 0), (7882, 3.5e-24, 30, 0), (9400, 1.6e-24, 200, 0),
        (12970, 1e-25, 100, 0), (13121, 2.2e-22, 26, 0), (14527, 1.5e-23, 26, 0), (16500, 4e-24, 500, 0),
    ],
    "n2": [],
    "ccl4": [(795, 6.3e-17, 12, 0)],
    "cfc11": [(848, 6.6e-17, 14, 0), (1085, 2.6e-17, 14, 0)],
    "cfc12": [(895, 5.5e-17, 18, 0), (922, 3.0e-17, 16, 0), (1102, 4.0e-17, 16, 0), (1160, 2.6e-17, 14, 0)],
    "cfc22": [(809, 3.2e-17, 18, 0), (1115, 6.8e-17, 20, 0)],
    "hfc143a": [(840, 2e-17, 20, 0), (1233, 1.0e-16, 35, 0)],
    "hfc125": [(1145, 4e-17, 25, 0), (1200, 1.2e-16, 30, 0)],
    "hfc23": [(1150, 1.1e-16, 25, 0)],
    "hfc32": [(1090, 5.6e-17, 22, 0)],
    "hfc134a": [(1105, 4.0e-17, 22, 0), (1190, 8.0e-17, 28, 0), (1295, 4.0e-17, 25, 0)],
    "cf4": [(1283, 1.9e-16, 6, 0)],
    "no2": [],
}  # fmt: skip

# pi times line width over line spacing at P_REF, T_REF (Rodgers & Walshaw 1966, doi:10.1002/qj.49709239107, and alike).
LINE_WIDTH = {"h2o": 0.08, "co2": 0.40, "o3": 0.80, "n2o": 0.50, "ch4": 0.20, "co": 0.10, "o2": 0.08}
SMOOTH = 1e3  # the same for spectra without lines

# Smooth electronic bands: centre [cm-1], peak cross-section [cm2 molecule-1], Gaussian half width at 1/e [cm-1].
ELECTRONIC = {
    "o3": [(16700, 5.4e-21, 2100), (39300, 1.12e-17, 2900), (30000, 1e-21, 2500)],
    "o2": [
        (50500, 1.2e-23, 5000)],
    "no2": [(24500, 6.0e-19, 4800)],
}

# Water vapour continuum per molecule and per density p/T in hPa/K: wavenumber, self, foreign, after the shape of MT_CKD
# (Mlawer et al. 2012, doi:10.1098/rsta.2011.0295), rounded.
CONTINUUM = np.array(
    [
        (10, 5e-21, 1.6e-22), (100, 2e-20, 6e-22), (200, 2.2e-20, 5e-22), (350, 7e-21, 8e-23), (500, 1.4e-21, 1.0e-23),
        (650, 4e-22, 9e-25), (800, 1.4e-22, 1.6e-25), (930, 8e-23, 4e-26), (1130, 3.5e-23, 1.2e-26), (1300, 6e-23, 1.0e-24),
        (1430, 6e-22, 5e-23), (1600, 2.4e-21, 2.2e-22), (1800, 5e-22, 2e-23), (2000, 5e-23, 1e-24), (2200, 9e-24, 5e-26),
        (2500, 2.5e-24, 2e-27), (3000, 6e-24, 3e-25), (3500, 2e-22, 1e-23), (3750, 2e-21, 1.2e-22), (4100, 5e-23, 1e-24),
        (4500, 6e-24, 8e-26), (4900, 1e-23, 1e-25), (5300, 2e-22, 1e-23), (5800, 1e-23, 1e-25), (6300, 1e-24, 1e-26),
        (7200, 1e-22, 8e-24), (7850, 1.5e-25, 1.5e-27), (8800, 3e-24, 2.5e-25), (10600, 8e-25, 8e-26), (12500, 1e-25, 5e-27),
        (14500, 3e-26, 2e-27), (20000, 1e-27, 1e-29), (50000, 1e-28, 1e-30),
    ]
)  # fmt: skip

# Edges of the quantiles of k inside one sub-interval, closer towards the line centres.
QUANTILES = np.array([0, 0.15, 0.3, 0.45, 0.6, 0.72, 0.82, 0.89, 0.935, 0.962, 0.98, 0.99, 0.996, 0.9985, 0.9995, 0.9999, 1])

# Cumulative weights of RRTM's 16 g-points (Mlawer et al. 1997, doi:10.1029/97JD00237).
RRTM_CUMULATIVE = np.concatenate(
    ([0], np.cumsum([0.1527534276, 0.1491729617, 0.1420961469, 0.1316886544, 0.1181945205, 0.1019300893, 0.0832767040,
                     0.0626720116, 0.0424925000, 0.0046269894, 0.0038279891, 0.0030260086, 0.0022199750, 0.0014140010,
                     0.0005330000, 0.0000750000]))
)  # fmt: skip


def planck_integral(low, high, temperature):
    """Planck radiance integrated between two wavenumbers, exact to round-off (series in exp(-x)).

    Parameters
    ----------
    low, high : float or array [cm-1]
    temperature : float or array [K]
        All broadcast against each other.

    Returns
    -------
    array [W m-2 sr-1]
    """

    def above(nu):
        x = 100.0 * PLANCK * LIGHT * np.asarray(nu, float) / (BOLTZMANN * np.asarray(temperature, float))
        # x > 0.02 for the wavenumbers used here: 12 terms of the tail sum_n exp(-nx) for x > 3, else the power series below.
        n = np.arange(1, 13).reshape((-1,) + (1,) * x.ndim)
        tail = (np.exp(-n * x) * (x**3 / n + 3 * x**2 / n**2 + 6 * x / n**3 + 6 / n**4)).sum(0)
        small = np.minimum(x, 3.0)
        # Integral of t^3/(e^t - 1) from 0 to x by Bernoulli numbers, converges for x < 2 pi.
        bernoulli = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330]
        bernoulli += [854513 / 138, -236364091 / 2730, 8553103 / 6, -23749461029 / 870, 8615841276005 / 14322]
        series = small**3 / 3 - small**4 / 8
        for k, b in enumerate(bernoulli, 1):
            series = series + b * small ** (2 * k + 3) / ((2 * k + 3) * float(math.factorial(2 * k)))
        return np.where(x > 3.0, tail, math.pi**4 / 15 - series)

    scale = 2 * (BOLTZMANN * np.asarray(temperature, float)) ** 4 / (PLANCK**3 * LIGHT**2)
    return scale * (above(low) - above(high))


def _inverse_gaussian_bins():
    """Mean of k / k_mean in each quantile bin, for a row of line-width parameters.

    Returns (log10 of the parameter, (n,)), (log of the bin means, (n, n_bins)).
    """
    log_y = np.linspace(-6.0, 3.0, 91)
    table = np.empty((log_y.size, QUANTILES.size - 1))
    for i, y in enumerate(10.0**log_y):
        shape = y / 2
        reach = 1 + 40 / shape + math.sqrt((1 + 40 / shape) ** 2 - 1)  # where the density has fallen by exp(-40)
        u = np.linspace(-math.log(reach), math.log(reach), 3001)
        x = np.exp(u)
        density = np.sqrt(shape / (2 * math.pi * x)) * np.exp(-shape * (x - 1) ** 2 / (2 * x))  # of ln x
        cumulative = np.concatenate(([0], np.cumsum(0.5 * (density[1:] + density[:-1]))))
        moment = np.concatenate(([0], np.cumsum(0.5 * (density[1:] * x[1:] + density[:-1] * x[:-1]))))
        at_edges = np.interp(QUANTILES, cumulative / cumulative[-1], moment / moment[-1])
        table[i] = np.diff(at_edges) / np.diff(QUANTILES)
    return log_y, np.log(np.maximum(table, 1e-30))


class _Spectrum:
    """Spectroscopy of all gases on the sub-intervals of one band."""

    def __init__(self, low, high, n_sub, bins):
        self.edges = np.linspace(low, high, n_sub + 1)
        self.nu = 0.5 * (self.edges[1:] + self.edges[:-1])
        self.bins = bins

    def mean(self, gas):
        """Mean absorption coefficient: (14 T, n_sub) [cm2 molecule-1]."""
        nu, t = self.nu[None, :], TEMPERATURE[:, None]
        k = np.zeros((t.size, nu.size))
        for centre, intensity, width, lower_state in BANDS[gas]:
            w = width * np.sqrt(t / T_REF)
            hot = np.exp(-1.438777 * lower_state * (1 / t - 1 / T_REF))
            # The mean over the sub-interval, so that a band narrower than it is not missed.
            edge = (self.edges[None, :] - centre) / w
            cumulative = np.where(edge < 0, 0.5 * np.exp(-np.abs(edge)), 1 - 0.5 * np.exp(-np.abs(edge)))
            k += intensity * hot * np.diff(cumulative, axis=1) / np.diff(self.edges)
        for centre, peak, width in ELECTRONIC.get(gas, ()):
            # Vibrationally hot molecules absorb a little more.
            k = k + peak * np.exp(-(((nu - centre) / width) ** 2)) * (1 + 1e-3 * (t - T_REF))
        return k

    def distribution(self, gas, pressure):
        """k by quantile: (14 T, n_p, n_sub, n_bins) [cm2 molecule-1]."""
        log_y, table = self.bins
        lorentz = (pressure / P_REF) * (T_REF / TEMPERATURE[:, None]) ** 0.7
        doppler = 0.012 * np.sqrt(TEMPERATURE / T_REF)[:, None, None] * self.nu / 1000
        y = LINE_WIDTH.get(gas, SMOOTH) * np.sqrt(lorentz[:, :, None] ** 2 + doppler**2)
        if gas in ELECTRONIC and self.nu[0] > 15000:
            y = np.full_like(y, SMOOTH)
        place = np.clip((np.log10(y) - log_y[0]) / (log_y[1] - log_y[0]), 0, log_y.size - 1.001)
        row = place.astype(int)
        part = (place - row)[..., None]
        shape = np.exp((1 - part) * table[row] + part * table[row + 1])
        return self.mean(gas)[:, None, :, None] * shape

    def minor(self, identifier, density):
        """Smooth absorption of a minor gas: (14 T, n_sub); with density, per p/T in hPa/K."""
        t = TEMPERATURE[:, None]
        if identifier in ("h2o_self", "h2o_frgn"):
            column = 1 if identifier == "h2o_self" else 2
            k = np.exp(np.interp(self.nu, CONTINUUM[:, 0], np.log(CONTINUUM[:, column])))[None, :]
            # The self continuum falls steeply with temperature (Roberts et al. 1976), the foreign one hardly.
            return k * ((T_REF / t) ** 4.5 if column == 1 else (T_REF / t) ** 0.2)
        if identifier == "n2":  # collision-induced: rotation below 350 cm-1, fundamental at 2330 cm-1
            shape = 2.8e-26 * np.exp(-(((self.nu - 100) / 110) ** 2)) + 2.8e-26 * np.exp(-(((self.nu - 2330) / 90) ** 2))
            return shape[None, :] * (T_REF / t) ** 0.8
        k = self.mean(identifier)
        # Collision-induced oxygen at 1556 cm-1 and beside the 1.27 and 1.06 um bands is per density as well.
        return k * (296.0 / 1013.25) if density else k


def _vmr_ref():
    """Reference volume mixing ratios: (14 T, 20 absorber_ext, 2 atmos_layer) [1]; warm air is moist."""
    ratio = {"co2": 355e-6, "n2o": 320e-9, "co": 150e-9, "ch4": 1.7e-6, "o2": 0.209, "n2": 0.781}
    vmr = np.empty((TEMPERATURE.size, len(GASES) + 1, 2))
    vmr[:, 0] = 1.0
    for i, gas in enumerate(GASES, 1):
        vmr[:, i] = ratio.get(gas, 1e-7)
    vmr[:, 1, 0] = np.clip(2.5e-6 * 10 ** ((TEMPERATURE - 175) / 40), 2.5e-6, 5e-3)
    vmr[:, 1, 1] = 4.8e-6
    vmr[:, 3, 0] = 1.5e-7 - 1.2e-7 / (1 + np.exp((257 - TEMPERATURE) / 8))
    vmr[:, 3, 1] = np.interp(TEMPERATURE, [160, 220, 260, 355], [5e-7, 1.2e-6, 3.5e-6, 4.9e-6])
    return vmr


def _text(names):
    return np.array([list(name.ljust(32)) for name in names], dtype="S1").reshape(-1, 32)


def _pairs(text):
    """[[("h2o", "co2"), ("o3", "co2")], ...]: key species of each band, lower and upper; None where there are none."""
    halves = [entry.split("/") for entry in text.split()]
    return [[None if half == "0" else tuple(half.split(",")) for half in band] for band in halves]


def _build(limits, last_g, keys, minors, n_sub, weight_of, seed):
    """Everything the two kinds of table share; weight_of(edges) gives the energy of each sub-interval."""
    rng = np.random.default_rng(seed)
    vmr_ref = _vmr_ref()
    bins = _inverse_gaussian_bins()
    quantile_weight = np.diff(QUANTILES)
    n_bin, n_g, n_band = quantile_weight.size, int(last_g[-1]), last_g.size
    first_g = np.concatenate(([0], last_g[:-1]))
    halves = (slice(0, TROPOPAUSE + 1), slice(TROPOPAUSE + 1, PRESSURE.size + 1))  # of the pressure_interp axis
    pressure_interp = np.concatenate((PRESSURE[: TROPOPAUSE + 1], PRESSURE[TROPOPAUSE:]))
    sort_pressure = (50000.0, 1500.0)  # Pa, where the spectrum is put in order
    sort_t = 6  # 250 K

    kmajor = np.zeros((TEMPERATURE.size, PRESSURE.size + 1, ETA.size, n_g))
    share = np.zeros((2, ETA.size, n_sub, n_g))  # of the sub-interval in the g-point, energy-weighted
    spectra, energies = [], []
    kminor, minor_list = [[], []], [[], []]
    for band in range(n_band):
        spectrum = _Spectrum(limits[band], limits[band + 1], n_sub, bins)
        energy = weight_of(spectrum.edges)
        energy = energy / energy.sum()
        spectra.append(spectrum)
        energies.append(energy)
        g = slice(int(first_g[band]), int(last_g[band]))
        count = g.stop - g.start
        g_edges = np.interp(np.linspace(0, 16, count + 1), np.arange(17), RRTM_CUMULATIVE / RRTM_CUMULATIVE[-1])
        for half in (0, 1):
            pair = keys[band][half]
            gas = [None if pair is None or name == "-" else name for name in pair or ("-", "-")]
            index = [0 if name is None else GASES.index(name) + 1 for name in gas]
            ratio = vmr_ref[:, index[0], half] / vmr_ref[:, index[1], half]
            pressure = pressure_interp[halves[half]]
            k = [None if name is None else spectrum.distribution(name, pressure) for name in gas]
            at_sort = [
                np.zeros((n_sub, n_bin)) if name is None
                else spectrum.distribution(name, np.array([sort_pressure[half]]))[sort_t, 0]
                for name in gas
            ]  # fmt: skip
            # Points of the joint spectrum: sub-interval x quantile of gas 1 x quantile of gas 2, with their energy.
            weight = energy[:, None, None] * quantile_weight[:, None] * quantile_weight
            # Equal coefficients (a band without key species) are ordered at random rather than by wavenumber.
            noise = 1 + 1e-9 * rng.random(weight.size)
            for e, eta in enumerate(ETA):
                total = eta * at_sort[0][:, :, None] + (1 - eta) / ratio[sort_t] * at_sort[1][:, None, :]
                if not total.any():
                    total = at_sort[0][:, :, None] + at_sort[1][:, None, :]
                order = np.argsort((total.ravel() + 1e-60) * noise, kind="stable")
                edge = np.concatenate(([0], np.cumsum(weight.ravel()[order])))
                edge /= edge[-1]
                # Each point's weight in each g-point: the overlap of its interval on the g axis with the g-point's.
                inside = np.diff(np.clip(edge[:, None], g_edges[:-1], g_edges[1:]), axis=0)
                mapping = np.empty((weight.size, count))
                mapping[order] = inside
                mapping = mapping.reshape(n_sub, n_bin, n_bin, count)
                of_gas = [mapping.sum(2).reshape(-1, count), mapping.sum(1).reshape(-1, count)]
                width = np.diff(g_edges)
                share[half, e, :, g] = mapping.sum((1, 2))
                result = np.zeros((TEMPERATURE.size, pressure.size, count))
                if k[0] is not None:
                    result += eta * (k[0].reshape(result.shape[:2] + (-1,)) @ (of_gas[0] / width))
                if k[1] is not None:
                    second = k[1].reshape(result.shape[:2] + (-1,)) @ (of_gas[1] / width)
                    result += ((1 - eta) / ratio)[:, None, None] * second
                kmajor[:, halves[half], e, g] = result
            for identifier in minors[half][band]:
                scaled = identifier.endswith("*")
                identifier = identifier.rstrip("*")
                density = identifier in ("h2o_self", "h2o_frgn", "n2", "o2")
                smooth = spectrum.minor(identifier, density)
                part = share[half, :, :, g] / np.diff(g_edges)  # (eta, sub, g)
                kminor[half].append(np.einsum("ts,esg->teg", smooth, part))
                scaling = "h2o" if identifier.startswith("h2o_") else "n2" if scaled else ""
                minor_list[half].append((identifier, scaling, g, density, identifier == "h2o_frgn"))

    key_species = np.zeros((n_band, 2, 2), np.int32)
    for band in range(n_band):
        for half in (0, 1):
            for i, name in enumerate(keys[band][half] or ("-", "-")):
                key_species[band, half, i] = 0 if name == "-" else GASES.index(name) + 1
    identifiers = GASES[:8] + ["h2o_frgn", "h2o_self"] + GASES[8:]
    raw = {
        "gas_names": _text(GASES),
        "key_species": key_species,
        "bnd_limits_wavenumber": np.stack((limits[:-1], limits[1:]), 1),
        "bnd_limits_gpt": np.stack((first_g + 1, last_g), 1).astype(np.int32),
        "press_ref": PRESSURE.copy(),
        "temp_ref": TEMPERATURE.copy(),
        "press_ref_trop": np.array(PRESSURE[TROPOPAUSE]),
        "absorption_coefficient_ref_P": np.array(101300.0),
        "absorption_coefficient_ref_T": np.array(T_REF),
        "vmr_ref": vmr_ref,
        "kmajor": kmajor,
        "gas_minor": _text(["h2o" if name.startswith("h2o_") else name for name in identifiers]),
        "identifier_minor": _text(identifiers),
    }
    for half, name in enumerate(("lower", "upper")):
        entries = minor_list[half]
        size = [entry[2].stop - entry[2].start for entry in entries]
        raw["minor_gases_" + name] = _text([entry[0] for entry in entries])
        raw["scaling_gas_" + name] = _text([entry[1] for entry in entries])
        raw["minor_limits_gpt_" + name] = np.array([(entry[2].start + 1, entry[2].stop) for entry in entries], np.int32)
        raw["minor_scales_with_density_" + name] = np.array([entry[3] for entry in entries], np.int32)
        raw["scale_by_complement_" + name] = np.array([entry[4] for entry in entries], np.int32)
        raw["kminor_start_" + name] = (np.concatenate(([0], np.cumsum(size)[:-1])) + 1).astype(np.int32)
        raw["kminor_" + name] = np.concatenate(kminor[half], axis=2)
    return raw, share, spectra, energies


def _minors(text):
    short = {"F": "h2o_frgn", "S": "h2o_self"}
    return [[] if band == "-" else [short.get(name, name) for name in band.split(",")] for band in text.split()]


def longwave(seed=0):
    """A synthetic longwave table of the shape of ``rrtmgp-gas-lw-g128.nc``.

    Parameters
    ----------
    seed : int
        Orders coefficients that are equal; the physics does not depend on it. The same seed gives the same table.

    Returns
    -------
    dict of str to array
        The variables of the file, by name, with its shapes and dtypes: 16 bands, 128 g-points, 14 temperatures,
        59 pressures, 9 mixing fractions, 19 absorbers, 60 / 34 minor intervals.

    See Also
    --------
    NOTICE : what such a table cannot show.

    Examples
    --------
    >>> raw = longwave()
    >>> raw["kmajor"].shape
    (14, 60, 9, 128)
    """
    raw, share, spectra, energies = _build(
        LW_LIMITS, LW_LAST_G, _pairs(LW_KEYS), (_minors(LW_MINOR_LOWER), _minors(LW_MINOR_UPPER)), 10,
        lambda edges: planck_integral(edges[:-1], edges[1:], 260.0), seed,
    )  # fmt: skip
    fraction = np.empty_like(raw["kmajor"])
    first = raw["bnd_limits_gpt"][:, 0] - 1
    for band, spectrum in enumerate(spectra):
        g = slice(int(first[band]), int(LW_LAST_G[band]))
        planck = planck_integral(spectrum.edges[:-1], spectrum.edges[1:], TEMPERATURE[:, None])  # (T, sub)
        relative = planck / planck.sum(1, keepdims=True) / energies[band]
        for half, rows in enumerate((slice(0, TROPOPAUSE + 1), slice(TROPOPAUSE + 1, None))):
            part = np.einsum("ts,esg->teg", relative, share[half, :, :, g])
            fraction[:, rows, :, g] = (part / part.sum(2, keepdims=True))[:, None]
    raw["plank_fraction"] = fraction
    temperature = 160.0 + np.arange(196)
    raw["totplnk"] = planck_integral(LW_LIMITS[:-1, None], LW_LIMITS[1:, None], temperature)
    # secant = c1 exp(-column optical depth) + c2 of the optional angle fit: the fixed diffusivity secant.
    raw["optimal_angle_fit"] = np.tile(np.array([0.0, 1.64], np.float32), (LW_LAST_G.size, 1))
    return raw


def _sunlight(edges):
    """Relative solar energy between the wavenumbers ``edges`` (n + 1,): black body, ultraviolet blanketed by solar lines."""
    fine = np.linspace(edges[:-1], edges[1:], 17, axis=1)
    middle = 0.5 * (fine[:, 1:] + fine[:, :-1])
    return (planck_integral(fine[:, :-1], fine[:, 1:], T_SUN) / (1 + np.exp((middle - 35500) / 3500))).sum(1)


def shortwave(seed=0):
    """A synthetic shortwave table of the shape of ``rrtmgp-gas-sw-g112.nc``.

    Parameters
    ----------
    seed : int
        As in :func:`longwave`.

    Returns
    -------
    dict of str to array
        The variables of the file, by name, with its shapes and dtypes: 14 bands, 112 g-points, 34 / 24 minor intervals,
        Rayleigh cross-sections after Bucholtz 1995 (doi:10.1364/AO.34.002765), the solar spectrum of a black body at 5772 K
        scaled to 1360.86 W m-2.

    Examples
    --------
    >>> float(shortwave()["solar_source_quiet"].sum().round(2))
    1360.86
    """
    raw, share, spectra, energies = _build(
        SW_LIMITS, SW_LAST_G, _pairs(SW_KEYS), (_minors(SW_MINOR_LOWER), _minors(SW_MINOR_UPPER)), 12,
        _sunlight, seed,
    )  # fmt: skip
    n_g = int(SW_LAST_G[-1])
    first = raw["bnd_limits_gpt"][:, 0] - 1
    source = np.empty(n_g)
    whole = sum(_sunlight(spectrum.edges).sum() for spectrum in spectra)
    rayleigh = np.empty((2, ETA.size, n_g))
    for band, spectrum in enumerate(spectra):
        g = slice(int(first[band]), int(SW_LAST_G[band]))
        part = share[:, :, :, g]  # (half, eta, sub, g)
        width = part[0, 0].sum(0)
        source[g] = width * _sunlight(spectrum.edges).sum() * (TSI / whole)
        # 4.51e-27 cm2 at 550 nm, wavelength^-4 with the dispersion of the refractive index.
        micron = 1e4 / spectrum.nu
        sigma = 4.51e-27 * (0.55 / micron) ** 4 * (1 + 0.0113 / micron**2 + 0.00013 / micron**4) / (1 + 0.0113 / 0.55**2)
        rayleigh[:, :, g] = np.einsum("s,hesg->heg", sigma, part / width)
    for half, name in enumerate(("lower", "upper")):
        raw["rayl_" + name] = np.repeat(rayleigh[half][None], TEMPERATURE.size, axis=0)
    raw["solar_source_quiet"] = source
    raw["solar_source_facular"] = np.zeros(n_g)
    raw["solar_source_sunspot"] = np.zeros(n_g)
    raw["tsi_default"] = np.array(TSI)
    raw["mg_default"] = np.array(0.1567652, np.float32)
    raw["sb_default"] = np.array(902.7126, np.float32)
    return raw
