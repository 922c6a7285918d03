"""A package that takes the payload's place where a test is about what happens around it."""

from pathlib import Path

# Batch size 2 fails, batch size 3 never ends, all others succeed; the arguments are kept.
MAIN = """\
import json, sys, time
options = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
batch = int(options["--batch-size"])
print("the fake payload runs with batch size", batch, file=sys.stderr)
if batch == 2:
    sys.exit("out of memory")
if batch == 3:
    time.sleep(600)
with open(sys.argv[-1], "w") as file:
    json.dump({"kind": "vdl-result", "arguments": sys.argv[1:]}, file)
"""


def make_payload(folder: Path) -> Path:
    """Write the package and return its folder."""
    package = folder / "payload"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(MAIN)
    return package
