"""What the commands of ``verifield-edge gallery`` are made of."""

from __future__ import annotations
