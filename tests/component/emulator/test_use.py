"""The emulator as a tool: scenarios, snapshots, the admin commands and the report, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
import urllib.request
from typing import NamedTuple

import pytest

from azure_emulator import SUBSCRIPTION, Emulator, scenario
from azure_emulator.cli import main
from azure_emulator.documents import DocumentError

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/hub"
VNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/hub-vnet"
SCENARIO = """
    settings:
      serialisedWrites: failed
    quota:
      - {location: West Europe, name: standardHBv3Family, limit: 480}
    capacity:
      - {vmSize: Standard_HB120rs_v3, zone: "1", count: 2}
    resources:
      - id: resourceGroups/hub
        body: {location: westeurope, tags: {owner: network}}
      - id: resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/hub-vnet
        body:
          location: westeurope
          properties: {addressSpace: {addressPrefixes: [10.9.0.0/16]}}
    applications:
      - {displayName: pipeline, appId: 11111111-1111-1111-1111-111111111111, secret: s3cret}
    faults:
      - {type: Microsoft.Compute/virtualMachines, method: PUT, skip: 2, operation: {code: AllocationFailed}}
"""


@pytest.fixture
def file(tmp_path):
    def write(text, name="scenario.yaml"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text).lstrip())
        return path

    return write


def test_a_scenario_is_there_from_the_start(file):
    emulator = Emulator(speed=0)
    scenario.start(emulator, file(SCENARIO))
    assert emulator.store.settings["quota"] == {"westeurope/standardhbv3family": 480}
    assert emulator.store.settings["serialisedWrites"] == "failed"
    assert [resource.id for resource in emulator.store.resources.values()][:2] == [GROUP, VNET]
    assert emulator.store.get(VNET).state == "Succeeded"
    assert emulator.faults.all()[0].skip == 2


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("quota: [", 1, "this is no YAML"),
        ("settings:\n  page: 7\n  serialisedWrite: failed\n", 3, "did you mean serialisedWrites?"),
        ("quotas: []\n", 1, "there is no quotas here"),
        ("quota:\n- {location: westeurope, name: cores, limit: 1}\n- location: mars\n  name: cores\n  limit: 1\n", 3,
         "there is no region 'mars'"),
        ("quota:\n- location: westeurope\n  name: cores\n  limit: lots\n", 4, "Input should be a valid integer"),
        ("faults:\n- path: x\n", 2, "a fault needs an effect"),
        ("resources:\n- id: resourceGroups/x\n  body: {location: mars}\n", 2, "LocationNotAvailableForResourceType"),
        ("resources:\n- id: resourceGroups/x\n  body: {location: westeurope}\n- id: nonsense\n", 4, "no id of a"),
        ("- a\n", 1, "valid dictionary"),
    ],
)  # fmt: skip
def test_a_bad_scenario_is_refused_with_file_line_and_what_to_write(file, text, line, sentence):
    path = file(text)
    with pytest.raises(DocumentError) as caught:
        scenario.start(Emulator(speed=0), path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert sentence in str(caught.value)


async def test_a_snapshot_brings_everything_back(http, tmp_path):
    body = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
    path = "rg/Microsoft.Network/virtualNetworks/v"
    _, _, headers = await http.call("PUT", path, body)
    url = f"{http.emulator.url}/emulator/snapshot"
    async with http.session.get(url) as answer:
        content = await answer.read()
    elapsed = http.emulator.clock.elapsed
    http.advance(3600)
    assert (await http.call("DELETE", path))[0] == 202
    http.advance(3600)
    assert (await http.call("GET", path))[0] == 404
    async with http.session.put(url, data=content) as answer:
        assert answer.status == 200
    assert http.emulator.clock.elapsed == elapsed
    # The creation is where it was, and goes on.
    status, document, _ = await http.call("GET", path)
    assert status == 200, document
    assert document["properties"]["provisioningState"] == "Updating"
    http.advance(60)
    assert (await http.call("GET", headers["Azure-AsyncOperation"]))[1]["status"] == "Succeeded"
    async with http.session.put(url, data=b"nonsense") as answer:
        assert answer.status == 400
        assert (await answer.json())["error"].startswith("this is no snapshot of an emulator")


def test_a_restored_snapshot_survives_a_restart(tmp_path):
    one = Emulator(speed=0)
    one.engine.create(GROUP, {"location": "westeurope"})
    content = one.snapshot()
    other = Emulator(speed=0, state=tmp_path)
    other.engine.create(f"{GROUP}-other", {"location": "westeurope"})
    other.commit()
    other.restore(content)
    other.store.close()
    again = Emulator(state=tmp_path)
    assert [resource.id for resource in again.store.resources.values()] == [GROUP]
    again.store.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """`azure-emulator serve` as a process, and a function that runs other commands against it."""
    tmp_path = tmp_path_factory.mktemp("served")
    (tmp_path / "scenario.yaml").write_text(textwrap.dedent(SCENARIO))
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "azure_emulator.cli"]
    server = subprocess.Popen([
        *command, "serve", "--speed", "0", "--ready-file", str(ready), "--scenario", str(tmp_path / "scenario.yaml"),
        "--state", str(tmp_path / "state"),
    ], stdout=subprocess.DEVNULL)  # fmt: skip
    while not ready.exists():
        assert server.poll() is None
        time.sleep(0.02)
    url = json.loads(ready.read_text())["url"]

    yield url
    server.terminate()
    server.wait(10)


@pytest.fixture
def run(served, capsys):
    """Other commands against it, as the program would carry them out: status, output, errors."""

    def command(*arguments, at=served):
        more = ["--url", at] if arguments[0] in ("admin", "report") else []
        status = main([arguments[0], *more, *arguments[1:]])
        printed = capsys.readouterr()
        return Ran(status, printed.out, printed.err)

    return command


class Ran(NamedTuple):
    status: int
    output: str
    errors: str


def put(url, path, body):
    request = urllib.request.Request(
        f"{url}{path}?api-version=2024-01-01", json.dumps(body).encode(), method="PUT",
        headers={"Authorization": "Bearer opaque", "Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request) as response:
        return response.status


def test_commands_and_report(served, run, file, tmp_path):
    vnet = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
    subnet = {"properties": {"addressPrefix": "10.0.1.0/24"}}
    assert put(served, f"{GROUP}/providers/Microsoft.Network/virtualNetworks/one", vnet) == 201
    assert "InProgress" in run("admin", "operations").output
    assert "elapsedSeconds" in run("admin", "clock", "--advance", "30").output
    assert run("admin", "operations").output == ""
    assert put(served, f"{GROUP}/providers/Microsoft.Network/virtualNetworks/one/subnets/s", subnet) == 201
    run("admin", "clock", "--advance", "30")
    assert "Succeeded    " + VNET in run("admin", "resources").output
    assert "operation:" in run("admin", "faults").output
    assert run("admin", "quota", "westeurope", "cores", "10").status == 0
    assert run("admin", "capacity", "Standard_HB120rs_v3", "none", "--zone", "1").status == 0
    assert "page: 7" in run("admin", "settings", "page=7").output
    path = tmp_path / "snapshot"
    assert run("admin", "snapshot", str(path)).status == 0
    assert path.stat().st_mode & 0o077 == 0
    assert run("admin", "outside", "DELETE", VNET).status == 0
    assert run("admin", "restore", str(path)).status == 0
    assert VNET in run("admin", "resources").output
    added = run("admin", "apply", str(file("faults: [{path: x, hang: true}]\n", "more.yaml")))
    assert "faults: 1" in added.output
    report = run("report").output
    assert "Microsoft.Network/virtualNetworks/subnets" in report
    path_lines = report[report.index("Critical path") :]
    assert path_lines.index("virtualNetworks/one ") < path_lines.index("virtualNetworks/one/subnets/s")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("admin", "quota", "mars", "cores", "1"), "there is no region 'mars'"),
        (("admin", "settings", "pages=7"), "there is no setting 'pages'; did you mean page?"),
        (("admin", "settings", "page=many"), "page is 'many'; write a whole number."),
        (("admin", "settings", "page"), "write NAME=VALUE"),
        (("admin", "capacity", "x", "few"), 'write a whole number, or "none"'),
        (("admin", "vm", "crash", "/nonsense"), "there is no VM '/nonsense'"),
        (("admin", "apply", "/does/not/exist"), "/does/not/exist: No such file or directory"),
        (("report", "--state", "/does/not/exist"), "holds no state of an emulator"),
    ],
)
def test_a_wrong_command_is_answered_with_a_sentence(run, arguments, sentence):
    found = run(*arguments)
    assert found.status == 1
    assert sentence in found.errors
    assert "Traceback" not in found.errors


def test_where_no_emulator_answers_the_command_says_what_to_do(run):
    found = run("admin", "clock", at="http://127.0.0.1:9")
    assert found.status == 1
    assert "Start one with `azure-emulator serve`" in found.errors


def test_a_bad_scenario_ends_serve_with_its_sentence(file):
    path = file("quota: 7\n")
    command = [sys.executable, "-m", "azure_emulator.cli", "serve", "--scenario", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert found.returncode == 1
    assert f"{path}:1: quota: Input should be a valid list, not 7" in found.stderr
