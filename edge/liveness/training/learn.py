"""The course of the training: what is compared with what, in which steps, and where it is kept.

Distillation leads: a network that learned from simulated recapture alone did not transfer to real
webcams. The simulated labels pull the final answer only some way beyond what the teachers say.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed
from torch.nn import functional

from edge.liveness.training.network import Answer, TextureNetwork
from edge.liveness.training.shards import SEED, Shard, load

BATCH = 128
PEAK_RATE = 2.5e-3
WARM_UP, DECAY_SHARE = 200, 0.4  # steps at the start; share of the steps over which the rate falls
DECAY = 1e-3  # of weights, per unit of learning rate
EMA = 0.998  # of the weights that are kept: a mean over the last 500 steps or so
KEEP_EVERY = 250
TRUST_ATTACK = 0.5  # the teachers' part in what an attack should score; the label has the rest
TRUST_LIVE = 0.65
TRUST_WEBCAM = 0.4  # clips of real people before a real webcam: the label is certain and nothing is simulated
WEIGHT_EMBEDDING, WEIGHT_MAP, WEIGHT_CLASS, WEIGHT_FINAL = 1.0, 0.5, 1.0, 1.0


@dataclass(frozen=True)
class Pool:
    """All examples in memory. ``target``: what the final answer should be, 0..1 [n]."""

    crops: npt.NDArray[np.uint8]
    embeddings: npt.NDArray[np.float16]
    maps: npt.NDArray[np.float16]
    target: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class Scale:
    """Spread of the teachers' embeddings [2, 128] and maps [2, 128, 1, 1], so that all count alike."""

    embedding: Tensor
    maps: Tensor


def open_pool(paths: list[Path], class_weights: npt.NDArray[np.float32]) -> Pool:
    """Read shards. ``class_weights``: [2, 128, 3]."""
    shards = [load(path) for path in paths]
    return Pool(
        crops=np.concatenate([shard.crops for shard in shards]),
        embeddings=np.concatenate([shard.embeddings for shard in shards]),
        maps=np.concatenate([shard.features for shard in shards]),
        target=np.concatenate([final_target(shard, class_weights) for shard in shards]),
    )


def teacher_live(
    embeddings: npt.NDArray[np.float16], class_weights: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Mean of both teachers' share of "live": [n]."""
    scores = np.einsum("nse,sec->nsc", embeddings.astype(np.float32), class_weights)
    powers = np.exp(scores - scores.max(axis=2, keepdims=True))
    return np.asarray((powers[..., 1] / powers.sum(axis=2)).mean(axis=1), np.float32)


def final_target(shard: Shard, class_weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Between the teachers' answer and the label; where there is no label, the teachers' alone."""
    taught = teacher_live(shard.embeddings, class_weights)
    labels = shard.labels
    trust = np.where(labels == 1.0, TRUST_LIVE, TRUST_ATTACK)
    trust = np.where((labels == 1.0) & (shard.groups == "webcam"), TRUST_WEBCAM, trust)
    mixed = trust * taught + (1.0 - trust) * np.nan_to_num(labels)
    return np.where(np.isnan(labels), taught, mixed).astype(np.float32)


def spread(pool: Pool) -> Scale:
    """Standard deviations over the first examples."""
    embeddings = torch.from_numpy(pool.embeddings[:4096].astype(np.float32))
    maps = torch.from_numpy(pool.maps[:1024].astype(np.float32))
    return Scale(
        embeddings.std(dim=0).clamp_min(1e-2), maps.std(dim=(0, 3, 4))[..., None, None].clamp_min(1e-2)
    )


def loss_of(network: TextureNetwork, answer: Answer, pool: Pool, rows: Rows, scale: Scale) -> Tensor:
    """What training makes small."""
    embeddings = torch.from_numpy(pool.embeddings[rows.index].astype(np.float32))
    maps = torch.from_numpy(pool.maps[rows.index].astype(np.float32))
    maps = torch.where(torch.from_numpy(rows.mirrored)[:, None, None, None, None], maps.flip(-1), maps)
    taught = functional.softmax(network.class_scores(embeddings), dim=2)
    said = functional.log_softmax(network.class_scores(answer.embeddings), dim=2)
    target = torch.from_numpy(pool.target[rows.index])
    return (
        WEIGHT_EMBEDDING
        * functional.smooth_l1_loss(answer.embeddings / scale.embedding, embeddings / scale.embedding)
        + WEIGHT_MAP * functional.mse_loss(answer.maps / scale.maps, maps / scale.maps)
        - WEIGHT_CLASS * (taught * said).sum(dim=2).mean()
        + WEIGHT_FINAL * functional.binary_cross_entropy_with_logits(answer.logit, target)
    )


def in_full(answer: Answer) -> Answer:
    """The same in float32."""
    return Answer(answer.logit.float(), answer.embeddings.float(), answer.maps.float())


@dataclass(frozen=True)
class Rows:
    """One batch: which examples, and which of them are mirrored."""

    index: npt.NDArray[np.int64]
    mirrored: npt.NDArray[np.bool_]


def draw_rows(count: int, number: int, worker: int) -> Rows:
    """A worker's batch of step ``number``: follows from the seed and the numbers alone."""
    rng = np.random.default_rng((SEED, 3, number, worker))
    return Rows(rng.integers(0, count, BATCH), rng.random(BATCH) < 0.5)


def batch_of(pool: Pool, rows: Rows) -> Tensor:
    """Crops as the network takes them: [n, 2, 3, 80, 80]."""
    crops = pool.crops[rows.index]
    crops[rows.mirrored] = crops[rows.mirrored, :, :, ::-1]
    return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 1, 4, 2, 3))).float()


