"""Shows an evaluation: tables, CSV files, figures, report.html."""
