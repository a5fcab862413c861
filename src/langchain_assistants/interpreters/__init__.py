"""Sessions in which a model's code runs: what every one can do, and E2B's."""
