"""The help of `traction`: its commands in groups, as plain text."""

from __future__ import annotations

from typing import Any, Final

import typer.core

GROUPS: Final = {
    "Run": ("run", "start", "worker"),
    "Find and look": ("list", "describe", "why", "watch", "history", "debug", "state", "tasks", "types"),
    "Act": ("signal", "cancel", "terminate"),
    "Test": ("simulate", "explore", "graph", "replay", "check"),
    "Serve": ("ui", "serve"),
}
"""The commands of each group, in the order of `traction --help`."""

OTHERS: Final = "Other commands"
"""The group of commands of plugins that name none by `rich_help_panel`."""


def find_group(command: str) -> str | None:
    """Return the group of a command, `None` if it has none."""
    return next((group for group, commands in GROUPS.items() if command in commands), None)


class CommandGroup(typer.core.TyperGroup):
    """Lists the commands group by group. typer does so too, but only in boxes."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands of each group under its name."""
        shown = {name: command for name, command in self.commands.items() if not command.hidden}
        limit = formatter.width - 6 - max(map(len, shown), default=0)
        groups: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
        for name, command in shown.items():
            group = find_group(name) or getattr(command, "rich_help_panel", None) or OTHERS
            groups.setdefault(group, []).append((name, command.get_short_help_str(limit)))
        for group, rows in groups.items():
            if rows:
                with formatter.section(group):
                    formatter.write_dl(rows)
