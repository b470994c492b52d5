"""Make a clip of every sentence that `local/shapes` knows, with fresh seeds, and score them.

    python score.py FOLDER [--first-seed N] [--rounds N] [--steps N] [--guidance G] [--only-held-out]

The folder is loaded with diffusers' `DiffusionPipeline` and nothing else.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import DiffusionPipeline

import scorer
import world

STEPS = 12
GUIDANCE = 2.0
WANTED = {"shape": 108 / 120, "colour": 118 / 120, "direction": 118 / 120, "background": 118 / 120}
WANTED_HELD_OUT = {"colour": 0.9, "direction": 0.9}


def load(folder: Path) -> Any:
    pipeline = DiffusionPipeline.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def clip(pipeline: Any, sentence: str, seed: int, steps: int = STEPS, guidance: float = GUIDANCE) -> npt.NDArray[Any]:
    """One clip: (frames, height, width, 3), from 0 to 1."""
    made: npt.NDArray[Any] = pipeline(
        sentence,
        height=world.SIZE,
        width=world.SIZE,
        num_frames=world.FRAMES - 1,  # WanPipeline adds one where the autoencoder keeps every frame
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(seed),
        output_type="np",
    ).frames[0]
    return made


def clips(
    pipeline: Any, scenes: Iterable[world.Scene], seeds: Iterator[int], steps: int = STEPS, guidance: float = GUIDANCE
) -> Iterator[tuple[world.Scene, npt.NDArray[Any]]]:
    for scene in scenes:
        yield scene, clip(pipeline, scene.sentence(), next(seeds), steps, guidance)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first-seed", type=int, default=int(np.random.default_rng().integers(2**31)))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--only-held-out", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = load(given.folder)
    seeds = iter(range(given.first_seed, 2**63))
    everything, held_out = scorer.Tally(), scorer.Tally()
    began = time.monotonic()
    for _ in range(given.rounds):
        scenes = [scene for scene in world.SCENES if scene.held_out or not given.only_held_out]
        for scene, frames in clips(pipeline, scenes, seeds, given.steps, given.guidance):
            reading = scorer.read(frames)
            right = reading.right(scene)
            everything.add(right)
            if scene.held_out:
                held_out.add(right)
            if not all(right.values()):
                print(f"{scene.sentence()}: shows {reading}")
    print(f"first seed {given.first_seed}, {(time.monotonic() - began) / everything.clips:.2f} s per clip")
    print(f"all: {everything}")
    print(f"held out of the training: {held_out}")
    wrong = [point for point, share in WANTED.items() if everything.share(point) < share]
    wrong += [f"held-out {point}" for point, share in WANTED_HELD_OUT.items() if held_out.share(point) < share]
    if wrong:
        raise SystemExit(f"below what is wanted: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
