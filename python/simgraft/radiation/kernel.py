"""The kernel that radiation surrogates replace: gas optics; and the fluxes that come of it.

:func:`fluxes_lw` and :func:`fluxes_sw` compute clear-sky fluxes of an
:class:`~simgraft.radiation.atmosphere.Atmosphere` with a :class:`~simgraft.radiation.tables.KDistribution`; what
computes the optics inside can be replaced (``optics=``). For surrogates, :class:`LongwaveOptics` and
:class:`ShortwaveOptics` show the optics of single cells as a :class:`simgraft.Kernel`.
"""

from dataclasses import dataclass, field

import numpy as np

from simgraft import _core
from simgraft.kernel import Kernel
from simgraft.variables import Var

__all__ = [
    "Fluxes",
    "LongwaveOptics",
    "ShortwaveOptics",
    "fluxes_lw",
    "fluxes_sw",
    "gas_optics_lw",
    "gas_optics_sw",
    "heating_rate",
    "solve_lw",
    "solve_sw",
]

SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True)
class Fluxes:
    """Fluxes at the levels of columns, in the vertical order of the atmosphere. Positive both upward and downward."""

    up: np.ndarray  #: (n_col, n_lay + 1) [W m-2]
    down: np.ndarray  #: (n_col, n_lay + 1) [W m-2]; shortwave: diffuse and direct
    direct: np.ndarray | None = None  #: (n_col, n_lay + 1) [W m-2], shortwave: the direct beam
    up_jacobian: np.ndarray | None = None  #: (n_col, n_lay + 1) [W m-2 K-1], longwave: d up / d surface temperature
    up_g: np.ndarray | None = field(default=None, repr=False)  #: (n_col, n_lay + 1, n_g) [W m-2]
    down_g: np.ndarray | None = field(default=None, repr=False)  #: (n_col, n_lay + 1, n_g) [W m-2]
    up_band: np.ndarray | None = field(default=None, repr=False)  #: (n_col, n_lay + 1, n_band) [W m-2]
    down_band: np.ndarray | None = field(default=None, repr=False)  #: (n_col, n_lay + 1, n_band) [W m-2]
    clipped: dict | None = None  #: how many temperatures, pressures and concentrations were clipped

    @property
    def net(self):
        """(n_col, n_lay + 1) array [W m-2]: downward less upward."""
        return self.down - self.up


def _mode(out_of_range):
    if out_of_range not in ("raise", "clip"):
        raise ValueError(f'out_of_range: expected "raise" or "clip", got {out_of_range!r}')
    return out_of_range == "clip"


def _threads(num_threads):
    if num_threads is None:
        return 0
    if isinstance(num_threads, bool) or not isinstance(num_threads, (int, np.integer)) or num_threads < 1:
        raise ValueError(f"num_threads: expected an integer of at least 1 or None, got {num_threads!r}")
    return int(num_threads)


def _concentrations(kdist, gases):
    """Entries of a dict of concentrations in the order of the table; names are checked."""
    gases = gases or {}
    unknown = sorted(set(gases) - set(kdist.file_gases))
    if unknown:
        raise ValueError(f"gases: the table does not know {', '.join(unknown)}; it has {', '.join(kdist.file_gases)}")
    missing = [gas for gas in kdist.gases if gas not in gases]
    if missing:
        raise ValueError(
            f"gases: {', '.join(missing)} missing; give 0.0 for none, or load the table with gases=[...] without them"
        )
    return [gases[gas] for gas in kdist.gases]


def _given(atmosphere, *names):
    """Fields of the atmosphere that must not be None."""
    for name in names:
        if getattr(atmosphere, name) is None:
            raise ValueError(f"atmosphere.{name}: is needed here, got None")
    return [getattr(atmosphere, name) for name in names]


def _by_band(kdist, values):
    return np.add.reduceat(values, kdist.band_limits_g[:, 0], axis=-1)


