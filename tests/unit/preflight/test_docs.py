"""docs/preflight.md tells of every check and every finding, and of no other."""

import ast
import re
from pathlib import Path

from hpc_operator import preflight
from hpc_operator.preflight import Check

DOCS = (Path(__file__).parents[3] / "docs" / "preflight.md").read_text()
MODULES = [path for path in Path(preflight.__file__).parent.glob("*.py") if path.name != "findings.py"]
REASON = re.compile(r"[A-Z]+[a-z]+([A-Z][a-z]+|To|In|For)+")


def reasons():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and REASON.fullmatch(node.value):
                yield node.value


def test_every_finding_is_told_of():
    rows = [line.split("|")[1] for line in DOCS.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(reasons()) - {"HPCEnvironment"}


def test_every_check_has_a_chapter():
    assert re.findall(r"^## (\w+)$", DOCS, re.MULTILINE) == [check.value for check in Check]
