"""The stages, from topics to the packed corpus. They import contracts and values only; execution hands them more."""
