"""Training: bits, optimisers against independent formulas, schedules, stopping, checkpoints, interrupts, wrong input."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from simgraft import DivergedError, FileFormatError, NotFiniteError, _core, nn


def data(n=500, n_in=5, n_out=3, dtype=np.float32, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, n_in)).astype(dtype)
    y = np.stack([np.sin((k + 1) * x[:, 0]) * x[:, 1] for k in range(n_out)], axis=1).astype(dtype)
    return x, y, rng.uniform(0.5, 1.5, n).astype(dtype)


def train(*, network=None, arrays=None, seed=7, **options):
    network = network or nn.MLP([17, 33], "swish").build(5, 3, seed=3)
    options = {"epochs": 4, "batch_size": 150, "progress": False, "num_threads": 1} | options
    history = nn.fit(network, arrays or data(), seed=seed, **options)
    return network, history


def digest(network):
    return hashlib.sha256(network.parameters.tobytes()).hexdigest()


class Batches:
    """A data source as the readers of data sets are: a shuffled stream of batches."""

    def __init__(self, arrays, size):
        self.arrays, self.size = arrays, size

    def epoch(self, seed):
        x, y, weight = self.arrays
        order = np.random.default_rng(seed).permutation(len(x))
        for first in range(0, len(x), self.size):
            rows = order[first:first + self.size]
            yield x[rows], y[rows], weight[rows]


OPTIMIZERS = [nn.SGD(0.05, momentum=0.9, nesterov=True), nn.Adam(3e-3, ema=0.9), nn.AdamW(nn.schedule.Cosine(3e-3), clip_norm=0.5)]
each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)


# --------------------------------------------------------------------------------------------------------------- bits
def test_training_twice_gives_the_same_weights():
    assert digest(train()[0]) == digest(train()[0])
    assert digest(train(seed=8)[0]) != digest(train()[0])


@each_optimizer
def test_the_number_of_threads_does_not_change_a_bit(optimizer):
    # 70,000 parameters: several blocks in the parallel update too.
    found = [digest(train(network=nn.MLP([256, 256]).build(5, 3, seed=3), num_threads=n, epochs=2, batch_size=400, optimizer=optimizer)[0])
             for n in (1, 2, 3)]
    assert len(set(found)) == 1


@pytest.mark.skipif(_core.isa_best() != "v4", reason="needs a CPU with AVX-512")
@pytest.mark.parametrize("loss", [nn.MSE(), nn.MAE(), nn.Huber(0.1), nn.Hybrid(0.6)], ids=lambda o: type(o).__name__)
def test_avx2_and_avx512_train_the_same_weights(loss):
    found = []
    try:
        for isa in ("v3", "v4"):
            _core.isa_set(isa)
            network, history = train(loss=loss, optimizer=nn.Adam(clip_norm=0.1), validation=data(seed=2))
            found.append((digest(network), history.rows))
    finally:
        _core.isa_set("auto")
    assert found[0] == found[1]


def test_start_values_are_the_same_in_both_precisions_and_follow_their_law():
    single = nn.MLP([400]).build(300, 20, seed=5)
    double = nn.MLP([400]).build(300, 20, seed=5, dtype="float64")
    np.testing.assert_array_equal(single.parameters, double.parameters.astype(np.float32))
    weight, bias, _ = double.layers[0]
    limit = np.sqrt(6 / 700)  # Glorot & Bengio
    assert abs(weight).max() <= limit and not bias.any()
    # 120,000 draws: standard error of the deviation is limit / sqrt(3) / sqrt(2 n) * 0.9, so 1 % is beyond 4 sigma.
    assert weight.std() == pytest.approx(limit / np.sqrt(3), rel=0.01)
    for name, deviation in (("he_normal", np.sqrt(2 / 300)), ("lecun_normal", np.sqrt(1 / 300)), ("glorot_normal", np.sqrt(2 / 700)),
                            ("he_uniform", np.sqrt(2 / 300)), ("lecun_uniform", np.sqrt(1 / 300))):
        weight = nn.MLP([400], initializer=name).build(300, 20, seed=5, dtype="float64").layers[0][0]
        assert weight.std() == pytest.approx(deviation, rel=0.01)


def test_order_of_rows_is_a_permutation_that_keeps_groups_and_changes_with_the_epoch():
    order = _core.nn_shuffle(3, 0, 600, 6)
    assert sorted(order) == list(range(600))
    groups = order.reshape(-1, 6)
    np.testing.assert_array_equal(groups, groups[:, :1] + np.arange(6))
    assert not (groups[:, 0] % 6).any()
    assert (order != _core.nn_shuffle(3, 1, 600, 6)).any()


# ---------------------------------------------------------------------------------- optimisers by their formulas
def numpy_steps(name, a, p, gradients, rate):
    """The updates as the papers and PyTorch's documentation write them, one array operation each."""
    m, v, t = np.zeros_like(p), np.zeros_like(p), 0
    for g in gradients(lambda: p):
        t += 1
        if name == "sgd":
            g = g + a["weight_decay"] * p
            m = a["momentum"] * m + g
            p = p - rate * (g + a["momentum"] * m if a["nesterov"] else m)
            continue
        if name == "adamw":
            p = p - rate * a["weight_decay"] * p
        else:
            g = g + a["weight_decay"] * p
        m = a["beta1"] * m + (1 - a["beta1"]) * g
        v = a["beta2"] * v + (1 - a["beta2"]) * g**2
        p = p - rate * (m / (1 - a["beta1"]**t)) / (np.sqrt(v / (1 - a["beta2"]**t)) + a["epsilon"])
    return p


