/*
 * The wall round scripts. jail_enter confines the zygote and with it, by inheritance, every stem and cell: no new privileges, an unprivileged user
 * (when started as root), not dumpable, no file or network (Landlock), small limits. jail_stem and jail_cell add the system call filters; that of
 * a cell leaves reading, writing, memory that is never code, and exit.
 *
 * Every part is required but Landlock, which some kernels lack; a missing one ends the process with EXIT_JAIL.
 */
#pragma once

/* Build the filters and enter what is common to all. Descriptor `null` is /dev/null, opened here. */
void jail_enter(void);
extern int jail_null;
/* First thing in a forked process: it dies with its parent, whose id is given. */
void jail_child(int parent);
void jail_stem(void);
void jail_cell(void);
