"""Neural networks: build, train, evaluate.

A specification (:class:`MLP`, or :class:`Model` for any graph of layers) is built into a :class:`Network`, which :func:`fit` trains.
Layers come from the operator table of the C core: their classes are ``Dense``, ``Activation``, ``Add`` and so on.
"""

from simgraft import _core
from simgraft.nn import adversarial, flow_matching, loss, schedule, zoo
from simgraft.nn.blocks import Bound, Conserve, MixtureHead, MultiheadPool, SelfAttention
from simgraft.nn.callbacks import EarlyStopping
from simgraft.nn.ensemble import Ensemble
from simgraft.nn.history import History
from simgraft.nn.layers import ACTIVATIONS, LAYERS, Input
from simgraft.nn.loss import (
    CRPS,
    KL,
    MAE,
    MSE,
    BinaryCrossEntropy,
    CrossEntropy,
    Custom,
    EnsembleCRPS,
    FlowNLL,
    GaussianNLL,
    Hinge,
    Huber,
    Hybrid,
    MixtureNLL,
    Pinball,
    Term,
    Terms,
    Wasserstein,
)
from simgraft.nn.network import MLP, Model, Network
from simgraft.nn.optimizers import LBFGS, SGD, Adam, AdamW
from simgraft.nn.spline_chain import SplineChain
from simgraft.nn.training import Training, fit

INITIALIZERS = dict(_core.nn_initializers())
globals().update(LAYERS)

__all__ = ["ACTIVATIONS", "Adam", "AdamW", "BinaryCrossEntropy", "CRPS", "CrossEntropy", "Custom",
           "EarlyStopping", "Ensemble", "EnsembleCRPS", "FlowNLL", "GaussianNLL", "Hinge", "History", "Huber",
           "Hybrid", "INITIALIZERS", "Input", "KL", "LBFGS", "MAE", "MLP", "MSE", "MixtureHead", "MixtureNLL",
           "Model", "MultiheadPool", "Network", "Pinball", "SGD", "SelfAttention", "SplineChain", "Term", "Terms",
           "Training", "Wasserstein", "adversarial", "fit", "flow_matching", "loss", "schedule", "zoo", *LAYERS]
