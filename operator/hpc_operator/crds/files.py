"""Generated files: written to a folder, and compared with what is there. Knows not what is in them.

A file is ours if it starts with the header that says so; whatever else lies in the folder is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write(files: Mapping[str, str], directory: Path, header: str) -> None:
    """Write the files, which start with the header, and remove files with that header that are generated no more."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in _present(directory, header).keys() - files.keys():
        (directory / name).unlink()
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")


def check(files: Mapping[str, str], directory: Path, header: str) -> list[str]:
    """Return the names of files that `write` would change or remove, sorted."""
    present = _present(directory, header)
    return sorted(name for name in files.keys() | present.keys() if files.get(name) != present.get(name))


def _present(directory: Path, header: str) -> dict[str, str]:
    texts = {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*") if path.is_file()}
    return {name: text for name, text in texts.items() if text.startswith(header)}
