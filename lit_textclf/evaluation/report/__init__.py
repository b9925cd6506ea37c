"""How an evaluation is shown: tables, CSV files, figures, report.html."""
