"""Chains of dense layers: fused inference, its derivatives, two threads, training; against ONNX Runtime, PyTorch and NumPy."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.runner import Row, measure
from simgraft import _core, nn


@dataclass(frozen=True)
class Shape:
    """Sizes of the layers and the activation between them."""

    sizes: tuple
    activation: str

    @property
    def name(self):
        end = "" if self.activation == "softsign" else f"_{self.activation}"
        return "-".join(map(str, self.sizes)) + end

    def arrays(self, seed=1):
        """Weights and biases, float32."""
        rng = np.random.default_rng(seed)
        pairs = list(zip(self.sizes, self.sizes[1:]))
        weights = [(rng.standard_normal((a, b)) / np.sqrt(a)).astype(np.float32) for a, b in pairs]
        return weights, [(0.1 * rng.standard_normal(b)).astype(np.float32) for _, b in pairs]

    def net(self):
        weights, biases = self.arrays()
        activations = [self.activation] * (len(weights) - 1) + ["linear"]
        return _core.dense_net(weights, biases, activations, "float32")


# The chemistry and radiation networks of the literature that the study of the engine measured.
SHAPES = (
    Shape((7, 64, 64, 256), "softsign"),
    Shape((7, 32, 32, 16), "softsign"),
    Shape((375, 64, 18), "softsign"),
    Shape((10, 128, 128, 10), "tanh"),
)
WIDE, TANH = SHAPES[0], SHAPES[3]
# Shares of the multiply-add peak by instruction set; the second where an exponential is in the activation.
CHEAP_SHARE, TANH_SHARE = {"v4": 0.92, "v3": 0.68}, {"v4": 0.75, "v3": 0.68}
BATCHES = (16, 256, 4096)
LEAST_RATIO = {1: 3.0, 100_000: 1.35}  # to ONNX Runtime from Python, by rows
LEAST_TWO_THREADS, THREADS_BATCH = 1.8, 4096
MOST_VJP = 2.5
LEAST_TRAINING_RATIO = 2.0  # to PyTorch
TRAINING_BATCHES = 8  # different batches that take turns, so that data come from L3 or memory as in a real epoch
BLAS_BLOCK = 256  # rows of the NumPy baseline: fastest of 64 ... 4096


class OnnxRuntime:
    """The network in ONNX Runtime, one thread, with inputs and outputs bound to given arrays."""

    name, version = "onnxruntime", onnxruntime.__version__

    def __init__(self, shape):
        nodes, tensors, last = [], [], "x"
        weights, biases = shape.arrays()
        for i, (weight, bias) in enumerate(zip(weights, biases)):
            tensors += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
            end = i == len(weights) - 1
            nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], ["y" if end else f"s{i}"]))
            if not end:
                nodes.append(helper.make_node(shape.activation.capitalize(), [f"s{i}"], [f"h{i}"]))
            last = f"h{i}"
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", shape.sizes[0]])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", shape.sizes[-1]])
        model = helper.make_model(
            helper.make_graph(nodes, "mlp", [x], [y], tensors), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def bind(self, x, out):
        """A function that evaluates x into out."""
        binding = self.session.io_binding()
        for bind, name, array in ((binding.bind_input, "x", x), (binding.bind_output, "y", out)):
            bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        run = self.session.run_with_iobinding
        return lambda arrays=(x, out): run(binding)  # a binding holds addresses only: the arrays live as long as the function


class NumpyBlas:
    """The network as a careful port would write it: OpenBLAS products over blocks of rows, activations in place."""

    name = "numpy"
    version = f"{np.__version__}+openblas {np.show_config(mode='dicts')['Build Dependencies']['blas']['version']}"

    def __init__(self, shape):
        self.layers, self.shape = list(zip(*shape.arrays())), shape

    def bind(self, x, out):
        """A function that evaluates x into out."""
        block = min(BLAS_BLOCK, len(x))
        values = [np.empty((block, n), np.float32) for n in self.shape.sizes[1:-1]]
        scratch = [np.empty_like(v) for v in values]

        def activate(z, s):
            if self.shape.activation == "tanh":
                np.tanh(z, out=z)
                return
            np.abs(z, out=s)
            s += 1
            z /= s

        def run():
            for first in range(0, len(x), block):
                y, stop = x[first : first + block], min(first + block, len(x))
                for i, (weight, bias) in enumerate(self.layers):
                    n = stop - first
                    z = out[first:stop] if i == len(values) else values[i][:n]
                    np.matmul(y, weight, out=z)
                    z += bias
                    if i < len(values):
                        activate(z, scratch[i][:n])
                    y = z

        return run


class Torch:
    """The network in PyTorch, in inference mode; its results are new arrays."""

    name = "torch"

    def __init__(self, shape):
        import torch

        torch.set_num_threads(1)
        self.torch, self.version = torch, torch.__version__
        self.model = torch_model(torch, zip(*shape.arrays()), shape.activation)

    def bind(self, x, out):
        """A function that evaluates x into out."""
        x, out = self.torch.from_numpy(x), self.torch.from_numpy(out)

        def run():
            with self.torch.inference_mode():
                out.copy_(self.model(x))

        return run


def torch_model(torch, layers, activation):
    """torch.nn.Sequential of (weight, bias) with an activation between the layers."""
    layers, modules = list(layers), []
    between = {"softsign": torch.nn.Softsign, "tanh": torch.nn.Tanh}[activation]
    for i, (weight, bias) in enumerate(layers):
        linear = torch.nn.Linear(*weight.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weight.T))
            linear.bias.copy_(torch.tensor(bias))
        modules += [linear, between()] if i < len(layers) - 1 else [linear]
    return torch.nn.Sequential(*modules)


def contest(shape, batch, peers):
    """Median times of ours and the peers on the same rows, and the peaks measured in between."""
    net = shape.net()
    x = np.random.default_rng(batch).standard_normal((batch, shape.sizes[0])).astype(np.float32)
    out = np.empty((batch, shape.sizes[-1]), np.float32)
    contestants = {"ours": lambda: net.eval(x, out)}
    for peer in peers:
        result = np.empty_like(out)
        contestants[peer.name] = peer.bind(x, result)
        contestants[peer.name]()
        # the same task: up to 375 roundings on sums of order 10
        np.testing.assert_allclose(result, net.eval(x), rtol=0, atol=2e-4)
    return net, *measure(contestants, between=lambda: _core.fma_peak(32, 4e-4))


def inference():
    """Shares of the peak, and ratios to the peers."""
    peaks = []
    for shape in SHAPES:
        ort = OnnxRuntime(shape)
        share = TANH_SHARE if shape.activation == "tanh" else CHEAP_SHARE
        for batch in BATCHES:
            net, times, beside = contest(shape, batch, [ort])
            peaks += beside
            of_peak = {name: net.flops * batch / t / median(beside) for name, t in times.items()}
            bound = {"op": ">=", "limit": share[net.isa]} if net.isa in share else {}
            yield Row(f"mlp_{shape.name}_b{batch}_of_peak", of_peak["ours"], "peak", ort.name, ort.version,
                      of_peak[ort.name], times[ort.name] / times["ours"], **bound)
    yield Row("fma_peak_f32", median(peaks) / 1e9, "GF/s")


def peers():
    """One row, a usual batch and a large array against each peer, from Python on both sides."""
    for shape in (WIDE, TANH):
        for batch in (1, 256, 100_000):
            others = [OnnxRuntime(shape), Torch(shape), NumpyBlas(shape)]
            _, times, _ = contest(shape, batch, others)
            per_row = {name: t / batch * 1e9 for name, t in times.items()}
            for peer in others:
                bound = {"op": ">=", "limit": LEAST_RATIO[batch]} if peer.name == "onnxruntime" and batch in LEAST_RATIO else {}
                yield Row(f"mlp_{shape.name}_b{batch}_vs_{peer.name}", per_row["ours"], "ns/row", peer.name, peer.version,
                          per_row[peer.name], times[peer.name] / times["ours"], **bound)


def layouts():
    """Rows in Fortran order, in and out."""
    for shape in (WIDE, TANH):
        net, batch = shape.net(), 4096
        x = np.asfortranarray(np.random.default_rng(1).standard_normal((batch, shape.sizes[0])).astype(np.float32))
        out = np.empty((shape.sizes[-1], batch), np.float32).T
        times, beside = measure({"ours": lambda: net.eval(x, out)}, between=lambda: _core.fma_peak(32, 4e-4))
        yield Row(f"mlp_{shape.name}_b{batch}_fortran_of_peak", net.flops * batch / times["ours"] / median(beside), "peak")


def derivatives():
    """Gradient with respect to the inputs, its own forward pass included, over the forward pass alone; and tangents."""
    net, batch = TANH.net(), 256
    rng = np.random.default_rng(1)
    x, d_x, d_y = (rng.standard_normal((batch, n)).astype(np.float32) for n in (net.n_in, net.n_in, net.n_out))
    y, g = np.empty_like(d_y), np.empty_like(x)
    times, _ = measure({
        "forward": lambda: net.eval(x, y), "vjp": lambda: net.vjp(x, d_y, g), "jvp": lambda: net.jvp(x, d_x, y),
    })
    yield Row("vjp_over_forward", times["vjp"] / times["forward"], "forward", op="<=", limit=MOST_VJP)
    yield Row("jvp_over_forward", times["jvp"] / times["forward"], "forward")


def thread_times(calls=600):
    """Shortest wall-clock times [s] of one and of two threads: on a busy machine the shortest of many short calls comes nearest to
    what a quiet one would give."""
    net = WIDE.net()
    x = np.random.default_rng(1).standard_normal((THREADS_BATCH, net.n_in)).astype(np.float32)
    out = np.empty((THREADS_BATCH, net.n_out), np.float32)
    best = [np.inf, np.inf]
    for _ in range(calls):
        for threads in (1, 2):
            start = time.perf_counter()
            net.eval(x, out, threads)
            best[threads - 1] = min(best[threads - 1], time.perf_counter() - start)
    return best


def two_threads():
    """In a process of its own: this one is pinned to one CPU, and OpenMP remembers that."""
    if (os.cpu_count() or 1) < 2:
        return
    code = (
        "import os; os.sched_setaffinity(0, range(os.cpu_count()))\n"
        "from benchmarks.engine_mlp import thread_times; print(*thread_times())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    one, two = map(float, done.stdout.split())
    yield Row(f"mlp_{WIDE.name}_b{THREADS_BATCH}_two_threads", one / two, "one thread", op=">=", limit=LEAST_TWO_THREADS)


class TorchTraining:
    """Training steps of the network in eager PyTorch with its fastest Adam, one thread."""

    def __init__(self, layers, activation, rate):
        import torch

        torch.set_num_threads(1)
        self.torch, self.model = torch, torch_model(torch, [layer[:2] for layer in layers], activation)
        self.optimizer = torch.optim.Adam(self.model.parameters(), rate, fused=True)

    def step(self, x, y):
        self.optimizer.zero_grad()
        self.torch.nn.functional.mse_loss(self.model(x), y).backward()
        self.optimizer.step()

    def parameters(self):
        return np.concatenate([p.detach().numpy().T.ravel() for p in self.model.parameters()])


def training():
    """Training steps: forward, loss, backward and update of one batch, mean squared error, Adam."""
    import torch

    rate = np.array([1e-3])
    for shape, batch in ((s, b) for s in (WIDE, TANH) for b in (128, 1024)):
        rng = np.random.default_rng(batch)
        n_in, *hidden, n_out = shape.sizes
        x = rng.standard_normal((TRAINING_BATCHES, batch, n_in)).astype(np.float32)
        y = rng.standard_normal((TRAINING_BATCHES, batch, n_out)).astype(np.float32)
        ours = nn.MLP(hidden, shape.activation).build(n_in, n_out, seed=1)
        peer = TorchTraining(ours.layers, shape.activation, rate[0])
        trainer = _core.Trainer(ours._graph, ours.parameters, ("mse", {}), ("adam", {}), num_threads=1)
        x_peer, y_peer = torch.tensor(x), torch.tensor(y)
        turn = {"ours": 0, "torch": 0}

        def next_batch(name, turn=turn):
            turn[name] = (turn[name] + 1) % TRAINING_BATCHES
            return turn[name]

        def step_ours(x=x, y=y, batch=batch, trainer=trainer):
            b = next_batch("ours")
            trainer.epoch(x[b], y[b], None, None, batch, rate)

        def step_peer(x=x_peer, y=y_peer, peer=peer):
            b = next_batch("torch")
            peer.step(x[b], y[b])

        for _ in range(3):
            step_ours()
            step_peer()
        # The same task: seen 2e-6 after three steps of 1e-3 each (Adam turns round-off of tiny gradients into parts of a step).
        np.testing.assert_allclose(ours.parameters, peer.parameters(), rtol=0, atol=2e-5)
        times, _ = measure({"ours": step_ours, "torch": step_peer})
        yield Row(f"train_{shape.name}_b{batch}_vs_torch", times["ours"] * 1e6, "us/step", "torch", torch.__version__,
                  times["torch"] * 1e6, times["torch"] / times["ours"], ">=", LEAST_TRAINING_RATIO)


def mlp():
    """All rows."""
    for section in (inference, layouts, derivatives, two_threads, peers, training):
        yield from section()
