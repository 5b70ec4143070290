/*
 * A PostgreSQL server for tests in C, with a pooler before it: that of tests/run, or one of our own when a program is started by hand. Each test
 * has a database of its own, a copy of the migrated one.
 */
#pragma once

#include <libpq-fe.h>

void postgres_server_start(void);
void postgres_server_stop(void);
/* A fresh database; the URL of perigee_app there. One at a time. */
const char *postgres_make(void);
const char *postgres_make_pooled(void);
void postgres_clear(void);
/* As superuser in that database; fails the test on an error. The first value of the first row, "" without; until the next call. */
const char *postgres_sql(const char *format, ...) __attribute__((format(printf, 1, 2)));
PGconn *postgres_connect(const char *user);
