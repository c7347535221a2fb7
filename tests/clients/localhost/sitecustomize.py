"""Lets every name below localhost mean this machine (RFC 6761), which the C library leaves to the system's settings.

The emulator serves a key vault at NAME.vault.localhost, for example; most desktops resolve that, small machines do not.
"""

import socket
from typing import Any

_ask = socket.getaddrinfo


def _getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:
    below = isinstance(host, str) and host.lower().endswith(".localhost")
    return _ask("localhost" if below else host, *rest, **named)


socket.getaddrinfo = _getaddrinfo
