"""Figures against peers and floors, measured in one run on one machine; see README.md."""
