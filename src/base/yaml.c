#include "base/yaml.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/quote.h"

enum { YAML_MAX_DEPTH = 16, YAML_MAX_NODES = 10000 };

struct yaml {
    enum yaml_type type;
    bool is_plain;
    size_t line;
    char *key, *text; /* malloc'ed; key of a mapping's value, text of a scalar */
    size_t key_len, text_len;
    struct yaml *first, *next;
};

/* Events of libyaml become nodes: its own document type has forgotten aliases and duplicates. */
struct loader {
    yaml_parser_t parser;
    struct str text;
    const char *name;
    size_t nodes;
    struct err *e;
};

static int fail_at_line(const struct loader *l, size_t line, const char *cause)
{
    return err_set(l->e, ERR_PROTOCOL, "%s:%zu: %s", l->name, line, cause);
}

static int out_of_memory(const struct loader *l)
{
    return err_set(l->e, ERR_FAILED, "%s: out of memory", l->name);
}

static size_t line_of_offset(struct str text, size_t offset)
{
    size_t line = 1;

    for (size_t i = 0; i < offset && i < text.len; i++)
        line += text.p[i] == '\n';
    return line;
}

/* Says what libyaml found. */
static int fail_parser(const struct loader *l)
{
    const yaml_parser_t *p = &l->parser;
    const char *problem = p->problem == NULL ? "malformed" : p->problem;

    if (p->error == YAML_MEMORY_ERROR)
        return out_of_memory(l);
    if (p->error == YAML_READER_ERROR)
        return fail_at_line(l, line_of_offset(l->text, p->problem_offset), problem);
    if (p->context == NULL)
        return fail_at_line(l, p->problem_mark.line + 1, problem);
    return err_set(l->e, ERR_PROTOCOL, "%s:%zu: %s (%s)", l->name, p->problem_mark.line + 1,
                   problem, p->context);
}

static int next_event(struct loader *l, yaml_event_t *event)
{
    memset(event, 0, sizeof *event);
    return yaml_parser_parse(&l->parser, event) ? 0 : fail_parser(l);
}

static bool is_core_tag(struct str tag)
{
    static const char *const names[] = {"str", "int", "float", "bool", "null", "seq", "map", NULL};
    const struct str prefix = STR("tag:yaml.org,2002:");

    if (str_equal(tag, STR("!")))
        return true;
    if (!str_starts_with(tag, prefix))
        return false;
    for (const char *const *name = names; *name != NULL; name++)
        if (str_equal(str_slice(tag, prefix.len, tag.len), str_of(*name)))
            return true;
    return false;
}

static int check_tag(const struct loader *l, size_t line, const yaml_char_t *tag)
{
    if (tag == NULL || is_core_tag(str_of((const char *)tag)))
        return 0;
    return err_set(l->e, ERR_PROTOCOL, "%s:%zu: tag \"%s\" is not supported", l->name, line,
                   (const char *)tag);
}

/* A tag !!str or ! makes a string of a plain scalar, other tags something else of a quoted one. */
static bool is_plain_scalar(const yaml_event_t *event)
{
    const char *tag = (const char *)event->data.scalar.tag;

    if (tag == NULL)
        return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return strcmp(tag, "!") != 0 && !str_ends_with(str_of(tag), STR(":str"));
}

/* Moves a text: files have secrets, of which no copy shall stay behind. */
static char *move_text(yaml_char_t *text, size_t len)
{
    char *out = malloc(len + 1);

    if (out != NULL) {
        memcpy(out, text, len);
        out[len] = '\0';
    }
    explicit_bzero(text, len);
    return out;
}

/* The node that `event` starts, without children. */
static struct yaml *new_node(struct loader *l, yaml_event_t *event)
{
    size_t line = event->start_mark.line + 1;
    const yaml_char_t *tag = NULL;
    struct yaml *node = NULL;
    enum yaml_type type;

