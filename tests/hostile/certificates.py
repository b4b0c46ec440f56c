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


def untrusted() -> ssl.SSLContext:
    """A server's side of TLS on 127.0.0.1, all right but that nobody vouches for it."""
    return side_of(trustme.CA().issue_cert("127.0.0.1"))
