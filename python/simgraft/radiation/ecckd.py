"""Gas optics of ecCKD definition files, the k-distributions of ECMWF's radiation scheme ecRad.

The files (netCDF) hold molar absorption coefficients of each gas and g-point over temperature, pressure and, for water vapour,
mole fraction. They are found at https://confluence.ecmwf.int/display/ECRAD and come with ecRad.
Hogan & Matricardi 2022, doi:10.1029/2022MS003033.
"""

from pathlib import Path

import numpy as np

from simgraft import _core
from simgraft.radiation import kernel
from simgraft.radiation.tables import _check_classic_size

__all__ = ["DIFFUSIVITY", "EcCKD", "fluxes_lw", "fluxes_sw", "load"]

#: Secant of the longwave angle with which the coefficients were fitted
DIFFUSIVITY = 1.66

_NONE, _LINEAR, _LOOK_UP, _RELATIVE = range(4)  # codes of the files


class EcCKD:
    """An ecCKD definition ready for use. Immutable; made by :func:`load`.

    Attributes
    ----------
    name : str
        Path of the file.
    gases : tuple of str
        Gases whose concentrations matter, in the order of the file.
    composite : tuple of str
        Gases at fixed concentrations that one set of coefficients stands for.
    shortwave : bool
    n_g : int
    solar_irradiance : (n_g,) float64 array [W m-2], or None in a longwave definition
    pressure_range : (float, float) [Pa]
    """

    def __init__(self, core, name, gases, composite, solar_irradiance, pressure_range):
        self.core = core
        self.name = name
        self._order = tuple(gases)
        self.gases = tuple(gas for gas in gases if gas != "composite")
        self.composite = tuple(composite)
        self.solar_irradiance = solar_irradiance
        self.pressure_range = pressure_range

    shortwave = property(lambda self: self.core.shortwave)
    n_g = property(lambda self: self.core.n_g)

    def __repr__(self):
        kind = "shortwave" if self.shortwave else "longwave"
        return f"EcCKD({self.name!r}, {kind}, {self.n_g} g-points, {', '.join(self.gases)})"

    def optics(self, atmosphere, *, out_of_range="raise", num_threads=None):
        """Optical properties of columns.

        Parameters
        ----------
        atmosphere : Atmosphere
            Columns with the gases of the definition; others it may have do not count. The precision is that of its arrays.
            Longwave: with level and surface temperatures.
        out_of_range : {"raise", "clip"}
            The model holds coefficients constant beyond its table of temperature and pressure; that is an error, or wanted and
            counted.
        num_threads : int, optional
            Default: ``OMP_NUM_THREADS`` or all CPUs.

        Returns
        -------
        dict of arrays
            Longwave: tau, lay_source (n_col, n_lay, n_g), lev_source (n_col, n_lay + 1, n_g), sfc_source (n_col, n_g)
            [1], [W m-2 sr-1]. Shortwave: tau (absorption and Rayleigh), ssa, tau_rayleigh (n_col, n_lay, n_g) [1]. And the counts
            "clipped".

        Raises
        ------
        DomainError
            Out of range; names the variable, column, layer and limit.
        ValueError, TypeError
            For arrays of other shapes or dtypes and missing gases.
        """
        gases = atmosphere.gases or {}
        missing = [gas for gas in self.gases if gas not in gases]
        if missing:
            raise ValueError(f"gases: {', '.join(missing)} missing; give 0.0 for none")
        if not self.shortwave and (atmosphere.temperature_level is None or atmosphere.temperature_surface is None):
            raise ValueError("atmosphere: expected level and surface temperatures, which the longwave needs")
        if out_of_range not in ("raise", "clip"):
            raise ValueError(f'out_of_range: expected "raise" or "clip", got {out_of_range!r}')
        return self.core.optics(
            pressure_layer=atmosphere.pressure_layer,
            pressure_level=atmosphere.pressure_level,
            temperature_layer=atmosphere.temperature_layer,
            temperature_level=atmosphere.temperature_level,
            temperature_surface=atmosphere.temperature_surface,
            gases=[None if gas == "composite" else gases[gas] for gas in self._order],
            h2o=self._order.index("h2o"),
            clip=out_of_range == "clip",
            num_threads=int(num_threads or 0),
        )


def load(path):
    """Read a definition file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    EcCKD

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    simgraft.FileFormatError
        If it is truncated or not an ecCKD definition; the message names file and variable.

    Examples
    --------
    >>> load("ecckd-1.0_lw_climate_fsck-32b_ckd-definition.nc")                           # doctest: +SKIP
    EcCKD('ecckd-1.0_lw_climate_fsck-32b_ckd-definition.nc', longwave, 32 g-points, h2o, o3, co2, ch4, n2o, cfc11, cfc12)
    """
    import netCDF4

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with netCDF4.Dataset(path) as file:
            if file.data_model.startswith("NETCDF3"):
                _check_classic_size(path, file)
            return _from_file(file, str(path))
    except _core.FileFormatError:
        raise
    except (KeyError, AttributeError) as error:
        raise _core.FileFormatError(f"{path}: {error.args[0]} is missing; not an ecCKD definition") from error
    except (OSError, RuntimeError, ValueError, TypeError, IndexError, UnicodeDecodeError) as error:
        raise _core.FileFormatError(f"{path}: not an ecCKD definition: {error}") from error


