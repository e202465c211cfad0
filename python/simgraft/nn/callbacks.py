"""What happens between epochs. A callback is any callable ``callback(training) -> dict or None``; its dict
joins the epoch's metrics."""

from simgraft.nn._params import Params


class EarlyStopping(Params):
    """Ends the training when a metric has not improved for some epochs.

    The metric is also the one by which :func:`fit` chooses the weights it puts back at the end.

    Parameters
    ----------
    metric : str
        "validation_loss", "loss", or any metric returned by a callback that stands before this one in the
        list.
    patience : int
        Epochs without improvement before the end, >= 1.
    mode : {"min", "max"}
        Whether small or large is good.
    min_delta : float
        Smallest change that counts as an improvement, >= 0.

    Examples
    --------
    >>> from simgraft import nn
    >>> def flux_error(training):
    ...     return {"flux_rmse": 1.0 / training.epoch}   # something that runs the deployed function
    >>> callbacks = [flux_error, nn.EarlyStopping("flux_rmse", patience=20)]
    """

    def __init__(self, metric="validation_loss", patience=20, mode="min", min_delta=0.0):
        self.metric = metric
        self.patience = patience
        self.mode = mode
        self.min_delta = min_delta

    def __call__(self, training):
        # Counted from the whole history, not kept here: a training that is resumed stops where it would have
        # stopped.
        best, waited = None, 0
        sign = 1 if self.mode == "min" else -1
        for row in training.history.rows:
            value = sign * training.value(row, self.metric)
            if best is None or value < best - self.min_delta:
                best, waited = value, 0
            else:
                waited += 1
        if waited >= self.patience:
            training.stop(f"no better {self.metric} in {self.patience} epochs")
