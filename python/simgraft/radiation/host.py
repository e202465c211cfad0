"""The host in which radiation runs: columns in radiative-convective equilibrium.

A column is stepped until radiation and convection balance (Manabe & Strickler 1964; with fixed relative humidity Manabe &
Wetherald 1967). The fluxes come through a slot, so that the same columns can be run with the tables, with a network or with
anybody's radiation, and their equilibria compared.
"""

from dataclasses import dataclass, field

import numpy as np

from simgraft import _core
from simgraft.radiation import kernel
from simgraft.radiation.atmosphere import Atmosphere

__all__ = [
    "ColumnState", "Equilibrium", "EquilibriumColumn", "EquilibriumHost", "Radiation", "Run", "cell_optics",
    "manabe_wetherald_humidity",
]  # fmt: skip

CONVECTION = {"none": 0, "lapse": 1, "moist": 2}
SECONDS_PER_DAY = 86400.0
GRAVITY, HEAT_CAPACITY = 9.80665, 1004.64  # m s-2, J kg-1 K-1


def manabe_wetherald_humidity(pressure_layer, pressure_surface, surface_humidity=0.77):
    """The relative humidity profile of Manabe & Wetherald 1967, their equation 2.

    Parameters
    ----------
    pressure_layer : (..., n_lay) float64 array [Pa]
    pressure_surface : float or (..., 1) float64 array [Pa]
    surface_humidity : float [1]
        Relative humidity at the surface, 0 to 1.

    Returns
    -------
    (..., n_lay) float64 array [1]
        Linear in pressure, zero above 2 % of the surface pressure.

    Examples
    --------
    >>> manabe_wetherald_humidity(np.array([1e3, 51e3, 1e5]), 1e5).round(3)
    array([0.   , 0.385, 0.77 ])
    """
    sigma = np.asarray(pressure_layer, float) / pressure_surface
    return np.clip(surface_humidity * (sigma - 0.02) / (1 - 0.02), 0.0, 1.0)


@dataclass(frozen=True)
class ColumnState:
    """What a Python slot is given: the columns whose fluxes are wanted, top layer first."""

    column: np.ndarray  #: (n_col,) int64, numbers of the columns in the host
    pressure_layer: np.ndarray  #: (n_col, n_lay) [Pa]
    pressure_level: np.ndarray  #: (n_col, n_lay + 1) [Pa]
    temperature_layer: np.ndarray  #: (n_col, n_lay) [K]
    temperature_level: np.ndarray  #: (n_col, n_lay + 1) [K]
    temperature_surface: np.ndarray  #: (n_col,) [K]
    gases: dict  #: name -> (n_col, n_lay) [1], mole fraction relative to dry air, h2o among them
    emissivity: np.ndarray  #: (n_col,) [1]
    albedo: np.ndarray  #: (n_col,) [1]
    mu0: np.ndarray  #: (n_col,) [1], cosine of the solar zenith angle
    total_solar_irradiance: np.ndarray  #: (n_col,) [W m-2], across the beam


@dataclass
class Equilibrium:
    """Columns at the end of a run, top layer first."""

    pressure_layer: np.ndarray  #: (n_col, n_lay) [Pa]
    pressure_level: np.ndarray  #: (n_col, n_lay + 1) [Pa]
    temperature_layer: np.ndarray  #: (n_col, n_lay) [K]
    temperature_surface: np.ndarray  #: (n_col,) [K]
    h2o: np.ndarray  #: (n_col, n_lay) [1], mole fraction relative to dry air
    lw_up: np.ndarray  #: (n_col, n_lay + 1) [W m-2]
    lw_down: np.ndarray  #: (n_col, n_lay + 1) [W m-2]
    sw_up: np.ndarray  #: (n_col, n_lay + 1) [W m-2], mean over day and night
    sw_down: np.ndarray  #: (n_col, n_lay + 1) [W m-2], mean over day and night
    imbalance: np.ndarray  #: (n_col,) [W m-2], net downward flux at the top
    rate: np.ndarray  #: (n_col,) [K day-1], largest change of a temperature
    time: np.ndarray  #: (n_col,) [s], sum of the steps; physical time without acceleration
    steps: np.ndarray  #: (n_col,) flux evaluations
    converged: np.ndarray  #: (n_col,) bool
    limited: np.ndarray  #: (n_col,) bool, a temperature stands at the end of temperature_range: no equilibrium inside it
    history: dict = field(repr=False)  #: "imbalance", "temperature_surface", "rate": (n_steps, n_col), NaN at rest

    def _heating(self, up, down):
        net = down - up
        return -SECONDS_PER_DAY * GRAVITY / HEAT_CAPACITY * np.diff(net, axis=1) / np.diff(self.pressure_level, axis=1)

    @property
    def lw_heating(self):
        """(n_col, n_lay) float64 array [K day-1]: longwave heating rate."""
        return self._heating(self.lw_up, self.lw_down)

    @property
    def sw_heating(self):
        """(n_col, n_lay) float64 array [K day-1]: shortwave heating rate."""
        return self._heating(self.sw_up, self.sw_down)


