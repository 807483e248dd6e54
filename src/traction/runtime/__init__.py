"""What runs in the current thread: the turn of a flow, or an activity task."""