UPDATES = [
    ("sgd", {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}),
    ("sgd", {"momentum": 0.9, "nesterov": False, "weight_decay": 0.1}),
    ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("adam", {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6, "weight_decay": 0.1}),
    ("adamw", {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6, "weight_decay": 0.1}),
]
each_update = pytest.mark.parametrize("name, attributes", UPDATES, ids=lambda v: v if isinstance(v, str) else "")


def linear_trainer(name, attributes, dtype=np.float64, **options):
    graph = _core.Graph([("input", (), {"shape": 4}), ("dense", (0,), {"units": 19, "activation": "tanh"})])
    p = np.random.default_rng(2).normal(0, 0.3, graph.n_parameters).astype(dtype)
    return _core.Trainer(graph, p, ("mse", {}), (name, attributes), num_threads=1, **options), p


@each_update
def test_updates_follow_their_formulas(name, attributes):
    x, y, _ = data(64, 4, 19, np.float64)
    trainer, p = linear_trainer(name, attributes)
    start = p.copy()
    seen = []
    for _ in range(7):
        seen.append(trainer.gradient(x, y)[1])
        trainer.epoch(x, y, None, None, 64, np.array([0.01]))
    expected = numpy_steps(name, attributes, start, lambda p: iter(seen), 0.01)
    # Seven steps of a dozen roundings each.
    np.testing.assert_allclose(p, expected, rtol=0, atol=1e-14)


@each_update
def test_updates_are_those_of_pytorch(name, attributes):
    torch = pytest.importorskip("torch")
    x, y, _ = data(64, 4, 19, np.float64)
    trainer, p = linear_trainer(name, attributes)
    weight = torch.tensor(p[:76].reshape(4, 19).copy(), requires_grad=True)
    bias = torch.tensor(p[76:].copy(), requires_grad=True)
    if name == "sgd":
        other = torch.optim.SGD([weight, bias], 0.01, **attributes)
    else:
        other = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](
            [weight, bias], 0.01, betas=(attributes["beta1"], attributes["beta2"]), eps=attributes["epsilon"],
            weight_decay=attributes["weight_decay"])
    for _ in range(7):
        trainer.epoch(x, y, None, None, 64, np.array([0.01]))
        other.zero_grad()
        torch.mean((torch.tanh(torch.tensor(x) @ weight + bias) - torch.tensor(y))**2).backward()
        other.step()
    theirs = np.concatenate([weight.detach().numpy().ravel(), bias.detach().numpy()])
    # Gradients differ by the order of sums over 64 rows (1e-16 each); Adam divides by their root mean square of about 1e-2.
    np.testing.assert_allclose(p, theirs, rtol=0, atol=1e-13)


