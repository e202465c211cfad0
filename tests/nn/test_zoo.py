"""Ready-made networks: what each promises, not only its shapes."""

import doctest
import json

import numpy as np
import pytest

from simgraft import nn

zoo = nn.zoo


def random_rows(n, n_in, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=(n, n_in)).astype(dtype)


@pytest.mark.parametrize("name", zoo.__all__)
def test_examples_run_and_give_what_they_say(name):
    examples = doctest.DocTestParser().get_doctest(getattr(zoo, name).__doc__, {}, name, None, 0)
    assert examples.examples
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples).failed == 0


SPECS = [
    pytest.param(zoo.ResidualMLP(16, 2, dropout=0.2), 5, 3, id="residual"),
    pytest.param(zoo.Sequence(7, [6, 5], "lstm", bidirectional=True), 7 * 3, 7 * 2, id="lstm"),
    pytest.param(zoo.Sequence(7, [6], "gru", "last"), 7 * 3, 4, id="gru"),
    pytest.param(zoo.UNet(16, channels=3, levels=2), 16 * 2, 16, id="unet1d"),
    pytest.param(
        zoo.UNet((8, 12), channels=3, levels=2, padding="periodic"), 8 * 12 * 2, 8 * 12, id="unet2d"
    ),
    pytest.param(
        zoo.UNet((4, 6, 8), channels=3, levels=1, padding="replicate"), 4 * 6 * 8, 4 * 6 * 8 * 2, id="unet3d"
    ),
    pytest.param(zoo.DeepSets(6, [8], [7], "mean"), 6 * 3 + 6, 2, id="deepsets"),
]


@pytest.mark.parametrize("spec, n_in, n_out", SPECS)
def test_every_network_trains_and_survives_json(spec, n_in, n_out):
    x, y = random_rows(64, n_in, dtype=np.float32), random_rows(64, n_out, 2, np.float32)
    networks = []
    for threads in (1, 2):
        network = spec.build(n_in, n_out, seed=1)
        history = nn.fit(
            network,
            (x, y),
            optimizer=nn.Adam(3e-3),
            epochs=15,
            batch_size=16,
            seed=1,
            num_threads=threads,
            progress=False,
        )
        networks.append(network)
    assert history["loss"][-1] < history["loss"][0]
    np.testing.assert_array_equal(networks[0].parameters, networks[1].parameters)
    assert str(n_out) in network.summary() and f"{network.n_parameters:,} parameters" in network.summary()
    again = nn.Network.from_spec(json.loads(json.dumps(network.spec)), network.parameters.copy())
    np.testing.assert_array_equal(again.predict(x), network.predict(x))
    assert repr(spec) == repr(type(spec)(**spec.get_params(deep=False)))


def test_residual_blocks_are_skipped_where_they_give_nothing():
    network = zoo.ResidualMLP(8, 3).build(4, 2, seed=1, dtype="float64")
    nodes = network._graph.nodes()
    adds = [node["inputs"][1] for node in nodes if node["op"] == "add"]
    for i in adds:
        for _, first, shape in nodes[i]["parameters"]:
            network.parameters[first : first + int(np.prod(shape))] = 0
    x = random_rows(20, 4)
    first, last = (dict(network._views(nodes[i])) for i in (1, len(nodes) - 1))
    expected = (x @ first["weight"] + first["bias"]) @ last["weight"] + last["bias"]
    np.testing.assert_allclose(network.predict(x), expected, rtol=0, atol=1e-14)


# -------------------------------------------------------------------------------------------------- sequences
@pytest.mark.parametrize("cell", ("lstm", "gru"))
def test_one_direction_sees_the_past_only_and_two_see_all(cell):
    x = random_rows(1, 8 * 2)
    changed = x.copy()
    changed[:, 5 * 2 :] += 1  # from step 5 on
    for both in (False, True):
        network = zoo.Sequence(8, [5, 4], cell, bidirectional=both).build(
            8 * 2, 8 * 3, seed=1, dtype="float64"
        )
        difference = np.abs(network.predict(changed) - network.predict(x)).reshape(8, 3).max(axis=1)
        assert (difference[5:] > 0).all()
        assert (difference[:5] > 0).all() if both else (difference[:5] == 0).all()


