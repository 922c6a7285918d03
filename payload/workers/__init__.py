"""Several machines that train one model together.

The gradients travel through the engine's own network code. Beside it, worker 0 keeps two plain
connections to every other worker, which know no framework: over the first they agree on what is
trained, on the time and on the outcome (`team`), over the second they watch each other (`watch`).
"""
