"""An Azure Resource Manager server for one machine, good enough for the real SDKs.

Imports nothing of hpc_operator and nothing of the Azure SDK; what talks to it does so over HTTP.
"""

from azure_emulator.emulator import SUBSCRIPTION, TENANT, Emulator

__all__ = ["SUBSCRIPTION", "TENANT", "Emulator"]
