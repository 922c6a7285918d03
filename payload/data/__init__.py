"""Training data: built in, from files and mirrors, and how batches are made of it."""
