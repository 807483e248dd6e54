"""Make the URLs of the page. Ids are parameters, since run ids contain slashes."""

from __future__ import annotations

from urllib.parse import urlencode

from traction.history.views import Link


def link(path: str, **parameters: object) -> str:
    """Return a URL; parameters that are empty or `None` are left out.

    Example:
        >>> link("/execution", id="a b", run="")
        '/execution?id=a+b'
    """
    given = {name: str(value) for name, value in parameters.items() if value not in (None, "")}
    return f"{path}?{urlencode(given, errors='replace')}" if given else path


def link_to(execution: Link | None) -> str:
    """Return the URL of an execution; empty if there is none. Without a run id, it leads to the last run."""
    if execution is None or not execution.workflow_id:
        return ""
    return link("/execution", id=execution.workflow_id, run=execution.run_id)
