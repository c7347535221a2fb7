"""User-data as cloud-init reads it: compressed or not, in one part or in many, configuration or script.

Pure. What is in the configuration, cloud_init.py carries out.
"""

from __future__ import annotations

import base64
import binascii
import copy
import email
import gzip
import io
import zlib
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

import yaml

# First lines by which cloud-init tells what a part is.
_KINDS = {
    "#cloud-config-archive": "text/cloud-config-archive",
    "#cloud-config-jsonp": "text/cloud-config-jsonp",
    "#cloud-config": "text/cloud-config",
    "#cloud-boothook": "text/cloud-boothook",
    "#include-once": "text/x-include-once-url",
    "#include": "text/x-include-url",
    "#upstart-job": "text/upstart-job",
    "#part-handler": "text/part-handler",
    "## template: jinja": "text/jinja2",
    "#!": "text/x-shellscript",
}
# Compressed user-data of 64 KiB does not grow beyond this unless somebody means it to.
_LARGEST = 16 * 2**20


@dataclass(frozen=True)
class Script:
    """A script that runs once, at the end of the first boot."""

    name: str
    text: str
    kind: str = "text/x-shellscript"


@dataclass
class UserData:
    """What user-data asks for."""

    config: dict[str, Any] = field(default_factory=dict)
    scripts: list[Script] = field(default_factory=list)
    boothooks: list[Script] = field(default_factory=list)
    # What cannot be done, in sentences.
    warnings: list[str] = field(default_factory=list)


def read(encoded: str) -> UserData:
    """Read user-data as a client sent it, in base64."""
    found = UserData()
    if not encoded:
        return found
    try:
        data = base64.b64decode(encoded)
    except binascii.Error as error:
        found.warnings.append(f"user-data is not base64: {error}")
        return found
    _take(found, data, "part-001", None)
    return found


