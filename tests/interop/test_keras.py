"""Keras files: written by Keras where it is installed, and written here by the documented layout.

Limits. Keras adds in another order: 40 ulp of the largest output are allowed, 1.2e-7 each.
"""

import io
import json
import os
import zipfile

import numpy as np
import pytest
from interop_cases import largest, record

from simgraft import interop

h5py = pytest.importorskip("h5py", reason="needs h5py: pip install simgraft[interop]")

LIMIT = 40 * 2.0**-23


def draw(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


# ----------------------------------------------------------------------------- files of the documented layout


def write_keras(path, layers, weights, kind="Sequential", **config):
    """A .keras file; weights: path in the group "layers" -> arrays."""
    inside = io.BytesIO()
    with h5py.File(inside, "w") as file:
        for name, arrays in weights.items():
            for i, array in enumerate(arrays):
                file[f"layers/{name}/vars/{i}"] = array
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "config.json",
            json.dumps({"class_name": kind, "config": {"name": "m", "layers": layers, **config}}),
        )
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))
        archive.writestr("model.weights.h5", inside.getvalue())


def layer(kind, name, **config):
    return {"class_name": kind, "config": {"name": name, **config}}


def chain(n_in=3):
    return [
        layer("InputLayer", "in", batch_shape=[None, n_in]),
        layer("Dense", "first", units=17, activation="tanh"),
        layer("Dropout", "drop", rate=0.5),
        layer("Dense", "second", units=5, activation="linear", use_bias=False),
    ]


def chain_weights():
    return {"dense": [draw(3, 17, seed=1), draw(17, seed=2)], "dense_1": [draw(17, 5, seed=3)]}


def truth_of_chain(x):
    (w, b), (v,) = chain_weights().values()
    return np.tanh(x.astype(np.float64) @ w + b) @ v


def test_dense_chain_in_keras_3_layout(tmp_path):
    write_keras(tmp_path / "m.keras", chain(), chain_weights())
    network, x = interop.from_keras(tmp_path / "m.keras"), draw(9, 3)
    assert network.is_chain and largest(network.predict(x), truth_of_chain(x)) < LIMIT


def test_dense_chain_in_h5_layout(tmp_path):
    layers = chain()[1:]
    layers[0]["config"]["batch_input_shape"] = [None, 3]
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}
        )
        for name, arrays in zip(("first", "second"), chain_weights().values()):
            group = file.create_group(f"model_weights/{name}")
            names = [f"{name}/{key}:0" for key in ("kernel", "bias")][: len(arrays)]
            group.attrs["weight_names"] = [n.encode() for n in names]
            for key, array in zip(names, arrays):
                group[key] = array
        file.create_group("model_weights/drop").attrs["weight_names"] = np.array([], "S1")
    network, x = interop.from_keras(tmp_path / "m.h5"), draw(9, 3)
    assert network.is_chain and largest(network.predict(x), truth_of_chain(x)) < LIMIT


def test_functional_model_of_keras_2(tmp_path):
    layers = [
        {**layer("InputLayer", "in", batch_input_shape=[None, 3]), "name": "in", "inbound_nodes": []},
        {**layer("Dense", "a", activation="relu"), "name": "a", "inbound_nodes": [[["in", 0, 0, {}]]]},
        {
            **layer("Concatenate", "c", axis=-1),
            "name": "c",
            "inbound_nodes": [[["a", 0, 0, {}], ["in", 0, 0, {}]]],
        },
    ]
    weights = {"dense": [draw(3, 17, seed=1), draw(17, seed=2)]}
    write_keras(
        tmp_path / "m.keras",
        layers,
        weights,
        "Functional",
        input_layers=[["in", 0, 0]],
        output_layers=[["c", 0, 0]],
    )
    x = draw(9, 3)
    wanted = np.concatenate([np.maximum(x @ weights["dense"][0] + weights["dense"][1], 0), x], axis=1)
    assert largest(interop.from_keras(tmp_path / "m.keras").predict(x), wanted) < LIMIT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda ls: ls.insert(2, layer("Lambda", "code")),
            r"layer 'code' \(Lambda\): layer not supported; supported are Activ",
        ),
        (
            lambda ls: ls[1]["config"].update(activation="mish"),
            r"layer 'first' \(Dense\): activation 'mish'; supported are elu",
        ),
        (
            lambda ls: ls[0]["config"].update(batch_shape=[None, None]),
            r"layer 'in' \(InputLayer\): shape \[None, None\]; only",
        ),
        (
            lambda ls: ls.insert(1, layer("ReLU", "r", max_value=6.0)),
            r"layer 'r' \(ReLU\): max_value = 6.0; supported: None",
        ),
        (
            lambda ls: ls.insert(1, layer("Conv1D", "c", data_format="channels_first")),
            r"data_format = 'channels_first'",
        ),
    ],
)
def test_what_is_not_supported_is_named(tmp_path, change, message):
    layers = chain()
    change(layers)
    write_keras(tmp_path / "m.keras", layers, chain_weights())
    with pytest.raises(interop.UnsupportedError, match=message):
        interop.from_keras(tmp_path / "m.keras")


