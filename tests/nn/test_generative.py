"""Generative models on toys with known distributions, ensembles, data-parallel training, full-batch
optimisation."""

import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from simgraft import DivergedError, nn


def bimodal(n, seed):
    """Two bumps that no Gaussian describes."""
    rng = np.random.default_rng(seed)
    return (np.where(rng.random(n) < 0.3, -1.5, 1.0) + 0.25 * rng.normal(size=n))[:, None].astype(np.float32)


def moons(n, seed):
    rng = np.random.default_rng(seed)
    t, upper = np.pi * rng.random(n), rng.random(n) < 0.5
    points = np.where(upper[:, None], np.c_[np.cos(t), np.sin(t)], np.c_[1 - np.cos(t), 0.5 - np.sin(t)])
    return (points + 0.08 * rng.normal(size=(n, 2))).astype(np.float32)


def distance(a, b, directions=64):
    """Wasserstein distance of equally many points: exact in one dimension, mean over directions (sliced) in
    more."""
    r = np.random.default_rng(0).normal(size=(a.shape[1], directions if a.shape[1] > 1 else 1))
    r /= np.linalg.norm(r, axis=0)
    return float(np.mean(np.abs(np.sort(a @ r, axis=0) - np.sort(b @ r, axis=0))))


def gaussian_of(data, seed):
    """Samples of the Gaussian with the mean and covariance of the data: the simplest baseline."""
    root = np.linalg.cholesky(np.atleast_2d(np.cov(data.T)))
    return data.mean(axis=0) + np.random.default_rng(seed).normal(size=data.shape) @ root.T


# ------------------------------------------------------------------------------------------------ adversarial
def train_gan(loss="wgan", data=None, epochs=60, seed=1, threads=1, **options):
    data = bimodal(4096, 1) if data is None else data
    generator = nn.MLP([32, 32], "leaky_relu").build(2, data.shape[1], seed=1)
    critic = nn.MLP([64, 64], "leaky_relu").build(data.shape[1], 1, seed=2)
    options = {
        "optimizer": nn.Adam(nn.schedule.Cosine(1e-3), beta1=0.5, ema=0.99),
        "critic_steps": 2,
        "critic_optimizer": nn.Adam(nn.schedule.Cosine(5e-3), beta1=0.5),
    } | options
    history = nn.adversarial.fit(
        generator,
        critic,
        (None, data),
        loss=loss,
        epochs=epochs,
        batch_size=128,
        seed=seed,
        num_threads=threads,
        progress=False,
        **options,
    )
    return generator, critic, history


@pytest.mark.parametrize("loss", ("wgan", "lsgan", "hinge", "gan"))
def test_generator_comes_closer_than_any_gaussian(loss):
    generator, _, history = train_gan(loss)
    truth, other = bimodal(4096, 9), bimodal(4096, 10)
    floor, baseline = distance(truth, other), distance(gaussian_of(truth, 3), truth)
    found = distance(nn.adversarial.sample(generator, 4096, seed=3), truth)
    # Floor 0.03 (two samples of the truth), Gaussian 0.51. Seen: 0.09 to 0.15.
    assert floor < 0.05 and baseline > 0.4
    assert found < 0.4 * baseline
    assert history.stopped == "finished" and history.metrics == ["generator_loss", "critic_loss", "rate"]


def test_spectral_norm_holds_every_layer_at_one():
    _, critic, _ = train_gan(epochs=5)
    for weight, _, _ in critic.layers:
        # One power iteration per step of a slowly moving matrix: within a few per cent.
        assert np.linalg.norm(weight, 2) == pytest.approx(1, abs=0.05)
    x = np.random.default_rng(1).normal(size=(2000, 1)).astype(np.float32)
    rise = np.abs(np.diff(critic.predict(x), axis=0)) / np.maximum(np.abs(np.diff(x, axis=0)), 1e-3)
    assert rise.max() < 1.1  # a critic for the Wasserstein distance is 1-Lipschitz


