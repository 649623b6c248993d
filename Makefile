PYTHON ?= python3
BIN := .venv/bin
RUN := demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: demo test bench gpu clean

demo: .venv/ready
	$(BIN)/normsearch run studies/quickstart.yaml --name $(RUN)
	$(BIN)/normsearch best $(RUN)
	@echo "Pictures and report:"
	@$(BIN)/normsearch plot all $(RUN)
	@$(BIN)/normsearch report $(RUN)

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow and not gpu" -n 2 --dist loadfile --no-loadscope-reorder

bench: .venv/ready
	$(BIN)/python -m tests.benchmarks

# On a machine with a GPU and torch; no other package is needed. PARTS="norms steps" measures these alone.
OUT ?= build/gpu
gpu:
	@$(PYTHON) -m tests.benchmarks.gpu $(OUT) $(PARTS)

# nnU-Net's networks come without what they ask for: timm and so torchvision, which their U-Nets do not
# import, and which has no build for every torch.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps dynamic-network-architectures
	touch $@

clean:
	rm -rf .venv build dist
