"""Surrogates: training, the deployed function, its bits, and networks from elsewhere."""

import hashlib
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import simgraft as sg
from simgraft import _core, encode


def test_learns_the_kernel(kernel, data):
    surrogate = sg.Surrogate(kernel, sg.nn.MLP([32, 32], activation="tanh")).fit(
        data, seed=1, epochs=60, batch_size=64, progress=False
    )
    test = kernel.sample(sg.sampling.uniform(kernel, seed=9), 1000, seed=9, progress=False)
    error = surrogate.evaluate(test.X, guard="off") - test.Y
    # a linear model leaves 0.1 of ln(rate) and 0.5 of heat (rmse); this is an order below
    assert (
        np.sqrt(np.mean((error[:, 0] / test.Y[:, 0]) ** 2)) < 0.05
        and np.sqrt(np.mean(error[:, 1] ** 2)) < 0.05
    )


def test_called_like_the_kernel(kernel, surrogate, rows):
    inputs = kernel.unpack_inputs(rows[:7])
    outputs = surrogate(inputs)
    assert list(outputs) == ["rate", "heat"] and outputs["rate"].shape == (7,)
    assert np.array_equal(outputs["heat"], surrogate.evaluate(rows)[:7, 1])


def test_deployed_function_is_encoder_network_decoder(surrogate, rows):
    """In parts: encode, predict with the training code, decode. Folding the output scale into the last layer
    rounds differently: a few
    ulp of a float sum of 24 terms of size up to 3, times the slope of exp."""
    z = surrogate.network_.predict(surrogate.encoder_.transform(rows))
    parts = surrogate.decoder_.inverse_transform(z)
    assert surrogate._core.describe()["folded"]
    scale = np.array([c[-1].std_[0] for c in surrogate.decoder_.chains_.values()])
    fused = surrogate.evaluate(rows)
    assert np.max(np.abs(np.log(fused[:, 0] / parts[:, 0]))) < 30 * 3 * 6e-8 * scale[0]
    assert np.max(np.abs(fused[:, 1] - parts[:, 1])) < 30 * 3 * 6e-8 * scale[1]


def test_a_large_output_shift_is_not_folded(kernel):
    """An output of 1e5 +- 1: folded, each addition of the last layer would round at 0.008."""
    big = sg.Kernel(None, inputs={"x": sg.Var("1", 0, 1)}, outputs={"y": sg.Var("Pa")})
    x = np.linspace(0, 1, 500)[:, None]
    data = sg.Dataset.from_arrays(big, x, 1e5 + x)
    surrogate = sg.Surrogate(big, sg.nn.MLP([8])).fit(data, seed=1, epochs=2, progress=False)
    assert not surrogate._core.describe()["folded"]
    z = surrogate.network_.predict(surrogate.encoder_.transform(x))
    assert np.max(np.abs(surrogate.evaluate(x) - surrogate.decoder_.inverse_transform(z))) < 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("host", [np.float64, np.float32])
def test_bits_for_any_batch_threads_strides_and_instruction_set(kernel, data, dtype, host):
    fitted = sg.Surrogate(kernel, sg.nn.MLP([16, 24], activation="swish")).fit(
        data, seed=3, epochs=1, dtype=dtype, progress=False
    )
    x = np.tile(data.X, (3, 1)).astype(host)
    hashes = set()
    for isa in ("v3", "v4"):
        try:
            _core.isa_set(isa)
        except NotImplementedError:
            continue
        surrogate = sg.Surrogate.from_network(
            kernel,
            *map(list, zip(*fitted.network_.layers)),
            encoder=fitted.encoder_,
            decoder=fitted.decoder_,
            guard="count",
        )
        for threads in (1, 2):
            for step in (1, 2, 3, 7, 16, 100, 4096):
                some = x[: 40 * step]
                y = np.concatenate(
                    [
                        surrogate.evaluate(some[i : i + step], num_threads=threads)
                        for i in range(0, len(some), step)
                    ]
                )
                hashes.add(hashlib.sha256(y[:40].tobytes()).hexdigest())
        wide = np.zeros((2 * len(x), 9), dtype=host)[::-2, 1::3][:, :2]
        surrogate.evaluate(np.asfortranarray(x), out=wide)
        hashes.add(hashlib.sha256(np.ascontiguousarray(wide[:40]).tobytes()).hexdigest())
        assert np.array_equal(wide, surrogate.evaluate(x, guard="off"))
    _core.isa_set("auto")
    assert len(hashes) == 1


