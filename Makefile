.PHONY: help demo test clients frameworks stores canary lock check bench soak peers price-peers catalogue crash collector collector-crash focus-validator build

help:     ## what there is
	@grep -E '^[a-z-]+: +##' $(MAKEFILE_LIST) | sed 's/: *## */  /'
demo:     ## run the demo
	python3 tasks.py demo
test:     ## every test, and each client, framework and database at its oldest and newest version
	python3 tasks.py test
clients:  ## only the clients
	python3 tasks.py clients
frameworks: ## only the agent frameworks
	python3 tasks.py frameworks
stores:   ## only the vector databases
	python3 tasks.py stores
canary:   ## all of them at whatever version the registry has today
	python3 tasks.py canary
lock:     ## the constraints of all of them again
	python3 tasks.py lock
check:    ## lint, types, layers, generated files
	python3 tasks.py check
bench:    ## the performance table
	python3 tasks.py bench
soak:     ## memory over 100,000 abandoned streams
	python3 tasks.py soak
peers:    ## the same calls through other instrumentations
	python3 tasks.py peers
price-peers: ## the same prices from other libraries
	python3 tasks.py price-peers
catalogue: ## the bundled catalogue again, from public price lists
	python3 tasks.py catalogue
crash:    ## the kill test at full size
	python3 tasks.py crash
collector: ## how fast the collector is, in memory and as a service
	python3 tasks.py collector
collector-crash: ## 200 kills of a collector under load, and a backend that is away for five minutes
	python3 tasks.py collector-crash
focus-validator: ## an export of FOCUS 1.2 through the FinOps Foundation's validator
	python3 tasks.py focus-validator
build:    ## wheel and source archive
	python3 tasks.py build
