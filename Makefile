# The two commands of the README are `make demo` and `make test`. Each sets everything up first.

UV_VERSION := 0.13.9
PYTHON     ?= python3
UV         := .tools/bin/uv
RUN        := .venv/bin

.PHONY: demo test contract faults guests systems booted driver engines trainings lint format bench lock clean

demo: .venv/ready
	$(RUN)/vdl demo

# Two at a time, as many as the smallest machine has cores for; a file's tests share what they set up.
test: .venv/ready lint
	$(RUN)/pytest -n 2 --dist loadfile

# The simulated vCenter beside VMware's own tools; needs Go 1.25 or later.
contract: .venv/ready
	$(RUN)/pytest tests/contract/test_both.py tests/contract/test_govc.py tests/contract/test_govc_more.py

# Every step at which vdl may be killed, every fault of a long run: what make test samples.
faults: .venv/ready
	$(RUN)/pytest -m sweep

# The payload on JAX and PyTorch, held against TensorFlow; fetches 3 GB the first time.
engines: .venv-engines/ready
	.venv-engines/bin/pytest -m engines

# Every model learns digits in every precision: slow, so make test has only the quick ones.
trainings: .venv/ready
	$(RUN)/pytest -m trainings

# The playbooks on guests that boot, in containers: needs root and what docs/simulator.md lists.
guests: .venv/ready
	$(RUN)/pytest -m nspawn

# The roles on Debian 13 and Ubuntu 22.04 and 24.04 too, in such guests.
systems: .venv/ready
	$(RUN)/pytest -m systems

# Debian's own NVIDIA driver, fetched and compiled in such a guest; shows what modinfo says of it.
driver: .venv/ready
	$(RUN)/pytest -m driver -s tests/roles

# One virtual machine on VMware's hardware, emulated: needs root, QEMU and dnsmasq.
booted: .venv/ready
	$(RUN)/pytest -m qemu

lint: .venv/ready
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/mypy --python-version 3.10 --package payload
	$(RUN)/mypy --python-version 3.10 playbooks/roles/verify/files/gate
	$(RUN)/lint-imports
	$(RUN)/yamllint --strict .
	PATH=$(CURDIR)/$(RUN):$$PATH $(RUN)/ansible-lint --nocolor -q playbooks

format: .venv/ready
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

bench: .venv/ready
	$(RUN)/python -m tests.benchmarks

# Pins every dependency, for every platform, with hashes.
lock: $(UV)
	$(UV) pip compile --quiet --universal --generate-hashes --all-extras --group dev \
	    --upgrade pyproject.toml --output-file requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --all-extras --group dev \
	    --group engines --constraint requirements.lock pyproject.toml \
	    --output-file requirements-engines.lock
	for kind in cpu gpu; do $(UV) pip compile --quiet --universal --generate-hashes --no-annotate \
	    --python-version 3.10 --upgrade playbooks/roles/payload/files/requirements-$$kind.in \
	    --output-file playbooks/roles/payload/files/requirements-$$kind.txt || exit; done

$(UV):
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet uv==$(UV_VERSION)

.venv/ready: requirements.lock pyproject.toml $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --require-hashes requirements.lock
	$(UV) pip install --quiet --no-deps --editable .
	touch $@

.venv-engines/ready: requirements-engines.lock pyproject.toml $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv-engines
	$(UV) pip sync --quiet --require-hashes --python .venv-engines requirements-engines.lock
	$(UV) pip install --quiet --no-deps --python .venv-engines --editable .
	touch $@

clean:
	rm -rf .tools .venv .venv-engines .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist results
