"""A simulated vCenter with GPUs: one world, two doors."""