def cell_optics(slot, kdist):
    """A function with the signature of the optics kernel, as the ``optics`` of :func:`simgraft.radiation.kernel.fluxes_lw` and
    :func:`~simgraft.radiation.kernel.fluxes_sw`.

    Parameters
    ----------
    slot : callable
        The kernel of :class:`~simgraft.radiation.kernel.LongwaveOptics` or ``ShortwaveOptics``, a surrogate of it, or any function
        that takes their dict of (n,) float64 arrays and returns cross-sections per molecule of dry air.
    kdist : KDistribution
        The table whose bands the optics belong to.

    Returns
    -------
    callable
        ``optics(temperature, pressure, col_dry, vmr) -> (tau, second)``.

    Examples
    --------
    >>> from simgraft.radiation import kernel, synthetic, tables
    >>> lw = tables.from_variables(synthetic.longwave())
    >>> optics = cell_optics(kernel.LongwaveOptics(lw), lw)
    >>> tau, fraction = optics(np.array([280.0]), np.array([9e4]), np.array([2e23]), np.full((len(lw.gases), 1), 4e-4))
    >>> tau.shape, round(float(fraction[0, lw.band_limits_g[0, 0]:lw.band_limits_g[0, 1]].sum()), 12)
    ((1, 128), 1.0)
    """
    names = kernel.SHORTWAVE_INPUTS if kdist.shortwave else kernel.LONGWAVE_INPUTS
    row = {gas: i for i, gas in enumerate(kdist.gases)}

    def optics(temperature, pressure, col_dry, vmr):
        inputs = {"temperature": temperature.astype(np.float64), "pressure": pressure.astype(np.float64)}
        for gas in names[2:]:
            inputs[gas] = vmr[row[gas]].astype(np.float64) if gas in row else np.zeros(len(pressure))
        out = slot(inputs)
        column = col_dry[:, None]
        second = out["rayleigh"] * column if kdist.shortwave else out["planck_fraction"]
        return (out["absorption"] * column).astype(vmr.dtype, copy=False), np.asarray(second).astype(vmr.dtype, copy=False)

    return optics


def _slot_of(optics):
    """Networks as the slot of the core where they can be, anything else as it is."""
    return optics.for_slot() if hasattr(optics, "for_slot") else optics


def _runs_in_core(slot):
    return slot is None or isinstance(slot, _core.NetworkSlot)


