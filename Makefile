# Makefile - names for what tools/ does; `make` alone lists them.
# Variables: ONLY=pattern (test), SIM_SEEDS=1000 (sim), FUZZ_SECONDS=60 (fuzz), KILL9_ROUNDS=100 (kill9).
.PHONY: help console newrel refetchdeps fmt test check-asan check-tsan sim fuzz bench kill9 slowhttp power damage clean
.DEFAULT_GOAL := help

help:           # this list
	@sed -nE 's/^([a-z0-9-]+): *# (.*)/make \1\t\2/p' Makefile | expand -t 20
console:        # install what is missing, build, run one node in the foreground
	@tools/setup run
newrel:         # build a release in rel/iorio; configuration and data stay as they are
	@tools/setup newrel
refetchdeps:    # fetch the newest packages of the Debian release, build anew
	@tools/setup refetchdeps
fmt:            # format the C files
	@tools/setup fmt
test:           # every test (ONLY=pattern: some)
	@tools/setup test $(if $(ONLY),--only '$(ONLY)')
check-asan:     # tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/setup check asan
check-tsan:     # tests under ThreadSanitizer
	@tools/setup check tsan
sim:            # the simulator, SIM_SEEDS seeds (1000)
	@tools/setup sim
fuzz:           # every fuzz target for FUZZ_SECONDS (60)
	@tools/setup fuzz
bench:          # benchmarks against redis-server, with a table
	@tools/setup bench
kill9:          # KILL9_ROUNDS rounds (100) of kill -9 while clients append
	@tools/setup kill9
slowhttp:       # slowhttptest in its four modes while appends go on
	@tools/setup slowhttp
power:          # recovery after a power cut at every write
	@tools/setup power
damage:         # every byte of a small data directory changed, every length cut
	@tools/setup damage
clean:          # remove what was built (not the release, its configuration and its data)
	@rm -rf build fuzz-work bench-work
	@find . -name __pycache__ -type d -not -path './rel/*' -prune -exec rm -rf {} +
