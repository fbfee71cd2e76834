# Short names for what cargo does. Every recipe only delegates; `just` itself is never needed.

# List the recipes
default:
    @just --list

# Run the whole fleet on this machine against the simulated provider (--jobs N, --json)
demo *args:
    cargo xtask demo {{args}}

# Formatting, clippy, build and every test; arguments go to the test runner
test *args:
    cargo xtask test {{args}}

# Formatting and clippy alone
lint:
    cargo xtask lint

# Format all code
fmt:
    cargo fmt --all

# Build every program and test with the one set of features all chores share
build:
    cargo build --workspace --all-targets

# Suites that need outside tools, all or those named; a missing tool fails
verify *names:
    cargo xtask verify {{names}}

# The fleet under load while everything around it breaks, judged from outside (--jobs, --kills, --seed)
campaign *args:
    cargo xtask campaign {{args}}

# Measure every row and the peers on a quiet machine and write docs/benchmarks.md (or ROW ..., --long, --peers, --runs N, --write)
bench *args="--long --peers --write":
    cargo xtask bench {{args}}

# Whether the fleet keeps to the provider's limits and uses them (creates|slots, --submitters, --for, --faults)
limits *args:
    cargo xtask limits {{args}}

# A fleet that grows and shrinks at work, as the gateway says and limits allow (small, --jobs, --write)
scale *args:
    cargo xtask scale {{args}}

# Changed inputs for what strangers may send: a target, --for 60s
fuzz *args:
    cargo xtask fuzz {{args}}

# Print the generated pages in docs/ anew (--check: only compare)
docs *args:
    cargo xtask docs {{args}}

# The operator's command line, as built last
cli *args:
    "${CARGO_TARGET_DIR:-target}/debug/seedfleet" {{args}}

# Everything the gate runs, including the installs of a bare Debian
ci:
    .ci/run
