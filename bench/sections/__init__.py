"""One file per section; each offers its `SECTION` to bench.catalogue."""