def test_clipping_by_norm_and_value():
    x, y, _ = data(64, 4, 19, np.float64)
    for options in ({"clip_norm": 0.01}, {"clip_value": 0.002}):
        trainer, p = linear_trainer("sgd", {}, **options)
        before, gradient = p.copy(), trainer.gradient(x, y)[1]
        trainer.epoch(x, y, None, None, 64, np.array([1.0]))
        norm = np.linalg.norm(gradient)
        assert norm > 0.02 and abs(gradient).max() > 0.004  # otherwise nothing is tested
        expected = gradient * 0.01 / norm if "clip_norm" in options else np.clip(gradient, -0.002, 0.002)
        np.testing.assert_allclose(before - p, expected, rtol=0, atol=1e-15)


def test_moving_average_of_weights():
    x, y, _ = data(64, 4, 19, np.float64)
    trainer, p = linear_trainer("sgd", {}, ema=0.75)
    average = p.copy()
    for _ in range(5):
        trainer.epoch(x, y, None, None, 64, np.array([0.1]))
        average = 0.75 * average + 0.25 * p
    np.testing.assert_allclose(trainer.ema, average, rtol=0, atol=1e-15)


@pytest.mark.parametrize("n", (1, 2, 95, 97, 500, 7000))
def test_gradient_of_a_batch_is_the_mean_over_its_rows(n):
    """Whatever the number of chunks and groups; 7000 rows make more than 64 chunks."""
    x, y, weight = data(n, 4, 19, np.float64)
    trainer, p = linear_trainer("sgd", {})
    prediction = np.tanh(x @ p[:76].reshape(4, 19) + p[76:])
    d = 2 * weight[:, None] * (prediction - y) * (1 - prediction**2) / y.size
    loss, gradient = trainer.gradient(x, y, weight)
    assert loss == pytest.approx(np.mean(weight[:, None] * (prediction - y)**2), rel=1e-13)
    np.testing.assert_allclose(gradient, np.concatenate([(x.T @ d).ravel(), d.sum(0)]), rtol=0, atol=1e-15)
    order = np.random.default_rng(1).permutation(n)
    np.testing.assert_allclose(trainer.gradient(x, y, weight, order)[1], gradient, rtol=0, atol=1e-15)


# ---------------------------------------------------------------------------------------------------------- schedules
def test_schedules_at_known_times():
    t = np.array([0.0, 10.0, 20.0])
    s = nn.schedule
    np.testing.assert_allclose(s.Constant(0.1).at(t, 20), 0.1)
    np.testing.assert_allclose(s.Step(1.0, 0.8, 10).at([0, 9.99, 10, 25], 30), [1, 1, 0.8, 0.64])
    np.testing.assert_allclose(s.Exponential(1.0, 0.9).at(t, 20), 0.9**t)
    np.testing.assert_allclose(s.Cosine(1.0, 0.2).at(t, 20), [1.0, 0.6, 0.2])
    np.testing.assert_allclose(s.OneCycle(1.0, 10, 100, 0.5).at(t, 20), [0.1, 1.0, 0.01])
    np.testing.assert_allclose(s.WarmUp(0.1, 20).at(t, 40), [1e-4, 0.05, 0.1])
    rows = [{"validation_loss": v} for v in (3, 2, 2, 2, 2, 1, 1, 1, 1)]
    rates = [float(s.Plateau(1.0, 0.5, 2).at(i, 20, rows[:i])) for i in range(10)]
    assert rates == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_schedule_reaches_the_optimizer_step_by_step():
    x, y, _ = data(64, 5, 3)
    network = nn.MLP([4]).build(5, 3, seed=1)
    start = network.parameters.copy()
    train(network=network, arrays=(x, y), epochs=1, batch_size=16, optimizer=nn.SGD(0.0))
    np.testing.assert_array_equal(network.parameters, start)
    _, history = train(arrays=(x, y), epochs=4, batch_size=16, optimizer=nn.SGD(nn.schedule.Exponential(1e-3, 0.5)))
    np.testing.assert_allclose(history["rate"], 1e-3 * 0.5 ** (np.arange(4) + 0.75))


# ------------------------------------------------------------------------------------------ stopping and best weights
def test_early_stopping_on_a_callback_metric_puts_the_best_weights_back():
    scores, weights = iter([5, 3, 4, 2, 6, 7, 8, 1]), []

    def score(training):
        weights.append(training.network.parameters.copy())
        return {"flux_rmse": next(scores)}

    network, history = train(epochs=8, callbacks=[score, nn.EarlyStopping("flux_rmse", patience=3)])
    assert len(history) == 7 and history.best_epoch == 4 and history.best == 2
    assert history.stopped == "no better flux_rmse in 3 epochs"
    np.testing.assert_array_equal(network.parameters, weights[3])


