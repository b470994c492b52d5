"""Every code and every layer that an error can come from, as our classes; times and counts as strangers write them."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from minimax_bench import _served as _served, vendor as vendor, videogen as videogen
from videogen_core import (
    AuthenticationError,
    Client,
    ContentPolicyError,
    PermissionDeniedError,
    ProviderError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RejectedRequestError,
    VideoRequest,
)
from videogen_core.outcomes import Answer
from videogen_core.testing import Fault, ServerThread
from videogen_minimax.billing import billed
from videogen_minimax.failures import _codes, failed, forgotten, problem
from videogen_minimax.plugin import MinimaxProvider
from videogen_minimax.v2 import _moment

SPECS = {spec.name: spec for spec in MinimaxProvider().models()}


def error(status: int, body: Any, **headers: str) -> ProviderError | None:
    answer = Answer(provider="minimax", status=status, headers=headers, body=json.dumps(body).encode())
    return problem(answer, body, advice="try the other region")


def v1(code: Any, message: str = "words", **more: Any) -> dict[str, Any]:
    return {"task_id": "", "base_resp": {"status_code": code, "status_msg": message}, **more}


def v2(message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "x", "message": message, "http_code": "0"}, "request_id": "r-1"}


@pytest.mark.parametrize("code", _codes())
def test_every_code_has_one_meaning_on_both_apis(code: str) -> None:
    old, new = error(200, v1(int(code))), error(400, v2(f"words ({code})"))
    assert old is not None
    assert new is not None
    row = _codes()[code]
    assert (old.accepted, old.retryable, old.code) == (row.accepted, row.retry, code)
    assert pickle.loads(pickle.dumps(old)).__dict__ == old.__dict__
    if row.accepted is False:
        assert type(old) is type(new)
        assert (old.charged, new.accepted) == (False, False)
    else:  # the status proves that it was refused, whatever the code
        assert (type(old), type(new)) == (ProviderUnavailableError, RejectedRequestError)
    assert old.retry_after == row.wait


def test_a_code_that_nobody_knows_proves_nothing() -> None:
    found = error(200, v1(4711, "strange"))
    assert type(found) is ProviderProtocolError
    assert (found.accepted, found.code) == (None, "4711")
    assert "strange (4711)" in found.message


def test_a_refusal_that_names_a_task_proves_nothing() -> None:
    found = error(200, v1(1002, task_id="123"))
    assert found is not None
    assert found.accepted is None
    assert "it names the task 123: words (1002)" in found.message  # a person can attach it


def test_all_is_well() -> None:
    assert error(200, v1(0, "success")) is None
    assert error(200, v1("0", "success")) is None
    assert error(200, {"task_id": "1"}) is None
    assert error(200, {"task_id": "1", "error": {}}) is None
    assert error(200, {"task": {"status": "failed", "error": {"code": 1026}}}) is None
    assert error(200, v1(1027, status="Fail")) is None  # the status decides


def test_a_wait_that_is_asked_for_goes_before_ours() -> None:
    found = error(200, v1(1002), **{"retry-after": "3"})
    assert found is not None
    assert found.retry_after == 3


def test_a_refused_key_is_told_where_to_look() -> None:
    for found in (error(200, v1(2049)), error(401, v2("login fail (1004)")), error(401, "<html>")):
        assert type(found) is AuthenticationError
        assert found.hint == "try the other region"


def test_a_task_that_is_not_there_has_the_status_for_that() -> None:
    for body in (v2("invalid params, invalid task_id (2013)"), v2("invalid task_id (2001)")):
        found = error(400, body)
        assert found is not None
        assert forgotten(found).status_code == 404
    other = error(400, v2("invalid params, page_num (2013)"))
    assert other is not None
    assert forgotten(other).status_code == 400


def test_why_a_task_failed() -> None:
    assert type(failed("1026", "sensitive")) is ContentPolicyError
    assert failed("0", "success").message == "MiniMax failed to make the clip: no reason is given"
    assert (failed("1033", "x").code, failed("", "x").code) == ("1033", None)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RejectedRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, RejectedRequestError),
        (422, ContentPolicyError),
    ],
)
@pytest.mark.parametrize("body", ["vendor", "html"])
def test_a_gateway_in_front_of_v1_says_no(
    vendor: ServerThread, videogen: Client, status: int, kind: type[ProviderError], body: Any
) -> None:
    vendor.inject(Fault("status", on="create", at="before", status=status, body=body))
    with pytest.raises(ProviderError) as caught:
        videogen.submit("A boat", model="hailuo-2.3")
    expected = RejectedRequestError if (status, body) == (422, "html") else kind
    assert (type(caught.value), caught.value.status_code) == (expected, status)
    assert videogen.jobs()[0].status == "failed"  # and not unknown
    assert len(vendor.journal("create")) == 1


def test_a_gateway_asks_to_wait(vendor: ServerThread, videogen: Client) -> None:
    vendor.inject(Fault("status", on="create", at="before", status=429, retry_after="7", body="html"))
    videogen.submit("A boat", model="hailuo-2.3")
    first, second = vendor.journal("create")
    assert second.time - first.time >= 6.9


@pytest.mark.parametrize(
    "value", [1795266437, "1795266437", 1795266437000, "2026-11-21T13:07:17Z", "2026-11-21T13:07:17", 1795266437.0]
)
def test_times_in_every_spelling(value: float | str) -> None:
    assert _moment(value) == datetime(2026, 11, 21, 13, 7, 17, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, "", "yesterday", -1, 0, 1e30])
def test_times_that_are_none(value: Any) -> None:
    assert _moment(value) is None


def test_what_was_counted_is_priced() -> None:
    request = VideoRequest.make("A boat", duration=5, resolution="768p")
    h3 = SPECS["hailuo-3"]
    assert billed(h3, request, {"output_seconds": 5, "input_seconds": 0, "input_image_count": 7}) == Decimal("0.48")
    assert billed(h3, request, {"output_seconds": "5"}) == Decimal("0.40")
    video = {"task": "reference_to_video", "video": "https://clips.example/a.mp4"}
    guided = VideoRequest.make("A boat", duration=5, resolution="768p", **video)
    assert billed(h3, guided, {"output_seconds": 5, "input_seconds": 2.5}) == Decimal("0.64")  # 2.5 s count as 3
    for nothing in (None, {}, {"output_seconds": 0}, {"output_seconds": [5]}, {"output_seconds": "five"}, [], "5"):
        assert billed(h3, request, nothing) is None
    assert billed(SPECS["t2v-01"], request, {"output_seconds": 6}) is None
    assert billed(SPECS["hailuo-2.3"], request, {"output_seconds": 6}) is None  # priced by the clip