def test_subclassed_model_is_refused(tmp_path):
    write_keras(tmp_path / "m.keras", [], {}, "MyModel")
    with pytest.raises(
        interop.UnsupportedError, match="m.keras: a MyModel model; supported are Sequential and Functional"
    ):
        interop.from_keras(tmp_path / "m.keras")


def test_damaged_files_are_refused_and_named(tmp_path):
    path = tmp_path / "m.keras"
    write_keras(path, chain(), chain_weights())
    raw = path.read_bytes()
    for n in range(0, len(raw), 101):
        path.write_bytes(raw[:n])
        with pytest.raises(OSError, match="m.keras: cannot be read as a Keras model"):
            interop.from_keras(path)
    with pytest.raises(FileNotFoundError, match="none.h5: no such file"):
        interop.from_keras(tmp_path / "none.h5")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["weights"] = np.zeros(3)
    with pytest.raises(
        OSError, match="w.h5: has no model_config; weights alone do not say what the model is"
    ):
        interop.from_keras(tmp_path / "w.h5")
    weights = chain_weights()
    weights["dense"].pop()
    write_keras(path, chain(), weights)
    with pytest.raises(OSError, match="expected 2 arrays of a layer, the file has 1"):
        interop.from_keras(path)


# -------------------------------------------------------------------------------------- files of Keras itself


@pytest.fixture(scope="module")
def keras():
    if "KERAS_BACKEND" not in os.environ:
        os.environ["KERAS_BACKEND"] = next((b for b in ("torch", "jax") if _has(b)), "tensorflow")
    return pytest.importorskip(
        "keras", reason="needs Keras 3: pip install keras, and torch or jax", exc_type=ImportError
    )


def _has(module):
    import importlib.util

    return importlib.util.find_spec(module) is not None


MODELS = {
    "dense": (
        (17,),
        lambda k: [
            k.Dense(17, "gelu"),
            k.Dropout(0.1),
            k.BatchNormalization(),
            k.Dense(5, "softmax"),
            k.LayerNormalization(),
            k.Dense(65, "exponential"),
        ],
    ),
    "image": (
        (9, 8, 3),
        lambda k: [
            k.Conv2D(5, 3, padding="same", strides=2, activation="relu"),
            k.MaxPooling2D(2, padding="same"),
            k.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
            k.Flatten(),
            k.Dense(4, "elu"),
        ],
    ),
    "sequence": (
        (11, 4),
        lambda k: [
            k.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="tanh"),
            k.AveragePooling1D(2),
            k.LSTM(7, return_sequences=True),
            k.GRU(5),
        ],
    ),
    "directions": (
        (11, 4),
        lambda k: [
            k.Bidirectional(k.LSTM(7, return_sequences=True)),
            k.Bidirectional(k.GRU(5)),
            k.LeakyReLU(),
            k.Reshape((5, 2)),
            k.Permute((2, 1)),
        ],
    ),
    "sum": (
        (11, 4),
        lambda k: [
            k.Bidirectional(k.LSTM(7), merge_mode="sum"),
            k.ReLU(negative_slope=0.2),
            k.ELU(0.5),
            k.Softmax(),
        ],
    ),
    "volume": (
        (6, 5, 4, 2),
        lambda k: [
            k.Conv3D(4, 3, groups=2, activation="softsign"),
            k.UpSampling3D(2),
            k.ZeroPadding3D(1),
            k.GlobalMaxPooling3D(),
        ],
    ),
    "upsampled": (
        (6, 5, 2),
        lambda k: [
            k.UpSampling2D((2, 3), interpolation="bilinear"),
            k.AveragePooling2D(3, 3, "same"),
            k.GlobalAveragePooling2D(keepdims=True),
            k.Rescaling(2.0, -1.0),
        ],
    ),
}