def rate_at(done: int, steps: int) -> float:
    """Learning rate: up, level, and down to nothing at the end (Zhai et al., 2022)."""
    left = (steps - done) / (DECAY_SHARE * steps)
    return PEAK_RATE * min(1.0, (done + 1) / WARM_UP, max(left, 1e-3))


@dataclass(frozen=True)
class Team:
    """Processes that train one network together: each has its own batch, and gradients are averaged.

    On a machine that is busy otherwise two processes come much further than one with two threads, which
    wait for each other in every layer.
    """

    worker: int = 0
    size: int = 1

    def average(self, tensors: list[Tensor]) -> None:
        """Put the mean over all processes into the tensors."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.size
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()


class Course:
    """A training that can be stopped after any kept step and goes on as if it had not been."""

    def __init__(
        self, class_weights: npt.NDArray[np.float32], steps: int, keep: Path, team: Team | None = None
    ) -> None:
        torch.manual_seed(SEED)
        self.class_weights = class_weights
        self.steps = steps
        self.done = 0
        self.network = TextureNetwork(torch.from_numpy(class_weights)).to(memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.network).eval()
        self._optimizer = torch.optim.AdamW(self.network.parameters(), PEAK_RATE, weight_decay=DECAY)
        self._keep = keep
        self._team = team or Team()
        if keep.exists():
            self._restore(torch.load(keep, weights_only=True))

    def run(self, pool: Pool, until: int, progress: Callable[[int, float], None]) -> None:
        """Train up to step ``until`` on this pool."""
        scale = spread(pool)
        self.network.train()
        while self.done < min(until, self.steps):
            rows = draw_rows(len(pool), self.done, self._team.worker)
            with torch.autocast("cpu", torch.bfloat16):  # a quarter quicker where the processor has it
                answer = self.network(batch_of(pool, rows))
            loss = loss_of(self.network, in_full(answer), pool, rows, scale)
            for group in self._optimizer.param_groups:
                group["lr"] = rate_at(self.done, self.steps)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._team.average([p.grad for p in self.network.parameters() if p.grad is not None])
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self._optimizer.step()
            self._average()
            self.done += 1
            progress(self.done, float(loss.detach()))
            if self.done % KEEP_EVERY == 0 or self.done == self.steps:
                self._team.average([b for b in self._buffers() if b.dtype.is_floating_point])
                if self._team.worker == 0:
                    self.keep()

    def keep(self) -> None:
        """Write everything that going on needs."""
        part = self._keep.with_suffix(".part")
        torch.save(
            {
                "done": self.done,
                "network": self.network.state_dict(),
                "mean": self.mean.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            },
            part,
        )
        part.replace(self._keep)

    def _buffers(self) -> list[Tensor]:
        """What batch normalisation has counted, which differs between processes."""
        return [*self.network.buffers(), *self.mean.buffers()]

    def _restore(self, kept: dict[str, Any]) -> None:
        self.done = int(kept["done"])
        self.network.load_state_dict(kept["network"])
        self.mean.load_state_dict(kept["mean"])
        self._optimizer.load_state_dict(kept["optimizer"])

    @torch.no_grad()
    def _average(self) -> None:
        share = min(EMA, (1 + self.done) / (10 + self.done))
        new = self.network.state_dict()
        for name, value in self.mean.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(new[name], 1.0 - share)
            else:
                value.copy_(new[name])