def test_single_and_double_hosts_agree_to_rounding(surrogate, rows):
    single, double = surrogate.evaluate(rows.astype(np.float32)), surrogate.evaluate(rows)
    assert single.dtype == np.float32 and double.dtype == np.float64
    assert (
        np.max(np.abs(single / double - 1)[:, 0]) < 1e-4
    )  # inputs are rounded to 6e-8, ln(rate) varies over 10


def test_fitting_twice_gives_the_same_weights_and_file(kernel, data, tmp_path):
    files = []
    for k, threads in enumerate((1, 2)):
        s = sg.Surrogate(kernel, sg.nn.MLP([8, 8])).fit(
            data, seed=5, epochs=3, num_threads=threads, progress=False
        )
        s.provenance = {}
        s.save(tmp_path / f"{k}.sg")
        files.append((tmp_path / f"{k}.sg").read_bytes())
    assert files[0] == files[1]


def test_streamed_training_data_give_the_same_encoder_and_domain(kernel, tmp_path):
    """Shards with few rows and a reader that does not hold them: the same statistics, and a network that
    learns."""
    sampler = sg.sampling.sobol(kernel, seed=1)
    stored = kernel.sample(sampler, 100_000, out=tmp_path / "data", seed=1, shard_rows=65_536, progress=False)
    held = kernel.sample(sampler, 100_000, seed=1, progress=False)
    options = dict(seed=2, epochs=2, batch_size=256, progress=False)
    a = sg.Surrogate(kernel, sg.nn.MLP([8])).fit(held, **options)
    b = sg.Surrogate(kernel, sg.nn.MLP([8])).fit(stored, **options)
    assert a.encoder_.to_dict() == b.encoder_.to_dict() and a.decoder_.to_dict() == b.decoder_.to_dict()
    assert (
        a._domain["max_distance"] == b._domain["max_distance"]
        and a.provenance["data"]["sha256"] == b.provenance["data"]["sha256"]
    )
    c = sg.Surrogate(kernel, sg.nn.MLP([8])).fit(
        stored, memory=2_700_000, **options
    )  # 100,000 encoded rows of 32 bytes do not fit
    assert c.history_["loss"][-1] < 0.8 * c.history_["loss"][0]


def test_validation_scores_the_deployed_function(kernel, data):
    train, validation = data.split(fractions=(0.75, 0.25), seed=1)
    surrogate = sg.Surrogate(kernel, sg.nn.MLP([16])).fit(
        train, validation=validation, seed=1, epochs=12, batch_size=64, progress=False
    )
    history = surrogate.history_
    assert history.monitor == "validation_loss" and history.best == min(history["validation_loss"])
    ours = surrogate.decoder_.transform(surrogate.evaluate(validation.X, guard="off"), dtype="float64")
    loss = np.mean((ours - surrogate.decoder_.transform(validation.Y, dtype="float64")) ** 2)
    assert abs(loss / history.best - 1) < 1e-5  # the loss is summed in float chunks


def test_weights_reach_the_loss(kernel):
    """Two populations that contradict each other: the network answers with their weighted mean."""
    one = sg.Kernel(None, inputs={"x": sg.Var("1", 0, 1)}, outputs={"y": sg.Var("1")})
    x = np.full((2000, 1), 0.5)
    y = np.repeat([[0.0], [1.0]], 1000, axis=0)
    weight = np.repeat([1.0, 3.0], 1000)
    fits = []
    for options in (
        {"data": sg.Dataset.from_arrays(one, x, y, weight=weight)},
        {"data": sg.Dataset.from_arrays(one, x, y), "weight": lambda x, y: 1 + 2 * y[:, 0]},
    ):
        s = sg.Surrogate(one, sg.nn.MLP([])).fit(
            options.pop("data"),
            seed=1,
            epochs=100,
            batch_size=100,
            num_threads=1,
            progress=False,
            optimizer=sg.nn.Adam(0.02),
            **options,
        )
        fits.append(float(s.evaluate(x[:1])[0, 0]))
    assert np.allclose(fits, 0.75, atol=0.02)  # Adam's last steps wander by its rate
    assert np.array_equal(s.row_weights(x[:2], y[[0, -1]]), [1, 3])