def test_spectral_norm_takes_gradients_back_to_the_raw_weights():
    """Against differences of the loss as a function of the raw weights, singular vectors followed to
    convergence."""
    critic = nn.MLP([5], "tanh").build(3, 1, seed=1, dtype="float64")
    norm = nn.adversarial.SpectralNorm(critic, seed=1, iterations=300)
    rng = np.random.default_rng(1)
    x, d_y = rng.normal(size=(20, 3)), rng.normal(size=(20, 1))

    def value(raw):
        norm.raw[:] = raw
        norm.apply()
        return float((critic.predict(x) * d_y).sum())

    start, h = norm.raw.copy(), 1e-6
    value(start)
    analytic = norm.pull_back(critic.vjp(x, d_y)[1])
    numeric = np.array([(value(start + h * e) - value(start - h * e)) / (2 * h) for e in np.eye(start.size)])
    np.testing.assert_allclose(analytic, numeric, rtol=0, atol=1e-7 * abs(numeric).max())


def test_adversarial_training_has_the_same_bits_for_any_number_of_threads():
    found = [train_gan(epochs=2, threads=n, data=bimodal(1000, 1))[:2] for n in (1, 3)]
    for a, b in zip(*found):
        np.testing.assert_array_equal(a.parameters, b.parameters)


@pytest.mark.parametrize("loss", ("wgan", "lsgan"))
def test_resumed_adversarial_training_ends_with_the_same_bits(tmp_path, loss):
    def stop(epoch):
        def callback(training):
            if training.epoch == epoch:
                raise KeyboardInterrupt

        return callback

    data = bimodal(600, 1)
    whole = train_gan(loss, data, 4)
    for epoch in (2, 4, None):
        part = train_gan(loss, data, 4, callbacks=[stop(epoch)], checkpoint=tmp_path / "gan.ckpt")
        assert part[2].stopped == ("interrupted" if epoch else "finished")
    for a, b in zip(whole[:2], part[:2]):
        np.testing.assert_array_equal(a.parameters, b.parameters)
    assert part[2].rows == whole[2].rows
    with pytest.raises(ValueError, match="another seed"):
        train_gan(loss, data, 4, seed=2, checkpoint=tmp_path / "gan.ckpt")


def test_conditional_generator_follows_its_condition():
    rng = np.random.default_rng(2)
    condition = rng.choice((-1.0, 1.0), (2000, 1)).astype(np.float32)
    samples = (condition + 0.3 * rng.normal(size=(2000, 1))).astype(np.float32)
    generator = nn.MLP([16], "tanh").build(2, 1, seed=1)
    critic = nn.MLP([32, 32], "leaky_relu").build(2, 1, seed=2)
    nn.adversarial.fit(
        generator,
        critic,
        (condition, samples),
        loss="hinge",
        optimizer=nn.Adam(2e-3, beta1=0.5, ema=0.99),
        critic_optimizer=nn.Adam(5e-3, beta1=0.5),
        epochs=40,
        batch_size=100,
        seed=1,
        num_threads=1,
        progress=False,
    )
    for value in (-1.0, 1.0):
        found = nn.adversarial.sample(generator, 1000, [value], seed=3)
        assert found.mean() == pytest.approx(value, abs=0.25)
    a, b = (nn.adversarial.sample(generator, n, [1.0], seed=3) for n in (10, 1000))
    np.testing.assert_array_equal(a, b[:10])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"loss": "wasserstein"}, "loss: expected one of gan, lsgan, wgan, hinge"),
        ({"critic_steps": 0}, "critic_steps: expected an integer >= 1"),
        ({"data": np.zeros((50, 1))}, "batches: expected float32 as the generator"),
    ],
)
def test_adversarial_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        train_gan(**change)
    with pytest.raises(ValueError, match="critic: expected 2 columns, got 1"):
        network = nn.MLP([4]).build(1, 2, seed=1)
        nn.adversarial.fit(network, nn.MLP([4]).build(1, 1, seed=1), (None, np.zeros((9, 2), np.float32)))


