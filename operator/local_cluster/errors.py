"""What goes wrong with the local cluster, in sentences for the person who started it.

Knows nothing of processes or files: the other modules raise these.
"""


class LocalClusterError(Exception):
    """The local cluster cannot do what was asked; the message says why and what to do."""


class BinaryError(LocalClusterError):
    """A program of the local cluster could neither be found nor downloaded nor built."""


class PortTakenError(LocalClusterError):
    """Somebody else took a port between our choosing and our using it: try with another one."""
