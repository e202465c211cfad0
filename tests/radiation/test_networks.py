"""Networks in the optics slot: the published ones give their published errors, ours train, save and load."""

import netCDF4
import numpy as np
import pytest
from simgraft import Dataset, FileFormatError, Kernel, Var, encode
from simgraft.radiation import atmosphere_generator, kernel, networks, synthetic, tables


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


@pytest.fixture(scope="module")
def published(data_dir, table, rfmip, reference):
    """Errors (TOA up, surface down) of the published networks against reference and table, by wave."""
    folder = data_dir / "radiation" / "rrtmgp-nn"
    errors = {}
    for wave, name, files, view, fluxes, columns in (
        (
            "lw",
            "lw-g128",
            ("absorption", "planck_frac"),
            kernel.LongwaveOptics,
            kernel.fluxes_lw,
            np.ones(len(rfmip), bool),
        ),
        (
            "sw",
            "sw-g112",
            ("absorption", "rayleigh"),
            kernel.ShortwaveOptics,
            kernel.fluxes_sw,
            rfmip.mu0 > 0,
        ),
    ):
        optics = view(table(name))
        paths = [folder / f"{name}-210809_{file}_BEST.nc" for file in files]
        nets = networks.read_rrtmgp_nn(dict(zip(optics.output_names, paths, strict=True)), optics)
        air = rfmip.take(columns)
        ours, truth = fluxes(optics.kdist, air, optics=nets.for_slot()), fluxes(optics.kdist, air)
        up, down = (reference(key)[columns] for key in (("rlu", "rld") if wave == "lw" else ("rsu", "rsd")))
        errors[wave] = {
            "reference": (rms((ours.up - up)[:, 0]), rms((ours.down - down)[:, -1])),
            "table": (rms((ours.up - truth.up)[:, 0]), rms((ours.down - truth.down)[:, -1])),
            "multiply_adds": nets.multiply_adds,
        }
    return errors


# Measured with an independent transcription; they are given to three decimals.
@pytest.mark.data
@pytest.mark.parametrize(
    ("wave", "against", "expected"),
    [
        ("lw", "reference", (0.217, 0.269)),
        ("lw", "table", (0.348, 0.246)),
        ("sw", "reference", (0.166, 0.547)),
        ("sw", "table", (0.057, 0.156)),
    ],
)
def test_published_networks_have_their_known_flux_errors(published, wave, against, expected):
    np.testing.assert_allclose(published[wave][against], expected, atol=1e-3)


@pytest.mark.data
def test_cost_of_published_networks(published):
    assert (
        published["lw"]["multiply_adds"]
        == (18 * 72 + 72 * 72 + 72 * 128 + 18 * 24 + 24 * 24 + 24 * 128) / 128
    )
    assert published["sw"]["multiply_adds"] == 2 * (7 * 32 + 32 * 32 + 32 * 112) / 112


def test_file_that_is_no_network_is_refused_by_name(tmp_path, lw_optics):
    with netCDF4.Dataset(tmp_path / "other.nc", "w") as file:
        file.createDimension("x", 3)
        file.createVariable("x", "f4", ("x",))[:] = 1.0
    (tmp_path / "noise.nc").write_bytes(b"not a netCDF file")
    for name, message in (("other.nc", "nn_inputs_char is missing"), ("noise.nc", "cannot be read")):
        paths = dict.fromkeys(lw_optics.output_names, tmp_path / name)
        with pytest.raises(FileFormatError, match=f"{name}.*{message}"):
            networks.read_rrtmgp_nn(paths, lw_optics)


@pytest.fixture(scope="module")
def lw_optics():
    return kernel.LongwaveOptics(tables.from_variables(synthetic.longwave()))


@pytest.fixture(scope="module")
def sky():
    return atmosphere_generator.generate(30, seed=1)


def train(optics, sky, epochs):
    inputs = networks.cells(optics, sky)
    family = networks.COMPACT["longwave"].resized({"absorption": (8,), "planck_fraction": (4,)})
    specs = {
        name: networks.replace(spec, epochs=epochs, batch_size=64) for name, spec in family.specs.items()
    }
    family = networks.replace(family, specs=specs)
    return networks.NetworkOptics(optics, networks.train(optics, family, inputs, optics(inputs), sky, seed=3))


@pytest.fixture(scope="module")
def nets(lw_optics, sky):
    return train(lw_optics, sky, 8)


def test_trained_networks_are_better_than_untrained_ones(lw_optics, sky, nets):
    truth = kernel.fluxes_lw(lw_optics.kdist, sky)
    errors = [
        rms(kernel.fluxes_lw(lw_optics.kdist, sky, optics=n.for_slot()).up - truth.up)
        for n in (train(lw_optics, sky, 1), nets)
    ]
    assert errors[1] < 0.5 * errors[0]


def test_networks_come_back_from_files_with_the_same_bits(tmp_path, lw_optics, sky, nets):
    nets.save(tmp_path)
    again = networks.NetworkOptics.load(tmp_path, lw_optics)
    inputs = networks.cells(lw_optics, sky)
    for name, values in nets(inputs).items():
        np.testing.assert_array_equal(values, again(inputs)[name])


def test_planck_fractions_sum_to_one_in_every_band(lw_optics, sky, nets):
    fraction = nets(networks.cells(lw_optics, sky))["planck_fraction"]
    first = lw_optics.kdist.band_limits_g[:, 0]
    np.testing.assert_allclose(np.add.reduceat(fraction, first, axis=1), 1.0, rtol=1e-13)


