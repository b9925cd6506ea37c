"""From parts to the file of predictions: a job of any engine, resumed where it stopped."""
