"""Adversarial training: a generator learns to make rows that a critic cannot tell from data.

The generator's input row is ``[condition, noise]`` and its output row a sample; the critic's input row is
``[condition, sample]`` and its output one number.
"""

import json
import logging
import os
import time

import numpy as np
from tqdm.auto import tqdm

from simgraft import _core
from simgraft.nn.callbacks import EarlyStopping
from simgraft.nn.flow_matching import normal
from simgraft.nn.history import History
from simgraft.nn.network import _seed
from simgraft.nn.optimizers import Adam
from simgraft.nn.schedule import as_schedule
from simgraft.nn.training import Training, _Arrays

_log = logging.getLogger("simgraft")
_KIND, _VERSION = "adversarial-checkpoint", 1
_CRITIC, _GENERATOR, _SAMPLE, _VECTOR = (0x67616E00 << 32) + np.arange(4)  # streams of random numbers


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


# Loss of the critic, its targets for data and for generated rows; loss of the generator per row and its
# slope, from the critic's number. "wgan" and "hinge" need a critic whose slope is bounded.
LOSSES = {
    "gan": ("binary_cross_entropy", 1.0, 0.0, lambda c: np.logaddexp(0, -c), lambda c: -_sigmoid(-c)),
    "lsgan": ("mse", 1.0, 0.0, lambda c: (c - 1) ** 2, lambda c: 2 * (c - 1)),
    "wgan": ("wasserstein", 1.0, -1.0, lambda c: -c, lambda c: -np.ones_like(c)),
    "hinge": ("hinge", 1.0, -1.0, lambda c: -c, lambda c: -np.ones_like(c)),
}


class SpectralNorm:
    """Divides every weight matrix of a network by its largest singular value, found by power iteration along
    with the training, so that a critic changes by at most the size of the change of its input (with
    activations of slope at most one).

    The optimiser moves ``raw``, the weights before the division; :meth:`pull_back` takes a gradient there.
    Weights of convolutions are taken as matrices (everything else, channels out).

    Parameters
    ----------
    network : Network
        Its parameters are overwritten by the normalised ones at once.
    seed : int
        Of the start vectors.
    iterations : int
        Of the power method per :meth:`apply`.

    References
    ----------
    Miyato, Kataoka, Koyama & Yoshida 2018, arXiv:1802.05957.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import nn
    >>> critic = nn.MLP([32], "leaky_relu").build(2, 1, seed=1)
    >>> norm = nn.adversarial.SpectralNorm(critic, seed=1)
    >>> bool(abs(np.linalg.norm(critic.layers[0][0], 2) - 1) < 1e-3)
    True
    """

    def __init__(self, network, seed, iterations=1):
        self.network, self.iterations = network, iterations
        self.raw = network.parameters.copy()
        self.parts = [
            (offset, (int(np.prod(shape[:-1])), shape[-1]))
            for node in network._graph.nodes()
            for name, offset, shape in node["parameters"]
            if name == "weight" and len(shape) > 1
        ]
        if not self.parts:
            raise ValueError("network: has no weight matrix to normalise")
        n = sum(shape[1] for _, shape in self.parts)
        self.vectors = normal(_seed(seed), _VECTOR, 0, (1, n), network.dtype)[0]
        self.apply(200)

    def _each(self, flat):
        first = 0
        for offset, shape in self.parts:
            yield (
                flat[offset : offset + shape[0] * shape[1]].reshape(shape),
                self.vectors[first : first + shape[1]],
            )
            first += shape[1]

    def apply(self, iterations=None):
        """Normalised weights into the network."""
        effective = self.network.parameters
        effective[:] = self.raw
        tiny, self.found = np.finfo(effective.dtype).tiny, []
        for weight, v in self._each(effective):
            for _ in range(self.iterations if iterations is None else iterations):
                u = weight @ v
                v[:] = weight.T @ (u / max(np.linalg.norm(u), tiny))
                v /= max(np.linalg.norm(v), tiny)
            u = weight @ v
            sigma = max(np.linalg.norm(u), tiny)
            self.found.append((u / sigma, v.copy(), sigma))
            weight /= sigma

    def pull_back(self, gradient):
        """Gradient with respect to ``raw`` from that with respect to the normalised weights, the singular
        vectors being constant."""
        gradient = gradient.copy()
        for (d, _), (weight, _), (u, v, sigma) in zip(
            self._each(gradient), self._each(self.network.parameters), self.found
        ):
            d -= np.vdot(d, weight) * np.outer(u, v)
            d /= sigma
        return gradient


