"""How tests are spread over processes: by file, and all that share the local API server in one."""

from __future__ import annotations

from pathlib import Path

import pytest

CLUSTER = Path(__file__).parent / "cluster"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        together = "cluster" if CLUSTER in item.path.parents else str(item.path)
        item.add_marker(pytest.mark.xdist_group(together))
