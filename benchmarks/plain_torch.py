"""ELEGANT in plain eager PyTorch: the baseline of `train_step.py`.

The networks and the update are written down as the authors' program lists them (preset `official`): one
module per network, one forward call per batch of images, `loss.backward()` and `torch.optim.Adam`. Nothing is
tuned for or against PyTorch: default threads, default memory format, no compilation. Modules are named as in
the released checkpoints.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

ADVERSARIAL_WEIGHTS = (1.0, 0.5)  # D1, D2
RECONSTRUCTION_WEIGHT = 5.0
BETAS = (0.5, 0.999)
EPSILON = 1e-8


class Normalization(nn.Module):
    """`alpha * x / max(|x| over channels, 1e-12) + beta`, on `[N, C, H, W]`."""

    def __init__(self):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1))
        self.beta = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return F.normalize(x, dim=1, eps=1e-12) * self.alpha + self.beta


def down_block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), Normalization(), nn.LeakyReLU(0.2)]


def up_convolution(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)


def channels(width: int, depth: int) -> list[int]:
    """Output channels of `depth` blocks: they double from `width` up to eight times `width`."""
    return [width * min(2**block, 8) for block in range(depth)]


class Encoder(nn.Module):
    """`[N, 3, S, S]` to the outputs of every block, the last of which is the code."""

    def __init__(self, width: int, depth: int):
        super().__init__()
        sizes = [3, *channels(width, depth)]
        self.main = nn.ModuleList(nn.Sequential(*down_block(a, b)) for a, b in pairwise(sizes))

    def forward(self, x):
        outputs = []
        for block in self.main:
            x = block(x)
            outputs.append(x)
        return outputs[-1], outputs[:-1]


class Decoder(nn.Module):
    """`(edited code, own code, own skips)` to the residual, `[N, 3, S, S]`."""

    def __init__(self, width: int, depth: int):
        super().__init__()
        code, *skips = reversed(channels(width, depth))
        sizes = [2 * code, *skips]
        blocks = [nn.Sequential(up_convolution(a, b), Normalization(), nn.ReLU()) for a, b in pairwise(sizes)]
        self.main = nn.ModuleList([*blocks, nn.Sequential(up_convolution(sizes[-1], 3))])

    def forward(self, edited, code, skips):
        x = torch.cat([edited, code], dim=1)
        for block, skip in zip(self.main, reversed(skips), strict=False):
            x = block(x) + skip
        return 2 * torch.tanh(self.main[-1](x))


class Discriminator(nn.Module):
    """Images `[N, 3, S, S]` with labels `[N, n]` to logits `[N, 1]`."""

    def __init__(self, attributes: int, size: int, width: int):
        super().__init__()
        sizes = [3 + attributes, *channels(width, 4)]
        self.conv = nn.Sequential(*(layer for a, b in pairwise(sizes) for layer in down_block(a, b)))
        self.linear = nn.Sequential(nn.Linear(sizes[-1] * (size // 16) ** 2, 1))

    def forward(self, image, label):
        planes = label[:, :, None, None].expand(*label.shape, *image.shape[2:])
        x = self.conv(torch.cat([image, planes], dim=1))
        return self.linear(x.flatten(1))


class PlainElegant:
    """The four networks, their two optimizers and one training update."""

    def __init__(self, attributes: int = 5, size: int = 64, width: int = 64, depth: int = 5):
        self.block_edges = [round(channels(width, depth)[-1] * i / attributes) for i in range(attributes + 1)]
        self.Enc, self.Dec = Encoder(width, depth), Decoder(width, depth)
        self.D1, self.D2 = Discriminator(attributes, size, width), Discriminator(attributes, size // 2, width)
        adam = {"lr": 2e-4, "betas": BETAS, "weight_decay": 1e-5}
        self.optimizer_G = torch.optim.Adam([*self.Enc.parameters(), *self.Dec.parameters()], **adam)
        self.optimizer_D = torch.optim.Adam([*self.D1.parameters(), *self.D2.parameters()], **adam)
        self.updates = 0

    def generate(self, A, B, i: int):
        """`A1, B1, C, D`: both reconstructions, A with B's attribute `i` and B with A's."""
        z_A, skips_A = self.Enc(A)
        z_B, skips_B = self.Enc(B)
        own = slice(self.block_edges[i], self.block_edges[i + 1])
        z_C, z_D = z_A.clone(), z_B.clone()
        z_C[:, own], z_D[:, own] = z_B[:, own], z_A[:, own]
        residuals = (
            self.Dec(z_A, z_A, skips_A),
            self.Dec(z_B, z_B, skips_B),
            self.Dec(z_C, z_A, skips_A),
            self.Dec(z_D, z_B, skips_B),
        )
        return [torch.clamp(x + R, -1, 1) for x, R in zip((A, B, A, B), residuals, strict=True)]

    def adversarial(self, images, labels, target: float):
        """`sum_k weight_k * BCE(D_k(images, labels), target)`."""
        total = 0.0
        pyramid = (images, F.avg_pool2d(images, 2))
        for weight, D, x in zip(ADVERSARIAL_WEIGHTS, (self.D1, self.D2), pyramid, strict=True):
            logits = D(x, labels)
            total = total + weight * F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
        return total

    def update(self, A, B, Y_A, Y_B, i: int) -> dict[str, float]:
        """One update of attribute `i` on images `[N, 3, S, S]` in [-1, 1] and labels `[N, n]` in {0, 1}."""
        self.updates += 1
        self.correct_epsilon()
        Y_C, Y_D = Y_A.clone(), Y_B.clone()
        Y_C[:, i], Y_D[:, i] = Y_B[:, i], Y_A[:, i]
        A1, B1, C, D = self.generate(A, B, i)

        real = self.adversarial(A, Y_A, 1) + self.adversarial(B, Y_B, 1)
        fake = self.adversarial(C.detach(), Y_C, 0) + self.adversarial(D.detach(), Y_D, 0)
        loss_D = (real + fake) / 4
        self.optimizer_D.zero_grad()
        loss_D.backward()
        self.optimizer_D.step()

        reconstruction = F.mse_loss(A1, A) + F.mse_loss(B1, B)
        adversarial = self.adversarial(C, Y_C, 1) + self.adversarial(D, Y_D, 1)
        loss_G = RECONSTRUCTION_WEIGHT * reconstruction + adversarial
        self.optimizer_G.zero_grad()
        loss_G.backward()
        self.optimizer_G.step()
        return {"loss_D": loss_D.item(), "loss_G": loss_G.item()}

    def correct_epsilon(self):
        """Makes today's Adam that of the authors' PyTorch 0.3, where epsilon meets the uncorrected mean square."""
        for optimizer in (self.optimizer_G, self.optimizer_D):
            optimizer.param_groups[0]["eps"] = EPSILON / (1 - BETAS[1] ** self.updates) ** 0.5
