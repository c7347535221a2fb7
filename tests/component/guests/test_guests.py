"""VMs that run for real: booting, user-data, networks, disks, power and the end of it all."""

# ruff: noqa: ASYNC240 (local files, and nothing else to do meanwhile)

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import aiohttp
import pytest

from azure_emulator import Emulator
from azure_emulator.store import Resource

from .conftest import GROUP, NETWORK, Cloud, prepare, until

APPENDING = "list(append)+dict(no_replace,recurse_list)"


class TestUserData:
    async def test_a_cloud_config_is_carried_out_as_written(self, cloud: Cloud) -> None:
        vm = await cloud.vm(
            "one",
            """#cloud-config
bootcmd:
- echo booted >> /var/lib/boots
write_files:
- {path: /etc/app/key, content: aGVsbG8=, encoding: b64, permissions: '0600'}
- {path: /etc/app/key, content: " again", append: true, permissions: '0600'}
- {path: /etc/app/late, content: late, defer: true, owner: 'hpcadmin:hpcadmin'}
groups: [crew]
users:
- default
- {name: ada, uid: '1500', groups: crew, shell: /bin/bash, ssh_authorized_keys: [ssh-ed25519 AAAAada ada]}
runcmd:
- test -e /etc/app/late || echo 'deferred files were not there yet' > /root/wrong
- [sh, -c, 'echo "it''s $0" > /root/list', two words]
- id -un > /root/who
hostname: renamed
packages: [coreutils, no-such-package]
ntp: {enabled: true}
snap: {commands: [x]}
""",
        )
        script = """
            cat /etc/app/key /root/list /root/who /var/lib/boots; hostname; stat -c %a /etc/app/key
            id ada; stat -c %U /etc/app/late; cat ~ada/.ssh/authorized_keys ~hpcadmin/.ssh/authorized_keys
            ls /root/wrong
        """
        done = await cloud.run(vm, script)
        assert done.output.splitlines()[:5] == ["hello againit's two words", "root", "booted", "renamed", "600"]
        assert "uid=1500(ada)" in done.output
        assert "(crew)" in done.output
        assert done.output.splitlines()[6:] == ["hpcadmin", "ssh-ed25519 AAAAada ada", "ssh-ed25519 AAAAtest somebody"]
        assert "/root/wrong" in done.error

        console = cloud.console(vm)
        assert "package no-such-package cannot be installed" in console
        assert "coreutils" not in console
        assert "ntp has no effect in a guest" in console
        assert "snap is not carried out in a guest" in console
        assert "login:" in console
        result = await cloud.output(vm, "cat /run/cloud-init/result.json; cloud-init status; true")
        assert "no-such-package" in result
        assert "status: error" in result

    async def test_once_per_instance_and_every_boot_are_told_apart(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one", "#cloud-config\nbootcmd: [echo b >> /etc/count]\nruncmd: [echo r >> /etc/count]\n")
        await cloud.act(vm, "restart")
        await cloud.up(vm)
        assert (await cloud.output(vm, "cat /etc/count")).split() == ["b", "r", "b"]
        assert (await cloud.output(vm, "cloud-init status")).strip() == "status: done"

    async def test_parts_scripts_and_compression(self, cloud: Cloud) -> None:
        parts = MIMEMultipart()
        for kind, text in (
            ("cloud-config", "#cloud-config\nruncmd: [echo first >> /root/order]\n"),
            ("cloud-config", f"#cloud-config\nmerge_how: '{APPENDING}'\nruncmd: [echo second >> /root/order]\n"),
            ("x-shellscript", '#!/bin/bash\necho "script $(id -u)" >> /root/order\n'),
        ):  # fmt: skip
            parts.attach(MIMEText(text, kind))
        vm = await cloud.vm("one", gzip.compress(parts.as_bytes()))
        assert (await cloud.output(vm, "cat /root/order")).splitlines() == ["first", "second", "script 0"]

    async def test_a_failing_script_is_an_error_and_the_boot_goes_on(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one", "#!/bin/sh\necho to the log\nexit 3\n")
        assert (await cloud.run(vm, "cloud-init status")).exit_code == 1
        assert "to the log" in await cloud.output(vm, "cat /var/log/cloud-init-output.log")
        assert "Failed running" in cloud.console(vm)
        assert "login:" in cloud.console(vm)


class TestScripts:
    async def test_streams_exit_code_arguments_and_user(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one")
        done = await cloud.run(
            vm, 'echo "$1-$2"; whoami; echo wrong >&2; exit 7', arguments=("a b", "c"), user="hpcadmin"
        )
        assert (done.exit_code, done.output, done.error) == (7, "a b-c\nhpcadmin\n", "wrong\n")

    async def test_only_the_end_of_long_output_is_shown(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one")
        done = await cloud.run(vm, "for i in $(seq 1 5000); do echo line $i; done")
        assert len(done.output) == 4096
        assert done.output.endswith("line 5000\n")

    async def test_a_script_that_takes_too_long_is_ended_with_all_it_started(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one")
        done = await cloud.run(vm, "echo begun; sleep 1234 & sleep 1234", timeout=0.5)
        assert done.exit_code != 0
        assert done.timed_out
        assert done.output == "begun\n"
        assert "ended after 0.5 seconds" in done.error
        assert (await cloud.run(vm, "pgrep -f 'sleep 1234'")).exit_code == 1

    async def test_of_an_unknown_user_or_without_a_guest_there_is_an_error(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one")
        assert "there is no user nobody-knows" in (await cloud.run(vm, "true", user="nobody-knows")).error
        await cloud.act(vm, "powerOff")
        await until(lambda: not cloud.guests.is_running(vm))
        done = await cloud.run(vm, "true")
        assert done.exit_code != 0
        assert "not running" in done.error

    async def test_a_run_command_of_azure_is_run_inside(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one")
        command = f"{vm.id}/runCommands/hello"
        source = {"script": 'echo "$1 from $(hostname)"; echo trouble >&2; exit 3'}
        await cloud.put(command, {"location": "westeurope", "properties": {
            "source": source, "parameters": [{"name": "", "value": "hello"}], "runAsUser": "hpcadmin",
        }})  # fmt: skip
        for _ in range(200):
            cloud.advance(5)
            if cloud.get(command).state != "Creating":
                break
            await asyncio.sleep(0.05)
        query = {"api-version": "2025-04-01", "$expand": "instanceView"}
        headers = {"Authorization": "Bearer opaque"}
        async with cloud.session.get(f"{cloud.emulator.url}{command}", params=query, headers=headers) as response:
            view = (await response.json())["properties"]["instanceView"]
        assert (view["executionState"], view["exitCode"]) == ("Failed", 3)
        assert (view["output"], view["error"]) == ("hello from one\n", "trouble\n")

    async def test_in_a_windows_vm_nothing_runs(self, cloud: Cloud) -> None:
        body = {"properties": {"storageProfile": {"osDisk": {"osType": "Windows"}}}}
        vm = Resource(id=f"{GROUP}/providers/Microsoft.Compute/virtualMachines/w", type="", body=body)
        cloud.guests.start(vm)
        assert (await cloud.run(vm, "exit 1")).exit_code == 0
        assert not cloud.guests.is_running(vm)


class TestIsolation:
    async def test_a_guest_sees_neither_the_host_nor_its_secrets(self, cloud: Cloud, tmp_path: Path) -> None:
        vm = await cloud.vm("one")
        seen = await cloud.output(vm, f"""
            ls {tmp_path} >/dev/null 2>&1 && echo the state is seen
            cat /etc/machine-id; ls /home /root; ps -e -o args=; cat /proc/1/comm
            echo 1 > /proc/sys/kernel/sysrq || echo read-only; grep -c '[$]' /etc/shadow; true""")  # fmt: skip
        assert "the state is seen" not in seen
        assert "read-only" in seen
        assert Path("/etc/machine-id").exists() is False or Path("/etc/machine-id").read_text().strip() not in seen
        assert "pytest" not in seen
        assert seen.splitlines()[-1] == "0"

    async def test_what_it_does_to_usr_is_its_own(self, cloud: Cloud) -> None:
        one, two = await cloud.vm("one"), await cloud.vm("two")
        await cloud.output(
            one, "echo '#!/bin/sh\necho mine' > /usr/bin/guest-tool; chmod +x /usr/bin/guest-tool; rm /usr/bin/diff"
        )
        assert await cloud.output(one, "guest-tool; ls /usr/bin/diff 2>/dev/null; true") == "mine\n"
        assert (await cloud.run(two, "guest-tool")).exit_code == 127
        assert not Path("/usr/bin/guest-tool").exists()
        assert Path("/usr/bin/diff").exists()

    async def test_users_of_a_guest_may_do_what_users_may(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one")
        assert (await cloud.run(vm, "systemctl stop x", user="hpcadmin")).error == "Failed to stop: Access denied\n"
        assert (await cloud.run(vm, "poweroff", user="hpcadmin")).exit_code != 0
        assert (await cloud.run(vm, "touch /etc/x", user="hpcadmin")).exit_code != 0
        assert await cloud.output(vm, "systemctl is-system-running", user="hpcadmin") == "running\n"


ANSWERS = " for i in $(seq 100); do curl -sf http://127.0.0.1:{port}/ -o /dev/null && exit 0; sleep 0.05; done; exit 1"


class TestNetwork:
    async def test_guests_find_each_other_at_their_private_addresses(self, cloud: Cloud) -> None:
        one, two = await cloud.vm("one"), await cloud.vm("two")
        assert "10.40.0.4/24" in await cloud.output(one, "ip -o -4 addr show eth0")
        await cloud.output(
            two, "nohup python3 -m http.server 80 --bind 0.0.0.0 -d /etc >/tmp/log 2>&1 &" + ANSWERS.format(port=80)
        )
        await until_output(cloud, one, "getent hosts two", "10.40.0.5")
        assert await cloud.output(one, "curl -s http://two/hostname") == "two\n"
        # The server saw the client's own address, and both could have bound the same port.
        assert "10.40.0.4" in await cloud.output(two, "cat /tmp/log")

    async def test_many_boot_at_the_same_time(self, cloud: Cloud) -> None:
        vms = [await cloud.create(f"vm-{number}") for number in range(8)]
        await asyncio.gather(*(cloud.up(vm) for vm in vms))
        await until_output(cloud, vms[0], "curl -s http://169.254.169.254/emulator/health", "ok")
        await until_output(cloud, vms[7], "getent hosts vm-0", "10.40.0.4")

    async def test_virtual_networks_are_apart_even_with_the_same_addresses(self, cloud: Cloud) -> None:
        one = await cloud.vm("one")
        other = await cloud.vm("other", network=f"{NETWORK}-other")
        assert "10.40.0.4/24" in await cloud.output(other, "ip -o -4 addr show eth0")
        assert (await cloud.run(one, "getent hosts other")).exit_code != 0
        assert (await cloud.run(one, "ping -c1 -W1 10.40.0.5 || curl -m1 http://10.40.0.5")).exit_code != 0

    async def test_private_zones_name_guests(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one")
        zone = f"{GROUP}/providers/Microsoft.Network/privateDnsZones/hpc.example"
        await cloud.put(zone, {"location": "global"}, version="2024-06-01")
        link = {"location": "global", "properties": {"virtualNetwork": {"id": NETWORK}, "registrationEnabled": True}}
        await cloud.put(f"{zone}/virtualNetworkLinks/net", link, version="2024-06-01")
        record = {"properties": {"ttl": 60, "aRecords": [{"ipv4Address": "10.40.0.77"}]}}
        await cloud.put(f"{zone}/A/license", record, version="2024-06-01")
        await until_output(cloud, vm, "getent hosts license.hpc.example", "10.40.0.77")
        await until_output(cloud, vm, "getent hosts one.hpc.example", "10.40.0.4")

    async def test_lines_of_the_guests_own_stay_in_its_hosts_file(self, cloud: Cloud) -> None:
        one = await cloud.vm("one", "#cloud-config\nruncmd: ['echo 192.0.2.1 elsewhere >> /etc/hosts']\n")
        await cloud.vm("two")
        await until_output(cloud, one, "getent hosts two", "10.40.0.5")
        assert "192.0.2.1" in await cloud.output(one, "getent hosts elsewhere")

    async def test_programs_of_this_machine_reach_guests_by_the_proxy(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one")
        server = "nohup python3 -m http.server 8080 -d /etc >/tmp/log 2>&1 &"
        await cloud.output(vm, server + ANSWERS.format(port=8080))
        proxy = f"http://127.0.0.1:{cloud.guests.proxy_port}"
        for host in ("10.40.0.4", "one", "one.internal.cloudapp.net"):
            async with cloud.session.get(f"http://{host}:8080/hostname", proxy=proxy) as response:
                assert (response.status, await response.text()) == (200, "one\n")
        async with cloud.session.get("http://10.40.0.99:8080/", proxy=proxy) as response:
            assert response.status == 502
            assert "no guest has the name or address 10.40.0.99" in await response.text()
        async with cloud.session.get("http://one:9/", proxy=proxy) as response:
            assert response.status == 502
        reader, writer = await asyncio.open_connection("127.0.0.1", cloud.guests.proxy_port)
        writer.write(b"CONNECT 10.40.0.4:8080 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"
        writer.write(b"GET /hostname HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(b"one\n")
        writer.close()
        await writer.wait_closed()
        reader, writer = await asyncio.open_connection("127.0.0.1", cloud.guests.proxy_port)
        writer.write(b"nonsense\r\n\r\n")
        assert b"400 Bad Request" in await reader.read()
        writer.close()
        await writer.wait_closed()


class TestMetadata:
    async def test_a_guest_is_told_what_it_is_and_is_nobody_else(self, cloud: Cloud) -> None:
        one, two = await cloud.vm("one"), await cloud.vm("two")
        path = "metadata/instance/compute/name?api-version=2021-02-01&format=text"
        ask = f"curl -s -H Metadata:true 'http://169.254.169.254/{path}'"
        assert await cloud.output(one, ask) == "one"
        assert await cloud.output(two, ask) == "two"
        assert await cloud.output(two, f"{ask} -H 'X-Emulated-VM: {one.id}'") == "two"
        events = ask.replace("instance/compute/name", "scheduledevents").replace("&format=text", "")
        assert '"Events": []' in await cloud.output(one, events)
        # The emulator is there under its own address, too, and port 80 is left to the guest.
        assert "ok" in await cloud.output(one, f"curl -s {cloud.emulator.url}/emulator/health")

    async def test_over_tls_a_guest_trusts_the_emulator_and_finds_its_vaults(self, tmp_path: Path) -> None:
        emulator = Emulator(speed=0, seed=1, guests=tmp_path / "guests", tls=True)
        async with emulator, aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
            cloud = Cloud(emulator, session)
            if cloud.guests.reason is not None:
                pytest.skip(cloud.guests.reason)
            await prepare(cloud)
            vault = f"{GROUP}/providers/Microsoft.KeyVault/vaults/hpc-vault"
            await cloud.put(vault, {"location": "westeurope", "properties": {
                "tenantId": emulator.tenant, "sku": {"family": "A", "name": "standard"},
                "enableRbacAuthorization": True,
            }}, version="2023-07-01")  # fmt: skip
            vm = await cloud.vm("one")
            uri = cloud.get(vault).properties["vaultUri"]
            await until_output(cloud, vm, "cat /etc/hosts", "hpc-vault.vault.localhost")
            python = f"import urllib.request as r; r.urlopen('{uri}secrets/x?api-version=7.4')"
            assert "HTTP Error 401" in (await cloud.run(vm, f'python3 -c "{python}"')).error
            token = "curl -s -H Metadata:true 'http://169.254.169.254/metadata/identity/oauth2/token?resource=x'"
            assert "Identity not found" in await cloud.output(vm, token)  # this VM has none


async def until_output(cloud: Cloud, vm: object, script: str, expected: str) -> None:
    """Run until the output has something: names spread with a delay."""
    for _ in range(60):
        done = await cloud.run(vm, script)  # type: ignore[arg-type]
        if expected in done.output:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"{script}: {expected} did not come: {done.output}{done.error}")


class TestDisks:
    async def test_a_data_disk_is_formatted_mounted_and_taken_to_another_vm(self, cloud: Cloud) -> None:
        disk = f"{GROUP}/providers/Microsoft.Compute/disks/state"
        properties = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 32}
        await cloud.put(disk, {"location": "westeurope", "sku": {"name": "Premium_LRS"}, "properties": properties})
        attached = [{"lun": 0, "createOption": "Attach", "managedDisk": {"id": disk}}]
        vm = await cloud.vm("one", disks=attached)
        script = """set -e
            device=$(readlink -f /dev/disk/azure/scsi1/lun0); [ -b "$device" ]; echo $device
            blkid -p $device && exit 1
            mkfs.ext4 -q -L state $device; blkid -p -s UUID -o value $device | tee /root/uuid
            echo "UUID=$(cat /root/uuid) /state ext4 defaults,nofail 0 2" >> /etc/fstab; mkdir /state; mount /state
            mountpoint -q /state; echo kept > /state/file; findmnt -n -o SOURCE,FSTYPE /state; lsblk"""  # fmt: skip
        lines = (await cloud.output(vm, script)).splitlines()
        assert lines[0] == "/dev/sdc"
        assert lines[2] == f"UUID={lines[1]} ext4"
        assert "sdc disk /state" in lines

        await cloud.act(vm, "restart")
        await cloud.up(vm)
        assert await cloud.output(vm, "cat /state/file") == "kept\n"

        await cloud.act(vm, "delete")
        await until(lambda: not cloud.guests.is_running(vm))
        again = await cloud.vm("two", disks=attached)
        found = await cloud.output(
            again, "mkdir /state; mount -L state /state; cat /state/file; blkid -o value -s UUID /dev/sdc"
        )
        assert found.splitlines() == ["kept", lines[1]]

    async def test_a_disk_is_attached_while_the_vm_runs(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one")
        assert (await cloud.run(vm, "[ -b /dev/sdd ]")).exit_code == 1
        body = {"location": vm.location, "properties": {"storageProfile": {"dataDisks": [
            {"lun": 1, "createOption": "Empty", "diskSizeGB": 8}]}}}  # fmt: skip
        headers = {"Authorization": "Bearer opaque"}
        async with cloud.session.patch(f"{cloud.emulator.url}{vm.id}", json=body, params={"api-version": "2025-04-01"},
                                       headers=headers) as response:  # fmt: skip
            assert response.status < 300, await response.text()
        cloud.advance()
        await until_output(cloud, vm, "[ -b /dev/sdd ] && readlink -f /dev/disk/azure/scsi1/lun1", "/dev/sdd")

    async def test_fs_setup_and_mounts_of_the_user_data(self, cloud: Cloud) -> None:
        vm = await cloud.vm(
            "one",
            """#cloud-config
fs_setup: [{device: /dev/disk/azure/scsi1/lun0, filesystem: xfs, label: scratch}]
mounts: [[LABEL=scratch, /scratch, xfs, 'defaults,nofail']]
""",
            disks=[{"lun": 0, "createOption": "Empty", "diskSizeGB": 8}],
        )
        assert (
            await cloud.output(vm, "mountpoint /scratch; grep -c scratch /etc/fstab") == "/scratch is a mountpoint\n1\n"
        )

    async def test_what_survives_what(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one", size="Standard_D4ds_v5")
        write = "for d in /etc /var/lib /home /root /mnt /tmp /run /usr/local; do echo x > $d/trace; done"
        read = "ls /etc/trace /var/lib/trace /home/trace /root/trace /mnt/trace /tmp/trace /run/trace /usr/local/trace"
        await cloud.output(vm, write)
        disk = ["/etc/trace", "/home/trace", "/root/trace", "/usr/local/trace", "/var/lib/trace"]

        await cloud.act(vm, "restart")
        assert sorted((await cloud.run(vm, read)).output.split()) == sorted([*disk, "/mnt/trace"])
        await cloud.act(vm, "powerOff")
        await cloud.act(vm, "start")
        assert "/mnt/trace" in (await cloud.run(vm, read)).output
        await cloud.act(vm, "deallocate")
        await cloud.act(vm, "start")
        assert sorted((await cloud.run(vm, read)).output.split()) == disk
        await cloud.act(vm, "reimage")
        assert (await cloud.run(vm, read)).output == ""


class TestStorageTiers:
    async def test_guests_share_a_netapp_volume(self, cloud: Cloud) -> None:
        account = f"{GROUP}/providers/Microsoft.NetApp/netAppAccounts/files"
        await cloud.put(account, {"location": "westeurope"}, version="2025-06-01")
        pool = {"location": "westeurope", "properties": {"size": 4 * 2**40, "serviceLevel": "Premium"}}
        await cloud.put(f"{account}/capacityPools/pool", pool, version="2025-06-01")
        volume = f"{account}/capacityPools/pool/volumes/home"
        await cloud.put(volume, {"location": "westeurope", "properties": {
            "creationToken": "home", "usageThreshold": 100 * 2**30, "subnetId": f"{NETWORK}/subnets/files",
            "protocolTypes": ["NFSv3"], "serviceLevel": "Premium", "unixPermissions": "0777",
        }}, version="2025-06-01")  # fmt: skip
        address = cloud.get(volume).properties["mountTargets"][0]["ipAddress"]
        source = f"{address}:/home"
        one = await cloud.vm("one", f"#cloud-config\nmounts: [['{source}', /shared, nfs, 'rw,hard', '0', '0']]\n")
        two = await cloud.vm("two")
        await cloud.output(one, "mkdir /shared/project; echo data > /shared/project/file")
        script = (
            f"mkdir /data; mount -t nfs -o ro {source}/project /data; cat /data/file; findmnt -no SOURCE,FSTYPE /data"
        )
        assert (await cloud.output(two, script)).splitlines() == ["data", f"{source}/project nfs"]
        assert "Read-only" in (await cloud.run(two, "touch /data/x")).error
        assert await cloud.output(two, "umount /data; ls /data") == ""

        wrong = await cloud.run(two, f"mount -t nfs {address}:/nowhere /data")
        assert (wrong.exit_code, "access denied by server" in wrong.error) == (32, True)
        assert "timed out" in (await cloud.run(two, "mount -t nfs 10.40.9.9:/home /data")).error
        other = await cloud.vm("other", network=f"{NETWORK}-other")
        assert "timed out" in (await cloud.run(other, f"mkdir /data; mount -t nfs {source} /data")).error

    async def test_what_is_no_tier_is_the_real_commands(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one")
        await cloud.output(vm, "mkdir /b; mount --bind /etc /b; mount -t tmpfs none /srv")
        script = "ls /b/hostname; findmnt -n -o FSTYPE /srv; mount | grep srv"
        lines = (await cloud.output(vm, script)).splitlines()
        assert lines[:2] == ["/b/hostname", "tmpfs"]
        assert lines[2].startswith("none on /srv type tmpfs")


UNITS = """#cloud-config
write_files:
- path: /etc/systemd/system/ticker.service
  content: |
    [Unit]
    Description=A ticker
    After=first.service
    Wants=first.service
    [Service]
    Environment=WORD=tick "OTHER=two words"
    EnvironmentFile=-/etc/default/none
    ExecStartPre=/bin/sh -c 'echo pre of %n on %H'
    ExecStart=/bin/sh -c 'trap "echo reloaded" HUP; echo $WORD; echo "$OTHER"; while :; do sleep 0.05; done'
    ExecReload=/bin/kill -HUP $MAINPID
    ExecStop=/bin/sh -c 'echo stopping $MAINPID'
    User=hpcadmin
    WorkingDirectory=/tmp
    RuntimeDirectory=ticker
    Restart=on-failure
    RestartSec=50ms
    [Install]
    WantedBy=multi-user.target
- path: /etc/systemd/system/first.service
  content: |
    [Service]
    Type=oneshot
    RemainAfterExit=yes
    ExecStart=/bin/sh -c 'sleep 0.2; echo first'
- path: /etc/systemd/system/daemon@.service
  content: |
    [Service]
    Type=forking
    PIDFile=/run/daemon-%i.pid
    ExecStart=/bin/sh -c 'sleep 999 & echo $! > /run/daemon-%i.pid'
- path: /etc/systemd/system/notifier.service
  content: |
    [Service]
    Type=notify
    ExecStart=/usr/bin/python3 /usr/local/bin/notifier
- path: /usr/local/bin/notifier
  content: |
    import os, socket, time
    time.sleep(0.2)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.sendto(b"READY=1\\nSTATUS=well", os.environ["NOTIFY_SOCKET"])
    time.sleep(999)
- path: /etc/systemd/system/broken.service
  content: |
    [Service]
    ExecStart=/bin/false
    Restart=always
    RestartSec=10ms
- path: /etc/systemd/system/often.timer
  content: |
    [Timer]
    OnActiveSec=100ms
    OnUnitActiveSec=100ms
    [Install]
    WantedBy=timers.target
- path: /etc/systemd/system/often.service
  content: |
    [Service]
    Type=oneshot
    ExecStart=/bin/sh -c 'echo x >> /root/often'
"""


class TestUnits:
    async def test_a_service_from_enabling_to_its_restart(self, cloud: Cloud) -> None:
        vm = await cloud.vm(
            "one", f"{UNITS}runcmd: [systemctl daemon-reload, systemctl enable --now ticker often.timer]\n"
        )
        assert (await cloud.output(vm, "systemctl is-active ticker first; systemctl is-enabled ticker")).split() == [
            "active", "active", "enabled"
        ]  # fmt: skip
        log = await cloud.output(vm, "journalctl -u ticker -o cat; journalctl -u first -o cat")
        assert "pre of ticker.service on one" in log
        assert "tick\ntwo words" in log
        assert await cloud.output(
            vm, "ps -o user= -p $(systemctl show -p MainPID --value ticker); ls -d /run/ticker"
        ) == ("hpcadmin\n/run/ticker\n")
        await cloud.output(vm, "systemctl reload ticker")
        await until_output(cloud, vm, "journalctl -u ticker -o cat", "reloaded")

        before = await cloud.output(vm, "systemctl show -p MainPID --value ticker")
        await cloud.output(vm, f"kill -9 {before}")
        await until_output(
            cloud, vm, "systemctl show -p NRestarts --value ticker; systemctl is-active ticker", "1\nactive"
        )
        assert await cloud.output(vm, "systemctl show -p MainPID --value ticker") != before

        await cloud.act(vm, "restart")
        await cloud.up(vm)
        assert await cloud.output(vm, "systemctl is-active ticker often.timer") == "active\nactive\n"
        await until_output(cloud, vm, "[ $(wc -l < /root/often) -ge 3 ] && echo enough", "enough")

        stopped = await cloud.run(
            vm, "systemctl stop ticker; systemctl is-active ticker; systemctl status ticker; ls /run/ticker"
        )
        assert stopped.output.startswith("inactive\n")
        assert "stopping" in stopped.output
        assert "No such file" in stopped.error
        await cloud.output(vm, "systemctl disable ticker; ! systemctl is-enabled -q ticker")

    async def test_the_kinds_of_service(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one", UNITS)
        script = (
            "systemctl start daemon@blue notifier; systemctl show -p MainPID --value daemon@blue; cat /run/daemon-*.pid"
        )
        first, second = (await cloud.output(vm, script)).split()
        assert first == second != "0"
        assert "well" in await cloud.output(vm, "systemctl status notifier")
        await cloud.output(vm, f"systemctl stop daemon@blue; ! kill -0 {first}")

        assert (await cloud.run(vm, "systemctl start broken")).exit_code == 0
        await until_output(cloud, vm, "systemctl show -p Result --value broken", "start-limit-hit")
        assert (await cloud.run(vm, "systemctl is-failed broken")).output == "failed\n"
        assert (await cloud.run(vm, "systemctl is-system-running")).output == "degraded\n"

        missing = await cloud.run(vm, "systemctl start nothing")
        assert (missing.exit_code, missing.error) == (
            5,
            "Failed to start nothing.service: Unit nothing.service not found.\n",
        )
        packaged = "mv /etc/systemd/system/often.timer /lib/systemd/system; systemctl daemon-reload"
        masked = await cloud.run(vm, f"{packaged}; systemctl mask often.timer; systemctl start often.timer")
        assert masked.exit_code == 1
        assert "masked" in masked.error

    async def test_packaged_units_are_those_of_the_host(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one")
        units = await cloud.output(
            vm, "systemctl list-unit-files --type=service | wc -l; systemctl list-units --no-legend"
        )
        assert int(units.split()[0]) > 5
        assert units.split()[1:] == []  # nothing that the host has enabled runs in a guest


class TestPower:
    async def test_reboot_and_poweroff_from_within(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one", "#cloud-config\nbootcmd: [echo b >> /etc/count]\n")
        cloud.guests.run(vm, "reboot")
        await until_output(cloud, vm, "cat /etc/count", "b\nb\n")
        assert cloud.console(vm).count("Linux version") == 2
        cloud.guests.run(vm, "systemctl poweroff")
        await until(lambda: not cloud.guests.is_running(vm))
        await until(lambda: vm.internal["power"] == "stopped")
        assert "Power down" in cloud.console(vm)
        await cloud.act(vm, "start")
        assert (await cloud.output(vm, "cat /etc/count")).split() == ["b", "b", "b"]

    async def test_services_are_stopped_before_the_power_goes(self, cloud: Cloud) -> None:
        unit = "[Service]\\nExecStart=/bin/sleep 999\\nExecStop=/bin/sh -c 'echo orderly > /etc/end'\\n"
        vm = await cloud.vm("one", f'#!/bin/sh\nprintf "{unit}" > /etc/systemd/system/s.service\nsystemctl start s\n')
        await cloud.act(vm, "powerOff")
        await cloud.act(vm, "start")
        assert await cloud.output(vm, "cat /etc/end") == "orderly\n"

    async def test_a_deleted_vm_leaves_nothing(self, cloud: Cloud, tmp_path: Path) -> None:
        vm = await cloud.vm("one")
        assert len(list((tmp_path / "guests/disks").iterdir())) == 1
        await cloud.act(vm, "delete")
        await until(lambda: not list((tmp_path / "guests/machines").iterdir()))
        await until(lambda: not list((tmp_path / "guests/disks").iterdir()))
        assert not cloud.guests.is_running(vm)


class TestLife:
    async def test_guests_boot_again_with_the_emulator(self, start: Callable[[], Awaitable[Emulator]]) -> None:
        async with aiohttp.ClientSession() as session:
            emulator = await start()
            cloud = Cloud(emulator, session)
            await prepare(cloud)
            vm = await cloud.vm("one", "#cloud-config\nbootcmd: [echo b >> /etc/count]\n")
            off = await cloud.vm("off")
            await cloud.act(off, "powerOff")
            address = emulator.guests._address(cloud.guests._guests[next(iter(cloud.guests._guests))].machine.key)
            await emulator.stop()
            assert processes_of(emulator) == []

            emulator = await start()
            cloud = Cloud(emulator, session)
            vm = cloud.get(vm.id)
            assert (await cloud.output(vm, "cat /etc/count")).split() == ["b", "b"]
            assert cloud.guests.vm_of_address(address) is vm
            assert not cloud.guests.is_running(cloud.get(off.id))
            await emulator.stop()

    async def test_no_process_is_left_when_the_emulator_is_killed(self, tmp_path: Path) -> None:
        ready = tmp_path / "ready"
        command = [
            sys.executable, "-m", "azure_emulator.cli", "serve", "--speed", "1000", "--state", str(tmp_path / "state"),
            "--guests", str(tmp_path / "guests"), "--ready-file", str(ready),
        ]  # fmt: skip
        server = subprocess.Popen(command)  # noqa: ASYNC220 (it returns at once)
        try:
            await until(ready.exists)
            async with aiohttp.ClientSession() as session:
                cloud = Remote(server, session, ready)
                await cloud.boot_one()
            marked = [pid for pid in children_of(server.pid) if pid != server.pid]
            assert len(marked) >= 2
        finally:
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
        await until(lambda: not [pid for pid in marked if Path(f"/proc/{pid}").exists()], seconds=5)

    async def test_a_guest_that_is_killed_is_told_on_the_console(self, cloud: Cloud) -> None:
        vm = await cloud.vm("one")
        first = [pid for pid in children_of(os.getpid()) if comm(pid) == "init"]
        assert len(first) == 1
        os.kill(first[0], signal.SIGKILL)
        await until(lambda: not cloud.guests.is_running(vm))
        await until(lambda: "first process was killed" in cloud.console(vm))
        await cloud.act(vm, "restart")
        assert await cloud.output(vm, "echo back") == "back\n"

    async def test_without_its_keeper_no_guest_lives_and_vms_go_on_empty(
        self, cloud: Cloud, caplog: pytest.LogCaptureFixture
    ) -> None:
        vm = await cloud.vm("one")
        guests = [pid for pid in children_of(os.getpid()) if comm(pid) == "init"]
        assert cloud.guests._keeper is not None
        cloud.guests._keeper.kill()
        await until(lambda: not cloud.guests.is_running(vm))
        await until(lambda: not [pid for pid in guests if comm(pid) == "init"])
        await until(lambda: "the process that kept the guests is gone" in cloud.console(vm))
        assert "the process that kept the guests is gone" in caplog.text
        assert (await cloud.run(vm, "exit 1")).exit_code == 0

    async def test_two_emulators_do_not_share_a_directory(self, cloud: Cloud, tmp_path: Path) -> None:
        other = Emulator(speed=0, guests=tmp_path / "guests")
        async with other:
            assert other.guests is not None
            assert "another emulator has its guests in" in str(other.guests.reason)
            # Its VMs boot all the same, with nothing inside, and their consoles say why.
            async with aiohttp.ClientSession() as session:
                without = Cloud(other, session)
                await prepare(without)
                vm = await without.create("one")
                assert vm.internal["power"] == "running"
                assert "no guest, because another emulator" in without.console(vm)
                assert (await without.run(vm, "exit 1")).exit_code == 0


class TestShell:
    async def test_a_command_in_a_guest_from_the_command_line(self, cloud: Cloud, tmp_path: Path) -> None:
        await cloud.vm("one")
        code, text = await shell(tmp_path, "one", "--", "hostname; id -un; test -t 0 && echo a terminal; exit 3")
        assert (code, text.split("\r\n")) == (3, ["one", "root", "a terminal", ""])
        code, text = await shell(tmp_path, "one", "--user", "hpcadmin", typed="id -un\nexit 4\n")
        assert (code, "hpcadmin\r\n" in text) == (4, True)
        code, text = await shell(tmp_path, "nothing")
        assert code == 1
        assert 'there is no guest "nothing"' in text
        assert "there are: one" in text


async def shell(directory: Path, *words: str, typed: str = "") -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "azure_emulator.cli", "shell", "--guests", str(directory / "guests"), *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate(typed.encode())
    return process.returncode, out.decode()


class Remote:
    """An emulator in a process of its own, as far as a test needs it."""

    def __init__(self, server: subprocess.Popen[bytes], session: aiohttp.ClientSession, ready: Path) -> None:
        import json

        self.url = json.loads(ready.read_text())["url"]
        self.session = session
        self.server = server

    async def put(self, path: str, body: object) -> None:
        headers = {"Authorization": "Bearer opaque"}
        params = {"api-version": "2025-04-01"}
        async with self.session.put(f"{self.url}{path}", json=body, params=params, headers=headers) as response:
            assert response.status < 300, await response.text()
        for _ in range(100):
            async with self.session.get(f"{self.url}{path}", params=params, headers=headers) as response:
                if (await response.json())["properties"]["provisioningState"] == "Succeeded":
                    return
            await asyncio.sleep(0.05)

    async def boot_one(self) -> None:
        await self.put(GROUP, {"location": "westeurope"})
        subnets = [{"name": "nodes", "properties": {"addressPrefix": "10.40.0.0/24"}}]
        space = {"addressSpace": {"addressPrefixes": ["10.40.0.0/16"]}, "subnets": subnets}
        await self.put(NETWORK, {"location": "westeurope", "properties": space})
        nic = f"{GROUP}/providers/Microsoft.Network/networkInterfaces/nic"
        configuration = {"name": "c", "properties": {"subnet": {"id": f"{NETWORK}/subnets/nodes"}}}
        await self.put(nic, {"location": "westeurope", "properties": {"ipConfigurations": [configuration]}})
        image = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"}
        await self.put(f"{GROUP}/providers/Microsoft.Compute/virtualMachines/one", {
            "location": "westeurope", "properties": {
                "hardwareProfile": {"vmSize": "Standard_D4s_v5"},
                "storageProfile": {"imageReference": image, "osDisk": {"createOption": "FromImage"}},
                "osProfile": {"computerName": "one", "adminUsername": "a", "adminPassword": "Secret-1234567"},
                "networkProfile": {"networkInterfaces": [{"id": nic}]}}})  # fmt: skip
        await until(lambda: any(comm(pid) == "init" for pid in children_of(self.server.pid)))


def processes_of(emulator: Emulator) -> list[int]:
    assert emulator.guests is not None
    return [pid for pid in children_of(os.getpid()) if str(emulator.guests.directory.root) in command(pid)]


def children_of(pid: int) -> list[int]:
    """All descendants."""
    found, pending = [], [pid]
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(entry.name))
    while pending:
        children = parents.get(pending.pop(), [])
        found += children
        pending += children
    return found


def comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
