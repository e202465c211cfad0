"""Convolution and networks made of it against PyTorch, one thread.

A single field of 30x30x30 positions is what a host hands over. PyTorch 2.13 takes its own loops for a batch
of one on one thread and oneDNN's for larger ones, so a pair of fields is compared too, in the memory order
that PyTorch is fastest with.
"""

from statistics import median

import numpy as np

from benchmarks.runner import Row, measure
from simgraft import _core, nn

FIELD, CHANNELS, UNITS, KERNEL = (30, 30, 30), 8, 16, 3
NAME = "conv3d_" + "x".join(map(str, FIELD)) + f"_{CHANNELS}-{UNITS}"
PEAK_SHARE = {"v4": 0.88, "v3": 0.88}  # of the multiply-add peak, by instruction set
LEAST_RATIO = {NAME: 5.0, "cnn3d": 1.0, "unet": 1.0}  # to PyTorch
BATCH, BATCHES, RATE = 16, 4, 1e-3  # training: rows of a batch, batches that take turns


# ------------------------------------------------------------------------------------ networks, both ways
def cnn3d():
    """16x16x16 x 8 -> convolution 16, pooling, convolution 32, pooling, dense 1."""
    x = nn.Input((16, 16, 16, CHANNELS))
    h = nn.MaxPool(2)(nn.Conv(16, 3, activation="relu")(x))
    h = nn.MaxPool(2)(nn.Conv(32, 3, activation="relu")(h))
    return nn.Network.from_graph(x, nn.Dense(1)(nn.Reshape(4 * 4 * 4 * 32)(h)), seed=1)


def unet():
    """64x64 x 3 -> 64x64 x 3 over 32x32 and 16x16, convolutions 16, 32, 64, 32, 16 with skips."""

    def conv(units, h):
        return nn.Conv(units, 3, activation="relu")(h)

    x = nn.Input((64, 64, 3))
    a = conv(16, x)
    b = conv(32, nn.MaxPool(2)(a))
    c = conv(64, nn.MaxPool(2)(b))
    b = conv(32, nn.Concatenate()(nn.Upsample(2)(c), b))
    a = conv(16, nn.Concatenate()(nn.Upsample(2)(b), a))
    return nn.Network.from_graph(x, nn.Conv(3, 1)(a), seed=1)


def modules(torch, network):
    """PyTorch layers with the network's parameters, in order of its nodes."""
    made = []
    for node in network._graph.nodes():
        if not node["parameters"]:
            continue
        weight, bias = (
            network.parameters[at : at + int(np.prod(shape))].reshape(shape)
            for _, at, shape in node["parameters"]
        )
        if node["op"] == "dense":
            layer, weight = torch.nn.Linear(*weight.shape), weight.T
        else:
            rank = weight.ndim - 2
            layer = getattr(torch.nn, f"Conv{rank}d")(*weight.shape[-2:], weight.shape[:rank], padding="same")
            weight = weight.transpose(rank + 1, rank, *range(rank))
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(np.ascontiguousarray(weight)))
            layer.bias.copy_(torch.tensor(bias))
        made.append(layer)
    return made


def gathered(layers):
    """Parameters of PyTorch layers in our order."""
    out = []
    for layer in layers:
        weight = layer.weight.detach()
        out += [
            weight.permute(*range(2, weight.ndim), 1, 0) if weight.ndim > 2 else weight.T,
            layer.bias.detach(),
        ]
    return np.concatenate([np.ascontiguousarray(p.numpy()).ravel() for p in out])


class TorchTraining:
    """Training steps in eager PyTorch with its fastest Adam, in one memory order of fields."""

    def __init__(self, kind, network, memory_format):
        import torch

        torch.set_num_threads(1)
        self.torch, self.kind, self.format = torch, kind, memory_format
        self.layers = modules(torch, network)
        if memory_format != torch.contiguous_format:
            for layer in self.layers:
                if layer.weight.ndim > 2:
                    layer.to(memory_format=memory_format)
        self.optimizer = torch.optim.Adam(
            [p for layer in self.layers for p in layer.parameters()], RATE, fused=True
        )

    def __call__(self, x):
        f = self.torch.nn.functional
        if self.kind == "cnn3d":
            first, second, dense = self.layers
            h = f.max_pool3d(f.relu(first(x)), 2)
            h = f.max_pool3d(f.relu(second(h)), 2)
            return dense(h.permute(0, 2, 3, 4, 1).flatten(1))  # our order of a field's elements
        down_1, down_2, bottom, up_2, up_1, out = self.layers
        a = f.relu(down_1(x))
        b = f.relu(down_2(f.max_pool2d(a, 2)))
        c = f.relu(bottom(f.max_pool2d(b, 2)))
        b = f.relu(up_2(self.torch.cat([f.interpolate(c, scale_factor=2), b], 1)))
        a = f.relu(up_1(self.torch.cat([f.interpolate(b, scale_factor=2), a], 1)))
        return out(a)

    def field(self, rows, shape):
        """Rows of ours as PyTorch's fields."""
        x = self.torch.tensor(rows.reshape(len(rows), *shape))
        return x.permute(0, -1, *range(1, x.ndim - 1)).contiguous(memory_format=self.format)

    def step(self, x, y):
        self.optimizer.zero_grad()
        self.torch.nn.functional.mse_loss(self(x), y).backward()
        self.optimizer.step()


