"""Settings that are chosen by measuring: the largest batch size, XLA on or off."""