class Radiation:
    """This package's radiation as a slot: optics from tables, or from what replaces them, and the solvers.

    Parameters
    ----------
    longwave, shortwave : KDistribution
        From :mod:`simgraft.radiation.tables`. Gases of the tables that the columns do not have count as absent.
    longwave_optics, shortwave_optics : callable, optional
        In place of the table kernel, with its signature: see :func:`cell_optics`. With neither, or with
        :class:`~simgraft.radiation.networks.NetworkOptics` or what its ``for_slot`` gives, everything runs in the core.
    diffusivity : float, optional [1]
        Secant of the one longwave angle. Default: that of Gauss-Jacobi quadrature, 1.64.
    num_threads : int, optional
        Default: ``OMP_NUM_THREADS`` or all CPUs.

    Examples
    --------
    >>> from simgraft.radiation import synthetic, tables
    >>> lw = tables.from_variables(synthetic.longwave())
    >>> sw = tables.from_variables(synthetic.shortwave())
    >>> level = np.linspace(100.0, 1e5, 41)
    >>> column = EquilibriumColumn(level, {"co2": 400e-6, "o3": 5e-8})
    >>> bool(280 < column.run(Radiation(lw, sw)).temperature_surface[0] < 310)
    True
    """

    def __init__(
        self, longwave, shortwave, *, longwave_optics=None, shortwave_optics=None, diffusivity=None, num_threads=None
    ):
        self.longwave = longwave
        self.shortwave = shortwave
        self.longwave_optics = longwave_optics
        self.shortwave_optics = shortwave_optics
        self.diffusivity = diffusivity
        self.num_threads = num_threads

    def bind_columns(self, run):
        """The slot for the columns of a :class:`Run`, in the core's terms."""
        for name, shortwave in (("longwave", False), ("shortwave", True)):
            if getattr(self, name).shortwave != shortwave:
                raise ValueError(f"{name}: expected a {name} table, got {getattr(self, name)!r}")
        optics = {"longwave_optics": _slot_of(self.longwave_optics), "shortwave_optics": _slot_of(self.shortwave_optics)}
        if not all(_runs_in_core(slot) for slot in optics.values()):
            return run.python_slot(self)

        def gases(kdist):
            return [None if gas == "h2o" else run.gases.get(gas) for gas in kdist.gases]

        return _core.ColumnRadiation(
            longwave=self.longwave.core,
            shortwave=self.shortwave.core,
            n_layer=run.pressure_layer.shape[1],
            longwave_gases=gases(self.longwave),
            shortwave_gases=gases(self.shortwave),
            diffusivity=float(self.diffusivity or 0.0),
            num_threads=int(self.num_threads or 0),
            **optics,
            **run.surface,
        )

    def __call__(self, state):
        """Fluxes (lw_up, lw_down, sw_up, sw_down) [W m-2] of a :class:`ColumnState`."""
        fields = vars(state) | {"gases": None}
        fields.pop("column")

        def air(kdist):
            return Atmosphere(**(fields | {"gases": {gas: state.gases.get(gas, 0.0) for gas in kdist.gases}}))

        def optics(slot, kdist):
            core = _slot_of(slot)
            return core if _runs_in_core(core) else cell_optics(slot, kdist)

        lw = kernel.fluxes_lw(
            self.longwave,
            air(self.longwave),
            diffusivity=self.diffusivity,
            optics=optics(self.longwave_optics, self.longwave),
            num_threads=self.num_threads,
        )
        sw = kernel.fluxes_sw(
            self.shortwave,
            air(self.shortwave),
            optics=optics(self.shortwave_optics, self.shortwave),
            num_threads=self.num_threads,
        )
        return lw.up, lw.down, sw.up, sw.down


