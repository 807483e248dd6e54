"""Enter at the command line: `traction` and `python -m traction`.

Takes arguments; gives an exit code. What it needs besides the core comes with the extra `cli`.
"""

from __future__ import annotations

import sys

from traction.errors import MissingExtraError


def main() -> None:
    """Run a command, or print which extra to install.

    Raises:
        SystemExit: always. 0 if all went well, 1 if the work failed, 2 if the command was wrong.
    """
    try:
        from traction.cli import main
    except MissingExtraError as error:
        print(f"traction: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    main(sys.argv[1:])


if __name__ == "__main__":
    main()
