"""Ditto: a pre-trained transformer that reads two records side by side and says whether they are the same entity.

After Li, Li, Suhara, Doan and Tan, "Deep Entity Matching with Pre-Trained Language Models", PVLDB 14(1), 2020.
Reading order: serialise -> data -> knowledge -> summarise -> prepare -> tokens -> model -> scoring; then augment -> lessons ->
parallel -> learner -> checkpoint -> train; beside the encoder similarity -> boosting -> blend -> combine; then runtime ->
export -> predict; at last manifest -> card -> folder -> config -> entry_point.
"""
