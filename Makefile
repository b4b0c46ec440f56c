# Everything runs in .venv, which the first target makes: with uv when it is there,
# else with the standard library's venv. Nothing here needs root.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test lint soak format clean
.PHONY: bench bench-micro bench-steps bench-story bench-adaptive bench-fairness bench-processes
.PHONY: bench-flat bench-start bench-idle bench-opcodes

$(READY): pyproject.toml setup.py $(wildcard crawler/*.c)
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python $(PYTHON) .venv && \
		uv pip install --quiet --python $(BIN)/python -e . --group dev; \
	else \
		$(PYTHON) -m venv .venv && \
		$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1" && \
		$(BIN)/python -m pip install --quiet -e . --group dev; \
	fi
	@$(BIN)/python -m compileall -q crawler storage  # else every start may take 60 ms for it
	@touch $@

demo: $(READY)  ## crawl a small bookshop served on loopback, show its rows
	$(BIN)/crawler demo

# In two processes, for much of it waits; but those that measure have the machine to themselves.
test: $(READY)  ## every test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not alone"
	$(BIN)/python -m pytest -m alone

lint: $(READY)  ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(READY)  ## a thousand kills
	$(BIN)/crawler selftest --kills 1000 --pages 300

format: $(READY)  ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# SITES and CONTESTANTS (names with commas between), ROUNDS; FULL=1: every site, into the README.
bench: $(READY)  ## the crawler beside a bare loop, Scrapy and Crawlee, on sites of documentation
	$(BIN)/python -m benchmarks.compare $(if $(SITES),--sites $(SITES)) \
		$(if $(CONTESTANTS),--contestants $(CONTESTANTS)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(FULL),--full --readme)

# ARGUMENTS="--benchmark-autosave", and after a change ARGUMENTS="--benchmark-compare".
bench-micro: $(READY)  ## what each step of a page costs
	$(BIN)/python -m pytest -o addopts=--import-mode=importlib -q --benchmark-sort=fullname \
		--benchmark-columns=median,iqr,rounds $(ARGUMENTS) \
		benchmarks/micro

bench-steps: $(READY)  ## where a page's microseconds go
	$(BIN)/python -m benchmarks.steps

# SITE: synthetic, or a manual that is installed.
bench-opcodes: $(READY)  ## steps of the interpreter for each page, also on a busy machine
	$(BIN)/python -m benchmarks.opcodes

bench-story: $(READY)  ## ten slow URLs: threads, asyncio, crawler
	@if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(BIN)/python requests; \
	else \
		$(BIN)/python -m pip install --quiet requests; \
	fi
	$(BIN)/python benchmarks/story.py

bench-adaptive: $(READY)  ## the concurrency found against the best fixed one; a server that refuses
	$(BIN)/python benchmarks/adaptive.py

bench-fairness: $(READY)  ## a thousand hosts beside a huge and a slow one
	$(BIN)/python benchmarks/fairness.py

bench-processes: $(READY)  ## callbacks in one, two and three processes
	$(BIN)/python benchmarks/processes.py

bench-flat: $(READY)  ## pages per second and memory, from ten thousand to a million URLs known
	$(BIN)/python benchmarks/flat.py

bench-start: $(READY)  ## from typing the command to the first request on the wire
	$(BIN)/python benchmarks/start.py

bench-idle: $(READY)  ## what a crawl costs while every host rests
	$(BIN)/python benchmarks/idle.py

clean:
	rm -rf .venv build dist crawler.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	rm -f crawler/*.so
