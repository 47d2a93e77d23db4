"""Plain frozen values: records, the manifest, identities, units, errors. Nothing here reads a file or loads a model."""
