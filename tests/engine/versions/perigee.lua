-- Tight limits, so that tests of them are quick; two resident cells, so that waiting runs are evicted at once.
return {
  cell = { memory = "16MiB", cpu = "150ms", wall = "1s", resident = 2 },
  limits = { runs_per_tenant = 60 },
}
