"""Asks a served model through `mlflow.pyfunc.spark_udf`, and writes what came out.

python -m tests.spark.udf --model FOLDER --source feed.parquet --out results.parquet
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from em_core.schema import SOURCE
from em_core.spark import udf_columns, udf_type


def main() -> None:
    """Run the job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "source", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    import mlflow
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as f

    options = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1"}
    session = SparkSession.builder.master("local[2]").config(map=options).getOrCreate()
    source = session.read.parquet(str(arguments.source))
    names = [name for name in SOURCE.columns if name != "aliases"]
    ask = mlflow.pyfunc.spark_udf(session, str(arguments.model), result_type=udf_type(), env_manager="local")
    found = source.select(ask(f.struct(*names)).alias("result")).select(*udf_columns()).toPandas()
    found.attrs.clear()
    found.to_parquet(arguments.out)
    session.stop()


if __name__ == "__main__":
    main()
