"""Definitions of activities and workflows, from classes and functions."""