class EquilibriumColumn:
    """Columns that run to radiative-convective equilibrium with whatever radiation sits in the slot.

    Parameters
    ----------
    pressure_level : (n_lay + 1,) or (n_col, n_lay + 1) float64 array [Pa]
        From the top downwards. All other arguments are broadcast to its columns (or it to theirs).
    gases : dict of str to float, (n_lay,) or (n_col, n_lay) array [1]
        Mole fractions relative to dry air, held fixed. With ``relative_humidity`` given, h2o is not among them.
    pressure_layer : like pressure_level with n_lay, optional [Pa]
        Default: the mean of the levels.
    relative_humidity : (n_lay,) or (n_col, n_lay) array, or None [1]
        Held fixed while h2o follows temperature. Default: :func:`manabe_wetherald_humidity`. None: h2o of ``gases`` is fixed.
    h2o_floor : float [1]
        Least water vapour with fixed relative humidity, that of the stratosphere.
    convection : {"lapse", "moist", "none"}
        Adjustment to ``lapse_rate``, to the saturated pseudo-adiabat, or none at all.
    lapse_rate : float [K m-1]
        Critical lapse rate; 9.8e-3 is dry convection.
    surface_heat_capacity : float [J m-2 K-1]
        Of the slab below; 0 keeps the surface temperature. The equilibrium does not depend on a positive value.
    emissivity, albedo : float or (n_col,) array [1]
        Of the surface.
    total_solar_irradiance : float or (n_col,) array [W m-2]
    mu0 : float or (n_col,) array [1]
        Cosine of the solar zenith angle in daylight.
    day_fraction : float or (n_col,) array [1]
        Share of daylight. Defaults give a quarter of the irradiance.
    step : float [s]
        Time step; with acceleration one or two days suit, without it half a day or less is stable.
    memory : int
        Depth of Anderson acceleration, 0 to 16; 0 runs in physical time.
    flux_tolerance : float [W m-2]
        A column is in equilibrium when the net flux at the top is below this (not asked of a fixed surface)
    rate_tolerance : float [K day-1]
        and no temperature changes faster than this.
    max_steps : int
        Flux evaluations of one run at most.
    temperature_range : (float, float) [K]
        The state is kept inside, as radiation tables end there. A column held back for 100 steps (a runaway greenhouse, or a
        tropopause colder than the tables) is given up as it is: ``limited``, not ``converged``.

    Notes
    -----
    Convection mixes sensible heat at once and conserves energy to round-off (Akmaev 1991). Layers have the heat capacity of
    dry air. One step needs the fluxes of all columns that are not yet in equilibrium.

    Examples
    --------
    A grey atmosphere (no scattering, absorption by pressure alone) as a slot:

    >>> def grey(state):
    ...     depth = 1.2 * np.diff(state.pressure_level) / 1e5
    ...     black = 5.670374e-8 * state.temperature_layer**4
    ...     down = np.zeros_like(state.pressure_level)
    ...     up = np.zeros_like(down)
    ...     for i in range(depth.shape[1]):
    ...         t = np.exp(-1.66 * depth[:, i])
    ...         down[:, i + 1] = down[:, i] * t + black[:, i] * (1 - t)
    ...     up[:, -1] = 5.670374e-8 * state.temperature_surface**4
    ...     for i in reversed(range(depth.shape[1])):
    ...         t = np.exp(-1.66 * depth[:, i])
    ...         up[:, i] = up[:, i + 1] * t + black[:, i] * (1 - t)
    ...     sun = np.full_like(up, 1.0) * (state.total_solar_irradiance * state.mu0)[:, None]
    ...     return up, down, 0.3 * sun, sun
    >>> column = EquilibriumColumn(np.linspace(1e3, 1e5, 21), gases={})
    >>> state = column.run(grey)
    >>> bool(state.converged.all()), bool(abs(state.imbalance[0]) < 1e-3)
    (True, True)
    """

    def __init__(
        self,
        pressure_level,
        gases,
        *,
        pressure_layer=None,
        relative_humidity="manabe-wetherald",
        h2o_floor=5e-6,
        convection="lapse",
        lapse_rate=6.5e-3,
        surface_heat_capacity=4.2e6,
        emissivity=1.0,
        albedo=0.2,
        total_solar_irradiance=1361.0,
        mu0=0.5,
        day_fraction=0.5,
        step=2 * SECONDS_PER_DAY,
        memory=12,
        flux_tolerance=1e-3,
        rate_tolerance=1e-3,
        max_steps=1000,
        temperature_range=(160.0, 355.0),
    ):
        self.pressure_level = pressure_level
        self.gases = gases
        self.pressure_layer = pressure_layer
        self.relative_humidity = relative_humidity
        self.h2o_floor = h2o_floor
        self.convection = convection
        self.lapse_rate = lapse_rate
        self.surface_heat_capacity = surface_heat_capacity
        self.emissivity = emissivity
        self.albedo = albedo
        self.total_solar_irradiance = total_solar_irradiance
        self.mu0 = mu0
        self.day_fraction = day_fraction
        self.step = step
        self.memory = memory
        self.flux_tolerance = flux_tolerance
        self.rate_tolerance = rate_tolerance
        self.max_steps = max_steps
        self.temperature_range = temperature_range

    def run(self, slot, *, temperature_layer=None, temperature_surface=None, progress=None):
        """Run to equilibrium, or for ``max_steps`` steps.

        Parameters
        ----------
        slot : Radiation or callable
            The radiation. A callable is given a :class:`ColumnState` and returns (lw_up, lw_down, sw_up, sw_down), each a
            (n_col, n_lay + 1) float64 array [W m-2] for daylight at ``mu0``; the host takes the mean over day and night.
        temperature_layer : (n_lay,) or (n_col, n_lay) array, optional [K]
            Start. Default: 6.5 K/km from the surface up to 210 K.
        temperature_surface : float or (n_col,) array, optional [K]
            Start, or the fixed temperature. Default: 288 K.
        progress : callable, optional
            Called with (steps done, steps at most) about every 50 ms; an exception it raises ends the run.

        Returns
        -------
        Equilibrium
            Look at ``converged``: a column that needed more steps is returned as it is.

        Raises
        ------
        ValueError
            If an argument does not fit; the message names it.
        DivergedError
            If the slot returns a flux that is not finite.
        """
        return self.start(temperature_layer=temperature_layer, temperature_surface=temperature_surface).run(
            slot, self.max_steps, progress=progress
        )

    def start(self, *, temperature_layer=None, temperature_surface=None):
        """Columns ready to be run in pieces: a :class:`Run`. Arguments as in :meth:`run`."""
        return Run(self, temperature_layer, temperature_surface)


