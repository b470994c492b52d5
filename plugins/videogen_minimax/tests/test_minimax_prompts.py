"""Camera moves: commands where the model has them, words where it has not and the user allows it; advice."""

from __future__ import annotations

import pytest

from minimax_bench import Heard, _served as _served, body, picture, vendor as vendor, videogen as videogen
from videogen_core import Client, RequestError, VideoRequest
from videogen_core.testing import ServerThread
from videogen_minimax.plugin import MinimaxProvider
from videogen_minimax.prompts import advice, prompt

SPECS = {spec.name: spec for spec in MinimaxProvider().models()}
FOUR = "[Pan left,Zoom in,Shake,Tilt up] A boat"


def rendered(model: str, text: str, *camera: str) -> str:
    return prompt(SPECS[model], VideoRequest.make(text, camera=camera))


def test_commands_go_in_front_in_one_pair_of_brackets() -> None:
    assert rendered("hailuo-2.3", "A boat", "truck left", "pan right") == "[Truck left,Pan right] A boat"
    assert rendered("i2v-01-director", "", "static shot") == "[Static shot]"


def test_words_go_behind() -> None:
    assert rendered("hailuo-3", "A boat", "push in") == "A boat. Camera: push in."
    assert rendered("hailuo-3", "A boat! ", "push in", "tilt up") == "A boat! Camera: push in, tilt up."


def test_a_prompt_with_brackets_is_left_alone() -> None:
    for text in (FOUR, "[Push in] at first, later [Pull out]", "[ anything ]", "  spaces  ", "[左移] 一只船"):
        assert rendered("hailuo-2.3", text) == text
        assert rendered("hailuo-3", text) == text


def test_the_limit_counts_the_commands() -> None:
    spec = SPECS["hailuo-2.3"]
    room = spec.prompt.max - len("[Push in] ")  # type: ignore[operator]
    assert len(rendered("hailuo-2.3", "a" * room, "push in")) == 2000
    with pytest.raises(RequestError, match="with the camera moves it has 2001 characters") as caught:
        rendered("hailuo-2.3", "a" * (room + 1), "push in")
    assert caught.value.hint == "Shorten it by 1."


def test_four_commands_at_once_are_advised_against() -> None:
    request = VideoRequest.make(FOUR)
    (said,) = advice(SPECS["hailuo-2.3"], request)
    assert (
        said
        == "prompt: [pan left,zoom in,shake,tilt up] are 4 camera moves at once; Hailuo 2.3 works well with up to 3."
    )
    assert advice(SPECS["hailuo-3"], request) == ()  # there it is only text
    for fine in ("[Pan left,Zoom in,Shake] A boat", "[a,b,c,d] A boat", "[Pan left] [Zoom in] [Shake] [Tilt up]"):
        assert advice(SPECS["hailuo-2.3"], VideoRequest.make(fine)) == ()


@pytest.mark.parametrize("where", ["prompt", "camera"])
def test_a_warning_is_heard_and_the_clip_is_made(vendor: ServerThread, videogen: Client, where: str) -> None:
    heard, camera = Heard(), ["pan left", "zoom in", "shake", "tilt up"]
    text, moves = (FOUR, None) if where == "prompt" else ("A boat", camera)
    videogen.generate(text, model="hailuo-2.3", camera=moves, output="boat.mp4", on_event=heard)
    (said,) = heard.of("warning")
    assert "4" in said
    assert "up to 3" in said
    kinds = [event.type for event in heard.events]
    assert kinds.index("warning") < kinds.index("submitting")
    assert body(vendor)["prompt"] == FOUR


def test_words_have_to_be_allowed(vendor: ServerThread, videogen: Client) -> None:
    request = {"model": "hailuo-3", "duration": 4, "camera": ["truck left", "pan right"]}
    (violation,) = videogen.check("A boat", **request)  # type: ignore[arg-type]
    assert violation.field == "camera"
    assert "options={'minimax': {'camera_in_words': True}}" in violation.message
    videogen.submit("A boat", **request, options={"minimax": {"camera_in_words": True}})  # type: ignore[arg-type]
    assert body(vendor)["content"] == [{"type": "text", "text": "A boat. Camera: truck left, pan right."}]


def test_the_option_itself_is_not_sent(vendor: ServerThread, videogen: Client) -> None:
    options = {"minimax": {"camera_in_words": True}}
    videogen.submit("A boat", model="i2v-01", image=picture(), camera=["push in"], options=options)
    assert body(vendor).keys() == {"model", "prompt", "first_frame_image", "prompt_optimizer"}


def test_a_prompt_that_becomes_too_long_is_refused_before_anything_is_sent(
    vendor: ServerThread, videogen: Client
) -> None:
    with pytest.raises(RequestError, match="Shorten it by 8"):
        videogen.submit("a" * 1998, model="hailuo-2.3", camera=["push in"])
    assert vendor.journal() == []
