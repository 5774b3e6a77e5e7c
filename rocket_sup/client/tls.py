"""How a client speaks TLS: whom it trusts, who it is, what it offers to speak on top."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tls:
    """What is known about TLS before any connection.

    Attributes:
        verify: False trusts everybody; True trusts whom the system trusts; a path names a file of
            certificates to trust instead, or a directory if it ends in "/"; a context is taken as it is.
        certificate: what the client shows: one file with certificate and key, or (certificate, key), or
            (certificate, key, password).
    """

    verify: bool | str | ssl.SSLContext = True
    certificate: str | tuple[str, str] | tuple[str, str, str] | None = None

    def context(self, protocols: list[str]) -> ssl.SSLContext:
        """Make a context that offers these protocols by ALPN (RFC 7301)."""
        if isinstance(self.verify, ssl.SSLContext):
            context = self.verify
        else:
            context = ssl.create_default_context()
            if isinstance(self.verify, str):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(**_where(self.verify))
            elif not self.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
        if self.certificate is not None:
            files = (self.certificate,) if isinstance(self.certificate, str) else self.certificate
            context.load_cert_chain(*files)
        context.set_alpn_protocols(protocols)
        return context


def _where(path: str) -> dict[str, str]:
    return {"capath": path} if path.endswith("/") else {"cafile": path}
