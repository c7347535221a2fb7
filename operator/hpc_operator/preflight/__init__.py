"""What would go wrong, found before the first write: quota, sizes, images, networks, names, registrations, rights.

Judges what `subscription` tells; a question that Azure does not answer holds nothing up. One module for each check.
"""

from __future__ import annotations

from hpc_operator.preflight.findings import Check, Finding
from hpc_operator.preflight.gather import Inspection, inspect
from hpc_operator.preflight.surroundings import Surroundings

__all__ = ["Check", "Finding", "Inspection", "Surroundings", "inspect"]
