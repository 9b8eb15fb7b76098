"""What cues and networks say of each presentation; kept, so that a new network costs only its own time.

Values of the cues belong to the source text of ``edge/liveness/cues`` and ``passive``; a network's to its
digest. A kept clip may be read with some of its frames where only networks are asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from edge.liveness import cues, passive
from edge.liveness.calibration import PassiveCalibration
from edge.liveness.passive import PassiveEvidence, mean_share
from edge.liveness.training.fitting import Measured
from edge.liveness.training.presentations import CLIPS, Presentation, as_picture
from edge.ports import FrameExpert

Values = dict[str, float] | None
"""None: the passive evidence could not judge, whatever the networks say."""

NETWORK_FRAMES = 6  # of a clip, spread over it: what a network says of more hardly differs


class Notes:
    """Values by presentation and by what measured them; in a file, where there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        known = path is not None and path.is_file()
        self._told: dict[str, dict[str, Values]] = (
            json.loads(path.read_text("utf-8")) if known and path else {}
        )

    def get(self, key: str, by: str, make: Callable[[], Values]) -> Values:
        """What ``by`` measured of presentation ``key``; measured now where it was not before."""
        known = self._told.setdefault(by, {})
        if key not in known:
            known[key] = make()
        return known[key]

    def knows(self, by: str) -> bool:
        return by in self._told

    def save(self) -> None:
        """Write the file, where there is one."""
        if self._path is not None:
            self._path.write_text(json.dumps(self._told), "utf-8")


def cues_digest() -> str:
    """Names the cues as they are now."""
    texts = [*sorted(Path(str(cues.__file__)).parent.glob("*.py")), Path(str(passive.__file__))]
    return "cues " + hashlib.sha256(b"".join(path.read_bytes() for path in texts)).hexdigest()[:16]


def measure(
    presentations: Iterable[Presentation], experts: Sequence[FrameExpert], notes: Notes
) -> list[Measured]:
    """Measure each clip, the picture in its middle, and each picture; leave out what cannot be judged."""
    measured = []
    for number, clip in enumerate(presentations):
        for one in (clip, as_picture(clip)) if clip.form == CLIPS else (clip,):
            key = f"{number} {one.form}"
            values = notes.get(key, cues_digest(), lambda one=one: cue_values(one))  # type: ignore[misc]
            if values is None:
                continue
            said = dict(values)
            for expert in experts:
                by = f"{expert.name} {expert.model_sha256}"
                said |= notes.get(key, by, lambda one=one, e=expert: network_values(one, e)) or {}  # type: ignore[misc]
            measured.append(Measured(said, one.kind, one.instrument, one.person, one.form))
    notes.save()
    return measured


def cue_values(one: Presentation) -> Values:
    """By the product's own passive evidence, without any network."""
    evidence = PassiveEvidence((), PassiveCalibration.built_in())
    for number, (frame, face) in enumerate(zip(one.frames, one.faces, strict=True)):
        evidence.observe(frame, face, number / one.fps)
    result = evidence.result()
    judged = result.reason == "LIVENESS_NO_FRAME_EXPERT"
    return {name: round(value, 6) for name, value in result.values.items()} if judged else None


def network_values(one: Presentation, expert: FrameExpert) -> Values:
    """Its mean share over some frames."""
    usable = [(frame, face) for frame, face in zip(one.frames, one.faces, strict=True) if face is not None]
    shares = []
    for place in np.unique(np.linspace(0, len(usable) - 1, NETWORK_FRAMES).astype(int)) if usable else ():
        try:
            shares.append(expert.live(*usable[place]))
        except ValueError:
            continue
    return {expert.name: round(mean_share(shares), 6)} if shares else None
