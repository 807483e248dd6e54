"""Amazon SWF as a pure state machine."""
