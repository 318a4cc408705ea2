#include "hub/signer_check.h"

#include <stdlib.h>
#include <string.h>

#include "access/authorization.h"

/* One check: the client's record, then the settings. */
struct signing {
    struct relay_check *check;
    struct bucket *bucket;
    struct zone zone; /* its strings are in `texts` */
    struct buf texts[2];
    struct zone_reading client, settings;
    struct zone_record record;
    struct buf client_id;
    struct err e;
};

static void free_signing(struct signing *s)
{
    zone_files_free_reading(&s->client);
    zone_files_free_reading(&s->settings);
    zone_files_free_record(&s->record);
    buf_free(&s->client_id);
    buf_free(&s->texts[0]);
    buf_free(&s->texts[1]);
    free(s);
}

static void end_signing(struct signing *s, int result)
{
    struct relay_check *check = s->check;
    const struct err e = s->e;

    free_signing(s);
    check->state = NULL;
    check->on_done(check, result, &e);
}

static void on_signing_settings(void *owner)
{
    struct signing *s = owner;
    struct authorization settings;
    struct buf user = {0};
    int result = authorization_take(&s->settings, &settings, &s->e);

    if (result == 0) {
        buf_put(&user, s->record.owner);
        buf_putc(&user, '\0');
        result = buf_check(&user, &s->e);
        if (result == 0)
            result = authorization_may_upload(&settings, buf_str(&user).p, &s->e);
        authorization_deinit(&settings);
    }
    buf_free(&user);
    end_signing(s, result);
}

static void on_signing_client(void *owner)
{
    struct signing *s = owner;

    if (zone_files_take_client(&s->client, &s->record, &s->e) != 0) {
        if (s->e.code == ERR_NOT_FOUND)
            err_set(&s->e, ERR_REFUSED, "the daemon's client is not registered");
        end_signing(s, -1);
        return;
    }
    s->settings.file.call =
        (struct bucket_call){.on_done = on_signing_settings, .owner = s, .e = &s->e};
    if (authorization_ask(s->bucket, &s->zone, &s->settings, &s->e) != 0)
        end_signing(s, -1);
}

/* A failure before a call is under way is reported from the loop, too. */
void signer_check(void *owner, const struct zone *zone, struct str client_id,
                  struct relay_check *check)
{
    struct signing *s = calloc(1, sizeof *s);

    check->state = s;
    if (s == NULL)
        return;
    s->check = check;
    s->bucket = owner;
    buf_put(&s->texts[0], zone->name);
    buf_put(&s->texts[1], zone->directory);
    s->zone = (struct zone){.name = buf_str(&s->texts[0]), .directory = buf_str(&s->texts[1])};
    buf_put(&s->client_id, client_id);
    s->client.file.call =
        (struct bucket_call){.on_done = on_signing_client, .owner = s, .e = &s->e};
    if (buf_check(&s->client_id, &s->e) == 0 && buf_check(&s->texts[0], &s->e) == 0 &&
        buf_check(&s->texts[1], &s->e) == 0 &&
        zone_files_ask_client(s->bucket, &s->zone, buf_str(&s->client_id),
                              &s->client, &s->e) == 0)
        return;
    free_signing(s);
    check->state = NULL;
}

void signer_check_cancel(void *owner, struct relay_check *check)
{
    (void)owner;
    if (check->state != NULL)
        free_signing(check->state);
    check->state = NULL;
}