def _fluxes(kdist, result, by):
    if by == "band":
        for name in ("up", "down"):
            result[f"{name}_band"] = _by_band(kdist, result.pop(f"{name}_g"))
    return Fluxes(**result)


def _want_by(by):
    if by not in (None, "g", "band"):
        raise ValueError(f'by: expected None, "g" or "band", got {by!r}')
    return by is not None


def fluxes_lw(
    kdist,
    atmosphere,
    *,
    n_angles=1,
    diffusivity=None,
    jacobian=False,
    by=None,
    optics=None,
    out_of_range="raise",
    num_threads=None,
):
    """Clear-sky longwave fluxes, without scattering.

    Parameters
    ----------
    kdist : KDistribution
        A longwave table.
    atmosphere : Atmosphere
        Columns, with surface temperature and emissivity. The precision of the calculation is that of its arrays.
    n_angles : {1, 2, 3, 4}
        Angles of Gauss-Jacobi-5 quadrature (Hogan 2023, doi:10.1002/qj.4598).
    diffusivity : float, optional
        Secant of a single angle instead, for instance 1.66 (Elsasser 1942).
    jacobian : bool
        Whether to give d up / d surface temperature.
    by : {None, "g", "band"}
        Whether to give fluxes by g-point or by band too.
    optics : callable, optional
        In place of the table kernel: ``optics(temperature, pressure, col_dry, vmr) -> (tau, planck_fraction)`` for the
        cells of a block: (n,) arrays [K], [Pa], [molecule cm-2] and (n_gas, n) [1] in the order of ``kdist.gases``;
        results (n, n_g) of the same dtype. It runs in the calling thread. Networks from
        :meth:`simgraft.radiation.networks.NetworkOptics.for_slot` run in the core, in all threads.
    out_of_range : {"raise", "clip"}
        Temperatures, pressures and concentrations outside the table are an error, or are moved to its limit and
        counted.
    num_threads : int, optional
        Default: ``OMP_NUM_THREADS`` or all CPUs. The bits of the result do not depend on it.

    Returns
    -------
    Fluxes

    Raises
    ------
    DomainError
        Out of range; names the variable, column, layer and limit.
    ValueError, TypeError
        For arrays of other shapes or dtypes, and pressures that are not monotonic.

    Notes
    -----
    Pincus, Mlawer & Delamere 2019, doi:10.1029/2019MS001621; emission of a layer after Clough et al. 1992,
    doi:10.1029/92JD01419.

    Examples
    --------
    >>> from simgraft.radiation import atmosphere_generator, kernel, tables
    >>> table = tables.load_or_synthetic("lw-g128")
    >>> fluxes = kernel.fluxes_lw(table, atmosphere_generator.generate(3, seed=1))
    >>> fluxes.up.shape, bool((fluxes.up[:, 0] > 150).all())
    ((3, 61), True)
    """
    emissivity, t_sfc = _given(atmosphere, "emissivity", "temperature_surface")
    if diffusivity is not None and not diffusivity > 0:
        raise ValueError(f"diffusivity: expected a positive number, got {diffusivity!r}")
    result = _core.radiation_fluxes_lw(
        kdist.core,
        atmosphere.pressure_layer,
        atmosphere.pressure_level,
        atmosphere.temperature_layer,
        atmosphere.temperature_level,
        t_sfc,
        _concentrations(kdist, atmosphere.gases),
        emissivity,
        n_angles=n_angles,
        diffusivity=diffusivity or 0.0,
        optics=optics,
        clip=_mode(out_of_range),
        num_threads=_threads(num_threads),
        jacobian=jacobian,
        by_g=_want_by(by),
    )
    return _fluxes(kdist, result, by)


