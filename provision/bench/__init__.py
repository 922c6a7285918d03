"""Runs the payload in the machines and keeps what it measured."""