# ------------------------------------------------------------------------------------------------------ flow
# matching
@pytest.fixture(scope="module")
def velocity():
    network = nn.MLP([64, 64, 64], "swish").build(3, 2, seed=1)
    nn.fit(
        network,
        nn.flow_matching.Pairs(moons(4000, 1)),
        optimizer=nn.Adam(nn.schedule.Cosine(5e-3), ema=0.99),
        epochs=100,
        seed=1,
        num_threads=1,
        progress=False,
    )
    return network


def test_flow_matching_draws_two_moons(velocity):
    truth, other = moons(4000, 5), moons(4000, 6)
    floor, baseline = distance(truth, other), distance(gaussian_of(truth, 3), truth)
    found = distance(nn.flow_matching.sample(velocity, 4000, seed=2, steps=30), truth)
    # Floor 0.021 (4000 points each), Gaussian 0.110. Seen: 0.026.
    assert floor < 0.03 and baseline > 0.09
    assert found < 2 * floor


def test_solvers_converge_with_their_order(velocity):
    """Halving the step divides the error by 2, 4 and 16; in double, on a smooth path."""
    network = velocity.copy("float64")
    end = nn.flow_matching.sample(network, 50, seed=1, steps=400)
    for method, order, steps in (("euler", 1, 80), ("heun", 2, 40), ("rk4", 4, 20)):
        errors = [
            np.abs(nn.flow_matching.sample(network, 50, seed=1, steps=n, method=method) - end).max()
            for n in (steps, 2 * steps)
        ]
        assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35 * order)


def test_samples_do_not_depend_on_how_many_are_drawn(velocity):
    a, b = (
        nn.flow_matching.sample(velocity, n, seed=4, steps=5, num_threads=t) for n, t in ((7, 1), (300, 2))
    )
    np.testing.assert_array_equal(a, b[:7])


def test_pairs_lie_on_straight_lines_between_noise_and_data():
    data = moons(1000, 1).astype(np.float64)
    pairs = nn.flow_matching.Pairs(data, condition=data[:, :1], batch_size=300)
    rows = [np.concatenate(part) for part in zip(*(batch[:2] for batch in pairs.epoch(3)))]
    x, v = rows
    t = x[:, 2:3]
    end, start = x[:, :2] + (1 - t) * v, x[:, :2] - t * v
    order = np.lexsort(end.T)
    np.testing.assert_allclose(end[order], data[np.lexsort(data.T)], atol=1e-12)
    np.testing.assert_allclose(x[:, 3], end[:, 0], atol=1e-12)  # the condition goes with its sample
    # 2000 normal numbers, 1000 uniform ones: 4 standard errors.
    assert abs(start.mean()) < 4 / np.sqrt(2000) and start.std() == pytest.approx(1, abs=4 / np.sqrt(4000))
    assert t.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12000))
    for a, b in zip(pairs.blocks(), pairs.blocks()):
        np.testing.assert_array_equal(a[0], b[0])


def test_flow_matching_refuses_what_does_not_fit(velocity):
    with pytest.raises(ValueError, match="condition: a network 3 -> 2 takes 0 columns"):
        nn.flow_matching.sample(velocity, 3, np.zeros((3, 1)), seed=1)
    with pytest.raises(ValueError, match="method: expected euler, heun or rk4, got 'rk5'"):
        nn.flow_matching.sample(velocity, 3, seed=1, method="rk5")
    with pytest.raises(ValueError, match="condition: expected 10 rows"):
        nn.flow_matching.Pairs(np.zeros((10, 2)), np.zeros((9, 1)))


# -------------------------------------------------------------------------------------------------- ensembles
def wave(n=400, seed=1, dtype=np.float64):
    x = np.random.default_rng(seed).uniform(-1, 1, (n, 2)).astype(dtype)
    return x, np.sin(3 * x[:, :1]) * x[:, 1:]


def test_members_train_together_as_they_would_alone():
    data = wave()
    options = {
        "optimizer": nn.SGD(0.05, momentum=0.9),
        "epochs": 8,
        "batch_size": 50,
        "seed": 1,
        "progress": False,
    }
    ensemble = nn.Ensemble(nn.MLP([12], "tanh"), members=3).build(2, 1, seed=5, dtype="float64")
    alone = [member.copy() for member in ensemble.members]
    history = ensemble.fit(data, **options)
    losses = [nn.fit(network, data, **options)["loss"] for network in alone]
    for member, network in zip(ensemble.members, alone):
        # The same numbers; the order of sums over rows is that of another chunk size: 64 steps of a few eps.
        np.testing.assert_allclose(member.parameters, network.parameters, rtol=0, atol=1e-13)
    np.testing.assert_allclose(history["loss"], np.sum(losses, axis=0), rtol=1e-12)


