"""How the simulated service applies decisions."""
