"""Write the parts of the documents that are made from the code: `make docs`.

The lists of files in ARCHITECTURE.md come from the first sentence of each module, the columns of
tests/unit/test_layering.py and the folders of crates/; the options, from their declarations. tests/docs fails
while a document differs from what would be written here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from rocket_sup.config_document import default_toml, reference_markdown
from tests.unit.test_layering import COLUMNS, MODULES, PURE

ROOT = Path(__file__).parents[1]
TITLES = {
    "entrance": "The way in",
    "meeting": "Where the columns meet",
    "engine": "Engines: the wire behind one contract",
    "tree": "The tree: knows no HTTP",
    "wire": "The wire: knows no processes",
    "client": "The client: asks other servers, knows nothing of this one",
    "shared": "Shared: knows neither",
}

CRATES = {
    "rocket-core": "The native engines without Python: `crates/rocket-core`",
    "rocket-py": "The native engines as a Python module: `crates/rocket-py`",
}


def documents() -> Mapping[Path, str]:
    """Each generated document, as it should be."""
    architecture = ROOT / "ARCHITECTURE.md"
    configuration = ROOT / "docs" / "configuration.md"
    return {
        architecture: with_files(architecture.read_text()),
        ROOT / "config" / "rocket.toml": default_toml(),
        configuration: with_options(configuration.read_text()),
    }


def with_files(text: str) -> str:
    """Put the tables of files between the two markers."""
    tables = "\n".join(file_tables())
    return re.sub(
        r"(<!-- files -->\n).*?(<!-- end -->)", lambda m: m[1] + tables + m[2], text, flags=re.DOTALL
    )


def with_options(text: str) -> str:
    """Put the tables of options between the two markers."""
    return re.sub(
        r"(<!-- options -->\n).*?(<!-- end -->)",
        lambda m: m[1] + reference_markdown() + m[2],
        text,
        flags=re.DOTALL,
    )


def file_tables() -> Iterator[str]:
    """One table for each column, one line for each file; a star marks the pure ones."""
    for column, title in TITLES.items():
        yield f"### {title}\n\n| | |\n|---|---|"
        for module in COLUMNS[column].split():
            if module in MODULES:
                name = module.replace(".", "/") + ".py"
                yield f"| `{name}`{' *' if module in PURE else ''} | {first_sentence(MODULES[module])} |"
        yield ""
    for crate, title in CRATES.items():
        yield f"### {title}\n\n| | |\n|---|---|"
        source = ROOT / "crates" / crate / "src"
        for path in sorted(source.rglob("*.rs"), key=lambda path: path.with_suffix("").parts):
            if (sentence := first_sentence_of_rust(path)) and "test" not in path.stem:
                yield f"| `{crate}/src/{path.relative_to(source)}` | {sentence} |"
        yield ""


def first_sentence_of_rust(path: Path) -> str:
    """The first sentence of a Rust file's own comment, on one line, without its full stop."""
    comment = "\n".join(re.findall(r"^//! ?(.*)$", path.read_text(), re.MULTILINE))
    return _first(comment)


def first_sentence(path: Path) -> str:
    """The first sentence of a module's docstring, on one line, without its full stop."""
    return _first(ast.get_docstring(ast.parse(path.read_text())) or "")


def _first(text: str) -> str:
    sentence = re.split(r"(?<=\.)\s", text, maxsplit=1)[0]
    return " ".join(sentence.split()).rstrip(".").replace("|", "\\|")


def main() -> None:
    """Bring every generated document up to date and name those that changed."""
    for path, text in documents().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