# ---------------------------------------------------------------------------------------------- sections
def inference():
    """Rows of one convolution."""
    import torch

    torch.set_num_threads(1)
    x = nn.Input((*FIELD, CHANNELS))
    ours = nn.Network.from_graph(x, nn.Conv(UNITS, KERNEL)(x), seed=1)
    net = _core.Net(ours._graph, ours.parameters)
    peer = modules(torch, ours)[0]
    fields = np.random.default_rng(1).standard_normal((2, ours.n_in)).astype(np.float32)
    for rows, memory_format, suffix in (
        (1, torch.contiguous_format, ""),
        (2, torch.channels_last_3d, "_pair"),
    ):
        rows_in, out = fields[:rows], np.empty((rows, ours.n_out), np.float32)
        x_peer = (
            torch.tensor(rows_in.reshape(rows, *FIELD, CHANNELS))
            .permute(0, 4, 1, 2, 3)
            .contiguous(memory_format=memory_format)
        )
        layer = peer.to(memory_format=memory_format)

        def run_peer(layer=layer, x_peer=x_peer):
            with torch.no_grad():
                return layer(x_peer)

        # the same task: sums of 216 terms of order one
        net.eval(rows_in, out)
        np.testing.assert_allclose(
            run_peer().permute(0, 2, 3, 4, 1).reshape(rows, -1).numpy(), out, rtol=0, atol=1e-4
        )
        times, beside = measure(
            {"ours": lambda rows_in=rows_in, out=out: net.eval(rows_in, out), "torch": run_peer},
            between=lambda: _core.fma_peak(32, 1e-3),
        )
        share = {name: ours.flops * rows / t / median(beside) for name, t in times.items()}
        common = {"peer": "torch", "peer_version": torch.__version__, "ratio": times["torch"] / times["ours"]}
        if rows == 1:
            bound = {"op": ">=", "limit": PEAK_SHARE[net.isa]} if net.isa in PEAK_SHARE else {}
            yield Row(f"{NAME}_of_peak", share["ours"], "peak", peer_value=share["torch"], **common, **bound)
        bound = {"op": ">=", "limit": LEAST_RATIO[NAME]} if rows == 1 else {}
        yield Row(
            f"{NAME}{suffix}_vs_torch",
            times["ours"] * 1e6,
            "us",
            peer_value=times["torch"] * 1e6,
            **common,
            **bound,
        )


def training():
    """Rows of training steps: forward, loss, backward and update of one batch, mean squared error, Adam."""
    import torch

    for kind, make, shape, out_shape in (
        ("cnn3d", cnn3d, (16, 16, 16, CHANNELS), None),
        ("unet", unet, (64, 64, 3), (64, 64, 3)),
    ):
        ours = make()
        rng = np.random.default_rng(2)
        x = rng.standard_normal((BATCHES, BATCH, ours.n_in)).astype(np.float32)
        y = rng.standard_normal((BATCHES, BATCH, ours.n_out)).astype(np.float32)
        last = torch.channels_last if len(shape) == 3 else torch.channels_last_3d
        peers = {
            name: TorchTraining(kind, ours, order)
            for name, order in (("torch", torch.contiguous_format), ("torch_last", last))
        }
        data = {
            name: (
                [p.field(b, shape) for b in x],
                [p.field(b, out_shape) if out_shape else torch.tensor(b) for b in y],
            )
            for name, p in peers.items()
        }
        trainer = _core.Trainer(ours._graph, ours.parameters, ("mse", {}), ("adam", {}), num_threads=1)
        rate, turn = np.array([RATE]), dict.fromkeys(("ours", *peers), 0)

        def batch(who, turn=turn):
            turn[who] = (turn[who] + 1) % BATCHES
            return turn[who]

        def step_ours(x=x, y=y, trainer=trainer, batch=batch, rate=rate):
            b = batch("ours")
            trainer.epoch(x[b], y[b], None, None, BATCH, rate)

        def step_peer(name, peers=peers, data=data, batch=batch):
            b = batch(name)
            peers[name].step(data[name][0][b], data[name][1][b])

        contestants = {"ours": step_ours} | {name: (lambda name=name: step_peer(name)) for name in peers}
        for _ in range(3):
            for step in contestants.values():
                step()
        # The same task: Adam turns round-off of tiny gradients into parts of a step of 1e-3.
        for peer in peers.values():
            assert np.median(np.abs(ours.parameters - gathered(peer.layers))) < 1e-6
        times, _ = measure(contestants, samples=15)
        best = min(peers, key=times.get)
        yield Row(
            f"train_{kind}_vs_torch",
            times["ours"] * 1e6,
            "us/step",
            "torch" + best[5:],
            torch.__version__,
            times[best] * 1e6,
            times[best] / times["ours"],
            ">=",
            LEAST_RATIO[kind],
        )


def convolution():
    """All rows of this file."""
    yield from inference()
    yield from training()