    if (event->type == YAML_ALIAS_EVENT) {
        fail_at_line(l, line, "aliases are not supported");
        return NULL;
    }
    if (event->type == YAML_SCALAR_EVENT) {
        type = YAML_SCALAR;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        type = YAML_SEQUENCE;
        tag = event->data.sequence_start.tag;
    } else {
        type = YAML_MAPPING;
        tag = event->data.mapping_start.tag;
    }
    if (check_tag(l, line, tag) != 0)
        return NULL;
    if (++l->nodes > YAML_MAX_NODES) {
        fail_at_line(l, line, "more than 10000 values");
        return NULL;
    }
    node = calloc(1, sizeof *node);
    if (node == NULL) {
        out_of_memory(l);
        return NULL;
    }
    node->type = type;
    node->line = line;
    if (type == YAML_SCALAR) {
        node->is_plain = is_plain_scalar(event);
        node->text_len = event->data.scalar.length;
        node->text = move_text(event->data.scalar.value, node->text_len);
        if (node->text == NULL) {
            out_of_memory(l);
            yaml_free(node);
            node = NULL;
        }
    }
    return node;
}

static struct yaml *load_node(struct loader *l, int depth, bool *is_end);

/* Makes `child` the value under the scalar `key`, whose text moves. */
static int set_key(const struct loader *l, const struct yaml *mapping, struct yaml *key,
                   struct yaml *child)
{
    char quoted[QUOTE_SIZE];

    for (const struct yaml *other = mapping->first; other != NULL; other = other->next)
        if (str_equal(yaml_key(other), yaml_text(key)))
            return err_set(l->e, ERR_PROTOCOL, "%s:%zu: duplicate key \"%s\"", l->name,
                           key->line, quote_str(quoted, yaml_text(key)));
    child->key = key->text;
    child->key_len = key->text_len;
    child->line = key->line;
    key->text = NULL;
    return 0;
}

/* One item, or one key with its value, as a node; NULL at the end or on error. */
static struct yaml *load_child(struct loader *l, const struct yaml *container, int depth,
                               bool *is_end)
{
    struct yaml *key = NULL, *child = NULL;

    if (container->type == YAML_SEQUENCE)
        return load_node(l, depth, is_end);
    key = load_node(l, depth, is_end);
    if (key == NULL)
        return NULL;
    if (key->type != YAML_SCALAR)
        fail_at_line(l, key->line, "a key must be a plain or quoted word");
    else
        child = load_node(l, depth, is_end);
    if (child != NULL && set_key(l, container, key, child) != 0) {
        yaml_free(child);
        child = NULL;
    }
    yaml_free(key);
    return child;
}

static int load_children(struct loader *l, struct yaml *container, int depth)
{
    struct yaml **end = &container->first;
    bool is_end = false;

    if (depth > YAML_MAX_DEPTH)
        return fail_at_line(l, container->line, "nested too deep");
    for (;;) {
        struct yaml *child = load_child(l, container, depth, &is_end);
        if (child == NULL)
            return is_end ? 0 : -1;
        *end = child;
        end = &child->next;
    }
}

/* The next node with all below it. NULL with *is_end at the end of its container, else on error.
 * `depth` counts the containers around it. */
static struct yaml *load_node(struct loader *l, int depth, bool *is_end)
{
    yaml_event_t event;
    struct yaml *node = NULL;

    if (next_event(l, &event) != 0)
        return NULL;
    if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT)
        *is_end = true;
    else
        node = new_node(l, &event);
    yaml_event_delete(&event);
    if (node != NULL && node->type != YAML_SCALAR && load_children(l, node, depth + 1) != 0) {
        yaml_free(node);
        node = NULL;
    }
    return node;
}

/* Skips to the type of the next event and its line. */
static int peek_event(struct loader *l, yaml_event_type_t *type, size_t *line)
{
    yaml_event_t event;

    if (next_event(l, &event) != 0)
        return -1;
    *type = event.type;
    *line = event.start_mark.line + 1;
    yaml_event_delete(&event);
    return 0;
}

static struct yaml *empty_mapping(struct loader *l)
{
    struct yaml *node = calloc(1, sizeof *node);

    if (node == NULL) {
        out_of_memory(l);
        return NULL;
    }
    node->type = YAML_MAPPING;
    node->line = 1;
    return node;
}

