#include "net/tls_flood.h"

enum {
    TYPE_CHANGE_CIPHER = 20,
    TYPE_ALERT = 21,
    TYPE_HANDSHAKE = 22,
    ALERT_BYTES = 2,
    MESSAGE_HEAD_BYTES = 4 /* type and length (RFC 5246 §7.4) */
};

/* A record's head is complete. Encrypted ones do not show what they are: all count until data come
 * of them. */
static void begin_record(struct tls_flood *f)
{
    f->head_len = 0;
    f->record_left = (size_t)f->head[3] << 8 | f->head[4];
    if (f->is_encrypted || f->record_left == 0)
        f->idle++;
    else if (f->head[0] == TYPE_ALERT)
        f->idle += (unsigned)(f->record_left + ALERT_BYTES - 1) / ALERT_BYTES;
    else if (f->head[0] == TYPE_CHANGE_CIPHER)
        f->is_encrypted = true;
}

/* Counts the messages that begin in plain bytes of a handshake. */
static void note_messages(struct tls_flood *f, struct str bytes)
{
    while (bytes.len > 0) {
        if (f->message_head == MESSAGE_HEAD_BYTES && f->message_left > 0) {
            size_t n = bytes.len < f->message_left ? bytes.len : f->message_left;
            f->message_left -= (uint32_t)n;
            bytes = str_slice(bytes, n, bytes.len);
            continue;
        }
        if (f->message_head == MESSAGE_HEAD_BYTES || f->message_head == 0) {
            f->message_head = 0;
            f->message_left = 0;
            f->messages++;
        } else {
            f->message_left = f->message_left << 8 | (unsigned char)bytes.p[0];
        }
        f->message_head++;
        bytes = str_slice(bytes, 1, bytes.len);
    }
}

static struct str take_content(struct tls_flood *f, struct str *data)
{
    struct str content = str_slice(*data, 0, f->record_left);

    *data = str_slice(*data, content.len, data->len);
    f->record_left -= content.len;
    return content;
}

int tls_flood_note(struct tls_flood *f, struct str data, struct err *e)
{
    while (data.len > 0) {
        if (f->record_left == 0) {
            f->head[f->head_len++] = (unsigned char)data.p[0];
            data = str_slice(data, 1, data.len);
            if (f->head_len == sizeof f->head)
                begin_record(f);
            continue;
        }
        struct str content = take_content(f, &data);
        if (!f->is_encrypted && f->head[0] == TYPE_HANDSHAKE)
            note_messages(f, content);
    }
    if (f->idle > TLS_FLOOD_MAX_IDLE)
        return err_set(e, ERR_PROTOCOL,
                       "TLS: peer sends warnings, empty records or requests to renegotiate without "
                       "end (%d in a row are the limit)",
                       TLS_FLOOD_MAX_IDLE);
    if (f->messages > TLS_FLOOD_MAX_MESSAGES)
        return err_set(e, ERR_PROTOCOL, "TLS: peer's handshake has more than %d messages",
                       TLS_FLOOD_MAX_MESSAGES);
    return 0;
}

void tls_flood_reset(struct tls_flood *f)
{
    f->idle = 0;
}
