"""The operations of the simulated service."""
