"""What is made of single answers of Google's that the emulator does not give."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from google.genai import types
from google.genai.interactions import Interaction

from videogen_core import ContentPolicyError, JobStatus, ProviderProtocolError
from videogen_veo import interactions, operations

TOKENS = {"input": "1.50", "output": "9.00", "video": "17.50"}
CLIP = {"type": "video", "uri": "https://generativelanguage.googleapis.com/v1beta/files/abc", "mime_type": "video/mp4"}


def completed(*steps: dict[str, Any], **usage: Any) -> interactions.Snapshot:
    told = {"id": "v1_a", "object": "interaction", "status": "completed", "steps": list(steps), "usage": usage or None}
    return interactions.snapshot(Interaction.model_validate(told), model="veo/gemini-omni-1.1-flash", tokens=TOKENS)


def step(kind: str, *content: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "content": list(content)}


def test_tokens_are_counted_by_what_they_are_for() -> None:
    by_modality = [{"modality": "text", "tokens": 100}, {"modality": "video", "tokens": 57_920}]
    found = completed(
        step("model_output", CLIP),
        total_input_tokens=1000,
        total_output_tokens=58_020,
        total_thought_tokens=50,
        output_tokens_by_modality=by_modality,
    )
    assert found.cost == (1000 * Decimal("1.50") + 150 * Decimal(9) + 57_920 * Decimal("17.50")) / 1_000_000


def test_a_clip_whose_tokens_are_not_told_apart_has_no_cost_that_is_known() -> None:
    """At the price of text they would be half of what is charged."""
    found = completed(step("model_output", CLIP), total_input_tokens=10, total_output_tokens=46_336)
    assert (found.status, found.cost) == (JobStatus.SUCCEEDED, None)
    assert completed(step("model_output", CLIP)).cost is None


def test_the_clip_of_an_earlier_turn_is_not_the_answer() -> None:
    earlier, asked = step("model_output", CLIP), step("user_input", {"type": "text", "text": "now in snow"})
    refused = completed(earlier, asked, step("model_output", {"type": "text", "text": "I cannot do that."}))
    assert refused.status is JobStatus.FAILED
    assert isinstance(refused.error, ContentPolicyError)
    assert completed(asked, earlier).status is JobStatus.SUCCEEDED


def test_an_operation_without_a_name_is_no_news() -> None:
    """What the SDK makes of an empty body."""
    with pytest.raises(ProviderProtocolError) as caught:
        operations.snapshot(types.GenerateVideosOperation(), model="veo/veo-3.1")
    assert caught.value.retryable
    assert operations.snapshot(types.GenerateVideosOperation(name="n"), model="m").status is JobStatus.RUNNING
