"""The SWF service model: decisions, events, operations, names and limits. Data only."""
