"""Other libraries' heads, exported by a declaration, beside what the library itself decides."""
