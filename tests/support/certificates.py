"""Certificates of servers and clients, made by openssl; each is its own authority."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest


def make_certificate(
    folder: Path, name: str, host: str = "IP:127.0.0.1", *, is_rsa: bool = False
) -> Path:
    """Write ``name.pem`` and ``name.key`` for a host: ``IP:`` or ``DNS:``."""
    kind = ("rsa:2048",) if is_rsa else ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    if not shutil.which("openssl"):
        pytest.skip("needs openssl to make certificates")
    certificate = folder / f"{name}.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2"),
            *("-newkey", *kind, "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName={host}"),
            *("-keyout", folder / f"{name}.key", "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate


def server_context(certificate: Path) -> ssl.SSLContext:
    """Return what a server with this certificate speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context
