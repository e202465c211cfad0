"""PyTorch modules and safetensors files, against PyTorch's own numbers.

Limits. PyTorch adds in another order: 20 ulp of the largest output are allowed, 1.2e-7 each in float.
Recurrent layers and normalisation run over some hundred roundings: 40 ulp.
"""

import json

import numpy as np
import pytest
from interop_cases import largest, record

from simgraft import interop, nn

LIMIT = {"float32": 20 * 2.0**-23, "float64": 20 * 2.0**-52}


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    torch.set_num_threads(1)
    return torch


def off(torch, module, shape, n=5):
    """Largest difference between our reading of a module and the module."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for name, buffer in module.named_buffers():
            if name.endswith(("mean", "var")):
                buffer += torch.rand_like(buffer)
    module.eval()
    kind = next((p.dtype for p in module.parameters()), torch.float32)
    shapes = [(s,) if isinstance(s, int) else s for s in (shape if isinstance(shape, list) else [shape])]
    given = [torch.randn(n, *s, dtype=kind) for s in shapes]
    with torch.no_grad():
        truth = module(*given).numpy()
    network = interop.from_torch(module, shape)
    nodes = network._graph.nodes()

    def rows(x, own):
        moved = x.ndim > 2 and own == (*x.shape[2:], x.shape[1]) and own != x.shape[1:]
        return (np.moveaxis(x, 1, -1) if moved else x).reshape(n, -1)

    inputs = [node["shape"] for node in nodes if node["op"] == "input"]
    x = np.concatenate([rows(t.numpy(), s) for t, s in zip(given, inputs, strict=True)], axis=1)
    y = network.predict(x)
    assert y.dtype == truth.dtype
    value = largest(y, rows(truth, nodes[-1]["shape"]))
    return (
        value
        if kind == torch.float64
        else record("torch", [type(m).__name__ for m in module.modules()], value)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 17, 1), (17, 65, 129), (129, 3, 65)], ids=str)
def test_dense_chain(torch, sizes, dtype):
    a, b, c = sizes
    module = torch.nn.Sequential(
        torch.nn.Linear(a, b), torch.nn.Tanh(), torch.nn.Linear(b, c, bias=False), torch.nn.SiLU()
    )
    module = module.to(getattr(torch, dtype))
    assert off(torch, module, a) < LIMIT[dtype]
    assert interop.from_torch(module, a).is_chain


FUNCTIONS = [
    "ReLU()",
    "LeakyReLU(0.3)",
    "ELU(0.7)",
    "Softsign()",
    "Tanh()",
    "Sigmoid()",
    "SiLU()",
    "GELU()",
    "Softplus()",
    "PReLU()",
    "Softmax(-1)",
    "Identity()",
    "Dropout(0.3)",
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_of_elements(torch, function):
    module = torch.nn.Sequential(torch.nn.Linear(17, 17), eval(f"torch.nn.{function}", {"torch": torch}))
    assert off(torch, module, 17) < LIMIT["float32"]


CONVOLUTIONS = [
    "3",
    "3, padding=1",
    "3, padding=1, stride=2",
    "2, padding='same'",
    "3, padding=2, dilation=2",
    "3, groups=3",
    "3, padding=1, padding_mode='circular'",
    "3, padding=1, padding_mode='replicate', stride=2",
    "3, padding=1, padding_mode='reflect'",
    "3, padding='valid', bias=False",
]


@pytest.mark.parametrize("options", CONVOLUTIONS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolution(torch, rank, options):
    layer = eval(f"torch.nn.Conv{rank}d(3, 6, {options})", {"torch": torch})
    module = torch.nn.Sequential(
        layer, torch.nn.Tanh(), torch.nn.BatchNorm2d(6) if rank == 2 else torch.nn.Identity()
    )
    assert off(torch, module, (3, *(10, 9, 7)[:rank])) < 2 * LIMIT["float32"]


POOLS = [
    "MaxPool{}(2)",
    "MaxPool{}(3, 2, 1)",
    "AvgPool{}(2, 1)",
    "AvgPool{}(3, 2, 1)",
    "MaxPool{}(2, ceil_mode=True)",
    "MaxPool{}(4, 2, 2, ceil_mode=True)",
    "AdaptiveAvgPool{}(1)",
    "AdaptiveMaxPool{}(1)",
    "AdaptiveAvgPool{}(3)",
    "Upsample{}(scale_factor=3)",
    "Upsample{}(scale_factor=2, mode=LINEAR)",
    "ZeroPad{}(1)",
    "CircularPad{}(1)",
    "ReplicationPad{}(2)",
    "ReflectionPad{}(1)",
    "ConstantPad{}(1, 0.0)",
    "BatchNorm{}(3)",
    "Dropout{}()",
]


@pytest.mark.parametrize("layer", ["UpsamplingNearest2d(scale_factor=2)", "Unflatten(1, (2, 3))"])
def test_layers_of_one_rank(torch, layer):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), eval(f"torch.nn.{layer}", {"torch": torch}))
    if "Unflatten" in layer:
        module = torch.nn.Sequential(
            torch.nn.Linear(3, 6),
            torch.nn.Unflatten(1, (2, 3)),
            torch.nn.Linear(3, 2),
            torch.nn.AlphaDropout(),
        )
        assert off(torch, module, 3) < LIMIT["float32"]
    else:
        assert off(torch, module, (3, 8, 9)) < LIMIT["float32"]


@pytest.mark.parametrize("layer", POOLS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pooling_upsampling_padding(torch, rank, layer):
    text = layer.format("" if layer.startswith("Upsample") else f"{rank}d")
    linear = ("linear", "bilinear", "trilinear")[rank - 1]
    module = torch.nn.Sequential(eval(f"torch.nn.{text}", {"torch": torch, "LINEAR": linear}))
    if not any(True for _ in module.parameters()):
        module.append(eval(f"torch.nn.Conv{rank}d(3, 2, 1)", {"torch": torch}))
    assert off(torch, module, (3, *(9, 9, 6)[:rank])) < LIMIT["float32"]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_uneven_padding(torch, rank):
    pads = (1, 2, 0, 3, 4, 1)[: 2 * rank]
    module = torch.nn.Sequential(
        getattr(torch.nn, f"ZeroPad{rank}d")(pads), getattr(torch.nn, f"Conv{rank}d")(3, 2, 1)
    )
    assert off(torch, module, (3, *(9, 8, 6)[:rank])) < LIMIT["float32"]


def test_flattened_image(torch):
    t = torch.nn
    module = t.Sequential(
        t.Conv2d(3, 8, 3, padding=1),
        t.ReLU(),
        t.MaxPool2d(2),
        t.Flatten(),
        t.Linear(8 * 4 * 4, 5),
        t.LayerNorm(5),
    )
    assert off(torch, module, (3, 8, 9)) < 2 * LIMIT["float32"]
    assert off(torch, t.Sequential(t.Conv2d(3, 8, 3), t.Flatten()), (3, 8, 9)) < LIMIT["float32"]


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("take", ["sequence", "last", "state"])
def test_recurrence(torch, kind, bidirectional, layers, take):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = getattr(torch.nn, kind)(3, 7, layers, batch_first=True, bidirectional=bidirectional)
            width = layers if take == "state" else 1
            self.head = torch.nn.Linear(7 * (1 + bidirectional) * width, 2)

        def forward(self, x):
            y, state = self.layer(x)
            if take == "state":
                state = state[0] if kind == "LSTM" else state
                return self.head(state.permute(1, 0, 2).flatten(1))
            return self.head(y[:, -1] if take == "last" else y)

    assert off(torch, Model(), (11, 3)) < 2 * LIMIT["float32"]


def test_time_first(torch):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.GRU(3, 7)

        def forward(self, x):
            return self.layer(x)[0]

    module = Model().eval()
    x = torch.randn(11, 5, 3)
    with torch.no_grad():
        truth = module(x).numpy().transpose(1, 0, 2)
    y = interop.from_torch(module, (11, 3)).predict(x.numpy().transpose(1, 0, 2).reshape(5, -1).copy())
    assert largest(y, truth.reshape(5, -1)) < 2 * LIMIT["float32"]


def test_module_with_code_of_its_own(torch):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.n = torch.nn.Linear(7, 7), torch.nn.Linear(14, 3), torch.nn.LayerNorm(7)
            self.shift = torch.nn.Parameter(torch.randn(7))

        def forward(self, x, z):
            h = torch.relu(self.a(x)) + x - self.shift
            h = self.n(h) * 2 - 1
            first, second = h.split([3, 4], dim=1)
            u = torch.cat([second, first[:, 1:], first[:, 0:1], z / 4], 1)
            gate = torch.sigmoid(u).view(u.size(0), -1)
            return self.b(torch.cat([u * gate, -gate[..., :3]], dim=-1)) * 0.5

    assert off(torch, Model(), [7, 4]) < 2 * LIMIT["float32"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("fixed", [True, False])
def test_what_torch_exports_as_onnx(torch, tmp_path, opset, fixed):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.c, self.d = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Linear(4 * 30, 17)
            self.n, self.h = torch.nn.LayerNorm(17), torch.nn.Linear(17, 5)

        def forward(self, x):
            x = torch.relu(self.c(x))
            x = self.n(self.d(x.view(x.size(0), -1)))
            return self.h(torch.nn.functional.gelu(x) * torch.nn.functional.silu(x)).softmax(-1)

    module, x = Model().eval(), torch.randn(5, 3, 5, 6)
    axes = None if fixed else {"x": {0: "N"}}
    try:
        torch.onnx.export(
            module,
            (x,),
            str(tmp_path / "m.onnx"),
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            dynamic_axes=axes,
        )
    except (ImportError, TypeError, AttributeError) as error:
        pytest.skip(f"this PyTorch cannot export by tracing: {error}")
    with torch.no_grad():
        truth = module(x).numpy()
    network = interop.from_onnx(tmp_path / "m.onnx")
    assert (
        largest(network.predict(np.moveaxis(x.numpy(), 1, -1).reshape(5, -1).copy()), truth)
        < 2 * LIMIT["float32"]
    )


def test_what_is_not_supported_is_named(torch):
    t = torch.nn
    for module, shape, message in [
        (
            t.Sequential(t.Conv2d(3, 8, 3), t.PixelShuffle(2)),
            (3, 8, 9),
            r"layer '1' \(PixelShuffle\): layer not supported; supp",
        ),
        (
            t.Upsample(scale_factor=2, mode="linear", align_corners=True),
            (3, 8),
            r"align_corners = True; supported: None, False",
        ),
        (
            t.Upsample(scale_factor=1.5),
            (3, 8),
            r"\(Upsample\): factors \(1.5,\); supported are whole numbers",
        ),
        (
            t.Sequential(t.Linear(3, 3), t.GELU("tanh")),
            3,
            r"layer '1' \(GELU\): approximate = 'tanh'; supported: 'none'",
        ),
        (
            t.Sequential(t.Linear(3, 3), t.Softplus(beta=2)),
            3,
            r"layer '1' \(Softplus\): beta = 2\.?0?; supported: 1.0",
        ),
        (t.LSTM(3, 5, proj_size=2, batch_first=True), (4, 3), r"\(LSTM\): proj_size = 2; supported: 0"),
        (t.Sequential(t.Linear(3, 3).half()), 3, r"module: parameters of type torch.float16"),
    ]:
        with pytest.raises(interop.UnsupportedError, match=message):
            interop.from_torch(module, shape)

    class Model(t.Module):
        def __init__(self, function):
            super().__init__()
            self.function, self.layer = function, t.Linear(3, 3)

        def forward(self, x):
            return self.function(self.layer(x))

    with pytest.raises(
        interop.UnsupportedError,
        match=r"call_function 'fft_fft' \(fft_fft\): not supported; supported are add",
    ):
        interop.from_torch(Model(torch.fft.fft), 3)
    with pytest.raises(interop.UnsupportedError, match=r"torch.fx cannot trace it"):
        interop.from_torch(Model(lambda x: x if x.sum() > 0 else -x), 3)


def test_wrong_arguments_are_named(torch):
    module = torch.nn.Linear(3, 2)
    with pytest.raises(TypeError, match="module: expected a torch.nn.Module, got list"):
        interop.from_torch([], 3)
    with pytest.raises(ValueError, match="shape: expected positive integers, got 0"):
        interop.from_torch(module, 0)
    with pytest.raises(
        interop.UnsupportedError, match=r"weights of shape \(3, 2\) for a value of shape \(N, 4\)"
    ):
        interop.from_torch(module, 4)
    with pytest.raises(interop.UnsupportedError, match="shape: 1 more than the module has inputs"):
        interop.from_torch(module, [3, 3])


def test_training_mode_of_the_module_stays(torch):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(0.5)).train()
    interop.from_torch(module, 3)
    assert module.training


# ------------------------------------------------------------------------------------------------ safetensors


def save(path, arrays, metadata=None):
    safetensors = pytest.importorskip(
        "safetensors.numpy", reason="needs safetensors: pip install simgraft[interop]"
    )
    safetensors.save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path, metadata)


def test_safetensors_with_a_list_of_layers(torch, tmp_path):
    t = torch.nn
    module = t.Sequential(
        t.Conv2d(3, 6, 3, stride=2, padding=1), t.BatchNorm2d(6), t.ELU(0.5), t.Flatten(), t.Linear(6 * 20, 4)
    )
    module.eval()
    save(tmp_path / "net.safetensors", {k: v.numpy() for k, v in module.state_dict().items() if v.ndim})
    layers = [
        ["Conv2d", {"name": "0", "stride": 2, "padding": 1}],
        ["BatchNorm2d", {"name": "1"}],
        ["ELU", {"alpha": 0.5}],
        "Flatten",
        ["Linear", {"name": "4"}],
    ]
    network = interop.from_safetensors(
        tmp_path / "net.safetensors", json.loads(json.dumps(layers)), (3, 8, 9)
    )
    x = torch.randn(5, 3, 8, 9)
    with torch.no_grad():
        truth = module(x).numpy()
    assert (
        largest(network.predict(np.moveaxis(x.numpy(), 1, -1).reshape(5, -1).copy()), truth)
        < LIMIT["float32"]
    )


def test_safetensors_of_recurrent_layers(torch, tmp_path):
    module = torch.nn.LSTM(3, 5, 2, batch_first=True, bidirectional=True).eval()
    save(tmp_path / "net.safetensors", {f"rnn.{k}": v.numpy() for k, v in module.state_dict().items()})
    network = interop.from_safetensors(
        tmp_path / "net.safetensors", [("LSTM", {"name": "rnn", "batch_first": True})], (7, 3)
    )
    x = torch.randn(4, 7, 3)
    with torch.no_grad():
        truth = module(x)[0].numpy().reshape(4, -1)
    assert largest(network.predict(x.numpy().reshape(4, -1)), truth) < 2 * LIMIT["float32"]


def test_own_safetensors_come_back(tmp_path):
    pytest.importorskip("safetensors", reason="needs safetensors: pip install simgraft[interop]")
    x = nn.Input((8, 3))
    network = nn.Network.from_graph(
        x, nn.Dense(5, "elu")(nn.LSTM(7, output="last")(x)), seed=1, dtype="float64"
    )
    interop.to_safetensors(network, tmp_path / "new" / "net.safetensors")
    back = interop.from_safetensors(tmp_path / "new" / "net.safetensors")
    assert back.spec == network.spec and np.array_equal(back.parameters, network.parameters)


def test_damaged_and_wrong_safetensors_are_named(tmp_path):
    pytest.importorskip("safetensors", reason="needs safetensors: pip install simgraft[interop]")
    path = tmp_path / "net.safetensors"
    save(path, {"a.weight": np.ones((2, 3), np.float32)})
    with pytest.raises(ValueError, match="layers: .*net.safetensors does not say what its arrays belong to"):
        interop.from_safetensors(path)
    with pytest.raises(OSError, match=r"net.safetensors: no array of layer 'b' \(Linear\); it has a.weight"):
        interop.from_safetensors(path, [("Linear", {"name": "b"})])
    with pytest.raises(
        interop.UnsupportedError, match=r"layer 'a' \(Linear\): option 'stride' is not known; known are bias"
    ):
        interop.from_safetensors(path, [("Linear", {"name": "a", "stride": 2})])
    with pytest.raises(
        interop.UnsupportedError, match=r"layer '#1' \(Swosh\): layer not supported; supported are "
    ):
        interop.from_safetensors(path, [("Linear", {"name": "a"}), "Swosh"])
    raw = path.read_bytes()
    for n in range(0, len(raw), 5):
        path.write_bytes(raw[:n])
        with pytest.raises(OSError, match="net.safetensors: cannot be read as safetensors"):
            interop.from_safetensors(path, [("Linear", {"name": "a"})])
    with pytest.raises(FileNotFoundError, match="none: no such file"):
        interop.from_safetensors(tmp_path / "none")
