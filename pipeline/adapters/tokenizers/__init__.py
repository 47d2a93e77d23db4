"""Tokenizers that come with the package; each is registered by its entry point."""
