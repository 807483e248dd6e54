"""Deterministic simulation: schedules, faults and virtual time."""
