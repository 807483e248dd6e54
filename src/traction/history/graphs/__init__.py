"""Graphs of flows: what histories show of them, merged, folded and written as Mermaid, SVG and JSON. Pure."""
