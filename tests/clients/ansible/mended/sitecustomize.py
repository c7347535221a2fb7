"""Mends azure.azcollection 3.12, the newest for Python 3.11: it calls a function that azure-cli-core does not have.

So no cloud but Microsoft's own can be named (ansible-collections/azure issue 2157). This is what the collection does
from 3.16 on: it looks for the address among the clouds that ARM_CLOUD_METADATA_URL tells of.
"""

import runpy
import sys
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CLOUD = "azure.cli.core.cloud"


class Finder(MetaPathFinder):
    """Adds the missing function when that module is imported, which most programs never do."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != CLOUD:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_mend(module: Any) -> None:
            execute(module)
            module.get_cloud_from_metadata_endpoint = lambda url: next(
                cloud
                for cloud in module.KNOWN_CLOUDS
                if cloud.endpoints.resource_manager.rstrip("/") == url.rstrip("/")
            )

        spec.loader.exec_module = execute_and_mend
        return spec


sys.meta_path.insert(0, Finder())
# A process has one sitecustomize: this one brings the other along.
runpy.run_path(str(Path(__file__).parents[2] / "localhost" / "sitecustomize.py"))
