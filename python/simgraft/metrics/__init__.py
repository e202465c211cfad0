"""Statistics of data, measures of error, and comparisons of samples.

Sums run in double precision, row after row, in C: the result does not depend on how the rows are cut into blocks, nor on the number
of threads. Where rows carry weights (rare events, unequal shards), every mean is weighted by them, and a row of weight 0 takes no
part.

Comparisons of two samples always need two companions: the same number between two independent samples of the truth
(:func:`floor`), and a test that the sample is not a copy of what a model was trained on (:func:`memorisation`), which passes
every two-sample comparison.
"""

from simgraft.metrics.cells import Amplification, Cells, amplification
from simgraft.metrics.classifier import (
    ClassifierTest,
    Isotonic,
    ReconstructionTest,
    auc,
    classifier_test,
    reconstruction_test,
)
from simgraft.metrics.errors import (
    Errors,
    Moments,
    bias,
    binned_error,
    mae,
    max_error,
    percentiles,
    relative_error,
    rmse,
    squared_distance,
    whitening,
)
from simgraft.metrics.histogram import Histogram, HistogramTest, histogram_test
from simgraft.metrics.neighbours import Coverage, Memorisation, coverage, memorisation, nearest
from simgraft.metrics.samples import (
    Floor,
    KSTest,
    correlation_difference,
    effective_sample_size,
    energy_distance,
    floor,
    frechet_distance,
    kernel_distance,
    ks_test,
    sliced_wasserstein,
    wasserstein,
)

__all__ = [
    "Amplification",
    "Cells",
    "ClassifierTest",
    "Coverage",
    "Errors",
    "Floor",
    "Histogram",
    "HistogramTest",
    "Isotonic",
    "KSTest",
    "Memorisation",
    "Moments",
    "ReconstructionTest",
    "amplification",
    "auc",
    "bias",
    "binned_error",
    "classifier_test",
    "correlation_difference",
    "coverage",
    "effective_sample_size",
    "energy_distance",
    "floor",
    "frechet_distance",
    "histogram_test",
    "kernel_distance",
    "ks_test",
    "mae",
    "max_error",
    "memorisation",
    "nearest",
    "percentiles",
    "reconstruction_test",
    "relative_error",
    "rmse",
    "sliced_wasserstein",
    "squared_distance",
    "wasserstein",
    "whitening",
]
