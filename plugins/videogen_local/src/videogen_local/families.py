"""What is known of each kind of pipeline: frames and sizes it makes, its defaults, and what it calls its parameters.

The facts are in ``families.toml``, one table per class of diffusers; tests hold them against the signatures of the
installed diffusers. Nothing here imports torch or diffusers, so that questions about models stay light.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

import msgspec

__all__ = ["FAMILIES", "Compression", "Family", "FrameRule", "Nearest", "Sections", "nearest"]


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the records: immutable, and an unknown key in the data file is an error."""


class FrameRule(_Record, frozen=True, kw_only=True):
    """The frame counts that a model makes: ``offset + k * step``, from ``minimum`` to ``maximum``.

    Attributes:
        step: Frames that one latent frame stands for; 1 = any count.
        offset: Frames of the first latent frame.
        minimum: Fewest, itself a count of the rule.
        maximum: Most that the model is made for, itself a count of the rule.
    """

    step: int = 1
    offset: int = 0
    minimum: int = 1
    maximum: int = 1

    def __post_init__(self) -> None:
        if self.step < 1 or not 1 <= self.minimum <= self.maximum:
            raise ValueError(f"not a rule: step={self.step}, minimum={self.minimum}, maximum={self.maximum}")
        if any((end - self.offset) % self.step for end in (self.minimum, self.maximum)):
            raise ValueError(f"{self.minimum} to {self.maximum}: not {self.describe()}")

    def __contains__(self, count: int) -> bool:
        return self.minimum <= count <= self.maximum and (count - self.offset) % self.step == 0

    def nearest(self, count: float) -> int:
        """The closest count; of two that are equally close the larger, which cuts nothing off."""
        clamped = min(max(count, self.minimum), self.maximum)
        return self.minimum + self.step * math.floor((clamped - self.minimum) / self.step + 0.5)

    def at_least(self, count: float) -> int:
        """The smallest count that is not below ``count``; the maximum when there is none."""
        clamped = min(max(count, self.minimum), self.maximum)
        return self.minimum + self.step * math.ceil((clamped - self.minimum) / self.step - 1e-6)

    def describe(self) -> str:
        """The rule as people write it: ``4k + 1``."""
        if self.minimum == self.maximum:
            return str(self.minimum)
        if self.step == 1:
            return "any count"
        return f"{self.step}k + {self.offset}" if self.offset else f"{self.step}k"


