"""``python firmware-sim``: the simulator without an installation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from verifield_sim.cli import main

if __name__ == "__main__":
    main()
