"""Adds pylxd's own integration tests, which its wheel leaves out, as the package `integration`."""

import shutil
import pathlib
import sysconfig
import tempfile

import sdist

SHA256 = "759881fd94b6dda56ecde44ca1b7c0a7b478b4282ed950cff4f99e28cb207e3a"


def main():
    with tempfile.TemporaryDirectory() as folder:
        source = sdist.unpack("pylxd", "2.4.2", SHA256, folder)
        shutil.copytree(source / "integration", pathlib.Path(sysconfig.get_path("purelib"), "integration"))


if __name__ == "__main__":
    main()
