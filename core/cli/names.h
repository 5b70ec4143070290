/* Names that people give on the command line: one that nothing goes by is refused, with those that exist. */
#pragma once

#include "cli/host.h"

/* -1 to go on, else the exit code after telling which tenants exist. The default tenant needs no making: a store without any tenant has it at once. A host on a
 * scratch store knows those of the configured store and of the folder tenants/ of the root. */
int names_need_tenant(struct host *host, const char *tenant);

/* "no KIND …; known: a, b" for a name that is neither in the manifests of the tenant's last bundles (agents or kinds) nor in its rows; -1 to go on. */
int names_need_kind(struct host *host, const char *tenant, const char *kind);
int names_need_agent(struct host *host, const char *tenant, const char *agent);
