"""Pictures of data, errors and fields. Every function returns the matplotlib Figure it drew."""

from __future__ import annotations

import numpy as np

from simgraft.metrics import binned_error

_BLUE, _RED, _GREY = "#1f5fa8", "#c23b22", "#6b6b6b"


def _pyplot():
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'simgraft[report]'") from error
    return pyplot


def new_figure(n_rows=1, n_columns=1, width=8.0, height=3.2, **kwargs):
    """A figure with the house style, and its Axes as an (n_rows, n_columns) array."""
    plt = _pyplot()
    figure, axes = plt.subplots(n_rows, n_columns, figsize=(width, height), squeeze=False, layout="constrained",
                                **kwargs)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.6)
    return figure, axes


def _label(name, unit):
    return f"{name} [{unit}]" if unit else name


def plot_agreement(truth, prediction, name="", unit="", max_points=20_000):
    """Surrogate value against kernel value, and the histogram of the errors.

    Parameters
    ----------
    truth, prediction : array_like
        Same shape.
    name, unit : str
        For the axes.
    max_points : int
        Points drawn at most; all of them count in the histogram.

    Returns
    -------
    matplotlib.figure.Figure
    """
    truth, prediction = np.ravel(truth), np.ravel(prediction)
    step = max(1, truth.size // max_points)
    figure, ((left, right),) = new_figure(1, 2)
    left.plot(truth[::step], prediction[::step], ".", markersize=2, alpha=0.4, color=_BLUE, rasterized=True)
    ends = [truth.min(), truth.max()]
    left.plot(ends, ends, color=_GREY, linewidth=0.8)
    positive = truth[truth > 0]
    if positive.size == truth.size and truth.max() > 1e3 * truth.min() and prediction.min() > 0:
        left.set(xscale="log", yscale="log")
    left.set(xlabel=_label(f"kernel {name}", unit), ylabel=_label(f"surrogate {name}", unit))
    error = prediction - truth
    reach = np.percentile(np.abs(error), 99.5) or 1.0
    right.hist(np.clip(error, -reach, reach), bins=101, color=_BLUE)
    right.set(xlabel=_label("surrogate - kernel", unit), ylabel="samples", yscale="log")
    return figure


def error_by_input(kernel, x, error, bins=20):
    """Error against each scalar input that varies: mean and central 95 % band.

    Parameters
    ----------
    kernel : Kernel
        Gives names, units and scales of the inputs.
    x : (n, n_in) array
        Packed inputs.
    error : (n, k) array
        Errors of one output; of its components the worst one of each sample counts.
    bins : int
        Bins of equal count.

    Returns
    -------
    list of (label, unit, log, (centre, mean, low, high))
        The input with the widest change of the band first.
    """
    worst = error[np.arange(len(error)), np.argmax(np.abs(error), axis=1)]
    found, column = [], 0
    for name, variable in kernel.inputs.items():
        for k in range(variable.size):
            log = variable.scale == "log" and bool(np.all(x[:, column] > 0))
            label = name if variable.shape == () else f"{name}[{k}]"
            if np.ptp(x[:, column]) > 0:
                found.append((label, variable.unit, log, binned_error(x[:, column], worst, bins=bins, log=log)))
            column += 1
    found.sort(key=lambda item: -np.ptp(item[3][3] - item[3][2]))
    return found


def plot_error_by_input(by_input, name, unit, max_inputs=6):
    """Draw what :func:`error_by_input` found.

    Parameters
    ----------
    by_input : list
        From :func:`error_by_input`.
    name, unit : str
        Of the output, and of its error.
    max_inputs : int
        Inputs drawn at most.

    Returns
    -------
    matplotlib.figure.Figure
    """
    panels = by_input[:max_inputs]
    n_columns = max(1, min(3, len(panels)))
    n_rows = max(1, -(-len(panels) // n_columns))
    figure, axes = new_figure(n_rows, n_columns, height=2.6 * n_rows)
    for axis in axes.flat[len(panels):]:
        axis.set_visible(False)
    for axis, (label, input_unit, log, (centre, mean, low, high)) in zip(axes.flat, panels, strict=False):
        axis.fill_between(centre, low, high, color=_BLUE, alpha=0.2, linewidth=0)
        axis.plot(centre, mean, color=_BLUE)
        axis.axhline(0, color=_GREY, linewidth=0.8)
        axis.set(xlabel=_label(label, input_unit), ylabel=_label(f"error of {name}", unit))
        if log:
            axis.set_xscale("log")
    return figure


def plot_field(truth, others, name="", unit=""):
    """A field of the host: kernel and stand-ins, and their difference.

    Parameters
    ----------
    truth : (n,) or (n, m) array
        With the kernel. Of a two-dimensional field the last row is drawn.
    others : dict of arrays
        Label -> the same field with something else in the slot.
    name, unit : str
        For the axes.

    Returns
    -------
    matplotlib.figure.Figure
    """
    truth = np.atleast_2d(truth)[-1]
    figure, ((left, right),) = new_figure(1, 2)
    left.plot(truth, color=_GREY, linewidth=2.5, alpha=0.6, label="kernel")
    for colour, (label, values) in zip((_BLUE, _RED, "#2f8f4e"), others.items(), strict=False):
        values = np.atleast_2d(values)[-1]
        left.plot(values, color=colour, linewidth=1, label=label)
        right.plot(values - truth, color=colour, linewidth=1, label=label)
    left.set(xlabel="index", ylabel=_label(name, unit))
    right.set(xlabel="index", ylabel=_label("minus kernel", unit))
    left.legend(frameon=False)
    return figure


def plot_frontier(points, xlabel="cost", ylabel="error", log=True):
    """Error against cost of several candidates, with the Pareto front joined.

    Parameters
    ----------
    points : sequence of (label, cost, error)
    xlabel, ylabel : str
        With units.
    log : bool
        Logarithmic axes.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, ((axis,),) = new_figure(1, 1, width=6.5, height=4)
    front, best = [], np.inf
    for label, cost, error in sorted(points, key=lambda p: (p[1], p[2])):
        axis.plot(cost, error, "o", color=_BLUE)
        axis.annotate(label, (cost, error), textcoords="offset points", xytext=(5, 4), fontsize=8, color=_GREY)
        if error < best:
            best = error
            front.append((cost, error))
    axis.plot(*zip(*front, strict=True), color=_BLUE, linewidth=1, alpha=0.5)
    if log:
        axis.set(xscale="log", yscale="log")
    axis.set(xlabel=xlabel, ylabel=ylabel)
    return figure
