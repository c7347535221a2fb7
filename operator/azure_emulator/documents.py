"""What people write to the emulator itself: admin requests, fault scripts, seed files. Knows no Azure.

Every complaint says where it is and what to write instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel


class Document(BaseModel):
    """What a person writes, in camelCase; a word that means nothing is refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True)


class DocumentError(Exception):
    """A file that cannot be used; the message names file, line and what to write instead."""


Model = TypeVar("Model", bound=Document)


def sentence(error: ValidationError) -> str:
    """What is wrong with a document, in words: the first problem, and where it is."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"there is no {where} here"
    given = "" if problem["type"] in ("missing", "value_error") else f", not {problem['input']!r}"
    return f"{where}: {message}{given}" if where else message


def load(path: Path, model: type[Model]) -> Model:
    """Read a YAML or JSON file; DocumentError tells what is wrong with it, and in which line."""
    try:
        text = path.read_text()
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise DocumentError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: this is no UTF-8 text: write YAML"
        raise DocumentError(msg) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        msg = f"{path}:{line}: this is no YAML: {error.problem}"
        raise DocumentError(msg) from error
    try:
        return model.model_validate({} if content is None else content)
    except ValidationError as error:
        line = line_of(tree, error.errors()[0]["loc"])
        msg = f"{path}:{line}: {sentence(error)}"
        raise DocumentError(msg) from error


def line_in(path: Path, place: Sequence[str | int]) -> int:
    """Line of a place in a file that was read before."""
    return line_of(yaml.compose(path.read_text(), Loader=yaml.SafeLoader), place)


def line_of(tree: yaml.Node | None, place: Sequence[str | int]) -> int:
    """Line of a place in a YAML document, or of the nearest thing around it."""
    line, node = 1, tree
    for part in place:
        if node is None:
            break
        line = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        elif isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
            continue
        else:
            break
        line = node.start_mark.line + 1
    return line
