"""What is measured: each a program of its own, run in a process of its own."""
