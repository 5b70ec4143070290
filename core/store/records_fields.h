/* Names of fields in bodies: letters, digits, _ and -, dots between steps ("address.city"). For records.c and records_list.c. */
#pragma once

#include "store/records.h"

MUST_CHECK bool record_field_path(struct str field, struct buf *path);           /* $."address"."city"; false: no such name */
const json_t *record_field_value(const json_t *body, struct str field);          /* NULL: absent */
bool record_field_is_indexed(const json_t *manifest, struct str kind, struct str field);
