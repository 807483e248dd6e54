"""Answer the contract of `traction.backend` with Amazon SWF.

Takes a URL (`swf://domain?region=...&endpoint=...`); gives a backend that keeps its histories and task lists in the
service. `wire` is pure and says how a struct is written in SWF's JSON; `backend` alone imports boto3. Never imports
`traction_local`.
"""