def test_largest_metric_is_best_in_mode_max():
    scores = iter([1, 3, 2, 2])
    _, history = train(epochs=4, callbacks=[lambda t: {"skill": next(scores)}, nn.EarlyStopping("skill", patience=5, mode="max")])
    assert history.best_epoch == 2 and history.stopped == "finished"


def test_a_metric_that_nobody_computes_is_named():
    with pytest.raises(ValueError, match="there is no metric 'flux'; there are loss, rate"):
        train(callbacks=[nn.EarlyStopping("flux")])


def test_callbacks_see_the_averaged_weights():
    seen = []
    network, history = train(optimizer=nn.Adam(ema=0.9), epochs=1, callbacks=[lambda t: seen.append(t.network.parameters.copy())])
    np.testing.assert_array_equal(network.parameters, seen[0])


def test_an_exception_in_a_callback_leaves_the_best_weights():
    weights = []

    def fails_in_epoch_3(training):
        weights.append(training.network.parameters.copy())
        if training.epoch == 3:
            raise RuntimeError("mine")

    network = nn.MLP([8]).build(5, 3, seed=1)
    with pytest.raises(RuntimeError, match="mine"):
        train(network=network, callbacks=[fails_in_epoch_3])
    np.testing.assert_array_equal(network.parameters, weights[1])


def test_hybrid_loss_sees_differences_that_mse_does_not_weigh():
    """Pairs that differ by a small perturbation: the share of the differences must make the network fit them better."""
    rng = np.random.default_rng(1)
    base = rng.uniform(-1, 1, (600, 2)).astype(np.float32)
    x = np.repeat(base, 2, axis=0)
    x[1::2, 0] += np.float32(0.05)
    y = np.sin(4 * x[:, :1]) + 3 * x[:, 1:]
    errors = []
    for loss in (nn.Hybrid(0.0), nn.Hybrid(0.95)):
        network, _ = train(network=nn.MLP([16], "tanh").build(2, 1, seed=1), arrays=(x, y), loss=loss, epochs=60, batch_size=100,
                           optimizer=nn.Adam(1e-2))
        e = network.predict(x) - y
        errors.append(np.abs(e[1::2] - e[::2]).mean())
    assert errors[1] < 0.7 * errors[0]


# -------------------------------------------------------------------------------------------------------- checkpoints
@pytest.mark.parametrize("stream", (False, True), ids=("arrays", "stream"))
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, nn.Adam(nn.schedule.Plateau(3e-3, 0.5, 1, "loss", threshold=0.5))],
                         ids=lambda o: type(o).__name__)
def test_resumed_training_ends_with_the_bits_of_an_uninterrupted_one(tmp_path, optimizer, stream):
    arrays = Batches(data(), 150) if stream else data()
    options = {"arrays": arrays, "optimizer": optimizer, "validation": data(seed=2), "epochs": 6,
               "callbacks": [nn.EarlyStopping(patience=50)]}
    whole, whole_history = train(**options)
    for epoch in (2, 3, 5, None):
        part, part_history = train(**options | {"callbacks": [Interrupt(epoch), *options["callbacks"]]}, checkpoint=tmp_path / "run.ckpt")
        assert part_history.stopped == ("interrupted" if epoch else "finished")
    assert digest(part) == digest(whole)
    assert part_history.rows == whole_history.rows and part_history.best_epoch == whole_history.best_epoch
    assert os.listdir(tmp_path) == ["run.ckpt"]