def _unpacked(data: bytes) -> bytes:
    """Without compression, and without a second layer of base64, which tools add for good measure."""
    for _ in range(3):
        if data[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                data = stream.read(_LARGEST)
            continue
        stripped = data.strip()
        if stripped[:1] not in (b"#", b"C", b"M", b"") and b"\n\n" not in stripped:
            try:
                decoded = base64.b64decode(stripped, validate=True)
            except binascii.Error:
                return data
            if decoded[:1] == b"#" or decoded[:2] == b"\x1f\x8b" or decoded[:5].lower() == b"mime-":
                data = decoded
                continue
        return data
    return data


def _take(found: UserData, raw: bytes, name: str, declared: str | None) -> None:
    try:
        text = _unpacked(raw).decode()
    except (OSError, zlib.error, EOFError) as error:
        found.warnings.append(f"{name}: cannot be decompressed: {error}")
        return
    except UnicodeDecodeError as error:
        found.warnings.append(f"{name}: is not UTF-8: {error}")
        return
    if declared is None and _is_multipart(text):
        _take_parts(found, text)
        return
    kind = kind_of(text) or declared
    match kind:
        case "text/cloud-config" | "text/cloud-config-jsonp":
            _take_config(found, text, name)
        case "text/cloud-config-archive":
            _take_archive(found, text, name)
        case "text/x-shellscript" | "text/x-shellscript-per-once" | "text/x-shellscript-per-instance":
            found.scripts.append(Script(name, text, kind))
        case "text/x-shellscript-per-boot":
            found.scripts.append(Script(name, text, kind))
        case "text/cloud-boothook":
            found.boothooks.append(Script(name, text.partition("\n")[2], kind))
        case None | "":
            if text.strip():
                first = text.strip().splitlines()[0][:60]
                found.warnings.append(f'Unhandled non-multipart (text/x-not-multipart) userdata: "{first}"')
        case _:
            found.warnings.append(f"{name}: parts of type {kind} are not carried out in a guest")


def kind_of(text: str) -> str | None:
    """The type of a part by its first line."""
    beginning = text.lstrip("\ufeff \t\r\n").lower()
    return next((kind for start, kind in _KINDS.items() if beginning.startswith(start)), None)


def _is_multipart(text: str) -> bool:
    return text[:14].lower().startswith(("mime-version:", "content-type:")) and "multipart/" in text[:2000].lower()


def _take_parts(found: UserData, text: str) -> None:
    number = 0
    for part in email.message_from_string(text).walk():
        if part.is_multipart():
            continue
        number += 1
        payload = part.get_payload(decode=True)
        declared = part.get_content_type()
        plain = declared in ("text/plain", "text/x-not-multipart", "application/octet-stream", "application/gzip")
        name = part.get_filename() or f"part-{number:03d}"
        before = copy.deepcopy(found.config)
        found_part = UserData()
        _take(found_part, payload if isinstance(payload, bytes) else b"", name, "" if plain else declared)
        found.scripts += found_part.scripts
        found.boothooks += found_part.boothooks
        found.warnings += found_part.warnings
        if found_part.config:
            found.config = merged(before, found_part.config, _merge_type(part, found_part.config))


def _merge_type(part: Message, config: dict[str, Any]) -> Any:
    return part.get("Merge-Type") or part.get("X-Merge-Type") or config.get("merge_how") or config.get("merge_type")


def _take_config(found: UserData, text: str, name: str) -> None:
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        found.warnings.append(f"Failed loading yaml blob of {name}: {problem}")
        return
    if config is None:
        return
    if not isinstance(config, dict):
        found.warnings.append(f"{name}: cloud-config must be a mapping, and this is a {type(config).__name__}")
        return
    how = config.get("merge_how") or config.get("merge_type")
    found.config = merged(found.config, config, how)


def _take_archive(found: UserData, text: str, name: str) -> None:
    try:
        items = yaml.safe_load(text)
    except yaml.YAMLError as error:
        found.warnings.append(f"Failed loading yaml blob of {name}: {' '.join(str(error).split())}")
        return
    for number, item in enumerate(items if isinstance(items, list) else [], 1):
        entry = item if isinstance(item, dict) else {"content": str(item)}
        declared = entry.get("type") or entry.get("content-type")
        _take(
            found,
            str(entry.get("content", "")).encode(),
            str(entry.get("filename", f"part-{number:03d}")),
            declared or "",
        )


# -- merging ---------------------------------------------------------------------------------------------------------

# What cloud-init does where nothing else is said: a later part's keys replace those of an earlier one.
_DEFAULT = {"dict": {"replace"}, "list": set[str](), "str": set[str]()}


def merged(first: Any, second: Any, how: Any = None) -> Any:
    """Two configurations in one, as `merge_how` says."""
    return _merge(first, second, _settings(how))


def _settings(how: Any) -> dict[str, set[str]]:
    """Options by type, from `list(append)+dict(recurse_array)+str()` or a list of {name, settings}."""
    if not how:
        return _DEFAULT
    found: dict[str, set[str]] = {}
    if isinstance(how, str):
        for item in how.split("+"):
            name, _, options = item.strip().partition("(")
            found[name.strip()] = {option.strip() for option in options.rstrip(")").split(",") if option.strip()}
    else:
        for item in how if isinstance(how, list) else [how]:
            found[str(item.get("name"))] = {str(option) for option in item.get("settings") or []}
    return found


def _merge(first: Any, second: Any, how: dict[str, set[str]]) -> Any:
    """What stands in both: of two types that do not fit, and of what nothing is said about, the first stays."""
    if isinstance(first, dict):
        return _merge_mappings(first, second, how["dict"], how) if isinstance(second, dict) and "dict" in how else first
    if isinstance(first, list):
        return _merge_lists(first, second, how.get("list", set()))
    if isinstance(first, str) and isinstance(second, str) and "append" in how.get("str", set()):
        return first + second
    return first


def _merge_lists(first: list[Any], second: Any, options: set[str]) -> Any:
    if not isinstance(second, list):
        return second if "replace" in options or not options else first
    if "append" in options:
        return first + second
    if "prepend" in options:
        return second + first
    if "no_replace" in options:
        return first + second[len(first) :]
    return second + first[len(second) :]


def _merge_mappings(
    first: dict[str, Any], second: dict[str, Any], options: set[str], how: dict[str, set[str]]
) -> dict[str, Any]:
    found = dict(first)
    recursed: tuple[type, ...] = (dict,)
    if {"recurse_array", "recurse_list"} & options:
        recursed = (*recursed, list)
    if "recurse_str" in options:
        recursed = (*recursed, str)
    for key, value in second.items():
        if key not in found or "replace" in options:
            found[key] = value
        elif value is None and "allow_delete" in options:
            del found[key]
        elif isinstance(value, recursed):
            found[key] = _merge(found[key], value, how)
    return found
