"""Every loss of the table against numerical derivatives and against SciPy, PyTorch or its formula; sums of
losses; own losses."""

import numpy as np
import pytest

from simgraft import _core, nn

LOSSES = {loss["name"]: loss for loss in _core.nn_losses()}
CASES = [pytest.param(name, {}, id=name) for name in LOSSES] + [
    pytest.param("hybrid", {"alpha": 1.0, "group": 3}, id="hybrid-differences"),
    pytest.param("huber", {"delta": 0.3}, id="huber-narrow"),
    pytest.param("pinball", {"level": 0.9}, id="pinball-high"),
    pytest.param("binary_cross_entropy", {"positive_weight": 7.0}, id="binary_cross_entropy-rare"),
    pytest.param("mixture_nll", {"components": 1}, id="mixture_nll-one"),
    pytest.param("ensemble_crps", {"members": 3, "fair": 0}, id="ensemble_crps-empirical"),
    pytest.param("cross_entropy", {"one_hot": True}, id="cross_entropy-probabilities"),
    pytest.param("cross_entropy", {"classes": 7, "groups": 2}, id="cross_entropy-two-distributions"),
]
N_ROWS, N_IN = 30, 4  # rows: a multiple of all group sizes, no multiple of a vector width


class Problem:
    """A linear network, so that the gradient of the loss is all there is. Exactly the same numbers in float
    and double."""

    def __init__(self, name, attributes, weighted, dtype, seed=5):
        rng = np.random.default_rng(seed)
        attributes = dict(attributes)
        one_hot, groups = attributes.pop("one_hot", False), attributes.pop("groups", 1)
        self.name, self.attributes = name, attributes
        self.n_out = LOSSES[name]["example_out"] * groups
        sizes = _core.nn_loss_sizes(name, attributes, self.n_out, self.n_out if one_hot else -1)
        self.n_target, self.n_values = sizes["n_target"], sizes["n_values"]
        graph = _core.Graph([("input", (), {"shape": N_IN}), ("dense", (0,), {"units": self.n_out})])

        def draw(*shape):
            return rng.normal(0, 0.7, shape).astype(np.float32).astype(dtype)

        self.p, self.x = draw(graph.n_parameters), draw(N_ROWS, N_IN)
        shape, kind = (N_ROWS, self.n_target), "probability" if one_hot else LOSSES[name]["target"]
        self.y = (
            {
                "real": lambda: draw(*shape),
                "none": lambda: draw(*shape),
                "probability": lambda: rng.uniform(0, 1, shape),
                "sign": lambda: rng.choice((-1.0, 1.0), shape),
                "class": lambda: rng.integers(0, sizes["n_weights"], shape),
            }[kind]()
            .astype(np.float32)
            .astype(dtype)
        )
        weights = [
            rng.uniform(0.5, 2, n).astype(np.float32).astype(dtype) for n in (N_ROWS, sizes["n_weights"])
        ]
        self.weight, self.column = weights if weighted else (None, None)
        self.trainer = _core.Trainer(
            graph, self.p, (name, attributes), ("sgd", {}), self.column, num_threads=1, n_target=self.n_target
        )

    def evaluate(self):
        return self.trainer.evaluate(self.x, self.y, self.weight)[0]

    def gradient(self):
        return self.trainer.gradient(self.x, self.y, self.weight)[1]

    @property
    def prediction(self):
        n = N_IN * self.n_out
        return self.x @ self.p[:n].reshape(N_IN, self.n_out) + self.p[n:]


def error(numeric, analytic):
    return float(np.abs(numeric - analytic).max() / np.abs(numeric).max())


