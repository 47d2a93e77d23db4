"""The command line: arguments in, words out. Each command's module is imported when it is called."""
