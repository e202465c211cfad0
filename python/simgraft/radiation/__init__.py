"""Radiation: gas optics by k-distributions, transfer solvers, and the columns in which they run."""
