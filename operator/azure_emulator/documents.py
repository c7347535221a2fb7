"""What people write to the emulator itself: admin requests, fault scripts, seed files. Knows no Azure."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel


class Document(BaseModel):
    """What a person writes, in camelCase; a word that means nothing is refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True)


def sentence(error: ValidationError) -> str:
    """What is wrong with a document, in words: the first problem, and where it is."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"there is no {where} here"
    given = "" if problem["type"] in ("missing", "value_error") else f", not {problem['input']!r}"
    return f"{where}: {message}{given}" if where else message
