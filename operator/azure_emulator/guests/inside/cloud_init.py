"""Carries out user-data in the order of cloud-init's stages, and leaves the traces that cloud-init leaves.

What a module cannot do in a guest is said on the console and in the result; nothing is dropped in silence.
"""

# ruff: noqa: ASYNC240 (the files of a guest are on a local disk; there is nothing else that would go on meanwhile)

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import gzip
import json
import os
import shlex
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from azure_emulator.guests.description import Machine
from azure_emulator.guests.inside import packages, user_data
from azure_emulator.guests.inside.disks import Disks
from azure_emulator.guests.inside.journal import Journal
from azure_emulator.guests.inside.mounts import Mounts
from azure_emulator.guests.inside.processes import Account, Processes

VERSION = "22.4.2"
ROOT = Path("/var/lib/cloud")
RUN = Path("/run/cloud-init")
OUTPUT_LOG = Path("/var/log/cloud-init-output.log")
LOG = Path("/var/log/cloud-init.log")

# Said once, and harmless: a guest has the host's clock, kernel and packages.
_WITHOUT_EFFECT = {
    "package_update": "packages are the host's", "package_upgrade": "packages are the host's",
    "apt_update": "packages are the host's", "apt_upgrade": "packages are the host's",
    "package_reboot_if_required": "packages are the host's", "apt": "packages are the host's",
    "apt_pipelining": "packages are the host's", "yum_repos": "packages are the host's",
    "ntp": "a guest has the host's clock", "growpart": "a guest's disk is a directory",
    "resize_rootfs": "a guest's disk is a directory", "swap": "a guest has the host's memory",
    "grub_dpkg": "a guest has no boot loader", "grub-dpkg": "a guest has no boot loader",
    "ssh": "nobody logs in to a guest by SSH", "ssh_deletekeys": "nobody logs in to a guest by SSH",
    "ssh_genkeytypes": "nobody logs in to a guest by SSH", "ssh_keys": "nobody logs in to a guest by SSH",
    "ssh_import_id": "a guest has no way to the Internet", "ssh_quiet_keygen": "nobody logs in to a guest by SSH",
    "ssh_publish_hostkeys": "nobody logs in to a guest by SSH", "disable_root": "nobody logs in to a guest by SSH",
    "ssh_pwauth": "nobody logs in to a guest by SSH", "no_ssh_fingerprints": "nobody logs in to a guest by SSH",
    "keyboard": "a guest has no keyboard", "phone_home": "a guest has no way to the Internet",
    "disable_ec2_metadata": "this is not EC2",
}  # fmt: skip
# Modules that are carried out, and keys that steer them or the reading of user-data.
_CARRIED_OUT = frozenset({
    "bootcmd", "ca_certs", "ca-certs", "chpasswd", "create_hostname_file", "device_aliases", "disk_setup",
    "final_message", "fqdn", "fs_setup", "groups", "hostname", "locale", "manage_etc_hosts", "merge_how", "merge_type",
    "mount_default_fields", "mounts", "output", "packages", "password", "power_state", "prefer_fqdn_over_hostname",
    "preserve_hostname", "runcmd", "ssh_authorized_keys", "system_info", "timezone", "user", "users", "write_files",
    "cloud_config_modules", "cloud_final_modules", "cloud_init_modules", "datasource", "datasource_list",
    "manual_cache_clean", "random_seed", "allow_public_ssh_keys", "version", "debug", "reporting",
})  # fmt: skip
_DEFAULT_GROUPS = "adm audio cdrom dialout dip floppy netdev plugdev sudo video"
_DEFAULT_FIELDS = [None, None, "auto", "defaults,nofail,x-systemd.requires=cloud-init.service,_netdev", "0", "2"]

Module = Callable[[], Awaitable[None]]


