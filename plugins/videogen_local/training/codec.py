"""The autoencoder of `local/shapes`: a stock `AutoencoderKLWan` whose weights are set, not trained.

The pictures of this world are so plain that a linear code does: the principal components of 8 x 8 patches. The network
has one convolution at either end that can hold them; what lies between is set to pass them through unchanged. Residual
branches get weight zero. The norm before the last convolution divides by a length that one large constant channel makes
almost constant. The activation silu(v) is v for large v, so each component is lifted well above zero before it and let
down again afterwards.
"""

from __future__ import annotations

from typing import Any, Final

import numpy.typing as npt
import torch
from diffusers import AutoencoderKLWan

PATCH: Final = 8  # pixels to a side
COMPONENTS: Final = 8
LIFT: Final = 16.0  # silu(16) = 16 - 2e-6
CONSTANT: Final = 8192.0  # the constant channel; the others stay within some tens


def patches(clips: npt.NDArray[Any]) -> torch.Tensor:
    """Clips (n, frames, height, width, 3) from 0 to 1, cut up: (n, frames, rows, columns, 192) from -1 to 1.

    The 192 numbers of a patch are in the order in which Wan's autoencoder cuts up a clip.
    """
    clip = torch.from_numpy(clips).mul(2).sub(1)
    n, frames, height, width, _ = clip.shape
    cut = clip.view(n, frames, height // PATCH, PATCH, width // PATCH, PATCH, 3)
    return cut.permute(0, 1, 2, 4, 6, 5, 3).reshape(n, frames, height // PATCH, width // PATCH, 3 * PATCH * PATCH)


class Basis:
    """Mean and principal components of patches, and the scale of each component."""

    def __init__(self, sample: torch.Tensor) -> None:
        flat = sample.reshape(-1, sample.shape[-1]).double()
        self.mean = flat.mean(0)
        values, vectors = torch.linalg.eigh((flat - self.mean).T @ (flat - self.mean) / len(flat))
        self.vectors = vectors[:, -COMPONENTS:].flip(1)
        spread = values[-COMPONENTS:].flip(0).sqrt()
        # Halfway between equal and true weights: detail is quieter than colour, but not too quiet to be learnt.
        self.std = (spread * spread[0]).sqrt()

    def encode(self, cut: torch.Tensor) -> torch.Tensor:
        """Patches to latents (n, components, frames, rows, columns)."""
        code = (cut.double() - self.mean) @ self.vectors / self.std
        return code.float().permute(0, 4, 1, 2, 3).contiguous()


@torch.no_grad()
def autoencoder(basis: Basis) -> AutoencoderKLWan:
    """The network that computes this basis there and back."""
    vae = AutoencoderKLWan(
        base_dim=COMPONENTS + 1,
        z_dim=COMPONENTS,
        dim_mult=[1],
        num_res_blocks=0,
        temperal_downsample=[],  # sic
        in_channels=3 * PATCH * PATCH,
        out_channels=3 * PATCH * PATCH,
        patch_size=PATCH,
        scale_factor_temporal=1,
        scale_factor_spatial=PATCH,
        latents_mean=[0.0] * COMPONENTS,
        latents_std=[1.0] * COMPONENTS,
    )
    for name, weight in vae.named_parameters():
        weight.fill_(1.0 if name.endswith("gamma") else 0.0)
    forth = (basis.vectors / basis.std).T.float()  # pixels to components
    back = (basis.vectors * basis.std).float()
    mean = basis.mean.float()
    here = (
        slice(None),
        slice(None),
        2,
        1,
        1,
    )  # this place in this frame: a causal kernel has it last of the three frames
    lifted = slice(0, COMPONENTS)

    encoder, decoder = vae.encoder, vae.decoder
    encoder.conv_in.weight[here][lifted] = forth
    encoder.conv_in.bias[lifted] = LIFT - forth @ mean
    decoder.conv_in.weight[here][lifted] = torch.eye(COMPONENTS)
    decoder.conv_in.bias[lifted] = LIFT
    for side in (encoder, decoder):
        side.conv_in.bias[COMPONENTS] = CONSTANT
        # The norm divides by about CONSTANT and multiplies with the root of the number of channels.
        side.norm_out.gamma[lifted] = CONSTANT / (COMPONENTS + 1) ** 0.5
    encoder.conv_out.weight[here][lifted, lifted] = torch.eye(COMPONENTS)
    encoder.conv_out.bias[lifted] = -LIFT
    encoder.conv_out.bias[COMPONENTS:] = -30.0  # logarithm of the variance: none
    decoder.conv_out.weight[here][:, lifted] = back
    decoder.conv_out.bias[:] = mean - LIFT * back.sum(1)
    for conv in (vae.quant_conv, vae.post_quant_conv):
        conv.weight[:, :, 0, 0, 0] = torch.eye(len(conv.weight))
    return vae.eval()
