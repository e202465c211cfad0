"""Tables, columns and the oracle's view of them, shared by the tests of the radiation kernels."""

from functools import cache

import netCDF4
import numpy as np
import oracle
import pytest

from simgraft import _core
from simgraft.radiation import atmosphere, synthetic, tables

RFMIP = "multiple_input4MIPs_radiation_RFMIP_UColorado-RFMIP-1-2_none.nc"


class VariablesTable(oracle.Table):
    """The oracle's table from a dict of variables instead of a file."""

    def __init__(self, variables):
        for name, value in variables.items():
            value = np.asarray(value)
            if value.dtype.kind == "S":
                value = ["".join(c.decode() for c in row).strip() for row in value]
            setattr(self, name, value)
        self.is_longwave = hasattr(self, "totplnk")
        self.planck_fraction_table = getattr(self, "plank_fraction", None)
        self.n_band, self.n_g = len(self.bnd_limits_gpt), self.kmajor.shape[-1]
        self.band_of_g = np.repeat(np.arange(self.n_band), np.diff(self.bnd_limits_gpt, axis=1)[:, 0] + 1)


@pytest.fixture(scope="session")
def synthetic_variables():
    """Variables of the synthetic tables: "lw" and "sw"."""
    return {"lw": synthetic.longwave(), "sw": synthetic.shortwave()}


@pytest.fixture(scope="session")
def synthetic_tables(synthetic_variables):
    """The synthetic tables in the core: "lw" and "sw"."""
    return {kind: tables.from_variables(v, name=f"synthetic {kind}") for kind, v in synthetic_variables.items()}


@pytest.fixture(scope="session")
def synthetic_oracles(synthetic_variables):
    """The synthetic tables as the oracle reads them: "lw" and "sw"."""
    return {kind: VariablesTable(v) for kind, v in synthetic_variables.items()}


@pytest.fixture(scope="session")
def table(data_dir):
    """table(name): a published table in the core, read once."""
    return cache(lambda name: tables.load(data_dir / "radiation" / "rrtmgp" / f"rrtmgp-gas-{name}.nc"))


@pytest.fixture(scope="session")
def rfmip_path(data_dir):
    return data_dir / "radiation" / "rfmip" / "inputs" / RFMIP


@pytest.fixture(scope="session")
def rfmip(rfmip_path):
    """All 1,800 RFMIP columns in double."""
    return atmosphere.rfmip(rfmip_path)


@pytest.fixture(scope="session")
def reference(data_dir):
    """reference(name): RFMIP reference flux rlu, rld, rsu or rsd, (1800, 61) [W m-2]."""

    @cache
    def read(name):
        folder = data_dir / "radiation" / "rfmip" / "reference"
        with netCDF4.Dataset(folder / f"{name}_Efx_RTE-RRTMGP-181204_rad-irf_r1i1p1f1_gn.nc") as file:
            file[name].set_auto_mask(False)
            return np.asarray(file[name][...], np.float64).reshape(1800, -1)

    return read


@pytest.fixture(scope="session")
def air():
    """Seven made-up columns of 23 layers, top first, both atmospheres of the tables, one of them in the dark."""
    rng = np.random.default_rng(7)
    n_col, n_lay = 7, 23
    level = np.geomspace(5.0, 1.01e5, n_lay + 1) * np.ones((n_col, 1)) * rng.uniform(0.97, 1.0, (n_col, 1))
    layer = np.sqrt(level[:, 1:] * level[:, :-1])
    temperature = np.maximum(200.0 + 5 * rng.random((n_col, 1)), 295.0 * (layer / 1e5) ** 0.19) + rng.normal(
        0, 2, layer.shape
    )
    profile = {"h2o": 0.02 * (layer / 1e5) ** 3 + 4e-6, "o3": 8e-6 * np.exp(-(np.log(layer / 1000.0) ** 2) / 3) + 2e-8}
    numbers = {"co2": 420e-6, "n2o": 335e-9, "co": 1.2e-7, "ch4": 1.9e-6, "o2": 0.209, "n2": 0.781, "cfc11": 2.2e-10}
    others = {gas: 1e-10 for gas in "ccl4 cfc12 cfc22 hfc143a hfc125 hfc23 hfc32 hfc134a cf4".split()}
    return atmosphere.Atmosphere(
        pressure_layer=layer,
        pressure_level=level,
        temperature_layer=temperature,
        temperature_level=np.concatenate(
            (temperature[:, :1], (temperature[:, 1:] + temperature[:, :-1]) / 2, temperature[:, -1:] + 1), 1
        ),
        temperature_surface=temperature[:, -1] + 2.0,
        gases={**profile, **numbers, **others, "no2": np.linspace(0, 1e-9, n_col)},
        emissivity=np.linspace(0.9, 1.0, n_col),
        albedo=np.linspace(0.05, 0.6, n_col),
        mu0=np.array([1.0, 0.8, 0.5, 0.2, 0.05, 0.001, -0.1]),
        total_solar_irradiance=np.full(n_col, 1361.0),
    )


@pytest.fixture(scope="session")
def as_oracle():
    """as_oracle(atmosphere): the same columns as the oracle takes them."""

    def convert(a):
        shape = a.pressure_layer.shape
        wide = {g: np.broadcast_to(x[:, None] if np.ndim(x) == 1 else x, shape).copy() for g, x in a.gases.items()}
        count = np.arange(len(a))
        return oracle.Columns(
            p_lay=a.pressure_layer,
            p_lev=a.pressure_level,
            t_lay=a.temperature_layer,
            t_lev=a.temperature_level,
            t_sfc=a.temperature_surface,
            gases=wide,
            emissivity=a.emissivity,
            albedo=a.albedo,
            mu0=np.maximum(a.mu0, 0.0),
            tsi=a.total_solar_irradiance,
            site=count,
            experiment=count,
            p_lev_file=a.pressure_level,
        )

    return convert


@pytest.fixture
def isa():
    """isa(name) switches the instruction set; restored afterwards. Skips where the CPU lacks it."""

    def switch(name):
        try:
            _core.isa_set(name)
        except NotImplementedError as error:
            pytest.skip(str(error))

    yield switch
    _core.isa_set("auto")
