"""The fixture in tests/conftest.py sees what a careless test leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).parents[1] / "conftest.py"
CARELESS = {
    "process": "subprocess.Popen(['sleep', '60'])",
    "orphan": "subprocess.run(['sh', '-c', 'sleep 60 &'], stdout=subprocess.DEVNULL)",
    "descriptor": "os.open('/dev/null', os.O_RDONLY)",
    "socket file": "socket.socket(socket.AF_UNIX).bind(os.environ['XDG_RUNTIME_DIR'] + '/left.sock')",
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "line"), CARELESS.items(), ids=list(CARELESS))
def test_what_a_test_leaves_fails_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, kind: str, line: str
) -> None:
    """A process, an orphan of one, a descriptor or a socket file is named in the failure."""
    pytester.makeconftest(CONFTEST.read_text().replace("FAREWELL_S = 2.0", "FAREWELL_S = 0.1"))
    pytester.makepyfile(
        f"import os, socket, subprocess\nkept = []\ndef test_careless():\n    kept.append({line})"
    )
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*left behind: *{'process' if kind == 'orphan' else kind} *"])


@pytest.mark.slow
def test_a_careful_test_passes(pytester: pytest.Pytester) -> None:
    """Processes that end, descriptors that are closed, and warm-up of modules are nobody's fault."""
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile("import subprocess\ndef test_careful():\n    subprocess.run(['true'], check=True)")

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")

    result.assert_outcomes(passed=1)
