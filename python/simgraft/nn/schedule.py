"""Learning rates over the epochs. A schedule is a function of time in epochs (fractions within an epoch).

``schedule.at(epoch, epochs, history)`` gives the rate at ``epoch`` (float or array, 0 at the start) of
``epochs`` in all; ``history`` is the list of the metrics of finished epochs, which only :class:`Plateau`
reads. Schedules hold no state, so training that is resumed goes on as if it had not been interrupted.
"""

import numpy as np

from simgraft.nn._params import Params


class _Schedule(Params):
    def at(self, epoch, epochs, history=()):
        """Rate at time ``epoch`` (float or array) of ``epochs``."""
        raise NotImplementedError


class Constant(_Schedule):
    """The same rate always.

    Parameters
    ----------
    rate : float
        >= 0.

    Examples
    --------
    >>> from simgraft import nn
    >>> float(nn.schedule.Constant(1e-3).at(5, 10))
    0.001
    """

    def __init__(self, rate=1e-3):
        self.rate = rate

    def at(self, epoch, epochs, history=()):
        return np.full_like(np.asarray(epoch, float), self.rate)


class Step(_Schedule):
    """``rate * factor ** (epoch // every)``: a step every ``every`` epochs.

    Parameters
    ----------
    rate : float
        At the start.
    factor : float
        Of each step, > 0.
    every : float
        Epochs between steps, > 0.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.schedule.Step(1.0, factor=0.5, every=10).at([0, 9, 10, 20], 30)
    array([1.  , 1.  , 0.5 , 0.25])
    """

    def __init__(self, rate=1e-2, factor=0.8, every=10):
        self.rate = rate
        self.factor = factor
        self.every = every

    def at(self, epoch, epochs, history=()):
        return self.rate * self.factor ** np.floor(np.asarray(epoch, float) / self.every)


class Exponential(_Schedule):
    """``rate * factor ** epoch``, smooth within epochs.

    Parameters
    ----------
    rate : float
        At the start.
    factor : float
        Per epoch, > 0.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.schedule.Exponential(1.0, factor=0.25).at([0, 0.5, 1], 10)
    array([1.  , 0.5 , 0.25])
    """

    def __init__(self, rate=1e-2, factor=0.98):
        self.rate = rate
        self.factor = factor

    def at(self, epoch, epochs, history=()):
        return self.rate * self.factor ** np.asarray(epoch, float)


class Cosine(_Schedule):
    """Half a cosine from ``rate`` to ``final`` over all epochs; Loshchilov & Hutter 2017, arXiv:1608.03983.

    Parameters
    ----------
    rate, final : float
        At the start and at the end.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.schedule.Cosine(1.0).at([0, 5, 10], 10)
    array([1. , 0.5, 0. ])
    """

    def __init__(self, rate=1e-3, final=0.0):
        self.rate = rate
        self.final = final

    def at(self, epoch, epochs, history=()):
        share = np.clip(np.asarray(epoch, float) / epochs, 0, 1)
        return self.final + 0.5 * (self.rate - self.final) * (1 + np.cos(np.pi * share))


class OneCycle(_Schedule):
    """Cosine up from ``peak / start`` to ``peak`` in the first ``rise`` of the time, cosine down to ``peak /
    end`` in the rest.

    Parameters
    ----------
    peak : float
        Largest rate.
    start, end : float
        How many times smaller the rate is at the start and at the end.
    rise : float
        Share of the time up to the peak, in (0, 1).

    References
    ----------
    Smith & Topin 2019, arXiv:1708.07120.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.schedule.OneCycle(1.0, start=10, end=100, rise=0.5).at([0, 5, 10], 10)
    array([0.1 , 1.  , 0.01])
    """

    def __init__(self, peak=1e-2, start=25.0, end=1e4, rise=0.3):
        self.peak = peak
        self.start = start
        self.end = end
        self.rise = rise

    def at(self, epoch, epochs, history=()):
        share = np.clip(np.asarray(epoch, float) / epochs, 0, 1)
        up = np.clip(share / self.rise, 0, 1)
        down = np.clip((share - self.rise) / (1 - self.rise), 0, 1)
        low, last = self.peak / self.start, self.peak / self.end
        rising = low + 0.5 * (self.peak - low) * (1 - np.cos(np.pi * up))
        falling = last + 0.5 * (self.peak - last) * (1 + np.cos(np.pi * down))
        return np.where(share < self.rise, rising, falling)


class Plateau(_Schedule):
    """Multiplies the rate by ``factor`` when ``metric`` has not improved for ``patience`` epochs, down to
    ``lowest``.

    Parameters
    ----------
    rate : float
    factor : float
        In (0, 1).
    patience : int
        Epochs without improvement before the rate falls; the count starts anew after a fall.
    metric : str
        "validation_loss", "loss", or a metric of a callback.
    threshold : float
        Relative improvement that counts.
    mode : {"min", "max"}
        Whether small or large values of the metric are good.
    lowest : float
        The rate does not fall below it.

    Examples
    --------
    >>> from simgraft import nn
    >>> rows = [{"loss": 1.0}, {"loss": 1.0}, {"loss": 1.0}]
    >>> float(nn.schedule.Plateau(0.1, factor=0.5, patience=1, metric="loss").at(3, 10, rows))
    0.05
    """

    def __init__(
        self,
        rate=1e-3,
        factor=0.5,
        patience=10,
        metric="validation_loss",
        threshold=1e-4,
        mode="min",
        lowest=0.0,
    ):
        self.rate = rate
        self.factor = factor
        self.patience = patience
        self.metric = metric
        self.threshold = threshold
        self.mode = mode
        self.lowest = lowest

    def at(self, epoch, epochs, history=()):
        sign = 1 if self.mode == "min" else -1
        rate, best, waited = self.rate, np.inf, 0
        for row in history:
            if self.metric not in row:
                raise ValueError(f"Plateau: there is no metric '{self.metric}'; there are {', '.join(row)}")
            value = sign * row[self.metric]
            if value < best - self.threshold * abs(best) or (best == np.inf and value < best):
                best, waited = value, 0
            else:
                waited += 1
                if waited > self.patience:
                    rate, waited = max(rate * self.factor, self.lowest), 0
        return np.full_like(np.asarray(epoch, float), rate)


class WarmUp(_Schedule):
    """Rises linearly to ``schedule`` over the first ``epochs`` epochs (may be a fraction), then follows it.

    Parameters
    ----------
    schedule : schedule or float
        What to follow.
    epochs : float
        > 0.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.schedule.WarmUp(0.1, epochs=2).at([1, 2, 3], 10)
    array([0.05, 0.1 , 0.1 ])
    """

    def __init__(self, schedule, epochs=1.0):
        self.schedule = schedule
        self.epochs = epochs

    def at(self, epoch, epochs, history=()):
        return as_schedule(self.schedule).at(epoch, epochs, history) * np.clip(
            np.asarray(epoch, float) / self.epochs, 1e-3, 1
        )


def as_schedule(rate):
    """A number becomes :class:`Constant`."""
    if hasattr(rate, "at") and not isinstance(rate, type):
        return rate
    if not isinstance(rate, (int, float, np.integer, np.floating)) or not rate >= 0 or not np.isfinite(rate):
        raise ValueError(f"rate: expected a number >= 0 or a schedule, got {rate!r}")
    return Constant(float(rate))
