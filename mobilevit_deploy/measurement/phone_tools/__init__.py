"""The runtimes' own command line tools, by the files that they run: what each is asked, and what it prints."""
