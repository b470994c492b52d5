"""Which API serves a model, by what is set: the matrix of variables, and what is said when something is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from videogen_core import Client, ConfigurationError, MissingCredentialsError, ModelSpec, NoRouteError
from videogen_veo import access
from videogen_veo.access import Access, access_to
from videogen_veo.plugin import VeoProvider

KEY, OTHER = "the-gemini-key", "the-google-key"


@pytest.fixture(autouse=True)
def _not_on_google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(access, "_MACHINE", tmp_path / "no-such-file")


@pytest.fixture
def vertex(tmp_path: Path) -> dict[str, str]:
    """Variables of somebody who may use Vertex AI."""
    path = tmp_path / "account.json"
    path.write_text(json.dumps({"type": "service_account", "project_id": "of-the-file"}))
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(path), "HOME": str(tmp_path)}


@pytest.fixture
def nobody(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def offer(name: str) -> ModelSpec:
    (found,) = (spec for spec in VeoProvider().models() if spec.name == name)
    return found


def reach(name: str, environment: dict[str, str], **settings: Any) -> Access:
    return access_to(offer(name), environment, settings)


# --- keys


def test_google_api_key_goes_before_gemini_api_key(nobody: dict[str, str]) -> None:
    both = {**nobody, "GEMINI_API_KEY": KEY, "GOOGLE_API_KEY": OTHER}
    assert access.api_key(both, {}) == OTHER
    assert access.api_key({**both, "GOOGLE_API_KEY": ""}, {}) == KEY, "an empty one is none"
    assert access.api_key({**both, "GOOGLE_API_KEY": " "}, {}) == KEY, "nor is a blank one"
    assert access.api_key(both, {"api_key": "set"}) == "set"
    assert access.api_key(nobody, {}) is None


# --- case 24: what is set, and where a model is then


def test_a_model_on_both_apis_is_taken_where_the_key_is(nobody: dict[str, str], vertex: dict[str, str]) -> None:
    on_gemini = Access("gemini", "gemini-omni-1.1-flash")
    on_vertex = Access("vertex", "gemini-omni-1.1-flash-preview", "global")
    name = "gemini-omni-1.1-flash"
    assert reach(name, {**nobody, "GEMINI_API_KEY": KEY}) == on_gemini
    assert reach(name, vertex) == on_vertex
    assert reach(name, {**vertex, "GEMINI_API_KEY": KEY}) == on_gemini


@pytest.mark.parametrize(("said", "backend"), [("true", "vertex"), ("1", "vertex"), ("yes", "gemini"), ("0", "gemini")])
@pytest.mark.parametrize("variable", ["GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI"])
def test_the_sdks_own_variables_choose_the_api(vertex: dict[str, str], variable: str, said: str, backend: str) -> None:
    assert reach("gemini-omni-1.2-flash", {**vertex, "GEMINI_API_KEY": KEY, variable: said}).backend == backend


def test_an_outright_choice_goes_before_the_variables(vertex: dict[str, str]) -> None:
    environment = {**vertex, "GEMINI_API_KEY": KEY, "GOOGLE_GENAI_USE_VERTEXAI": "true"}
    assert reach("gemini-omni-1.2-flash", environment, backend="gemini").backend == "gemini"
    assert reach("gemini-omni-1.2-flash", {**environment, "GOOGLE_GENAI_USE_ENTERPRISE": "false"}).backend == "gemini"
    with pytest.raises(ConfigurationError, match="neither 'gemini' nor 'vertex'"):
        reach("gemini-omni-1.2-flash", environment, backend="mldev")


def test_an_api_without_credentials_or_without_the_model_is_passed_over(vertex: dict[str, str]) -> None:
    assert reach("gemini-omni-1.2-flash", vertex, backend="gemini").backend == "vertex"
    assert reach("veo-3.1", {**vertex, "GEMINI_API_KEY": KEY}, backend="gemini").backend == "vertex"


@pytest.mark.parametrize("asked", [None, "us-central1", "global", "europe-west4"])
def test_each_model_is_asked_for_where_it_is(vertex: dict[str, str], asked: str | None) -> None:
    environment = vertex if asked is None else {**vertex, "GOOGLE_CLOUD_LOCATION": asked}
    assert reach("veo-3.1-fast", environment).location == "us-central1"
    assert reach("gemini-omni-1.2-flash", environment).location == "global"


def test_the_project_is_the_one_set_else_that_of_the_credentials(vertex: dict[str, str]) -> None:
    assert access.project(vertex, {}) == "of-the-file"
    assert access.project({**vertex, "GOOGLE_CLOUD_PROJECT": "of-the-shell"}, {}) == "of-the-shell"
    assert access.project({**vertex, "GOOGLE_CLOUD_PROJECT": "of-the-shell"}, {"project": "set"}) == "set"


def test_what_gcloud_has_left_counts(nobody: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "gcloud"
    folder.mkdir(parents=True)
    (folder / "application_default_credentials.json").write_text('{"type": "authorized_user", "quota_project_id": "q"}')
    assert reach("veo-3.1", nobody).backend == "vertex"
    assert access.project(nobody, {}) == "q"


def test_googles_own_machines_need_nothing(nobody: dict[str, str], tmp_path: Path) -> None:
    assert reach("veo-3.1", {**nobody, "K_SERVICE": "mine"}).backend == "vertex"
    (tmp_path / "no-such-file").write_text("Google Compute Engine\n")
    assert reach("veo-3.1", nobody).backend == "vertex"


# --- cases 3 and 21: what is said


def test_nothing_set_names_every_variable(nobody: dict[str, str]) -> None:
    with pytest.raises(MissingCredentialsError, match=r"GEMINI_API_KEY for Gemini Omni.*GOOGLE_CLOUD_PROJECT"):
        VeoProvider().check_ready(nobody, {})


def test_veo_with_only_a_gemini_key_says_when_it_left_and_what_works(nobody: dict[str, str]) -> None:
    VeoProvider().check_ready({**nobody, "GEMINI_API_KEY": KEY}, {})
    with pytest.raises(MissingCredentialsError) as caught:
        reach("veo-3.1-fast", {**nobody, "GEMINI_API_KEY": KEY})
    for part in ("left the Gemini API on 2026-10-22", "GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS",
                 "gemini-omni-1.1-flash works"):  # fmt: skip
        assert part in caught.value.message
    assert KEY not in str(caught.value)


def test_each_missing_part_is_named_by_itself(nobody: dict[str, str], vertex: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(MissingCredentialsError, match="gcloud auth application-default login") as caught:
        reach("veo-3.1", {**nobody, "GOOGLE_CLOUD_PROJECT": "p"})
    assert "GOOGLE_CLOUD_PROJECT" not in caught.value.message
    (tmp_path / "account.json").write_text('{"type": "authorized_user"}')
    with pytest.raises(MissingCredentialsError, match="set GOOGLE_CLOUD_PROJECT") as caught:
        reach("veo-3.1", vertex)
    assert "gcloud" not in caught.value.message
    with pytest.raises(
        MissingCredentialsError, match=r"GOOGLE_APPLICATION_CREDENTIALS names .*nowhere, which is no file"
    ):
        reach("veo-3.1", {**nobody, "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere"})


def test_a_model_on_both_apis_says_what_either_needs(nobody: dict[str, str]) -> None:
    with pytest.raises(MissingCredentialsError, match="For the Gemini API set GEMINI_API_KEY; or for Vertex AI set"):
        reach("gemini-omni-1.2-flash", nobody)


def test_the_route_says_it_too_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, nobody: dict[str, str], tmp_path: Path
) -> None:
    for name in ("GOOGLE_API_KEY", "GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Client(home=tmp_path / "home") as videogen:
        with pytest.raises(NoRouteError, match="left the Gemini API on 2026-10-22"):
            videogen.generate("a boat", model="veo-3.1-fast")
        ready = {spec.name for spec in videogen.models(provider="veo", ready=True)}
        assert ready == {"gemini-omni-1.1-flash", "gemini-omni-1.2-flash"}
        assert (
            videogen.route("a boat", providers=["veo"], prefer="cheapest").chosen.spec.name == "gemini-omni-1.1-flash"
        )


def test_accounts_are_told_apart_by_project_and_key(vertex: dict[str, str], nobody: dict[str, str]) -> None:
    provider = VeoProvider()
    accounts = [
        provider.account(nobody, {}),
        provider.account({**nobody, "GEMINI_API_KEY": KEY}, {}),
        provider.account({**nobody, "GEMINI_API_KEY": OTHER}, {}),
        provider.account(vertex, {}),
        provider.account({**vertex, "GOOGLE_CLOUD_PROJECT": "p"}, {}),
    ]
    assert len(set(accounts)) == len(accounts)
