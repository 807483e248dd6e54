"""Enter at the command line: `traction` and `python -m traction`.

Takes arguments; gives an exit code. What it needs besides the core comes with the extra `cli`.
"""

from __future__ import annotations

import sys

WANTED = {"typer", "rich", "click"}


def main() -> None:
    """Run a command, or say what to install.

    Raises:
        SystemExit: always. 0 if all went well, 1 if the work failed, 2 if the command was wrong.
    """
    try:
        from traction.cli import main
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in WANTED:
            raise
        print(  # noqa: T201
            f"traction: the command line needs {error.name}, which is not installed. "
            'Install: pip install "traction[cli]"',
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    main(sys.argv[1:])


if __name__ == "__main__":
    main()