def fluxes_sw(kdist, atmosphere, *, direct=False, by=None, optics=None, out_of_range="raise", num_threads=None):
    """Clear-sky shortwave fluxes: two-stream layers, combined by adding.

    Parameters
    ----------
    kdist : KDistribution
        A shortwave table.
    atmosphere : Atmosphere
        Columns, with mu0 and albedo. Columns in the dark (mu0 <= 0) get zeros. The precision is that of its arrays.
    direct : bool
        Whether to give the direct beam too.
    by, out_of_range, num_threads
        As in :func:`fluxes_lw`.
    optics : callable, optional
        As in :func:`fluxes_lw`, with results (tau of absorption, tau of Rayleigh scattering).

    Returns
    -------
    Fluxes

    Raises
    ------
    DomainError, ValueError, TypeError
        As in :func:`fluxes_lw`.

    Notes
    -----
    Coefficients of Zdunkowski et al. 1980 (PIFM) in the solution of Meador & Weaver 1980; adding after Shonk & Hogan
    2008, doi:10.1175/2007JCLI1940.1. The solar source of the table is scaled to ``total_solar_irradiance``.

    Examples
    --------
    >>> from simgraft.radiation import atmosphere_generator, kernel, tables
    >>> table = tables.load_or_synthetic("sw-g112")
    >>> fluxes = kernel.fluxes_sw(table, atmosphere_generator.generate(3, seed=1))
    >>> bool((fluxes.net >= 0).all())
    True
    """
    mu0, albedo = _given(atmosphere, "mu0", "albedo")
    result = _core.radiation_fluxes_sw(
        kdist.core,
        atmosphere.pressure_layer,
        atmosphere.pressure_level,
        atmosphere.temperature_layer,
        _concentrations(kdist, atmosphere.gases),
        mu0,
        atmosphere.total_solar_irradiance,
        albedo if atmosphere.albedo_direct is None else atmosphere.albedo_direct,
        albedo,
        optics=optics,
        clip=_mode(out_of_range),
        num_threads=_threads(num_threads),
        direct=direct,
        by_g=_want_by(by),
    )
    return _fluxes(kdist, result, by)


def gas_optics_lw(kdist, atmosphere, *, sources=False, out_of_range="raise", num_threads=None):
    """Longwave optical properties of columns.

    Parameters
    ----------
    kdist : KDistribution
        A longwave table.
    atmosphere : Atmosphere
        Columns; with ``sources`` also their surface temperature.
    sources : bool
        Whether to give the Planck sources.
    out_of_range, num_threads
        As in :func:`fluxes_lw`.

    Returns
    -------
    dict of arrays
        tau, planck_fraction (n_col, n_lay, n_g) [1]; with ``sources`` lay_source (n_col, n_lay, n_g), lev_source
        (n_col, n_lay + 1, n_g), sfc_source (n_col, n_g) [W m-2 sr-1] and sfc_jacobian (n_col, n_g) [W m-2 sr-1 K-1];
        and the counts "clipped".

    Raises
    ------
    DomainError, ValueError, TypeError
        As in :func:`fluxes_lw`.

    Notes
    -----
    Pincus, Mlawer & Delamere 2019, doi:10.1029/2019MS001621, section 3.

    Examples
    --------
    >>> from simgraft.radiation import atmosphere_generator, kernel, tables
    >>> table = tables.load_or_synthetic("lw-g128")
    >>> kernel.gas_optics_lw(table, atmosphere_generator.generate(3, seed=1))["tau"].shape
    (3, 60, 128)
    """
    if sources:
        _given(atmosphere, "temperature_surface")
    return _core.radiation_gas_optics_lw(
        kdist.core,
        atmosphere.pressure_layer,
        atmosphere.pressure_level,
        atmosphere.temperature_layer,
        atmosphere.temperature_level,
        atmosphere.temperature_surface,
        _concentrations(kdist, atmosphere.gases),
        clip=_mode(out_of_range),
        num_threads=_threads(num_threads),
        sources=sources,
        surface=sources,
    )


