"""Recurrent layers against PyTorch: 32 steps of 8 channels, LSTM or GRU of 64 units, a dense layer on the last state; one thread."""

from statistics import median

import numpy as np

from benchmarks.runner import Row, measure
from simgraft import _core, nn

STEPS, CHANNELS, UNITS, BATCH = 32, 8, 64, 128
BATCHES = 8  # different batches that take turns, so that data come from L3 or memory as in a real epoch
RATE = 1e-3
LEAST_RATIO = {"lstm": 1.0}  # of training, to PyTorch


def network(kind):
    x = nn.Input((STEPS, CHANNELS))
    layer = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](UNITS, output="last")
    return nn.Network.from_graph(x, nn.Dense(1)(layer(x)), seed=1)


class Torch:
    """The network in eager PyTorch with its fastest Adam. Of the two biases of its LSTM, whose sum counts, one stays zero."""

    def __init__(self, kind, ours):
        import torch

        torch.set_num_threads(1)
        self.torch, self.kind = torch, kind
        self.layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](CHANNELS, UNITS, batch_first=True)
        self.dense = torch.nn.Linear(UNITS, 1)
        values = [view for node in ours._graph.nodes() for _, view in ours._views(node)]
        if kind == "lstm":
            self.layer.bias_hh_l0.requires_grad_(False).zero_()
        self.trained = [p for p in (*self.layer.parameters(), *self.dense.parameters()) if p.requires_grad]
        with torch.no_grad():
            for to, value in zip(self.trained, values, strict=True):
                to.copy_(torch.tensor(value.T))
        self.optimizer = torch.optim.Adam(self.trained, RATE, fused=True)

    def __call__(self, x):
        return self.dense(self.layer(x)[0][:, -1])

    def step(self, x, y):
        self.optimizer.zero_grad()
        self.torch.nn.functional.mse_loss(self(x), y).backward()
        self.optimizer.step()

    def predict(self, x):
        with self.torch.no_grad():
            return self(x)

    def parameters(self):
        return np.concatenate([p.detach().numpy().T.ravel() for p in self.trained])


def compare(kind):
    """Rows of training and of inference of one layer."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((BATCHES, BATCH, STEPS * CHANNELS)).astype(np.float32)
    y = rng.standard_normal((BATCHES, BATCH, 1)).astype(np.float32)
    ours = network(kind)
    peer = Torch(kind, ours)
    x_peer = peer.torch.tensor(x.reshape(BATCHES, BATCH, STEPS, CHANNELS))
    y_peer = peer.torch.tensor(y)
    trainer = _core.Trainer(ours._graph, ours.parameters, ("mse", {}), ("adam", {}), num_threads=1)
    rate, turn = np.array([RATE]), dict.fromkeys(("ours", "peer"), 0)

    def batch(who):
        turn[who] = (turn[who] + 1) % BATCHES
        return turn[who]

    def train_ours():
        b = batch("ours")
        trainer.epoch(x[b], y[b], None, None, BATCH, rate)

    def train_peer():
        b = batch("peer")
        peer.step(x_peer[b], y_peer[b])

    for _ in range(3):
        train_ours()
        train_peer()
    # The same task: Adam turns round-off of tiny gradients into parts of a step of 1e-3.
    np.testing.assert_allclose(ours.parameters, peer.parameters(), rtol=0, atol=1e-4)
    common = {"peer": "torch", "peer_version": peer.torch.__version__}

    times, _ = measure({"ours": train_ours, "peer": train_peer})
    bound = {"op": ">=", "limit": LEAST_RATIO[kind]} if kind in LEAST_RATIO else {}
    yield Row(f"train_{kind}{UNITS}_vs_torch", times["ours"] * 1e6, "us/step", peer_value=times["peer"] * 1e6,
              ratio=times["peer"] / times["ours"], **common, **bound)

    np.testing.assert_allclose(ours.predict(x[0]), peer.predict(x_peer[0]).numpy(), rtol=0, atol=1e-4)
    times, peaks = measure({"ours": lambda: ours.predict(x[batch("ours")], num_threads=1),
                            "peer": lambda: peer.predict(x_peer[batch("peer")])}, between=lambda: _core.fma_peak(32, 4e-4))
    share = {name: ours.flops * BATCH / t / median(peaks) for name, t in times.items()}
    yield Row(f"{kind}{UNITS}_b{BATCH}_of_peak", share["ours"], "peak", peer_value=share["peer"],
              ratio=times["peer"] / times["ours"], **common)


def recurrent():
    """Rows of all recurrent layers."""
    for kind in ("lstm", "gru"):
        yield from compare(kind)
