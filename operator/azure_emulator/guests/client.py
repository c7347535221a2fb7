"""Hands a command of a guest to its first process, prints the answer and ends with its exit status.

Stands in the place of systemctl, mount and the like. Runs on its own inside of a guest: standard library only.
"""

import json
import os
import socket
import sys
from pathlib import Path

SOCKET = "/run/azure-emulator/control/socket"


def main() -> int:
    """Ask, print, end."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(SOCKET)
    except OSError as error:
        print(f"{sys.argv[0]}: the guest's first process does not answer: {error}", file=sys.stderr)
        return 1
    request = {
        "do": "tool", "name": Path(sys.argv[0]).name, "arguments": sys.argv[1:], "directory": str(Path.cwd()),
        "terminal": sys.stdout.isatty(),
    }  # fmt: skip
    connection.sendall(json.dumps(request).encode() + b"\n")
    for line in connection.makefile("r"):
        answer = json.loads(line)
        if "out" in answer:
            sys.stdout.write(answer["out"])
            sys.stdout.flush()
        elif "error" in answer:
            sys.stderr.write(answer["error"])
        elif "execute" in answer:
            command = answer["execute"]
            os.execv(command, [command, *sys.argv[1:]])  # noqa: S606
        elif "exit" in answer:
            return int(answer["exit"])
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, BrokenPipeError):
        os._exit(130)
