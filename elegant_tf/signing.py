"""Content Credentials: marks that are signed, by C2PA's standard. Needs `pip install 'elegant-tf[c2pa]'`."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

import elegant_tf
from elegant_tf.errors import UserError
from elegant_tf.files import atomic_file, reason
from elegant_tf.images import READ_FORMATS
from elegant_tf.marks import read_mark

# Formats that can be signed. A photo with a preview behind it is MPO to Pillow, and JPEG to everyone else.
_MIMETYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
}

_RECEIPT = "elegant_tf.receipt"
_ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512", "ed25519": "ed25519", "rsa": "ps256"}
# Nothing is fetched: a file must not make this program call other machines.
_SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True)
class Credentials:
    """What signed Content Credentials in a file say, and whether they hold.

    Attributes:
        state: `trusted`; `valid`: intact, but the signer is on no list of trusted ones; or `invalid`: the file was
            changed after it was signed, or the signature is wrong.
        signer, issuer: names in the certificate, which can claim any name.
        problems: why the state is not `trusted`.
        receipts: those in the credentials, as JSON values.
    """

    state: str
    signer: str
    issuer: str
    problems: tuple[str, ...]
    receipts: tuple[dict[str, Any], ...]


def is_installed() -> bool:
    """Whether Content Credentials can be written and read here."""
    with contextlib.suppress(ImportError):
        return bool(importlib.import_module("c2pa"))
    return False


def sign_file(
    path: str | os.PathLike[str],
    cert_file: str | os.PathLike[str],
    key_file: str | os.PathLike[str],
    original: str | os.PathLike[str] | None = None,
) -> None:
    """Adds Content Credentials to an image that this package marked; pixels and metadata stay as they are.

    Args:
        path: the file, PNG, JPEG, WebP or TIFF; it is replaced when the signed one is complete.
        cert_file: PEM file of the certificate and those that it was issued by, the signer's first. C2PA asks for the
            extended key usage `emailProtection` or `documentSigning`, or one of its own.
        key_file: PEM file of its private key, not encrypted: ECDSA, Ed25519 or RSA.
        original: the photo before the edit; its hash and its own credentials go into those of the file.

    Raises:
        UserError: the extra is not installed, the file has no mark or is signed already, or C2PA refuses the
            certificate or the key. The file is as it was then.
    """
    c2pa = _load()
    mark = read_mark(path)
    if mark is None or not mark.receipts:
        raise UserError(f"{path}: has no mark of elegant_tf; only images that it edited can be signed")
    if read_credentials(path):
        raise UserError(f"{path}: is signed already")
    mime = _mimetype(path)
    parent = _mimetype(original) if original else ""
    agent = {"name": "elegant_tf", "version": elegant_tf.__version__}
    action = {"action": "c2pa.edited" if original else "c2pa.created", "digitalSourceType": mark.source_type}
    # Numbers as texts: c2pa-python takes a list of numbers for bytes when it reads it.
    receipts = [{**asdict(one), "strength": [str(value) for value in one.strength]} for one in mark.receipts]
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [{**action, "softwareAgent": agent}]}}
    note = {"label": _RECEIPT, "data": {"receipts": receipts}}
    manifest = {"claim_generator_info": [agent], "title": Path(path).name, "assertions": [actions, note]}
    signer_info = _signer_info(c2pa, cert_file, key_file)
    with (
        atomic_file(path) as aside,
        _refusals(c2pa, f"{path}: cannot be signed with --cert_file={cert_file}"),
        c2pa.Builder(json.dumps(manifest), _context(c2pa)) as builder,
        c2pa.Signer.from_info(signer_info) as signer,
        open(path, "rb") as source,
        open(aside, "w+b") as target,
    ):
        if original:
            ingredient = {"title": Path(original).name, "relationship": "parentOf"}
            builder.set_intent(c2pa.C2paBuilderIntent.EDIT)  # adds the action "opened"
            with open(original, "rb") as file:
                builder.add_ingredient(json.dumps(ingredient), parent, file)
        builder.sign(signer, mime, source, target)


def read_credentials(path: str | os.PathLike[str]) -> Credentials | None:
    """The Content Credentials in a file, verified; None if it has none.

    Raises:
        UserError: the extra is not installed, or the file or its credentials cannot be read.
    """
    c2pa = _load()
    try:
        content = Path(path).read_bytes()
        with c2pa.Reader(None, io.BytesIO(content), context=_context(c2pa)) as reader:
            found = json.loads(reader.json())
    except (c2pa.C2paError.ManifestNotFound, c2pa.C2paError.NotSupported):  # the latter: a format without credentials
        return None
    except c2pa.C2paError as error:
        raise UserError(f"{path}: its Content Credentials cannot be read: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {reason(error)}") from error
    manifest = found["manifests"][found["active_manifest"]]
    signature = manifest.get("signature_info", {})
    return Credentials(
        found["validation_state"].lower(),
        signature.get("common_name", ""),
        signature.get("issuer", ""),
        tuple(problem.get("explanation") or problem["code"] for problem in found.get("validation_status", [])),
        tuple(_receipts(manifest)),
    )


def _receipts(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for assertion in manifest.get("assertions", []):
        if assertion["label"] == _RECEIPT:
            yield from assertion["data"].get("receipts", [])


def _load() -> Any:
    try:
        return importlib.import_module("c2pa")
    except ImportError:
        raise UserError("Content Credentials need c2pa-python: pip install 'elegant-tf[c2pa]'") from None


def _context(c2pa: Any) -> Any:
    return c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))


def _mimetype(path: str | os.PathLike[str]) -> str:
    try:
        with Image.open(path, formats=READ_FORMATS) as image:
            image_format = image.format or ""
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {reason(error)}") from error
    if image_format not in _MIMETYPES:
        raise UserError(f"{path}: {image_format} files cannot hold Content Credentials; use PNG, JPEG, WebP or TIFF")
    return _MIMETYPES[image_format]


def _signer_info(c2pa: Any, cert_file: str | os.PathLike[str], key_file: str | os.PathLike[str]) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    key_bytes, chain = (_content(path, flag) for path, flag in ((key_file, "key_file"), (cert_file, "cert_file")))
    try:
        key: Any = serialization.load_pem_private_key(key_bytes, password=None)
    except TypeError:
        raise UserError(f"--key_file={key_file}: is encrypted; decrypt it first, with openssl pkey") from None
    except ValueError as error:
        raise UserError(f"--key_file={key_file}: is not a private key in PEM: {error}") from None
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise UserError(f"--cert_file={cert_file}: is not a certificate in PEM: {error}") from None
    public = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*public) != certificates[0].public_key().public_bytes(*public):
        raise UserError(f"--key_file={key_file}: is not the key of the first certificate in --cert_file={cert_file}")
    kind = key.curve.name if hasattr(key, "curve") else type(key).__name__.lower()
    algorithm = next((name for start, name in _ALGORITHMS.items() if start in kind), None)
    if algorithm is None:
        raise UserError(f"--key_file={key_file}: C2PA takes no key of the kind {kind}; make one for prime256v1")
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return c2pa.C2paSignerInfo(algorithm, chain, encoded, None)


def _content(path: str | os.PathLike[str], flag: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"--{flag}={path}: cannot be read: {reason(error)}") from error


@contextlib.contextmanager
def _refusals(c2pa: Any, what: str) -> Iterator[None]:
    try:
        yield
    except c2pa.C2paError as error:
        raise UserError(f"{what}: {error}") from error
