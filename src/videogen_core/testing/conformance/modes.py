"""What the catalogue says is what `check` says: every listed value passes, and one step past each edge does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec

from videogen_core import Media, MediaLimits, Mode, ModelSpec, OptionSpec, Span, VideoRequest, Violation, frame_size
from videogen_core.capabilities import check, resolve
from videogen_core.request import MAX_PROMPT_CHARS
from videogen_core.spec import resolution_height

from .cases import FIELDS, Case, prompt_of, values, with_option
from .rig import Rig
from .suite import Suite, each

__all__ = ["Modes"]

_FORMATS = ("image/png", "image/jpeg", "image/webp", "video/mp4", "video/quicktime", "video/webm")
_ODD = {"duration": 0.137, "fps": 0.137, "resolution": "17p", "aspect_ratio": "17:1"}
_NO_LIMIT = 2**63 - 1


class Modes(Suite):
    """The catalogue's modes, asked about without any network."""

    @each("case", lambda suite: suite.modes(), instead="no offer is live")
    def test_a_mode_admits_what_it_lists(self, rig: Rig, case: Case) -> None:
        """Each value of a list, both ends of a span, each choice of an option."""
        for value in values(case, self.values_of):
            found = check(case.spec, _request(rig, value.case))
            assert not found, f"{value.said} is in the catalogue and is refused: {found[0].message}"

    @each("case", lambda suite: suite.modes(), instead="no offer is live")
    def test_one_step_past_an_edge_is_refused(self, rig: Rig, case: Case) -> None:
        """With the field named, and the nearest request that works, where there is one."""
        request = _request(rig, case)
        for field, past in _past(case, request):
            if field in FIELDS and _somewhere(case.spec, past):
                continue  # another mode of the offer takes it
            found = check(case.spec, past)
            value = getattr(past, field.partition(".")[0], None)
            assert found, f"{case.id}: {field}={value!r} is past what the catalogue lists, and is admitted."
            # of several fields that could be changed, the one is blamed that brings the request nearest to a mode
            named, fields = {violation.field for violation in found}, {*FIELDS, "count"}
            assert field in named or (field in fields and named & fields), (
                f"{case.id}: {field}={value!r} is refused without naming the field: {found[0].message}"
            )
            _nearest_works(case, past, found)

    @each("case", lambda suite: suite.modes(), instead="no offer is live")
    def test_a_mode_knows_its_frame_size(self, rig: Rig, case: Case) -> None:
        """Each resolution at each shape has even sides of the right height, as encoders and vendors have them."""
        for resolution in case.mode.resolutions:
            for shape in case.mode.aspect_ratios:
                request = msgspec.structs.replace(_request(rig, case), resolution=resolution, aspect_ratio=shape)
                size = frame_size(case.spec, request)
                if size is None:
                    continue
                even = all(side % 2 == 0 and side > 0 for side in size)
                assert even, (
                    f"{case.id}: {resolution} at {shape} is {size[0]}x{size[1]}; sides are even. See ModelSpec.sizes."
                )

    @each("case", lambda suite: suite.modes(), instead="no offer is live")
    def test_a_default_is_written_out(self, rig: Rig, case: Case) -> None:
        """A request that says nothing but its task gets a value for every field that can be set."""
        bare = _request(rig, replace(case, arguments={k: v for k, v in case.arguments.items() if k not in FIELDS}))
        resolved = resolve(case.spec, bare)
        for field in FIELDS:
            settable = resolved.mode.settable(field)
            value = getattr(resolved.request, field)
            assert not settable or value is not None, f"{case.id}: {field} has values and no default."

    @each("spec", lambda suite: suite.live(), instead="no offer is live")
    def test_input_limits_hold(self, spec: ModelSpec) -> None:
        """A picture or clip of a format, size, shape or length that is not allowed is refused."""
        for case in self.modes():
            if case.spec.id != spec.id:
                continue
            for name in case.inputs:
                limits = spec.video if name == "video" else spec.image
                for media in _unfit(limits, video=name == "video"):
                    request = _with(VideoRequest.make(case.prompt, **_plain(case)), case, name, media)
                    fields = {violation.field.partition("[")[0] for violation in check(spec, request)}
                    assert name in fields, f"{case.id}: {name} of {media!r} is past the limits, and is admitted."


# --- requests


def _plain(case: Case) -> dict[str, Any]:
    return {name: value for name, value in case.arguments.items() if name != "model"}


def _request(rig: Rig, case: Case) -> VideoRequest:
    """The request without its media's bytes, which are looked at elsewhere."""
    request = VideoRequest.make(case.prompt, **_plain(case))
    for name in case.inputs:
        request = _with(request, case, name, Media(data=b"x"))
    return request


def _with(request: VideoRequest, case: Case, name: str, media: Media) -> VideoRequest:
    several = name == "reference_images"
    return msgspec.structs.replace(request, **{name: (media,) * case.references if several else media})


def _somewhere(spec: ModelSpec, request: VideoRequest) -> bool:
    """Whether some mode of the offer lists all of a request's values."""
    return any(request.task in mode.tasks and _lists(mode, request) for mode in spec.modes)


def _lists(mode: Mode, request: VideoRequest) -> bool:
    given = {name.partition("[")[0] for name, _ in request.media()}
    needed = set(mode.required(request.task))
    return (
        needed <= given <= needed | set(mode.allows)
        and len(request.reference_images) <= mode.reference_images
        and request.count <= mode.count
        and all(getattr(request, name) is None or getattr(request, name) in mode.settable(name) for name in FIELDS)
    )


