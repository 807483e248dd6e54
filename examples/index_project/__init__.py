"""Index what happened in a project, and search it: the example of the README, on a real git repository.

`workflow` says what is done, `repository` and `search` are what its activities need, `__main__` runs it.
"""