class _Player:
    """A network with its optimiser."""

    def __init__(self, network, optimizer, loss, seed, num_threads, raw=None):
        self.network, self.optimizer = network, optimizer
        self.schedule = as_schedule(optimizer.rate)
        options = (
            None,
            optimizer.clip_norm or 0.0,
            optimizer.clip_value or 0.0,
            optimizer.ema or 0.0,
            num_threads,
            seed,
        )
        terms = [] if loss is None else [(loss, {}, None, 0, network.n_out, 0, network.n_out, 1.0)]
        n_target = 0 if loss is None else network.n_out
        self.trainer = _core.Trainer(
            network._graph, network.parameters, terms, optimizer._pair(), *options, n_target
        )
        self.updater = self.trainer
        if raw is not None:
            self.updater = _core.Trainer(network._graph, raw, terms, optimizer._pair(), *options, n_target)

    def items(self, name):
        found = {f"{name}_parameters": self.updater.parameters}
        found.update({f"{name}_slot{i}": slot for i, slot in enumerate(self.updater.slots)})
        if self.updater.ema is not None:
            found[f"{name}_ema"] = self.updater.ema
        return found


class _Run:
    def __init__(
        self,
        generator,
        critic,
        data,
        loss,
        optimizers,
        critic_steps,
        spectral_norm,
        batch_size,
        seed,
        num_threads,
    ):
        self.generator, self.critic, self.data, self.batch_size, self.seed = (
            generator,
            critic,
            data,
            batch_size,
            seed,
        )
        self.loss, self.critic_steps, self.num_threads = loss, critic_steps, num_threads
        self.n_condition = 0 if data.x is None else data.x.shape[1]
        self.n_noise = generator.n_in - self.n_condition
        name, self.real, self.fake, self.value, self.slope = LOSSES[loss]
        self.norm = SpectralNorm(critic, seed) if spectral_norm else None
        self.players = {
            "generator": _Player(generator, optimizers[0], None, seed, num_threads),
            "critic": _Player(
                critic, optimizers[1], name, seed, num_threads, self.norm.raw if self.norm else None
            ),
        }
        self.no_target = np.empty((batch_size, 0), generator.dtype)

    def fake_rows(self, condition, n, stream, step):
        """Input rows of the generator, its samples, and the rows of the critic made of them."""
        noise = normal(self.seed, stream, step * self.batch_size, (n, self.n_noise), self.generator.dtype)
        row = noise if condition is None else np.hstack([condition, noise])
        out = self.generator._graph.forward(
            self.generator.parameters, row, None, self.num_threads, (self.seed, step)
        )
        return row, out if condition is None else np.hstack([condition, out])

    def train_critic(self, condition, samples, rate):
        player, n = self.players["critic"], len(samples)
        step = player.updater.step
        _, fake = self.fake_rows(condition, n, _CRITIC, step)
        real = samples if condition is None else np.hstack([condition, samples])
        target = np.repeat(np.array([self.real, self.fake], samples.dtype), n)[:, None]
        player.trainer.step = step
        loss, gradient = player.trainer.gradient(np.concatenate([real, fake]), target)
        if self.norm:
            gradient = self.norm.pull_back(gradient)
        player.updater.update(gradient, rate, player.trainer.observed)
        if self.norm:
            self.norm.apply()
        return loss

    def train_generator(self, condition, n, rate):
        player, critic = self.players["generator"], self.critic
        step = player.trainer.step
        row, fake = self.fake_rows(condition, n, _GENERATOR, step)
        number = critic._graph.forward(critic.parameters, fake, None, self.num_threads, (self.seed, step))
        d_fake = critic._graph.backward(
            critic.parameters, fake, self.slope(number) / n, False, self.num_threads, (self.seed, step)
        )[1]
        _, gradient = player.trainer.gradient(
            row, self.no_target[:n], None, None, np.ascontiguousarray(d_fake[:, self.n_condition :])
        )
        player.trainer.update(gradient, rate)
        return float(np.mean(self.value(number)))

    def train_epoch(self, epoch, epochs, history, progress):
        data, size = self.data, self.batch_size
        order = _core.nn_shuffle(self.seed, epoch, data.n, 1)
        n_batches = -(-data.n // size)
        sums = {"generator": [0.0, 0], "critic": [0.0, 0]}
        for b in range(n_batches):
            rows = order[b * size : (b + 1) * size]
            condition = None if data.x is None else data.x[rows]
            rates = {
                name: float(p.schedule.at(epoch + b / n_batches, epochs, history.rows))
                for name, p in self.players.items()
            }
            losses = {"critic": self.train_critic(condition, data.y[rows], rates["critic"])}
            if (b + 1) % self.critic_steps == 0:
                losses["generator"] = self.train_generator(condition, len(rows), rates["generator"])
            for name, loss in losses.items():
                if not np.isfinite(loss):
                    raise _core.DivergedError(f"{name}: the loss is not finite in epoch {epoch + 1}")
                sums[name][0] += loss
                sums[name][1] += 1
            progress(b + 1, n_batches)
        return {f"{name}_loss": total / max(count, 1) for name, (total, count) in sums.items()} | {
            "rate": rates["generator"]
        }


def fit(
    generator,
    critic,
    batches,
    *,
    loss="wgan",
    optimizer=None,
    critic_optimizer=None,
    critic_steps=1,
    spectral_norm=None,
    epochs=100,
    batch_size=256,
    seed=0,
    callbacks=(),
    checkpoint=None,
    num_threads=None,
    progress=True,
):
    """Train a generator and a critic in turns.

    Parameters
    ----------
    generator, critic : Network
        Trained in place. The generator takes ``[condition, noise]`` and gives a sample, the critic takes
        ``[condition, sample]`` and gives one number.
    batches : (condition, samples)
        Arrays (n, n_condition) or None, and (n, d), of the networks' dtype.
    loss : {"wgan", "lsgan", "hinge", "gan"}
        Wasserstein (Arjovsky et al. 2017, arXiv:1701.07875), least squares (Mao et al. 2017,
        arXiv:1611.04076), hinge (Lim & Ye 2017, arXiv:1705.02894), or the non-saturating loss of Goodfellow
        et al. 2014, arXiv:1406.2661.
    optimizer, critic_optimizer : optimizer, optional
        Default ``Adam(1e-3, beta1=0.5)``. With ``ema`` in the generator's, the average of its weights is the
        result.
    critic_steps : int
        Updates of the critic per update of the generator, >= 1.
    spectral_norm : bool, optional
        Normalise the critic's weights (:class:`SpectralNorm`); default for "wgan" and "hinge".
    epochs, batch_size, seed, num_threads, progress
        As in :func:`simgraft.nn.fit`.
    callbacks : list of callable
        As in :func:`simgraft.nn.fit`, with the generator as ``training.network``. An :class:`EarlyStopping`
        chooses the weights that are put back; without one they are the last, since neither loss says how good
        the samples are.
    checkpoint : path, optional
        Written after each epoch; if the file exists, training goes on from it and ends with the same bits.

    Returns
    -------
    History
        With "generator_loss", "critic_loss", and what the callbacks return.

    Raises
    ------
    DivergedError
        If a loss becomes NaN or infinite.
    TypeError, ValueError
        For sizes that do not go together; the message names the argument.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import nn
    >>> data = 2 + 0.3 * np.random.default_rng(1).normal(size=(1024, 1)).astype(np.float32)
    >>> generator = nn.MLP([16], "tanh").build(2, 1, seed=1)
    >>> critic = nn.MLP([16], "leaky_relu").build(1, 1, seed=2)
    >>> history = nn.adversarial.fit(
    ...     generator, critic, (None, data), loss="gan", epochs=80, batch_size=64, seed=1, progress=False)
    >>> samples = nn.adversarial.sample(generator, 1000, seed=2)
    >>> bool(abs(samples.mean() - 2) < 0.3)
    True
    """
    if loss not in LOSSES:
        raise ValueError(f"loss: expected one of {', '.join(LOSSES)}, got {loss!r}")
    for value, name in ((epochs, "epochs"), (batch_size, "batch_size"), (critic_steps, "critic_steps")):
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name}: expected an integer >= 1, got {value!r}")
    condition, samples = batches
    data = _Arrays((samples if condition is None else condition, samples), "batches")
    n_condition = 0 if condition is None else condition.shape[1]
    if condition is None:
        data.x = None
    sizes = {
        "critic": (critic.n_in, n_condition + samples.shape[1]),
        "generator": (generator.n_out, samples.shape[1]),
        "critic's output": (critic.n_out, 1),
    }
    for name, (found, expected) in sizes.items():
        if found != expected:
            raise ValueError(f"{name}: expected {expected} columns, got {found}")
    if generator.n_in <= n_condition:
        raise ValueError(
            f"generator: expected more inputs than the {n_condition} of the condition, got {generator.n_in}"
        )
    if len({generator.dtype, critic.dtype, samples.dtype}) != 1:
        raise TypeError(
            f"batches: expected {generator.dtype} as the generator, got samples {samples.dtype} "
            f"and critic {critic.dtype}"
        )
    optimizers = optimizer or Adam(1e-3, beta1=0.5), critic_optimizer or Adam(1e-3, beta1=0.5)
    spectral_norm = loss in ("wgan", "hinge") if spectral_norm is None else spectral_norm
    run = _Run(
        generator,
        critic,
        data,
        loss,
        optimizers,
        critic_steps,
        spectral_norm,
        int(batch_size),
        _seed(seed),
        num_threads or 0,
    )
    stopper = next((c for c in callbacks if isinstance(c, EarlyStopping)), None)
    history = History(stopper.metric if stopper else "generator_loss", stopper.mode if stopper else "min")
    fingerprint = {
        "generator": generator.spec,
        "critic": critic.spec,
        "loss": loss,
        "optimizers": [repr(o) for o in optimizers],
        "critic_steps": critic_steps,
        "spectral_norm": spectral_norm,
        "batch_size": batch_size,
        "seed": seed,
        "data": list(samples.shape),
    }
    best = None
    if checkpoint is not None and os.path.exists(checkpoint):
        history, best = _load(os.fspath(checkpoint), run, fingerprint)
    updater = run.players["generator"].updater
    training, before, start = Training(generator, epochs, history), history.seconds, time.monotonic()
    bar = tqdm(total=epochs, initial=len(history), disable=not progress, unit="epoch", mininterval=0.1)

    def advance(done, total):
        bar.n = len(history) + done / total
        bar.update(0)

    stopped = history.stopped if history.stopped not in ("", "finished") else "finished"
    try:
        while len(history) < epochs and stopped == "finished":
            row = run.train_epoch(len(history), epochs, history, advance)
            raw = generator.parameters.copy()
            if updater.ema is not None:
                generator.parameters[:] = updater.ema
            history.rows.append(row)
            try:
                for callback in callbacks:
                    row.update({k: float(v) for k, v in (callback(training) or {}).items()})
                value = training.value(row, history.monitor)
            except BaseException:
                history.rows.pop()
                raise
            sign = 1 if history.mode == "min" else -1
            if stopper is None or best is None or sign * value < sign * history.best:
                best = generator.parameters.copy()
                history.best_epoch = len(history)
            generator.parameters[:] = raw
            history.seconds = before + time.monotonic() - start
            stopped = history.stopped = training.stop_reason or "finished"
            bar.set_postfix({k: f"{v:.4g}" for k, v in row.items() if k != "rate"})
            if checkpoint is not None:
                _save(os.fspath(checkpoint), run, fingerprint, history, best)
    except KeyboardInterrupt:
        stopped = "interrupted"
        _log.warning(
            "training interrupted in epoch %d; the weights of epoch %d are kept",
            len(history) + 1,
            history.best_epoch,
        )
    finally:
        bar.close()
        if best is not None:
            generator.parameters[:] = best
    history.stopped = stopped
    history.seconds = before + time.monotonic() - start
    return history


