# weir: see README.md. `make help` lists the targets.
GO ?= go
export CGO_ENABLED ?= 0
PACKETS ?= 1000000
SEED ?= 1
TIME ?= 10m

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

test: ## everything that can run here, the comparison with the running kernel included
	@./internal/test.sh

campaign: ## compare with the kernel: PACKETS=1000000 SEED=1
	$(GO) run ./internal/linuxdiff/cmd/campaign -packets $(PACKETS) -seed $(SEED) -dir internal/linuxdiff/testdata/cases

fuzz: ## fuzz every parser, TIME=10m each
	@./internal/fuzz.sh $(TIME)

bench: ## weir beside its peers: writes bench/results.json and docs/performance.md
	cd bench && $(GO) run .

record: ## play the scenario files through Linux and write down what it does
	$(GO) test ./internal/linuxdiff -run "TestScenarios|TestExtensionSheets" -count=1 -v -record | grep -v -e '^=== ' -e '--- PASS'

docs: ## write the generated pages again
	$(GO) test ./xtables/std -run TestSupportPage -update
	$(GO) test ./internal/rfc -run TestPage -update
	$(GO) test ./cmd/weir -run 'TestLintPage|TestDiffPage' -update

.PHONY: help test campaign fuzz bench record docs
