"""How the appliance's texture network is made: simulated recapture, teachers, training, export.

``python -m edge.liveness.training`` does it all; docs/liveness-model.md is the model card. Nothing here
runs on a device in the field.
"""
