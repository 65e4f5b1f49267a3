# Two commands matter: `make check` judges this machine, `make test` tests the tool. Each makes a venv of its own.
PYTHON ?= python3
CHECK_VENV := .venv-check
TEST_VENV := .venv-test
# The tested torch; see docs/design.md, "What CI installs".
TORCH := torch==2.13.0
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

.PHONY: check test lint matrix golden clean

check: $(CHECK_VENV)/.ready
	$(CHECK_VENV)/bin/python -m pytest --trtcheck $(ARGS)

test: $(TEST_VENV)/.ready lint
	$(TEST_VENV)/bin/python -m coverage erase
	$(TEST_VENV)/bin/python -m coverage run -m pytest $(ARGS)
	$(TEST_VENV)/bin/python -m coverage combine --quiet
	$(TEST_VENV)/bin/python -m coverage report --include='pytest_trtcheck/probe/*,pytest_trtcheck/verdict/*'

lint: $(TEST_VENV)/.ready
	$(TEST_VENV)/bin/ruff check .
	$(TEST_VENV)/bin/ruff format --check .
	$(TEST_VENV)/bin/mypy
	$(TEST_VENV)/bin/lint-imports
	$(TEST_VENV)/bin/python -m matrix.derive --check

matrix: $(TEST_VENV)/.ready
	$(TEST_VENV)/bin/python -m matrix.derive

golden: $(TEST_VENV)/.ready
	$(TEST_VENV)/bin/python -m pytest tests/golden --rewrite-golden

$(CHECK_VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(CHECK_VENV)
	$(CHECK_VENV)/bin/python $(PIP_INSTALL) $(TORCH)
	$(CHECK_VENV)/bin/python $(PIP_INSTALL) -e .
	touch $@

$(TEST_VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(TEST_VENV)
	$(TEST_VENV)/bin/python $(PIP_INSTALL) -e '.[dev]'
	touch $@

clean:
	rm -rf $(CHECK_VENV) $(TEST_VENV) build dist *.egg-info
