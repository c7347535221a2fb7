"""How tests are spread over processes: by file, and what shares a local API server together."""

from __future__ import annotations

from pathlib import Path

import pytest

CLUSTER = Path(__file__).parent / "cluster"
APART = frozenset({"test_chart.py", "test_crd_rules.py", "test_crds.py", "test_examples.py", "test_local_cluster.py"})
"""What runs no operator; all that does has to be in one audit log for the test of its rights."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        group = str(item.path)
        if CLUSTER in item.path.parents:
            group = "cluster without operator" if item.path.name in APART else "cluster"
        item.add_marker(pytest.mark.xdist_group(group))
