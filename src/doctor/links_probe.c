/* The files that are shared: as they were linked, or changed, gone, without manifest. */
#include "base/clock.h"
#include "doctor/probe.h"
#include "doctor/sample.h"

static void put_count(struct buf *out, size_t count, const char *what)
{
    if (count > 0)
        buf_printf(out, "%s%zu %s", out->len > 0 ? ", " : "", count, what);
}

static void judge_sample(struct probe *p, struct sample *s)
{
    const char *some = s->is_whole ? "" : "the first ";
    struct buf bad = {0}, lacking = {0};

    put_count(&bad, s->changed, "changed since");
    put_count(&bad, s->gone, "gone");
    put_count(&bad, s->unreadable, "that cannot be read");
    put_count(&lacking, s->without_manifest, "without manifest");
    put_count(&lacking, s->damaged_manifests, "with a damaged manifest");
    if (bad.len > 0)
        probe_warn(p, CHECK_LINKS,
                   "see them with `kachery-resource ls`; link changed files again, unlink those "
                   "that are gone",
                   "of %s%zu shared files: %s; the first is %s", some, s->looked_at, buf_cstr(&bad),
                   buf_cstr(&s->first_bad));
    if (lacking.len > 0)
        probe_warn(p, CHECK_LINKS,
                   "link (or store-local) them again: without manifest no part of them can be "
                   "proven to its reader",
                   "of %s%zu shared files: %s", some, s->looked_at, buf_cstr(&lacking));
    if (bad.len == 0 && lacking.len == 0)
        probe_ok(p, CHECK_LINKS, "of %s%zu shared files: all as they were linked", some,
                 s->looked_at);
    buf_free(&bad);
    buf_free(&lacking);
}

void links_probe_run(struct probe *p)
{
    struct sample s;
    struct err e = {0};

    if (sample_take(p, &s, clock_now_ms() + p->options->times.sample_ms, &e) != 0)
        probe_fail(p, CHECK_LINKS, "make the store readable (see `store`)", "%s", e.msg);
    else if (s.failure.code != ERR_NONE)
        probe_warn(p, CHECK_LINKS,
                   "run `kachery-resource verify`, which names each record that cannot be read",
                   "%s", s.failure.msg);
    else if (s.looked_at == 0)
        probe_warn(p, CHECK_LINKS, "link files with `kachery-resource link FILE...`; if some were "
                                   "linked, set KACHERY_CLOUD_DIR as it was then",
                   "no file is shared yet");
    else
        judge_sample(p, &s);
    sample_free(&s);
}
