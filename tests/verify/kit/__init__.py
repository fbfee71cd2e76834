"""What the Python suites share: a fleet of real programs, and a virtual environment of each suite's own."""
