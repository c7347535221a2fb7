"""Scripts on a machine: asked for once, followed to the end, and what they wrote is returned as they wrote it."""

import json

import pytest

from hpc_operator.arm import AzureError

from .conftest import SUBSCRIPTION

MACHINE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/scheduler"
SENT = ("POST", f"{MACHINE}/runCommand")
FOLLOWED = "/subscriptions/x/providers/Microsoft.Compute/locations/westeurope/operations/1"


def told(output, error=""):
    message = f"Enable succeeded: \n[stdout]\n{output}\n[stderr]\n{error}"
    return {"value": [{"code": "ProvisioningState/succeeded", "level": "Info", "message": message}]}


async def test_what_a_script_wrote_is_returned(arm, client):
    arm.on(*SENT, 202, headers={"Location": "{url}" + FOLLOWED, "Retry-After": "0.01"})
    arm.on("GET", FOLLOWED, 202, headers={"Retry-After": "0.01"})
    arm.on("GET", FOLLOWED, 200, told("one\ntwo [stderr] three", "a warning"))
    assert await client.run_script(MACHINE, "echo one\necho two") == "one\ntwo [stderr] three"
    (_, _, _, content) = arm.requests[0]
    assert json.loads(content) == {"commandId": "RunShellScript", "script": ["echo one", "echo two"]}
    assert arm.asked == [f"POST {MACHINE}/runCommand", f"GET {FOLLOWED}", f"GET {FOLLOWED}"]


async def test_a_machine_that_runs_another_script_refuses(arm, client):
    error = {"code": "Conflict", "message": "Run command extension execution is in progress."}
    arm.on(*SENT, 409, {"error": error})
    with pytest.raises(AzureError, match="in progress"):
        await client.run_script(MACHINE, "true")


async def test_an_answer_without_output_is_no_answer(arm, client):
    arm.on(*SENT, 202, headers={"Location": "{url}" + FOLLOWED, "Retry-After": "0.01"})
    arm.on("GET", FOLLOWED, 200, {"value": []})
    with pytest.raises(AzureError, match="output"):
        await client.run_script(MACHINE, "true")
