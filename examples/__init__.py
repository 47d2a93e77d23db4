"""Programs to read and change. A package, so that no installed one of the same name hides it."""
