"""vdl: deep-learning labs on vSphere, from one file to a comparison of training speeds."""

__version__ = "0.1.0"