def test_last_output_of_a_sequence_is_that_of_its_last_step():
    long, short = (
        zoo.Sequence(6, [5], "lstm", output).build(6 * 2, n, seed=1, dtype="float64")
        for output, n in (("sequence", 6 * 3), ("last", 3))
    )
    x = random_rows(10, 12)
    np.testing.assert_array_equal(long.predict(x)[:, -3:], short.predict(x))


def test_recurrent_network_learns_a_running_sum():
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (1000, 10)).astype(np.float32)
    network = zoo.Sequence(10, [16], "gru").build(10, 10, seed=1)
    nn.fit(
        network,
        (x, x.cumsum(axis=1)),
        optimizer=nn.Adam(nn.schedule.OneCycle(2e-2)),
        epochs=30,
        batch_size=50,
        seed=1,
        num_threads=1,
        progress=False,
    )
    fresh = rng.uniform(-1, 1, (200, 10)).astype(np.float32)
    error = np.sqrt(np.mean((network.predict(fresh) - fresh.cumsum(axis=1)) ** 2))
    # The sums have a standard deviation of 1.35.
    assert error < 0.1


# ------------------------------------------------------------------------------------------------------ U-Net
def test_periodic_u_net_moves_with_its_field():
    """A shift by whole cells of the coarsest grid is a symmetry of every layer."""
    network = zoo.UNet((16, 8), channels=3, levels=2, padding="periodic").build(
        16 * 8 * 2, 16 * 8, seed=1, dtype="float64"
    )
    x = random_rows(3, 16 * 8 * 2).reshape(3, 16, 8, 2)
    moved = np.roll(x, (4, -4), axis=(1, 2))
    out = network.predict(x.reshape(3, -1)).reshape(3, 16, 8)
    np.testing.assert_allclose(
        network.predict(moved.reshape(3, -1)).reshape(3, 16, 8),
        np.roll(out, (4, -4), axis=(1, 2)),
        atol=1e-13,
    )


def test_u_net_learns_to_sharpen_a_field():
    """Needs neighbours on fine and coarse scales: from a blurred periodic field back to the field."""
    rng = np.random.default_rng(1)
    k = np.fft.rfftfreq(32, 1 / 32)

    def fields(n):
        spectrum = (rng.normal(size=(n, 17)) + 1j * rng.normal(size=(n, 17))) / (1 + k)
        sharp = np.fft.irfft(spectrum, 32) * 8
        return np.fft.irfft(np.fft.rfft(sharp) * np.exp(-((k / 6) ** 2)), 32).astype(
            np.float32
        ), sharp.astype(np.float32)

    (x, y), (x_new, y_new) = fields(600), fields(200)
    network = zoo.UNet(32, channels=8, levels=2, padding="periodic", activation="swish").build(32, 32, seed=1)
    nn.fit(
        network,
        (x, y),
        optimizer=nn.Adam(nn.schedule.OneCycle(1e-2)),
        epochs=25,
        batch_size=30,
        seed=1,
        num_threads=1,
        progress=False,
    )
    error, start = (np.mean((p - y_new) ** 2) for p in (network.predict(x_new), x_new))
    assert error < 0.35 * start


# ------------------------------------------------------------------------------------------------------- sets
def test_sets_have_no_order_and_absent_items_no_influence():
    items, channels = 7, 3
    for pool in ("mean", "sum", "max"):
        network = zoo.DeepSets(items, [8], [6], pool).build(
            items * (channels + 1), 2, seed=1, dtype="float64"
        )
        rng = np.random.default_rng(2)
        x, mask = rng.normal(size=(5, items, channels)), (rng.random((5, items)) < 0.6).astype(float)
        order = rng.permutation(items)

        def row(x, mask):
            return np.hstack([x.reshape(5, -1), mask])

        out = network.predict(row(x, mask))
        # Another order of a sum of seven terms.
        np.testing.assert_allclose(network.predict(row(x[:, order], mask[:, order])), out, rtol=0, atol=1e-13)
        np.testing.assert_array_equal(
            network.predict(row(np.where(mask[..., None] > 0.5, x, 1e9), mask)), out
        )


