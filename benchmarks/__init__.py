"""What Traction may cost: measures with budgets, run by `make bench`."""
