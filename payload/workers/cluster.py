"""Who takes part in a job, and which of them this process is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

TF_CONFIG = "TF_CONFIG"
FROM_TF_CONFIG = "tf-config"
FEWEST_WORKERS, MOST_WORKERS = 2, 256
LARGEST_PORT = 65_535
_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or an IP address (IPv6 without its brackets), and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The workers of a job in the order of their ranks, and the rank of this one.

    Each address is where the engine of a worker listens. Worker 0 listens on a second port too,
    for what the workers agree on: the one behind the highest of its host.
    """

    workers: tuple[Address, ...]
    rank: int

    @property
    def size(self) -> int:
        """How many workers take part."""
        return len(self.workers)

    @property
    def meeting(self) -> Address:
        """Where worker 0 awaits the others."""
        host = self.workers[0].host
        return Address(host, 1 + max(w.port for w in self.workers if w.host == host))

    @property
    def ports(self) -> str:
        """The TCP ports that must be open between the workers, for messages."""
        return ", ".join(sorted({str(self.meeting.port), *(str(w.port) for w in self.workers)}))

    @property
    def tf_config(self) -> str:
        """The same, as TensorFlow wants it in the variable TF_CONFIG."""
        workers = [str(worker) for worker in self.workers]
        return json.dumps(
            {"cluster": {"worker": workers}, "task": {"type": "worker", "index": self.rank}}
        )


def parse(workers: str, rank: int | None, environment: Mapping[str, str]) -> Cluster:
    """Return the cluster that `--workers` and `--rank`, or TF_CONFIG, describe.

    Raises:
        ValueError: If they don't describe one; the text says why.
    """
    if workers == FROM_TF_CONFIG:
        if rank is not None:
            raise ValueError(
                "--rank does not go with --workers tf-config: the rank is in TF_CONFIG"
            )
        words, rank = _from_tf_config(environment.get(TF_CONFIG, ""))
    else:
        words = workers.split(",")
    if rank is None:
        raise ValueError("--workers needs --rank")
    if not FEWEST_WORKERS <= len(words) <= MOST_WORKERS:
        raise ValueError(
            f"--workers: {len(words)} given, {FEWEST_WORKERS} to {MOST_WORKERS} make a job"
        )
    addresses = tuple(_address(word) for word in words)
    if len({*addresses}) < len(addresses):
        raise ValueError("--workers: an address stands there twice")
    if not 0 <= rank < len(addresses):
        raise ValueError(f"--rank {rank}: there are workers 0 to {len(addresses) - 1}")
    return Cluster(addresses, rank)


def _address(word: str) -> Address:
    found = _ADDRESS.fullmatch(word.strip())
    if found is None or not 0 < int(found["port"]) < LARGEST_PORT:
        raise ValueError(f"--workers: {word.strip()!r} is no HOST:PORT")
    return Address(found["host"].strip("[]"), int(found["port"]))


def _from_tf_config(text: str) -> tuple[list[str], int]:
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        if [*config["cluster"]] != ["worker"] or task["type"] != "worker":
            raise ValueError("TF_CONFIG: all tasks must be of type worker")
        return [str(worker) for worker in workers], int(task["index"])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"TF_CONFIG describes no cluster of workers: {error!r}") from error
