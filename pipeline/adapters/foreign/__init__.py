"""Layouts that `import` reads back into a corpus, each as a reader of files."""
