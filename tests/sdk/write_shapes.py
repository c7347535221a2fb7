"""Write or check operator/azure_emulator/shapes.json: the bodies that the installed azure-mgmt clients send.

Run as `python tests/sdk/write_shapes.py --write|--check`; `make generate` and `make lint` do.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from sdk_reading import Shapes, find

from azure_emulator.providers import PROVIDERS

FILE = Path(__file__).parents[2] / "operator" / "azure_emulator" / "shapes.json"
METHODS = ("PUT", "PATCH", "POST")


def served() -> set[str]:
    """Every type path that the emulator serves, in lower case, by the methods that have bodies."""
    found: set[str] = set()
    for provider in PROVIDERS:
        for kind in provider.types:
            found |= {
                f"PUT {kind.key}",
                f"PATCH {kind.key}",
                *(f"POST {kind.key}/{name}".lower() for name in kind.actions),
            }
        found |= {f"{method} {path}".lower() for method, path in provider.functions if method in METHODS}
    return {f"{entry.split(' ')[0].upper()} {entry.split(' ')[1].lower()}" for entry in found}


def generate() -> str:
    """The file's text."""
    shapes = Shapes()
    bodies: dict[str, str] = {}
    for entry in sorted(served()):
        operation = find(*entry.split(" "))
        if operation is not None and operation.model is not None:
            bodies[entry.lower()] = f"#{shapes.add(operation.package, operation.model)}"
    lines = [f"    {json.dumps(name)}: {json.dumps(shapes.definitions[name])}" for name in sorted(shapes.definitions)]
    text = ",\n".join(f"    {json.dumps(name)}: {json.dumps(kind)}" for name, kind in sorted(bodies.items()))
    return '{\n  "bodies": {\n' + text + '\n  },\n  "definitions": {\n' + ",\n".join(lines) + "\n  }\n}\n"


if __name__ == "__main__":
    text = generate()
    if "--write" in sys.argv:
        FILE.write_text(text)
    elif FILE.read_text() != text:
        sys.exit(f"{FILE.name} is not what the installed SDKs say: run `make generate`")