def test_ensembles_are_reproducible_and_their_members_differ():
    found = []
    for threads in (1, 2):
        ensemble = nn.Ensemble(nn.MLP([12], "tanh"), members=11).build(2, 1, seed=5)
        ensemble.fit(wave(dtype=np.float32), epochs=3, seed=1, num_threads=threads, progress=False)
        found.append(ensemble.network.parameters.copy())
    np.testing.assert_array_equal(*found)
    assert len({member.parameters.tobytes() for member in ensemble.members}) == 11


def test_mean_and_spread_are_those_of_the_members():
    ensemble = nn.Ensemble(
        nn.Model(lambda x, n: nn.Dense(n)(nn.Add()(nn.Dense(2, "elu")(x), x))), members=9
    ).build(2, 2, seed=1, dtype="float64")
    x = wave(30)[0]
    single = np.stack([member.predict(x) for member in ensemble.members])
    mean, spread = ensemble.predict(x)
    np.testing.assert_allclose(mean, single.mean(axis=0), rtol=0, atol=1e-14)
    np.testing.assert_allclose(spread, single.std(axis=0, ddof=1), rtol=0, atol=1e-14)
    np.testing.assert_allclose(ensemble.mean_network().predict(x), mean, rtol=0, atol=1e-14)
    # Of Gaussians: law of total variance.
    centre, deviation = ensemble.predict_gaussian(x)
    np.testing.assert_allclose(centre[:, 0], single[..., 0].mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(
        deviation[:, 0] ** 2, np.exp(single[..., 1]).mean(axis=0) + single[..., 0].var(axis=0), atol=1e-13
    )


def test_spread_tells_where_there_are_no_data():
    x, y = wave(300)
    ensemble = nn.Ensemble(nn.MLP([24], "tanh"), members=5).build(2, 1, seed=1, dtype="float64")
    ensemble.fit(
        (x, y), optimizer=nn.Adam(1e-2), epochs=60, batch_size=50, seed=1, num_threads=1, progress=False
    )
    inside, outside = ensemble.predict(x)[1].mean(), ensemble.predict(x + 3)[1].mean()
    assert outside > 5 * inside


# --------------------------------------------------------------------------------------------------- several
# processes
class Threads:
    """A communicator of ranks that are threads: what fit uses of mpi4py's interface, with the sums in the
    order of the ranks."""

    def __init__(self, size):
        self.size, self.slots, self.barrier = size, [None] * size, threading.Barrier(size)
        self.n_reductions = 0

    def rank_of(self, rank):
        outer = self

        class Comm:
            size = self.size

            def allgather(self, value):
                outer.slots[self.rank] = value
                outer.barrier.wait()
                values = list(outer.slots)
                outer.barrier.wait()
                return values

            def bcast(self, value, root=0):
                return self.allgather(value)[root]

            def Bcast(self, array, root=0):
                array[:] = self.allgather(array.copy())[root]

            def Allreduce(self, mine, total):
                total[:] = sum(self.allgather(mine.copy()))
                outer.n_reductions += self.rank == 0

        comm = Comm()
        comm.rank = rank
        return comm


def on_ranks(size, work):
    world, results = Threads(size), [None] * size

    def run(rank):
        try:
            results[rank] = work(rank, world.rank_of(rank))
        except BaseException as error:
            results[rank] = error
            world.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, threading.BrokenBarrierError):
            raise result
    return world, results


