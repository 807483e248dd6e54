"""`swf:` is found by its plugin, which needs boto3 no sooner than it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from traction.errors import BackendError
from traction.plugins.loading import load_plugins, open_backend
from traction_swf.plugin import traction_backend, traction_schemes


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_importing_the_plugin_imports_no_boto3() -> None:
    code = "import sys, traction, traction_swf.plugin; print([m for m in sys.modules if m.startswith(('boto', 'url'))])"
    assert "boto" not in run(code)


def test_a_missing_boto3_is_reported_with_what_to_install() -> None:
    code = (
        "import sys; sys.modules['boto3'] = None\n"
        "from traction_swf.plugin import traction_backend\n"
        "try: traction_backend('swf://acme')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    assert run(code) == (
        'MissingExtraError the backend swf:// needs boto3, which is not installed: pip install "traction[swf]"'
    )


def test_the_installed_plugin_opens_the_url() -> None:
    backend = open_backend("swf://acme?endpoint=http://127.0.0.1:9&pool=3", load_plugins())
    assert (backend.domain, backend.url) == ("acme", "swf://acme?endpoint=http://127.0.0.1:9&pool=3")
    backend.close()


def test_urls_of_other_schemes_are_ignored() -> None:
    assert traction_backend("local:") is None
    assert traction_schemes() == ["swf:"]


def test_a_missing_region_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(BackendError, match=r"write swf://acme\?region=us-east-1"):
        traction_backend("swf://acme")


def test_a_missing_profile_is_reported() -> None:
    with pytest.raises(BackendError, match="nobody-has-this"):
        traction_backend("swf://acme?region=us-east-1&profile=nobody-has-this")
