"""Where a host code in C, C++ or Fortran finds simgraft."""

from pathlib import Path

from simgraft import _core

__all__ = ["get_include", "get_library_dir"]


def get_include():
    """Folder for ``-I``: it holds ``simgraft/surrogate.h``.

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
    >>> os.path.exists(os.path.join(simgraft.get_include(), "simgraft", "surrogate.h"))
    True
    """
    # installed beside the extension; in a checkout that was built in place, in the sources
    installed, checkout = (
        Path(_core.__file__).parent / "include",
        Path(__file__).resolve().parents[2] / "csrc" / "include",
    )
    for folder in (installed, checkout):
        if (folder / "simgraft" / "surrogate.h").is_file():
            return str(folder)
    raise FileNotFoundError(f"no headers in {installed} or {checkout}: reinstall simgraft")


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
