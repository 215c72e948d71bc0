"""Content Credentials: written with a certificate made here, verified, and refused for what is wrong."""

from __future__ import annotations

import datetime
import sys

import numpy as np
import pytest
from PIL import Image

from elegant_tf.errors import UserError
from elegant_tf.images import read_image
from elegant_tf.marks import EDITED, Receipt, read_mark, xmp_packet
from elegant_tf.signing import is_installed, read_credentials, sign_file
from elegant_tf.xmp import save_options

x509 = pytest.importorskip("cryptography.x509")
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: E402

needs_c2pa = pytest.mark.skipif(not is_installed(), reason="c2pa-python is not installed")

RECEIPT = Receipt("ab" * 32, 7, ("cd" * 32,), ("Eyeglasses", "Zoë"), (1.0, -0.5))
FACE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".tif": "TIFF"}


def named(name):
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Studio"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def certificate(name, key, issuer, issuer_key, usages=()):
    """PEM of a certificate; of an authority if it has no usages."""
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    is_authority = not usages
    issuing = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    flags = dict.fromkeys(["content_commitment", "key_encipherment", "data_encipherment", "key_agreement"], False)
    flags |= {"key_cert_sign": is_authority, "crl_sign": is_authority, "encipher_only": False, "decipher_only": False}
    builder = (
        x509.CertificateBuilder(named(issuer), named(name), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(issuing, critical=False)
        .add_extension(x509.KeyUsage(digital_signature=True, **flags), critical=True)
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def private(key, password=None):
    """PEM of a private key."""
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


@pytest.fixture(scope="module")
def pems(tmp_path_factory):
    """The folder of a signer's chain.pem and key.pem, and of files that do not fit."""
    folder = tmp_path_factory.mktemp("pems")
    root, key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    authority = certificate("Authority", root, "Authority", root)
    files = {
        "chain.pem": certificate("Zoë", key, "Authority", root, [ExtendedKeyUsageOID.EMAIL_PROTECTION]) + authority,
        "server.pem": certificate("Zoë", key, "Authority", root, [ExtendedKeyUsageOID.SERVER_AUTH]) + authority,
        "key.pem": private(key),
        "other.pem": private(other),
        "secret.pem": private(key, b"secret"),
        "koblitz.pem": private(koblitz := ec.generate_private_key(ec.SECP256K1())),
        "koblitz_chain.pem": certificate("Zoë", koblitz, "Authority", root, [ExtendedKeyUsageOID.EMAIL_PROTECTION]),
        "junk.pem": b"junk",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def image(path, mark=True):
    options = save_options(FORMATS[path.suffix], xmp_packet(RECEIPT)) if mark else {}
    Image.fromarray(FACE).save(path, **options)
    return path


@needs_c2pa
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
@pytest.mark.parametrize("with_original", [False, True])
def test_a_signed_file_is_verified_and_otherwise_the_same(tmp_path, pems, name, with_original):
    path = image(tmp_path / name)
    pixels = read_image(path)
    original = image(tmp_path / f"original_{name}", mark=False) if with_original else None
    assert read_credentials(path) is None
    sign_file(path, pems / "chain.pem", pems / "key.pem", original)
    found = read_credentials(path)
    assert (found.state, found.signer, found.issuer) == ("valid", "Zoë", "Studio")  # nobody trusts this authority
    assert [receipt["attributes"] for receipt in found.receipts] == [["Eyeglasses", "Zoë"]]
    assert found.receipts[0]["model"] == RECEIPT.model
    mark = read_mark(path)
    assert (mark.source_type, mark.receipts) == (EDITED, (RECEIPT,))
    np.testing.assert_array_equal(read_image(path), pixels)
    assert sorted(tmp_path.iterdir()) == sorted(filter(None, (path, original)))
    with pytest.raises(UserError, match="is signed already"):
        sign_file(path, pems / "chain.pem", pems / "key.pem")


@needs_c2pa
@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate,
        lambda: rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "Ed25519", "RSA"],
)
def test_keys_of_other_kinds(tmp_path, make):
    root, key = ec.generate_private_key(ec.SECP256R1()), make()
    chain, key_file, path = tmp_path / "chain.pem", tmp_path / "key.pem", image(tmp_path / "a.jpg")
    chain.write_bytes(certificate("Zoë", key, "Authority", root, [ExtendedKeyUsageOID.EMAIL_PROTECTION]))
    key_file.write_bytes(private(key))
    sign_file(path, chain, key_file)
    assert read_credentials(path).state == "valid"


@needs_c2pa
def test_the_edit_of_a_signed_photo_names_it(tmp_path, pems):
    original, edited = image(tmp_path / "original.jpg"), image(tmp_path / "edited.png")
    sign_file(original, pems / "chain.pem", pems / "key.pem")
    sign_file(edited, pems / "chain.pem", pems / "key.pem", original)
    assert read_credentials(edited).state == "valid"
    assert b"original.jpg" in edited.read_bytes()


@needs_c2pa
def test_a_changed_file_is_not_valid(tmp_path, pems):
    path = image(tmp_path / "a.jpg")
    sign_file(path, pems / "chain.pem", pems / "key.pem")
    content = bytearray(path.read_bytes())
    content[-10] ^= 1  # a pixel
    path.write_bytes(content)
    found = read_credentials(path)
    assert found.state == "invalid"
    assert "Hashes do not match" in " ".join(found.problems)


@needs_c2pa
@pytest.mark.parametrize(
    ("chain", "key", "message"),
    [
        ("server.pem", "key.pem", r"cannot be signed with --cert_file=.*server\.pem: .*certificate is invalid"),
        ("chain.pem", "other.pem", r"--key_file=.*other\.pem: is not the key of the first certificate"),
        ("chain.pem", "secret.pem", r"--key_file=.*secret\.pem: is encrypted"),
        ("chain.pem", "junk.pem", r"--key_file=.*junk\.pem: is not a private key"),
        ("junk.pem", "key.pem", r"--cert_file=.*junk\.pem: is not a certificate"),
        ("none.pem", "key.pem", r"--cert_file=.*none\.pem: cannot be read: No such file"),
        ("koblitz_chain.pem", "koblitz.pem", r"--key_file=.*koblitz\.pem: C2PA takes no key of the kind secp256k1"),
    ],
)
def test_certificates_and_keys_that_do_not_fit(tmp_path, pems, chain, key, message):
    path = image(tmp_path / "a.jpg")
    before = path.read_bytes()
    with pytest.raises(UserError, match=message):
        sign_file(path, pems / chain, pems / key)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@needs_c2pa
def test_files_that_cannot_be_signed(tmp_path, pems):
    with pytest.raises(UserError, match="has no mark"):
        sign_file(image(tmp_path / "a.jpg", mark=False), pems / "chain.pem", pems / "key.pem")
    Image.fromarray(FACE).save(tmp_path / "a.bmp")
    with pytest.raises(UserError, match=r"a\.bmp: BMP files cannot hold Content Credentials"):
        sign_file(image(tmp_path / "a.png"), pems / "chain.pem", pems / "key.pem", tmp_path / "a.bmp")
    assert read_credentials(tmp_path / "a.bmp") is None


def test_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    path = image(tmp_path / "a.jpg")
    assert not is_installed()
    for ask in (read_credentials, lambda path: sign_file(path, "chain.pem", "key.pem")):
        with pytest.raises(UserError, match=r"pip install 'elegant-tf\[c2pa\]'"):
            ask(path)
