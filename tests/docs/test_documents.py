"""The documents say what is there: links lead somewhere, examples run, lists are complete."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from docs.generate import documents
from rocket_sup import Router
from rocket_sup.adapters.recognition import prepare
from tests.unit.test_layering import MODULES

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#]+?)(#[^)]*)?\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def named(path: Path) -> str:
    """A path as it is shown in test names."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link names a file of the repository."""
    targets = {match[1] for match in LINK.finditer(document.read_text()) if "://" not in match[1]}

    assert set() == {target for target in targets if not (document.parent / target).exists()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_python_examples_run(document: Path) -> None:
    """Every Python block runs as it stands, and a Router in it accepts its routes."""
    for language, code in FENCE.findall(document.read_text()):
        if language == "python":
            names: dict[str, object] = {}
            exec(compile(code, named(document), "exec"), names)
            for value in list(names.values()):
                if isinstance(value, Router):
                    prepare(value)


@pytest.mark.parametrize("document", documents(), ids=named)
def test_generated_documents_are_up_to_date(document: Path) -> None:
    """What docs/generate.py makes from the code is what stands in the repository."""
    assert documents()[document] == document.read_text(), "run `make docs`"


def test_architecture_lists_every_file() -> None:
    """No module is missing from the list of files."""
    text = (ROOT / "ARCHITECTURE.md").read_text()

    assert [] == [name for name in MODULES if f"| `{name.replace('.', '/')}.py`" not in text]


def test_every_decision_is_in_the_index() -> None:
    """docs/adr/README.md links each numbered page; numbers have no gaps."""
    pages = sorted(path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    linked = sorted(re.findall(r"\((\d{4}-[\w-]+\.md)\)", (ROOT / "docs" / "adr" / "README.md").read_text()))

    assert pages == linked
    assert [f"{number:04}" for number in range(1, len(pages) + 1)] == [page[:4] for page in pages]


def test_every_target_that_is_mentioned_exists() -> None:
    """`make x` in a document is a target of the Makefile, and `make help` lists them all."""
    command = ["make", "--no-print-directory", "-C", str(ROOT), "help"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^make (\w+)", listed, re.MULTILINE))
    mentioned = {
        target
        for document in DOCUMENTS
        for target in re.findall(r"(?:^|`)make (\w+)", document.read_text(), re.MULTILINE)
    }

    assert mentioned <= targets
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == targets
