"""What this installation is: versions, instruction set, threads, libraries."""

from __future__ import annotations

import platform

import numpy as np

from simgraft import _core


def show_config():
    """Print and return the versions and choices that decide what this installation computes and how fast.

    Returns
    -------
    dict of str to str or int
        ``simgraft``, ``python``, ``numpy``, ``hdf5``, ``openblas``: versions of the package and of the libraries in use;
        ``isa``: instruction set in use (``portable``, ``v2``, ``v3`` or ``v4``; environment variable ``SIMGRAFT_ISA``);
        ``isa_best``: the best one this machine offers; ``threads``: threads that calls use unless told otherwise
        (environment variable ``OMP_NUM_THREADS``); ``machine``: processor architecture and operating system.

    Examples
    --------
    >>> import simgraft
    >>> config = simgraft.show_config()   # doctest: +ELLIPSIS
    simgraft  ...
    >>> config["isa"] in ("portable", "v2", "v3", "v4")
    True
    """
    config = {
        "simgraft": _core.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        **_core.library_versions(),
        "isa": _core.isa(),
        "isa_best": _core.isa_best(),
        "threads": _core.threads_resolve(0),
        "machine": f"{platform.machine()} {platform.system()}",
    }
    for name, value in config.items():
        print(f"{name:<9} {value}")
    return config