def test_a_network_from_elsewhere_with_radiation_transforms():
    """RRTMGP-NN style: ln p, h2o^(1/4), min-max inputs, y = (std out + mean)^8, against the formula in
    NumPy."""
    rng = np.random.default_rng(3)
    n_g = 16
    kernel = sg.Kernel(
        None,
        name="gas optics",
        inputs={
            "temperature": sg.Var("K", 160, 355),
            "pressure": sg.Var("Pa", 1.0, 1.1e5),
            "h2o": sg.Var("1", 0, 0.05),
        },
        outputs={"tau": sg.Var("cm2", shape=n_g)},
    )
    low, high = np.array([160.0, 0.0, 0.1]), np.array([355.0, 11.6, 0.5])
    w = [rng.normal(0, 0.5, s).astype(np.float32) for s in ((3, 12), (12, 12), (12, n_g))]
    b = [rng.normal(0, 0.1, len(v.T)).astype(np.float32) for v in w]
    mean, std = rng.uniform(0.1, 0.4, n_g), 0.05
    surrogate = sg.Surrogate.from_network(
        kernel,
        w,
        b,
        ["softsign", "softsign", "linear"],
        encoder={
            "temperature": [encode.MinMax(low=160.0, high=355.0)],
            "pressure": [encode.Log(), encode.MinMax(low=0.0, high=11.6)],
            "h2o": [encode.Root(4), encode.MinMax(low=0.1, high=0.5)],
        },
        decoder={"tau": [encode.Root(8), encode.Standardise(mean=mean, std=std)]},
        provenance={"file": "somewhere.nc"},
    )
    x = np.column_stack(
        [rng.uniform(160, 355, 300), np.exp(rng.uniform(0, 11.5, 300)), rng.uniform(0, 0.05, 300)]
    )
    z = (np.column_stack([x[:, 0], np.log(x[:, 1]), x[:, 2] ** 0.25]) - low) / (high - low)
    for k in range(3):
        z = z @ w[k].astype(np.float64) + b[k]
        z = z / (1 + np.abs(z)) if k < 2 else z
    truth = (std * z + mean) ** 8
    out = surrogate.evaluate(x)
    # float sums of 12 terms: 1e-6 of the root, eight times that of the power; small roots relative to the
    # mean
    assert np.max(np.abs(out**0.125 - truth**0.125)) < 2e-6
    assert surrogate.provenance["file"] == "somewhere.nc" and surrogate(
        {"temperature": x[:, 0], "pressure": x[:, 1], "h2o": x[:, 2]}
    )["tau"].shape == (300, n_g)
    with pytest.raises(sg.DomainError, match="h2o"):
        surrogate.evaluate(x + [0, 0, 1.0])


@pytest.mark.parametrize(
    "activation",
    [
        "relu",
        ("leaky_relu", 0.2),
        "elu",
        "softsign",
        "tanh",
        "sigmoid",
        "swish",
        "gelu",
        "softplus",
        "linear",
    ],
)
def test_every_activation_is_deployed_as_it_was_trained(activation, tmp_path):
    kernel = sg.Kernel(None, inputs={"x": sg.Var("1", -3, 3)}, outputs={"y": sg.Var("1")})
    one = np.ones((1, 1))
    surrogate = sg.Surrogate.from_network(kernel, [one], [np.zeros(1)], [activation])
    name, parameter = activation if isinstance(activation, tuple) else (activation, None)
    x = np.linspace(-3, 3, 61)[:, None]
    inp = sg.nn.Input(1)
    attributes = {} if parameter is None else {"parameter": parameter}
    trained = sg.nn.Network.from_graph(
        inp, sg.nn.Activation(name, **attributes)(inp), seed=0, dtype="float64"
    )
    assert np.allclose(surrogate.evaluate(x), trained.predict(x), rtol=1e-14, atol=1e-15)
    surrogate.save(tmp_path / "one.sg")
    assert np.array_equal(sg.load(tmp_path / "one.sg").evaluate(x), surrogate.evaluate(x))


