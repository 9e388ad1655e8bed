# make demo   the main job on the miniature benchmark, from nothing to tables
# make test   the tests
# make results  every method in every protocol on the miniature benchmark, docs/results-miniature.md
# make ablation  FDBPL and its variants on the miniature benchmark, docs/ablation.md
# make class-incremental  the protocol's table and curve, docs/class-incremental.md
# make pull   versioned results from the DVC remote, so that nothing reruns
# make fuzz   20,000 mutated files read by every reader; nothing but the project's own errors comes out
# make abuse  80 kills and 20 pairs of runs in one folder, half an hour on two cores
# make bench  ours against the published way, on ViT-B/16 and ViT-L/14 with random weights
# They set up .venv first when it is missing or outdated.

PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: demo test results ablation class-incremental pull bench fuzz abuse lint format schema dag report compare-page clean

demo: $(STAMP)
	@. $(BIN)/activate && snakemake --cores $(CORES)
	@cat results/tables/base_to_novel.md
	@echo "All tables, with their plots: results/tables/*.html"
	@echo "All runs: $(BIN)/mlflow ui --backend-store-uri sqlite:///results/mlflow.db"

test: $(STAMP)
	@$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

results: $(STAMP)
	@. $(BIN)/activate && snakemake --cores $(CORES) --configfile config/miniature_all.yaml
	@cp results/miniature_all/tables/few_shot.png docs/few_shot.png
	@printf '# Every method in every protocol, on the miniature benchmark\n\n%s\n\n%s\n\n' \
		'Made by `make results` ([config/miniature_all.yaml](../config/miniature_all.yaml)).' \
		'![Few-shot: accuracy by shots](few_shot.png)' > docs/results-miniature.md
	@for table in base_to_novel few_shot cross_dataset domain_generalization; do \
		sed 's/^#/##/' results/miniature_all/tables/$$table.md; \
	done >> docs/results-miniature.md

ablation: $(STAMP)
	@. $(BIN)/activate && snakemake --cores $(CORES) ablation
	@cp results/tables/ablation_fdbpl.png docs/ablation.png
	@printf '# FDBPL and its variants, on the miniature benchmark\n\n%s\n\n%s\n\n' \
		'Made by `make ablation` ([config/methods/fdbpl.yaml](../config/methods/fdbpl.yaml)).' \
		'![Points gained or lost](ablation.png)' > docs/ablation.md
	@sed 's/^#/##/' results/tables/ablation_fdbpl.md >> docs/ablation.md

class-incremental: $(STAMP)
	@. $(BIN)/activate && snakemake --cores $(CORES) --configfile config/class_incremental.yaml
	@cp results/class_incremental/tables/class_incremental.png docs/class-incremental.png
	@printf '# Class-incremental, on the miniature benchmark\n\n%s\n\n%s\n\n' \
		'Made by `make class-incremental` ([config/class_incremental.yaml](../config/class_incremental.yaml)).' \
		'![Accuracy by session](class-incremental.png)' > docs/class-incremental.md
	@sed 's/^#/##/' results/class_incremental/tables/class_incremental.md >> docs/class-incremental.md

pull: $(STAMP)
	@. $(BIN)/activate && promptdistill pull

# About an hour and 24 GB of memory on two cores; tables and plots go to results/benchmarks.
bench: $(STAMP)
	@$(BIN)/python benchmarks/region_pixels.py
	@$(BIN)/python benchmarks/scaling.py
	@$(BIN)/python benchmarks/pipeline.py
	@$(BIN)/python benchmarks/steps.py
	@$(BIN)/python benchmarks/training_time.py

fuzz: $(STAMP)
	@$(BIN)/python tests/fuzzing.py --count 20000 --seed 1

abuse: $(STAMP)
	@$(BIN)/python tests/abuse.py kills
	@$(BIN)/python tests/abuse.py records
	@$(BIN)/python tests/abuse.py pairs

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/snakefmt --check --compact-diff Snakefile workflow

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/snakefmt Snakefile workflow

schema: $(STAMP)
	@$(BIN)/promptdistill schema --output workflow/schemas/config.schema.json

# The picture in the README, PromptKD's teacher in it; needs Graphviz.
dag: $(STAMP)
	@. $(BIN)/activate && snakemake --rulegraph --config 'protocols={few_shot: "null", transfer: "null"}' \
		'methods=[zero_shot, coop, coop+caspl, promptsrc, fdbpl, promptkd]' \
		| python docs/draw_dag.py | dot -Tsvg > docs/dag.svg

report: $(STAMP)
	@. $(BIN)/activate && snakemake --cores $(CORES) && snakemake --report results/report.html

# The picture of MLflow's page in the README, from the demo's results; needs Chromium.
compare-page: $(STAMP)
	@$(BIN)/python tests/tracking/compare_page.py base_to_novel/mini_shapes/coop/16/1 \
		base_to_novel/mini_shapes/coop+caspl/16/1 docs/mlflow-compare.png

# uv installs in seconds; PIP_FIND_LINKS names a folder with wheels (a CPU-only torch, say).
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "promptdistill needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	@echo "Setting up .venv ..."
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode \
		$(if $(PIP_INDEX_URL),--index-url "$(PIP_INDEX_URL)") \
		$(if $(PIP_FIND_LINKS),--find-links "$(PIP_FIND_LINKS)") -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv results .snakemake
