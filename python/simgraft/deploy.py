"""Where a host code in C, C++ or Fortran finds simgraft."""

from pathlib import Path

from simgraft import _core

__all__ = ["get_fortran_source", "get_include", "get_library_dir"]


def get_include():
    """Folder for ``-I``: it holds ``simgraft/simgraft.h``.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        If this installation has no headers.

    Examples
    --------
    >>> import os, simgraft
    >>> os.path.exists(os.path.join(simgraft.get_include(), "simgraft", "simgraft.h"))
    True
    """
    return str(_find("include", "simgraft/surrogate.h", "headers").parents[1])


def get_library_dir():
    """Folder for ``-L`` and ``-Wl,-rpath``: it holds ``libsimgraft.so``.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        If this installation has no library.
    """
    package = Path(_core.__file__).resolve().parent
    for folder in (package / "lib", package):
        if any(folder.glob("libsimgraft.*")):
            return str(folder)
    raise FileNotFoundError(f"no libsimgraft in {package / 'lib'} or {package}: reinstall simgraft")


def get_fortran_source():
    """Path of ``simgraft.f90``, the Fortran module, to be compiled with the host.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        If this installation has no Fortran module.

    Examples
    --------
    >>> import simgraft
    >>> simgraft.get_fortran_source().endswith("simgraft.f90")
    True
    """
    return str(_find("fortran", "simgraft.f90", "Fortran module"))


def _find(folder, name, what):
    """A file installed beside the extension, or, in a checkout that was built in place, in the sources."""
    folders = Path(_core.__file__).parent / folder, Path(__file__).resolve().parents[2] / "csrc" / folder
    for place in folders:
        if (place / name).is_file():
            return place / name
    raise FileNotFoundError(f"no {what} in {folders[0]} or {folders[1]}: reinstall simgraft")
