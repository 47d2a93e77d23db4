"""How fast corpora are audited."""
