"""The step algebra: what a flow can express."""
