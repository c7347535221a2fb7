"""Unit files of systemd: finding, reading and understanding them.

Pure but for reading files. Knows the syntax and the directives that a guest acts upon; what happens then, services.py
says.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ETC = "etc/systemd/system"
# In the order of precedence.
DIRECTORIES = (
    ETC,
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
)

# Directives of [Service] that a guest acts upon.
HONOURED = frozenset({
    "CacheDirectory", "CacheDirectoryMode", "ConfigurationDirectory", "ConfigurationDirectoryMode", "Environment",
    "EnvironmentFile", "ExecCondition", "ExecReload", "ExecStart", "ExecStartPost", "ExecStartPre", "ExecStop",
    "ExecStopPost", "FinalKillSignal", "Group", "GuessMainPID", "KillMode", "KillSignal", "LogsDirectory",
    "LogsDirectoryMode", "Nice", "NotifyAccess", "PIDFile", "PassEnvironment", "RemainAfterExit", "Restart",
    "RestartForceExitStatus", "RestartPreventExitStatus", "RestartSec", "RootDirectoryStartOnly", "RuntimeDirectory",
    "RuntimeDirectoryMode", "RuntimeDirectoryPreserve", "SendSIGKILL", "StandardError", "StandardInput",
    "StandardOutput", "StartLimitBurst", "StartLimitInterval", "StartLimitIntervalSec", "StateDirectory",
    "StateDirectoryMode", "SuccessExitStatus", "SupplementaryGroups", "SyslogIdentifier", "TimeoutSec",
    "TimeoutStartSec", "TimeoutStopSec", "Type", "UMask", "UnsetEnvironment", "User", "WorkingDirectory",
})  # fmt: skip
# What restricts a service further, or shares the machine out, has no effect in a guest and is not missed either.
WITHOUT_EFFECT = re.compile(
    r"^(Protect|Private|Restrict|Capability|Ambient|NoNewPrivileges|SystemCall|Lock|Memory|CPU|IO|Tasks|Limit|OOM|Delegate"
    r"|ReadOnly|ReadWrite|Inaccessible|ProcSubset|Device|Bind|Slice|SecureBits|RemoveIPC|Keyring|Numa|Watchdog|Log|Syslog"
    r"|SELinux|AppArmor|DynamicUser|UtmpIdentifier|IgnoreSIGPIPE|BusName|PAMName|TTY|Blockio|Timer|TimeoutAbort"
    r"|TimeoutStartFailureMode|TimeoutStopFailureMode|RuntimeMaxSec|X-|Personality|CoredumpFilter|Exec(Paths|SearchPath)"
    r"|NoExecPaths|IP|Socket|Allowed|Startup|ManagedOOM|Oom|Umask|Restart(Mode|Steps|MaxDelaySec)|FileDescriptor"
    r"|StandardInputText|Sockets|Accept|NonBlocking|OnFailure|Import|Load|Set|Mount|Root|Temporary)"
)

TEMPORARY = "/tmp"  # noqa: S108 (the specifier %T is this)

_SECTION = re.compile(r"^\[([^\]]+)\]$")
_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zµ]*)", re.IGNORECASE)
_SPANS = {
    "": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 0.001, "msec": 0.001, "us": 1e-6, "usec": 1e-6,
    "m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0,
    "hours": 3600.0, "d": 86400.0, "day": 86400.0, "days": 86400.0, "w": 604800.0, "week": 604800.0,
    "weeks": 604800.0,
}  # fmt: skip
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*)|(\$))")


@dataclass
class Unit:
    """What a unit's file and its drop-ins say."""

    name: str
    settings: list[tuple[str, str, str]] = field(default_factory=list)
    path: str = ""
    drop_ins: list[str] = field(default_factory=list)
    masked: bool = False

    @property
    def kind(self) -> str:
        """service, timer, target, ..."""
        return self.name.rpartition(".")[2]

    @property
    def instance(self) -> str:
        """What stands after @ in the name."""
        return self.name.rpartition(".")[0].partition("@")[2]

    def all(self, section: str, key: str) -> list[str]:
        """Values of a key; an empty one takes back those before it."""
        values: list[str] = []
        for in_section, name, value in self.settings:
            if in_section == section and name == key:
                values = [*values, value] if value else []
        return values

    def get(self, section: str, key: str, default: str = "") -> str:
        """The last value of a key."""
        values = self.all(section, key)
        return values[-1] if values else default

    def words(self, section: str, key: str) -> list[str]:
        """All words of all values, such as names of units."""
        return [word for value in self.all(section, key) for word in value.split()]

    def flag(self, section: str, key: str, *, default: bool = False) -> bool:
        """A value that is yes or no."""
        value = self.get(section, key).lower()
        return value in ("1", "yes", "true", "on", "y", "t") if value else default

    def seconds(self, section: str, key: str, default: float) -> float:
        """A value that is a time span."""
        value = self.get(section, key)
        return span(value) if value else default

    def conditions(self) -> list[tuple[str, str]]:
        """Condition…= and Assert…=; an empty one of either kind takes back all of its kind."""
        found: list[tuple[str, str]] = []
        for section, key, value in self.settings:
            kind = next((word for word in ("Condition", "Assert") if key.startswith(word)), "")
            if section != "Unit" or not kind:
                continue
            found = [*found, (key, value)] if value else [one for one in found if not one[0].startswith(kind)]
        return found

    @property
    def description(self) -> str:
        """What it is called on the console."""
        return self.get("Unit", "Description") or self.name

    def unknown(self) -> list[str]:
        """Directives of [Service] that a guest does not act upon and that may be missed."""
        return sorted({
            name for section, name, _ in self.settings
            if section == "Service" and name not in HONOURED and not WITHOUT_EFFECT.match(name)
        })  # fmt: skip