def test_deep_sets_learn_the_spread_of_a_set_of_any_size():
    rng = np.random.default_rng(3)

    def sets(n):
        mask = (np.arange(8) < rng.integers(2, 9, (n, 1))).astype(np.float32)
        x = rng.uniform(-1, 1, (n, 8)).astype(np.float32) * mask
        mean = x.sum(axis=1) / mask.sum(axis=1)
        return np.hstack([x, mask]), (((x - mean[:, None]) ** 2 * mask).sum(axis=1) / mask.sum(axis=1))[
            :, None
        ]

    network = zoo.DeepSets(8, [32, 32], [32], "mean").build(16, 1, seed=1)
    nn.fit(
        network,
        sets(3000),
        optimizer=nn.Adam(nn.schedule.OneCycle(1e-2)),
        epochs=40,
        batch_size=100,
        seed=1,
        num_threads=1,
        progress=False,
    )
    x, y = sets(500)
    # Variances have a standard deviation of 0.13.
    assert np.sqrt(np.mean((network.predict(x) - y) ** 2)) < 0.03


# -------------------------------------------------------------------------------------------------------- VAE
def test_parts_of_an_autoencoder_are_those_of_the_whole():
    vae = zoo.VAE(3, [9, 7]).build(5, seed=1, dtype="float64")
    x = random_rows(20, 5)
    row = vae.network.predict(x)
    mean, log_variance = vae.encode(x)
    np.testing.assert_array_equal(row[:, 5:8], mean)
    np.testing.assert_array_equal(row[:, 8:], log_variance)
    np.testing.assert_array_equal(row[:, :5], vae.decode(mean))
    np.testing.assert_array_equal(vae.sample(4, seed=1), vae.sample(100, seed=1)[:4])


def test_linear_autoencoder_finds_what_principal_components_find():
    """A linear VAE has the posterior of probabilistic PCA (Lucas et al. 2019): with unit noise the
    reconstruction keeps of each component the share (variance - 1) / variance, the rest being noise."""
    rng = np.random.default_rng(1)
    variances = np.array([16.0, 9.0, 1.0, 1.0])
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    x = (rng.normal(size=(4000, 4)) * np.sqrt(variances)) @ rotation.T
    vae = zoo.VAE(2, [], activation="linear").build(4, seed=1, dtype="float64")
    vae.fit(
        x,
        optimizer=nn.Adam(nn.schedule.Cosine(2e-2)),
        epochs=60,
        batch_size=100,
        seed=1,
        num_threads=1,
        progress=False,
    )
    back = vae.decode(vae.encode(x)[0]) @ rotation
    found = [
        np.vdot(back[:, i], (x @ rotation)[:, i]) / np.vdot((x @ rotation)[:, i], (x @ rotation)[:, i])
        for i in range(4)
    ]
    # (v - 1) / v = 0.94, 0.89, 0, 0; sampling noise of the code keeps the optimiser from the last two per
    # cent.
    np.testing.assert_allclose(found, [15 / 16, 8 / 9, 0, 0], atol=0.03)


# ------------------------------------------------------------------------------------------ normalising flows
FLOWS = [
    pytest.param(c, n, m, shuffle, id=f"{c}-{n}-{m}-{shuffle}")
    for c in ("spline", "affine")
    for n, m, shuffle in ((2, 0, None), (5, 0, None), (3, 2, None), (5, 1, 7))
]


