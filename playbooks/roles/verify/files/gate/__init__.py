"""The gate: says whether a machine is what it should be before its numbers are believed.

Runs in the guest, on Python 3.9 or later and its standard library alone:
`python -m gate FILE < question.json` writes the verdict to FILE and prints it.
"""
