"""Read the world: files, processes, the driver. Facts only; nothing here has heard of the matrix."""
