"""Lightning callbacks: checkpoints, stopping and resuming, calibration, reports, TensorBoard."""
