"""How well the classifier tells spam, on a public corpus: `make spam`. Results: docs/guard-classifier.md."""
