"""A picture of what `local/shapes` makes: one row of frames for each of some sentences.

python sheet.py FOLDER PICTURE.png [--seed N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

import score
import world

ASKED = (
    world.Scene("circle", "red", "left", "white"),
    world.Scene("triangle", "yellow", "up", "black"),
    world.Scene("square", "blue", "right", "white"),
    world.Scene("circle", "green", "down", "black"),
    world.Scene("triangle", "purple", "right", "white"),
)
GAP = 4
LINE = 16  # height of a sentence


def sheet(rows: list[tuple[str, np.ndarray]]) -> Image.Image:
    width = world.FRAMES * (world.SIZE + GAP) + GAP
    step = LINE + world.SIZE + GAP
    picture = Image.new("RGB", (width, len(rows) * step + GAP), (128, 128, 128))
    pen = ImageDraw.Draw(picture)
    for row, (sentence, frames) in enumerate(rows):
        pen.text((GAP, row * step + GAP), sentence, fill=(255, 255, 255))
        for column, frame in enumerate(np.round(frames * 255).astype(np.uint8)):
            picture.paste(Image.fromarray(frame), (GAP + column * (world.SIZE + GAP), row * step + LINE + GAP))
    return picture.quantize(128)  # plain colours: a third of the size, and nothing to be seen of it


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = score.load(given.folder)
    made = [(scene.sentence(), score.clip(pipeline, scene.sentence(), given.seed)) for scene in ASKED]
    sheet(made).save(given.picture, optimize=True)


if __name__ == "__main__":
    main()
