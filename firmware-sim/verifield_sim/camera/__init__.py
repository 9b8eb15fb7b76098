"""The simulated camera: what a webcam in front of a person, a paper print or an empty chair would see."""

from verifield_sim.camera.faults import CameraAway, CameraFault, CameraFaultKind, FaultyCamera
from verifield_sim.camera.scene import PersonKind, PersonStart, Scene

__all__ = [
    "CameraAway",
    "CameraFault",
    "CameraFaultKind",
    "FaultyCamera",
    "PersonKind",
    "PersonStart",
    "Scene",
]
