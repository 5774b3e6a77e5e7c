"""Certificates for servers and clients of tests, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_certificate(folder: Path, name: str, *, subject: str = "localhost") -> tuple[str, str]:
    """Make a certificate that signs itself; return the files of it and of its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    names = f"subjectAltName=DNS:{subject},IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={subject}", "-addext", names]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return str(certificate), str(key)
