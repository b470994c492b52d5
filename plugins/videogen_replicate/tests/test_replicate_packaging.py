"""What the distribution declares: a client that does not repeat creates, and pydantic where that needs it."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_what_is_required() -> None:
    needs = PROJECT["dependencies"]
    assert "replicate>=1.0.7,<2" in needs  # 2 repeats creates
    assert "pydantic>=2.13; python_version >= '3.14'" in needs  # below, `import replicate` fails there
    assert PROJECT["entry-points"]["videogen.plugins"] == {"replicate": "videogen_replicate.plugin"}


@pytest.mark.skipif(sys.version_info < (3, 14), reason="concerns Python 3.14")
def test_the_client_can_be_imported_on_python_3_14() -> None:
    import replicate.client

    assert replicate.client.Client
    assert tuple(map(int, version("pydantic").split(".")[:2])) >= (2, 13)


def test_the_client_has_what_the_plugin_uses() -> None:
    """A transport that is mounted goes past the client's retries; its async client is reached by a private name."""
    import httpx
    from replicate.client import Client, RetryTransport

    own = httpx.MockTransport(lambda request: httpx.Response(503))
    found = Client(api_token="r8_x", base_url="http://127.0.0.1:9", transport=own, mounts={"all://": own})._async_client
    assert isinstance(found._transport, RetryTransport)
    assert found._transport_for_url(httpx.URL("http://127.0.0.1:9/v1")) is own