def test_transforms_that_must_learn_are_refused_without_data(kernel):
    with pytest.raises(ValueError, match=r"pressure.*has to learn"):
        sg.Surrogate.from_network(
            kernel,
            [np.ones((5, 2))],
            [np.zeros(2)],
            ["linear"],
            encoder={"pressure": [encode.Log(), encode.Standardise()]},
        )


@pytest.mark.parametrize(
    ("weights", "biases", "words"),
    [
        ([np.ones((4, 2))], [np.zeros(2)], r"weights\[0\].*\(5, n\)"),
        ([np.ones((5, 3))], [np.zeros(3)], "decoder"),
        ([np.ones((5, 2))], [np.zeros(3)], r"biases\[0\].*\(2,\)"),
        ([np.ones((5, 2), dtype=np.float32)], [np.zeros(2)], r"biases\[0\].*float64"),
        ([np.ones((5, 3)), np.ones((4, 2))], [np.zeros(3), np.zeros(2)], r"weights\[1\]"),
        ([], [], "decoder"),
    ],
)
def test_networks_that_do_not_fit_are_refused(kernel, weights, biases, words):
    with pytest.raises((ValueError, TypeError), match=words):
        sg.Surrogate.from_network(kernel, weights, biases, ["linear"] * len(weights))


def test_an_unknown_activation_is_refused(kernel):
    with pytest.raises(ValueError, match="activations: expected one of linear, relu"):
        sg.Surrogate.from_network(kernel, [np.ones((5, 2))], [np.zeros(2)], ["wavy"])


