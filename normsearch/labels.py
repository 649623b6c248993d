"""The class index of ignored voxels, shared by prepared labels, losses and scores."""

from __future__ import annotations

IGNORED = 255
"""The class index of voxels without annotation, which losses and scores ignore."""