def gas_optics_sw(kdist, atmosphere, *, out_of_range="raise", num_threads=None):
    """Shortwave optical properties of columns. The asymmetry of gases is zero.

    Parameters
    ----------
    kdist : KDistribution
        A shortwave table.
    atmosphere, out_of_range, num_threads
        As in :func:`gas_optics_lw`.

    Returns
    -------
    dict of arrays
        tau (absorption and Rayleigh), ssa, tau_rayleigh (n_col, n_lay, n_g) [1]; and the counts "clipped".

    Raises
    ------
    DomainError, ValueError, TypeError
        As in :func:`fluxes_lw`.

    Examples
    --------
    >>> from simgraft.radiation import atmosphere_generator, kernel, tables
    >>> table = tables.load_or_synthetic("sw-g112")
    >>> kernel.gas_optics_sw(table, atmosphere_generator.generate(3, seed=1))["ssa"].shape
    (3, 60, 112)
    """
    return _core.radiation_gas_optics_sw(
        kdist.core,
        atmosphere.pressure_layer,
        atmosphere.pressure_level,
        atmosphere.temperature_layer,
        _concentrations(kdist, atmosphere.gases),
        clip=_mode(out_of_range),
        num_threads=_threads(num_threads),
        rayleigh=True,
    )


def solve_lw(
    tau,
    lay_source,
    lev_source,
    sfc_source,
    emissivity,
    *,
    top_first=True,
    sfc_jacobian=None,
    down_toa=None,
    n_angles=1,
    diffusivity=None,
    by_g=False,
    num_threads=None,
):
    """Longwave fluxes of optical properties, without scattering.

    Parameters
    ----------
    tau : (n_col, n_lay, n_g) float64 or float32 array [1]
        Absorption optical depth. All arrays have its dtype.
    lay_source : (n_col, n_lay, n_g) array [W m-2 sr-1]
    lev_source : (n_col, n_lay + 1, n_g) array [W m-2 sr-1]
    sfc_source : (n_col, n_g) array [W m-2 sr-1]
        Of a black surface.
    emissivity : (n_col,) array [1]
    top_first : bool
        Whether layer 0 is the top one.
    sfc_jacobian : (n_col, n_g) array [W m-2 sr-1 K-1], optional
        Derivative of sfc_source; gives ``up_jacobian``.
    down_toa : (n_col, n_g) array [W m-2], optional
        Diffuse flux that comes in at the top.
    n_angles, diffusivity, num_threads
        As in :func:`fluxes_lw`.
    by_g : bool
        Whether to give fluxes by g-point too.

    Returns
    -------
    Fluxes

    Raises
    ------
    ValueError, TypeError
        For arrays of other shapes or dtypes.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.radiation import kernel
    >>> black = np.full((1, 2, 1), 100.0)
    >>> kernel.solve_lw(black, 0 * black + 1, np.ones((1, 3, 1)), np.ones((1, 1)), np.ones(1)).up.round(6)
    array([[3.141593, 3.141593, 3.141593]])
    """
    if diffusivity is not None and not diffusivity > 0:
        raise ValueError(f"diffusivity: expected a positive number, got {diffusivity!r}")
    result = _core.radiation_solve_lw(
        tau,
        lay_source,
        lev_source,
        sfc_source,
        emissivity,
        top_first,
        sfc_jacobian=sfc_jacobian,
        down_toa=down_toa,
        n_angles=n_angles,
        diffusivity=diffusivity or 0.0,
        num_threads=_threads(num_threads),
        by_g=by_g,
    )
    return Fluxes(**result)


