"""Let people run and see work from a terminal. `app` says how the rooms of this folder make one command."""

from traction.extras import needed_by

with needed_by("the command line"):
    from traction.cli.app import COMMANDS, main, make_app

__all__ = ["COMMANDS", "main", "make_app"]
