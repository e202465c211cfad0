"""Speed of the network engine against its peers, one thread where nothing else is said."""

from benchmarks.engine_conv import convolution
from benchmarks.engine_mlp import mlp
from benchmarks.engine_recurrent import recurrent

# Each yields rows; add a comparison by adding a function.
SECTIONS = (mlp, convolution, recurrent)


def run():
    """All rows of this benchmark."""
    for section in SECTIONS:
        yield from section()
