"""Other servers beside ours, measured with the same work in the same run: `make bench-peers`. Read next: README.md."""