def test_each_part_of_the_column_has_its_own_network(lw_optics, sky, nets):
    inputs = networks.cells(lw_optics, sky)
    pressure = inputs["pressure"]
    x = np.stack([inputs[name] for name in lw_optics.input_names], axis=1)
    whole = nets(inputs)["absorption"]
    tropopause = lw_optics.kdist.pressure_tropopause
    bounds = (np.inf, 4e4, tropopause, 400.0, 0.0)
    for surrogate, high, low in zip(nets.networks["absorption"], bounds, bounds[1:], strict=False):
        rows = (pressure > low) & (pressure <= high)
        np.testing.assert_array_equal(whole[rows], surrogate.evaluate(x[rows]))


def test_column_that_networks_do_not_cover_is_refused(lw_optics, nets):
    gap = nets.networks | {"absorption": nets.networks["absorption"][:-1]}
    with pytest.raises(ValueError, match="those of absorption must cover 1.005.* Pa without gap"):
        networks.NetworkOptics(lw_optics, gap)
    with pytest.raises(ValueError, match="those of planck_fraction must cover .*, got none"):
        networks.NetworkOptics(lw_optics, {"absorption": nets.networks["absorption"]})


def test_importance_follows_the_planck_function(lw_optics, sky):
    inputs = networks.cells(lw_optics, sky)
    absorption = lw_optics(inputs)["absorption"]
    chain = {"absorption": [encode.Root(8), encode.Standardise()]}
    variables = {"absorption": lw_optics.outputs()["absorption"]}
    decoder = encode.Encoder(chain, side="outputs").fit(absorption, variables)
    weight = networks.flux_importance(lw_optics, sky, "absorption", decoder, seed=1, n_col=10)
    assert weight.min() >= 0.0 and abs(weight.mean() - 1.0) < 1e-12
    # the last band, 2680-3250 cm-1, holds 1e-3 of the emission at 290 K, and importance goes with its square
    first = lw_optics.kdist.band_limits_g[-1, 0]
    assert weight[first:].mean() < 1e-3


def test_augmented_columns_keep_sites_and_ranges(sky):
    more = networks.augment(sky, 2, seed=4)
    assert len(more) == 3 * len(sky)
    np.testing.assert_array_equal(more.site, np.tile(sky.site, 3))
    np.testing.assert_array_equal(more.temperature_layer[: len(sky)], sky.temperature_layer)
    low, high = 1.3e-4, 2.4e-3
    co2 = more.gases["co2"][2 * len(sky) :]
    assert co2.min() >= low and co2.max() <= high and np.ptp(np.log(co2)) > 0.9 * np.log(high / low)


def test_veerman_view_gives_the_optics_of_the_table(sky):
    table = tables.from_variables(synthetic.shortwave())
    view = networks.VeermanShortwave(table)
    inputs = networks.cells(view, sky)
    slot = view.to_slot(view(inputs))
    whole = kernel.ShortwaveOptics(table)
    everything = networks.cells(whole, sky) | {
        name: np.full(30 * 60, view.fixed_gases[name]) for name in ("co2", "n2o", "ch4")
    }
    everything |= {name: inputs[name] for name in view.input_names}
    truth = whole(everything)
    for name in ("absorption", "rayleigh"):
        # absorption = extinction less Rayleigh cancels where Rayleigh dominates: eps times the extinction
        extinction = truth["absorption"] + truth["rayleigh"]
        assert np.abs(slot[name] - truth[name]).max() <= 4e-16 * extinction.max()


def test_g_point_that_never_absorbs_stays_transparent():
    rng = np.random.default_rng(5)
    kernel_of_two = Kernel(
        None, inputs={"x": Var("1")}, outputs={"absorption": Var("cm2", shape=2)}, name="two"
    )
    absorption = np.stack([np.zeros(200), rng.uniform(1e-23, 1e-21, 200)], axis=1)
    data = Dataset.from_arrays(kernel_of_two, {"x": rng.random(200)}, {"absorption": absorption})
    chain = networks._standardised([encode.Root(8), encode.Standardise()], data)
    decoder = encode.Encoder({"absorption": chain}, side="outputs").fit(data)
    # an error of one deviation, 1e-3 of 1e-3, in y: (1e-6)^8 and a wide margin
    assert decoder.inverse_transform(np.ones((1, 2)))[0, 0] < 1e-40


def test_veerman_family_is_eight_networks_of_four_inputs(sky):
    count = 0
    for wave, variables, view, fluxes in (
        ("longwave", synthetic.longwave(), networks.VeermanLongwave, kernel.fluxes_lw),
        ("shortwave", synthetic.shortwave(), networks.VeermanShortwave, kernel.fluxes_sw),
    ):
        optics = view(tables.from_variables(variables))
        family = networks.VEERMAN[wave]
        family = family.resized({name: (4,) for name in family.specs}).with_epochs(1 / 60)
        inputs = networks.cells(optics, sky)
        nets = networks.NetworkOptics(
            optics, networks.train(optics, family, inputs, optics(inputs), sky, seed=3)
        )
        trained = [s for surrogates in nets.networks.values() for s in surrogates]
        count += len(trained)
        assert {s.n_in for s in trained} == {4}
        flux = fluxes(optics.kdist, sky, optics=nets.for_slot())
        assert np.isfinite(flux.up).all() and (flux.down >= 0.0).all()
    assert count == 8