def solve_sw(
    tau,
    ssa,
    mu0,
    toa_source,
    albedo,
    *,
    asymmetry=None,
    albedo_direct=None,
    top_first=True,
    by_g=False,
    num_threads=None,
):
    """Shortwave fluxes of optical properties: two-stream layers, combined by adding.

    Parameters
    ----------
    tau, ssa : (n_col, n_lay, n_g) float64 or float32 array [1]
        Optical depth and single-scattering albedo. All arrays have the dtype of tau.
    mu0 : (n_col,) array [1]
        Cosine of the solar zenith angle; columns with mu0 <= 0 get zeros.
    toa_source : (n_col, n_g) array [W m-2]
        Solar flux across the beam.
    albedo : (n_col,) array [1]
        Of the surface for diffuse light, and for the beam unless ``albedo_direct`` is given.
    asymmetry : (n_col, n_lay, n_g) array [1], optional
        Default: zero.
    top_first, by_g, num_threads
        As in :func:`solve_lw`.

    Returns
    -------
    Fluxes
        With the direct beam.

    Raises
    ------
    ValueError, TypeError
        For arrays of other shapes or dtypes.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.radiation import kernel
    >>> haze = np.full((1, 3, 1), 0.1)
    >>> flux = kernel.solve_sw(haze, 0 * haze, np.array([0.5]), np.array([[1000.0]]), np.array([0.0]))
    >>> flux.down[0].round(3)
    array([500.   , 409.365, 335.16 , 274.406])
    """
    result = _core.radiation_solve_sw(
        tau,
        ssa,
        asymmetry,
        mu0,
        toa_source,
        albedo if albedo_direct is None else albedo_direct,
        albedo,
        top_first,
        num_threads=_threads(num_threads),
        by_g=by_g,
    )
    return Fluxes(**result)


def heating_rate(pressure_level, fluxes):
    """Heating by the divergence of fluxes.

    Parameters
    ----------
    pressure_level : (n_col, n_lay + 1) float64 or float32 array [Pa]
    fluxes : Fluxes

    Returns
    -------
    (n_col, n_lay) array [K day-1]
        With gravity 9.80665 m s-2 and heat capacity 1004.64 J kg-1 K-1.

    Raises
    ------
    ValueError, TypeError
        For arrays of other shapes or dtypes.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.radiation import kernel
    >>> flux = kernel.Fluxes(up=np.array([[240.0, 390.0]]), down=np.array([[0.0, 200.0]]))
    >>> kernel.heating_rate(np.array([[0.0, 1e5]]), flux).round(3)
    array([[-0.422]])
    """
    return _core.radiation_heating_rate(pressure_level, fluxes.up, fluxes.down) * SECONDS_PER_DAY


# ---------------------------------------------------------------------------------------------------- the kernel view

#: Inputs of the longwave kernel: those of RRTMGP-NN (Ukkonen & Hogan 2023, doi:10.5194/gmd-16-3241-2023), in its order.
LONGWAVE_INPUTS = (
    "temperature pressure h2o o3 co2 ch4 n2o cfc11 cfc12 co ccl4 cfc22 hfc143a hfc125 hfc23 hfc32 hfc134a cf4"
).split()
#: Inputs of the shortwave kernel.
SHORTWAVE_INPUTS = "temperature pressure h2o o3 co2 n2o ch4".split()

#: Mole fractions of the gases that are no inputs; others are absent.
FIXED_GASES = {"o2": 0.209, "n2": 0.781}

# Valid ranges of the concentrations [1], wider than RFMIP's 18 experiments at 100 sites
_GAS_RANGE = {
    "h2o": (1e-7, 0.08, "log"),
    "o3": (1e-9, 3e-5, "log"),
    "co2": (1e-4, 4e-3, "linear"),
    "ch4": (0.0, 6e-6, "linear"),
    "n2o": (0.0, 1e-6, "linear"),
    "co": (0.0, 1e-6, "linear"),
}
_HALOCARBON_RANGE = (0.0, 2e-9, "linear")
_ABSORPTION = {"absorption": ("cm2 molecule-1", "absorption cross-section per molecule of dry air")}