def span(text: str) -> float:
    """Seconds of a time span such as `5min 20s`; infinity is what it says. Raises ValueError with a sentence."""
    if text.strip().lower() == "infinity":
        return float("inf")
    total, end = 0.0, 0
    for match in _SPAN.finditer(text):
        if match.start() != end or match[2].lower() not in _SPANS:
            break
        total += float(match[1]) * _SPANS[match[2].lower()]
        end = match.end()
    if end != len(text.rstrip()) or not text.strip():
        message = f'"{text}" is no time span; write for example 5min 20s'
        raise ValueError(message)
    return total


def parse(text: str) -> Iterator[tuple[str, str, str]]:
    """Section, key and value of every line."""
    section, pending = "", ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith(("#", ";")):
            continue
        line = f"{pending} {line}".strip() if pending else line
        if line.endswith("\\"):
            pending = line[:-1].rstrip()
            continue
        pending = ""
        match = _SECTION.match(line)
        if match:
            section = match[1]
        elif "=" in line:
            key, _, value = line.partition("=")
            yield section, key.strip(), value.strip()


class UnitFiles:
    """All unit files that there are."""

    def __init__(self, root: Path = Path("/"), *, host_name: str = "", machine_id: str = "") -> None:
        self.root = root
        self._constants = {
            "H": host_name, "l": host_name.partition(".")[0], "m": machine_id, "t": "/run", "S": "/var/lib",
            "C": "/var/cache", "L": "/var/log", "E": "/etc", "T": TEMPORARY, "V": f"/var{TEMPORARY}",
            "u": "root", "U": "0", "g": "root", "G": "0", "h": "/root", "s": "/bin/bash", "%": "%",
        }  # fmt: skip

    def load(self, name: str) -> Unit | None:
        """The unit of that name with its drop-ins, or None where there is no file."""
        unit = Unit(name)
        found = self.find(name) or self.find(template(name))
        if found is None:
            return None
        # An alias is another name of the same unit.
        real = Path(os.path.realpath(found))
        if str(real) == "/dev/null":
            return Unit(name, masked=True, path=str(found))
        if found.is_symlink() and real.name != found.name and "@" not in real.name and real.suffix == found.suffix:
            unit.name = real.name
        unit.path = f"/{found.relative_to(self.root)}"
        texts = [found.read_text(errors="replace")]
        for file in self._drop_ins(name):
            unit.drop_ins.append(f"/{file.relative_to(self.root)}")
            texts.append(file.read_text(errors="replace"))
        for text in texts:
            unit.settings += [(section, key, self._specified(value, unit)) for section, key, value in parse(text)]
        return unit

    def find(self, name: str) -> Path | None:
        """The file of a unit, the one that has precedence."""
        for directory in DIRECTORIES:
            path = self.root / directory / name
            if path.is_symlink() or path.is_file():
                return path
        return None

    def _drop_ins(self, name: str) -> list[Path]:
        found: dict[str, Path] = {}
        for directory in reversed(DIRECTORIES):
            for stem in dict.fromkeys((template(name), name)):
                for path in sorted((self.root / directory / f"{stem}.d").glob("*.conf")):
                    found[path.name] = path
        return [found[key] for key in sorted(found)]

    def _specified(self, text: str, unit: Unit) -> str:
        if "%" not in text:
            return text
        stem = unit.name.rpartition(".")[0]
        prefix = stem.partition("@")[0]
        names = {"n": unit.name, "N": stem, "p": prefix, "P": unescape(prefix), "i": unit.instance,
                 "I": unescape(unit.instance), "j": prefix.rpartition("-")[2], **self._constants}  # fmt: skip
        return re.sub("%(.)", lambda match: names.get(match[1], match[0]), text)

    def names(self) -> list[str]:
        """Every unit that has a file."""
        found = set()
        for directory in DIRECTORIES:
            for path in (self.root / directory).glob("*.*"):
                if not path.is_dir():
                    found.add(path.name)
        return sorted(found)

    def wanted_by(self, target: str) -> list[str]:
        """Units that the administrator has enabled for a target."""
        found = set()
        for kind in ("wants", "requires"):
            for path in (self.root / ETC / f"{target}.{kind}").glob("*"):
                found.add(path.name)
        return sorted(found)

    # -- enabling ----------------------------------------------------------------------------------------------------

    def links(self, unit: Unit, name: str) -> dict[Path, str]:
        """Links that stand for being enabled, with what they point to."""
        base = self.root / ETC
        found: dict[Path, str] = {}
        linked = name
        default = unit.get("Install", "DefaultInstance")
        if "@." in name and default:
            linked = name.replace("@.", f"@{default}.")
        for key, kind in (("WantedBy", "wants"), ("RequiredBy", "requires")):
            for target in unit.words("Install", key):
                found[base / f"{target}.{kind}" / linked] = unit.path
        for alias in unit.words("Install", "Alias"):
            found[base / alias] = unit.path
        return found

    def state(self, name: str) -> str:
        """What `systemctl is-enabled` says; empty where there is no such unit."""
        unit = self.load(name)
        if unit is None:
            return ""
        if unit.masked:
            return "masked"
        links = self.links(unit, name)
        if any(link.is_symlink() for link in links):
            return "enabled"
        if unit.name != name:
            return "alias"
        return "disabled" if links else "static"


