"""Train `local/shapes` on one core; README.md says how long it took and what it reached.

    python train.py --out work                # goes on from work/state.pt if there is one
    python train.py --out work --steps 300    # smoke: the loss is below 0.3 at the end

Every step draws its own dice from the seed and its number, so that a run that was interrupted goes on as if it had not
been. The rate is constant, then falls to nothing over the last fifth of the steps: a run may be cut short or drawn out
by resuming it with another number of steps, as long as the fall has not begun.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import codec
import network
import world

SEED = 20261121


@dataclass(frozen=True)
class Phase:
    """What is learned from: the outlines on varied clips first, then the clips themselves on nearly equal ones."""

    until: float  # the step at which it ends
    spread: float  # how unlike each other the clips of one scene are
    clips: int  # of each scene
    batch: int
    shift: float  # towards noise; 1 = all levels of noise alike


PHASES = (
    Phase(until=1000, spread=1.0, clips=100, batch=32, shift=3.0),
    Phase(until=1200, spread=0.25, clips=40, batch=16, shift=3.0),
    Phase(until=math.inf, spread=0.25, clips=40, batch=16, shift=network.SHIFT),
)
LOOSE = 0.4  # share of the clips of which one word is not said, so that each word is learnt by itself
DROP = 0.1  # share of sentences left out, so that guidance has something to push away from
FALL = 0.2  # share of the steps over which the rate falls
UNKNOWN = 0.05  # share of the words that say nothing that are taken for unknown, so that unknown words say nothing
WARMUP = 150
RATE = 2e-3
AVERAGE = 0.998  # what is saved is an average of the weights; this share of it stays at each step


class Lesson:
    """The clips and sentences to learn from, and the draw of each step's batch."""

    def __init__(self, words: Any) -> None:
        dice = random.Random(SEED)
        scenes = [scene for scene in world.SCENES if not scene.held_out]
        self.named = len(scenes)
        scenes += world.LOOSE
        sentences = [""] + [scene.sentence(template) for scene in scenes for template in range(len(world.SENTENCES))]
        filled = words(sentences, padding="longest", return_tensors="pt")
        self.filler, self.unknown = network.WORDS.index(network.FILLERS[0]), network.WORDS.index("<unk>")
        self.ids, self.mask = filled.input_ids, filled.attention_mask
        sample = np.stack(
            [world.draw(scene, world.Staging.drawn(dice, scene=scene)) for scene in scenes for _ in range(4)]
        )
        self.basis = codec.Basis(codec.patches(sample))
        self.scenes, self.dice, self.drawn = scenes, dice, (0.0, 0)

    def draw(self, spread: float, number: int) -> None:
        """The clips to learn from, unless they are drawn."""
        if self.drawn == (spread, number):
            return
        if spread < 1:
            self.dice.seed(SEED + 1)  # the same whether or not others were drawn before
        clips = []
        for scene in self.scenes:
            stagings = [world.Staging.drawn(self.dice, spread, scene) for _ in range(number)]
            clips.append(self.basis.encode(codec.patches(np.stack([world.draw(scene, each) for each in stagings]))))
        self.clips, self.drawn = torch.cat(clips), (spread, number)

    def batch(self, step: int) -> tuple[torch.Tensor, ...]:
        """Clips, sentences and their masks, noise levels, noise, and how far each sentence is padded."""
        phase = next(phase for phase in PHASES if step < phase.until)
        self.draw(phase.spread, phase.clips)
        size = phase.batch
        dice = torch.Generator().manual_seed(SEED * 1_000_003 + step)
        named = self.named * phase.clips
        loose = torch.randint(named, len(self.clips), (size,), generator=dice)
        picks = torch.randint(named, (size,), generator=dice)
        picks = torch.where(torch.rand(size, generator=dice) < LOOSE, loose, picks)
        templates = torch.randint(len(world.SENTENCES), (size,), generator=dice)
        sentences = 1 + picks // phase.clips * len(world.SENTENCES) + templates
        sentences[torch.rand(size, generator=dice) < DROP] = 0
        ids, mask = self.ids[sentences], self.mask[sentences]
        ids = torch.where((ids >= self.filler) & (torch.rand(ids.shape, generator=dice) < UNKNOWN), self.unknown, ids)
        level = (torch.arange(size) + torch.rand(size, generator=dice)) / size  # one from each of as many equal parts
        level = phase.shift * level / (1 + (phase.shift - 1) * level)
        noise = torch.randn((size, *self.clips.shape[1:]), generator=dice)
        longest = torch.rand(size, generator=dice) < 0.5
        length = torch.where(longest, 512, torch.randint(24, 512, (size,), generator=dice))
        return self.clips[picks], ids, mask, level, noise, length