def _nearest_works(case: Case, past: VideoRequest, found: list[Violation]) -> None:
    changes = found[0].nearest_request
    if changes is None:
        return
    named = {name: tuple(value) if name == "camera" else value for name, value in changes.items()}
    left = check(case.spec, msgspec.structs.replace(past, **named))
    assert not left, f"{case.id}: the nearest request {changes} is refused as well: {left[0].message}"


# --- one step past


def _past(case: Case, request: VideoRequest) -> Iterator[tuple[str, VideoRequest]]:
    """Requests that break one rule each, with the field that is to be named."""
    spec, mode = case.spec, case.mode
    for field in FIELDS:
        for value in _beyond(field, mode):
            yield field, msgspec.structs.replace(request, **{field: value})
    if not _somewhere(spec, msgspec.structs.replace(request, count=mode.count + 1)):
        yield "count", msgspec.structs.replace(request, count=mode.count + 1)
    if "reference_images" in case.inputs:
        most = max(each.reference_images for each in spec.modes)
        yield "reference_images", msgspec.structs.replace(request, reference_images=(Media(data=b"x"),) * (most + 1))
    if spec.seed is None or spec.seed < _NO_LIMIT:
        yield "seed", msgspec.structs.replace(request, seed=1 if spec.seed is None else spec.seed + 1)
    if spec.prompt.max is not None and spec.prompt.max < MAX_PROMPT_CHARS:
        yield "prompt", msgspec.structs.replace(request, prompt=prompt_of(spec, 1))
    if case.task in spec.prompt.required_for:
        yield "prompt", msgspec.structs.replace(request, prompt=" ")
    if not spec.negative_prompt:
        yield "negative_prompt", msgspec.structs.replace(request, negative_prompt="rain")
    yield "camera", msgspec.structs.replace(request, camera=("stand on its head",))
    yield from _options(case)


def _beyond(field: str, mode: Mode) -> Iterator[Any]:
    allowed = mode.settable(field)
    if field == "audio":
        yield from (each for each in (True, False) if each not in mode.audio)
    elif isinstance(allowed, Span):
        step = allowed.step or 0.5
        yield from (each for each in (allowed.max + step, allowed.min - step) if each > 0)
        if allowed.step is not None and allowed.max > allowed.min:
            yield allowed.min + allowed.step / 2
    elif not allowed:
        yield {"duration": 5.0, "fps": 24.0}.get(field, "720p" if field == "resolution" else "16:9")
    elif field in ("duration", "fps"):
        yield from (max(allowed) + 1, _ODD[field])
    elif field == "resolution":
        heights = {resolution_height(each) for each in allowed}
        yield from (name for name in ("17p", "8k") if resolution_height(name) not in heights)
    else:
        yield _ODD[field]


def _options(case: Case) -> Iterator[tuple[str, VideoRequest]]:
    spec = case.spec
    unfit: list[tuple[str, Any]] = [("no_such_option", 1)]
    for name, option in spec.options.items():
        unfit += [(name, value) for value in _unfit_values(option)]
    for name, value in unfit:
        given = with_option(case, name, value)
        request = VideoRequest.make(given.prompt, **_plain(given))
        for input_name in case.inputs:
            request = _with(request, case, input_name, Media(data=b"x"))
        yield f"options.{spec.provider}.{name}", request


def _unfit_values(option: OptionSpec) -> Iterator[Any]:
    if option.type in ("integer", "number"):
        yield "seven"
        yield from (end + step for end, step in ((option.max, 1), (option.min, -1)) if end is not None)
        return
    if option.type in ("string", "boolean"):
        yield 7
    if option.choices:
        yield "no such choice"


def _unfit(limits: MediaLimits, *, video: bool) -> Iterator[Media]:
    """Media that break one limit each; nobody reads them, since it is their facts that are judged."""
    good = Media(url=f"{limits.schemes[0]}://example.com/x") if limits.schemes else Media(data=b"x")
    if limits.formats:
        kind = next((each for each in _FORMATS if each not in limits.formats and each.startswith("video") == video), "")
        yield msgspec.structs.replace(good, mime_type=kind or "image/gif")
    if limits.max_bytes is not None:
        yield msgspec.structs.replace(good, size=limits.max_bytes + 1)
    if limits.min_side is not None and limits.min_side > 1:
        yield msgspec.structs.replace(good, width=limits.min_side - 1, height=limits.min_side)
    if limits.max_side is not None:
        yield msgspec.structs.replace(good, width=limits.max_side + 1, height=limits.max_side)
    if limits.max_ratio is not None:
        yield msgspec.structs.replace(good, width=int(1000 * limits.max_ratio) + 10, height=1000)
    if limits.min_ratio is not None and limits.min_ratio > 0:
        yield msgspec.structs.replace(good, width=int(1000 * limits.min_ratio) - 10, height=1000)
    if limits.max_duration is not None:
        yield msgspec.structs.replace(good, duration=limits.max_duration + 0.5)
    if limits.min_duration is not None and limits.min_duration > 0.5:
        yield msgspec.structs.replace(good, duration=limits.min_duration - 0.5)
    yield Media(url="gopher://example.com/x")