def test_ranks_end_with_the_same_weights_as_one_process_with_all_rows():
    """SGD on full batches: the mean over ranks of different sizes is the mean over all rows."""
    x, y = wave(300)
    options = {"optimizer": nn.SGD(0.1, momentum=0.9), "epochs": 6, "progress": False, "num_threads": 1}
    whole = nn.MLP([9], "tanh").build(2, 1, seed=1, dtype="float64")
    expected = nn.fit(whole, (x, y), batch_size=300, validation=(x, y), **options)

    def work(rank, comm):
        part = slice(0, 100) if rank == 0 else slice(100, 300)
        network = nn.MLP([9], "tanh").build(2, 1, seed=1 + rank, dtype="float64")  # rank 0 has the say
        history = nn.fit(
            network, (x[part], y[part]), batch_size=200, validation=(x[part], y[part]), comm=comm, **options
        )
        return network.parameters, history.rows

    world, results = on_ranks(2, work)
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_allclose(results[0][0], whole.parameters, rtol=0, atol=1e-13)
    assert results[0][1] == results[1][1]
    np.testing.assert_allclose(
        [row["validation_loss"] for row in results[0][1]], expected["validation_loss"], rtol=1e-12
    )
    assert world.n_reductions == 6  # one per step


def test_a_rank_that_runs_out_of_rows_still_takes_part():
    x, y = wave(300, dtype=np.float32)

    def work(rank, comm):
        part = slice(0, 40) if rank == 0 else slice(40, 300)
        network = nn.MLP([9], "tanh").build(2, 1, seed=1)
        history = nn.fit(
            network,
            (x[part], y[part]),
            batch_size=50,
            epochs=4,
            optimizer=nn.Adam(1e-2, ema=0.9),
            comm=comm,
            num_threads=1,
            callbacks=[lambda training: {"mine": float(rank)}, nn.EarlyStopping("mine", patience=2)],
            progress=False,
        )
        return network.parameters, history

    world, results = on_ranks(2, work)
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert world.n_reductions == 3 * 6  # 6 batches on the larger rank, stopped after three epochs on both
    assert results[1][1]["mine"].tolist() == [0.0, 0.0, 0.0]


def test_ranks_agree_on_the_statistics_of_batch_normalisation():
    """A mean over ranks of the same size: that of all rows for the mean; the variance lacks the part between
    the ranks."""
    x, y = wave(300)
    spec = nn.Model(lambda x, n: nn.Dense(n)(nn.BatchNorm(momentum=1.0)(x)))

    def work(rank, comm):
        part = slice(rank * 150, rank * 150 + 150)
        network = spec.build(2, 1, seed=1, dtype="float64")
        nn.fit(
            network, (x[part], y[part]), epochs=1, batch_size=150, comm=comm, num_threads=1, progress=False
        )
        return network.parameters, dict(network._views(network._graph.nodes()[1]))

    results = on_ranks(2, work)[1]
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_allclose(results[1][1]["mean"], x.mean(axis=0), rtol=0, atol=1e-15)
    parts = np.mean([x[:150].var(axis=0, ddof=1), x[150:].var(axis=0, ddof=1)], axis=0)
    np.testing.assert_allclose(results[1][1]["variance"], parts, rtol=1e-14)


def test_resume_and_lbfgs_work_on_ranks(tmp_path):
    x, y = wave(300)

    def work(rank, comm, epochs=3):
        network = nn.MLP([9], "tanh").build(2, 1, seed=1, dtype="float64")
        part = slice(rank * 150, rank * 150 + 150)
        nn.fit(
            network,
            (x[part], y[part]),
            epochs=epochs,
            optimizer=nn.LBFGS(iterations=10),
            comm=comm,
            checkpoint=tmp_path / "ckpt",
            num_threads=1,
            progress=False,
        )
        return network.parameters

    on_ranks(2, lambda rank, comm: work(rank, comm, 2))
    resumed = on_ranks(2, work)[1]
    (tmp_path / "ckpt").unlink()
    at_once = on_ranks(2, work)[1]
    np.testing.assert_array_equal(resumed[0], at_once[1])


def test_divergence_is_seen_by_all_ranks():
    x, y = wave(100)

    def work(rank, comm):
        network = nn.MLP([9]).build(2, 1, seed=1, dtype="float64")
        with pytest.raises(DivergedError):
            nn.fit(
                network,
                (x, y * (1e200 if rank else 1)),
                comm=comm,
                epochs=2,
                optimizer=nn.SGD(1e10),
                progress=False,
            )

    on_ranks(2, work)


