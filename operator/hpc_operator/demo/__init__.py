"""Shows the operator at work on this machine, as a process beside a real API server and an emulated Azure.

Looks at it only as a user would, with kubectl and HTTP; knows neither kopf nor an SDK.
"""

from __future__ import annotations

from hpc_operator.demo.runner import end, run

__all__ = ["end", "run"]
