"""The table of metrics, and the metrics of a stage."""