# ------------------------------------------------------------------------------------------------- full batch
def test_lbfgs_reaches_what_adam_does_not():
    x, y = wave(200)
    best = []
    for optimizer, epochs in ((nn.Adam(1e-2), 400), (nn.LBFGS(iterations=100), 4)):
        network = nn.MLP([10], "tanh").build(2, 1, seed=1, dtype="float64")
        best.append(
            nn.fit(
                network,
                (x, y),
                optimizer=optimizer,
                epochs=epochs,
                batch_size=200,
                seed=1,
                num_threads=1,
                progress=False,
            ).best
        )
    # 400 gradients each.
    assert best[1] < 0.2 * best[0]


def test_lbfgs_solves_least_squares_exactly_and_stops():
    rng = np.random.default_rng(3)
    x, weight = rng.normal(size=(100, 3)), rng.uniform(0.5, 2, 100)
    y = x @ rng.normal(size=(3, 2)) + rng.normal(size=(100, 2))
    network = nn.MLP([]).build(3, 2, seed=1, dtype="float64")
    history = nn.fit(network, (x, y, weight), optimizer=nn.LBFGS(tolerance=1e-13), epochs=20, progress=False)
    root = np.sqrt(weight)[:, None]
    solution = np.linalg.lstsq(root * np.c_[x, np.ones(100)], root * y, rcond=None)[0]
    np.testing.assert_allclose(network.parameters.reshape(4, 2), solution, rtol=0, atol=1e-9)
    assert history.stopped == "no better weights were found" and len(history) < 20


def test_resumed_lbfgs_ends_with_the_same_bits(tmp_path):
    def run(epochs, path=None):
        network = nn.MLP([8], "tanh").build(2, 1, seed=1, dtype="float64")
        nn.fit(
            network,
            wave(150),
            validation=wave(50, 2),
            optimizer=nn.LBFGS(iterations=7),
            epochs=epochs,
            checkpoint=path,
            num_threads=1,
            progress=False,
        )
        return network.parameters

    run(2, tmp_path / "run.ckpt")
    np.testing.assert_array_equal(run(5, tmp_path / "run.ckpt"), run(5))


def test_lbfgs_refuses_streams():
    with pytest.raises(ValueError, match="LBFGS needs all rows at once"):
        nn.fit(nn.MLP([4]).build(3, 2, seed=1), nn.flow_matching.Pairs(moons(50, 1)), optimizer=nn.LBFGS())


MPI_TRAINING = """
import hashlib
import numpy as np
from mpi4py import MPI
from simgraft import nn
comm = MPI.COMM_WORLD
x = np.random.default_rng(1).uniform(-1, 1, (300, 2))
network = nn.MLP([9], "tanh").build(2, 1, seed=1 + comm.rank, dtype="float64")
part = slice(comm.rank, None, comm.size)
history = nn.fit(network, (x[part], np.sin(3 * x[part, :1])), epochs=5, batch_size=60,
                 optimizer=nn.Adam(1e-2), comm=comm, num_threads=1, progress=False)
learns = history["loss"][-1] < history["loss"][0]
found = comm.gather((hashlib.sha256(network.parameters.tobytes()).hexdigest(), learns))
if comm.rank == 0:  # the output of several ranks runs together
    print(len(found), len({weights for weights, _ in found}), all(ok for _, ok in found))
"""


@pytest.mark.no_asan
def test_training_under_mpirun():
    pytest.importorskip("mpi4py")
    if shutil.which("mpirun") is None:
        pytest.skip("needs mpirun")
    root = (
        ["--allow-run-as-root", "--oversubscribe"]
        if "Open MPI" in subprocess.run(["mpirun", "--version"], capture_output=True, text=True).stdout
        else []
    )
    found = subprocess.run(
        ["mpirun", *root, "-n", "2", sys.executable, "-c", MPI_TRAINING],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == ["2", "1", "True"]  # two ranks, the same weights, and they learn