def _save(path, run, fingerprint, history, best):
    items = {"best": best}
    steps = {}
    for name, player in run.players.items():
        items.update(player.items(name))
        steps[name] = player.updater.step
    if run.norm:
        items["vectors"] = run.norm.vectors
    items["state"] = json.dumps({"fingerprint": fingerprint, "steps": steps, "history": history.to_dict()})
    _core.container_write(path, _KIND, _VERSION, items)


def _load(path, run, fingerprint):
    items = _core.container_read(path, _KIND, _VERSION)
    state = json.loads(items["state"])
    for key, value in json.loads(json.dumps(fingerprint)).items():
        if state["fingerprint"].get(key) != value:
            raise ValueError(
                f"checkpoint: {path} was written by a training with another {key}; give another path "
                "or remove the file"
            )
    for name, player in run.players.items():
        for key, array in player.items(name).items():
            array[:] = items[key]
        player.updater.step = state["steps"][name]
    if run.norm:
        run.norm.vectors[:] = items["vectors"]
        run.norm.apply(0)
    return History.from_dict(state["history"]), items["best"]


def sample(generator, n, condition=None, *, seed, num_threads=None):
    """New samples from a trained generator.

    Parameters
    ----------
    generator : Network
        Input row ``[condition, noise]``.
    n : int
        Number of samples.
    condition : (n, n_condition) or (n_condition,) array, optional
    seed : int
        Sample i has the same bits whatever ``n`` and ``num_threads``.
    num_threads : int, optional

    Returns
    -------
    (n, d) array

    Examples
    --------
    >>> from simgraft import nn
    >>> generator = nn.MLP([8]).build(5, 2, seed=1)
    >>> nn.adversarial.sample(generator, 4, seed=1).shape
    (4, 2)
    """
    n_condition = 0 if condition is None else np.shape(condition)[-1]
    if generator.n_in <= n_condition:
        raise ValueError(f"condition: expected fewer than {generator.n_in} columns, got {n_condition}")
    row = np.empty((n, generator.n_in), generator.dtype)
    if n_condition:
        row[:, :n_condition] = condition
    row[:, n_condition:] = normal(_seed(seed), _SAMPLE, 0, (n, generator.n_in - n_condition), generator.dtype)
    return generator.predict(row, num_threads=num_threads)
