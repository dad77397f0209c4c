"""What jobs were run, and what came of them, in SQL. The manifests are the record of truth; this can be made anew."""