class Interrupt:
    """Ctrl-C at the end of an epoch, which is then not counted."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, training):
        if training.epoch == self.epoch:
            raise KeyboardInterrupt


def test_a_stopped_training_stays_stopped(tmp_path):
    options = {"epochs": 9, "checkpoint": tmp_path / "c", "callbacks": [lambda t: {"score": 1.0}, nn.EarlyStopping("score", 2)]}
    first, history = train(**options)
    again, resumed = train(**options)
    assert len(resumed) == len(history) == 3 and resumed.stopped == history.stopped and digest(first) == digest(again)


@pytest.mark.parametrize("change, named", [
    ({"seed": 8}, "seed"), ({"batch_size": 100}, "batch_size"), ({"loss": nn.MAE()}, "loss"), ({"optimizer": nn.SGD()}, "optimizer"),
    ({"optimizer": nn.Adam(1.0)}, "rate"), ({"network": nn.MLP([4]).build(5, 3, seed=1)}, "network"), ({"arrays": data(400)}, "data"),
])
def test_a_checkpoint_of_another_training_is_refused(tmp_path, change, named):
    train(checkpoint=tmp_path / "c", epochs=1)
    with pytest.raises(ValueError, match=f"another {named}"):
        train(**{"checkpoint": tmp_path / "c", "epochs": 2} | change)


def test_a_checkpoint_that_cannot_be_written_is_refused_before_training(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoint: there is no folder"):
        train(checkpoint=tmp_path / "missing" / "c", callbacks=[lambda t: pytest.fail("it trained")])


def test_a_checkpoint_that_fails_to_be_written_leaves_the_best_weights(tmp_path):
    network, weights = nn.MLP([8]).build(5, 3, seed=1), []

    def remove_folder_in_epoch_2(training):
        weights.append(training.network.parameters.copy())
        if training.epoch == 2:
            (tmp_path / "run" / "c").unlink()
            (tmp_path / "run").rmdir()

    (tmp_path / "run").mkdir()
    with pytest.raises(OSError, match="run/c"):
        train(network=network, checkpoint=tmp_path / "run" / "c", callbacks=[remove_folder_in_epoch_2])
    np.testing.assert_array_equal(network.parameters, weights[1])


def test_a_damaged_checkpoint_is_refused(tmp_path):
    train(checkpoint=tmp_path / "c", epochs=1)
    content = bytearray((tmp_path / "c").read_bytes())
    content[len(content) // 2] ^= 16
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(FileFormatError):
        train(checkpoint=tmp_path / "c", epochs=2)


# ---------------------------------------------------------------------------------------- Ctrl-C and divergence
SLOW_TRAINING = """
    import sys, time
    import numpy as np
    from simgraft import nn
    x = np.random.default_rng(1).normal(size=(400_000, 7)).astype(np.float32)
    y = np.sin(x @ np.ones((7, 64), np.float32))
    network = nn.MLP([64, 64]).build(7, 64, seed=1)
    best = {}
    def note(training):
        best[training.epoch] = training.network.parameters.copy()
        print("epoch", training.epoch, flush=True)
    history = nn.fit(network, BATCHES, validation=(x[:1000], y[:1000]), epochs=1000, batch_size=512, seed=1, callbacks=[note],
                     num_threads=1, progress=False, optimizer=nn.Adam(1e-4))
    assert history.stopped == "interrupted", history
    assert history.best_epoch == 0 or (network.parameters == best[history.best_epoch]).all()
    assert np.isfinite(network.parameters).all()
    print("clean", len(history), flush=True)