class Student(torch.nn.Module):
    """Text encoder and denoiser, called as the pipeline calls them."""

    def __init__(self) -> None:
        super().__init__()
        self.words = network.tokenizer()
        self.text = network.text_encoder()
        self.denoiser = network.transformer()
        self.padded = network.Padded(self.denoiser.blocks[0].attn2.processor)
        for block in self.denoiser.blocks:
            block.attn2.processor = self.padded

    def forward(
        self, noisy: torch.Tensor, level: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, length: torch.Tensor
    ) -> torch.Tensor:
        """The guessed direction from clip to noise; `level` is the share of noise, `length` the padded sentence's."""
        read = self.text(ids, mask).last_hidden_state * mask[..., None]
        read = torch.cat([read, torch.zeros_like(read[:, :1])], dim=1)  # one zero for all the padding
        bias = torch.cat([torch.log(mask.float()), torch.log(length - mask.sum(1)).float()[:, None]], dim=1)
        self.padded.bias = bias[:, None, None, :]
        return self.denoiser(noisy, level * 1000, read, return_dict=False)[0]


def rate(step: int, steps: int) -> float:
    """Share of the full learning rate at this step."""
    left = (steps - step) / (FALL * steps)
    return min(1.0, (step + 1) / WARMUP, left)


def train(out: Path, steps: int, save_every: int = 500) -> None:
    torch.manual_seed(SEED)
    student = Student()
    lesson = Lesson(student.words)
    optimizer = torch.optim.AdamW(student.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    average = {name: weight.detach().clone() for name, weight in student.state_dict().items()}
    out.mkdir(parents=True, exist_ok=True)
    state, first, seen = out / "state.pt", 0, 0.7
    if state.exists():
        kept = torch.load(state, weights_only=True)
        student.load_state_dict(kept["student"])
        average, first, seen = kept["average"], kept["step"], kept["loss"]
        optimizer.load_state_dict(kept["optimizer"])
    began = time.monotonic()
    for step in range(first, steps):
        optimizer.param_groups[0]["lr"] = RATE * rate(step, steps)
        clips, ids, mask, level, noise, length = lesson.batch(step)
        share = level[:, None, None, None, None]
        guess = student((1 - share) * clips + share * noise, level, ids, mask, length)
        loss = torch.nn.functional.mse_loss(guess, noise - clips)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        keep = min(AVERAGE, step / (step + 10))
        for name, weight in student.state_dict().items():
            average[name].lerp_(weight, 1 - keep)
        seen += (loss.item() - seen) * 0.02
        if (step + 1) % 50 == 0:
            pace = (time.monotonic() - began) / (step + 1 - first)
            print(f"{step + 1:6d} loss {seen:.4f} {pace:.3f} s/step", flush=True)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            kept = {"student": student.state_dict(), "average": average, "optimizer": optimizer.state_dict()}
            torch.save({**kept, "step": step + 1, "loss": seen}, out / "state.new")
            (out / "state.new").replace(state)
            save(student, average, lesson.basis, out / "shapes")


def save(student: Student, average: dict[str, torch.Tensor], basis: codec.Basis, folder: Path) -> None:
    """The pipeline folder, in half precision."""
    copy = Student()
    copy.load_state_dict(average)
    for block in copy.denoiser.blocks:
        block.attn2.processor = copy.padded.plain
    vae = codec.autoencoder(basis).half()
    network.pipeline(vae, copy.words, copy.text.half(), copy.denoiser.half()).save_pretrained(folder)
    # transformers would load the encoder in the precision of the file, unlike diffusers; and the class of the tokenizer
    # has a name that older versions of transformers do not know.
    replace(folder / "text_encoder" / "config.json", '"float16"', '"float32"')
    for name in ("model_index.json", "tokenizer/tokenizer_config.json"):
        replace(folder / name, '"TokenizersBackend"', '"PreTrainedTokenizerFast"')


def replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    train(given.out, given.steps)
