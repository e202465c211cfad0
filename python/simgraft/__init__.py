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

from simgraft import encode, explore, gate, metrics, nn, sampling
from simgraft.config import show_config
from simgraft.dataset import Dataset
from simgraft.deploy import get_fortran_source, get_include, get_library_dir
from simgraft.executable import ExecutableHost
from simgraft.kernel import Kernel
from simgraft.profile import profile
from simgraft.surrogate import Guard, Surrogate, describe, load
from simgraft import search
from simgraft.trial import Trial
from simgraft.variables import Var

__version__ = _core.__version__
