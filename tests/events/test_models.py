"""Generative models of events: the contract they share, and those that know nothing of the physics."""

import numpy as np
import pytest

from simgraft import Dataset
from simgraft.events import TWO_BODY, Events, models


def ring(n=600, seed=1):
    """Columns of which no two are independent."""
    t = np.random.default_rng(seed).uniform(0, 2 * np.pi, n)
    return Events(TWO_BODY, np.stack([(1 + k) * np.cos(t + k) for k in range(10)]))


SMALL = {
    "VAE": models.VAE(latent=2, units=8, epochs=1, batch_size=64),
    "B-VAE": models.BVAE(latent=2, units=8, epochs=1, batch_size=64),
    "B-VAE, random": models.BVAE(latent=2, units=8, epochs=1, batch_size=64, draw="random"),
    "LSGAN": models.LSGAN(noise=3, generator=(8,), critic=(8,), epochs=1),
    "WGAN": models.WGAN(noise=3, generator=(8,), critic=(8,), epochs=1),
    "smear": models.Smear(),
    "copy": models.Copy(),
}


@pytest.fixture(scope="module")
def fitted():
    events = ring()
    return {key: model.fit(events, seed=1) for key, model in SMALL.items()}


@pytest.mark.parametrize("key", SMALL)
def test_an_event_has_the_same_bits_whatever_is_asked_for_with_it(fitted, key):
    model = fitted[key]
    whole = model.sample(1300, 5, num_threads=1)
    # More than two turns around the 600 stored events, and odd cuts.
    parts = [
        model.sample(stop - first, 5, first=first, num_threads=3)
        for first, stop in ((0, 7), (7, 1000), (1000, 1300))
    ]
    np.testing.assert_array_equal(whole.values, np.hstack([part.values for part in parts]))
    assert len(model.sample(0, 5)) == 0


@pytest.mark.parametrize("key", SMALL)
def test_a_model_read_from_its_file_makes_the_same_events(fitted, key, tmp_path):
    path = tmp_path / "model.sg"
    fitted[key].save(path)
    found = models.load(path)
    assert type(found) is type(fitted[key]) and found == fitted[key] and found.name == fitted[key].name
    np.testing.assert_array_equal(found.sample(50, 3).values, fitted[key].sample(50, 3).values)
    assert found.provenance_["n_train"] == 600 and found.layout == TWO_BODY


def test_a_model_is_streamed_to_a_function_and_to_a_data_set(fitted, tmp_path):
    model, seen = fitted["LSGAN"], []
    assert model.stream(1000, 3, seen.append, block=300, first=20) == 1000
    expected = model.sample(1000, 3, first=20).values
    assert [len(part) for part in seen] == [300, 300, 300, 100]
    np.testing.assert_array_equal(np.hstack([part.values for part in seen]), expected)
    model.stream(1000, 3, tmp_path / "events", block=128, first=20)
    data = Dataset.open(tmp_path / "events")
    np.testing.assert_array_equal(data.Y.T, expected)
    np.testing.assert_array_equal(data.X[:, 0], np.arange(20, 1020))


def test_the_kernel_of_a_model_takes_numbers_of_events_in_any_order(fitted):
    model = fitted["B-VAE"]
    kernel = model.kernel(3)
    numbers = np.array([5.0, 6.0, 2.0, 700.0, 701.0, 5.0])
    found = kernel({"event": numbers})
    whole = model.sample(702, 3)
    np.testing.assert_array_equal(found["pz2"], whole["pz2"][numbers.astype(int)])
    with pytest.raises(ValueError, match=r"event\[1\]: expected a whole number, got 0.5"):
        kernel({"event": np.array([0.0, 0.5])})


def test_the_published_autoencoder_has_its_published_number_of_parameters():
    # Counted in the published weight file: encoder 91,176, decoder 88,602.
    network = models.VAE()._network(26, 1)
    assert network.n_parameters == 179_778
    # Start values: standard deviation of 1.8e5 weights, 4 sigma of it.
    weights = network.parameters[network.parameters != 0]
    assert weights.std() == pytest.approx(np.sqrt(1.55 / 128), rel=4 / np.sqrt(2 * len(weights)))


def test_a_buffer_without_width_gives_back_the_reconstructed_training_events(fitted):
    model = fitted["B-VAE"]
    still = models.BVAE(**(model.get_params() | {"alpha": 0.0, "gamma": 0.0}))
    still.__dict__.update({k: v for k, v in model.__dict__.items() if k.endswith("_")})
    # One float32 rounding of code and output.
    np.testing.assert_allclose(still.sample(600, 1).rows, model.reconstruct(ring().rows), rtol=0, atol=1e-5)


def test_the_buffer_is_as_wide_as_alpha_sigma_and_gamma_say(fitted):
    model = fitted["B-VAE"]
    n = 600 * 200
    deviation = (model._codes(n, 1, 0) - np.tile(model.arrays_["mu"], (200, 1))).reshape(200, 600, 2)
    expected = model.arrays_["sigma"] + 0.05
    # 200 draws of each: chi2 / 200 is 1 +- 0.1; the mean over 1200 of them 1 +- 0.003, here 4 sigma.
    assert np.mean((deviation / expected) ** 2) == pytest.approx(1, abs=0.012)


def test_steering_by_principal_components_uses_the_codes_near_a_chosen_event(fitted):
    model, events = fitted["B-VAE"], ring()
    one = events.take(slice(17, 18))
    near = model.near(one, share=0.05)
    assert len(near.arrays_["use"]) == 30 and 17 in near.arrays_["use"]
    mean, axes, spread = model.principal_components()
    assert spread[0] >= spread[1] and np.allclose(axes @ axes.T, np.eye(2))
    plane = (model.arrays_["mu"] - mean) @ axes.T / spread
    distance = ((plane - plane[17]) ** 2).sum(axis=1)
    used = np.isin(np.arange(600), near.arrays_["use"])
    assert distance[used].max() <= distance[~used].min() + 1e-6
    assert len(model.arrays_["use"]) == 600


def test_smearing_has_the_width_it_says(fitted):
    values = fitted["smear"].sample(60_000, 1).values
    truth = np.tile(ring().values, 100)
    # 6e5 numbers: the standard deviation is known to 1e-3 of itself.
    assert np.std(values / truth - 1) == pytest.approx(0.05, rel=4e-3)


def test_wrong_use_is_refused_by_name(fitted, tmp_path):
    events = ring()
    with pytest.raises(TypeError, match="events: expected Events, got ndarray"):
        models.Copy().fit(events.values, seed=1)
    with pytest.raises(ValueError, match="events: carry weights"):
        models.Copy().fit(Events(TWO_BODY, events.values, weight=np.ones(600)), seed=1)
    with pytest.raises(ValueError, match="events: expected at least 100, got 9"):
        models.Copy().fit(events.take(slice(9)), seed=1)
    with pytest.raises(ValueError, match="has not been fitted"):
        models.VAE().sample(5, 1)
    with pytest.raises(ValueError, match="condition: LSGAN takes none"):
        fitted["LSGAN"].sample(5, 1, condition={"mass": 3.0})
    with pytest.raises(ValueError, match="n: expected an integer >= 0, got -1"):
        fitted["LSGAN"].sample(-1, 1)
    with pytest.raises(ValueError, match="share: expected a number in"):
        fitted["B-VAE"].near(events, share=0)
    path = tmp_path / "model.sg"
    fitted["copy"].save(path)
    with pytest.raises(ValueError, match="holds a Copy, expected a VAE"):
        models.VAE.load(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(OSError, match="model.sg"):
        models.load(path)
