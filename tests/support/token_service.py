"""A token service for a registry: it signs what its one user may do.

Sources: distribution's docs, "Token Authentication Specification" and "Token
Authentication Implementation" (the JSON Web Token, with its certificate in ``x5c``).
"""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class TokenService:
    """A running service on a loopback port.

    Attributes:
        certificate: Of the key that signs (RSA); the key lies beside it.
        seen: What it was asked for, and as whom, as ``Authorization`` has it.
    """

    service = "test registry"
    issuer = "test issuer"

    def __init__(self, certificate: Path, user: str, password: str) -> None:
        self.certificate = certificate
        self.seen: list[tuple[dict[str, list[str]], str]] = []
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.login = f"Basic {pair}"
        handler = type("_Bound", (_Handler,), {"tokens": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.realm = f"http://127.0.0.1:{self._server.server_address[1]}/token"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def token(self, scopes: list[str]) -> str:
        """Return a token that allows all that is asked for."""
        kinds = [scope.split(":") for scope in " ".join(scopes).split()]
        now = int(time.time())
        der = ssl.PEM_cert_to_DER_cert(self.certificate.read_text())
        header = {
            "typ": "JWT",
            "alg": "RS256",
            "x5c": [base64.b64encode(der).decode()],
        }
        claims = {
            "iss": self.issuer,
            "sub": "",
            "aud": self.service,
            "exp": now + 300,
            "nbf": now - 60,
            "iat": now,
            "jti": "1",
            "access": [
                {"type": kind, "name": name, "actions": actions.split(",")}
                for kind, name, actions in kinds
            ],
        }
        signed = ".".join(
            _encoded(json.dumps(part).encode()) for part in (header, claims)
        )
        key = self.certificate.with_suffix(".key")
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", key],
            input=signed.encode(),
            capture_output=True,
            check=True,
        ).stdout
        return f"{signed}.{_encoded(signature)}"


@contextlib.contextmanager
def token_service(
    certificate: Path, user: str, password: str
) -> Iterator[TokenService]:
    """Run a service for the time of the block."""
    service = TokenService(certificate, user, password)
    try:
        yield service
    finally:
        service.close()


class _Handler(BaseHTTPRequestHandler):
    tokens: TokenService

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        login = self.headers.get("Authorization", "")
        self.tokens.seen.append((query, login))
        if login != self.tokens.login:
            self.send_response(401)
            self.end_headers()
            return
        answer = json.dumps({"token": self.tokens.token(query.get("scope", []))})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(answer.encode())


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
