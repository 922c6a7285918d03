"""The training payload: runs in a guest or on bare metal, alone, and writes one JSON document."""
