"""The wheel works without a checkout: in an empty environment, with what it declares it needs."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGuZIgyUnNM5UPnVlDyATH/NJkkByAbnwohvnbuEkk2n\n"
MANIFEST = [
    "ansible_collections/vdl/lab/playbooks/site.yml",
    "ansible_collections/vdl/lab/plugins/inventory/machines.py",
    "payload/__main__.py",
    "provision/_data/examples/lab.yaml",
    "provision/_data/inventory/lab.vdl.yml",
    "provision/gpu/catalogue.yaml",
    "provision/report/page.html.j2",
    "provision/simulator/worlds/demo.world.yaml",
]


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env")
    python = folder / "env" / "bin" / "python"
    done = run(
        sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python,
        "--constraint", ROOT / "requirements.lock", wheel, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return python.parent


def test_the_wheel_carries_playbooks_payload_and_inventory(installed: Path) -> None:
    code = "import provision, pathlib; print(pathlib.Path(provision.__file__).parents[1])"
    site = Path(run(installed / "python", "-c", code, cwd=installed).stdout.strip())
    assert [name for name in MANIFEST if not (site / name).is_file()] == []


def test_an_installed_vdl_answers(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "vdl", "--version", cwd=tmp_path).stdout.startswith("vdl, version ")
    schema = json.loads(run(installed / "vdl", "schema", cwd=tmp_path).stdout)
    assert "machines" in schema["properties"]


def test_an_installed_vdl_plans_against_its_own_simulator(installed: Path, tmp_path: Path) -> None:
    lab = (ROOT / "examples" / "demo.lab.yaml").read_text()
    (tmp_path / "lab.yaml").write_text(lab)
    (tmp_path / "id_ed25519.pub").write_text(PUBLIC_KEY)
    simulator = subprocess.Popen(
        [installed / "vdl", "simulator", "-o", "json"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert simulator.stdout is not None
        door = json.loads(simulator.stdout.readline())
        options = [f"--{name.replace('_', '-')}={door[name]}"
                   for name in ("server", "username", "password_file", "ca_file")]  # fmt: skip
        planned = run(installed / "vdl", "plan", "-o", "json", *options, cwd=tmp_path)
    finally:
        simulator.terminate()
        simulator.communicate()
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["summary"]["create"] == 4
    assert simulator.returncode == 0


def test_ansible_finds_plugin_and_playbooks_without_configuration(
    installed: Path, tmp_path: Path
) -> None:
    source = tmp_path / "lab.vdl.yml"
    source.write_text("{plugin: vdl.lab.machines, lab: missing.yaml}")
    listed = run(installed / "ansible-inventory", "-i", source, "--list", cwd=tmp_path)
    assert "missing.yaml: can't read the lab file" in listed.stderr
    here = {"ansible_connection": "local", "ansible_python_interpreter": str(installed / "python")}
    there = {"payload_dir": str(tmp_path / "there"), "payload_python": "unused"}
    hosts = {"all": {"hosts": {"metal-1": {**here, **there}}}}
    (tmp_path / "metal.yml").write_text(json.dumps(hosts))
    words = ("-i", "metal.yml", "vdl.lab.site", "--tags", "payload")
    played = run(installed / "ansible-playbook", *words, cwd=tmp_path)
    assert played.returncode == 0, played.stdout + played.stderr
    assert list(tmp_path.glob("there/releases/*/payload/__main__.py"))
