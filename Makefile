.PHONY: help demo test check bench peers price-peers catalogue crash build

help:     ## what there is
	@grep -E '^[a-z-]+: +##' $(MAKEFILE_LIST) | sed 's/: *## */  /'
demo:     ## run the demo
	python3 tasks.py demo
test:     ## every test, with the newest and the oldest clients
	python3 tasks.py test
check:    ## lint, types, layers, generated files
	python3 tasks.py check
bench:    ## the performance table
	python3 tasks.py bench
peers:    ## the same calls through other instrumentations
	python3 tasks.py peers
price-peers: ## the same prices from other libraries
	python3 tasks.py price-peers
catalogue: ## the bundled catalogue again, from public price lists
	python3 tasks.py catalogue
crash:    ## the kill test at full size
	python3 tasks.py crash
build:    ## wheel and source archive
	python3 tasks.py build
