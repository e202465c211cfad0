"""Every allocation of the core fails once, on the way through each kind of work: a MemoryError that says what for, nothing left behind,
and the same work done again gives what it always gave.

Allocations of HDF5, Python and NumPy are not ours; they do not go through the hook.
"""

import gc
import os
from pathlib import Path

import numpy as np
import pytest

import simgraft as sg
from simgraft import _core, nn


def digest(value):
    """Comparable bits of a result."""
    if isinstance(value, dict):
        return {key: digest(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [digest(v) for v in value]
    return value.tobytes() if isinstance(value, np.ndarray) else value


def blocks():
    gc.collect()
    return _core.memory_blocks()


def sweep(work, at_least, after_failure=None):
    """Does the work with each of its allocations failing in turn. Work returns arrays and numbers and keeps nothing."""
    gc.collect()
    gc.freeze()  # the collections below need not look at what is there already
    try:
        _sweep(work, at_least, after_failure)
    finally:
        gc.unfreeze()


def _sweep(work, at_least, after_failure):
    expected = digest(work())  # fills caches of the process
    before = blocks()
    _core.memory_fail_after(-1)
    assert digest(work()) == expected
    total = _core.memory_fail_after(-1)
    assert total >= at_least
    assert blocks() == before
    for n in range(total):
        _core.memory_fail_after(n)
        try:
            result = digest(work())
        except MemoryError as problem:
            assert len(str(problem)) > 10, f"allocation {n}: {problem!r}"
        else:
            raise AssertionError(f"allocation {n} of {total} failed and nobody noticed: {result == expected}")
        finally:
            _core.memory_fail_after(-1)
        assert blocks() == before, f"allocation {n} of {total} left blocks behind"
        if after_failure:
            after_failure()
    assert digest(work()) == expected


# ------------------------------------------------------------------------------------------------------------ networks
NETWORK_OPS = [op["name"] for op in _core.nn_ops() if op["name"] != "input"]


def nodes_of(name):
    op = next(op for op in _core.nn_ops() if op["name"] == name)
    if op["has_example"]:
        shapes, attributes = _core.nn_op_example(name, 3)
    else:
        shapes = [(3,)] * op["min_inputs"]
        attributes = {a["name"]: 2 for a in op["attributes"] if a["default"] is None and a["type"] != "float"}
    attributes = {key: value for key, value in attributes.items() if value is not None}
    return [*(("input", (), {"shape": shape}) for shape in shapes), (name, tuple(range(len(shapes))), attributes)]


@pytest.mark.parametrize("name", NETWORK_OPS)
def test_graph_plan_and_derivatives_of_every_operator(name):
    nodes, rng = nodes_of(name), np.random.default_rng(1)
    graph = _core.Graph(nodes)
    p, x, d = (rng.normal(size=s).astype(np.float32) for s in (graph.n_parameters, (5, graph.n_in), (5, graph.n_in)))
    d_y = rng.normal(size=(5, graph.n_out)).astype(np.float32)

    def work():
        fresh = _core.Graph(nodes)
        net = _core.Net(fresh, p)
        return [fresh.forward(p, x, num_threads=2), *fresh.backward(p, x, d_y), *fresh.tangent(p, x, d),
                net.eval(x, None, 2), net.jvp(x, d, None, 2), net.vjp(x, d_y, None, 2)]

    sweep(work, at_least=20)


def small_network():
    return nn.MLP([5, 4], "tanh").build(3, 2, seed=1)


def test_a_chain_of_dense_layers_is_packed_and_run():
    network, x = small_network(), np.linspace(0, 1, 30, dtype=np.float32).reshape(10, 3)

    def work():
        fresh = network.copy()
        return [fresh.predict(x, num_threads=2), fresh.jvp(x, x), *fresh.vjp(x, x[:, :2].copy())]

    sweep(work, at_least=8)


OPTIMIZERS = {"adam": nn.Adam(1e-2, ema=0.9), "sgd": nn.SGD(1e-2, momentum=0.9, nesterov=True), "adamw": nn.AdamW(1e-2)}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_puts_finite_weights_back(optimizer, tmp_path):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(40, 2)).astype(np.float32)
    start = small_network().parameters.copy()
    network = small_network()

    def work():
        network.parameters[:] = start
        path = tmp_path / "checkpoint"
        path.unlink(missing_ok=True)
        history = nn.fit(network, (x, y), validation=(x[:8], y[:8]), optimizer=OPTIMIZERS[optimizer], epochs=2, batch_size=16, seed=1,
                         num_threads=2, checkpoint=path, progress=False)
        return [network.parameters.copy(), history["validation_loss"]]

    def check():
        assert np.isfinite(network.parameters).all()
        assert sorted(os.listdir(tmp_path)) in ([], ["checkpoint"])

    sweep(work, at_least=15, after_failure=check)


def test_an_interrupted_training_goes_on_from_its_checkpoint(tmp_path):
    """The state on disk is that of the last finished epoch, whichever allocation of the next one failed."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(40, 2)).astype(np.float32)
    path, first, options = tmp_path / "checkpoint", None, dict(batch_size=16, seed=1, num_threads=1, progress=False)

    def go(epochs):
        network = small_network()
        nn.fit(network, (x, y), epochs=epochs, checkpoint=path, **options)
        return network.parameters.copy()

    go(1)
    first = path.read_bytes()
    straight = go(3)

    def work():
        path.write_bytes(first)
        return go(3)

    def check():
        np.testing.assert_array_equal(go(3), straight)

    sweep(work, at_least=10, after_failure=check)


LOSSES = {
    "sum of slices": (3, 3, lambda: nn.Terms([nn.Term(nn.MSE(), (0, 2), targets=(0, 2)), nn.Term(nn.MAE(), (2, 3), weight=0.1, targets=(2, 3))])),
    "weighted columns": (3, 3, lambda: nn.Huber(column_weight=[1.0, 0.5, 2.0])),
    "gaussian": (4, 2, nn.GaussianNLL),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_trainers_with_all_kinds_of_losses(loss):
    n_out, n_target, make = LOSSES[loss]
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, 3)).astype(np.float32), rng.normal(size=(20, n_target)).astype(np.float32)
    weight = rng.uniform(1, 2, 20).astype(np.float32)

    def work():
        network = nn.MLP([4], "tanh").build(3, n_out, seed=1)
        nn.fit(network, (x, y, weight), loss=make(), epochs=1, batch_size=8, seed=1, num_threads=1, progress=False)
        return network.parameters.copy()

    sweep(work, at_least=12)


def test_a_layer_that_couples_rows_takes_a_large_batch_whole():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(300, 3)).astype(np.float32), rng.normal(size=(300, 2)).astype(np.float32)
    inputs = nn.Input(3)
    output = nn.Dense(2)(nn.BatchNorm()(nn.Dense(4)(inputs)))

    def work():
        network = nn.Network.from_graph(inputs, output, seed=1)
        nn.fit(network, (x, y), epochs=1, batch_size=300, seed=1, num_threads=2, progress=False)
        return network.parameters.copy()

    sweep(work, at_least=20)


def test_layers_given_as_arrays():
    weights, x = [np.ones((3, 4)), np.ones((4, 2))], np.ones((5, 3))

    def work():
        return _core.dense_net(weights, [np.zeros(4), np.zeros(2)], ["tanh", "linear"], "float64").eval(x, None, 1)

    sweep(work, at_least=3)


def test_full_batch_optimiser():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, 3)).astype(np.float64), rng.normal(size=(20, 2)).astype(np.float64)

    def work():
        network = nn.MLP([4], "tanh").build(3, 2, seed=1, dtype="float64")
        nn.fit(network, (x, y), optimizer=nn.LBFGS(), epochs=2, batch_size=20, seed=1, num_threads=1, progress=False)
        return network.parameters.copy()

    sweep(work, at_least=8)


# ---------------------------------------------------------------------------------------------------------- surrogates
def law(inputs):
    return {"y": inputs["t"] * np.log(inputs["p"]), "z": inputs["p"]}


KERNEL = sg.Kernel(law, name="law", inputs={"t": sg.Var("K", 200, 300), "p": sg.Var("Pa", 1, 10, scale="log")},
                   outputs={"y": sg.Var("1"), "z": sg.Var("Pa", scale="log")})


@pytest.fixture(scope="module")
def samples():
    return KERNEL.sample(sg.sampling.uniform(KERNEL, seed=1), 120, seed=1, progress=False)


@pytest.fixture(scope="module")
def fitted(samples):
    return sg.Surrogate(KERNEL, nn.MLP([4], "tanh"), guard="count").fit(samples, seed=1, epochs=1, progress=False)


def test_fitting_a_surrogate(samples):
    train, validation = samples.split(seed=1)
    x = samples.X

    def work():
        surrogate = sg.Surrogate(KERNEL, nn.MLP([3], "tanh"), guard="count")
        surrogate.fit(train, validation=validation, seed=1, epochs=1, batch_size=64, num_threads=1, progress=False)
        return surrogate.evaluate(x)

    sweep(work, at_least=100)


def test_a_fit_that_fails_leaves_no_half_trained_function(samples):
    surrogate = sg.Surrogate(KERNEL, nn.MLP([3], "tanh"))
    _core.memory_fail_after(60)
    try:
        with pytest.raises(MemoryError):
            surrogate.fit(samples, seed=1, epochs=1, progress=False)
    finally:
        _core.memory_fail_after(-1)
    with pytest.raises(RuntimeError, match="has not been fitted"):
        surrogate.evaluate(samples.X)


def test_loading_a_surrogate_file(fitted, samples, tmp_path):
    path = tmp_path / "law.sg"
    fitted.save(path)
    x = samples.X

    def work():
        surrogate = sg.load(path, KERNEL)
        return [surrogate.evaluate(x), surrogate.describe()]

    sweep(work, at_least=40)
    assert os.listdir(tmp_path) == ["law.sg"]


def test_loading_a_surrogate_file_of_the_first_format():
    path = Path(__file__).parents[1] / "surrogate" / "golden" / "v1_weather.sg"

    def work():
        return sg.load(path).describe()

    sweep(work, at_least=40)


def test_a_surrogate_of_a_graph_is_saved_and_loaded(tmp_path):
    x = nn.Input(2)
    h = nn.Dense(4, "tanh")(x)
    network = nn.Network.from_graph(x, nn.Dense(2)(nn.Concatenate()(h, nn.LayerNorm()(h))), seed=1)
    rows = np.array([[250.0, 5.0], [260.0, 2.0]])

    def work():
        surrogate = sg.Surrogate.from_network(KERNEL, network, guard="off")
        surrogate.save(tmp_path / "net.sg")
        return sg.load(tmp_path / "net.sg").evaluate(rows, num_threads=2)

    sweep(work, at_least=60)


def test_saving_leaves_the_old_file_or_the_new_one(fitted, tmp_path):
    path = tmp_path / "law.sg"
    fitted.save(path)
    old = path.read_bytes()

    def work():
        fitted.save(path)
        return []

    def check():
        assert os.listdir(tmp_path) == ["law.sg"]
        assert sg.load(path).n_in == 2 and len(path.read_bytes()) == len(old)

    sweep(work, at_least=3, after_failure=check)


@pytest.mark.parametrize("dtype", (np.float64, np.float32))
def test_evaluating_a_surrogate_leaves_it_as_it_was(fitted, samples, dtype):
    x = samples.X.astype(dtype)
    d = np.ones_like(x)

    def work():
        report = fitted.guard_check(x)
        return [fitted.evaluate(x, num_threads=2), fitted.jvp(x, d), fitted.vjp(x, d), report.n_outside, fitted.distance(samples.X)]

    sweep(work, at_least=5)


def test_strided_rows_and_results(fitted, samples):
    wide = np.zeros((120, 4))
    wide[:, ::2] = samples.X
    out = np.zeros((2, 120))

    def work():
        return np.ascontiguousarray(fitted.evaluate(wide[:, ::2], out.T, num_threads=2))

    sweep(work, at_least=1)


# ----------------------------------------------------------------------------------------------------------- data sets
def test_sampling_into_files_and_reading_them(tmp_path):
    folder = tmp_path / "data"

    def work():
        for path in folder.glob("shard-*"):
            path.unlink()
        data = KERNEL.sample(sg.sampling.uniform(KERNEL, seed=1), 60, folder, seed=1, shard_rows=25, compression=1, progress=False)
        return [data.X, data.Y, digest(list(sg.Dataset.open(folder).blocks()))]

    def check():
        assert all(p.name.startswith("shard-") for p in folder.iterdir()), "a temporary file was left"

    sweep(work, at_least=20, after_failure=check)


def test_an_interrupted_sampling_is_completed_by_repeating_it(tmp_path):
    def sample(folder):
        return KERNEL.sample(sg.sampling.uniform(KERNEL, seed=1), 60, folder, seed=1, shard_rows=25, progress=False)

    whole = sample(tmp_path / "whole")
    _core.memory_fail_after(-1)
    sample(tmp_path / "count")
    total = _core.memory_fail_after(-1)
    for n in range(0, total, 3):
        folder = tmp_path / f"{n}"
        _core.memory_fail_after(n)
        try:
            with pytest.raises(MemoryError):
                sample(folder)
        finally:
            _core.memory_fail_after(-1)
        np.testing.assert_array_equal(sample(folder).Y, whole.Y)


def test_streaming_data_in_batches(tmp_path):
    data = KERNEL.sample(sg.sampling.uniform(KERNEL, seed=1), 20_000, tmp_path, seed=1, shard_rows=500, progress=False)

    def work():
        reader = data.reader(100, memory=400_000)  # smaller than the data: windows are read in the background
        return [part for batch in reader.epoch(3) for part in batch if part is not None]

    sweep(work, at_least=3)


def test_containers_and_checksums(tmp_path):
    path = tmp_path / "file"
    entries = {"a": np.arange(7.0), "b/c": np.arange(6, dtype=np.float32).reshape(2, 3), "text": "words"}

    def work():
        _core.container_write(path, "test", 1, entries)
        return [_core.container_read(path, "test", 1), _core.file_info(path)["sha256"]]

    sweep(work, at_least=8)
    assert os.listdir(tmp_path) == ["file"]


# ------------------------------------------------------------------------------------------------- import, statistics
def test_importing_networks(fitted, tmp_path):
    pytest.importorskip("onnx")
    from simgraft import interop

    path = tmp_path / "net.onnx"
    interop.to_onnx(small_network(), path)
    x = np.linspace(0, 1, 30, dtype=np.float32).reshape(10, 3)

    def work():
        return interop.from_onnx(path).predict(x)

    sweep(work, at_least=5)


def test_encoders(samples):
    x = samples.X
    chains = {"t": [sg.encode.Root(3), sg.encode.MinMax()], "p": [sg.encode.Log(), sg.encode.Standardise()]}

    def work():
        encoder = sg.encode.Encoder(chains, side="inputs").fit(samples)
        return encoder.inverse_transform(encoder.transform(x))

    sweep(work, at_least=5)


def test_a_value_that_cannot_be_encoded_is_explained_if_there_is_memory_for_it(samples):
    encoder = sg.encode.Encoder({"t": [], "p": [sg.encode.Log()]}, side="inputs").fit(samples)
    x = np.array([[250.0, -1.0]])

    def work():
        try:
            return encoder.transform(x)
        except sg.DomainError as problem:
            return str(problem)

    sweep(work, at_least=1)


def test_metrics(samples):
    x, y = samples.X, samples.Y

    def work():
        moments = sg.metrics.Moments(covariance=True)
        moments.update(x)
        w = sg.metrics.whitening(moments.covariance_)
        return [sg.metrics.rmse(x, y), sg.metrics.percentiles(y[:, 0].copy(), [5, 50]), w, sg.metrics.squared_distance(x, moments.mean_, w)]

    sweep(work, at_least=1)
