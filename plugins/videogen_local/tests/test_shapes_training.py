"""How `local/shapes` is trained: the computed autoencoder, the padding that is left out, and a run that is resumed."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from shapes_rig import scorer, world

torch = pytest.importorskip("torch", reason="pip install 'videogen-local[torch]'")
pytest.importorskip("diffusers", reason="pip install 'videogen-local[torch]'")
np = pytest.importorskip("numpy")

pytestmark = pytest.mark.filterwarnings("default")  # torch, diffusers and transformers warn of each other's plans


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_computed_autoencoder_is_the_linear_code_and_keeps_what_matters() -> None:
    import codec

    dice = random.Random(2)
    clips = np.stack([world.draw(scene, world.Staging.drawn(dice)) for scene in world.SCENES])
    cut = codec.patches(clips)
    basis = codec.Basis(cut)
    vae = codec.autoencoder(basis)
    pixels = torch.from_numpy(clips[:3]).permute(0, 4, 1, 2, 3) * 2 - 1
    with torch.no_grad():
        latents = vae.encode(pixels).latent_dist.mode()
        back = vae.decode(latents).sample
    assert torch.allclose(latents, basis.encode(cut[:3]), atol=2e-3)
    assert ((back - pixels) / 2).square().mean() < 10**-2.2  # 22 dB
    for scene, clip in zip(world.SCENES, back.permute(0, 2, 3, 4, 1).numpy(), strict=False):
        assert all(scorer.read(clip / 2 + 0.5).right(scene).values())


def test_the_student_sees_what_the_pipeline_would_show_it() -> None:
    """One zero that counts for many gives what so many zeros give, at each length."""
    import codec
    import network
    import train

    torch.manual_seed(3)
    student = train.Student().eval()
    noisy, level = torch.randn(2, codec.COMPONENTS, world.FRAMES, 8, 8), torch.tensor([0.3, 0.9])
    sentences = [world.SCENES[5].sentence(), ""]
    filled = student.words(sentences, padding="longest", return_tensors="pt")
    for length in (24, 512):
        with torch.no_grad():
            seen = student(noisy, level, filled.input_ids, filled.attention_mask, torch.full((2,), length))
        for block in student.denoiser.blocks:
            block.attn2.processor = student.padded.plain
        pipeline = network.pipeline(None, student.words, student.text, student.denoiser)  # type: ignore[arg-type]
        with torch.no_grad():
            text, _ = pipeline.encode_prompt(sentences, do_classifier_free_guidance=False, max_sequence_length=length)
            shown = student.denoiser(noisy, level * 1000, text, return_dict=False)[0]
        for block in student.denoiser.blocks:
            block.attn2.processor = student.padded
        assert torch.allclose(seen, shown, atol=1e-4)


def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import train

    early = train.Phase(until=2, spread=1.0, clips=2, batch=4, shift=3.0)
    late = train.Phase(until=math.inf, spread=0.25, clips=1, batch=2, shift=1.0)
    monkeypatch.setattr(train, "PHASES", (early, late))
    monkeypatch.setattr(train, "WARMUP", 1)
    monkeypatch.setattr(train, "FALL", 0.01)  # the rate must not have begun to fall where the run was cut
    train.train(tmp_path / "whole", 4)
    train.train(tmp_path / "halves", 3)
    train.train(tmp_path / "halves", 4)
    whole, halves = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "halves"))
    assert whole["step"] == halves["step"] == 4
    assert all(torch.equal(weight, halves["average"][name]) for name, weight in whole["average"].items())
