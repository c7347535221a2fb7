"""Azure Resource Manager through the real SDK: the only room that imports azure.*.

Implements `hpc_operator.arm.Azure`. Knows nothing of custom resources, blueprints or the engine.
"""

from hpc_operator.azure.client import AzureClient

__all__ = ["AzureClient"]
