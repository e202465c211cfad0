"""Layers that move elements: permute and pad, against numpy."""

import numpy as np
import pytest

from simgraft import nn

MODES = {"zero": {"mode": "constant"}, "periodic": {"mode": "wrap"}, "replicate": {"mode": "edge"}, "reflect": {"mode": "reflect"}}


def run(layer, x):
    value = nn.Input(x.shape[1:])
    network = nn.Network.from_graph(value, layer(value), seed=1, dtype=x.dtype)
    shape = network._graph.nodes()[-1]["shape"]
    return network.predict(x.reshape(len(x), -1)).reshape(len(x), *shape)


def field(*shape, dtype=np.float32):
    return np.random.default_rng(1).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("axes", [(0,), (1, 0), (2, 0, 1), (3, 1, 2, 0), (1, 4, 0, 3, 2)], ids=str)
def test_permute_is_transpose(axes):
    x = field(7, *(3, 2, 17, 5, 4)[: len(axes)])
    assert np.array_equal(run(nn.Permute(axes), x), x.transpose(0, *(a + 1 for a in axes)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pad_is_that_of_numpy(mode, rank):
    x = field(5, *(4, 3, 6)[:rank], 3, dtype=np.float64)
    before, after = (1, 2, 0)[:rank], (2, 0, 1)[:rank]
    wanted = np.pad(x, [(0, 0), *zip(before, after), (0, 0)], **MODES[mode])
    assert np.array_equal(run(nn.Pad(before=before, after=after, mode=mode), x), wanted)


def test_pad_takes_one_width_for_all_dimensions():
    x = field(2, 3, 4, 5)
    assert np.array_equal(run(nn.Pad(1, 2), x), np.pad(x, [(0, 0), (1, 2), (1, 2), (0, 0)]))


def test_wrong_axes_and_widths_are_refused():
    with pytest.raises(ValueError, match="axes: expected 2 numbers, each of 0 to 1 once"):
        run(nn.Permute((0, 0)), field(1, 2, 3))
    with pytest.raises(ValueError, match="axes: expected 3 numbers, each of 0 to 2 once"):
        run(nn.Permute((0, 3, 1)), field(1, 2, 3, 4))
    with pytest.raises(ValueError, match="before: 3 positions of dimension 0 cannot be made from 3"):
        run(nn.Pad(3, 0, mode="reflect"), field(1, 3, 2))
    with pytest.raises(ValueError, match="after: expected 1 or 1 numbers for a field of 1 dimensions, got 2"):
        run(nn.Pad(1, (1, 1)), field(1, 3, 2))