def test_wrong_arrays_are_refused(surrogate, rows):
    with pytest.raises(TypeError, match="x: expected float64 array"):
        surrogate.evaluate(rows.astype(np.int64))
    with pytest.raises(ValueError, match=r"x: expected shape \(n, n_in=5\), got \(2048, 4\)"):
        surrogate.evaluate(rows[:, :4])
    with pytest.raises(TypeError, match="out: expected float64"):
        surrogate.evaluate(rows, out=np.empty((2048, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="share memory"):
        surrogate.evaluate(rows, out=rows[:, :2])
    with pytest.raises(TypeError, match="x: expected"):
        surrogate.evaluate([[1.0] * 5])
    with pytest.raises(ValueError, match="guard"):
        surrogate.evaluate(rows, guard="loud")


def test_no_rows_give_no_rows(surrogate):
    assert surrogate.evaluate(np.empty((0, 5))).shape == (0, 2)


def test_unfitted_says_so(kernel):
    with pytest.raises(RuntimeError, match="not been fitted"):
        sg.Surrogate(kernel, sg.nn.MLP([4])).evaluate(np.ones((1, 5)))


def test_a_copy_sent_to_another_process_is_the_same_function(surrogate, rows):
    copy = pickle.loads(pickle.dumps(surrogate.encoder_))
    assert np.array_equal(copy.transform(rows), surrogate.encoder_.transform(rows))
    plain = sg.Surrogate.from_network(
        sg.Kernel(None, inputs=surrogate.kernel.inputs, outputs=surrogate.kernel.outputs),
        *map(list, zip(*surrogate.network_.layers)),
        encoder=surrogate.encoder_,
        decoder=surrogate.decoder_,
    )
    assert np.array_equal(pickle.loads(pickle.dumps(plain)).evaluate(rows), surrogate.evaluate(rows))


def test_a_diverged_training_leaves_no_function(kernel, data):
    surrogate = sg.Surrogate(kernel, sg.nn.MLP([8], activation="relu"))
    with pytest.raises(sg.DivergedError):
        surrogate.fit(data, seed=1, epochs=50, optimizer=sg.nn.SGD(1e6), progress=False)
    with pytest.raises(RuntimeError, match="not been fitted"):
        surrogate.evaluate(data.X)


def test_nan_in_the_training_data_is_named(kernel, data):
    class Spoilt:
        def __init__(self):
            self.kernel, self.path, self.provenance = kernel, None, {}

        def __len__(self):
            return len(data)

        def blocks(self):
            y = data.Y.copy()
            y[100, 0] = -1.0
            yield data.X, y, None

    with pytest.raises(
        sg.DomainError, match=r"^rate: value -1 in row 100: the logarithm needs a value above 0$"
    ):
        sg.Surrogate(kernel, sg.nn.MLP([4])).fit(Spoilt(), seed=1, progress=False)


def test_evaluation_allocates_its_workspace_and_nothing_else(surrogate, rows):
    """One chunk of rows, however many blocks it holds: one allocation."""
    made = []
    for n in (1, 500, 1536):
        _core.memory_fail_after(-1)
        surrogate.evaluate(rows[:n], guard="off", num_threads=1)
        made.append(_core.memory_fail_after(-1))
    assert made == [1, 1, 1]


def test_every_failing_allocation_of_an_evaluation_is_a_memory_error(surrogate, rows):
    x = np.tile(rows, (4, 1))
    surrogate.evaluate(x, guard="count", num_threads=2)
    for n in range(20):
        _core.memory_fail_after(n)
        try:
            surrogate.evaluate(x, guard="count", num_threads=2)
        except MemoryError:
            continue
        finally:
            _core.memory_fail_after(-1)
        break
    assert n == 1  # one workspace for all threads


def test_description_tells_names_units_and_transforms(surrogate):
    text = surrogate.describe()
    for part in (
        "rates 3",
        "5-16-24-2",
        "pressure [Pa] [Log(), Standardise()]",
        "mix [1] (3,)",
        "heat [W m-3]",
        "guard: raise",
        "2048 rows",
    ):
        assert part in text
    assert "<table>" in surrogate._repr_html_() and "temperature [K]" in surrogate._repr_html_()
    facts = surrogate.provenance
    assert facts["seed"] == 3 and facts["data"]["rows"] == 2048 and len(facts["data"]["sha256"]) == 64
    assert len(facts["history"]["rows"]) == 8 and facts["training_seconds"] > 0
    json.dumps(facts, allow_nan=False)


def test_command_line_describes_surrogates_data_sets_and_refuses_the_rest(
    surrogate, kernel, tmp_path, capsys
):
    from simgraft import cli

    surrogate.save(tmp_path / "rates.sg")
    kernel.sample(sg.sampling.sobol(kernel, seed=1), 64, out=tmp_path / "data", seed=1, progress=False)
    (tmp_path / "notes.txt").write_text("no file of ours\n" * 100)
    assert cli.main(["describe", str(tmp_path / "rates.sg")]) == 0
    told = capsys.readouterr().out
    assert f"simgraft surrogate, format {sg.surrogate.VERSION}" in told and "pressure [Pa]" in told and '"training_seconds"' in told
    assert (
        cli.main(["describe", str(tmp_path / "data")]) == 0
        and "64 rows of rates 3" in capsys.readouterr().out
    )
    for name in ("notes.txt", "nothing"):
        assert cli.main(["describe", str(tmp_path / name)]) == 2 and name in capsys.readouterr().err


def test_data_of_another_kernel_are_refused(kernel, data):
    other = sg.Kernel(
        None, inputs=kernel.inputs | {"temperature": sg.Var("degC")}, outputs=kernel.outputs, name="other"
    )
    with pytest.raises(ValueError, match="train: the data are of Kernel"):
        sg.Surrogate(other, sg.nn.MLP([4])).fit(data, seed=1, progress=False)


def test_evaluation_in_a_forked_child(surrogate, rows):
    """After threads were used; libgomp alone would hang."""
    surrogate.evaluate(np.tile(rows, (4, 1)), num_threads=2)
    child = os.fork()
    if child == 0:
        same = np.array_equal(
            surrogate.evaluate(np.tile(rows, (4, 1)), num_threads=2)[:9], surrogate.evaluate(rows[:9])
        )
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_loading_needs_no_training_code(surrogate, rows, tmp_path):
    """Another process, another start: the same bits."""
    surrogate.save(tmp_path / "rates.sg")
    np.save(tmp_path / "x.npy", rows)
    code = (
        f"import numpy as np, simgraft as sg; s = sg.load({str(tmp_path / 'rates.sg')!r}); "
        f"np.save({str(tmp_path / 'y.npy')!r}, s.evaluate(np.load({str(tmp_path / 'x.npy')!r})))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert np.array_equal(np.load(tmp_path / "y.npy"), surrogate.evaluate(rows))
