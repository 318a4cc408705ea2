#include "doctor/finding.h"

#include <stdint.h>

#include "base/fields.h"
#include "base/json.h"

static const char *const check_names[DOCTOR_CHECKS] = {
    [CHECK_CONFIG] = "config",
    [CHECK_ENVIRONMENT] = "environment",
    [CHECK_FOLDER] = "folder",
    [CHECK_LEASE] = "lease",
    [CHECK_KEYS] = "keys",
    [CHECK_STORE] = "store",
    [CHECK_LINKS] = "links",
    [CHECK_LIMITS] = "limits",
    [CHECK_NAMES] = "name-servers",
    [CHECK_HTTP_PROXY] = "http-proxy",
    [CHECK_TLS] = "tls",
    [CHECK_GATEWAY] = "gateway",
    [CHECK_CLOCK] = "gateway-clock",
    [CHECK_ZONE] = "gateway-zone",
    [CHECK_CLIENT] = "gateway-client",
    [CHECK_UPLOAD] = "gateway-upload",
    [CHECK_UPLOAD_URL] = "upload-url",
    [CHECK_PROXY] = "proxy",
    [CHECK_SECRET] = "secret",
    [CHECK_NAME] = "name",
    [CHECK_REACHABLE] = "reachable",
    [CHECK_CRON] = "cron",
};

const char *finding_check_name(enum doctor_check check)
{
    return check_names[check];
}

const char *finding_level_name(enum doctor_level level)
{
    static const char *const names[DOCTOR_LEVELS] = {
        [DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "FAIL"};

    return names[level];
}

/* A finding as its frame has it. */
struct finding_frame {
    int64_t check, level;
    struct str detail, cure;
};

#define AT(member) offsetof(struct finding_frame, member)

static const struct field finding_fields[] = {
    {.name = "check", .kind = FIELD_INT, .at = AT(check), .min = 0, .max = DOCTOR_PLACE},
    {.name = "level", .kind = FIELD_INT, .at = AT(level), .min = 0, .max = DOCTOR_FAIL},
    {.name = "detail", .kind = FIELD_PATH, .at = AT(detail), .max = FINDING_MAX_BYTES,
     .is_optional = true},
    {.name = "cure", .kind = FIELD_PATH, .at = AT(cure), .max = FINDING_MAX_BYTES,
     .is_optional = true},
    {.kind = FIELD_END}};

void finding_put(struct buf *out, const struct doctor_finding *f)
{
    const struct finding_frame frame = {f->check, f->level, f->detail, f->cure};

    fields_put(out, finding_fields, &frame);
}

int finding_read(struct doctor_finding *out, struct str frame, struct json **doc, struct err *e)
{
    struct finding_frame read = {.detail = STR(""), .cure = STR("")};
    struct json *root = json_parse(frame, JSON_SURROGATE_ESCAPE, e);

    if (root == NULL || fields_read(finding_fields, root, &read, NULL, e) != 0) {
        json_free(root);
        return -1;
    }
    *out = (struct doctor_finding){(enum doctor_check)read.check, (enum doctor_level)read.level,
                            read.detail, read.cure};
    *doc = root;
    return 0;
}
