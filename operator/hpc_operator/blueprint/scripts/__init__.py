"""The shell scripts that run on the machines, as texts.

Shell, because nothing else is certain to be on every image; whole files, so that shellcheck reads them.
"""

from importlib.resources import files


def script(name: str) -> str:
    """Return a script of this folder.

    Parameters
    ----------
    name
        File name without `.sh`.
    """
    return files(__name__).joinpath(f"{name}.sh").read_text(encoding="utf-8")