def rough_flow(coupling, n, n_condition=0, shuffle=None, layers=4):
    """Away from the identity, so that there is something to invert."""
    flow = zoo.Flow(layers, [8], coupling, bins=5, activation="tanh", shuffle=shuffle).build(
        n, seed=1, n_condition=n_condition, dtype="float64"
    )
    flow.network.parameters += np.random.default_rng(5).normal(0, 0.25, flow.network.n_parameters)
    return flow


@pytest.mark.parametrize("coupling, n, n_condition, shuffle", FLOWS)
def test_flow_and_inverse_undo_each_other(coupling, n, n_condition, shuffle):
    flow = rough_flow(coupling, n, n_condition, shuffle)
    x, condition = random_rows(200, n), random_rows(200, n_condition, 2) if n_condition else None
    z = flow.network.predict(flow._row(x, condition))[:, :n]
    assert np.abs(z - x).max() > 0.3
    # Four layers with slopes of at most a few tens in double: 1e6 eps.
    np.testing.assert_allclose(flow.inverse.predict(flow._row(z, condition)), x, rtol=0, atol=1e-9)


@pytest.mark.parametrize("coupling, n, n_condition, shuffle", FLOWS)
def test_log_determinant_is_that_of_the_jacobian(coupling, n, n_condition, shuffle):
    flow, h = rough_flow(coupling, n, n_condition, shuffle), 1e-5
    x, condition = random_rows(5, n), random_rows(5, n_condition, 2) if n_condition else None
    columns = [
        (
            flow.network.predict(flow._row(x + h * e, condition))
            - flow.network.predict(flow._row(x - h * e, condition))
        )[:, :n]
        / (2 * h)
        for e in np.eye(n)
    ]
    expected = np.linalg.slogdet(np.stack(columns, axis=2))[1]
    np.testing.assert_allclose(
        flow.network.predict(flow._row(x, condition))[:, n], expected, rtol=0, atol=1e-5
    )


def test_shuffled_flow_splits_its_numbers_in_new_halves_and_transforms_each_in_every_pair_of_couplings():
    flow = zoo.Flow(layers=8, units=[4], shuffle=3).build(9, seed=1)
    orders = []
    for node in flow.network.spec["nodes"]:
        if node["op"] == "shuffle":
            x = nn.Input(9)
            layer = nn.Shuffle(node["attributes"]["seed"])
            orders.append(
                nn.Network.from_graph(x, layer(x), seed=1).predict(np.arange(9.0, dtype=np.float32)[None])[0]
            )
    assert len(orders) == 3 and len({tuple(order) for order in orders}) == 3
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(9))
    with pytest.raises(ValueError, match="seed"):
        zoo.Flow(shuffle=-1).build(4, seed=1)


def test_density_of_a_flow_integrates_to_one():
    flow = rough_flow("spline", 2)
    grid = np.linspace(-8, 8, 601)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    # Trapezium rule on a density with kinks, cells of 0.03: 3e-6 seen. A wrong log-determinant is off by tens
    # of per cent.
    assert np.exp(flow.log_prob(points)).sum() * (grid[1] - grid[0]) ** 2 == pytest.approx(1, abs=1e-4)


def banana(n, seed):
    """A curved density whose logarithm is known."""
    a, e = np.random.default_rng(seed).normal(size=(2, n))
    x = np.stack([a, 0.7 * (a**2 - 1) + 0.3 * e], axis=1)
    return x, -0.5 * (a**2 + e**2) - np.log(2 * np.pi * 0.3)


