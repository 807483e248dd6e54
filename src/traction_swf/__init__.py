"""The backend for Amazon SWF. Never imports `traction_local`."""