@pytest.mark.parametrize("weighted", (False, True), ids=("plain", "weighted"))
@pytest.mark.parametrize("name, attributes", CASES)
def test_gradients_of_every_loss(name, attributes, weighted):
    """Central differences in double with h = 1e-5: errors of 1e-10, far below the 1e-6 allowed and the 2 that
    a wrong sign makes."""
    problem = Problem(name, attributes, weighted, np.float64)
    analytic, p, h = problem.gradient(), problem.p, 1e-5
    numeric = np.empty_like(p)
    for i in range(p.size):
        keep = p[i]
        p[i] = keep + h
        up = problem.evaluate()
        p[i] = keep - h
        numeric[i] = (up - problem.evaluate()) / (2 * h)
        p[i] = keep
    assert error(numeric, analytic) <= LOSSES[name]["tolerance_f64"]
    assert error(numeric, -analytic) > LOSSES[name]["tolerance_f32"]  # the sign counts
    single = Problem(name, attributes, weighted, np.float32)
    assert error(numeric, single.gradient()) <= LOSSES[name]["tolerance_f32"]


# ---------------------------------------------------------------------------------------------------- values
# of others
def softplus(x):
    return np.logaddexp(0, x)


def reference(problem):
    """(rows, values) as SciPy and the papers write them."""
    stats = pytest.importorskip("scipy.stats")
    special = pytest.importorskip("scipy.special")
    p, t, a, name = problem.prediction, problem.y, problem.attributes, problem.name
    n = problem.n_target
    if name in ("mse", "mae", "huber", "pinball"):
        e = p - t
        delta, level = a.get("delta", 1.0), a.get("level", 0.5)
        return {
            "mse": lambda: e**2,
            "mae": lambda: abs(e),
            "huber": lambda: special.huber(delta, e),
            "pinball": lambda: np.maximum((1 - level) * e, -level * e),
        }[name]()
    if name == "binary_cross_entropy":
        q = special.expit(p)
        return -(a.get("positive_weight", 1.0) * t * np.log(q) + (1 - t) * np.log(1 - q))
    if name == "wasserstein":
        return -t * p
    if name == "hinge":
        return np.maximum(0, 1 - t * p)
    if name == "cross_entropy":
        classes = a.get("classes") or problem.n_out
        logp = special.log_softmax(p.reshape(len(p), -1, classes), axis=2)
        share = np.eye(classes)[t.astype(int)] if n * classes == problem.n_out else t.reshape(logp.shape)
        return -(share * logp * (1 if problem.column is None else problem.column)).sum(axis=2)
    if name == "gaussian_nll":
        return -stats.norm.logpdf(t, p[:, :n], np.exp(p[:, n:] / 2))
    if name == "mixture_nll":
        k = a.get("components", 3)
        mean, spread = p[:, k : k + k * n].reshape(-1, k, n), np.exp(p[:, k + k * n :].reshape(-1, k, n) / 2)
        joint = special.log_softmax(p[:, :k], axis=1) + stats.norm.logpdf(t[:, None], mean, spread).sum(
            axis=2
        )
        return -special.logsumexp(joint, axis=1)[:, None]
    if name == "kl":
        mean, log_variance = np.hsplit(p, 2)
        return (0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance)).sum(axis=1, keepdims=True)
    if name == "flow_nll":
        return -(stats.norm.logpdf(p[:, :-1]).sum(axis=1, keepdims=True) + p[:, -1:])
    if name == "ensemble_crps":
        m = a.get("members", 5)
        x = p.reshape(len(p), m, n)
        pairs = abs(x[:, :, None] - x[:, None]).sum(axis=(1, 2)) / (
            2 * (m * (m - 1) if a.get("fair", 1) else m * m)
        )
        return abs(x - t[:, None]).mean(axis=1) - pairs
    if name == "crps":  # by its definition, the integral of (F(y) - 1(y >= t))^2, on both sides of the step
        grid, w = np.polynomial.legendre.leggauss(200)
        mean, sigma = p[:, :n], np.exp(p[:, n:] / 2)
        z = (t - mean) / sigma
        low, high = -12.0, 12.0
        left = low + (z[..., None] - low) * (grid + 1) / 2
        right = z[..., None] + (high - z[..., None]) * (grid + 1) / 2
        return sigma * (
            (stats.norm.cdf(left) ** 2 @ w) * (z - low) / 2 + (stats.norm.sf(right) ** 2 @ w) * (high - z) / 2
        )
    alpha, group = a.get("alpha", 0.5), a.get("group", 2)
    assert name == "hybrid"
    return alpha, group, p - t