class _Optics:
    """Optics of single cells as a function of named inputs: the function of a :class:`simgraft.Kernel`."""

    shortwave = None
    input_names = None
    output_facts = None  # name -> (unit, text)

    def __init__(self, kdist, *, fixed_gases=None):
        if kdist.shortwave != self.shortwave:
            kind = "shortwave" if self.shortwave else "longwave"
            raise ValueError(f"kdist: expected a {kind} table, got {kdist!r}")
        self.kdist = kdist
        self.fixed_gases = dict(FIXED_GASES if fixed_gases is None else fixed_gases)

    def __call__(self, inputs):
        """Outputs for a dict of (n,) float64 arrays, one per input."""
        gases = [
            inputs[gas] if gas in self.input_names else float(self.fixed_gases.get(gas, 0.0))
            for gas in self.kdist.gases
        ]
        result = _core.radiation_cross_sections(self.kdist.core, inputs["temperature"], inputs["pressure"], gases)
        return {name: result[name] for name in self.output_names}

    def inputs(self):
        """Name -> :class:`simgraft.Var` of every input."""
        variables = {
            "temperature": Var("K", *self.kdist.temperature_range, doc="layer temperature"),
            "pressure": Var("Pa", *self.kdist.pressure_range, scale="log", doc="layer pressure"),
        }
        for gas in self.input_names[2:]:
            low, high, scale = _GAS_RANGE.get(gas, _HALOCARBON_RANGE)
            variables[gas] = Var("1", low, high, scale=scale, doc=f"mole fraction of {gas} relative to dry air")
        return variables

    @property
    def output_names(self):
        """Names of the outputs, in order."""
        return tuple(self.output_facts)

    def outputs(self):
        """Name -> :class:`simgraft.Var` of every output."""
        return {name: Var(unit, shape=self.kdist.n_g, doc=doc) for name, (unit, doc) in self.output_facts.items()}

    @property
    def kernel(self):
        """The optics as a :class:`simgraft.Kernel`: sample it, train a surrogate on the samples, put that in a slot."""
        wave = "sw" if self.shortwave else "lw"
        return Kernel(
            self,
            inputs=self.inputs(),
            outputs=self.outputs(),
            name=f"radiation_optics_{wave}",
            version="1",
            parameters={"table": self.kdist.name, "fixed_gases": self.fixed_gases},
        )


class LongwaveOptics(_Optics):
    """Longwave gas optics of single cells, per molecule of dry air.

    Parameters
    ----------
    kdist : KDistribution
        A longwave table.
    fixed_gases : dict of str to float, optional
        Mole fractions of the gases that are no inputs [1]; default :data:`FIXED_GASES`.

    Attributes
    ----------
    kernel : simgraft.Kernel
        18 inputs (temperature, pressure, 16 gases); outputs ``absorption`` (n_g) [cm2 molecule-1], which times the
        column of dry air [molecule cm-2] is the optical depth, and ``planck_fraction`` (n_g) [1].

    Examples
    --------
    >>> from simgraft.radiation import synthetic, tables
    >>> from simgraft.radiation.kernel import LongwaveOptics
    >>> kernel = LongwaveOptics(tables.from_variables(synthetic.longwave())).kernel
    >>> kernel.n_in, kernel.n_out
    (18, 256)
    """

    shortwave = False
    input_names = tuple(LONGWAVE_INPUTS)
    output_facts = _ABSORPTION | {"planck_fraction": ("1", "share of each g-point in its band's Planck function")}


class ShortwaveOptics(_Optics):
    """Shortwave gas optics of single cells, per molecule of dry air.

    Parameters
    ----------
    kdist : KDistribution
        A shortwave table.
    fixed_gases : dict of str to float, optional
        As for :class:`LongwaveOptics`.

    Attributes
    ----------
    kernel : simgraft.Kernel
        7 inputs (temperature, pressure, 5 gases); outputs ``absorption`` and ``rayleigh`` (n_g) [cm2 molecule-1],
        cross-sections per molecule of dry air.

    Examples
    --------
    >>> from simgraft.radiation import synthetic, tables
    >>> from simgraft.radiation.kernel import ShortwaveOptics
    >>> kernel = ShortwaveOptics(tables.from_variables(synthetic.shortwave())).kernel
    >>> kernel.n_in, kernel.n_out
    (7, 224)
    """

    shortwave = True
    input_names = tuple(SHORTWAVE_INPUTS)
    output_facts = _ABSORPTION | {"rayleigh": ("cm2 molecule-1", "Rayleigh cross-section per molecule of dry air")}
