/*
 * YAML files in: a read-only tree with line numbers. The only owner of libyaml.
 * One document, at most YAML_MAX_BYTES, depth 16, 10,000 nodes; aliases, tags that are not core
 * and duplicate keys are refused.
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

enum { YAML_MAX_BYTES = 65536 };

enum yaml_type { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml; /* a node */

/* Parses `text`; `name` (the file's name as the user gave it) starts every error:
 * "NAME:LINE: cause". NULL on error. An empty document gives an empty mapping. Caller frees the
 * root with yaml_free, which wipes it: files hold secrets. */
struct yaml *yaml_parse(struct str text, const char *name, struct err *e);

/* Wipes and frees a document by its root. NULL-safe. */
void yaml_free(struct yaml *root);

enum yaml_type yaml_type(const struct yaml *node);
size_t yaml_line(const struct yaml *node); /* from 1 */

/* Returns a scalar's text; empty for others. */
struct str yaml_text(const struct yaml *node);

/* Returns true for a plain (unquoted) scalar: 5 and true are not "5" and "true". */
bool yaml_is_plain(const struct yaml *node);

/* Returns true for plain true and false in any of YAML 1.2 core's spellings; *out is the value. */
bool yaml_bool(const struct yaml *node, bool *out);

/* Returns the value under `key`, or NULL. */
const struct yaml *yaml_get(const struct yaml *mapping, const char *key);

/* Iterate over sequence items or mapping values; NULL at the end. */
const struct yaml *yaml_first(const struct yaml *container);
const struct yaml *yaml_next(const struct yaml *node);

/* Returns the key of a mapping's value. */
struct str yaml_key(const struct yaml *node);

#endif