@pytest.mark.parametrize("weighted", (False, True), ids=("plain", "weighted"))
@pytest.mark.parametrize("name, attributes", CASES)
def test_losses_are_what_their_formula_says(name, attributes, weighted):
    problem = Problem(name, attributes, weighted, np.float64, seed=6)
    weight = np.ones(N_ROWS) if problem.weight is None else problem.weight
    column = (
        np.ones(problem.n_values) if problem.column is None or name == "cross_entropy" else problem.column
    )
    values = reference(problem)
    if name == "hybrid":
        alpha, group, e = values
        steps, pair = e.reshape(-1, group, e.shape[1]), weight.reshape(-1, group)
        pair = (pair[:, 1:] + pair[:, :-1])[..., None] / 2 * column
        expected = alpha * np.mean(pair * abs(np.diff(steps, axis=1))) + (1 - alpha) * np.mean(
            weight[:, None] * column * e**2
        )
    else:
        assert values.shape == (N_ROWS, problem.n_values)
        expected = np.mean(weight[:, None] * column * values)
    # Up to 570 terms of order one: round-off of the mean below 1e-13. The quadrature of the CRPS is good to
    # 1e-12.
    assert problem.evaluate() == pytest.approx(expected, rel=1e-12 if name == "crps" else 1e-13, abs=1e-14)


@pytest.mark.parametrize("name", ("binary_cross_entropy", "cross_entropy", "gaussian_nll", "kl"))
def test_losses_and_gradients_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    problem = Problem(name, {}, False, np.float64)
    p = torch.tensor(problem.prediction, requires_grad=True)
    t, n = torch.tensor(problem.y), problem.n_target
    f = torch.nn.functional
    if name == "binary_cross_entropy":
        loss = f.binary_cross_entropy_with_logits(p, t)
    elif name == "cross_entropy":
        loss = f.cross_entropy(p, t[:, 0].long())
    elif name == "gaussian_nll":
        loss = f.gaussian_nll_loss(p[:, :n], t, torch.exp(p[:, n:]), full=True)
    else:
        d = torch.distributions
        half = problem.n_out // 2
        q = d.Normal(p[:, :half], torch.exp(p[:, half:] / 2))
        loss = d.kl_divergence(q, d.Normal(0.0, 1.0)).sum(dim=1).mean()
    loss.backward()
    gradient = np.concatenate([(problem.x.T @ p.grad.numpy()).ravel(), p.grad.numpy().sum(axis=0)])
    assert problem.evaluate() == pytest.approx(loss.item(), rel=1e-13)
    np.testing.assert_allclose(problem.gradient(), gradient, rtol=0, atol=1e-14)


def test_losses_stay_finite_for_large_logits():
    for loss, y in (("binary_cross_entropy", 0.0), ("cross_entropy", 1.0)):
        graph = _core.Graph([("input", (), {"shape": 2}), ("affine", (0,), {})])
        p = np.array([1, 1, 0, 0], np.float32)
        x = np.array([[500.0, -500.0]], np.float32)
        n = 2 if loss == "binary_cross_entropy" else 1
        trainer = _core.Trainer(graph, p, (loss, {}), ("sgd", {}), num_threads=1)
        value, gradient = trainer.gradient(x, np.full((1, n), y, np.float32))
        # exp(500) is far beyond float: only the shifted form gives 250 = (500 + 0) / 2 and 1000.
        assert value == pytest.approx(250 if n == 2 else 1000) and np.isfinite(gradient).all()