class EquilibriumHost:
    """The columns as a host for trials: what sits in the slot computes the optics of one spectral half.

    Parameters
    ----------
    column : EquilibriumColumn
    longwave, shortwave : KDistribution
    replaces : {"longwave", "shortwave"}
        Which optics the slot computes; the table kernel computes the other.

    Examples
    --------
    >>> from simgraft.radiation import kernel, synthetic, tables
    >>> lw = tables.from_variables(synthetic.longwave())
    >>> sw = tables.from_variables(synthetic.shortwave())
    >>> column = EquilibriumColumn(np.linspace(100.0, 1e5, 31), {"co2": 400e-6, "o3": 5e-8})
    >>> host = EquilibriumHost(column, lw, sw)
    >>> inside = host(kernel.LongwaveOptics(lw, fixed_gases={}).kernel)
    >>> core = column.run(Radiation(lw, sw))
    >>> bool(np.abs(inside["temperature_layer"] - core.temperature_layer).max() < 2e-3)
    True
    """

    def __init__(self, column, longwave, shortwave, *, replaces="longwave"):
        self.column = column
        self.longwave = longwave
        self.shortwave = shortwave
        self.replaces = replaces

    def __call__(self, slot):
        """Run to equilibrium with ``slot``, a function with the signature of the optics kernel (see :func:`cell_optics`).

        Returns
        -------
        dict of arrays
            temperature_surface (n_col,) and temperature_layer (n_col, n_lay) [K], h2o (n_col, n_lay) [1], lw_up, lw_down, sw_up,
            sw_down (n_col, n_lay + 1) [W m-2], pressure_layer (n_col, n_lay) [Pa], converged (n_col,).
        """
        if self.replaces not in ("longwave", "shortwave"):
            raise ValueError(f"replaces: expected longwave or shortwave, got {self.replaces!r}")
        radiation = Radiation(self.longwave, self.shortwave, **{f"{self.replaces}_optics": slot})
        state = self.column.run(radiation)
        names = "temperature_surface temperature_layer h2o lw_up lw_down sw_up sw_down pressure_layer converged".split()
        return {name: getattr(state, name) for name in names}


