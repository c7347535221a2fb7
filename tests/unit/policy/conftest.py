"""Environments that differ in their policy."""

import pytest

from hpc_operator.api import HPCEnvironment
from hpc_operator.api.policy import APPROVE_ANNOTATION


@pytest.fixture
def environment_with():
    def make(approve=None, **policy):
        metadata = {"name": "climate", "namespace": "hpc"}
        if approve is not None:
            metadata["annotations"] = {APPROVE_ANNOTATION: approve}
        spec = {
            "location": "westeurope",
            "network": {"addressSpace": ["10.40.0.0/20"]},
            "scheduler": {"slurm": {}},
            "policy": policy,
        }
        return HPCEnvironment.model_validate({"metadata": metadata, "spec": spec})

    return make
