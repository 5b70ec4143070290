/* The operator's list of where requests may go. */
#pragma once

#include "base/json.h"

#include <sys/socket.h>

struct egress;

/* list: array of origins, NULL for none. ERR_INVALID names the entry. */
MUST_CHECK int egress_new(const json_t *list, struct egress **out, struct errbuf *e);
void egress_free(struct egress *egress);
/* ERR_INVALID or ERR_FORBIDDEN. */
MUST_CHECK int egress_check(const struct egress *egress, const char *url, struct errbuf *e);
/* May this address be connected to? Public ones may; others only where the list names address and port. */
bool egress_may_connect(const struct egress *egress, const struct sockaddr *address);
