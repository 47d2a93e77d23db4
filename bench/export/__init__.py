"""How fast corpora are exported."""
