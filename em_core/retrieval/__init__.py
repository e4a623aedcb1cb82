"""Candidates: lexical and vector channels, fused into one ranked list for each record."""
