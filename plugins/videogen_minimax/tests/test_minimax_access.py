"""The key and where it goes: regions, hosts that people write in every way, and what a refused key is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from minimax_bench import _served as _served, asked, client, vendor as vendor
from videogen_core import AuthenticationError, ConfigurationError, MissingCredentialsError
from videogen_core.testing import Fault, ServerThread
from videogen_minimax.access import access, base_url
from videogen_minimax.plugin import MinimaxProvider

KEY = {"MINIMAX_API_KEY": "k-0123456789"}


def test_a_key_alone_is_for_the_global_host() -> None:
    assert access(KEY, {}).url == "https://api.minimax.io"


def test_the_region_chooses_the_host() -> None:
    assert access({**KEY, "MINIMAX_REGION": "CN "}, {}).url == "https://api.minimaxi.com"
    assert access(KEY, {"region": "cn"}).url == "https://api.minimaxi.com"
    with pytest.raises(ConfigurationError, match="'mars' is none of global, cn"):
        access({**KEY, "MINIMAX_REGION": "mars"}, {})


def test_a_host_goes_before_a_region_and_settings_before_variables() -> None:
    environment = {**KEY, "MINIMAX_REGION": "cn", "MINIMAX_API_HOST": "https://api.minimax.cn"}
    assert access(environment, {}).url == "https://api.minimax.cn"
    assert access(environment, {"api_host": "proxy.example"}).url == "https://proxy.example"
    assert access(environment, {"api_key": "other-key-1"}).key == "other-key-1"


@pytest.mark.parametrize("end", ["", "/", "//", "/v1", "/v1/", "/v2", "/v2//"])
def test_what_people_paste_behind_the_root_is_cut_off(end: str) -> None:
    assert base_url(f" https://api.minimax.io{end} ") == "https://api.minimax.io"
    assert base_url(f"https://proxy.example:8443/minimax{end}") == "https://proxy.example:8443/minimax"


@pytest.mark.parametrize(
    "host",
    [
        "ftp://a.example",
        "https://",
        "https://u:p@a.example",
        "https://a.example?x=1",
        "https://a.example:x",
        "://",
        "https://[::1",
    ],
)
def test_what_is_no_root_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="is no address of an API"):
        base_url(host)


def test_a_key_does_not_travel_in_the_clear() -> None:
    with pytest.raises(ConfigurationError, match="in the clear"):
        base_url("http://api.minimax.io")
    assert base_url("http://127.0.0.1:8080/v1") == "http://127.0.0.1:8080"


def test_readiness_is_told_without_the_network() -> None:
    with pytest.raises(MissingCredentialsError, match="MINIMAX_API_KEY is not set"):
        MinimaxProvider().check_ready({}, {})
    MinimaxProvider().check_ready(KEY, {})
    assert KEY["MINIMAX_API_KEY"] not in repr(access(KEY, {}))


@pytest.mark.parametrize("key", ["k-ü123456789", "Bearer k-0123456789", "k-01234\n56789"])
def test_what_is_no_key_is_said_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="MINIMAX_API_KEY holds a blank or a character") as caught:
        access({"MINIMAX_API_KEY": key}, {})
    assert key not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_the_account_is_the_key_and_not_the_host() -> None:
    provider = MinimaxProvider()
    assert provider.account(KEY, {}) == provider.account({**KEY, "MINIMAX_REGION": "cn"}, {}) == "k-0123456789"


@pytest.mark.parametrize("end", ["/v1/", "/v2", "/"])
@pytest.mark.parametrize(("model", "path"), [("hailuo-2.3", "/v1/"), ("hailuo-3", "/v2/")])
def test_requests_go_to_each_version_once(
    vendor: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, model: str, path: str
) -> None:
    monkeypatch.setenv("MINIMAX_API_HOST", vendor.url + end)
    with client(tmp_path) as videogen:
        videogen.submit("A boat", model=model).refresh()
    assert all(call.count(path) == 1 and " /v" in call for call in asked(vendor))
    assert not any(call.count("/v1/") + call.count("/v2/") != 1 for call in asked(vendor))


@pytest.mark.parametrize(("region", "other"), [("global", "cn"), ("cn", "global")])
def test_a_refused_key_is_told_which_region_to_try(region: str, other: str) -> None:
    said = access({**KEY, "MINIMAX_REGION": region}, {}).advice
    assert f"({region})" in said
    assert f"MINIMAX_REGION={other}" in said


def test_a_refused_key_of_a_named_host_is_told_so(vendor: ServerThread, tmp_path: Path) -> None:
    vendor.inject(Fault("refusal", on="list", at="before", code="unauthorized"))
    with client(tmp_path) as videogen, pytest.raises(AuthenticationError, match="as MINIMAX_API_HOST says"):
        videogen.ping("minimax")


def test_ping_names_the_host_and_costs_nothing(vendor: ServerThread, tmp_path: Path) -> None:
    with client(tmp_path) as videogen:
        assert videogen.ping("minimax") == f"{vendor.url.removeprefix('http://')} takes the key"
    assert asked(vendor) == ["GET /v2/query/video_generation"]
