"""Installs the StorPool bindings 2.0.0, written for Python 2, as the package `storpool2` of Python 3.

They check every field of every answer, which the later bindings do not; that makes them the strict client.
Only the language is translated, by lib2to3, and one import that moved: the checks stay as they were published.
"""

import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile

import sdist

SHA256 = "da492548ac9477e172305110eb38bd5152caf34cfeea9286609a9ba0b08b3545"
MODULES = ["spapi", "sptypes", "sputils", "spjson", "spdoc"]


def main():
    with tempfile.TemporaryDirectory() as folder:
        source = sdist.unpack("storpool", "2.0.0", SHA256, folder) / "storpool"
        subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "lib2to3", "-w", "-n", str(source)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        utils = source / "sputils.py"
        text = utils.read_text()
        moved = text.replace(
            "from collections import Iterable, namedtuple",
            "from collections import namedtuple\nfrom collections.abc import Iterable",
        )
        if moved == text:
            sys.exit("sputils.py of storpool 2.0.0 does not import Iterable as expected")
        utils.write_text(moved)

        package = pathlib.Path(sysconfig.get_path("purelib"), "storpool2")
        package.mkdir()
        # The published __init__ only declares a namespace that later bindings share; ours is a plain package.
        (package / "__init__.py").write_text("")
        for module in MODULES:
            shutil.copy(source / f"{module}.py", package)


if __name__ == "__main__":
    main()
