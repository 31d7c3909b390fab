"""What a script of Braid may use beside Python itself: `from braid_guest import env, http`."""

from wit_world.imports import env as _env

from . import http  # noqa: F401
from .grants import must as _must


def env(name):
    """A value that is written in the deployment; None where there is none of this name."""
    _must("env", "`env`")
    return _env.get(name)
