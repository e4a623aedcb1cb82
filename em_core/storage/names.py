"""Names of the tables."""

#: Column that says which landed file a row came with.
FILE = "source_file"

REFERENCE_TABLE = "bronze.reference_entities"
SOURCE_TABLE = "bronze.source_entities"
QUARANTINE_TABLE = "bronze.quarantined_files"
PAIR_TABLE = "silver.training_pairs"
QUERY_TABLE = "silver.training_queries"
EVALUATION_TABLE = "silver.evaluation_records"
DECISION_TABLE = "silver.match_results"
RESULT_TABLE = "gold.matched_entities"
CHANGE_TABLE = "gold.match_changes"
PROFILE_TABLE = "gold.run_profiles"
POLICY_TABLE = "gold.decision_policies"
COST_TABLE = "gold.run_costs"
