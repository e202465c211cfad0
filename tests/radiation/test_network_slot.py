"""Networks in the optics slot of the core: the bits of the Python path, for any threads, blocks and instruction set."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from simgraft import DomainError, NotFiniteError, Surrogate, _core, encode
from simgraft.radiation import atmosphere_generator, host, kernel, networks, tables
from simgraft.variables import Var

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
DECODER = {  # values of the tables' size from network outputs of the size 1
    "absorption": lambda: [encode.Root(8), encode.Standardise(mean=8e-4, std=5e-5)],
    "rayleigh": lambda: [encode.Root(8), encode.Standardise(mean=6e-4, std=1e-5)],
    "planck_fraction": lambda: [encode.Root(2), encode.Standardise(mean=0.3, std=0.05)],
    "extinction": lambda: [encode.Log(), encode.Standardise(mean=-57.0, std=1.0)],
    "single_scattering_albedo": lambda: [encode.Standardise(mean=0.5, std=0.1)],
}


def surrogate(optics, output, part, seed, guard="count"):
    """Of random weights, 12 neurons."""
    rng = np.random.default_rng(seed)
    part_of = networks._part_kernel(optics, output, part)
    sizes = [part_of.n_in, 12, part_of.n_out]
    weights = [rng.normal(size=s).astype("float32") / s[0] ** 0.5 for s in zip(sizes, sizes[1:], strict=False)]
    encoder = {
        name: [encode.MinMax(low=v.low, high=v.high)] if v.scale == "linear" else [encode.Log(), encode.MinMax(low=np.log(v.low), high=np.log(v.high))]
        for name, v in part_of.inputs.items()
    }
    biases = [np.zeros(n, "float32") for n in sizes[1:]]
    return Surrogate.from_network(
        part_of, weights, biases, ["softsign", "linear"], encoder=encoder, decoder={output: DECODER[output]()}, guard=guard,
        domain=tuple(np.array([getattr(v, end) for v in optics.inputs().values()]) for end in ("low", "high")),
    )  # fmt: skip


SPLIT, WHOLE, FOUR = ("tropopause",), (), (4e4, "tropopause", 400.0)


def build(optics, bounds=(SPLIT, SPLIT), **options):
    """NetworkOptics of random networks; bounds between those of the first and of the second output."""
    nets = {
        output: [
            surrogate(optics, output, part, seed=10 * i + k, **options)
            for k, part in enumerate(networks._parts(optics, bounds[i]))
        ]
        for i, output in enumerate(optics.output_names)
    }
    return networks.NetworkOptics(optics, nets)


VIEWS = {
    "longwave": ("lw", kernel.LongwaveOptics),
    "shortwave": ("sw", kernel.ShortwaveOptics),
    "veerman longwave": ("lw", networks.VeermanLongwave),
    "veerman shortwave": ("sw", networks.VeermanShortwave),
}


@pytest.fixture(scope="module")
def make(synthetic_tables):
    """make(view, ...): networks for that view of the synthetic tables."""
    return lambda view, *args, **options: build(VIEWS[view][1](synthetic_tables[VIEWS[view][0]]), *args, **options)


@pytest.fixture(scope="module")
def sky():
    """30 columns of 60 layers, 1,800 rows: more than two of the slot's chunks of 768. Pressures differ from column to
    column by up to 40 %, so that a layer lies on both sides of a bound."""
    air = atmosphere_generator.generate(30, seed=1)
    height = np.random.default_rng(2).uniform(0.6, 1.0, (30, 1))
    return replace(air, pressure_layer=height * air.pressure_layer, pressure_level=height * air.pressure_level)


def fluxes(nets, sky, slot=None, **options):
    call = kernel.fluxes_sw if nets.optics.shortwave else kernel.fluxes_lw
    return call(nets.optics.kdist, sky, optics=nets.for_slot() if slot is None else slot, by="g", **options)


def assert_same_bits(a, b):
    np.testing.assert_array_equal(a.up_g, b.up_g)
    np.testing.assert_array_equal(a.down_g, b.down_g)


# ------------------------------------------------------------------------------------------------- against Python


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "bounds", [(SPLIT, WHOLE), (WHOLE, SPLIT), (WHOLE, WHOLE), (FOUR, (7e4, 1e3))],
    ids=["split-whole", "whole-split", "whole-whole", "four-three"],
)  # fmt: skip
@pytest.mark.parametrize("view", list(VIEWS))
def test_slot_gives_the_bits_of_the_python_path(make, sky, view, bounds, dtype):
    nets = make(view, bounds)
    nets.renormalise = False
    air = sky.astype(dtype)
    assert_same_bits(fluxes(nets, air), fluxes(nets, air, nets._python_slot()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_renormalised_fractions_are_those_of_the_python_path(make, sky, dtype):
    nets = make("longwave")
    air = sky.astype(dtype)
    ours, theirs = fluxes(nets, air), fluxes(nets, air, nets._python_slot())
    # Sums of 8 terms in another order, 7 roundings of at most eps / 2 on each side, and two more; sources are linear in the
    # fraction, and so are geometric means.
    for name in ("up_g", "down_g"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=9 * EPS[dtype], atol=0)
    assert nets.renormalise and not np.array_equal(ours.up_g, fluxes(build_raw(nets), air).up_g)


def build_raw(nets):
    return networks.NetworkOptics(nets.optics, nets.networks, renormalise=False)


def test_gas_that_the_table_lacks_is_zero(synthetic_variables, sky):
    table = tables.from_variables(synthetic_variables["lw"], gases=[g for g in "h2o o3 co2 ch4 n2o co n2 o2".split()])
    nets = build_raw(build(kernel.LongwaveOptics(table)))
    assert "cfc11" not in table.gases and "cfc11" in nets.optics.input_names
    air = replace(sky, gases={gas: sky.gases.get(gas, 0.0) for gas in table.gases})
    assert_same_bits(fluxes(nets, air), fluxes(nets, air, nets._python_slot()))


def test_inputs_are_taken_by_name(make, sky):
    nets = build_raw(make("longwave", (WHOLE, WHOLE)))
    mirrored = {}
    for output, (net,) in nets.networks.items():
        other = networks._part_kernel(nets.optics, output, nets.optics.kdist.pressure_range)
        other.inputs = dict(reversed(other.inputs.items()))
        weights = [w.copy() for w, *_ in net.network_.layers]
        weights[0] = weights[0][::-1].copy()
        mirrored[output] = Surrogate.from_network(
            other, weights, [b for _, b, _ in net.network_.layers], ["softsign", "linear"],
            encoder=dict(reversed(net.encoder.items())), decoder=net.decoder, guard="off",
        )  # fmt: skip
    assert mirrored["absorption"].encoder_.labels_[0] == "cf4"
    parts = [((net._core, 0.0, 0),) for net in mirrored.values()]
    plain = [((net._core, 0.0, 0),) for (net,) in nets.networks.values()]
    ours = fluxes(nets, sky, _core.NetworkSlot(nets.optics.kdist.core, *parts, 0, False))
    mixed = fluxes(nets, sky, _core.NetworkSlot(nets.optics.kdist.core, plain[0], parts[1], 0, False))
    # 19 terms summed the other way round in float, hidden units of the size 1, to the eighth power: 19 * 8 * 2 eps of float at
    # most in a cross-section; fluxes change by less.
    for up in (ours.up_g, mixed.up_g):
        np.testing.assert_allclose(up, fluxes(nets, sky).up_g, rtol=19 * 8 * 2 * EPS["float32"])


@pytest.mark.data
@pytest.mark.parametrize(("name", "view"), [("lw-g128", kernel.LongwaveOptics), ("sw-g112", kernel.ShortwaveOptics)])
def test_published_networks_have_the_same_bits_in_both_paths(data_dir, table, rfmip, name, view):
    optics = view(table(name))
    files = ("absorption", "rayleigh" if optics.shortwave else "planck_frac")
    paths = {o: data_dir / "radiation" / "rrtmgp-nn" / f"{name}-210809_{f}_BEST.nc" for o, f in zip(optics.output_names, files, strict=True)}
    nets = networks.read_rrtmgp_nn(paths, optics)
    air = rfmip.take(np.arange(100))
    assert_same_bits(fluxes(nets, air), fluxes(nets, air, nets._python_slot()))


# ----------------------------------------------------------------------------------------------------------- bits


@pytest.mark.parametrize("view", list(VIEWS))
def test_bits_do_not_depend_on_threads(make, sky, view):
    nets = make(view)
    assert_same_bits(fluxes(nets, sky, num_threads=1), fluxes(nets, sky, num_threads=2))


@pytest.mark.parametrize("view", list(VIEWS))
@pytest.mark.parametrize("n", [1, 7, 13])
def test_bits_do_not_depend_on_blocks(make, sky, view, n):
    nets = make(view)
    whole = fluxes(nets, sky)
    pieces = [fluxes(nets, sky.take(np.arange(start, min(start + n, 30)))) for start in range(0, 30, n)]
    np.testing.assert_array_equal(whole.up_g, np.concatenate([p.up_g for p in pieces]))


@pytest.mark.parametrize("view", list(VIEWS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_the_instruction_set(make, sky, isa, view, dtype):
    results = []
    for name in ("v3", "v4"):
        isa(name)
        results.append(fluxes(make(view), sky.astype(dtype)))
    assert_same_bits(*results)


@pytest.mark.parametrize("name", ["portable", "v2"])
def test_instruction_sets_without_fma_agree_with_python(make, sky, isa, name):
    isa(name)
    nets = build_raw(make("longwave"))
    assert_same_bits(fluxes(nets, sky), fluxes(nets, sky, nets._python_slot()))


# ---------------------------------------------------------------------------------------------------------- guard


def outside(sky):
    """Water vapour beyond 0.08 in all layers of column 3, below and above the tropopause; still fit for the tables."""
    h2o = np.array(sky.gases["h2o"])
    h2o[3] = 0.09
    return replace(sky, gases=sky.gases | {"h2o": h2o})


@pytest.mark.parametrize("num_threads", [1, 2])
def test_rows_outside_the_domain_are_counted_as_in_python(make, sky, num_threads):
    nets, python = make("shortwave"), make("shortwave")
    air = replace(outside(sky), mu0=np.ones(30))
    fluxes(nets, air, num_threads=num_threads)
    fluxes(python, air, python._python_slot())
    assert nets.outside == python.outside == (2 * 60, 2 * 30 * 60)
    assert nets.outside == python.outside  # counted once
    pairs = [pair for output in nets.networks for pair in zip(nets.networks[output], python.networks[output], strict=True)]
    assert len(pairs) == 4
    for net, other in pairs:
        ours, theirs = net.guard_report, other.guard_report
        assert (ours.n_box, ours.inputs) == (theirs.n_box, theirs.inputs) and ours.inputs == {"h2o": ours.n_box}


def test_guard_that_raises_names_input_value_and_layer(make, sky):
    nets = make("shortwave", guard="raise")
    air = replace(outside(sky), mu0=np.ones(30))
    with pytest.raises(DomainError, match=r"h2o: value 0\.09 1 .* lies outside the domain .* is layer \d+ from the top, network for absorption"):
        fluxes(nets, air)


def test_the_lowest_block_that_fails_is_named_for_any_threads(make, sky):
    nets = make("longwave", guard="raise")
    wet = sky.gases["h2o"].copy()
    wet[5:, 58] = 0.09
    air = replace(sky, gases=sky.gases | {"h2o": wet})
    messages = set()
    for num_threads in (1, 2, 2, 2):
        with pytest.raises(DomainError) as caught:
            fluxes(nets, air, num_threads=num_threads)
        messages.add(str(caught.value).split("layer")[1])
    assert messages == {" 58 from the top, network for absorption"}


def test_guard_off_counts_nothing(make, sky):
    nets = make("shortwave", guard="off")
    fluxes(nets, outside(sky))
    assert nets.outside == (0, 0)


def test_guard_that_needs_python_runs_there(make, sky):
    for guard in ("warn", "fallback"):
        slot = make("longwave", guard=guard).for_slot()
        assert callable(slot) and not isinstance(slot, _core.NetworkSlot)
    assert isinstance(make("longwave", guard="raise").for_slot(), _core.NetworkSlot)


def test_nan_is_stopped_before_the_networks(make, sky):
    bad = np.array(sky.temperature_layer)
    bad[2, 2] = np.nan
    with pytest.raises(NotFiniteError, match=r"temperature_layer\[2, 2\] is NaN"):
        fluxes(make("longwave"), replace(sky, temperature_layer=bad))


def test_slot_is_made_once_and_again_when_a_guard_changes(make):
    nets = make("longwave")
    first = nets.for_slot()
    assert nets.for_slot() is first
    nets.networks["absorption"][1].guard = "raise"
    assert nets.for_slot() is not first


def test_copies_for_other_processes_leave_the_slot_behind(make, sky):
    nets = make("shortwave")
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(nets.for_slot())
    ours = fluxes(nets, sky)
    other = copy.copy(nets)
    assert other._slots == {} and other.outside == nets.outside and nets.outside[1] > 0
    assert_same_bits(ours, fluxes(other, sky))


# --------------------------------------------------------------------------------------------------------- columns


def test_columns_with_networks_run_in_the_core(make, synthetic_tables):
    longwave, shortwave = build_raw(make("longwave")), make("shortwave")
    column = host.EquilibriumColumn(np.linspace(100.0, 1e5, 31) * np.ones((2, 1)), {"co2": 400e-6, "o3": 5e-8}, max_steps=20)
    inside = host.Radiation(**{"longwave": synthetic_tables["lw"], "shortwave": synthetic_tables["sw"]},
                            longwave_optics=longwave, shortwave_optics=shortwave)  # fmt: skip
    python = host.Radiation(synthetic_tables["lw"], synthetic_tables["sw"], longwave_optics=lambda x: longwave(x),
                            shortwave_optics=lambda x: shortwave(x))  # fmt: skip
    assert isinstance(inside.bind_columns(column.start()), _core.ColumnRadiation)
    assert not isinstance(python.bind_columns(column.start()), _core.ColumnRadiation)
    a, b = column.run(inside), column.run(python)
    for name in ("temperature_layer", "temperature_surface", "lw_up", "sw_down"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    mixed = host.Radiation(synthetic_tables["lw"], synthetic_tables["sw"], longwave_optics=longwave.for_slot(),
                           shortwave_optics=lambda x: shortwave(x))  # fmt: skip
    np.testing.assert_array_equal(column.run(mixed).temperature_layer, a.temperature_layer)
    half = column.run(host.Radiation(synthetic_tables["lw"], synthetic_tables["sw"], shortwave_optics=shortwave))
    assert not np.array_equal(half.temperature_layer, a.temperature_layer)


def test_column_refuses_networks_of_another_table(make, synthetic_tables):
    column = host.EquilibriumColumn(np.linspace(100.0, 1e5, 31), {"co2": 400e-6, "o3": 5e-8})
    radiation = host.Radiation(synthetic_tables["lw"], synthetic_tables["sw"], longwave_optics=make("shortwave"))
    with pytest.raises(ValueError, match="longwave_optics: the networks were made for a shortwave table"):
        column.run(radiation)
    with pytest.raises(TypeError, match="shortwave_optics: expected None or a NetworkSlot, got int"):
        _column_radiation(column, synthetic_tables, 3)


def _column_radiation(column, synthetic_tables, optics):
    run = column.start()
    return _core.ColumnRadiation(
        longwave=synthetic_tables["lw"].core, shortwave=synthetic_tables["sw"].core, n_layer=30,
        longwave_gases=[None] * len(synthetic_tables["lw"].gases), shortwave_gases=[None] * len(synthetic_tables["sw"].gases),
        diffusivity=0.0, num_threads=1, longwave_optics=None, shortwave_optics=optics, **run.surface,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- errors


def test_fluxes_refuse_networks_of_a_table_with_other_gases(make, synthetic_variables, sky):
    table = tables.from_variables(synthetic_variables["lw"], gases="h2o o3 co2 ch4 n2o co n2 o2".split())
    air = replace(sky, gases={gas: sky.gases.get(gas, 0.0) for gas in table.gases})
    with pytest.raises(ValueError, match=r"optics: the networks were made for a table whose gas \d+ is \w+; here it is \w+"):
        kernel.fluxes_lw(table, air, optics=make("longwave").for_slot())


def test_equal_table_loaded_twice_is_the_same_table(make, synthetic_variables, sky):
    again = tables.from_variables(synthetic_variables["lw"])
    nets = make("longwave")
    assert_same_bits(kernel.fluxes_lw(again, sky, optics=nets.for_slot(), by="g"), fluxes(nets, sky))


def core_slot(nets, first=None, outputs=0):
    parts = [
        tuple((s._core, low, 1) for s, (low, _) in zip(nets.networks[output], nets._part_of[output], strict=True))
        for output in nets.optics.output_names
    ]
    return _core.NetworkSlot(nets.optics.kdist.core, parts[0] if first is None else first, parts[1], outputs, False)


def test_wrong_parts_are_refused_by_name(make):
    nets = make("longwave")
    lower, upper = nets.networks["absorption"]
    fraction = nets.networks["planck_fraction"][0]
    for first, error, message in (
        ((), ValueError, "absorption: expected 1 to 16 surrogates, got 0"),
        (((lower._core, 1.0, 1),) * 17, ValueError, "first: expected 1 to 16 surrogates, got 17"),
        (((lower._core, 0.0, 1), (upper._core, 0.0, 1)), ValueError, "absorption: expected parts from the surface upwards"),
        (((lower._core, 9e3, 1), (upper._core, 9e4, 1), (upper._core, 0.0, 1)), ValueError, "got a lower limit of 90000 Pa after 9000 Pa"),
        (((lower._core, np.nan, 1), (upper._core, 0.0, 1)), ValueError, "from the surface upwards, got a lower limit of nan"),
        (((fraction._core, 0.0, 1),), ValueError, "expected a surrogate of absorption with 128 g-points, got one of planck_fraction"),
        (((lower._core, 0.0, 3),), ValueError, "first: expected a guard of 0, 1 or 2, got 3"),
        (((lower, 0.0, 1),), TypeError, "first: expected a Surrogate of the core, got Surrogate"),
        ((lower._core,), TypeError, r"first: expected tuples \(Surrogate, lowest pressure, guard\)"),
    ):
        with pytest.raises(error, match=message):
            core_slot(nets, first=first)


def test_outputs_must_fit_the_table(make):
    nets = make("longwave")
    with pytest.raises(ValueError, match="kdist: is a longwave table, expected a shortwave one"):
        core_slot(nets, outputs=1)
    with pytest.raises(ValueError, match="outputs: expected 0, 1 or 2, got 3"):
        core_slot(nets, outputs=3)


def test_input_with_a_shape_is_refused(make):
    nets = make("longwave")
    optics = nets.optics
    other = networks._part_kernel(optics, "absorption", optics.kdist.pressure_range)
    other.inputs = {"temperature": Var("K", 100, 400), "profile": Var("1", 0, 1, shape=2)}
    wrong = Surrogate.from_network(other, [np.zeros((3, 128), "float32")], [np.zeros(128, "float32")], ["linear"])
    with pytest.raises(ValueError, match=r"absorption: the surrogate has the input profile\[0\]"):
        core_slot(nets, first=((wrong._core, 0.0, 1),))


# ---------------------------------------------------------------------------------------------------------- memory


def test_failed_allocations_are_memory_errors(make):
    nets = make("longwave")
    _core.memory_fail_after(-1)
    core_slot(nets)
    n = _core.memory_fail_after(-1)
    assert n == 2 + 2 * 4  # slot, list of networks; two lists of inputs for each of four
    for i in range(n):
        _core.memory_fail_after(i)
        try:
            with pytest.raises(MemoryError):
                core_slot(nets)
        finally:
            _core.memory_fail_after(-1)


def test_slot_allocates_nothing_in_a_call(make, sky):
    nets = make("longwave")
    slot = nets.for_slot()
    counts = []
    for optics in (slot, None):
        _core.memory_fail_after(-1)
        kernel.fluxes_lw(nets.optics.kdist, sky, optics=optics, num_threads=1)
        counts.append(_core.memory_fail_after(-1))
    assert counts == [1, 1]  # the workspace of the call
