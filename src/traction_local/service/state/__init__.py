"""The state of the simulated service."""
