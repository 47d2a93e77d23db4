"""Tests; a package, since distributions that carry a package of this name would otherwise be imported in its place."""
