"""One whole run: a study, a scoring, a mitigation; what is prepared, computed and written."""
