-- Tight limits and a short lease, so that tests of them are quick; two resident cells, so that waiting runs are evicted at once.
return {
  lease = "3s",
  cell = { memory = "16MiB", cpu = "150ms", wall = "1s", resident = 2 },
  limits = { runs_per_tenant = 60 },
}
