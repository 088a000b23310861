# Requires only Python 3.11 with its venv module, and make. Everything else is installed into virtual environments in this
# folder.

PYTHON ?= python3
VENV := .venv
DEMO := .demo-venv
PIP := -m pip --disable-pip-version-check install --quiet

.PHONY: demo test check pictures bench clean

# A new environment each time, so that the demo shows what a fresh installation does.
demo:
	$(PYTHON) -m venv --clear $(DEMO)
	$(DEMO)/bin/python $(PIP) .
	$(DEMO)/bin/keiji demo

test:
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python $(PIP) -e '.[test]'
	$(VENV)/bin/python -m pytest

check: $(VENV)/check
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/check
	for each in bench/*.py; do $(VENV)/bin/python $$each || exit 1; done

pictures: $(VENV)/pictures
	$(VENV)/bin/python docs/make_pictures.py

$(VENV)/check $(VENV)/pictures: pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(PIP) -e '.[$(@F)]'
	touch $@

clean:
	rm -rf $(VENV) $(DEMO)
