"""Pictures as the field draws them: distributions above their ratio to the truth, with the statistical band.

Colours are those of Okabe & Ito (2008), which the colour-blind can tell apart; line styles differ as well. Every function
returns the matplotlib Figure that it drew.
"""

import numpy as np

from simgraft import _core, metrics
from simgraft.events import observables
from simgraft.explore import new_figure

__all__ = ["correlations", "dimuon_overlay", "distributions", "features_of", "noise_reconstruction", "plane", "roc", "spectra"]

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#808080", "#000000")
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (4, 4)))
TRUTH = "#333333"
LOGARITHMIC = ("E", "pT", "MET", "m_")


def _axis_label(name, unit):
    return f"{name} [{unit}]" if unit not in ("", "1") else name


def _columns(events, names):
    """Name -> (unit, function of events) of plain columns, without those of absent objects."""
    layout = events.layout
    position = {name: i for i, name in enumerate(layout.objects)}

    def column(name):
        of = layout.columns[layout.index(name)].of
        return lambda e: e[name][e.present[position[of]]] if of is not None else e[name]

    return {name: (layout.columns[layout.index(name)].unit, column(name)) for name in names}


def features_of(truth, names):
    """Columns and composite quantities by their names, as :func:`distributions` takes them.

    Parameters
    ----------
    truth : Events
    names : sequence of str
        Columns of the layout, or names of :func:`~simgraft.events.observables.composites`.

    Returns
    -------
    dict of str to (unit, callable)

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> events = Events(TWO_BODY, np.ones((10, 2)))
    >>> [unit for unit, _ in features_of(events, ["E1", "cos_theta1"]).values()]
    ['GeV', '1']
    """
    derived = dict(text.split() for text in _core.event_composite_names(observables._kind(truth.layout)))

    def composite(name):
        def values(events):
            found, known = observables.composites(events)
            return found[:, known.index(name)]

        return values

    plain = set(truth.layout.names)
    return {
        name: _columns(truth, [name])[name] if name in plain else (derived[name], composite(name)) for name in names
    }


def _is_log(name, values):
    positive = values[values > 0]
    if positive.size < values.size or not positive.size:
        return False
    quantity = name.rsplit("_", 1)[-1]
    return (quantity in LOGARITHMIC or name.startswith(LOGARITHMIC)) and np.quantile(values, 0.999) > 8 * np.quantile(values, 0.001)


def _edges(name, values, bins):
    low, high = np.quantile(values, [0.0005, 0.9995]) if values.size else (0.0, 1.0)
    if not high > low:
        spread = max(abs(low) * 1e-3, 1e-12)
        low, high = low - spread, high + spread
    if _is_log(name, values):
        return np.geomspace(low, high, bins + 1), True
    return np.linspace(low, high, bins + 1), False


def distributions(truth, others, features=None, *, bins=30, columns=4, log=True):
    """Distributions of a sample and of what should equal it, each with a panel of ratios.

    Parameters
    ----------
    truth : Events
    others : dict of str to Events
        Label -> sample of the same layout.
    features : sequence of str, or dict of str to (unit, callable), optional
        Names of columns, or name -> (unit, function of events giving (n,) values). Default: all columns. Columns of an object are
        drawn over the events that have it.
    bins : int
    columns : int
        Panels side by side.
    log : bool
        Logarithmic axis of densities.

    Returns
    -------
    matplotlib.figure.Figure

    Notes
    -----
    All samples share the bins, which reach over the central 99.9 % of the truth. The band is the statistical error of the truth;
    bars are those of the others. An arrow at the edge of a ratio panel marks a value beyond it.

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> a, b = (Events(TWO_BODY, np.random.default_rng(i).normal(size=(10, 100))) for i in (1, 2))
    >>> figure = distributions(a, {"model": b}, ["E1", "pz1"])
    >>> len(figure.axes)
    4
    """
    if features is None:
        features = truth.layout.names
    if not isinstance(features, dict):
        features = _columns(truth, features)
    columns = min(columns, len(features))
    n_rows = -(-len(features) // columns)
    figure, axes = new_figure(
        2 * n_rows, columns, width=3.4 * columns, height=3.3 * n_rows, gridspec_kw={"height_ratios": [3, 1] * n_rows}
    )
    for k, (name, (unit, of)) in enumerate(features.items()):
        row, column = divmod(k, columns)
        top, ratio = axes[2 * row, column], axes[2 * row + 1, column]
        values = np.asarray(of(truth), np.float64)
        edges, log_x = _edges(name, values, bins)
        _ratio_panels(top, ratio, values, {label: np.asarray(of(e), np.float64) for label, e in others.items()}, edges)
        _scale_x((top, ratio), log_x, edges[0], edges[-1])
        _scale_y(top, log)
        ratio.set_xlabel(_axis_label(name, unit))
        if column == 0:
            top.set_ylabel("density (per unit of x)")
            ratio.set_ylabel("ratio")
    _hide_rest(axes, len(features))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 6), frameon=False)
    return figure