@pytest.mark.skipif(_core.isa_best() != "v4", reason="needs a CPU with AVX-512")
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("name, attributes", CASES)
def test_avx2_and_avx512_give_the_same_bits(name, attributes, dtype):
    found = []
    try:
        for isa in ("v3", "v4"):
            _core.isa_set(isa)
            problem = Problem(name, attributes, True, dtype)
            found.append((problem.evaluate(), problem.gradient()))
    finally:
        _core.isa_set("auto")
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


# ------------------------------------------------------------------------------------------------------ sums
# of losses
def network_of(n_out, dtype="float64", n_in=4):
    return nn.MLP([6], "tanh").build(n_in, n_out, seed=1, dtype=dtype)


def trainer_of(network, loss, n_target, threads=1):
    return _core.Trainer(
        network._graph,
        network.parameters,
        loss._terms(network.n_out, n_target, network.dtype),
        ("sgd", {}),
        num_threads=threads,
        n_target=n_target,
    )


def test_terms_add_up_and_may_overlap():
    rng = np.random.default_rng(2)
    network = network_of(9)
    x, y, weight = rng.normal(size=(333, 4)), rng.normal(size=(333, 6)), rng.uniform(0.5, 2, 333)
    loss = nn.Terms(
        [
            nn.Term(nn.MSE([1.0, 2.0, 3.0]), (0, 3)),
            nn.Term(nn.GaussianNLL(), (3, 9), weight=0.3),
            nn.Term(nn.Huber(0.2), (2, 5), targets=(0, 3), weight=2.0),
            nn.Term(nn.KL(), (1, 5), weight=0.1),
        ]
    )
    p = network.predict(x)
    stats = pytest.importorskip("scipy.stats")
    special = pytest.importorskip("scipy.special")
    kl = 0.5 * (np.exp(p[:, 3:5]) + p[:, 1:3] ** 2 - 1 - p[:, 3:5]).sum(axis=1)
    w = weight[:, None]
    expected = (
        np.mean(w * [1, 2, 3] * (p[:, :3] - y[:, :3]) ** 2)
        - 0.3 * np.mean(w * stats.norm.logpdf(y[:, 3:], p[:, 3:6], np.exp(p[:, 6:] / 2)))
        + 2 * np.mean(w * special.huber(0.2, p[:, 2:5] - y[:, :3]))
        + 0.1 * np.mean(weight * kl)
    )
    order = rng.permutation(333)
    trainer = trainer_of(network, loss, 6)
    assert trainer.evaluate(x, y, weight)[0] == pytest.approx(expected, rel=1e-13)
    value, gradient = trainer.gradient(x, y, weight, order)
    assert value == pytest.approx(expected, rel=1e-13)
    h, direction = 1e-6, rng.normal(size=network.n_parameters)
    start = network.parameters.copy()
    ends = []
    for sign in (1, -1):
        network.parameters[:] = start + sign * h * direction
        ends.append(trainer.evaluate(x, y, weight)[0])
    # Central difference along a random direction: h^2 = 1e-12 and eps / h = 1e-10 of values of order one.
    assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(gradient @ direction, rel=1e-7)


def test_one_term_on_all_columns_has_the_bits_of_the_loss_itself():
    rng = np.random.default_rng(3)
    network = network_of(5, "float32")
    x, y = rng.normal(size=(100, 4)).astype(np.float32), rng.normal(size=(100, 5)).astype(np.float32)
    two = nn.Terms(
        [nn.Term(nn.MSE()), nn.Term(nn.MSE(), targets=(0, 5), weight=0.0)]
    )  # through the gathered columns
    found = [
        trainer_of(network, loss, 5).gradient(x, y) for loss in (nn.MSE(), nn.Terms([nn.Term(nn.MSE())]), two)
    ]
    for value, gradient in found[1:]:
        assert value == found[0][0]
        np.testing.assert_array_equal(gradient, found[0][1])


