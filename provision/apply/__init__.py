"""Carries a plan out: a pipeline per machine, bounded, with deadlines and clean-up."""
