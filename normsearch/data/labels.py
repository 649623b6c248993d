"""What a class index means wherever one is: in prepared labels, losses and scores."""

from __future__ import annotations

IGNORED = 255
"""The class index of voxels that nobody annotated: left out of every loss and every score."""