def test_training_with_terms_has_the_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(700, 4)).astype(np.float32), rng.normal(size=(700, 3)).astype(np.float32)
    loss = nn.Terms([nn.Term(nn.GaussianNLL(), (0, 6)), nn.Term(nn.KL(), (0, 6), weight=0.1)])
    found = []
    for threads in (1, 2, 3):
        network = network_of(6, "float32")
        nn.fit(
            network, (x, y), loss=loss, epochs=3, batch_size=250, seed=1, num_threads=threads, progress=False
        )
        found.append(network.parameters.copy())
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_history_tells_the_terms_of_the_validation_loss_apart():
    rng = np.random.default_rng(5)
    data = rng.normal(size=(200, 4)), rng.normal(size=(200, 3))
    loss = nn.Terms(
        [
            nn.Term(nn.MSE(), (0, 3)),
            nn.Term(nn.Pinball((0.1, 0.9)), (0, 2), targets=(0, 1), weight=0.2, name="range"),
            nn.Term(nn.KL(), (3, 5), weight=0.5),
        ]
    )
    history = nn.fit(network_of(5), data, validation=data, loss=loss, epochs=2, progress=False)
    parts = [history[f"validation_{name}"] for name in ("mse", "range", "kl")]
    np.testing.assert_allclose(sum(parts), history["validation_loss"], rtol=1e-12)
    assert all((part != 0).all() for part in parts)


def test_quantiles_of_known_noise_are_found():
    rng = np.random.default_rng(6)
    x = rng.uniform(0, 1, (4000, 1))
    y = x + rng.exponential(1, x.shape)
    network = nn.MLP([]).build(1, 3, seed=1, dtype="float64")
    nn.fit(
        network,
        (x, y),
        loss=nn.Pinball((0.1, 0.5, 0.9)),
        optimizer=nn.Adam(nn.schedule.Cosine(0.05)),
        epochs=60,
        seed=1,
        progress=False,
    )
    expected = 0.5 - np.log(1 - np.array([0.1, 0.5, 0.9]))
    # Standard errors sqrt(q (1 - q) / n) / density = 0.005, 0.016, 0.047.
    assert (abs(network.predict(np.array([[0.5]])) - expected) < [0.02, 0.06, 0.18]).all()


# ------------------------------------------------------------------------------------------------- own losses
def squared(prediction, target, x, weight):
    e = prediction - target
    w = 1 if weight is None else weight[:, None]
    return float(np.mean(w * e**2)), 2 * w * e / e.size


@pytest.mark.parametrize("weighted", (False, True))
def test_own_loss_trains_like_the_one_of_the_core(weighted):
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(300, 4)), rng.normal(size=(300, 3))
    data = (x, y, rng.uniform(0.5, 2, 300)) if weighted else (x, y)
    found, rows = [], []
    for loss in (
        nn.MSE(),
        nn.Custom(squared),
        nn.Custom(
            lambda *a: tuple(v / 2 for v in squared(*a)), loss=nn.Terms([nn.Term(nn.MSE(), weight=0.5)])
        ),
    ):
        network = network_of(3)
        history = nn.fit(
            network, data, validation=data, loss=loss, epochs=5, batch_size=64, seed=1, progress=False
        )
        found.append(network.parameters.copy())
        rows.append(history["validation_loss"])
    # The same mathematics with a few roundings in another order, over 25 steps of Adam.
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[2], found[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(rows[1:], [rows[0]] * 2, rtol=1e-12)


@pytest.mark.parametrize("layer", (nn.Dropout(0.3), nn.BatchNorm()), ids=("dropout", "batch_norm"))
def test_own_loss_sees_the_prediction_of_the_training_pass(layer):
    """The mask of dropout and the statistics of the batch are those of the backward pass, or the gradients
    would differ from those of the same loss in the core."""
    rng = np.random.default_rng(7)
    data = rng.normal(size=(300, 4)), rng.normal(size=(300, 3))
    found = []
    for loss in (nn.MSE(), nn.Custom(squared)):
        network = nn.Model(lambda x, n: nn.Dense(n)(layer(nn.Dense(16, "tanh")(x)))).build(
            4, 3, seed=1, dtype="float64"
        )
        history = nn.fit(network, data, loss=loss, epochs=5, batch_size=64, seed=1, progress=False)
        found.append((network.parameters.copy(), history["loss"]))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=0, atol=1e-11)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-12)


