"""The network: one trunk looks at both crops, each has its own last stage, one head judges from both.

Plain 3x3 convolutions with shortcuts at the fine scales, inverted bottlenecks at the coarse one, a learned
weight per place instead of a mean at the end (Chen et al., MobileFaceNets, 2018): where something is in
the picture matters here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

EMBEDDING = 128
MAP_CHANNELS = 128  # of a teacher's last map, which only training looks at
WIDTHS = (24, 32, 64, 96)
LAST = 160
HIDDEN = 48


@dataclass(frozen=True)
class Answer:
    """For n faces. ``logit`` [n]: alive if positive.

    ``embeddings``: [n, 2, 128]; ``maps``: [n, 2, 128, 5, 5].
    """

    logit: Tensor
    embeddings: Tensor
    maps: Tensor


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(step(width, width), step(width, width, active=False))
        self.active = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        result: Tensor = self.active(x + self.body(x))
        return result


class Bottleneck(nn.Module):
    """Wider inside, one convolution per channel there (Sandler et al., MobileNetV2, 2018)."""

    def __init__(self, width: int, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            step(width, inside, kernel=1),
            step(inside, inside, stride=stride, groups=inside),
            step(inside, out, kernel=1, active=False),
        )
        self.shortcut = stride == 1 and width == out

    def forward(self, x: Tensor) -> Tensor:
        """[n, out, height / stride, width / stride]."""
        y: Tensor = self.body(x)
        return x + y if self.shortcut else y


class Stage(nn.Module):
    """The last stage of one crop: from [n, 64, 10, 10] to its embedding [n, 128] and map."""

    def __init__(self) -> None:
        super().__init__()
        narrow, wide = WIDTHS[2], WIDTHS[3]
        self.body = nn.Sequential(
            Bottleneck(narrow, 2 * narrow, wide, 2),
            Bottleneck(wide, 2 * wide, wide, 1),
            Bottleneck(wide, 2 * wide, wide, 1),
        )
        self.places = nn.Sequential(
            step(wide, LAST, kernel=1), step(LAST, LAST, kernel=5, groups=LAST, padding=0, active=False)
        )
        self.embed = nn.Linear(LAST, EMBEDDING)
        self.hint = nn.Conv2d(wide, MAP_CHANNELS, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding and features."""
        features = self.body(x)
        return self.embed(self.places(features).flatten(1)), features


class TextureNetwork(nn.Module):
    """``class_weights`` [2, 128, 3]: with which the teachers turn embeddings into scores; fixed."""

    class_weights: Tensor

    def __init__(self, class_weights: Tensor) -> None:
        super().__init__()
        first, second, third, _ = WIDTHS
        self.trunk = nn.Sequential(
            step(3, first, stride=2),
            step(first, second, stride=2),
            Residual(second),
            step(second, third, stride=2),
            Residual(third),
            Residual(third),
        )
        self.near, self.far = Stage(), Stage()
        self.head = nn.Sequential(
            nn.Linear(2 * EMBEDDING, HIDDEN), nn.ReLU(inplace=True), nn.Linear(HIDDEN, 1)
        )
        self.register_buffer("class_weights", class_weights)

    def forward(self, crops: Tensor) -> Answer:
        """``crops``: [n, 2, 3, 80, 80], 0..255, BGR."""
        count = crops.shape[0]
        stacked = crops.transpose(0, 1).reshape(2 * count, *crops.shape[2:])
        shared = self.trunk(normalised(stacked.contiguous(memory_format=torch.channels_last)))
        near, near_map = self.near(shared[:count])
        far, far_map = self.far(shared[count:])
        maps = torch.stack([self.near.hint(near_map), self.far.hint(far_map)], dim=1)
        return Answer(self._logit(near, far), torch.stack([near, far], dim=1), maps)

    def class_scores(self, embeddings: Tensor) -> Tensor:
        """What the teachers would say of embeddings [n, 2, 128]: [n, 2, 3]."""
        return torch.einsum("nse,sec->nsc", embeddings, self.class_weights)

    def judge(self, near: Tensor, far: Tensor) -> Tensor:
        """0..1 [n], higher is more alive, of crops [n, 3, 80, 80]: what is exported."""
        first, _ = self.near(self.trunk(normalised(near)))
        second, _ = self.far(self.trunk(normalised(far)))
        return torch.sigmoid(self._logit(first, second))

    def _logit(self, near: Tensor, far: Tensor) -> Tensor:
        logit: Tensor = self.head(torch.cat([near, far], dim=1))
        return logit.squeeze(1)


def normalised(crops: Tensor) -> Tensor:
    """0..255 as about -2..2."""
    return crops * (1 / 64.0) - 2.0


def step(
    width: int,
    out: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    groups: int = 1,
    padding: int | None = None,
    active: bool = True,
) -> nn.Sequential:
    """Convolution, batch normalisation, and rectifier where ``active``."""
    space = kernel // 2 if padding is None else padding
    parts: list[nn.Module] = [
        nn.Conv2d(width, out, kernel, stride, space, groups=groups, bias=False),
        nn.BatchNorm2d(out),
    ]
    if active:
        parts.append(nn.ReLU(inplace=True))
    return nn.Sequential(*parts)
