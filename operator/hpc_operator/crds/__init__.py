"""The CRDs in crds/ and the field reference in docs/reference/, generated from the models in api/.

`render`, `write` and `check` are for the CRDs; `reference` has the same three for the pages. Knows no cluster.
"""

from hpc_operator.crds.manifest import check, render, write
from hpc_operator.crds.structural import SchemaError

__all__ = ["SchemaError", "check", "render", "write"]
