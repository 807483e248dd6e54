"""The command line `traction`."""

from traction.extras import needed_by

with needed_by("the command line"):
    from traction.cli.app import COMMANDS, main, make_app

__all__ = ["COMMANDS", "main", "make_app"]