@dataclass
class CloudInit:
    """One boot's run."""

    machine: Machine
    processes: Processes
    journal: Journal
    mounts: Mounts
    disks: Disks
    power: Callable[[str], None]
    read: user_data.UserData = field(default_factory=user_data.UserData)
    errors: list[str] = field(default_factory=list)
    status: str = "running"
    complete: bool = False
    stage: str = ""
    began: float = field(default_factory=time.time)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of all parts together."""
        return self.read.config

    @property
    def instance(self) -> Path:
        """Where what belongs to this instance stands."""
        return ROOT / "instances" / self.machine.instance_id

    # -- stages ------------------------------------------------------------------------------------------------------

    async def init(self) -> None:
        """What comes before the services: files, disks, mounts, names, users."""
        self._begin()
        await self._stage(
            "init",
            [
                ("boothooks", None, self._boothooks), ("bootcmd", None, self._bootcmd),
                ("write_files", "instance", self._write_files), ("disk_setup", "instance", self._disk_setup),
                ("mounts", "instance", self._mounts), ("hostname", "instance", self._hostname),
                ("ca_certs", "instance", self._ca_certs), ("users_groups", "instance", self._users_groups),
                ("locale", "instance", self._locale), ("timezone", "instance", self._timezone),
                ("set_passwords", "instance", self._set_passwords),
            ],
        )  # fmt: skip

    async def final(self) -> None:
        """What comes after the services of the image: packages, scripts, runcmd."""
        await self._stage(
            "modules:final",
            [
                ("packages", "instance", self._packages), ("write_files_deferred", "instance", self._write_deferred),
                ("scripts_per_once", "once", lambda: self._scripts("text/x-shellscript-per-once", "per-once")),
                ("scripts_per_boot", None, lambda: self._scripts("text/x-shellscript-per-boot", "per-boot")),
                ("scripts_per_instance", "instance",
                 lambda: self._scripts("text/x-shellscript-per-instance", "per-instance")),
                ("scripts_user", "instance", self._scripts_user), ("final_message", None, self._final_message),
                ("power_state", "instance", self._power_state),
            ],
        )  # fmt: skip
        self.complete = True

    def _begin(self) -> None:
        for path in (self.instance / "sem", self.instance / "scripts", ROOT / "data", ROOT / "sem", RUN):
            path.mkdir(parents=True, exist_ok=True)
        link = ROOT / "instance"
        link.unlink(missing_ok=True)
        link.symlink_to(self.instance)
        (ROOT / "data/instance-id").write_text(f"{self.machine.instance_id}\n")
        (RUN / "instance-id").write_text(f"{self.machine.instance_id}\n")
        raw = self.instance / "user-data.txt"
        raw.touch(mode=0o600)
        with contextlib.suppress(binascii.Error):
            raw.write_bytes(base64.b64decode(self.machine.user_data))
        self.read = user_data.read(self.machine.user_data)
        self._write_status()
        self._print(f"Cloud-init v. {VERSION} (emulated) running 'init' at {_moment()}.")
        for warning in self.read.warnings:
            self._warn(warning)
        for key in self.config:
            if key in _WITHOUT_EFFECT:
                self._print(f"cloud-init: {key} has no effect in a guest: {_WITHOUT_EFFECT[key]}")
            elif key not in _CARRIED_OUT:
                self._warn(f"{key} is not carried out in a guest")

    async def _stage(self, name: str, modules: list[tuple[str, str | None, Module]]) -> None:
        self.stage = name
        self._write_status()
        for module, frequency, run in modules:
            mark = self._mark(module, frequency)
            if mark is not None and mark.exists():
                continue
            try:
                await run()
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                self._error(f"('{module}', {type(error).__name__}({str(error)!r}))")
            if mark is not None:
                mark.write_text(f"{os.getpid()}: {time.time()}\n")

    def _mark(self, module: str, frequency: str | None) -> Path | None:
        if frequency is None:
            return None
        return (ROOT / "sem" if frequency == "once" else self.instance / "sem") / f"config_{module}"

    def end(self) -> None:
        """Say how it went; whoever waits for it goes on."""
        if not self.complete:
            self.errors.append("cloud-init did not come to its end; see the console")
        self.status = "error" if self.errors else "done"
        self.stage = ""
        (self.instance / "boot-finished").write_text(f"{time.monotonic():.2f} - {time.ctime()} - v. {VERSION}\n")
        self._write_status()
        result = {"v1": {"datasource": "DataSourceAzure [seed=/dev/sr0]", "errors": self.errors}}
        for directory in (RUN, ROOT / "data"):
            (directory / "result.json").write_text(json.dumps(result, indent=1))
        self.done.set()

    def _write_status(self) -> None:
        document = {"v1": {"datasource": "DataSourceAzure [seed=/dev/sr0]", "stage": self.stage or None,
                           "init": {"errors": self.errors, "start": self.began}}}  # fmt: skip
        beside = RUN / ".status.json"
        beside.write_text(json.dumps(document, indent=1))
        beside.replace(RUN / "status.json")

    # -- saying ------------------------------------------------------------------------------------------------------

    def _print(self, text: str) -> None:
        self.journal.console(text)
        self.journal.add(text, unit="cloud-final.service", name="cloud-init")
        with OUTPUT_LOG.open("a") as stream:
            stream.write(f"{text}\n")

    def _log(self, level: str, text: str) -> None:
        with LOG.open("a") as stream:
            stream.write(f"{datetime.now().isoformat(' ', 'milliseconds')} - cloud-init[{level}]: {text}\n")  # noqa: DTZ005 (as cloud-init)

    def _warn(self, text: str) -> None:
        self._log("WARNING", text)
        self._print(f"cloud-init[WARNING]: {text}")

    def _error(self, text: str) -> None:
        self.errors.append(text)
        self._log("ERROR", text)
        self._print(f"cloud-init[ERROR]: {text}")

    async def _run(self, arguments: list[str], **options: Any) -> int:
        self._log("DEBUG", f"Running command {shlex.join(arguments)}")
        return await self.processes.run(arguments, sink=self._print, environment=self._environment(), **options)

    def _environment(self) -> dict[str, str]:
        return {"INSTANCE_ID": self.machine.instance_id, "HOME": "/root", "USER": "root", **self.machine.environment}

    # -- commands and scripts ----------------------------------------------------------------------------------------

    async def _boothooks(self) -> None:
        for hook in self.read.boothooks:
            path = self.instance / "boothooks" / hook.name
            path.parent.mkdir(exist_ok=True)
            _write_script(path, hook.text)
            if await self._run([str(path)]) != 0:
                self._error(f"boothook {hook.name} failed")

    async def _bootcmd(self) -> None:
        lines = self.config.get("bootcmd")
        if lines:
            path = self.instance / "scripts/bootcmd"
            _write_script(path, shell_script(lines))
            code = await self._run(["/bin/sh", str(path)])
            if code != 0:
                self._error(f"('bootcmd', ProcessExecutionError('Exit code: {code}'))")

    async def _scripts(self, kind: str, directory: str) -> None:
        for script in self.read.scripts:
            if script.kind == kind:
                path = ROOT / "scripts" / directory / script.name
                path.parent.mkdir(parents=True, exist_ok=True)
                await self._run_script(path, script.text)

    async def _scripts_user(self) -> None:
        lines = self.config.get("runcmd")
        if lines:
            await self._run_script(self.instance / "scripts/runcmd", shell_script(lines))
        for script in self.read.scripts:
            if script.kind == "text/x-shellscript":
                await self._run_script(self.instance / "scripts" / script.name, script.text)

    async def _run_script(self, path: Path, text: str) -> None:
        _write_script(path, text)
        code = await self._run([str(path)])
        if code != 0:
            self._warn(f"Failed running {path} [{code}]")
            self._error(f"('scripts_user', RuntimeError('Runparts: 1 failures ({path.name}) in 1 attempted commands'))")

    # -- files -------------------------------------------------------------------------------------------------------

    async def _write_files(self) -> None:
        self._write_all(deferred=False)

    async def _write_deferred(self) -> None:
        self._write_all(deferred=True)

    def _write_all(self, *, deferred: bool) -> None:
        for number, entry in enumerate(self.config.get("write_files") or [], 1):
            if bool(entry.get("defer")) != deferred:
                continue
            path = entry.get("path")
            if not path:
                self._warn(f"No path provided to write for entry {number} in module write-files")
                continue
            try:
                self._write_file(Path(path), entry)
            except (OSError, ValueError, KeyError) as error:
                self._error(f"write_files: {path}: {error.args[0] if isinstance(error, KeyError) else error}")

    def _write_file(self, path: Path, entry: dict[str, Any]) -> None:
        data = decoded(entry.get("content") or "", entry.get("encoding"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab" if entry.get("append") else "wb") as stream:
            stream.write(data)
        path.chmod(permissions(entry.get("permissions")))
        user, _, group = str(entry.get("owner", "root:root")).partition(":")
        if user not in ("", "root", "-1") or group not in ("", "root", "-1"):
            account = Account.find(user or "root", group)
            if not self.processes.only_root:
                os.chown(path, account.user, account.group)

    # -- names, users ------------------------------------------------------------------------------------------------

    async def _hostname(self) -> None:
        if self.config.get("preserve_hostname"):
            return
        fqdn = str(self.config.get("fqdn") or self.config.get("hostname") or "")
        name = str(self.config.get("hostname") or fqdn.partition(".")[0])
        if name:
            await self._run(["/usr/bin/hostnamectl", "set-hostname", name])

    async def _users_groups(self) -> None:
        groups = self.config.get("groups") or {}
        for entry in groups.split(",") if isinstance(groups, str) else groups if isinstance(groups, list) else [groups]:
            for name, members in entry.items() if isinstance(entry, dict) else [(str(entry).strip(), [])]:
                await self._run(["/usr/sbin/groupadd", "-f", name])
                for member in [members] if isinstance(members, str) else members or []:
                    await self._run(["/usr/sbin/usermod", "-a", "-G", name, member])
        users = self.config.get("users", ["default"])
        for entry in users.split(",") if isinstance(users, str) else users or []:
            if entry == "default" or (isinstance(entry, dict) and entry.get("name") == "default"):
                if self.machine.admin or self.config.get("user"):
                    await self._user(self._default_user())
            else:
                await self._user({"name": entry} if isinstance(entry, str) else entry)

    def _default_user(self) -> dict[str, Any]:
        """The administrator of the VM, as the datasource and `user:` say."""
        given = self.config.get("user") or {}
        given = {"name": given} if isinstance(given, str) else given
        keys = [*self.machine.admin_keys, *(self.config.get("ssh_authorized_keys") or [])]
        return {
            "name": self.machine.admin or "azureuser", "gecos": "Ubuntu", "groups": _DEFAULT_GROUPS.split(),
            "shell": "/bin/bash", "sudo": ["ALL=(ALL) NOPASSWD:ALL"], "ssh_authorized_keys": keys, **given,
        }  # fmt: skip

    async def _user(self, entry: dict[str, Any]) -> None:
        name = str(entry.get("name") or "")
        if not name:
            self._warn("a user without a name is left out")
            return
        if self.processes.only_root:
            self._warn(f"user {name} is not made: in this guest only root exists, because the emulator runs as a user "
                       "without a range of ids in /etc/subuid")  # fmt: skip
            return
        await self._make_account(name, entry)
        await self._access(name, entry)

    async def _make_account(self, name: str, entry: dict[str, Any]) -> None:
        try:
            Account.find(name)
        except KeyError:
            pass
        else:
            return
        extra = entry.get("groups") or []
        extra = [one.strip() for one in extra.split(",")] if isinstance(extra, str) else list(extra)
        for group in [*extra, *([entry["primary_group"]] if entry.get("primary_group") else [])]:
            await self._run(["/usr/sbin/groupadd", "-f", group])
        arguments = ["/usr/sbin/useradd", name]
        valued = {"gecos": "-c", "homedir": "-d", "primary_group": "-g", "expiredate": "-e", "inactive": "-f",
                  "passwd": "-p", "shell": "-s", "uid": "-u", "selinux_user": "-Z"}  # fmt: skip
        for key, flag in valued.items():
            if entry.get(key) not in (None, ""):
                arguments += [flag, str(entry[key])]
        if extra:
            arguments += ["-G", ",".join(extra)]
        arguments += ["--system"] if entry.get("system") else []
        arguments += ["-M"] if entry.get("no_create_home") or entry.get("system") else ["-m"]
        arguments += ["--no-log-init"] if entry.get("no_log_init") else []
        arguments += ["--no-user-group"] if entry.get("no_user_group") else []
        if await self._run(arguments) != 0:
            self._error(f"Failed to create user {name}")

    async def _access(self, name: str, entry: dict[str, Any]) -> None:
        """Passwords, sudo rules and keys of a user."""
        password = entry.get("hashed_passwd")
        plain = entry.get("plain_text_passwd") or (self.machine.admin_password if name == self.machine.admin else "")
        if password or plain:
            flags = ["-e"] if password else []
            await self._run(["/usr/sbin/chpasswd", *flags], input_text=f"{name}:{password or plain}\n")
        rules = entry.get("sudo") or []
        rules = [rules] if isinstance(rules, str) else rules
        if rules and rules != [False]:
            file = Path("/etc/sudoers.d/90-cloud-init-users")
            known = file.read_text() if file.exists() else ""
            file.write_text(known + "".join(f"{name} {rule}\n" for rule in rules))
            file.chmod(0o440)
        keys = entry.get("ssh_authorized_keys") or entry.get("ssh-authorized-keys") or []
        keys = [keys] if isinstance(keys, str) else list(keys.values()) if isinstance(keys, dict) else keys
        if keys:
            _authorize(Account.find(name), [str(key).strip() for key in keys])

    async def _set_passwords(self) -> None:
        change = self.config.get("chpasswd") or {}
        lines = change.get("list") or []
        lines = lines.splitlines() if isinstance(lines, str) else lines
        pairs = [str(line) for line in lines]
        pairs += [f"{user['name']}:{user.get('password', '')}" for user in change.get("users") or []]
        if self.config.get("password"):
            pairs.append(f"{self._default_user()['name']}:{self.config['password']}")
        hashed = [pair for pair in pairs if pair.partition(":")[2].startswith("$")]
        plain = [pair for pair in pairs if pair not in hashed]
        for flags, chosen in ((["-e"], hashed), ([], plain)):
            if chosen:
                await self._run(["/usr/sbin/chpasswd", *flags], input_text="\n".join(chosen) + "\n")

    # -- disks -------------------------------------------------------------------------------------------------------

    async def _disk_setup(self) -> None:
        if self.config.get("disk_setup"):
            self._print("cloud-init: disk_setup makes no partitions in a guest: a disk is a directory, and its first "
                        "partition is the whole of it")  # fmt: skip
        for entry in self.config.get("fs_setup") or []:
            device, kind = str(entry.get("device", "")), str(entry.get("filesystem", "ext4"))
            error = self.disks.make(device, kind, label=str(entry.get("label") or ""),
                                    force=bool(entry.get("overwrite")))  # fmt: skip
            if error:
                self._error(f"fs_setup: {error}")

    async def _mounts(self) -> None:
        default = self.config.get("mount_default_fields") or _DEFAULT_FIELDS
        lines = []
        for row in self.config.get("mounts") or []:
            fields = list(row) if isinstance(row, list) else [row]
            if len(fields) < 2 or fields[1] is None:  # noqa: PLR2004 (a source and a place)
                continue
            fields += [None] * (6 - len(fields))
            filled = [
                str(value if value is not None else fallback) for value, fallback in zip(fields, default, strict=True)
            ]
            if not filled[0].startswith(("/", "LABEL=", "UUID=", "PARTUUID=", "PARTLABEL=")) and ":" not in filled[0]:
                filled[0] = "/dev/" + {"ephemeral0": "sdb1", "swap": "sdb2"}.get(filled[0], filled[0])
            lines.append("\t".join([*filled[:3], f"{filled[3]},comment=cloudconfig", *filled[4:]]))
            if filled[1] not in ("none", "swap"):
                Path(filled[1]).mkdir(parents=True, exist_ok=True)
        if not lines:
            return
        table = Path("/etc/fstab")
        kept = [line for line in table.read_text().splitlines() if "comment=cloudconfig" not in line]
        table.write_text("\n".join([*kept, *lines]) + "\n")
        for line in await self.mounts.mount_all():
            self._error(f"mounts: {line}")

    # -- the rest ----------------------------------------------------------------------------------------------------

    async def _ca_certs(self) -> None:
        config = self.config.get("ca_certs") or self.config.get("ca-certs") or {}
        directory = Path("/usr/local/share/ca-certificates")
        for number, text in enumerate(config.get("trusted") or [], 1):
            directory.mkdir(parents=True, exist_ok=True)
            (directory / f"cloud-init-ca-cert-{number}.crt").write_text(str(text))
        if config.get("trusted") and await self._run(["/usr/sbin/update-ca-certificates"]) != 0:
            self._error("ca_certs: update-ca-certificates failed")

    async def _locale(self) -> None:
        if self.config.get("locale"):
            Path("/etc/default/locale").write_text(f'LANG="{self.config["locale"]}"\n')

    async def _timezone(self) -> None:
        name = self.config.get("timezone")
        if not name:
            return
        zone = Path("/usr/share/zoneinfo") / str(name)
        if not zone.is_file():
            message = f"Invalid timezone {name}, no file found at {zone}"
            raise OSError(message)
        Path("/etc/timezone").write_text(f"{name}\n")
        Path("/etc/localtime").unlink(missing_ok=True)
        Path("/etc/localtime").symlink_to(zone)

    async def _packages(self) -> None:
        wanted = []
        for item in self.config.get("packages") or []:
            if isinstance(item, list):
                wanted.append("=".join(str(part) for part in item[:2]))
            elif isinstance(item, dict):
                wanted += [str(one) for names in item.values() for one in names if isinstance(one, str)]
            else:
                wanted.append(str(item))
        if not wanted:
            return
        absent = packages.missing(wanted)
        for one in absent:
            self._warn(f"package {one.name} cannot be installed: {one.reason}. Install it on the machine that runs the "
                       "emulator.")  # fmt: skip
        if absent:
            names = ",".join(one.name for one in absent)
            self._error(f"('package_update_upgrade_install', ProcessExecutionError('Failed to install {names}'))")

    async def _final_message(self) -> None:
        text = str(self.config.get("final_message") or "Cloud-init v. $version finished at $timestamp. Datasource "
                   "$datasource.  Up $uptime seconds")  # fmt: skip
        values = {
            "version": f"{VERSION} (emulated)", "timestamp": _moment(), "datasource": "DataSourceAzure [seed=/dev/sr0]",
            "uptime": f"{time.time() - self.began:.2f}",
        }  # fmt: skip
        for name, value in values.items():
            text = text.replace(f"${name}", value).replace(f"${name.upper()}", value)
        self._print(text)

    async def _power_state(self) -> None:
        config = self.config.get("power_state") or {}
        mode = str(config.get("mode") or "")
        if not mode:
            return
        if mode not in ("reboot", "poweroff", "halt"):
            message = f"power_state[mode] required, must be one of: halt,poweroff,reboot and not {mode}"
            raise ValueError(message)
        condition = config.get("condition", True)
        if isinstance(condition, str | list):
            arguments = ["/bin/sh", "-c", condition] if isinstance(condition, str) else [str(one) for one in condition]
            condition = await self._run(arguments) == 0
        if condition:
            self.power(mode)


# -- how values are written ------------------------------------------------------------------------------------------


def shell_script(lines: Any) -> str:
    """A script of `runcmd` or `bootcmd`: strings are shell, lists are commands with their arguments."""
    if not isinstance(lines, list):
        message = f"Input to shellify was type '{type(lines).__name__}'. Expected list or tuple."
        raise TypeError(message)
    found = ["#!/bin/sh"]
    for line in lines:
        if isinstance(line, list):
            found.append(" ".join("'" + str(word).replace("'", "'\\''") + "'" for word in line))
        elif isinstance(line, str):
            found.append(line)
        elif line is not None:
            message = f"Unable to shellify type '{type(line).__name__}'. Expected list, string, tuple. Got: {line}"
            raise TypeError(message)
    return "\n".join(found) + "\n"


def decoded(content: Any, encoding: str | None) -> bytes:
    """The content of a file of write_files."""
    data = content if isinstance(content, bytes) else str(content).encode()
    name = (encoding or "text/plain").lower().strip()
    if name in ("gz+base64", "gzip+base64", "gz+b64", "gzip+b64"):
        return gzip.decompress(base64.b64decode(data))
    if name in ("b64", "base64"):
        return base64.b64decode(data)
    if name in ("gz", "gzip"):
        return gzip.decompress(data)
    return data


def permissions(value: Any, default: int = 0o644) -> int:
    """A file mode: YAML makes a number of 0644, and a string of '0644'."""
    if value is None:
        return default
    if isinstance(value, int):
        return value
    try:
        return int(str(value), 8)
    except ValueError:
        return default


def _moment() -> str:
    return datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")


def _write_script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o700)


def _authorize(account: Account, keys: list[str]) -> None:
    directory = Path(account.home) / ".ssh"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = directory / "authorized_keys"
    known = file.read_text().splitlines() if file.exists() else []
    file.write_text("\n".join(dict.fromkeys([*known, *keys])) + "\n")
    file.chmod(0o600)
    for path in (directory, file):
        shutil.chown(path, account.user, account.group)
