"""One module per target: SEEDS, and run(data), which raises on a defect."""