def off(keras, model, path, n=5):
    rng = np.random.default_rng(1)
    for weight in model.weights:
        value = rng.normal(0, 0.3, weight.shape)
        weight.assign((np.abs(value) + 0.5 if "variance" in weight.path else value).astype(np.float32))
    given = [rng.normal(size=(n, *i.shape[1:])).astype(np.float32) for i in model.inputs]
    truth = model.predict(given if len(given) > 1 else given[0], verbose=0)
    truth = np.concatenate(
        [np.reshape(t, (n, -1)) for t in (truth if isinstance(truth, list) else [truth])], axis=1
    )
    model.save(path)
    value = largest(
        interop.from_keras(path).predict(np.concatenate([x.reshape(n, -1) for x in given], axis=1)), truth
    )
    names = [type(layer).__name__ for layer in model.layers]
    return record(
        "keras", [*names, *(type(x.layer).__name__ for x in model.layers if hasattr(x, "layer"))], value
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("name", MODELS)
def test_sequential_models(keras, tmp_path, name, ending):
    shape, layers = MODELS[name]
    model = keras.Sequential([keras.Input(shape), *layers(keras.layers)])
    assert off(keras, model, tmp_path / f"m.{ending}") < LIMIT


BY_RANK = [
    "MaxPooling{}D(2)",
    "AveragePooling{}D(3, 2)",
    "GlobalMaxPooling{}D()",
    "GlobalAveragePooling{}D()",
    "UpSampling{}D(2)",
    "ZeroPadding{}D(1)",
    "SpatialDropout{}D(0.5)",
    "DepthwiseConv{}D(2)",
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_layers_of_every_rank(keras, tmp_path, rank):
    for text in BY_RANK:
        if rank == 3 and text.startswith("Depthwise"):
            continue
        layer = eval(f"k.{text.format(rank)}", {"k": keras.layers})
        model = keras.Sequential([keras.Input((*(7, 6, 5)[:rank], 3)), layer])
        assert off(keras, model, tmp_path / "m.keras") < LIMIT, text


@pytest.mark.filterwarnings("ignore")
def test_layers_that_do_nothing_in_prediction(keras, tmp_path):
    k = keras.layers
    nothing = [
        k.GaussianNoise(0.1),
        k.GaussianDropout(0.1),
        k.AlphaDropout(0.1),
        k.ActivityRegularization(0.1),
    ]
    assert (
        off(
            keras, keras.Sequential([keras.Input((5,)), *nothing, k.Activation("tanh")]), tmp_path / "m.keras"
        )
        < LIMIT
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_functional_model(keras, tmp_path, ending):
    k = keras.layers
    x, z = keras.Input((7,)), keras.Input((7,))
    h = k.Add()([k.Dense(7, "swish")(x), x, z])
    h = k.Concatenate()([k.Multiply()([h, k.Dense(7, "sigmoid")(z)]), x])
    h = k.Subtract()([h, k.Rescaling(2.0, 1.0)(h)])
    model = keras.Model([x, z], [k.Dense(3)(h), k.Dense(2, "softplus")(h)])
    assert off(keras, model, tmp_path / f"m.{ending}") < LIMIT


@pytest.mark.filterwarnings("ignore")
def test_layer_that_is_used_twice_is_named(keras, tmp_path):
    x, layer = keras.Input((7,)), keras.layers.Dense(7, name="shared")
    keras.Model(x, layer(layer(x))).save(tmp_path / "m.keras")
    with pytest.raises(interop.UnsupportedError, match="layer 'shared': is used 2 times; supported is once"):
        interop.from_keras(tmp_path / "m.keras")
