"""Operations of our own, which ATen lacks, with their plain definitions; a target writes them its way, or refuses."""
