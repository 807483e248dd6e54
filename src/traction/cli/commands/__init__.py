"""The commands of `traction`, one per module."""
