"""simgraft: graft neural networks into numerical simulations."""

from simgraft import _core
from simgraft._core import (
    ChecksumError,
    DatasetChangedError,
    DivergedError,
    DomainError,
    FileFormatError,
    FileVersionError,
    NotFiniteError,
)

__version__ = _core.__version__
