"""SHA-256 against FIPS 180-4 and hashlib, with and without the SHA instructions."""

import hashlib

import pytest

from simgraft import _core


@pytest.fixture(params=["portable", "auto"])
def isa(request):
    _core.isa_set(request.param)
    yield
    _core.isa_set("auto")


@pytest.mark.parametrize(
    "message, digest",
    [  # FIPS 180-4 examples, from csrc.nist.gov "Examples with Intermediate Values"
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ],
)
def test_known_answers(isa, message, digest):
    assert _core.sha256(message) == digest


def test_every_length_around_the_padding_agrees_with_hashlib(isa):
    data = bytes(i * 7 % 251 for i in range(300))
    wrong = [n for n in range(300) if _core.sha256(data[:n]) != hashlib.sha256(data[:n]).hexdigest()]
    assert wrong == []