@pytest.mark.parametrize("coupling", ("spline", "affine"))
def test_flow_learns_a_curved_density_and_draws_from_it(coupling):
    x, _ = banana(5000, 1)
    flow = zoo.Flow(4, [32, 32], coupling, bound=8.0).build(2, seed=1, dtype="float64")
    history = flow.fit(
        x,
        optimizer=nn.Adam(nn.schedule.Cosine(5e-3)),
        epochs=30,
        batch_size=125,
        seed=1,
        num_threads=1,
        progress=False,
    )
    fresh, exact = banana(5000, 2)
    divergence = np.mean(exact - flow.log_prob(fresh))
    covariance = np.cov(x.T)
    gaussian = (
        -0.5 * np.einsum("ni,ij,nj->n", fresh, np.linalg.inv(covariance), fresh)
        - 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]
    )
    # Kullback-Leibler divergence, 0 for the truth. Seen: spline 0.018, affine (which this density suits)
    # 0.002.
    assert np.mean(exact - gaussian) > 1  # the best Gaussian
    assert divergence < 0.04
    assert history.best == pytest.approx(-np.mean(flow.log_prob(x)), abs=0.02)
    drawn = flow.sample(5000, seed=3)
    residual = drawn[:, 1] - 0.7 * (drawn[:, 0] ** 2 - 1)
    # Standard errors of the deviations at 5000 samples: 0.01 and 0.003; tails are less well known.
    assert drawn[:, 0].std() == pytest.approx(1, abs=0.06) and np.median(np.abs(residual)) == pytest.approx(
        0.3 * 0.6745, abs=0.03
    )


def test_conditional_flow_follows_its_condition():
    rng = np.random.default_rng(4)
    condition = rng.uniform(-1, 1, (4000, 1))
    x = condition * [2.0, -1.0] + 0.2 * rng.normal(size=(4000, 2))
    flow = zoo.Flow(4, [32], "affine").build(2, seed=1, n_condition=1, dtype="float64")
    flow.fit(
        x,
        condition,
        optimizer=nn.Adam(nn.schedule.Cosine(1e-2)),
        epochs=20,
        batch_size=200,
        seed=1,
        num_threads=1,
        progress=False,
    )
    for value in (-0.5, 0.5):
        drawn = flow.sample(2000, np.full((2000, 1), value), seed=2)
        np.testing.assert_allclose(drawn.mean(axis=0), [2 * value, -value], atol=0.05)
        np.testing.assert_allclose(drawn.std(axis=0), 0.2, atol=0.04)


def test_samples_of_a_flow_do_not_depend_on_how_many_are_drawn():
    flow = rough_flow("spline", 3)
    np.testing.assert_array_equal(
        flow.sample(5, seed=1, num_threads=1), flow.sample(500, seed=1, num_threads=2)[:5]
    )


# ------------------------------------------------------------------------------------------------ wrong input
@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: zoo.Sequence(7).build(20, 14, seed=1), r"n_in: expected a multiple of 7 \(steps\), got 20"),
        (lambda: zoo.Sequence(7, cell="rnn").build(21, 14, seed=1), "cell: expected lstm or gru, got 'rnn'"),
        (lambda: zoo.Sequence(7, output="all").build(21, 14, seed=1), "output: expected sequence or last"),
        (
            lambda: zoo.UNet(10, levels=2).build(10, 10, seed=1),
            r"shape: expected a multiple of 4 \(2 \*\* 2 levels\), got 10",
        ),
        (
            lambda: zoo.UNet((4, 4)).build(20, 16, seed=1),
            r"n_in: expected a multiple of 16 \(cells\), got 20",
        ),
        (lambda: zoo.DeepSets(5).build(5, 1, seed=1), "n_in: expected at least one channel and the mask"),
        (lambda: zoo.Flow().build(1, seed=1), "n: a coupling needs two parts"),
        (lambda: zoo.Flow(layers=1).build(2, seed=1), "layers: expected at least 2"),
        (lambda: zoo.Flow(coupling="planar").build(2, seed=1), "coupling: expected spline or affine"),
        (
            lambda: (
                zoo.Flow()
                .build(2, seed=1)
                .log_prob(np.zeros((3, 2), np.float32), np.zeros((3, 1), np.float32))
            ),
            r"condition: expected 0 columns, got \(3, 1\)",
        ),
    ],
)
def test_sizes_that_make_no_sense_are_refused_by_name(build, message):
    with pytest.raises(ValueError, match=message):
        build()
