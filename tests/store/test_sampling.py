"""Samplers: rows by number, within the ranges, spread as promised."""

import numpy as np
import pytest
from store_kernels import draw, gas_kernel

import simgraft as sg

N = 1000
KERNEL = gas_kernel()


def states():
    return sg.sampling.from_states(draw(np.random.default_rng(3), N))


SAMPLERS = {
    "uniform": lambda: sg.sampling.uniform(KERNEL, seed=5),
    "log_uniform": lambda: sg.sampling.log_uniform(KERNEL, seed=5),
    "sobol": lambda: sg.sampling.sobol(KERNEL, seed=5),
    "latin_hypercube": lambda: sg.sampling.latin_hypercube(KERNEL, seed=5),
    "function": lambda: sg.sampling.function(draw, seed=5),
    "from_states": states,
}


@pytest.fixture(params=SAMPLERS)
def sampler(request):
    if request.param in ("sobol", "latin_hypercube"):
        pytest.importorskip("scipy")
    return SAMPLERS[request.param]()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("cuts", [[1], [7, 8, 500], [1, 2, 3, 999]])
def test_rows_do_not_depend_on_how_they_are_shared_out(sampler, cuts):
    whole = sampler.draw(KERNEL, 0, N, N)
    edges = [0, *cuts, N]
    parts = [sampler.part(a, b).draw(KERNEL, a, b, N) for a, b in zip(edges, edges[1:])]
    assert np.array_equal(np.concatenate(parts), whole)


def test_rows_lie_in_the_valid_ranges(sampler):
    KERNEL.evaluate(sampler.draw(KERNEL, 0, N, N))


@pytest.mark.parametrize("name", ["uniform", "log_uniform", "sobol", "latin_hypercube", "function"])
def test_seed_decides(name):
    sampler = SAMPLERS[name]()
    a = sampler.draw(KERNEL, 0, 100, N)
    sampler.seed = None
    assert np.array_equal(sampler.draw(KERNEL, 0, 100, N, seed=5), a)
    assert not np.array_equal(sampler.draw(KERNEL, 0, 100, N, seed=6), a)
    with pytest.raises(ValueError, match="seed"):
        sampler.draw(KERNEL, 0, 100, N)


def test_function_rows_do_not_depend_on_shards_larger_than_its_blocks():
    sampler = sg.sampling.function(draw, seed=1)
    n = 10_000  # 4096 rows a block: parts begin and end inside of blocks
    parts = [sampler.draw(KERNEL, a, b, n) for a, b in [(0, 3000), (3000, 9000), (9000, n)]]
    assert np.array_equal(np.concatenate(parts), sampler.draw(KERNEL, 0, n, n))


@pytest.mark.parametrize(
    "name, median", [("uniform", 50_500.0), ("log_uniform", 1e4), ("sobol", 1e4), ("latin_hypercube", 1e4)]
)
def test_log_scale_is_followed(name, median):
    pressure = KERNEL.unpack_inputs(SAMPLERS[name]().draw(KERNEL, 0, N, N))["pressure"]
    # half of 1000 draws below the median, standard deviation 15.8: 5 sigma
    assert abs(np.sum(pressure < median) - 500) < 80


def test_latin_hypercube_fills_every_stratum():
    pytest.importorskip("scipy")
    t = KERNEL.unpack_inputs(SAMPLERS["latin_hypercube"]().draw(KERNEL, 0, N, N))["temperature"]
    assert np.array_equal(np.sort(np.floor((t - 200) / 200 * N).astype(int)), np.arange(N))


def test_sobol_fills_halves_evenly():
    pytest.importorskip("scipy")
    t = KERNEL.unpack_inputs(SAMPLERS["sobol"]().draw(KERNEL, 0, 1024, 1024))["temperature"]
    assert np.array_equal(np.histogram(t, 64, (200, 400))[0], np.full(64, 16))  # a (t, m, s) net in base 2


def test_input_without_limits_is_named():
    kernel = sg.Kernel(None, inputs={"x": sg.Var("K", 1)}, outputs={"y": sg.Var("1")})
    for make in (sg.sampling.uniform, sg.sampling.sobol, sg.sampling.latin_hypercube):
        with pytest.raises(ValueError, match="input 'x': this sampler needs both ends"):
            make(kernel)
    with pytest.raises(ValueError, match='scale="log"'):
        sg.sampling.log_uniform(sg.Kernel(None, inputs={"x": sg.Var("K", 1, 2)}, outputs={"y": sg.Var("1")}))


def test_user_function_of_wrong_length_is_refused():
    sampler = sg.sampling.function(lambda rng, n: draw(rng, n + 1), seed=1)
    with pytest.raises(ValueError, match="gave 11 rows, asked for 10"):
        sampler.draw(KERNEL, 0, 10, 10)


def test_what_is_no_sampler_is_refused():
    with pytest.raises(TypeError, match="sampler: expected one of simgraft.sampling, got int"):
        KERNEL.sample(3, 10)


@pytest.mark.parametrize("sampler", ["uniform", "log_uniform", "sobol", "latin_hypercube"])
def test_what_is_not_a_kernel_is_refused(sampler):
    with pytest.raises(TypeError, match="kernel: expected a Kernel, whose inputs are sampled, got int"):
        getattr(sg.sampling, sampler)(3)
