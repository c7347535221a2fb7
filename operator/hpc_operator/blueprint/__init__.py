"""What Azure should hold: turns the specs of one environment into a graph of resources.

Pure functions: the same specs give the same graph. Knows neither the Azure SDK nor what Azure holds at present.
"""

from __future__ import annotations

from hpc_operator.blueprint.validation import Problem, find_problems
from hpc_operator.blueprint.vocabulary import Blueprint, Inputs, LoginNode, MountPoint

__all__ = ["Blueprint", "Inputs", "LoginNode", "MountPoint", "Problem", "build", "find_problems"]


def build(inputs: Inputs) -> Blueprint:
    """Return what Azure should hold for an environment."""
    raise NotImplementedError