"""


@pytest.mark.parametrize("when", ("first epoch", "later"))
def test_ctrl_c_ends_cleanly_with_the_best_weights(when):
    # An epoch of 781 steps takes about half a second, a stop within one must not wait for its end.
    source = textwrap.dedent(SLOW_TRAINING).replace("BATCHES", "(x, y)").replace("history =", 'print("start", flush=True)\nhistory =')
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "start\n"
        if when == "later":
            assert process.stdout.readline() == "epoch 1\n"
        time.sleep(0.2)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "clean" in rest
    assert time.monotonic() - sent < 10  # 50 ms poll + start-up of a loaded machine; the training would take minutes


def test_divergence_names_epoch_and_step_and_keeps_the_best_weights():
    network = nn.MLP([8], "relu").build(5, 3, seed=1)
    weights = []

    class Explode(nn.schedule.Constant):
        def at(self, epoch, epochs, history=()):
            return np.full_like(np.asarray(epoch, float), 1e-3 if len(history) < 2 else 1e30)

    with pytest.raises(DivergedError, match=r"diverged in epoch 3: loss: is (NaN|infinite) in step 10; the weights of epoch 2") as caught:
        train(network=network, optimizer=nn.SGD(Explode()), callbacks=[lambda t: weights.append(t.network.parameters.copy())])
    # Four steps per epoch: step 9 does the damage, step 10 sees it.
    np.testing.assert_array_equal(network.parameters, weights[1])
    assert caught.value.history.stopped == "diverged"


# -------------------------------------------------------------------------------------------------------- wrong input
def altered(index, value):
    arrays = [a.copy() for a in data()]
    arrays[index] = value(arrays[index])
    return tuple(arrays)


def with_nan(array):
    array[17, 1] = np.nan
    return array


@pytest.mark.parametrize("arrays, error, message", [
    (altered(0, with_nan), NotFiniteError, r"x\[17, 1\] is NaN"),
    (altered(1, with_nan), NotFiniteError, r"y\[17, 1\] is NaN"),
    (altered(0, lambda x: x.astype(np.float64)), TypeError, r"x: expected float32 array of shape \(n, n_in=5\), got float64"),
    (altered(1, lambda y: y[:-1]), ValueError, r"y: expected shape \(n=500, n_out=3\), got \(499, 3\)"),
    (altered(0, lambda x: x[:, :4]), ValueError, r"x: expected shape \(n, n_in=5\), got \(500, 4\)"),
    (altered(2, lambda w: w[:-1]), ValueError, r"weight: expected shape \(n=500,\)"),
    (altered(0, lambda x: x[:0]), ValueError, "x: expected at least one row"),
    (data()[:1], ValueError, r"batches: expected \(x, y\) or \(x, y, weight\), got 1 arrays"),
    (3, TypeError, r"batches: expected \(x, y\)"),
])
def test_data_that_do_not_fit_are_refused_by_name(arrays, error, message):
    with pytest.raises(error, match=message):
        train(arrays=arrays)


@pytest.mark.parametrize("options, message", [
    ({"epochs": 0}, "epochs: expected an integer >= 1"),
    ({"batch_size": 0}, "batch_size: expected an integer >= 1"),
    ({"seed": -1}, "seed: expected an integer"),
    ({"optimizer": nn.Adam(-1.0)}, "rate: expected a number >= 0 or a schedule"),
    ({"optimizer": nn.Adam(beta1=1.5)}, r"beta1: expected a number in \[0, 0.9999999\], got 1.5"),
    ({"optimizer": nn.Adam(ema=1.0)}, r"ema: expected a decay in \[0, 1\), got 1"),
    ({"optimizer": nn.Adam(clip_norm=-1.0)}, "clip_norm: expected 0"),
    ({"loss": nn.Huber(-1.0)}, "delta: expected a number"),
    ({"loss": nn.Hybrid(group=3)}, "batches: the loss compares groups of 3 rows, got 500 rows"),
    ({"loss": nn.Hybrid(), "batch_size": 151}, "batch_size: the loss compares groups of 2 rows, got 151 rows"),
    ({"loss": nn.MSE([1.0, 2.0])}, r"column_weight: expected shape \(n_out=3,\)"),
    ({"validation": (data()[0], data()[1][:7])}, r"y: expected shape"),
])
def test_options_that_make_no_sense_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        train(**options)


def test_wrong_networks_are_refused():
    with pytest.raises(ValueError, match="hidden|units"):
        nn.MLP([0]).build(3, 2, seed=1)
    with pytest.raises(ValueError, match="dtype: expected float32 or float64, got float16"):
        nn.MLP([4]).build(3, 2, seed=1, dtype="float16")
    with pytest.raises(ValueError, match="activation: expected one of linear, relu"):
        nn.MLP([4], "reluu").build(3, 2, seed=1)
    with pytest.raises(ValueError, match="expected a network with 2 outputs, got 3"):
        nn.Model(lambda x, n_out: nn.Dense(3)(x)).build(5, 2, seed=1)
    with pytest.raises(ValueError, match="the output depends on an Input that is not in the list"):
        nn.Network.from_graph(nn.Input(2), nn.Dense(3)(nn.Input(4)), seed=1)
    with pytest.raises(TypeError, match="Dense: missing argument 'units'"):
        nn.Dense()


def test_no_allocation_failure_goes_unnoticed_in_training():
    x, y, weight = data(60)
    network = nn.MLP([6]).build(5, 3, seed=1)
    start = network.parameters.copy()

    def work():
        network.parameters[:] = start
        trainer = _core.Trainer(network._graph, network.parameters, ("mse", {}), ("adam", {}), np.ones(3, np.float32), num_threads=1)
        return trainer.epoch(x, y, weight, None, 20, np.full(3, 1e-3)), trainer.evaluate(x, y, weight)[0]

    expected = work()
    for n in range(100):
        _core.memory_fail_after(n)
        try:
            found = work()
        except MemoryError:
            np.testing.assert_array_equal(network.parameters, start)  # nothing was trained
            continue
        finally:
            _core.memory_fail_after(-1)
        break
    assert n >= 11  # trainer 8, plan 4; nothing is allocated while training
    assert found == expected


# ------------------------------------------------------------------------------------------------------ the small things
def test_objects_only_store_and_can_be_changed_by_name():
    optimizer = nn.Adam(nn.schedule.Step(0.1), clip_norm=1.0)
    assert optimizer.get_params()["rate__factor"] == 0.8
    optimizer.set_params(rate__factor=0.5, beta1=0.8)
    assert repr(optimizer) == "Adam(rate=Step(rate=0.1, factor=0.5), beta1=0.8, clip_norm=1.0)"
    with pytest.raises(ValueError, match="Adam has no parameter 'momentum'"):
        optimizer.set_params(momentum=1)


def test_network_survives_json():
    network, _ = train(network=nn.Model(lambda x, n: nn.Dense(n)(nn.Add()(nn.Dense(5, "elu")(x), x))).build(5, 3, seed=1))
    again = nn.Network.from_spec(json.loads(json.dumps(network.spec)), network.parameters.copy())
    x = data()[0]
    np.testing.assert_array_equal(again.predict(x), network.predict(x))
    assert not network.is_chain
    with pytest.raises(ValueError, match="not a chain of dense layers"):
        network.layers


def test_layers_are_views_that_predict_uses():
    network = nn.MLP([4], "leaky_relu").build(2, 1, seed=1)
    weight, bias, activation = network.layers[-1]
    assert activation == "linear" and network.layers[0][2] == ("leaky_relu", 0.01)
    x = np.ones((3, 2), np.float32)
    before = network.predict(x)
    bias += 1
    np.testing.assert_allclose(network.predict(x), before + 1, rtol=1e-6)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("activation", nn.ACTIVATIONS)
def test_fused_prediction_has_the_bits_of_the_forward_pass_of_training(activation, dtype):
    network = nn.MLP([33, 17], activation, activation).build(5, 19, seed=1, dtype=dtype)
    x = np.random.default_rng(1).normal(size=(200, 5)).astype(dtype)
    np.testing.assert_array_equal(network.predict(x), network._graph.forward(network.parameters, x))


def test_vjp_is_the_transpose_of_the_derivative():
    rng = np.random.default_rng(1)
    network = nn.MLP([9, 8], "tanh").build(5, 3, seed=1, dtype="float64")
    x, dx, dy = rng.normal(size=(7, 5)), rng.normal(size=(7, 5)), rng.normal(size=(7, 3))
    h = 1e-6
    jvp = (network.predict(x + h * dx) - network.predict(x - h * dx)) / (2 * h)
    # Central differences are good to 1e-10 here.
    assert np.vdot(jvp, dy) == pytest.approx(np.vdot(dx, network.vjp(x, dy)[0]), rel=1e-8)


def test_representations_show_what_matters():
    network, history = train(validation=data(seed=2))
    assert "dense" in network._repr_html_() and "5 -&gt; 3" in network._repr_html_()
    assert "validation_loss" in history._repr_html_() and "(best)" in history._repr_html_()
    assert "33" in network.summary()
    again = nn.History.from_dict(json.loads(json.dumps(history.to_dict())))
    assert again.rows == history.rows and again.best == history.best
    with pytest.raises(KeyError, match="there is no metric 'x'"):
        history["x"]


def test_history_draws_one_line_per_metric_and_the_best_epoch():
    _, history = train(validation=data(seed=2))
    axes = pytest.importorskip("matplotlib.figure").Figure().subplots()
    assert history.plot(ax=axes) is axes and len(axes.lines) == 3
    assert axes.get_yscale() == "log"
    history.rows[-1]["loss"] = -1.0  # a log-likelihood
    assert history.plot(ax=pytest.importorskip("matplotlib.figure").Figure().subplots()).get_yscale() == "linear"


def test_progress_bar_shows_loss_and_remaining_time(capsys):
    train(epochs=3, progress=True)
    shown = capsys.readouterr().err
    assert "3.0/3 epochs" in shown and "loss=" in shown and "<" in shown