def test_own_loss_sees_the_inputs_of_its_batch():
    """A conservation law that involves the input: the outputs must sum to the first input."""
    rng = np.random.default_rng(8)
    x = rng.uniform(-1, 1, (500, 2))
    y = np.stack([x[:, 0] * (1 + x[:, 1]), -x[:, 0] * x[:, 1]], axis=1) + rng.normal(0, 0.2, (500, 2))

    def imbalance(prediction, target, x, weight):
        miss = prediction.sum(axis=1, keepdims=True) - x[:, :1]
        return 20 * float(np.mean(miss**2)), np.broadcast_to(40 * miss / len(miss), prediction.shape)

    misses = []
    for loss in (nn.MSE(), nn.Custom(imbalance, loss=nn.MSE())):
        network = nn.MLP([16], "tanh").build(2, 2, seed=1, dtype="float64")
        nn.fit(network, (x, y), loss=loss, optimizer=nn.Adam(1e-2), epochs=60, seed=1, progress=False)
        misses.append(np.sqrt(np.mean((network.predict(x).sum(axis=1) - x[:, 0]) ** 2)))
    assert misses[1] < 0.3 * misses[0]


@pytest.mark.parametrize(
    "result, message",
    [
        (
            lambda p: (1.0, np.zeros((3, 3))),
            r"expected d_prediction as float64 \(50, 3\), got float64 \(3, 3\)",
        ),
        (
            lambda p: (1.0, np.zeros(p.shape, np.float32)),
            r"expected d_prediction as float64 \(50, 3\), got float32",
        ),
    ],
)
def test_own_loss_with_a_wrong_gradient_is_refused(result, message):
    x = np.zeros((50, 4))
    with pytest.raises(ValueError, match=message):
        nn.fit(
            network_of(3),
            (x, x[:, :3]),
            loss=nn.Custom(lambda p, t, x, w: result(p)),
            epochs=1,
            progress=False,
        )


# ------------------------------------------------------------------------------------------------ wrong input
@pytest.mark.parametrize(
    "loss, y, message",
    [
        (
            nn.MSE(),
            np.zeros((50, 2)),
            "mse needs as many columns of target as of prediction, got 6 columns .* and 2 of target",
        ),
        (
            nn.GaussianNLL(),
            np.zeros((50, 2)),
            "gaussian_nll needs a mean and a log-variance for every column of target",
        ),
        (nn.MixtureNLL(5), np.zeros((50, 1)), "mixture_nll needs for every component a logit"),
        (nn.EnsembleCRPS(4), np.zeros((50, 2)), "ensemble_crps needs one column per member"),
        (nn.EnsembleCRPS(1), np.zeros((50, 6)), r"members: expected an integer in \[2, 4096\]"),
        (nn.Pinball((0.1, 0.5, 0.7, 0.9)), np.zeros((50, 1)), "Pinball with 4 levels needs a multiple"),
        (nn.Pinball((0.5, 1.0)), np.zeros((50, 3)), "level: expected a number"),
        (nn.CrossEntropy(classes=4), np.zeros((50, 1)), "cross_entropy needs at least 2 classes"),
        (nn.CrossEntropy(), np.full((50, 1), 6.0), r"y\[0, 0\] = 6 is no class \(0 to 5\)"),
        (nn.CrossEntropy(), np.full((50, 1), 0.5), r"y\[0, 0\] = 0.5 is no class"),
        (nn.CrossEntropy([1.0, 2.0]), np.zeros((50, 1)), r"column_weight: expected shape \(n_out=6,\)"),
        (nn.BinaryCrossEntropy(), np.full((50, 6), 1.5), r"y\[0, 0\] = 1.5 is no probability"),
        (
            nn.Terms([nn.Term(nn.MSE(), (3, 7))]),
            np.zeros((50, 4)),
            r"columns: expected \(start, stop\) within 6 columns, got \(3, 7\)",
        ),
        (
            nn.Terms([nn.Term(nn.MSE(), (0, 6), targets=(0, 5))]),
            np.zeros((50, 6)),
            "mse needs as many columns",
        ),
    ],
)
def test_losses_that_do_not_fit_the_data_are_refused_by_name(loss, y, message):
    with pytest.raises(ValueError, match=message):
        nn.fit(network_of(6), (np.zeros((50, 4)), y), loss=loss, epochs=1, progress=False)


