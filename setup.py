"""Build the native module where there is Rust; all else about the package stands in pyproject.toml.

Without cargo, or when the build fails, the package is installed all the same and the portable engine serves:
this says so, and so does every start. `ROCKET_NATIVE=0` in the environment does without the module,
`ROCKET_NATIVE=1` does not do without it, which is what wheels and our own tests are made with.

The module keeps to the stable ABI, so that it needs no interpreter to be built and runs on each from 3.11 on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

MANIFEST = Path("crates", "rocket-py", "Cargo.toml")
WISH = os.environ.get("ROCKET_NATIVE", "")
BANNER = """
*** rocket-sup: the native module was not built: {reason}.
*** The portable engine will serve, at about 1.4 times the CPU for each request.
*** To have it built, install Rust (https://rustup.rs) and install this package again.
"""


class BuildNative(build_ext):
    """Has cargo build the module, and puts it where setuptools expects it."""

    def build_extension(self, ext: Extension) -> None:
        """Build it; a failure is setuptools' to tell or to raise, as `optional` says."""
        place = Path(self.get_ext_fullpath(ext.name))
        place.unlink(missing_ok=True)  # of an earlier build: none is better than an old one
        try:
            module = built_module()
        except (OSError, subprocess.CalledProcessError, LookupError) as error:
            sys.stderr.write(BANNER.format(reason=error))
            raise CompileError(str(error)) from error
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(module, place)


def built_module() -> Path:
    """Have cargo build the library.

    Raises:
        OSError, subprocess.CalledProcessError: cargo cannot be run, or failed; it has said why.
        LookupError: cargo named no library.
    """
    command = ["cargo", "build", "--release", "--locked", "--lib", "--manifest-path", str(MANIFEST)]
    environment = {
        **os.environ,
        "PYO3_BUILD_EXTENSION_MODULE": "1",  # the interpreter that loads it brings the symbols
        "PYO3_NO_PYTHON": "1",  # a build environment's interpreter has another path each time
    }
    done = subprocess.run(  # noqa: S603 - our own words
        [*command, "--message-format", "json-render-diagnostics"],
        stdout=subprocess.PIPE,
        env=environment,
        check=True,
    )
    for message in map(json.loads, done.stdout.splitlines()):
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == "_native":
            return Path(message["filenames"][0])
    raise LookupError("cargo built no library of the name _native")


def extensions() -> list[Extension]:
    """The module, unless it is sure that it will not be built: then the wheel is for every platform."""
    if WISH == "0":
        return []
    if WISH != "1" and shutil.which("cargo") is None:
        sys.stderr.write(BANNER.format(reason="there is no cargo"))
        return []
    return [Extension("rocket_sup.engine._native", [], py_limited_api=True, optional=WISH != "1")]


setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildNative},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
