"""`lab.yaml` to a frozen, typed `Lab`, every mistake with its line and column."""
