"""What a page costs, step by step: `make bench-micro` (docs/performance.md says how to compare)."""
