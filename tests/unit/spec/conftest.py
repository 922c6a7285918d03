from pathlib import Path

import pytest

PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0n6GnFL5wYcE8TtJHHCwWsUQmzWCWrhvJxLYdSbxfS vdl@example"
)
LINES = [
    "lab: vroom",
    "vcenter: {datacenter: DC0, cluster: gpu, datastore: vsan}",
    "template: ubuntu-24.04",
    "guest: {ssh_key: key.pub}",
    "machines: {cpu: {count: 1}}",
]


class Files:
    """A folder with a public key, where lab files can be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "key.pub"
        self.key.write_text(f"{PUBLIC_KEY}\n", encoding="utf-8")

    def write(self, text: str | bytes, name: str = "lab.yaml") -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def lab_with(self, line: str) -> Path:
        """Write the correct lab with this line in the place of the one with the same key."""
        key = line.partition(":")[0]
        found = [known.partition(":")[0] for known in LINES]
        lines = [line if known == key else LINES[n] for n, known in enumerate(found)]
        return self.write("\n".join(lines if key in found else [*lines, line]) + "\n")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)
