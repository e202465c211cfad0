"""What happened in a training."""

import html

import numpy as np


class History:
    """Metrics of every epoch, and how the training ended.

    Attributes
    ----------
    rows : list of dict
        Metrics of each finished epoch: "loss" (mean over the epoch's batches), "rate" (learning rate at its
        end), "validation_loss" if there is a validation set, and those of the callbacks.
    monitor : str
        Metric by which the best epoch is chosen.
    best_epoch : int
        Counted from 1; 0 if no epoch was finished.
    stopped : str
        "finished", "interrupted", "diverged", or the reason of a callback.
    seconds : float
        Wall-clock time.

    Examples
    --------
    >>> from simgraft.nn import History
    >>> history = History("loss")
    >>> history.rows += [{"loss": 2.0}, {"loss": 1.0}]
    >>> history["loss"]
    array([2., 1.])
    """

    def __init__(self, monitor, mode="min"):
        self.monitor, self.mode = monitor, mode
        self.rows = []
        self.best_epoch, self.stopped, self.seconds = 0, "", 0.0

    @property
    def metrics(self):
        """Names of the metrics."""
        names = {}
        for row in self.rows:
            names.update(dict.fromkeys(row))
        return list(names)

    def __getitem__(self, metric):
        if metric not in self.metrics:
            raise KeyError(f"there is no metric '{metric}'; there are {', '.join(self.metrics) or 'none'}")
        return np.array([row.get(metric, np.nan) for row in self.rows])

    def __len__(self):
        return len(self.rows)

    @property
    def best(self):
        """Value of the monitored metric in the best epoch; NaN if there is none."""
        return self.rows[self.best_epoch - 1][self.monitor] if self.best_epoch else float("nan")

    def to_dict(self):
        """Lists, dicts and numbers, for JSON."""
        return {
            "monitor": self.monitor,
            "mode": self.mode,
            "rows": self.rows,
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, values):
        """Back from :meth:`to_dict`."""
        history = cls(values["monitor"], values["mode"])
        history.rows = [dict(row) for row in values["rows"]]
        history.best_epoch, history.stopped, history.seconds = (
            values["best_epoch"],
            values["stopped"],
            values["seconds"],
        )
        return history

    def plot(self, metrics=None, ax=None):
        """Curves of the metrics over the epochs, logarithmic unless a metric is negative (log-likelihoods).

        Parameters
        ----------
        metrics : list of str, optional
            Default: all but the rate.
        ax : matplotlib Axes, optional

        Returns
        -------
        matplotlib Axes
        """
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.subplots()[1]
        epochs, positive = np.arange(1, len(self) + 1), True
        for name in metrics or [m for m in self.metrics if m != "rate"]:
            ax.plot(epochs, self[name], label=name)
            positive &= not (self[name] <= 0).any()
        if self.best_epoch:
            ax.axvline(self.best_epoch, color="0.6", linewidth=0.8, label=f"best {self.monitor}")
        ax.set(xlabel="epoch", yscale="log" if positive else "linear")
        ax.legend()
        return ax

    def __repr__(self):
        text = f"<History of {len(self)} epochs, {self.stopped or 'running'}"
        return text + (
            f", best {self.monitor} {self.best:.6g} in epoch {self.best_epoch}>" if self.best_epoch else ">"
        )

    def _repr_html_(self):
        names = self.metrics
        shown = sorted({0, self.best_epoch - 1, len(self) - 1} & set(range(len(self))))
        head = "".join(f"<th>{html.escape(n)}</th>" for n in ["epoch", *names])
        body = "".join(
            "<tr><td>%d%s</td>%s</tr>"
            % (
                i + 1,
                " (best)" if i + 1 == self.best_epoch else "",
                "".join(f"<td>{self.rows[i].get(n, float('nan')):.6g}</td>" for n in names),
            )
            for i in shown
        )
        return (
            f"<p>{html.escape(repr(self)[1:-1])}, {self.seconds:.1f} s</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )
