"""Heavy steps as entry points of the wheel: the same command runs as a process here and as a wheel task on Databricks.

Exit codes: 0 done, 2 the user's mistake (one line on stderr), 1 a fault. `train_ditto` is the third of them (`em_core.ditto`).
"""