def _from_file(file, name):
    file.set_auto_maskandscale(False)

    def read(variable):
        if variable not in file.variables:
            raise KeyError(f"variable {variable}")
        return np.array(file[variable][...], np.float64, order="C")

    names = file.constituent_id.split()
    composite = getattr(file, "composite_constituent_id", "").split()
    if "h2o" not in names:
        raise KeyError("gas h2o")
    gases = []
    for gas in names:
        code = int(read(f"{gas}_conc_dependence_code"))
        absorption = read(f"{gas}_molar_absorption_coeff")
        gases.append(
            (
                gas,
                code,
                read(f"{gas}_mole_fraction") if code == _LOOK_UP else None,
                float(read(f"{gas}_reference_mole_fraction")) if code == _RELATIVE else 0.0,
                absorption if code == _LOOK_UP else absorption[None],
            )
        )
    pressure = read("pressure")
    longwave = "planck_function" in file.variables
    core = _core.EcCKD(
        pressure=pressure,
        temperature=read("temperature"),
        gases=gases,
        planck_temperature=read("temperature_planck") if longwave else None,
        planck=read("planck_function") if longwave else None,
        rayleigh=None if longwave else read("rayleigh_molar_scattering_coeff"),
    )
    solar = None if longwave else read("solar_irradiance")
    if solar is not None and solar.shape != (core.n_g,):
        raise ValueError(f"solar_irradiance: expected shape ({core.n_g},), got {solar.shape}")
    return EcCKD(core, name, names, composite, solar, (float(pressure[0]), float(pressure[-1])))


def fluxes_lw(ecckd, atmosphere, *, diffusivity=DIFFUSIVITY, out_of_range="raise", num_threads=None):
    """Clear-sky longwave fluxes with ecCKD optics.

    Parameters
    ----------
    ecckd : EcCKD
        A longwave definition.
    atmosphere : Atmosphere
        As in :func:`simgraft.radiation.kernel.fluxes_lw`.
    diffusivity : float [1]
        Secant of the longwave angle.
    out_of_range, num_threads
        As in :meth:`EcCKD.optics`.

    Returns
    -------
    Fluxes

    Raises
    ------
    DomainError, ValueError, TypeError
        As in :meth:`EcCKD.optics`.
    """
    if ecckd.shortwave:
        raise ValueError(f"ecckd: expected a longwave definition, got {ecckd!r}")
    if atmosphere.emissivity is None:
        raise ValueError("atmosphere.emissivity: is needed here, got None")
    optics = ecckd.optics(atmosphere, out_of_range=out_of_range, num_threads=num_threads)
    return kernel.solve_lw(
        optics["tau"],
        optics["lay_source"],
        optics["lev_source"],
        optics["sfc_source"],
        atmosphere.emissivity,
        top_first=_top_first(atmosphere),
        diffusivity=diffusivity,
        num_threads=num_threads,
    )


def fluxes_sw(ecckd, atmosphere, *, out_of_range="raise", num_threads=None):
    """Clear-sky shortwave fluxes with ecCKD optics.

    Parameters
    ----------
    ecckd : EcCKD
        A shortwave definition. Its solar irradiance is scaled to ``atmosphere.total_solar_irradiance`` where that is given.
    atmosphere : Atmosphere
        As in :func:`simgraft.radiation.kernel.fluxes_sw`.
    out_of_range, num_threads
        As in :meth:`EcCKD.optics`.

    Returns
    -------
    Fluxes
        With the direct beam.

    Raises
    ------
    DomainError, ValueError, TypeError
        As in :meth:`EcCKD.optics`.
    """
    if not ecckd.shortwave:
        raise ValueError(f"ecckd: expected a shortwave definition, got {ecckd!r}")
    for name in ("mu0", "albedo"):
        if getattr(atmosphere, name) is None:
            raise ValueError(f"atmosphere.{name}: is needed here, got None")
    optics = ecckd.optics(atmosphere, out_of_range=out_of_range, num_threads=num_threads)
    source = np.broadcast_to(ecckd.solar_irradiance, (len(atmosphere), ecckd.n_g))
    if atmosphere.total_solar_irradiance is not None:
        source = source * (atmosphere.total_solar_irradiance[:, None] / ecckd.solar_irradiance.sum())
    return kernel.solve_sw(
        optics["tau"],
        optics["ssa"],
        atmosphere.mu0,
        np.ascontiguousarray(source, optics["tau"].dtype),
        atmosphere.albedo,
        albedo_direct=atmosphere.albedo_direct,
        top_first=_top_first(atmosphere),
        num_threads=num_threads,
    )


def _top_first(atmosphere):
    return bool(len(atmosphere) == 0 or atmosphere.pressure_layer[0, 0] <= atmosphere.pressure_layer[0, -1])
