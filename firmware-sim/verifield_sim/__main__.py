"""``python -m verifield_sim``."""

from verifield_sim.cli import main

if __name__ == "__main__":
    main()