def _hide_rest(axes, used):
    """Hide the pairs of panels that no distribution took."""
    columns = axes.shape[1]
    for k in range(used, axes.size // 2):
        row, column = divmod(k, columns)
        axes[2 * row, column].set_visible(False)
        axes[2 * row + 1, column].set_visible(False)


def _scale_x(axes, log, low, high):
    """The same horizontal axis for a distribution and its ratio, labelled below the ratio only."""
    from matplotlib import ticker

    for axis in axes:
        axis.set_xscale("log" if log else "linear")
        axis.set_xlim(low, high)
        if log:
            decades = np.log10(high / low)
            steps = (1.0,) if decades > 2.2 else (1.0, 3.0) if decades > 1.4 else (1.0, 2.0, 5.0)
            axis.xaxis.set_major_locator(ticker.LogLocator(subs=steps))
            # Masses and momenta read as plain numbers, shares far below 1 as powers.
            plain = ticker.FormatStrFormatter("%g")
            axis.xaxis.set_major_formatter(plain if low > 1e-3 else ticker.LogFormatterSciNotation())
            axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        else:
            axis.xaxis.set_major_locator(ticker.MaxNLocator(5))
    axes[0].tick_params(labelbottom=False)


def _scale_y(axis, log, least=20.0):
    """Logarithmic densities where they span enough for it to help."""
    low, high = axis.get_ylim()
    if log and low > 0 and high / low > 12 * least:
        axis.set_yscale("log")
    else:
        axis.set_ylim(0, high / 4 * 1.6)


def _ratio_panels(top, ratio, truth, others, edges):
    width, centre = np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
    counts = np.histogram(truth, edges)[0].astype(float)
    scale = 1 / (max(len(truth), 1) * width)
    relative = 1 / np.sqrt(np.maximum(counts, 1))
    top.stairs(counts * scale, edges, color=TRUTH, fill=True, alpha=0.15, label="truth")
    top.stairs(counts * scale, edges, color=TRUTH, linewidth=1.2)
    ratio.stairs(1 + relative, edges, baseline=1 - relative, color=TRUTH, fill=True, alpha=0.2, linewidth=0)
    ratio.axhline(1, color=TRUTH, linewidth=0.8)
    low, high = 0.5, 1.5
    for i, (label, values) in enumerate(others.items()):
        colour, style = COLOURS[i % len(COLOURS)], STYLES[i % len(STYLES)]
        other = np.histogram(values, edges)[0].astype(float)
        density = other / (max(len(values), 1) * width)
        top.stairs(np.where(density > 0, density, np.nan), edges, color=colour, linestyle=style, linewidth=1.3, label=label)
        with np.errstate(divide="ignore", invalid="ignore"):
            r = np.where(counts > 0, density / (counts * scale), np.nan)
            bar = r / np.sqrt(np.maximum(other, 1))
        inside = (r >= low) & (r <= high)
        # Bars of several models must not hide each other: a small step to the side for each
        x = centre + (i - (len(others) - 1) / 2) * 0.6 * width / max(len(others), 1)
        ratio.errorbar(x[inside], r[inside], bar[inside], fmt="none", ecolor=colour, elinewidth=0.8)
        ratio.plot(x[inside], r[inside], ".", color=colour, markersize=3)
        ratio.plot(x[r > high], np.full(np.sum(r > high), high - 0.05), "^", color=colour, markersize=3)
        ratio.plot(x[r < low], np.full(np.sum(r < low), low + 0.05), "v", color=colour, markersize=3)
    ratio.set_ylim(low, high)
    if counts.any():
        smallest = (counts * scale)[counts > 0].min()
        top.set_ylim(0.3 * smallest, 4 * (counts * scale).max())


def spectra(truth, others, panels, *, columns=3):
    """Spectra that an analysis returned, each with its ratio.

    Parameters
    ----------
    truth : dict of arrays
        Fields of the analysis of the truth.
    others : dict of str to dict of arrays
        Label -> the same fields.
    panels : dict of str to (edges, label, log_x)
        Field -> bins and label of the axis with its unit.
    columns : int

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> fields = {"x": np.array([0.5, 0.5]), "x_error": np.array([0.1, 0.1])}
    >>> figure = spectra(fields, {"model": fields}, {"x": (np.arange(3.0), "x [GeV]", False)})
    """
    columns = min(columns, len(panels))
    n_rows = -(-len(panels) // columns)
    figure, axes = new_figure(
        2 * n_rows, columns, width=4.0 * columns, height=3.6 * n_rows, gridspec_kw={"height_ratios": [3, 1] * n_rows}
    )
    for k, (name, (edges, label, log_x)) in enumerate(panels.items()):
        row, column = divmod(k, columns)
        top, ratio = axes[2 * row, column], axes[2 * row + 1, column]
        centre = np.sqrt(edges[1:] * edges[:-1]) if log_x else 0.5 * (edges[1:] + edges[:-1])
        a, ea = truth[name], truth[f"{name}_error"]
        top.stairs(a, edges, color=TRUTH, fill=True, alpha=0.15, label="truth")
        safe = np.where(a > 0, a, np.nan)
        ratio.stairs(1 + ea / safe, edges, baseline=1 - ea / safe, color=TRUTH, fill=True, alpha=0.2, linewidth=0)
        ratio.axhline(1, color=TRUTH, linewidth=0.8)
        for i, (other, fields) in enumerate(others.items()):
            colour = COLOURS[i % len(COLOURS)]
            top.errorbar(centre, fields[name], fields[f"{name}_error"], fmt=".", color=colour, markersize=4, elinewidth=0.8, label=other)
            ratio.errorbar(centre, fields[name] / safe, fields[f"{name}_error"] / safe, fmt=".", color=colour, markersize=4, elinewidth=0.8)
        first = int(log_x and edges[0] <= 0)  # a first bin from 0 has no place on a logarithmic axis
        _scale_x((top, ratio), log_x, edges[first], edges[-1])
        top.set_ylim(0, 1.25 * max(values[first:].max() for values in (a, *(fields[name] for fields in others.values()))) or 1)
        ratio.set(ylim=(0.5, 1.5), xlabel=label)
        if column == 0:
            top.set_ylabel("share of events")
            ratio.set_ylabel("ratio")
        if k == 0:
            top.legend(frameon=False)
    _hide_rest(axes, len(panels))
    return figure


def correlations(truth, other, label="model"):
    """Correlation of columns: of the truth, of another sample, and the difference.

    Parameters
    ----------
    truth, other : Events
        Of the same layout; columns without spread are left out.
    label : str
        What `other` is.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> a, b = (Events(TWO_BODY, np.random.default_rng(i).normal(size=(10, 100))) for i in (1, 2))
    >>> figure = correlations(a, b, "VAE")
    """
    varies = (np.ptp(truth.values, axis=1) > 0) & (np.ptp(other.values, axis=1) > 0)
    names = [name for name, yes in zip(truth.layout.names, varies, strict=True) if yes]
    a, b = (np.corrcoef(e.values[varies].astype(np.float64)) for e in (truth, other))
    side = 2.6 + 0.11 * len(names)
    figure, (axes,) = new_figure(1, 3, width=3 * side, height=side)
    reach = max(float(np.abs(b - a).max()), 0.01)
    for axis, matrix, limit, title in zip(
        axes, (a, b, b - a), (1, 1, reach), ("truth", label, f"{label} - truth"), strict=True
    ):
        axis.grid(False)
        image = axis.imshow(matrix, cmap="PuOr", vmin=-limit, vmax=limit)
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
        axis.set_yticks(range(len(names)), names if axis is axes[0] else [], fontsize=6)
        axis.set_title(title, fontsize=10)
        figure.colorbar(image, ax=axis, shrink=0.75, label="correlation" if limit == 1 else "difference")
    return figure


def roc(scores):
    """ROC curves of a judge that tells truth from models.

    Parameters
    ----------
    scores : dict of str to (of_truth, of_model)
        Label -> two arrays of the judge's scores on unseen events, larger where it takes them for truth.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> figure = roc({"model": (rng.normal(1, 1, 100), rng.normal(0, 1, 100))})
    """
    figure, ((axis,),) = new_figure(1, 1, width=8.2, height=4.2)
    axis.plot([0, 1], [0, 1], color=TRUTH, linewidth=0.8, label="a coin")
    for i, (label, (of_truth, of_model)) in enumerate(scores.items()):
        cuts = np.unique(np.quantile(np.concatenate([of_truth, of_model]), np.linspace(0, 1, 401)))
        rates = [1 - np.searchsorted(np.sort(s), cuts) / len(s) for s in (of_model, of_truth)]
        x, y = (np.concatenate([r, [0.0]])[::-1] for r in rates)
        area, _ = metrics.auc(np.asarray(of_truth), np.asarray(of_model))
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)]}
        axis.plot(x, y, **style, label=f"{label}: AUC {area:.3f}")
    axis.set(xlabel="model events taken for truth", ylabel="truth taken for truth", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure


def plane(samples, x, y, *, bins=80, periodic=False):
    """Density of events over two columns, one panel for each sample.

    Parameters
    ----------
    samples : dict of str to Events
        Of one layout; the first sets the colours and the range.
    x, y : str
        Columns.
    bins : int
    periodic : bool
        Both are angles: the range is -pi to pi.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> a = Events(TWO_BODY, np.random.default_rng(1).normal(size=(10, 500)))
    >>> figure = plane({"truth": a}, "px1", "pz1")
    """
    first = next(iter(samples.values()))
    ends = [(-np.pi, np.pi)] * 2 if periodic else [np.quantile(first[name], [0.001, 0.999]) for name in (x, y)]
    edges = [np.linspace(*pair, bins + 1) for pair in ends]
    figure, (axes,) = new_figure(1, len(samples), width=3.1 * len(samples) + 0.8, height=3.2)
    limit = None
    for axis, (label, events) in zip(axes, samples.items(), strict=True):
        count = np.histogram2d(events[x], events[y], edges)[0] / len(events)
        limit = np.quantile(count, 0.999) if limit is None else limit
        image = axis.pcolormesh(*edges, count.T, cmap="viridis", vmin=0, vmax=limit or None, rasterized=True)
        axis.grid(False)
        axis.set(title=label, xlabel=_label_of(first, x), ylabel=_label_of(first, y) if axis is axes[0] else "")
    figure.colorbar(image, ax=axes, label="share of events")
    return figure


def _label_of(events, name):
    return _axis_label(name, events.layout.columns[events.layout.index(name)].unit)


def noise_reconstruction(real, rebuilt, noise, rebuilt_noise, names):
    """What an autoencoder makes of real events and of uniform noise.

    Parameters
    ----------
    real, rebuilt : (n, k) arrays
        Events as rows and what comes out of encoder and decoder, scaled to the range of the training data.
    noise, rebuilt_noise : (m, k) arrays
        The same for rows drawn uniformly from that range.
    names : sequence of str
        Of the k columns.

    Returns
    -------
    matplotlib.figure.Figure

    Notes
    -----
    A network that has learnt what events look like returns real ones unchanged and draws noise towards events; one that copies its
    input returns both.

    Examples
    --------
    >>> x = np.random.default_rng(1).uniform(-1, 1, (100, 2))
    >>> figure = noise_reconstruction(x, x, x, 0.5 * x, ["a", "b"])
    """
    figure, (axes,) = new_figure(1, 3, width=11.0, height=3.4)
    for axis, before, after, title, colour in (
        (axes[0], real, rebuilt, "real events", COLOURS[1]),
        (axes[1], noise, rebuilt_noise, "uniform noise", COLOURS[0]),
    ):
        step = max(1, len(before) // 500)  # whole rows, so that all columns are shown
        axis.plot(before[::step].ravel(), after[::step].ravel(), ".", markersize=1.5, alpha=0.4, color=colour, rasterized=True)
        ends = [min(real.min(), noise.min()), max(real.max(), noise.max())]
        axis.plot(ends, ends, color=TRUTH, linewidth=0.8)
        axis.set(xlabel="column before (scaled)", ylabel="after encoder and decoder", title=title, xlim=ends)
    errors = [np.sqrt(np.mean((b - a) ** 2, axis=0)) for a, b in ((real, rebuilt), (noise, rebuilt_noise))]
    place = np.arange(len(names))
    axes[2].plot(place, errors[0], "o", color=COLOURS[1], markersize=4, label="real events")
    axes[2].plot(place, errors[1], "^", color=COLOURS[0], markersize=4, label="uniform noise")
    axes[2].set_xticks(place, names, rotation=90, fontsize=6)
    axes[2].set(ylabel="rms error (scaled)", yscale="log")
    axes[2].legend(frameon=False, fontsize=8)
    return figure


def dimuon_overlay(mass, samples, *, window=(60.0, 120.0), bins=60, label="CMS 2011, opposite charges"):
    """Recorded masses of muon pairs under those of samples.

    Parameters
    ----------
    mass : (n,) array [GeV]
        Recorded.
    samples : dict of str to (m,) array [GeV]
        Label -> masses of generated pairs.
    window : (low, high) [GeV]
    bins : int
    label : str
        Of the recorded ones.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> figure = dimuon_overlay(np.full(10, 91.0), {"model": np.full(20, 91.2)})
    """
    figure, ((top,), (ratio,)) = new_figure(2, 1, width=5.6, height=4.6, gridspec_kw={"height_ratios": [3, 1]})
    edges = np.linspace(*window, bins + 1)
    centre = 0.5 * (edges[1:] + edges[:-1])
    counts = np.histogram(mass, edges)[0].astype(float)
    bar = np.sqrt(np.maximum(counts, 1))
    top.errorbar(centre, counts, bar, fmt=".", color=TRUTH, markersize=4, elinewidth=0.8, label=label)
    for i, (name, values) in enumerate(samples.items()):
        other = np.histogram(values, edges)[0].astype(float)
        other *= counts.sum() / max(other.sum(), 1)
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)]}
        top.stairs(other, edges, label=name, **style)
        known = other > 0
        ratio.errorbar(centre[known], (counts / np.where(known, other, 1))[known], (bar / np.where(known, other, 1))[known],
                       fmt=".", color=style["color"], markersize=3, elinewidth=0.7)
    ratio.axhline(1, color=TRUTH, linewidth=0.8)
    ratio.set(xlabel="mass of the muon pair [GeV]", ylabel="data / model", ylim=(0, 2), xlim=window)
    top.set(ylabel="events", yscale="log", xlim=window)
    top.tick_params(labelbottom=False)
    top.legend(frameon=False, fontsize=8)
    return figure