class Run:
    """Columns between steps, made by :meth:`EquilibriumColumn.start`.

    ``run(slot, n)`` twice gives the same bits as ``run(slot, 2 * n)``; the slot may change in between. A run that was
    interrupted keeps the state of the last whole step.
    """

    def __init__(self, host, temperature_layer, temperature_surface):
        self.host = host
        level = np.atleast_2d(np.asarray(host.pressure_level, float))
        if level.ndim != 2 or level.shape[1] < 3:
            raise ValueError(f"pressure_level: expected shape (n_lay + 1,) or (n_col, n_lay + 1), got {np.shape(host.pressure_level)}")
        n_lay = level.shape[1] - 1
        surface = ("emissivity", "albedo", "total_solar_irradiance", "mu0", "day_fraction")
        scalars = {name: np.asarray(getattr(host, name), float) for name in surface}
        scalars["temperature_surface"] = np.asarray(288.0 if temperature_surface is None else temperature_surface, float)
        layers = {f"gases[{name!r}]": np.asarray(value, float) for name, value in host.gases.items()}
        if host.pressure_layer is not None:
            layers["pressure_layer"] = np.asarray(host.pressure_layer, float)
        if temperature_layer is not None:
            layers["temperature_layer"] = np.asarray(temperature_layer, float)
        humidity = host.relative_humidity
        if humidity is not None and not isinstance(humidity, str):
            layers["relative_humidity"] = np.asarray(humidity, float)
        counts = [level.shape[0]] + [a.shape[0] for a in scalars.values() if a.ndim == 1]
        counts += [a.shape[0] for a in layers.values() if a.ndim == 2]
        n_col = max(counts)

        def fit(name, a, shape):
            try:
                return np.array(np.broadcast_to(a, shape), order="C")
            except ValueError:
                raise ValueError(f"{name}: expected shape {shape} or one that broadcasts to it, got {a.shape}") from None

        self.pressure_level = fit("pressure_level", level, (n_col, n_lay + 1))
        self.surface = {name: fit(name, a, (n_col,)) for name, a in scalars.items()}
        layers = {name: fit(name, a, (n_col, n_lay)) for name, a in layers.items()}
        self.pressure_layer = layers.get("pressure_layer", 0.5 * (self.pressure_level[:, 1:] + self.pressure_level[:, :-1]))
        self.gases = {name: layers[f"gases[{name!r}]"] for name in host.gases}
        for name in ("emissivity", "albedo", "mu0", "day_fraction"):
            value = self.surface[name]
            if not ((value >= 0) & (value <= 1)).all():
                raise ValueError(f"{name}: expected 0 to 1, got {value[~((value >= 0) & (value <= 1))][0]:g}")

        bottom = self.pressure_level[:, -1:]
        if isinstance(humidity, str):
            if humidity != "manabe-wetherald":
                raise ValueError(f"relative_humidity: expected an array, None or 'manabe-wetherald', got {humidity!r}")
            layers["relative_humidity"] = manabe_wetherald_humidity(self.pressure_layer, bottom)
        if humidity is not None and "h2o" in self.gases:
            raise ValueError("gases: h2o follows relative_humidity; leave it out, or pass relative_humidity=None to hold it")
        if humidity is None and "h2o" not in self.gases:
            raise ValueError("gases: h2o is missing; pass it, or a relative_humidity")
        if host.convection not in CONVECTION:
            raise ValueError(f"convection: expected one of {', '.join(CONVECTION)}, got {host.convection!r}")
        t_sfc = self.surface.pop("temperature_surface")
        t_min, t_max = host.temperature_range
        if "temperature_layer" not in layers:
            power = 287.058 * 6.5e-3 / GRAVITY
            layers["temperature_layer"] = np.maximum(t_sfc[:, None] * (self.pressure_layer / bottom) ** power, 210.0)
        self._core = _core.ColumnHost(
            pressure_layer=self.pressure_layer,
            pressure_level=self.pressure_level,
            temperature_layer=layers["temperature_layer"],
            temperature_surface=t_sfc,
            h2o=self.gases["h2o"] if humidity is None else None,
            relative_humidity=layers.get("relative_humidity"),
            h2o_floor=float(host.h2o_floor),
            convection=CONVECTION[host.convection],
            lapse_rate=float(host.lapse_rate),
            surface_heat_capacity=float(host.surface_heat_capacity),
            step=float(host.step),
            memory=int(host.memory),
            flux_tolerance=float(host.flux_tolerance),
            rate_tolerance=float(host.rate_tolerance),
            t_min=float(t_min),
            t_max=float(t_max),
        )
        self._history = []

    def python_slot(self, slot):
        """The core's calling convention around a callable that takes a ColumnState."""

        def call(column, p_lay, p_lev, t_lay, t_lev, t_sfc, h2o):
            gases = {name: value[column] for name, value in self.gases.items()}
            gases["h2o"] = h2o
            here = {name: value[column] for name, value in self.surface.items()}
            share = here.pop("day_fraction")[:, None]
            lw_up, lw_down, sw_up, sw_down = slot(ColumnState(column, p_lay, p_lev, t_lay, t_lev, t_sfc, gases, **here))
            return lw_up, lw_down, share * sw_up, share * sw_down

        return call

    def run(self, slot, n_steps, *, progress=None):
        """At most ``n_steps`` further steps; arguments and errors as in :meth:`EquilibriumColumn.run`.

        Returns
        -------
        Equilibrium
            With the history of all pieces so far.
        """
        if hasattr(slot, "bind_columns"):
            slot = slot.bind_columns(self)
        elif callable(slot):
            slot = self.python_slot(slot)
        else:
            raise TypeError(f"slot: expected a Radiation or a callable, got {type(slot).__name__}")
        self._history.append(self._core.run(slot, n_steps, progress))
        history = np.concatenate(self._history)
        names = ("imbalance", "temperature_surface", "rate")
        core = self._core
        fields = (
            "temperature_layer temperature_surface h2o lw_up lw_down sw_up sw_down imbalance rate time steps converged limited".split()
        )
        return Equilibrium(
            pressure_layer=self.pressure_layer,
            pressure_level=self.pressure_level,
            history={name: history[:, :, i] for i, name in enumerate(names)},
            **{name: getattr(core, name) for name in fields},
        )
