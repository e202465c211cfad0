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

from simgraft import explore, gate, nn
from simgraft.config import show_config
from simgraft.profile import profile
from simgraft.trial import Trial

__version__ = _core.__version__