class Compression(_Record, frozen=True, kw_only=True):
    """By how much the VAE and the patches of the denoiser shrink a clip; tokens follow from it.

    Attributes:
        temporal: Frames per latent frame.
        spatial: Pixels per latent pixel, along one side.
        patch: Latent pixels per token, along one side.
        patch_frames: Latent frames per token.
    """

    temporal: int = 4
    spatial: int = 8
    patch: int = 2
    patch_frames: int = 1

    def tokens(self, frames: int, width: int, height: int) -> int:
        """Tokens that the denoiser works on for one clip."""
        latent_frames = -(-((frames - 1) // self.temporal + 1) // self.patch_frames)
        side = self.spatial * self.patch
        return latent_frames * -(-width // side) * -(-height // side)


class Sections(_Record, frozen=True, kw_only=True):
    """A clip that is made piece by piece, every piece with all its denoising steps.

    Attributes:
        first: Frames up to which there is one section.
        more: Frames that each further section adds.
        told: Frames to ask for per section, where the pipeline counts otherwise than it makes.
    """

    first: int
    more: int
    told: int | None = None

    def count(self, frames: int) -> int:
        """Sections of a clip of so many frames."""
        return 1 + max(0, -((self.first - frames) // self.more))


class Family(_Record, frozen=True, kw_only=True):
    """One class of pipelines, or one workflow of a modular pipeline.

    Attributes:
        name: The class, as ``model_index.json`` or ``modular_model_index.json`` names it.
        kind: ``pipeline`` is loaded with ``DiffusionPipeline``, ``modular`` with ``ModularPipeline``.
        tasks: Kinds of work, in the words of `videogen_core.request.Task`.
        inputs: Inputs that may be present besides those that the task needs.
        frames: Frame counts it makes.
        multiple: What width and height must be multiples of.
        size: Default width and height.
        default_frames: Frames unless the user says how long; None = the model decides.
        fps: Frames per second that it was made for.
        fps_range: Lowest and highest that it can be told, where ``parameters`` has ``fps``.
        steps: Default denoising steps.
        guidance: Default guidance scale; None = it takes none.
        parameters: Our neutral field -> the keyword of ``__call__``. What is missing cannot be told.
        fixed: Keywords that are always passed with these values.
        progress: How each step is seen: ``bar`` (its progress bar) or, where it has none, ``callback``
            (``callback_on_step_end``).
        sections: How it makes a clip piece by piece; None = as a whole.
        dropped: Frames at the beginning that it makes and throws away.
        rounds: Whether the pipeline rounds frames to ``temporal * k + 1`` by itself.
        guider: Whether guidance is set on ``pipe.guider`` instead of in the call.
        audio: Whether a clip comes with sound.
        denoisers: Components that work on every step, largest part of memory and time.
        spare: Components of the released folders that none of its tasks loads.
        passes: Calls of the denoiser per step with default guidance.
        batched: Whether guidance runs with and without the prompt in one pass of twice the size.
        compression: From pixels to tokens.
        denoise_bytes: Activations while denoising, per token and unit of width, in sixteen-bit numbers.
        decode_pixel: Activations while decoding, per pixel of a frame, in sixteen-bit numbers.
        decode_volume: The same per pixel and frame.
        tiled: Whether its decoder works in tiles only.
        tile: Side of the square that a tile of the decoder is as large as, in pixels.
        workflow: For modular pipelines: the workflow to ask for, by task.
        caches: Step caches of diffusers that work with it, and skip something.
        compiles: Whether its denoiser can be compiled block by block.
        attends: Whether its denoiser's attention can be exchanged.
        parallel: Whether one clip can be made on several devices at once.
        needs: Packages that it imports besides those that every pipeline needs.
        outputs: For modular pipelines: names of video, sound and sampling rate among the outputs.
    """

    name: str
    kind: Literal["pipeline", "modular"] = "pipeline"
    tasks: tuple[str, ...] = ("text_to_video",)
    inputs: tuple[str, ...] = ()
    frames: FrameRule
    multiple: int = 16
    size: tuple[int, int]
    default_frames: int | None = None
    fps: float
    fps_range: tuple[float, float] | None = None
    steps: int = 50
    guidance: float | None = None
    parameters: Mapping[str, str] = {}
    fixed: Mapping[str, Any] = {}
    progress: Literal["callback", "bar"] = "bar"
    sections: Sections | None = None
    dropped: int = 0
    rounds: bool = False
    guider: bool = False
    audio: bool = False
    denoisers: tuple[str, ...] = ("transformer",)
    spare: tuple[str, ...] = ()
    passes: int = 2
    batched: bool = False
    compression: Compression = Compression()
    denoise_bytes: float = 48.0
    decode_pixel: float = 16_000.0
    decode_volume: float = 12.0
    tiled: bool = False
    tile: int = 256
    workflow: Mapping[str, str] = {}
    caches: tuple[str, ...] = ()
    compiles: bool = True
    attends: bool = True
    parallel: bool = False
    needs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def frames_for(self, duration: float, fps: float | None = None) -> int:
        """Frames of a clip of ``duration`` seconds: the fewest by the rule that are not shorter than asked."""
        return self.frames.at_least(duration * (fps or self.fps))

    def told(self, frames: int) -> int:
        """What to pass so that the pipeline makes ``frames``.

        Pipelines that round to ``4k + 1`` by themselves add a frame where the VAE does not compress time.
        """
        if self.sections is not None and self.sections.told is not None:
            return self.sections.told * self.sections.count(frames)
        rounded = 1 if self.rounds and self.compression.temporal == 1 else 0
        return frames + self.dropped - rounded

    def nominal(self, frames: int) -> float:
        """The seconds that people call a clip of so many frames: the first one of ``4k + 1`` counts for nothing."""
        return (frames - (1 if self.frames.offset == 1 and self.frames.step > 1 else 0)) / self.fps

    def with_compression(self, compression: Compression) -> Family:
        """The same family for a checkpoint whose VAE or patches are not those of the released models."""
        if compression == self.compression:
            return self
        unit = compression.spatial * compression.patch
        changed = msgspec.structs.replace(
            self,
            multiple=math.lcm(self.multiple, unit) if self.multiple % unit else self.multiple,
            compression=compression,
        )
        same = (self.compression.temporal, self.compression.patch_frames)
        if same == (compression.temporal, compression.patch_frames):
            return changed
        # so many latent frames make a whole number of patches, and the first one is a single frame
        step = compression.temporal * compression.patch_frames
        offset = (1 - compression.temporal) % step
        least = offset if offset > 1 else offset + step
        most = max(least, least + (self.frames.maximum - least) // step * step)
        rule = FrameRule(step=step, offset=offset, minimum=least, maximum=most)
        return msgspec.structs.replace(
            changed,
            frames=rule,
            default_frames=None if self.default_frames is None else rule.nearest(self.default_frames),
        )

    def seconds_of(self, frames: int, fps: float | None = None) -> float:
        """How long a clip of so many frames plays."""
        return frames / (fps or self.fps)


class Nearest(_Record, frozen=True, kw_only=True):
    """Frames and size that a family makes, nearest to what was asked."""

    frames: int
    width: int
    height: int


def nearest(family: Family, *, frames: float, width: float, height: float) -> Nearest:
    """The frame count and size closest to what is asked that obey the family's rules."""
    return Nearest(
        frames=family.frames.nearest(frames),
        width=_multiple(width, family.multiple),
        height=_multiple(height, family.multiple),
    )


def _multiple(value: float, of: int) -> int:
    return max(of, of * math.floor(value / of + 0.5))


def _read() -> Mapping[str, Family]:
    text = resources.files(__package__).joinpath("families.toml").read_text(encoding="utf-8")
    whole: dict[str, dict[str, Any]] = {}
    for name, table in tomllib.loads(text).items():
        own = {key: value for key, value in table.items() if key != "like"}
        base = whole[table["like"]] if "like" in table else {}
        # in these a table says only what differs
        maps = {key: {**base.get(key, {}), **own.get(key, {})} for key in ("parameters", "fixed", "workflow")}
        whole[name] = {**base, **own, **maps}
    families = {}
    for name, row in whole.items():
        told = {field: keyword for field, keyword in row["parameters"].items() if keyword}
        families[name] = msgspec.convert({**row, "name": name, "parameters": told}, Family)
    return MappingProxyType(families)


FAMILIES: Mapping[str, Family] = _read()
"""Every family by its class name."""
