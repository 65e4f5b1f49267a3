"""What shared objects and GPU code say of themselves, read from their bytes: nothing is loaded, no process started."""
