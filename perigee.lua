-- Perigee's settings. Everything here has a default; what is left out keeps it. The environment (PERIGEE_LISTEN …) and the command line go
-- over this file. It is evaluated in a cell: env "NAME" is put in by the host, so no secret ever enters Lua.
-- `perigee doctor --settings` shows what is in force and where it comes from.
return {
  listen = "127.0.0.1:8080",
  store = env("PERIGEE_STORE", "sqlite:.perigee"),  -- a folder: one file per tenant, one for the platform
  workers = 1,
  root = ".",                                       -- the folder with scripts/ and methodology/
  log = { format = "text", level = "info" },
  drain_timeout = "20s",

  -- What one run may use. A script that needs more fails with a named reason and harms nothing else.
  cell = { memory = "64MiB", cpu = "250ms", wall = "2s", resident = 500 },

  limits = { body = "8MiB", connections = 10000, runs_per_tenant = 1000 },
}
