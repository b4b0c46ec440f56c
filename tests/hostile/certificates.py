"""Certificates for servers: some that are trusted for the length of a test, and one that is not."""

import ssl
from pathlib import Path

import pytest
import trustme


def trusted_authority(folder: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that whoever makes a connection from now on trusts, and no other."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
    return authority


def side_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def self_signed() -> ssl.SSLContext:
    """A server's side of TLS, with a certificate that nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    signed = trustme.CA()
    with signed.cert_pem.tempfile() as certificate, signed.private_key_pem.tempfile() as key:
        context.load_cert_chain(certificate, key)
    return context