def template(name: str) -> str:
    """getty@.service of getty@tty1.service; other names as they are."""
    stem, dot, kind = name.rpartition(".")
    return f"{stem.partition('@')[0]}@{dot}{kind}" if "@" in stem else name


def unescape(text: str) -> str:
    """What systemd-escape wrote."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text.replace("-", "/"))


# -- command lines ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """One Exec line."""

    arguments: tuple[str, ...]
    may_fail: bool = False
    as_root: bool = False
    expand: bool = True
    name: str = ""  # argv[0] if it is not the path

    def expanded(self, environment: Mapping[str, str]) -> list[str]:
        """The arguments with variables filled in: one that stands alone becomes as many words as it has."""
        if not self.expand:
            return list(self.arguments)
        found = [self.arguments[0]]
        for argument in self.arguments[1:]:
            match = _VARIABLE.fullmatch(argument)
            if match is not None and match[2]:
                found += _words(environment.get(match[2], ""))
            else:
                found.append(_VARIABLE.sub(lambda part: _value(part, environment), argument))
        return found


def _value(match: re.Match[str], environment: Mapping[str, str]) -> str:
    return "$" if match[3] else environment.get(match[1] or match[2], "")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def commands(lines: Iterable[str]) -> list[Command]:
    """The commands of Exec lines; raises ValueError with a sentence."""
    return [_command(part, line) for line in lines for part in _split(line)]


def _split(line: str) -> list[list[str]]:
    """Words of a line; a lone semicolon begins another command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError as error:
        message = f"cannot read the command line {line!r}: {error}"
        raise ValueError(message) from None
    parts: list[list[str]] = [[]]
    for word in words:
        if word == ";":
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def _command(words: list[str], line: str) -> Command:
    first = words[0]
    marks = ""
    while first[:1] and first[0] in "@-:+!":
        marks, first = marks + first[0], first[1:]
    arguments = [first, *words[1:]]
    if not first:
        message = f"there is no command in {line!r}"
        raise ValueError(message)
    name = ""
    if "@" in marks:
        if len(arguments) < 2:  # noqa: PLR2004 (a path and a name)
            message = f"there is no name after the path in {line!r}"
            raise ValueError(message)
        name = arguments.pop(1)
    return Command(
        tuple(arguments),
        may_fail="-" in marks,
        as_root="+" in marks or "!" in marks,
        expand=":" not in marks,
        name=name,
    )


def environment(unit: Unit, root: Path = Path("/")) -> dict[str, str]:
    """Variables of Environment= and EnvironmentFile=; raises ValueError for a file that must be there and is not."""
    found: dict[str, str] = {}
    for value in unit.all("Service", "Environment"):
        for word in _words(value):
            name, separator, content = word.partition("=")
            if separator:
                found[name] = content
    for pattern in unit.all("Service", "EnvironmentFile"):
        optional = pattern.startswith("-")
        path = pattern.lstrip("-")
        inner = path.lstrip("/")
        files = sorted(root.glob(inner)) if "*" in path else [root / inner]
        for file in files:
            try:
                text = file.read_text(errors="replace")
            except OSError:
                if optional:
                    continue
                message = f"Failed to load environment files: {path}: No such file or directory"
                raise ValueError(message) from None
            found |= environment_file(text)
    return found


def environment_file(text: str) -> dict[str, str]:
    """Variables of a file of assignments."""
    found = {}
    for raw in text.replace("\\\n", "").splitlines():
        line = raw.strip()
        name, separator, value = line.partition("=")
        if separator and not line.startswith(("#", ";")):
            words = _words(value) if value[:1] in "\"'" else [value.strip()]
            found[name.strip().removeprefix("export ").strip()] = " ".join(words)
    return found
