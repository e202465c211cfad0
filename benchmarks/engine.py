"""Speed of the network engine: fused inference and training of 7-64-64-256 with softsign, one thread."""

from statistics import median

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.engine_conv import convolution
from benchmarks.engine_recurrent import recurrent
from benchmarks.runner import Row, measure
from simgraft import _core, nn

SIZES = (7, 64, 64, 256)
NAME = "mlp_" + "-".join(map(str, SIZES))
PEAK_SHARE = {"v4": 0.90, "v3": 0.68}  # of the multiply-add peak, by instruction set
LEAST_RATIO = {100_000: 1.35, 1: 3.0}  # to ONNX Runtime, by rows
LEAST_TRAINING_RATIO = {1024: 1.5, 128: 2.0}  # to PyTorch, by rows of a batch
TRAINING_BATCHES = 8  # different batches that take turns, so that data come from L3 or memory as in a real epoch
BLAS_BLOCK = 256  # rows of the NumPy baseline: fastest of 64 ... 4096


def network(seed=1):
    """Weights and biases, float32."""
    rng = np.random.default_rng(seed)
    weights = [(rng.standard_normal((a, b)) / np.sqrt(a)).astype(np.float32) for a, b in zip(SIZES, SIZES[1:])]
    return weights, [(0.1 * rng.standard_normal(b)).astype(np.float32) for b in SIZES[1:]]


class OnnxRuntime:
    """The network in ONNX Runtime, one thread, with inputs and outputs bound to given arrays."""

    name, version = "onnxruntime", onnxruntime.__version__

    def __init__(self, weights, biases):
        nodes, tensors, last = [], [], "x"
        for i, (weight, bias) in enumerate(zip(weights, biases)):
            tensors += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
            end = i == len(weights) - 1
            nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], ["y" if end else f"s{i}"]))
            if not end:
                nodes.append(helper.make_node("Softsign", [f"s{i}"], [f"h{i}"]))
            last = f"h{i}"
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", SIZES[0]])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", SIZES[-1]])
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

    name = "numpy+openblas"
    version = f"{np.__version__}+{np.show_config(mode='dicts')['Build Dependencies']['blas']['version']}"

    def __init__(self, weights, biases):
        self.layers = list(zip(weights, biases))

    def bind(self, x, out):
        """A function that evaluates x into out."""
        block = min(BLAS_BLOCK, len(x))
        values = [np.empty((block, n), np.float32) for n in SIZES[1:-1]]
        scratch = [np.empty_like(v) for v in values]

        def run():
            for first in range(0, len(x), block):
                y, stop = x[first : first + block], min(first + block, len(x))
                for i, (weight, bias) in enumerate(self.layers):
                    n = stop - first
                    z = out[first:stop] if i == len(values) else values[i][:n]
                    np.matmul(y, weight, out=z)
                    z += bias
                    if i < len(values):
                        s = scratch[i][:n]
                        np.abs(z, out=s)
                        s += 1
                        z /= s
                    y = z

        return run


def inference():
    """Rows of fused inference."""
    weights, biases = network()
    ours = _core.dense_net(weights, biases, ["softsign"] * (len(weights) - 1) + ["linear"], "float32")
    peers = [OnnxRuntime(weights, biases), NumpyBlas(weights, biases)]
    peaks = []
    for batch in (256, 4096, 100_000, 1):
        x = np.random.default_rng(batch).standard_normal((batch, SIZES[0])).astype(np.float32)
        out = np.empty((batch, SIZES[-1]), np.float32)
        contestants = {"ours": lambda evaluate=ours.eval, x=x, out=out: evaluate(x, out)}
        for peer in peers:
            result = np.empty_like(out)
            contestants[peer.name] = peer.bind(x, result)
            contestants[peer.name]()
            # the same task: 64 roundings on sums of order 10
            np.testing.assert_allclose(result, ours.eval(x), rtol=0, atol=1e-4)
        times, beside = measure(contestants, between=lambda: _core.fma_peak(32, 4e-4))
        peaks += beside
        peak, mine = median(beside), times["ours"]
        share = {name: ours.flops * batch / t / peak for name, t in times.items()}
        per_row = {name: t / batch * 1e9 for name, t in times.items()}
        for i, peer in enumerate(peers):
            common = {"peer": peer.name, "peer_version": peer.version, "ratio": times[peer.name] / mine}
            if i == 0 and batch in (256, 4096):
                bound = {"op": ">=", "limit": PEAK_SHARE[ours.isa]} if ours.isa in PEAK_SHARE else {}
                yield Row(f"{NAME}_b{batch}_of_peak", share["ours"], "peak", peer_value=share[peer.name], **common, **bound)
            else:
                bound = {"op": ">=", "limit": LEAST_RATIO[batch]} if i == 0 else {}
                name = f"{NAME}_b{batch}_vs_{peer.name.split('+')[0]}"
                yield Row(name, per_row["ours"], "ns/row", peer_value=per_row[peer.name], **common, **bound)
    yield Row("fma_peak_f32", median(peaks) / 1e9, "GF/s")


class TorchTraining:
    """Training steps of the network in eager PyTorch with its fastest Adam, one thread."""

    def __init__(self, layers, rate):
        import torch

        torch.set_num_threads(1)
        self.torch, modules = torch, []
        for i, (weight, bias, _) in enumerate(layers):
            linear = torch.nn.Linear(*weight.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.tensor(weight.T))
                linear.bias.copy_(torch.tensor(bias))
            modules += [linear, torch.nn.Softsign()] if i < len(layers) - 1 else [linear]
        self.model = torch.nn.Sequential(*modules)
        self.optimizer = torch.optim.Adam(self.model.parameters(), rate, fused=True)

    def step(self, x, y):
        self.optimizer.zero_grad()
        self.torch.nn.functional.mse_loss(self.model(x), y).backward()
        self.optimizer.step()

    def parameters(self):
        return np.concatenate([p.detach().numpy().T.ravel() for p in self.model.parameters()])


def training():
    """Rows of training steps: forward, loss, backward and update of one batch, mean squared error, Adam."""
    import torch

    rate = np.array([1e-3])
    for batch, limit in LEAST_TRAINING_RATIO.items():
        rng = np.random.default_rng(batch)
        x = rng.standard_normal((TRAINING_BATCHES, batch, SIZES[0])).astype(np.float32)
        y = rng.standard_normal((TRAINING_BATCHES, batch, SIZES[-1])).astype(np.float32)
        ours = nn.MLP(SIZES[1:-1], "softsign").build(SIZES[0], SIZES[-1], seed=1)
        peer = TorchTraining(ours.layers, rate[0])
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
        yield Row(f"train_{'-'.join(map(str, SIZES))}_b{batch}_vs_torch", times["ours"] * 1e6, "us/step", "torch", torch.__version__,
                  times["torch"] * 1e6, times["torch"] / times["ours"], ">=", limit)


# Each yields rows; add a comparison by adding a function.
SECTIONS = (inference, training, convolution, recurrent)


def run():
    """All rows of this benchmark."""
    for section in SECTIONS:
        yield from section()