/* Stream start, at most one document, stream end. */
static struct yaml *load_document(struct loader *l)
{
    yaml_event_type_t type;
    struct yaml *root = NULL;
    bool is_end = false;
    size_t line;

    if (peek_event(l, &type, &line) != 0 || peek_event(l, &type, &line) != 0)
        return NULL;
    if (type == YAML_STREAM_END_EVENT)
        return empty_mapping(l);
    root = load_node(l, 0, &is_end);
    if (root == NULL)
        return NULL;
    if (peek_event(l, &type, &line) != 0 || peek_event(l, &type, &line) != 0)
        goto fail;
    if (type != YAML_STREAM_END_EVENT) {
        fail_at_line(l, line, "a second document");
        goto fail;
    }
    if (root->type != YAML_SCALAR || !root->is_plain || root->text_len > 0)
        return root;
    yaml_free(root);
    return empty_mapping(l);
fail:
    yaml_free(root);
    return NULL;
}

/* The text as it was read and decoded. */
static void wipe_parser(yaml_parser_t *parser)
{
    if (parser->raw_buffer.start != NULL)
        explicit_bzero(parser->raw_buffer.start,
                       (size_t)(parser->raw_buffer.end - parser->raw_buffer.start));
    if (parser->buffer.start != NULL)
        explicit_bzero(parser->buffer.start,
                       (size_t)(parser->buffer.end - parser->buffer.start));
}

struct yaml *yaml_parse(struct str text, const char *name, struct err *e)
{
    /* Some editors put a byte order mark first, and js-yaml does not mind. */
    const size_t mark = str_starts_with(text, STR("\xef\xbb\xbf")) ? 3 : 0;
    struct loader l = {.text = str_slice(text, mark, text.len), .name = name, .e = e};

    if (text.len > YAML_MAX_BYTES) {
        err_set(e, ERR_TOO_LARGE, "%s: more than %d bytes", name, YAML_MAX_BYTES);
        return NULL;
    }
    if (!yaml_parser_initialize(&l.parser)) {
        out_of_memory(&l);
        return NULL;
    }
    yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
    /* libyaml takes no NULL, which an empty buffer is. */
    yaml_parser_set_input_string(
        &l.parser, (const unsigned char *)(l.text.len > 0 ? l.text.p : ""), l.text.len);
    struct yaml *root = load_document(&l);
    wipe_parser(&l.parser);
    yaml_parser_delete(&l.parser);
    return root;
}

void yaml_free(struct yaml *root)
{
    while (root != NULL) {
        struct yaml *next = root->next;
        yaml_free(root->first);
        free(root->key);
        if (root->text != NULL)
            explicit_bzero(root->text, root->text_len);
        free(root->text);
        free(root);
        root = next;
    }
}

enum yaml_type yaml_type(const struct yaml *node)
{
    return node->type;
}

size_t yaml_line(const struct yaml *node)
{
    return node->line;
}

struct str yaml_text(const struct yaml *node)
{
    return (struct str){node->text, node->text_len};
}

bool yaml_is_plain(const struct yaml *node)
{
    return node->type == YAML_SCALAR && node->is_plain;
}

bool yaml_bool(const struct yaml *node, bool *out)
{
    static const char *const words[] = {"false", "true", "False", "True", "FALSE", "TRUE"};

    for (size_t i = 0; node != NULL && yaml_is_plain(node) && i < 6; i++)
        if (str_equal(yaml_text(node), str_of(words[i]))) {
            *out = i % 2 == 1;
            return true;
        }
    return false;
}

const struct yaml *yaml_get(const struct yaml *mapping, const char *key)
{
    if (mapping == NULL || mapping->type != YAML_MAPPING)
        return NULL;
    for (const struct yaml *child = mapping->first; child != NULL; child = child->next)
        if (str_equal(yaml_key(child), str_of(key)))
            return child;
    return NULL;
}

const struct yaml *yaml_first(const struct yaml *container)
{
    return container == NULL ? NULL : container->first;
}

const struct yaml *yaml_next(const struct yaml *node)
{
    return node->next;
}

struct str yaml_key(const struct yaml *node)
{
    return (struct str){node->key, node->key_len};
}
