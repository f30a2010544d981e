"""Fetches one source distribution, checked against its SHA-256, and unpacks it."""

import pathlib
import subprocess
import sys
import tarfile
import tempfile


def unpack(name, version, sha256, into):
    """Download `name` at `version` with pip and unpack it below `into`; returns the unpacked folder."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = pathlib.Path(folder, "wanted.txt")
        wanted.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            + ["--no-binary", ":all:", "--require-hashes", "--dest", folder, "--requirement", str(wanted)],
            check=True,
        )
        archive = next(pathlib.Path(folder).glob("*.tar.gz"))
        with tarfile.open(archive) as tar:
            tar.extractall(into)
    return pathlib.Path(into, f"{name}-{version}")