def test_a_class_that_does_not_exist_makes_the_loss_nan_not_a_wild_read():
    problem = Problem("cross_entropy", {}, False, np.float64)
    problem.y[3] = 99
    assert np.isnan(problem.evaluate())


def test_data_without_a_target_train_a_loss_that_has_none():
    x = np.random.default_rng(9).normal(size=(200, 4))
    network = network_of(6)
    history = nn.fit(
        network, (x, None), loss=nn.KL(), optimizer=nn.Adam(1e-2), epochs=100, batch_size=20, progress=False
    )
    assert history.best < 1e-3 and abs(network.predict(x)).max() < 0.3


@pytest.mark.parametrize(
    "loss",
    [
        nn.Terms([nn.Term(nn.GaussianNLL([1.0, 2.0]), (0, 4)), nn.Term(nn.KL(), (2, 6), weight=0.1)]),
        nn.Custom(lambda p, t, x, w: (float(np.mean(p**2)), 2 * p / p.size), loss=nn.Pinball((0.2, 0.5, 0.8))),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_resumed_training_with_composed_losses_ends_with_the_same_bits(tmp_path, loss):
    rng = np.random.default_rng(10)
    data = rng.normal(size=(150, 4)), rng.normal(size=(150, 2))

    def run(epochs, checkpoint=None, loss=loss):
        network = nn.Model(lambda x, n: nn.Dense(n)(nn.Dropout(0.1)(nn.Dense(8, "tanh")(x))))
        network = network.build(4, 6, seed=1, dtype="float64")
        options = {"optimizer": nn.Adam(1e-2, ema=0.9), "epochs": epochs, "batch_size": 40, "seed": 2}
        options |= {"validation": data, "progress": False}
        history = nn.fit(network, data, loss=loss, checkpoint=checkpoint, **options)
        return network.parameters, history.rows

    run(2, tmp_path / "run.ckpt")
    resumed, whole = run(5, tmp_path / "run.ckpt"), run(5)
    np.testing.assert_array_equal(resumed[0], whole[0])
    assert resumed[1] == whole[1]
    if isinstance(loss, nn.Custom):
        other = nn.Custom(print, loss=loss.loss)
    else:
        other = nn.Terms([nn.Term(nn.GaussianNLL([1.0, 2.5]), (0, 4)), loss.terms[1]])
    with pytest.raises(ValueError, match="another (loss|function)"):
        run(6, tmp_path / "run.ckpt", other)


def test_groups_of_rows_beyond_the_address_space_are_refused():
    """Terms that compare groups of 4096, 4095, 4093, 4091 and 4079 rows have 1.1e18 rows in common, whose bytes do
    not fit into 64 bits; with two groups more neither does their number."""
    graph = _core.Graph([("input", (), {"shape": 4}), ("dense", (0,), {"units": 4})])
    for groups in ((4096, 4095, 4093, 4091, 4079), (4096, 4095, 4093, 4091, 4079, 4073, 4057)):
        terms = [("hybrid", {"group": g}, None, 0, 4, 0, 4, 1.0) for g in groups]
        with pytest.raises(MemoryError, match="workspace"):
            _core.Trainer(graph, np.zeros(20), terms, ("sgd", {}), num_threads=1, n_target=4)
