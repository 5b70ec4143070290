/* Every command, each in the file of its name. */
#pragma once

#include "cli/cli.h"

extern const struct command command_dev, command_serve, command_run, command_test, command_check, command_replay, command_fork, command_runs, command_records,
	command_events, command_approvals, command_tenant, command_backup, command_restore, command_key, command_migrate, command_doctor, command_version;
extern const struct command command_schedules, command_handoffs;
extern const struct command command_outcomes;
