"""Ditto: a pre-trained transformer that reads two records side by side and says whether they are the same entity.

After Li, Li, Suhara, Doan and Tan, "Deep Entity Matching with Pre-Trained Language Models", PVLDB 14(1), 2020.
Reading order: serialise -> data -> augment -> tokens -> model -> predict -> train -> folder -> entry_point.
"""
